"""Plot of the range of values of each output channel, and the representable range of its grid."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.view import TensorView
from qatviz.gui.panels.tensor.words import span
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import percent_text, signed
from qatviz.presentation.axes import Area
from qatviz.presentation.axis_range import Range, steady_extent
from qatviz.presentation.figure_caption import LegendItem
from qatviz.presentation.scene import Metrics, Shape
from qatviz.presentation.tensor_plots import CHANNELS_LEGEND, PENDING_LEGEND, Ends, channel_shapes, value_axis
from qatviz.presentation.ticks import Tick
from qatviz.quant.affine import AffineGrid

#: Space beside the first and the last channel, in channels.
_ROOM = 0.7
_KEYS = {**HORIZONTAL, QtCore.Qt.Key_PageUp: -10, QtCore.Qt.Key_PageDown: 10}


class ChannelsPlot(TensorPlot):
    """Bars from the minimum to the maximum of each channel, in another colour beyond the representable range.

    A click picks a channel, Left and Right the previous and the next one, Escape all.

    Attributes
    ----------
    picked : int or None
        The picked channel.
    low, high : np.ndarray
        float64 ``[channels]``: smallest and largest values.
    ends, pending : (np.ndarray, np.ndarray) or None
        Ends of the representable range of each channel, in effect and with the pending settings.
    """

    #: Emitted with the index of the channel that the user picks, None for all channels.
    channel_picked = QtCore.pyqtSignal(object)

    has_x_grid = False
    figure_title = "range of each channel"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        self._view: Optional[TensorView] = None
        self.low = self.high = np.zeros(0)
        self.ends: Optional[Ends] = None
        self.pending: Optional[Ends] = None
        self.picked: Optional[int] = None
        self._clicked: Optional[QtCore.QPoint] = None
        accessible = "Range of values and representable range of each channel; Left and Right pick a channel"
        super().__init__(theme, "tensor-channels", accessible, ("output channel", "value"), self._columns, parent)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)

    def forget_ranges(self) -> None:
        super().forget_ranges()
        self.y_range: Range = (0.0, 1.0)
        self._has_range = False

    def draw(self, view: TensorView, picked: Optional[int] = None) -> None:
        """Show ``view``, a view of all channels, with one ``picked``."""
        self._view, self.picked = view, picked
        low, high = (np.asarray(end, np.float64) for end in (view.histogram.channel_min, view.histogram.channel_max))
        if not np.isfinite(low.min() + high.max()):
            self._view, self.summary = None, ""
            self.empty_text("The tensor has values that are not finite.")
            return
        pending = view.ghost.grid if view.ghost is not None else None
        self.low, self.high = low, high
        self.ends, self.pending = (_ends(grid, len(low)) for grid in (view.grid, pending))
        every = [low, high, *(self.ends or ()), *(self.pending or ())]
        lowest, highest = min(0.0, *(float(end.min()) for end in every)), max(float(end.max()) for end in every)
        self.y_range = steady_extent(self.y_range if self._has_range else None, lowest, highest)
        self._has_range = True
        self.show_x(-_ROOM, len(low) - 1 + _ROOM)
        self.summary = _caption(view, low, high, self.ends)
        if len(low) > 1:
            self.summary += " · click a channel to see it alone" if picked is None else f" · channel {picked} alone"
        self.empty_text("")

    def content(self, area: Area, metrics: Metrics) -> List[Shape]:
        if self._view is None:
            return []
        bars = channel_shapes(
            area, self.x_range, self.y_range, self.low, self.high, self.ends, self.pending, self.picked
        )
        return [*value_axis(area, self.y_range, metrics), bars]

    def x_ticks(self, area: Area, metrics: Metrics) -> List[Tick]:
        return [tick for tick in super().x_ticks(area, metrics) if tick[0] == int(tick[0]) and tick[0] >= 0]

    def legend_items(self) -> Sequence[LegendItem]:
        return CHANNELS_LEGEND + (PENDING_LEGEND if self.pending is not None else ())

    def read(self, x: float, y: float) -> str:
        channel = int(np.floor(x + 0.5))
        if self._view is None or not 0 <= channel < len(self.low):
            return ""
        low, high = float(self.low[channel]), float(self.high[channel])
        text = f"{f'channel {channel}' if len(self.low) > 1 else 'all values'}: {span(low, high)}"
        if self.ends is None:
            return text
        ends, scales = [float(end[channel]) for end in self.ends], self._view.histogram.scale
        use = percent_text(float(_use(low, high, *ends)))
        scale = signed(float(scales[channel if scales.size > 1 else 0]))
        return f"{text}\ngrid {span(*ends)}, scale {scale}, {use} of it used"

    # Picking a channel

    def _pick(self, channel: int) -> None:
        if self._view is not None and len(self.low) > 1:
            self.channel_picked.emit(min(max(channel, 0), len(self.low) - 1))

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mousePressEvent(event)
        self._clicked = event.pos() if event.button() == QtCore.Qt.LeftButton else None

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        begin, self._clicked = self._clicked, None
        left, _, right, bottom = self.area
        if begin is None or not (left <= event.pos().x() <= right and event.pos().y() <= bottom):
            return
        if (event.pos() - begin).manhattanLength() < QtWidgets.QApplication.startDragDistance():  # else it was a drag
            self._pick(int(np.floor(self.x_at(event.pos().x()) + 0.5)))

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        if event.key() in _KEYS:
            begin = -1 if _KEYS[event.key()] > 0 else len(self.low)
            self._pick((begin if self.picked is None else self.picked) + _KEYS[event.key()])
        elif event.key() in (QtCore.Qt.Key_Home, QtCore.Qt.Key_End):
            self._pick(0 if event.key() == QtCore.Qt.Key_Home else len(self.low) - 1)
        elif event.key() == QtCore.Qt.Key_Escape and self.picked is not None:
            self.channel_picked.emit(None)
        else:
            super().keyPressEvent(event)

    def _columns(self) -> Dict[str, np.ndarray]:
        if self._view is None:
            return {}
        histogram = self._view.histogram
        columns = {
            "channel": np.arange(len(self.low)),
            "min": histogram.channel_min,
            "max": histogram.channel_max,
        }
        if self.ends is not None:
            scale = np.broadcast_to(histogram.scale, histogram.channel_min.shape)
            columns.update(grid_low=self.ends[0], grid_high=self.ends[1], scale=scale)
        return columns


def _ends(grid: Optional[AffineGrid], channels: int) -> Optional[Ends]:
    """Return the lower and upper ends of each channel's grid, float64 ``[channels]``; None in float."""
    if grid is None:
        return None
    low, high = (np.broadcast_to(np.asarray(end, np.float64), (channels,)) for end in (grid.minimum, grid.maximum))
    return low, high


def _use(low: Any, high: Any, grid_low: Any, grid_high: Any) -> np.ndarray:
    """Return the fraction of a grid's range that values from ``low`` to ``high`` use."""
    width = np.asarray(grid_high - grid_low, np.float64)
    inside = np.minimum(high, grid_high) - np.maximum(low, grid_low)
    return np.maximum(inside, 0.0) / np.where(width > 0, width, 1.0)


def _caption(view: TensorView, low: np.ndarray, high: np.ndarray, ends: Optional[Ends]) -> str:
    if ends is None:
        return f"Not quantized · {len(low)} {'channels' if len(low) > 1 else 'range'}"
    scale = view.histogram.scale
    if scale.size > 1:
        return f"{scale.size} channels with a scale each, {signed(float(scale.min()))} … {signed(float(scale.max()))}"
    use = _use(low, high, *ends)
    if len(low) == 1:
        return f"One scale, {signed(float(scale[0]))} · values use {percent_text(float(use[0]))} of the range"
    return (
        f"One scale for {len(low)} channels, {signed(float(scale[0]))} · the narrowest (channel "
        f"{int(np.argmin(use))}) uses {percent_text(float(use.min()))} of the range"
    )
