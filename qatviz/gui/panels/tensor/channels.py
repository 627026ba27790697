"""The values' range of each output channel against the representable range of its grid."""

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore

from qatviz.gui.panels.tensor.bars import Bars
from qatviz.gui.panels.tensor.plot import TensorPlot, few_ticks
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.panels.tensor.words import signed, span
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import percent_text
from qatviz.presentation.axis_range import steady_extent
from qatviz.quant.affine import AffineGrid

#: Half the width of a bar; bars of more channels than FEW touch.
HALF_WIDTH, FEW = 0.36, 150
Y_TICK_PX = 30


class ChannelsPlot(TensorPlot):
    """A bar from the smallest to the largest value of each channel; beyond the representable range it is clipped."""

    def __init__(self, theme: Theme, parent=None):
        self._inside, self._outside = Bars(), Bars()
        self._low, self._high, self._ghost_low, self._ghost_high = [pg.PlotCurveItem() for _ in range(4)]
        self._view: TensorView = None
        self._y = (0.0, 1.0)
        self.caption = ""
        super().__init__(theme, "tensor-channels", "Range of each channel against its representable range", parent)
        self._held_y = None
        for item in (self._inside, self._outside, *self._range_curves()):
            self.addItem(item, ignoreBounds=True)
        self.set_labels(bottom="output channel", left="value")
        self.set_table(self._columns)

    def _range_curves(self):
        return (self._low, self._high, self._ghost_low, self._ghost_high)

    def dress(self) -> None:
        super().dress()
        self._inside.set_brush(self.theme.color("in_range", 190))
        self._outside.set_brush(self.theme.color("clipped"))
        for curve in (self._low, self._high):
            curve.setPen(pg.mkPen(self.theme.color("window_edge")))
        for curve in (self._ghost_low, self._ghost_high):
            curve.setPen(pg.mkPen(self.theme.color("ghost"), style=QtCore.Qt.DashLine))

    def forget_ranges(self) -> None:
        super().forget_ranges()
        self._held_y = None

    def draw(self, view: TensorView) -> None:
        """Show ``view``."""
        self._view = view
        low, high = [np.asarray(end, np.float64) for end in (view.histogram.channel_min, view.histogram.channel_max)]
        if not np.isfinite(low.min() + high.max()):
            for item in (self._inside, self._outside, *self._range_curves()):
                item.setVisible(False)
            self._view, self.caption = None, ""
            self.empty_text("The tensor has values that are not finite.")
            return
        self.empty_text("")
        ghost = view.ghost.grid if view.ghost is not None else None
        ranges = [_range_of(grid, len(low)) for grid in (view.grid, ghost)]
        self._draw_bars(low, high, ranges[0])
        self._draw_ranges(ranges)
        ends = [low, high] + [end for representable in ranges if representable is not None for end in representable]
        self._held_y = self._y = steady_extent(
            self._held_y, min(0.0, *[float(end.min()) for end in ends]), max(float(end.max()) for end in ends)
        )
        self.setYRange(*self._y, padding=0)
        self._x = (-0.7, len(low) - 0.3)
        if not self._zoomed:
            self.setXRange(*self._x, padding=0)
        self._tick_counts(0.0)
        self.caption = _caption(view, low, high, ranges[0])

    def _draw_bars(self, low, high, representable) -> None:
        at = np.arange(len(low))
        half = HALF_WIDTH if len(low) <= FEW else 0.5
        bottom, top = low, high
        if representable is not None:
            bottom, top = np.maximum(low, representable[0]), np.minimum(high, representable[1])
        self._inside.setVisible(True)
        self._inside.set_bars(at - half, at + half, np.minimum(bottom, top), top)
        self._outside.setVisible(representable is not None)
        if representable is not None:
            below, above = low < representable[0], high > representable[1]
            left = np.concatenate([at[below], at[above]]) - half
            self._outside.set_bars(
                left,
                left + 2 * half,
                np.concatenate([low[below], np.maximum(representable[1], low)[above]]),
                np.concatenate([np.minimum(representable[0], high)[below], high[above]]),
            )

    def _draw_ranges(self, ranges) -> None:
        pairs = ((self._low, self._high), (self._ghost_low, self._ghost_high))
        for curves, representable in zip(pairs, ranges):
            for curve, end in zip(curves, representable or (None, None)):
                curve.setVisible(end is not None)
                if end is not None:
                    # A step for each channel.
                    x = np.repeat(np.arange(len(end) + 1) - 0.5, 2)[1:-1]
                    curve.setData(x, np.repeat(end, 2))

    def _tick_x(self, *_) -> None:
        low, high = self.viewRange()[0]
        most = max(2, int(self.getViewBox().width() // 50))
        whole = [(int(at), str(int(at))) for at, _ in few_ticks(max(low, -0.5), high, most) if at == int(at)]
        self.getAxis("bottom").setTicks([whole])

    def _tick_counts(self, top: float) -> None:
        most = max(2, int(self.getViewBox().height() // Y_TICK_PX))
        self.getAxis("left").setTicks([few_ticks(*self._y, most)])

    def read(self, x: float, y: float) -> str:
        if self._view is None:
            return ""
        histogram, channel = self._view.histogram, int(np.floor(x + 0.5))
        if not 0 <= channel < len(histogram.channel_min):
            return ""
        low, high = float(histogram.channel_min[channel]), float(histogram.channel_max[channel])
        text = "{}: {}".format(
            f"channel {channel}" if len(histogram.channel_min) > 1 else "all values", span(low, high)
        )
        representable = _range_of(self._view.grid, len(histogram.channel_min))
        if representable is None:
            return text
        scale = histogram.scale[channel if histogram.scale.size > 1 else 0]
        return text + (
            f"\ngrid {span(representable[0][channel], representable[1][channel])}, scale {signed(float(scale))}, "
            f"{percent_text(_use(low, high, *[end[channel] for end in representable]))} of it used"
        )

    def _columns(self):
        if self._view is None:
            return {}
        histogram = self._view.histogram
        columns = {
            "channel": np.arange(len(histogram.channel_min)),
            "min": histogram.channel_min,
            "max": histogram.channel_max,
        }
        representable = _range_of(self._view.grid, len(histogram.channel_min))
        if representable is not None:
            columns.update(
                grid_low=representable[0],
                grid_high=representable[1],
                scale=np.broadcast_to(histogram.scale, histogram.channel_min.shape),
            )
        return columns


def _range_of(grid: AffineGrid, channels: int):
    """Return the lower and upper end of each channel's representable range, float64 ``[channels]``; None in float."""
    if grid is None:
        return None
    return tuple(np.broadcast_to(np.asarray(end, np.float64), (channels,)) for end in (grid.minimum, grid.maximum))


def _use(low, high, range_low, range_high):
    """Return the fraction of the representable range that values from ``low`` to ``high`` use."""
    width = np.asarray(range_high - range_low, np.float64)
    inside = np.minimum(high, range_high) - np.maximum(low, range_low)
    return np.maximum(inside, 0.0) / np.where(width > 0, width, 1.0)


def _caption(view: TensorView, low: np.ndarray, high: np.ndarray, representable) -> str:
    if representable is None:
        return f"Not quantized · {len(low)} {'channels' if len(low) > 1 else 'range'}"
    scale = view.histogram.scale
    if scale.size > 1:
        return f"A scale for each of {scale.size} channels, {signed(float(scale.min()))} … {signed(float(scale.max()))}"
    use = _use(low, high, *representable)
    if len(low) == 1:
        return f"One scale, {signed(float(scale[0]))} · values use {percent_text(float(use[0]))} of the range"
    return (
        f"One scale for {len(low)} channels, {signed(float(scale[0]))} · the narrowest (channel "
        f"{int(np.argmin(use))}) uses {percent_text(float(use.min()))} of the range"
    )
