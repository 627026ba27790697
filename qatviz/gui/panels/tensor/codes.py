"""The integer codes of a tensor, a bar for each code."""

from typing import Optional

import numpy as np
import pyqtgraph as pg

from qatviz.gui.panels.tensor.bars import Bars
from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.panels.tensor.words import signed
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.number_format import percent_text
from qatviz.quant.affine import AffineGrid, code_bounds

#: Codes are counted one by one up to this width.
MOST_BITS = 8
#: Half the width of a bar; bars of more codes than FEW touch.
HALF_WIDTH, FEW = 0.4, 64
TICK_PX = 34


class CodesPlot(TensorPlot):
    """Number of values of each code; edge codes and unused codes have colours of their own.

    Attributes
    ----------
    caption : str
        A summary in a sentence.
    """

    def __init__(self, theme: Theme, parent=None):
        self._inner, self._edges, self._unused = Bars(), Bars(), Bars()
        self._zero = pg.InfiniteLine(angle=90)
        self.codes = self.counts = np.zeros(0, np.int64)
        self._value_of: Optional[AffineGrid] = None
        self._harmless: Optional[int] = None
        self.caption = ""
        super().__init__(theme, "tensor-codes", "Number of values of each integer code", parent)
        for item in (self._unused, self._zero, self._inner, self._edges):
            self.addItem(item, ignoreBounds=True)
        self.set_labels(bottom="integer code", left="values")
        self.set_table(lambda: {"code": self.codes, "count": self.counts} if len(self.codes) else {})

    def dress(self) -> None:
        super().dress()
        self._inner.set_brush(self.theme.color("in_range"))
        self._edges.set_brush(self.theme.color("window_edge"))
        self._unused.set_brush(self.theme.color("line", 130))
        self._zero.setPen(pg.mkPen(self.theme.color("muted", 170)))

    def draw(self, view: TensorView) -> None:
        """Show ``view``."""
        counts = view.histogram.code_counts
        known = view.is_active and counts is not None
        for item in (self._inner, self._edges, self._unused, self._zero):
            item.setVisible(known)
        if not known:
            self.codes = self.counts = np.zeros(0, np.int64)
            self.caption = ""
            self.empty_text(
                "Not quantized: in float there are no codes."
                if not view.is_active
                else f"{view.num_bits} bits have {2**view.num_bits:,} codes, too many for a bar each (at most "
                f"{MOST_BITS} bits are drawn).\n"
                f"{view.measure('used_codes'):,.0f} of them are used; they carry {view.text('effective_bits')}."
            )
            return
        self.empty_text("")
        narrow = view.grid.narrow_range
        low, high = code_bounds(view.num_bits, narrow)
        self.codes = np.arange(low, high + 1)
        self.counts = counts[low - view.histogram.code_min :][: len(self.codes)]
        self._value_of = view.grid if view.grid.scale.size == 1 else None
        zeros = view.grid.zero_point
        self._harmless = int(zeros.flat[0]) if view.tensor.nonnegative else None
        self._draw_bars(low, high)
        self._zero.setVisible(zeros.size == 1)
        self._zero.setValue(int(zeros.flat[0]))
        bits = MEASURES["effective_bits"].cell(view.measure("effective_bits"))
        edges = self.counts[self._edge_codes()].sum() / max(self.counts.sum(), 1)
        self.caption = (
            f"{np.count_nonzero(self.counts)} of {len(self.codes)} codes used · "
            f"effective bits {bits} of {view.num_bits} · edge codes hold {percent_text(edges)}"
            f"{'' if zeros.size == 1 else ' · all channels together'}"
        )

    def _draw_bars(self, low: int, high: int) -> None:
        self._x = (low - 0.7, high + 0.7)
        if not self._zoomed:
            self.setXRange(*self._x, padding=0)
        self.show_counts(self.counts)
        self.tell_tower(self.codes, self.counts)
        half = HALF_WIDTH if len(self.codes) <= FEW else 0.5
        heights = self.heights(self.counts)
        is_edge = self._edge_codes()
        for bars, chosen, tops in (
            (self._inner, ~is_edge & (self.counts > 0), heights),
            (self._edges, is_edge, heights),
            (self._unused, self.counts == 0, np.full(len(heights), self.count_top)),
        ):
            bars.set_bars(self.codes[chosen] - half, self.codes[chosen] + half, 0.0, tops[chosen])

    def _edge_codes(self) -> np.ndarray:
        """Return which codes are edge codes, bool ``[codes]``: the lowest and the highest; clipped values get them.

        The code of 0 is none where no value is below 0.
        """
        edges = (self.codes == self.codes[0]) | (self.codes == self.codes[-1])
        return edges & (self.codes != self._harmless)

    def _tick_x(self, *_) -> None:
        if not len(self.codes):
            super()._tick_x()
            return
        low, high = self.viewRange()[0]
        width = max(self.getViewBox().width(), 1.0)
        step = 1
        while step * width / max(high - low, 1e-9) < TICK_PX:
            step *= 2
        shown = [int(code) for code in self.codes if low <= code <= high]
        ends = {int(self.codes[0]), int(self.codes[-1])}
        # The ends are named always, so what would touch them is not.
        marked = [c for c in shown if c in ends or (c % step == 0 and all(abs(c - end) >= step for end in ends))]
        self.getAxis("bottom").setTicks([[(c, str(c).replace("-", "−")) for c in marked]])

    def read(self, x: float, y: float) -> str:
        index = int(np.floor(x + 0.5)) - int(self.codes[0]) if len(self.codes) else -1
        if not 0 <= index < len(self.codes):
            return ""
        code, count = int(self.codes[index]), int(self.counts[index])
        value = ""
        if self._value_of is not None:
            grid = self._value_of
            value = f" = {signed(float((code - int(grid.zero_point.flat[0])) * grid.scale.flat[0]))}"
        share = percent_text(count / max(self.counts.sum(), 1))
        text = f"code {str(code).replace('-', '−')}{value}: {count:,} values ({share})"
        return text + (", unused" if count == 0 else ", edge of the grid" if self._edge_codes()[index] else "")
