"""The distribution of the quantization error, in quantization steps: rounding apart from clipping."""

from typing import Optional

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore

from qatviz.analysis.error_distribution import BINS_PER_STEP, LARGEST, ErrorDistribution, error_distribution
from qatviz.gui.model.ghost import Ghost
from qatviz.gui.panels.tensor.bars import Bars
from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.words import signed
from qatviz.gui.widgets.plot import outline
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import IDEAL_RMSE_OVER_SCALE, MEASURES
from qatviz.number_format import percent_text
from qatviz.protocol.snapshots import TensorValues
from qatviz.quant.affine import AffineGrid

#: Without clipping no error is larger than half a quantization step: the axis ends here then.
ROUNDING_REACH = 0.6
#: A bar of clipped values has at least this fraction of the axis' height.
LEAST_HEIGHT = 0.02


class ErrorPlot(TensorPlot):
    """Histogram of ``(quantized - float) / scale``, with the flat line of ideal rounding, and the ghost's outline.

    Attributes
    ----------
    found, pending : ErrorDistribution or None
        In effect, and with the pending settings.
    """

    def __init__(self, theme: Theme, parent=None):
        self._rounding, self._clipping = Bars(), Bars()
        self._ghost, self._ideal = pg.PlotCurveItem(), pg.PlotCurveItem()
        self.found: Optional[ErrorDistribution] = None
        self.pending: Optional[ErrorDistribution] = None
        self._of = self._pending_of = (None, None)
        self.caption = ""
        super().__init__(theme, "tensor-error", "Distribution of the quantization error", parent)
        for item in (self._rounding, self._clipping, self._ideal, self._ghost):
            self.addItem(item, ignoreBounds=True)
        self.set_labels(bottom="error (quantization steps)", left="values")
        self.set_table(self._columns)

    def dress(self) -> None:
        super().dress()
        self._rounding.set_brush(self.theme.color("in_range", 190))
        self._clipping.set_brush(self.theme.color("clipped", 220))
        self._ghost.setPen(pg.mkPen(self.theme.color("ghost"), style=QtCore.Qt.DashLine))
        self._ideal.setPen(pg.mkPen(self.theme.color("window_edge"), style=QtCore.Qt.DotLine))

    def draw(
        self, values: Optional[TensorValues], grid: Optional[AffineGrid], ghost: Optional[Ghost], why_not: str
    ) -> None:
        """Show the errors of ``values`` on ``grid`` and, where there is a ghost, on its grid.

        ``why_not`` is shown where there is nothing to draw.
        """
        if values is None or grid is None:
            self.found = self.pending = None
            self.caption = ""
            self._of = (None, None)
            for curve in (self._rounding, self._clipping, self._ideal, self._ghost):
                curve.setVisible(False)
            self.empty_text(why_not)
            return
        self.empty_text("")
        if not _same(self._of, (values, grid)):
            self.found, self._of = error_distribution(values.values, grid), (values, grid)
        if ghost is None or not ghost.active:
            self.pending = None
        elif self.pending is None or not _same(self._pending_of, (values, ghost.grid)):
            self.pending, self._pending_of = error_distribution(values.values, ghost.grid), (values, ghost.grid)
        self._draw_found(values)

    def _draw_found(self, values: TensorValues) -> None:
        found = self.found
        shown = [found] if self.pending is None else [found, self.pending]
        largest = max(distribution.largest for distribution in shown)
        reach = ROUNDING_REACH if largest < ROUNDING_REACH else max(distribution.edges[-1] for distribution in shown)
        if not self._zoomed:
            self.setXRange(-reach, reach, padding=0)
        self._x = (-reach, reach)
        ideal = found.rounding.sum() / BINS_PER_STEP
        ghost = None if self.pending is None else self.pending.rounding + self.pending.clipping
        self.show_counts(found.rounding, np.array([1.2 * ideal]), *([] if ghost is None else [ghost]))
        self.tell_tower(found.edges[:-1] + 0.5 / BINS_PER_STEP, found.rounding)
        self._rounding.setVisible(True)
        self._rounding.set_histogram(found.edges, self.heights(found.rounding))
        self._clipping.setVisible(bool(found.clipping.any()))
        heights = self.heights(found.clipping)
        # Few values can make most of the error: they are to be seen.
        visible = np.maximum(heights, LEAST_HEIGHT * self.count_top)
        self._clipping.set_histogram(found.edges, np.where(heights > 0, visible, 0.0))
        self._ideal.setVisible(True)
        self._ideal.setData(np.array([-0.5, 0.5]), np.repeat(self.heights(ideal), 2))
        self._ghost.setVisible(ghost is not None)
        if ghost is not None:
            self._ghost.setData(*outline(self.pending.edges, self.heights(ghost)))
        sampled = "" if found.values == found.total else f", {found.values:,} of {found.total:,}"
        rmse = MEASURES["rmse_over_scale"]
        clipping = percent_text(found.clipping_share)
        self.caption = (
            f"values of step {values.step:,}{sampled} · {rmse.label} {rmse.text(found.rmse_over_scale)} (ideal "
            f"{rmse.text(IDEAL_RMSE_OVER_SCALE)}) · {clipping} of the squared error is clipping"
        )

    def read(self, x: float, y: float) -> str:
        found = self.found
        if found is None or not found.edges[0] <= x < found.edges[-1]:
            return ""
        index = int(np.floor((x - found.edges[0]) * BINS_PER_STEP))
        beyond = " or more" if found.edges[-1] == LARGEST and index in (0, len(found.rounding) - 1) else ""
        text = (
            f"error {signed(float(found.edges[index]))} steps{beyond}: "
            f"{found.rounding[index] + found.clipping[index]:,} values"
        )
        return text + (f", {found.clipping[index]:,} of them clipped" if found.clipping[index] else "")

    def _columns(self):
        if self.found is None:
            return {}
        return {
            "error_low_steps": self.found.edges[:-1],
            "error_high_steps": self.found.edges[1:],
            "rounding_count": self.found.rounding,
            "clipping_count": self.found.clipping,
        }


def _same(one: tuple, other: tuple) -> bool:
    """Return whether the values are the same object and the grids equal."""
    if one[0] is not other[0] or one[1] is None:
        return False
    a, b = one[1], other[1]
    if a is b:
        return True
    return a.bounds == b.bounds and np.array_equal(a.scale, b.scale) and np.array_equal(a.zero_point, b.zero_point)
