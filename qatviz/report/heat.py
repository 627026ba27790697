"""Heat map of the SQNR over the run: a row for each tensor, from orange (bad) to blue (good)."""

from typing import Dict, List, Sequence, Tuple

import numpy as np

from qatviz.measures import MEASURES
from qatviz.presentation.chart import Frame, marker_labels, marker_shapes, x_labels
from qatviz.presentation.color_bar import bar_texts, color_bar, color_role
from qatviz.presentation.palette import SCALE_STEPS
from qatviz.presentation.scene import END, SMALL, Fill, Group, Rects, Scene, Shape, Text, rects
from qatviz.presentation.series import Points, thin, width_for
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.report.chart import BOTTOM, RIGHT, TOP, chart_markers
from qatviz.report.curves import markers_of
from qatviz.report.markup import Markup, element, join
from qatviz.report.run_data import RunData
from qatviz.report.svg import FONTS, shapes_markup, svg
from qatviz.report.tables import scrolling

_SQNR = MEASURES["sqnr_db"]
#: dB at the ends of the colour scale, as in the window's network view.
LOW, HIGH = _SQNR.color_value(0.0), _SQNR.color_value(1.0)
#: Width of a picture and height of a row, px; maximum number of columns.
_WIDTH, _ROW, _COLUMNS = 1080.0, 13.0, 240
#: Maximum number of rows of a picture, to fit a printed page.
_MAX_ROWS = 50
#: Width and height of the colour bar, px.
_LEGEND_SIZE = (420.0, 19.0)
#: Maximum width of the names of tensors, px.
_NAMES = 186.0


def heat_pictures(run: RunData) -> List[Markup]:
    """Return the pictures of all tensors; none before the first step."""
    names = [tensor.name for tensor in run.book.plan.tensors]
    if not len(run.history.series("loss").mean):
        return []
    return [_picture(run, names[first : first + _MAX_ROWS]) for first in range(0, len(names), _MAX_ROWS)]


def levels(sqnr_db: np.ndarray) -> np.ndarray:
    """Return indices of the colour scale, int64: 0 (up to ``LOW``) to ``SCALE_STEPS``; -1 without a value."""
    with np.errstate(invalid="ignore"):
        place = np.clip((sqnr_db - LOW) / (HIGH - LOW), 0, 1)
    return np.where(np.isnan(sqnr_db), -1, np.rint(np.nan_to_num(place) * SCALE_STEPS)).astype(np.int64)


def _picture(run: RunData, names: Sequence[str]) -> Markup:
    end, metrics = max(run.outcome.step, 1), FONTS[SMALL]
    height = TOP + BOTTOM + _ROW * len(names)
    left = 8 + min(max(map(metrics.width, names)), _NAMES)
    frame = Frame(left, TOP, _WIDTH - RIGHT, height - BOTTOM, (0.0, float(end)), (0.0, 1.0))
    width = width_for(end, _COLUMNS)
    cells: Dict[int, List[Tuple[float, float, float]]] = {}
    labels: List[Shape] = []
    texts = []
    for row, name in enumerate(names):
        top = TOP + row * _ROW
        points = thin(run.history.series(name + "/sqnr_db"), width)
        # A tensor without an error is in float or exact.
        in_float = np.isinf(points.high) & ~run.active_at(name, points.first)
        high, mean = (np.where(in_float, np.nan, part) for part in (points.high, points.mean))
        points = points._replace(high=high, mean=mean)
        for level, begin, stop in _parts(frame, points, width):
            cells.setdefault(level, []).append((begin, top, stop))
        label = Text(left - 4, top + metrics.ascent, metrics.elided(name, _NAMES, True), anchor=END)
        labels.append(Group([label], title=name))
        texts.append(f"{name}: {_now(run, name)}")
    markers = chart_markers([marker._replace(is_strong=True) for marker in markers_of(run.change_points)])
    shapes = [
        *(_cells(level, found) for level, found in sorted(cells.items())),
        *labels,
        *x_labels(frame, _WIDTH, metrics),
        *marker_shapes(frame, markers),
        *marker_labels(frame, markers, metrics),
    ]
    title = f"{_SQNR.label} of {len(names)} tensors over the run"
    return svg(Scene(_WIDTH, height, shapes, title, "At the end: " + "; ".join(texts)), "chart heat")


def _cells(level: int, found: Sequence[Tuple[float, float, float]]) -> Rects:
    left, top, right = np.array(found).T
    return rects(left, top, right, top + _ROW - 1, Fill(color_role(_SQNR, level / SCALE_STEPS)))


def _parts(frame: Frame, points: Points, width: int) -> List[Tuple[int, float, float]]:
    """Return rectangles (index of the colour, begin, end), with adjacent columns of the same colour merged."""
    found = levels(np.where(np.isnan(points.mean), points.high, points.mean))  # exact values have no finite mean
    last = 2 * points.step - points.first  # a point's step is the middle of its steps
    begins = frame.x(points.first - 1.0)
    ends = frame.x(np.minimum(points.first + width - 1.0, last))
    runs = np.split(np.arange(len(found)), np.flatnonzero(np.diff(found)) + 1)
    return [
        (int(found[run[0]]), float(begins[run[0]]), float(ends[run[-1]]))
        for run in runs
        if len(run) and found[run[0]] >= 0
    ]


def _now(run: RunData, name: str) -> str:
    """Return the SQNR of the newest snapshot, as in the table."""
    index = run.book.plan.index(name)
    if run.last is None or not run.last.enabled[index]:
        return "no value"
    return _SQNR.text(float(run.last.values[SNAPSHOT_MEASURES.index("sqnr_db"), index]))


def scale_legend() -> Markup:
    """Return the colour bar of the SQNR."""
    width, height = _LEGEND_SIZE
    content = shapes_markup(color_bar(_SQNR, width, height, FONTS[SMALL]))
    words = f"Colours of the SQNR, from bad to good: {' to '.join(bar_texts(_SQNR))}"
    return element("svg", content, width=width, height=height, role="img", aria_label=words, class_="key scale")


def section(run: RunData) -> Markup:
    """Return the pictures and their colour bar, or a sentence if there is nothing to draw."""
    pictures = heat_pictures(run)
    if not pictures:
        return element("p", "No step was done yet.", class_="missing")
    about = f"{_SQNR.label} of every tensor, step by step. {_SQNR.help} A gap: in float, or not measured."
    return join(
        element("p", about),
        element("p", scale_legend()),
        [scrolling("SQNR over the run", picture) for picture in pictures],
    )
