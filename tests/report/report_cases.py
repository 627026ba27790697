"""Records of staged runs, and a parser of report pages."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from staging import StagedRun

from qatviz.protocol.events import Event
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.telemetry.record.run_record import RunRecord

VOID = {"meta", "br", "hr", "img", "link", "col"}


def describe(run, **more):
    """Return the description in the record of a staged run."""
    about = {
        "qatviz": "0.1.0",
        "network": run.network.to_dict(),
        "settings": run.book.to_dict(),
        "schedule": [],
        "data_name": "digits",
        "data_fingerprint": "f1f1",
        "batch_size": 16,
        "optimizer": "adam",
        "seed": 3,
        "steps": 40,
    }
    return dict(about, **more)


def append(record, items):
    """Append items of a run to its record."""
    for item in items:
        if isinstance(item, StepRecord):
            record.append_step(item)
        elif isinstance(item, Snapshot):
            record.append_snapshot(item)
        elif isinstance(item, Event):
            record.append_event(item)


def recorded(directory, play, run=None, **about):
    """Record a staged run that ``play(run)`` drives; return the run."""
    run = run or StagedRun("mlp")
    with RunRecord.create(directory, describe(run, **about)) as record:
        play(run)
        append(record, run.drain())
    return run


class Page(HTMLParser):
    """A parsed page of HTML; raises if elements are not well nested.

    Attributes
    ----------
    ids, links : list of str
    elements : list of (tag, attributes)
    text : str
        The visible text.
    tables : dict of str to list of list of str
        Rows by caption, the header first.
    """

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.html = html = str(html)
        self.ids, self.links, self.elements, self.text, self.tables = [], [], [], "", {}
        self._open, self._row, self._rows, self._caption, self._cell = [], None, [], "", None
        self.feed(html)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, (tag, self._open[-3:])
        self._open.pop()
        if tag == "table":
            assert self._caption not in self.tables, self._caption
            self.tables[self._caption] = self._rows
        elif tag == "tr":
            self._rows.append(self._row)
        elif tag in ("td", "th"):
            self._row.append(self._cell)
            self._cell = None

    def handle_data(self, data):
        if self._open and self._open[-1] == "style":
            return
        self.text += data
        if self._cell is not None:
            self._cell += data
        elif self._open and self._open[-1] == "caption":
            self._caption += data

    def svgs(self):
        """Return all pictures as XML, except samples in legends."""
        found, begin, depth = [], 0, 0
        for tag in re.finditer("<svg|</svg>", self.html):
            begin = begin if depth else tag.start()
            depth += 1 if tag[0] == "<svg" else -1
            if not depth:
                found.append(ElementTree.fromstring(self.html[begin : tag.end()]))
        return [svg for svg in found if svg.get("class").split()[0] != "key"]
