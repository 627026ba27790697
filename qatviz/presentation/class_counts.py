"""Scene of the number of examples of each class: two bars per class, for training and test data."""

from typing import List, Sequence, Tuple

import numpy as np

from qatviz.presentation.axes import Area, CountScale, bars, bottom_axis, left_axis, plot_area
from qatviz.presentation.previews import DataInfo, target_text
from qatviz.presentation.scene import Fill, Metrics, Shape, rects
from qatviz.presentation.ticks import Tick, fitting_ticks, linear_ticks

TRAIN, TEST = Fill("in_range"), Fill("flushed")
#: Maximum number of classes that are named at their bars, and maximum length of a name.
_MAX_NAMES, _NAME_LENGTH = 14, 12
#: Maximum length of names below vertical bars; for longer ones, bars are horizontal.
_SHORT = 3
#: Number of ticks for many classes, and for a target's intervals.
_MANY_TICKS, _INTERVAL_TICKS = 5, 4
#: Width of a bar, and margin beside the first and the last class, in units of classes.
_BREADTH, _ROOM = 0.4, 0.6
_HEADROOM = 1.05
_COUNT_TICK_PX, _GAP = 50.0, 5.0


def use_horizontal_bars(info: DataInfo) -> bool:
    """Return whether bars are horizontal, with room for names: for few classes, one of which has a long name."""
    names = info.groups
    return not info.is_regression and len(names) <= _MAX_NAMES and max(map(len, names)) > _SHORT


def group_ticks(info: DataInfo) -> List[Tick]:
    """Return ticks with names if there is room, otherwise with some class indices or ends of target intervals."""
    names = info.groups
    if info.is_regression:
        every = max(1, len(names) // _INTERVAL_TICKS)
        return [(index - 0.5, target_text(info.edges[index])) for index in range(0, len(names), every)]
    if len(names) <= _MAX_NAMES:
        cut = (name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…" for name in names)
        return [(float(index), name) for index, name in enumerate(cut)]
    return [(float(index), str(index)) for index in range(0, len(names), -(-len(names) // _MANY_TICKS))]


def class_count_shapes(info: DataInfo, size: Tuple[float, float], metrics: Metrics) -> List[Shape]:
    """Return the bars of all groups of ``info`` with their axes, in a picture of ``size``."""
    at = np.arange(len(info.groups), dtype=np.float64)
    top = _HEADROOM * max(int(info.train_counts.max()), int(info.test_counts.max()), 1)
    draw = _horizontal if use_horizontal_bars(info) else _upright
    return draw(info, at, top, size, metrics)


def _upright(info: DataInfo, at: np.ndarray, top: float, size: Tuple[float, float], metrics: Metrics) -> List[Shape]:
    area, scale = plot_area(size, metrics, False), CountScale(top)
    left, upper, right, bottom = area
    span = (-_ROOM, len(at) - 1 + _ROOM)
    per_group = (right - left) / (span[1] - span[0])
    shapes = scale.axis(area, metrics)
    shapes += bottom_axis(area, span, group_ticks(info), metrics, (0.0, size[0]), has_grid=False)
    for counts, begin, fill in _series(info):
        x = left + (at + begin - span[0]) * per_group
        shapes.append(bars(x, x + _BREADTH * per_group, scale.heights(counts, bottom - upper), bottom, fill))
    return shapes


def _horizontal(info: DataInfo, at: np.ndarray, top: float, size: Tuple[float, float], metrics: Metrics) -> List[Shape]:
    _, upper, right, bottom = plot_area(size, metrics, False)
    ticks = group_ticks(info)
    left = min(max(metrics.width(text) for _, text in ticks) + 2 * _GAP, size[0] / 2)
    area: Area = (left, upper, max(right, left + 1), bottom)
    scale, room = CountScale(top), area[2] - left
    per_group = (bottom - upper) / (len(at) - 1 + 2 * _ROOM)
    middles = upper + (at + _ROOM) * per_group
    shapes = left_axis(area, middles, ticks, metrics, has_grid=False)
    shapes += bottom_axis(area, (0.0, top), _count_ticks(top, room, metrics), metrics, (0.0, size[0]))
    for counts, begin, fill in _series(info):
        y = middles + begin * per_group
        shapes.append(rects(left, y, left + scale.heights(counts, room), y + _BREADTH * per_group, fill))
    return shapes


def _series(info: DataInfo) -> Sequence[Tuple[np.ndarray, float, Fill]]:
    return (info.train_counts, -_BREADTH, TRAIN), (info.test_counts, 0.0, TEST)


def _count_ticks(top: float, width: float, metrics: Metrics) -> List[Tick]:
    found = fitting_ticks(
        lambda at_most: linear_ticks(0.0, top, at_most), int(width / _COUNT_TICK_PX), width / top, metrics.width
    )
    return [tick for tick in found if tick[0] == int(tick[0])]
