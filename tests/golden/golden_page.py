"""Contents of a report, reduced to the numbers in its tables and the curves and histograms in its figures.

Words, styles, sizes and SVG elements of a report may change. A figure is reduced to the tensors in its title, the
numbers in its description, and the outlines of its curves and areas, each scaled to a box of 1 by 1: positions of axes
and labels do not matter. A table is reduced to the numbers in its cells; columns with
sentences are left out. Numbers are equal if they agree in the digits that both show. Dates, identifiers and paths are
left out.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from golden_cases import HERE
from golden_program import Program

#: An outline is a number of mean heights, each over the same number of places. Outlines are equal up to this mean
#: distance: coordinates of figures that are some 100 pixels high have one decimal.
HEIGHTS, PLACES, TOLERANCE = 24, 16, 0.02

#: A cell with more words is a sentence.
_MOST_WORDS = 3
#: Marks below this fraction of the figure's width are ticks.
_TICK = 0.06
#: Sections with figures other than curves and histograms: the heat map of all tensors, the network.
_OTHER_PICTURES = {"over-time", "network"}
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:[eE][-+−]?\d+)?")
#: Times, identifiers, and paths, but for a number of another: 241/256.
_LEFT_OUT = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( [+-]\d{4})?|\b[0-9a-f]{12,}\b|(?<!\S)(?!\d[\d,]*/[\d,]+(?!\S))\S*/\S+"
)
_TENSOR = re.compile(r"\b\w+\.(?:weights|activations)\b")
_WORD = re.compile(r"[^\W\d_]{2,}[\w.]*")
_VOID = {"br", "hr", "img", "meta", "col", "link"}

Points = List[Tuple[float, float]]


def stored(run: str) -> Path:
    """Return the path of a run's stored report."""
    return HERE / f"report-{run}.json"


def report(program: Program, record: Path, path: Path) -> List[Dict[str, Any]]:
    """Write the report of a record to ``path`` and return its sections."""
    answer = program.call("report", record, "--out", path)
    assert answer.code == 0, answer.err
    return sections_of(path.read_text(encoding="utf-8"))


def sections_of(html: str) -> List[Dict[str, Any]]:
    """Return the sections of a page: ``id``, ``figures``, ``tables``. The first one is all that is before a section."""
    page = _Page()
    page.feed(html)
    page.close()
    return page.sections


def numbers(text: str) -> List[str]:
    """Return the numbers in a text, with all their digits."""
    return [found.replace("−", "-").replace(",", "") for found in _NUMBER.findall(_LEFT_OUT.sub("", text))]


class _Page(HTMLParser):
    """Collects the sections of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: List[Dict[str, Any]] = [{"id": "", "figures": [], "tables": []}]
        self._open: List[str] = []
        self._figure: Optional[Dict[str, Any]] = None
        self._words = ""
        self._cell: Optional[str] = None
        self._marks: List[Tuple[str, str, List[Points]]] = []
        self._width = 0.0

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        given = dict(attributes)
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "section":
            self.sections.append({"id": given.get("id", ""), "figures": [], "tables": []})
        elif tag == "svg" and self._figure is None and "viewbox" in given:  # else part of one, or a sample in a legend
            self._figure, self._marks, self._words = {}, [], ""
            self._width = float(given["viewbox"].split()[2])
        elif tag == "table":
            self.sections[-1]["tables"].append({"prose": [], "rows": []})
        elif tag == "tr":
            self.sections[-1]["tables"][-1]["rows"].append([])
        elif tag in ("td", "th") and "thead" not in self._open:
            self._cell = ""
        elif self._cell is not None:
            self._cell += " "
        if self._figure is not None:
            self._mark(tag, given)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        if self._figure is not None:
            self._mark(tag, dict(attributes))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "svg" and "svg" not in self._open and self._figure is not None:
            figure, section = self._figure, self.sections[-1]
            if section["id"] not in _OTHER_PICTURES:
                figure["outlines"] = _outlines(self._marks, _TICK * self._width)
            section["figures"].append(figure)
            self._figure = None
        elif self._figure is not None and tag == "title" and "tensors" not in self._figure:
            self._figure["tensors"], self._words = _TENSOR.findall(self._words), ""
        elif self._figure is not None and tag == "desc":
            self._figure["numbers"], self._words = numbers(self._words), ""
        elif self._cell is not None and tag in ("td", "th"):
            row = self.sections[-1]["tables"][-1]["rows"][-1]
            row.append(" ".join([*_TENSOR.findall(self._cell), *numbers(self._cell)]))
            prose = self.sections[-1]["tables"][-1]["prose"]
            if len(_WORD.findall(_TENSOR.sub("", self._cell))) > _MOST_WORDS and len(row) not in prose:
                prose.append(len(row))
            self._cell = None
        elif self._cell is not None:
            self._cell += " "

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell += data
        elif self._figure is not None and self._open[-1] in ("title", "desc"):
            self._words += data

    def _mark(self, tag: str, given: Dict[str, str]) -> None:
        """Collect the corners of an element. Consecutive rectangles of one style form one mark."""
        style = given.get("class", "")
        if tag == "path":
            self._marks.append((tag, style, path_points(given["d"])))
        elif tag in ("polyline", "polygon"):
            pairs = np.array(re.split(r"[\s,]+", given["points"].strip()), float).reshape(-1, 2)
            self._marks.append((tag, style, [[tuple(pair) for pair in pairs]]))
        elif tag == "rect":
            x, y, width, height = (float(given.get(name, 0)) for name in ("x", "y", "width", "height"))
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
            if self._marks and self._marks[-1][:2] == (tag, style):
                self._marks[-1][2].append(corners)
            else:
                self._marks.append((tag, style, [corners]))


def path_points(text: str) -> List[Points]:
    """Return the corners of each part of an SVG path. Of curves, only the ends are corners."""
    parts: List[Points] = []
    at, start, command = (0.0, 0.0), (0.0, 0.0), ""
    words = re.findall(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)
    while words:
        if words[0].isalpha():
            command = words.pop(0)
        if command in "Zz":
            parts[-1].append(start)
            at = start
            continue
        count = {"H": 1, "V": 1, "C": 6}.get(command.upper(), 2)
        values = [float(words.pop(0)) for _ in range(count)]
        x, y = at if command.islower() else (0.0, 0.0)
        kind = command.upper()
        at = (
            (x + values[0], at[1])
            if kind == "H"
            else (at[0], y + values[0])
            if kind == "V"
            else (x + values[-2], y + values[-1])
        )
        if kind == "M":
            parts.append([])
            start, command = at, "l" if command == "m" else "L"
        parts[-1].append(at)
    return parts


def _outlines(marks: Sequence[Tuple[str, str, List[Points]]], tick: float) -> List[List[float]]:
    """Return the upper outline of each mark, with heights from 0 to 1, but for axes, grids, ticks and frames."""
    found = []
    for tag, _, parts in marks:
        arrays = [np.array(part) for part in parts]
        arrays = [part for part in arrays if (part.max(axis=0) > part.min(axis=0)).all()]
        # One or two narrow parts are ticks or brackets, one or two rectangles are frames; more are bars.
        is_narrow = all(np.ptp(part[:, 0]) < tick for part in arrays)
        if len(arrays) < 3 and (not arrays or is_narrow or tag == "rect"):
            continue
        low, high = np.concatenate(arrays).min(axis=0), np.concatenate(arrays).max(axis=0)
        count = HEIGHTS * PLACES
        places = low[0] + (high[0] - low[0]) * (np.arange(count) + 0.5) / count
        heights = np.max([_heights(part, places, high[1]) for part in arrays], axis=0)
        heights = heights.reshape(HEIGHTS, PLACES).mean(axis=1)
        found.append([round(float(height), 2) for height in heights / (high[1] - low[1])])
    return found


def _heights(corners: np.ndarray, places: np.ndarray, bottom: float) -> np.ndarray:
    """Return the height of the uppermost line through the corners at each place; 0 where there is none."""
    heights = np.zeros(len(places))
    for (x0, y0), (x1, y1) in zip(corners[:-1], corners[1:]):
        if x0 == x1:
            continue
        share = (places - x0) / (x1 - x0)
        heights = np.where((share >= 0) & (share <= 1), np.maximum(heights, bottom - (y0 + share * (y1 - y0))), heights)
    return heights


def differences(before: List[Dict[str, Any]], now: List[Dict[str, Any]]) -> List[str]:
    """Compare the sections of two reports."""
    names = [[section["id"] for section in sections] for sections in (before, now)]
    if names[0] != names[1]:
        return [f"the sections are {names[1]} instead of {names[0]}"]
    lines = []
    for section, found in zip(before, now):
        where = section["id"]
        for what in ("figures", "tables"):
            if len(section[what]) != len(found[what]):
                lines.append(f"{where}: there are {len(found[what])} {what} instead of {len(section[what])}")
        for index, pair in enumerate(zip(section["figures"], found["figures"]), 1):
            lines += [f"{where}, figure {index} of {pair[0].get('tensors')}: {line}" for line in _in_figure(*pair)]
        for index, pair in enumerate(zip(section["tables"], found["tables"]), 1):
            lines += [f"{where}, table {index}, {line}" for line in _in_table(*pair)]
    return lines


def _in_figure(before: Dict[str, Any], now: Dict[str, Any]) -> List[str]:
    lines = []
    if before.get("tensors") != now.get("tensors"):
        lines.append(f"it is of {now.get('tensors')}")
    # A description may tell them in another order.
    if not _same_numbers(*(sorted(figure.get("numbers", []), key=float) for figure in (before, now))):
        lines.append(f"it is described by the numbers {now.get('numbers')} instead of {before.get('numbers')}")
    left = [np.array(outline) for outline in now.get("outlines", [])]
    for index, outline in enumerate(before.get("outlines", []), 1):
        distances = [float(np.abs(np.array(outline) - other).mean()) for other in left]
        if not distances or min(distances) > TOLERANCE:
            lines.append(
                f"nothing in it has outline {index} of {len(before['outlines'])}, {outline}; of what is there "
                f"the nearest is {min(distances, default=1):.3f} off on average"
            )
        else:
            del left[int(np.argmin(distances))]
    if left and not lines:
        lines.append(f"{len(left)} outlines in it are new")
    return lines


def _in_table(before: Dict[str, Any], now: Dict[str, Any]) -> List[str]:
    if len(before["rows"]) != len(now["rows"]):
        return [f"which has {len(now['rows'])} rows instead of {len(before['rows'])}"]
    lines = []
    for index, (row, found) in enumerate(zip(before["rows"], now["rows"])):
        if len(row) != len(found):
            lines.append(f"row {index} has {len(found)} cells instead of {len(row)}")
        for column, (cell, other) in enumerate(zip(row, found), 1):
            if column not in before["prose"] and not _same_numbers(cell.split(), other.split()):
                lines.append(f"row {index} ({row[0]}), column {column}: {other!r} instead of {cell!r}")
    return lines


def _same_numbers(before: Sequence[str], now: Sequence[str]) -> bool:
    """Return whether numbers agree in the digits that both show."""
    return len(before) == len(now) and all(
        one == other
        or (
            _value(one) is not None
            and _value(other) is not None
            and abs(_value(one)[0] - _value(other)[0]) <= 1.001 * max(_value(one)[1], _value(other)[1])
        )
        for one, other in zip(before, now)
    )


def _value(text: str) -> Optional[Tuple[float, float]]:
    """Return the value of a number and of one unit in its last digit; None for other words."""
    match = re.fullmatch(r"[-+]?\d+(?:\.(\d+))?(?:[eE]([-+]?\d+))?", text)
    if match is None:
        return None
    decimals, exponent = len(match.group(1) or ""), int(match.group(2) or 0)
    return float(text), 10.0 ** (exponent - decimals) if decimals or exponent else 0.0
