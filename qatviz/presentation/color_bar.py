"""Scene of a color scale's legend."""

# Apart from the report that paints it, as all scenes are.

from typing import List, Tuple

import numpy as np

from qatviz.presentation.palette import SCALE_STEPS, ink_on, scale_role
from qatviz.presentation.scene import END, MIDDLE, Fill, Metrics, Shape, Stroke, Text, rects

_GAP = 6.0
_INSET = 3.0


def color_bar(
    width: float, height: float, texts: Tuple[str, str, str], diverging: bool, metrics: Metrics
) -> List[Shape]:
    """Return a bar of all colours of a scale, with the values at its ends and in its middle."""
    low, middle, high = texts
    left = metrics.width(low) + _GAP
    right = max(width - metrics.width(high) - _GAP, left + 20)
    edges = np.linspace(left, right, SCALE_STEPS + 2)
    baseline = (height - metrics.height) / 2 + metrics.ascent
    shapes: List[Shape] = [
        rects(begin, _INSET, end, height - _INSET, Fill(scale_role(step / SCALE_STEPS, diverging)))
        for step, (begin, end) in enumerate(zip(edges[:-1], edges[1:]))
    ]
    shapes.append(rects(left, _INSET, right, height - _INSET, None, Stroke("line")))
    if right - left > 2 * metrics.width(middle):
        shapes.append(Text((left + right) / 2, baseline, middle, ink_on(scale_role(0.5, diverging)), MIDDLE))
    return [*shapes, Text(0.0, baseline, low), Text(width, baseline, high, anchor=END)]
