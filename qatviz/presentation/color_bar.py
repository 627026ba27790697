"""Colours of measures: role of a value's colour, and the colour bar."""

from typing import List, Tuple

import numpy as np

from qatviz.measure_declaration import LOWER, NEITHER, Measure
from qatviz.presentation.palette import SCALE_STEPS, ink_on, scale_role
from qatviz.presentation.scene import END, MIDDLE, Fill, Metrics, Shape, Stroke, Text, rects

_GAP, _INSET, _LEAST_BAR = 6.0, 3.0, 20.0


def color_role(measure: Measure, place: float) -> str:
    """Return the role at ``place`` 0..1 on the colour scale of a measure: from bad to good, or from dim to bright."""
    direction = measure.color_direction
    return scale_role(1.0 - place if direction == LOWER else place, direction != NEITHER)


def value_role(measure: Measure, value: float) -> str:
    """Return the role of a value's colour; empty for NaN."""
    place = measure.color_position(value)
    return "" if place is None else color_role(measure, place)


def bar_texts(measure: Measure) -> Tuple[str, str, str]:
    """Return the texts at the left end, in the middle and at the right end of the bar."""
    low, middle, high = (measure.text(measure.color_value(place)) for place in (0.0, 0.5, 1.0))
    return "≤ " + low, middle, "≥ " + high


def color_bar(measure: Measure, width: float, height: float, metrics: Metrics) -> List[Shape]:
    """Return the colour bar of a measure, with values."""
    low, middle, high = bar_texts(measure)
    left = metrics.width(low) + _GAP
    right = max(width - metrics.width(high) - _GAP, left + _LEAST_BAR)
    edges = np.linspace(left, right, SCALE_STEPS + 2)
    baseline = (height - metrics.height) / 2 + metrics.ascent
    shapes: List[Shape] = [
        rects(begin, _INSET, end, height - _INSET, Fill(color_role(measure, step / SCALE_STEPS)))
        for step, (begin, end) in enumerate(zip(edges[:-1], edges[1:]))
    ]
    shapes.append(rects(left, _INSET, right, height - _INSET, None, Stroke("line")))
    if right - left > 2 * metrics.width(middle):
        shapes.append(Text((left + right) / 2, baseline, middle, ink_on(color_role(measure, 0.5)), MIDDLE))
    return [*shapes, Text(0.0, baseline, low), Text(width, baseline, high, anchor=END)]
