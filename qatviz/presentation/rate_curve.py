"""Scene of a learning-rate schedule: the learning rate over the training steps of a run, present step marked."""

# Apart from the panel that paints it, because it needs no Qt.

from typing import List

import numpy as np

from qatviz.presentation.chart import (
    Axis,
    Curve,
    Frame,
    Marker,
    border,
    curve_shapes,
    grid,
    label_room,
    marker_shapes,
    value_range,
    x_labels,
    y_ticks,
)
from qatviz.presentation.palette import series_role
from qatviz.presentation.scene import Metrics, Shape, Stroke
from qatviz.settings import RunSettings

#: Maximum number of points of the curve, and space around the plot, px.
_MAX_POINTS, _MARGIN = 600, 3.0


def planned_rates(run: RunSettings, steps: int) -> Curve:
    """Return the learning rates of the training steps from 0 to ``steps``, thinned to a number that can be seen."""
    x = np.unique(np.linspace(0, steps, _MAX_POINTS).astype(np.int64))
    y = np.array([run.learning_rate_at(step) for step in x.tolist()])
    return Curve(x.astype(np.float64), y, None, None, Stroke(series_role(0), 1.5))


def rate_shapes(run: RunSettings, steps: int, now: int, width: float, height: float, metrics: Metrics) -> List[Shape]:
    """Return the shapes of the curve up to ``steps``, with a line at the step ``now``; all sizes in px."""
    curve, axis = planned_rates(run, steps), Axis(least=run.learning_rate or 1.0)
    x_range = (0.0, float(max(steps, 1)))
    y_range = value_range([curve], x_range, axis) or (0.0, 1.0)
    bottom = max(height - metrics.height - 2 * _MARGIN, _MARGIN + 1)
    left = label_room(y_ticks(y_range, False, bottom - _MARGIN, metrics), metrics)
    frame = Frame(left, _MARGIN, max(width - 2 * _MARGIN, left + 1), bottom, x_range, y_range)
    return [
        *grid(frame, False, metrics, height),
        *marker_shapes(frame, [Marker(float(now), "muted")]),
        curve_shapes(frame, [curve]),
        *x_labels(frame, width, metrics),
        border(frame),
    ]
