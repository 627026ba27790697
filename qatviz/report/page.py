"""Assembly of the report as an HTML document."""

import time
from pathlib import Path
from typing import Dict, List, NamedTuple

from qatviz import __version__
from qatviz.presentation import palette
from qatviz.presentation.times import date
from qatviz.report import (
    budget,
    chip,
    drift,
    headline,
    heat,
    predictions,
    sections,
    sensitivity,
    tensor_sections,
)
from qatviz.report.export_section import exports
from qatviz.report.markup import Markup, element
from qatviz.report.run_data import RunData
from qatviz.report.svg import color_variables
from qatviz.report.tensor_rows import tensor_rows

#: Identifies a report; contained in its first bytes.
GENERATOR = "qatviz report"
_STYLE_SHEET = Path(__file__).with_name("report.css")
#: Forbids scripts and external resources, whatever a name in the page may contain.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


class _Section(NamedTuple):
    key: str
    title: str
    content: Markup


def page(run: RunData) -> str:
    """Return the report as an HTML document."""
    title = f"{run.network.name} on {run.about.get('data_name', 'an unnamed data set')}"
    rows = tensor_rows(run)
    parts = [
        _Section("course", "Course of the run", sections.course(run)),
        _Section("tensors", "Tensors", tensor_sections.tensor_table(run, rows)),
        _Section("over-time", "All tensors over the run", heat.section(run)),
        _Section("network", "Network", tensor_sections.network(run, rows)),
        _Section("one-by-one", "Details by tensor", tensor_sections.one_by_one(run, rows)),
        _Section("settings", "Settings", sections.settings(run)),
        _Section("exports", "Exports", exports(run)),
        _Section("events", "Events", sections.timeline(run)),
    ]
    if run.chip is not None:
        parts.insert(-1, _Section("chip", "On a chip", chip.section(run.chip)))
    if run.sensitivity is not None:
        parts.insert(3, _Section("sensitivity", "Sensitivity", sensitivity.section(run, run.sensitivity)))
    if run.channels is not None:
        parts.insert(3, _Section("channels", "Channels", drift.channels_section(run.channels)))
    if run.drift is not None:
        parts.insert(3, _Section("drift", "Drift", drift.drift_section(run.drift)))
    if run.predictions is not None:
        parts.insert(3, _Section("predictions", "Predictions", predictions.section(run.predictions)))
    if run.advice is not None:
        parts.insert(-2, _Section("budget", "Bits within a budget", budget.section(run.advice)))
    items = [element("li", element("a", part.title, href="#" + part.key)) for part in parts]
    links = element("nav", element("ul", items), aria_label="Contents")
    header = element(
        "header",
        element("h1", title),
        element("p", headline.state(run), class_="state"),
        sections.summary(run, rows),
        sections.facts_of(run),
        links,
    )
    body = [element("section", element("h2", part.title), part.content, id=part.key, class_=part.key) for part in parts]
    return document(title, header, element("main", body))


def document(title: str, *body: Markup) -> str:
    """Return an HTML document with the style of reports, and a footer."""
    footer = element("footer", f"Written by qatviz {__version__} at {date(time.time())}. This file is self-contained.")
    html = element("html", _head(title), "\n", element("body", *body, footer), lang="en")
    return f"<!doctype html>\n{html}\n"


def _head(title: str) -> Markup:
    metas: List[Dict[str, str]] = [
        {"charset": "utf-8"},
        {"name": "generator", "content": GENERATOR},
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
        {"http_equiv": "Content-Security-Policy", "content": _POLICY},
        {"name": "color-scheme", "content": "light dark"},
    ]
    return element(
        "head",
        [element("meta", **meta) for meta in metas],
        element("title", title + " – qatviz"),
        element("style", _style()),
    )


def _style() -> Markup:
    """Return the style sheet: the window's colours, dark or light like the reader's system, light in print."""
    light, dark = (color_variables(palette.all_colors(found)) for found in (palette.LIGHT, palette.DARK))
    colors = f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return Markup(colors + _STYLE_SHEET.read_text(encoding="utf-8"))
