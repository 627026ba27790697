"""The SQNR of all tensors over the run in one picture: a row for each tensor, from orange (bad) to blue (good)."""

from typing import List, Optional, Sequence, Tuple

import numpy as np

from qatviz.presentation.series import Points, thin, width_for
from qatviz.report.chart import BOTTOM, CHARACTER_PX, TOP, Plot, text_at
from qatviz.report.curves import markers_of
from qatviz.report.markup import Markup, element, join, number
from qatviz.report.network_picture import cut
from qatviz.report.run_data import RunData
from qatviz.report.tables import scrolling
from qatviz.report.words import decibels

#: dB at the ends of the colours: as the window colours the drawn network.
LOW, HIGH = 5.0, 45.0
#: Colours that are told apart. The lower half is drawn in the colour of what is bad, the upper in that of what is good.
LEVELS = 12
_WIDTH, _ROW, _COLUMNS = 1080.0, 13.0, 240
#: A picture that is higher would not fit a printed page.
_MOST_ROWS = 50
_NAME_FITS = 30
#: Opacity of the two colours, from the middle outwards.
_FAINT, _FULL = 0.2, 0.95


def heat_pictures(run: RunData) -> List[Markup]:
    """As many as are needed for all tensors; none before the first step."""
    names = [tensor.name for tensor in run.book.plan.tensors]
    if not len(run.history.series("loss").mean):
        return []
    return [_picture(run, names[first : first + _MOST_ROWS]) for first in range(0, len(names), _MOST_ROWS)]


def legend() -> Markup:
    """The colours with what they stand for."""
    keys = [element("span", element("i", class_=f"key heat-{level}"), _range(level)) for level in range(0, LEVELS, 2)]
    return element(
        "p", "SQNR: ", keys, element("span", element("i", class_="key"), "in float, or not measured"), class_="legend"
    )


def style() -> str:
    """The rules of the colours."""
    half, rules = LEVELS // 2, []
    for level in range(LEVELS):
        from_middle = (half - 1 - level if level < half else level - half) / (half - 1)
        rules.append(
            ".heat-{0} {{ fill: var(--{1}); background: var(--{1}); opacity: {2:.2f}; }}".format(
                level, "bad" if level < half else "quantized", _FAINT + (_FULL - _FAINT) * from_middle
            )
        )
    return "\n".join(rules)


def levels(sqnr_db: np.ndarray) -> np.ndarray:
    """int64: 0 (``LOW`` and less) to ``LEVELS - 1`` (``HIGH`` and more, exact); -1 where there is no value."""
    with np.errstate(invalid="ignore"):
        place = np.clip((sqnr_db - LOW) / (HIGH - LOW), 0, 1)
    return np.where(np.isnan(sqnr_db), -1, np.minimum(np.nan_to_num(place) * LEVELS, LEVELS - 1)).astype(np.int64)


def _picture(run: RunData, names: Sequence[str]) -> Markup:
    end = max(run.outcome.step, 1)
    size = (_WIDTH, TOP + BOTTOM + _ROW * len(names))
    plot = Plot((0, end), (0, 1), size, 6 + CHARACTER_PX * min(max(map(len, names)), _NAME_FITS))
    width = width_for(end, _COLUMNS)
    cells: List[List[str]] = [[] for _ in range(LEVELS)]
    labels, told = [], []
    for row, name in enumerate(names):
        top = TOP + row * _ROW
        points = thin(run.history.series(name + "/sqnr_db"), width)
        # Without an error, it is in float or exact.
        in_float = np.isinf(points.high) & ~run.active_at(name, points.first)
        high, mean = (np.where(in_float, np.nan, part) for part in (points.high, points.mean))
        points = points._replace(high=high, mean=mean)
        for level, part in _parts(plot, points, width, top):
            cells[level].append(part)
        label = text_at(plot.left - 4, top + 10, cut(name, _NAME_FITS), "end")
        labels.append(element("g", element("title", name), label))
        told.append(f"{name}: {_now(points)}")
    markers = [marker._replace(is_strong=True) for marker in markers_of(run.turns)]
    paths = [element("path", d="".join(parts), class_=f"heat-{level}") for level, parts in enumerate(cells) if parts]
    title = f"SQNR of {len(names)} tensors over the run"
    return element(
        "svg",
        element("title", title),
        element("desc", "At the end: " + "; ".join(told)),
        paths,
        labels,
        plot.step_axis(),
        plot.markers(markers),
        plot.numbers(markers),
        viewBox="0 0 {} {}".format(*map(number, size)),
        width=size[0],
        height=size[1],
        role="img",
        aria_label=title,
        class_="chart heat",
    )


def _parts(plot: Plot, points: Points, width: int, top: float) -> List[Tuple[int, str]]:
    """Rectangles, each of a colour: columns of the same colour that follow one another are one."""
    found = levels(np.where(np.isnan(points.mean), points.high, points.mean))  # exact values have no finite mean
    begins = plot.x(points.first - 1.0)
    ends = plot.x(np.minimum(points.first + width - 1.0, points.step * 2 - points.first))
    parts = []
    for run in np.split(np.arange(len(found)), np.flatnonzero(np.diff(found)) + 1):
        if len(run) and found[run[0]] >= 0:
            parts.append(
                (
                    int(found[run[0]]),
                    "M{} {}H{}V{}H{}Z".format(
                        *map(number, (begins[run[0]], top, ends[run[-1]], top + _ROW - 1, begins[run[0]]))
                    ),
                )
            )
    return parts


def _now(points: Points) -> Optional[str]:
    there = np.flatnonzero(~np.isnan(points.high))
    return decibels(float(points.high[there[-1]])) if len(there) else "no value"


def _range(level: int) -> str:
    """Of a colour and the next: from where to where it reaches."""
    low, high = (LOW + (HIGH - LOW) * place / LEVELS for place in (level, level + 2))
    if level == 0:
        return f"below {high:.0f} dB"
    return f"{low:.0f} dB and more" if level + 2 >= LEVELS else f"{low:.0f} to {high:.0f} dB"


def section(run: RunData) -> Markup:
    """The pictures with what their colours mean; a sentence where there is nothing to draw."""
    pictures = heat_pictures(run)
    if not pictures:
        return element("p", "No step was done yet.", class_="missing")
    about = "Signal-to-quantization-noise ratio of every tensor, step by step; 6 dB are one bit."
    return join(element("p", about), legend(), [scrolling("SQNR over the run", picture) for picture in pictures])
