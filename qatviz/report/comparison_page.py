"""Comparison of runs as an HTML document."""

from pathlib import Path
from typing import Iterable, List, Optional, Sequence

from qatviz.analysis.comparison import LOSS, STEPS, Comparison, MeasureRow, measure_rows, setting_rows, tensor_rows
from qatviz.analysis.paired import effects_on_first
from qatviz.metric import MODES
from qatviz.presentation import comparison as scenes
from qatviz.presentation.axis_range import Range
from qatviz.presentation.chart import Axis
from qatviz.presentation.comparison_dots import dots_scene
from qatviz.presentation.run_table import COLUMNS, cell_text
from qatviz.presentation.scene import SMALL, Scene, Shape
from qatviz.report.markup import Content, Markup, element, join
from qatviz.report.page import document
from qatviz.report.svg import FONTS, shapes_markup, svg
from qatviz.report.tables import Cell, Head, table
from qatviz.report.writing import WrittenReport, check_free, save_page

#: Sizes of charts of curves and of pictures of tensors, px.
_CHART, _PICTURE = (520.0, 220.0), (346.0, 150.0)
#: Size of a sample of a line, px, as in the style sheet.
_KEY = (22.0, 8.0)
#: Columns of the table of runs.
_SHOWN = ("network", "data", "float", "quantized", "size", "steps", "state", "date", "tags", "parent", "notes")
#: Maximum number of tensors whose distributions are drawn.
_MOST_TENSORS = 80
_STYLES = {1: "good", -1: "bad", 0: None}


def write_comparison(comparison: Comparison, path: str) -> WrittenReport:
    """Write a comparison to an HTML file; an existing file other than a report is not replaced.

    Raises
    ------
    ExportError
        If the file can't be written, or is another file.
    """
    target = Path(path).expanduser().absolute()
    check_free(target)
    return save_page(comparison_page(comparison), target, max(run.summary.step for run in comparison.runs))


def comparison_page(comparison: Comparison) -> str:
    """Return a comparison as an HTML document."""
    names = comparison.names
    title = f"Comparison of {len(names)} runs" if len(names) > 1 else f"Run {names[0]}"
    parts = [
        ("Runs", _runs(comparison)),
        ("Curves", _curves(comparison)),
        ("Sizes", _sizes(comparison)),
        ("Settings that differ", _settings(comparison)),
        ("Measures", _measures(comparison, "Measures, with differences to the first run", measure_rows(comparison))),
        ("Tensors", _tensors(comparison)),
    ]
    sections = [element("section", element("h2", head), content) for head, content in parts]
    header = element("header", element("h1", title), element("p", ", ".join(names), class_="state"))
    return document(title, header, element("main", sections))


def _runs(comparison: Comparison) -> Markup:
    columns = [column for column in COLUMNS if column.key in _SHOWN]
    heads = [Head("Run"), *(Head(column.title, column.help, not column.is_left) for column in columns)]
    rows = [
        [join(_key(scenes.swatch(index, *_KEY)), name), *(cell_text(column, run.summary) for column in columns)]
        for index, (name, run) in enumerate(zip(comparison.names, comparison.runs))
    ]
    return table("Runs", heads, rows)


def _curves(comparison: Comparison) -> Markup:
    keys = (LOSS, *reversed(MODES))
    figures = [_chart(comparison, key, False) for key in keys]
    if any(effect is not None for effect in effects_on_first(comparison)):
        figures.append(_differences(comparison))
    if any(len(members) > 1 for members in comparison.groups):
        figures += [_chart(comparison, key, True) for key in keys]
    return element("div", [figure for figure in figures if figure is not None], class_="figures")


def _chart(comparison: Comparison, key: str, by_group: bool) -> Content:
    """Return the chart of a curve of all runs, or of the means of groups; None if there are no values."""
    curves = scenes.curves_of(comparison, key, STEPS, by_group)
    title, axis = scenes.curve_title(comparison, key), scenes.curve_axis(comparison, key)
    title = f"{title}: mean and extremes over seeds" if by_group else title
    return _figure(title, curves, axis)


def _differences(comparison: Comparison) -> Content:
    """Return the chart of the differences of losses to the first run on the same batches, from the fork on."""
    own = comparison.own_parts
    curves = scenes.differences_of(own, LOSS, STEPS, 0)
    title = scenes.difference_title(own, LOSS, comparison.names[0], curves)
    begin = min(run.place_of_start(STEPS) for run in own.runs)
    return _figure(title, curves, scenes.difference_axis(own, LOSS), scenes.curve_range(curves, begin))


def _figure(title: str, curves: Sequence[scenes.NamedCurve], axis: Axis, x_range: Optional[Range] = None) -> Content:
    """Return a chart with its legend; None if there are no values."""
    shapes = scenes.chart_shapes(_CHART, curves, axis, STEPS, FONTS[SMALL], x_range)
    if not shapes:
        return None
    words = "; ".join(named.name for named in curves)
    legend = [element("span", _key([scenes.line_swatch(named.stroke, *_KEY)]), named.name) for named in curves]
    caption = element("figcaption", element("b", title), element("span", legend, class_="legend"))
    return element("figure", caption, svg(Scene(*_CHART, shapes, title, words), "chart"), class_="size-520")


def _sizes(comparison: Comparison) -> Markup:
    """Return the picture of all runs by size of the weights and quantized metric."""
    scene = dots_scene(_CHART, FONTS[SMALL], comparison, MODES[-1], range(len(comparison.runs)))
    if not scene.shapes:
        return element("p", "There are no evaluations.", class_="missing")
    title = f"Size of the weights and {scenes.curve_title(comparison, MODES[-1])}"
    picture = svg(Scene(*_CHART, scene.shapes, title, ", ".join(comparison.names)), "chart")
    return element("figure", element("figcaption", element("b", title)), picture, class_="size-520")


def _settings(comparison: Comparison) -> Markup:
    rows = [[row.path, *row.texts] for row in setting_rows(comparison)]
    if not rows:
        return element("p", "None: all runs have the same settings.", class_="missing")
    return table("Settings that differ", ["Setting", *comparison.names], rows)


def _measures(comparison: Comparison, caption: str, rows: Sequence[MeasureRow]) -> Markup:
    heads = [Head("Measure"), *(Head(name, "", True) for name in comparison.names)]
    return table(caption, heads, ([row.title, *_cells(row)] for row in rows))


def _cells(row: MeasureRow) -> Iterable[Cell]:
    for text, difference, better in zip(row.texts, row.differences, row.better):
        style = _STYLES[better]
        change = element("span", f" ({difference})", class_=style) if difference else None
        yield Cell(join(text, change))


def _tensors(comparison: Comparison) -> Markup:
    """Return the SQNR of all tensors, and the distributions of the first two runs overlaid."""
    rows = tensor_rows(comparison)
    if not rows:
        return element("p", "There are no snapshots of quantized tensors.", class_="missing")
    parts: List[Content] = [_measures(comparison, "SQNR by tensor, with differences to the first run", rows)]
    if len(comparison.runs) > 1:
        first, second = comparison.names[:2]
        parts.append(
            element(
                "p",
                *(
                    element("span", _key(scenes.state_swatch(role, *_KEY)), name)
                    for role, name in ((scenes.FIRST, first), (scenes.SECOND, second))
                ),
                class_="legend",
            )
        )
        names = [row.key for row in rows]
        parts += [_pictures(comparison, name) for name in names[:_MOST_TENSORS]]
        if len(names) > _MOST_TENSORS:
            parts.append(element("p", f"Not drawn: {len(names) - _MOST_TENSORS} more tensors.", class_="missing"))
    return join(*parts)


def _pictures(comparison: Comparison, tensor: str) -> Markup:
    """Return histograms and codes of a tensor in the first two runs, overlaid."""
    snapshots = [run.snapshot for run in comparison.runs[:2]]
    pair = [None if found is None else found.histograms.get(tensor) for found in snapshots]
    figures = []
    for title, draw in (("float values", scenes.overlaid_histograms), ("codes", scenes.overlaid_codes)):
        shapes = draw(_PICTURE, pair, FONTS[SMALL])
        if shapes:
            picture = svg(Scene(*_PICTURE, shapes, f"{tensor}: {title}", ""), "histogram")
            figures.append(element("figure", element("figcaption", element("b", title)), picture, class_="size-346"))
    return element("div", element("h3", tensor), element("div", figures, class_="figures"), class_="card")


def _key(shapes: Sequence[Shape]) -> Markup:
    return element("svg", shapes_markup(shapes), class_="key line", aria_hidden="true")
