"""Plot of the quantization error in quantization steps, with rounding and clipping apart."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtWidgets

from qatviz.analysis.error_distribution import BINS_PER_STEP, LARGEST, ErrorDistribution, error_distribution
from qatviz.gui.model.ghost import Ghost
from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import IDEAL_RMSE_OVER_SCALE, MEASURES
from qatviz.number_format import percent_text, signed
from qatviz.presentation.axes import Area
from qatviz.presentation.figure_caption import LegendItem
from qatviz.presentation.scene import Metrics, Shape
from qatviz.presentation.tensor_plots import ERROR_LEGEND, PENDING_LEGEND, error_shapes
from qatviz.protocol.snapshots import TensorValues
from qatviz.quant.affine import AffineGrid

#: End of the axis without clipping, when no error is larger than half a quantization step.
ROUNDING_REACH = 0.6
#: Minimum ratio of the plot's height to the line of ideal rounding.
_ABOVE_IDEAL = 1.2
#: Values and grid from which the distribution of errors was computed.
_Inputs = Tuple[Optional[TensorValues], Optional[AffineGrid]]


class ErrorPlot(TensorPlot):
    """Histogram of ``(quantized - float) / scale``, in effect and pending, with a line for ideal rounding.

    Attributes
    ----------
    found, pending : ErrorDistribution or None
        Distribution of the error in effect, and with the pending settings.
    """

    figure_title = "quantization error"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        self.found: Optional[ErrorDistribution] = None
        self.pending: Optional[ErrorDistribution] = None
        self._inputs: _Inputs = (None, None)
        self._pending_inputs: _Inputs = (None, None)
        titles = ("error (quantization steps)", "values")
        accessible = "Distribution of the quantization error"
        super().__init__(theme, "tensor-error", accessible, titles, self._columns, parent)

    def draw(
        self,
        values: Optional[TensorValues],
        grid: Optional[AffineGrid],
        ghost: Optional[Ghost],
        empty_text: str,
        mapped: Optional[np.ndarray] = None,
    ) -> None:
        """Show the errors of ``values`` on ``grid`` and, with pending edits, on the pending grid.

        ``empty_text`` is shown if there are no values or no grid; ``mapped`` are the values after the map of weights,
        float32 of the same shape, or None without a map.
        """
        if values is None or grid is None:
            self.found = self.pending = None
            self.summary = ""
            self._inputs = (None, None)
            self.empty_text(empty_text)
            return
        found = self.found
        if found is None or not _same(self._inputs, (values, grid)):
            found = self.found = error_distribution(values.values, grid, mapped)
            self._inputs = (values, grid)
        pending_grid = ghost.grid if ghost is not None else None
        if pending_grid is None:
            self.pending = None
        elif self.pending is None or not _same(self._pending_inputs, (values, pending_grid)):
            after = None if ghost is None else ghost.map_of(values.values)
            self.pending = error_distribution(values.values, pending_grid, after)
            self._pending_inputs = (values, pending_grid)
        self._set_ranges(found)
        self.summary = _caption(found, values.step)
        self.empty_text("")

    def _set_ranges(self, found: ErrorDistribution) -> None:
        shown = [found] if self.pending is None else [found, self.pending]
        largest = max(distribution.largest for distribution in shown)
        reach = ROUNDING_REACH if largest < ROUNDING_REACH else max(distribution.edges[-1] for distribution in shown)
        self.show_x(-reach, reach)
        ideal = _ABOVE_IDEAL * found.rounding.sum() / BINS_PER_STEP
        pending = [] if self.pending is None else [self.pending.rounding + self.pending.clipping]
        self.show_counts(found.rounding, np.array([ideal]), *pending)

    def content(self, area: Area, metrics: Metrics) -> List[Shape]:
        if self.found is None:
            return []
        errors = error_shapes(area, self.x_range, self.scale, self.found, self.pending, metrics)
        return [*self.scale.axis(area, metrics), errors]

    def legend_items(self) -> Sequence[LegendItem]:
        return ERROR_LEGEND + (PENDING_LEGEND if self.pending is not None else ())

    def read(self, x: float, y: float) -> str:
        found = self.found
        if found is None or not found.edges[0] <= x < found.edges[-1]:
            return ""
        index = int(np.floor((x - found.edges[0]) * BINS_PER_STEP))
        beyond = " or more" if found.edges[-1] == LARGEST and index in (0, len(found.rounding) - 1) else ""
        text = (
            f"error {signed(float(found.edges[index]))} quantization steps{beyond}: "
            f"{found.rounding[index] + found.clipping[index]:,} values"
        )
        return text + (f", {found.clipping[index]:,} of them clipped" if found.clipping[index] else "")

    def _columns(self) -> Dict[str, np.ndarray]:
        if self.found is None:
            return {}
        return {
            "error_low_steps": self.found.edges[:-1],
            "error_high_steps": self.found.edges[1:],
            "rounding_count": self.found.rounding,
            "clipping_count": self.found.clipping,
        }


def _caption(found: ErrorDistribution, step: int) -> str:
    sampled = "" if found.values == found.total else f", {found.values:,} of {found.total:,}"
    rmse = MEASURES["rmse_over_scale"]
    clipping = percent_text(found.clipping_share)
    return (
        f"Values of step {step:,}{sampled} · {rmse.label} {rmse.text(found.rmse_over_scale)} (ideal "
        f"{rmse.text(IDEAL_RMSE_OVER_SCALE)}) · {clipping} of the squared error is clipping"
    )


def _same(one: _Inputs, other: _Inputs) -> bool:
    """Return whether values are the same object, and grids are equal."""
    a, b = one[1], other[1]
    if one[0] is not other[0] or a is None or b is None:
        return False
    if a is b:
        return True
    return a.bounds == b.bounds and np.array_equal(a.scale, b.scale) and np.array_equal(a.zero_point, b.zero_point)
