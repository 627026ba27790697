"""Plot of the integer codes of a tensor, with a bar for each code."""

from typing import Dict, List, Optional, Sequence

import numpy as np
from PyQt5 import QtWidgets

from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.number_format import percent_text, signed
from qatviz.presentation.axes import Area
from qatviz.presentation.figure_caption import LegendItem
from qatviz.presentation.scene import Metrics, Shape
from qatviz.presentation.tensor_plots import CODES_LEGEND, FROZEN_LEGEND, code_shapes, code_ticks
from qatviz.presentation.ticks import Tick
from qatviz.quant.affine import AffineGrid, code_bounds

#: Maximum bit width for which each code is counted.
MAX_BITS = 8
#: Space beside the first and the last code, in codes.
_ROOM = 0.7


class CodesPlot(TensorPlot):
    """Bars for the number of values of each code; edge codes and unused codes have other colours.

    Attributes
    ----------
    codes, counts : np.ndarray
        int64 ``[codes]``; empty if they are not known.
    frozen : np.ndarray or None
        int64 ``[codes]``: number of frozen weights in ``counts``; None if there are none.
    zero : int or None
        The zero point if all channels have the same.
    """

    has_x_grid = False
    figure_title = "integer codes"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        self.codes = self.counts = np.zeros(0, np.int64)
        self.frozen: Optional[np.ndarray] = None
        self.zero: Optional[int] = None
        self._grid: Optional[AffineGrid] = None  # from which a code has its value; None with several scales
        self._unsigned_zero: Optional[int] = None  # code of 0 of a tensor without negative values
        accessible = "Number of values of each integer code"
        super().__init__(theme, "tensor-codes", accessible, ("integer code", "values"), self._columns, parent)

    def draw(self, view: TensorView) -> None:
        """Show ``view``."""
        counts, grid = view.histogram.code_counts, view.grid
        if grid is None or counts is None:
            self.codes = self.counts = np.zeros(0, np.int64)
            self.summary = ""
            self.empty_text(
                "Not quantized: there are no codes."
                if grid is None
                else f"{view.num_bits} bits have {2**view.num_bits:,} codes, too many for a bar each (at most "
                f"{MAX_BITS} bits are drawn).\n"
                f"{view.measure('used_codes'):,.0f} of them are used; they carry "
                f"{view.quantity('effective_bits').text}."
            )
            return
        low, high = code_bounds(view.num_bits, grid.narrow_range)
        self.codes = np.arange(low, high + 1)
        self.counts = counts[low - view.histogram.code_min :][: len(self.codes)]
        frozen = view.histogram.frozen_counts
        self.frozen = None if frozen is None else frozen[low - view.histogram.code_min :][: len(self.codes)]
        zeros = grid.zero_point
        self._grid = grid if grid.scale.size == 1 else None
        self._unsigned_zero = int(zeros.flat[0]) if view.tensor.nonnegative else None
        self.zero = int(zeros.flat[0]) if zeros.size == 1 else None
        self.show_x(low - _ROOM, high + _ROOM)
        self.show_counts(self.counts)
        self.empty_text("")
        bits = MEASURES["effective_bits"].cell(view.measure("effective_bits"))
        edges = self.counts[self.is_edge].sum() / max(self.counts.sum(), 1)
        self.summary = (
            f"{np.count_nonzero(self.counts)} of {len(self.codes)} codes used · "
            f"effective bits {bits} of {view.num_bits} · edge codes hold {percent_text(edges)}"
            f"{self._frozen_text()}{_channels_text(view)}"
        )

    @property
    def is_edge(self) -> np.ndarray:
        """Mask of the edge codes, bool ``[codes]``: the lowest and the highest, which clipped values have.

        The code of 0 is not an edge code if the tensor has no negative values.
        """
        edges = (self.codes == self.codes[0]) | (self.codes == self.codes[-1])
        return edges & (self.codes != self._unsigned_zero)

    def content(self, area: Area, metrics: Metrics) -> List[Shape]:
        bars = code_shapes(
            area, self.x_range, self.scale, self.codes, self.counts, self.is_edge, self.zero, metrics, self.frozen
        )
        return [*self.scale.axis(area, metrics), bars]

    def x_ticks(self, area: Area, metrics: Metrics) -> List[Tick]:
        return code_ticks(self.codes, self.x_range, area[2] - area[0])

    def legend_items(self) -> Sequence[LegendItem]:
        return CODES_LEGEND + (() if self.frozen is None else FROZEN_LEGEND)

    def read(self, x: float, y: float) -> str:
        index = int(np.floor(x + 0.5)) - int(self.codes[0]) if len(self.codes) else -1
        if not 0 <= index < len(self.codes):
            return ""
        code, count = int(self.codes[index]), int(self.counts[index])
        value = ""
        if self._grid is not None:
            grid = self._grid
            value = f" = {signed(float((code - int(grid.zero_point.flat[0])) * grid.scale.flat[0]))}"
        fraction = percent_text(count / max(self.counts.sum(), 1))
        text = f"code {str(code).replace('-', '−')}{value}: {count:,} values ({fraction})"
        if self.frozen is not None and self.frozen[index]:
            text += f", {self.frozen[index]:,} of them frozen"
        return text + (", unused" if count == 0 else ", edge code" if self.is_edge[index] else "")

    def _columns(self) -> Dict[str, np.ndarray]:
        if not len(self.codes):
            return {}
        own = {} if self.frozen is None else {"frozen": self.frozen}
        return {"code": self.codes, "count": self.counts, **own}

    def _frozen_text(self) -> str:
        if self.frozen is None:
            return ""
        return f" · {percent_text(self.frozen.sum() / max(self.counts.sum(), 1))} frozen"


def _channels_text(view: TensorView) -> str:
    if view.channel is not None:
        return f" · channel {view.channel.index} alone"
    return " · all channels together" if view.whole.scale.size > 1 else ""
