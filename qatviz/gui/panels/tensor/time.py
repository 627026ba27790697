"""The distribution of a tensor over time: a column for each snapshot, with a cursor that goes back to any of them."""

from typing import Dict, List, Optional, Tuple

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui

from qatviz.gui.panels.tensor.plot import TensorPlot, few_ticks
from qatviz.gui.panels.tensor.words import span
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import percent_text, si
from qatviz.presentation.axis_range import steady_extent
from qatviz.presentation.heat_map import COLORS, LEAST_SHARE, MOST_SHARE, ROWS, Heatmap, rebinned
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot

_RANGE_MIN, _RANGE_MAX = SNAPSHOT_MEASURES.index("range_min"), SNAPSHOT_MEASURES.index("range_max")
TICK_PX = 70
#: The image begins narrow: at least this many columns are in view.
FEWEST_COLUMNS = 30
_BACK, _FORTH = -1, 1
_KEYS = {
    QtCore.Qt.Key_Left: _BACK,
    QtCore.Qt.Key_Right: _FORTH,
    QtCore.Qt.Key_PageUp: 10 * _BACK,
    QtCore.Qt.Key_PageDown: 10 * _FORTH,
}


class TimePlot(TensorPlot):
    """Heat map of the fractions of values (logarithmic colours), the ends of the representable range, and the cursor.

    Press or drag to put the cursor at a snapshot; left and right move it, Home goes to the first, End or Escape back to
    the newest.
    """

    #: The cursor is at another snapshot; None: at the newest, wherever that is.
    cursor_moved = QtCore.pyqtSignal(object)

    def __init__(self, theme: Theme, parent=None):
        self._image = pg.ImageItem(axisOrder="col-major")
        self._low, self._high = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._cursor = pg.InfiniteLine(angle=90)
        self._heatmap = Heatmap()
        self._snapshots: List[Snapshot] = []
        self._name: str = ""
        self._index: int = 0
        self._at: Optional[int] = None
        self.caption = ""
        #: By identity, which the snapshot itself holds on to: what was read of it.
        self._known: Dict[int, Tuple[Snapshot, Tuple[float, ...]]] = {}
        super().__init__(theme, "tensor-over-time", "Distribution over time; left and right move the cursor", parent)
        for item in (self._image, self._low, self._high, self._cursor):
            self.addItem(item, ignoreBounds=True)
        self.setMouseEnabled(x=False, y=False)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.set_labels(bottom="step", left="value")
        self.set_table(self._columns)
        self._cursor.hide()

    def dress(self) -> None:
        super().dress()
        colors = pg.colormap.get("viridis").getLookupTable(0.0, 1.0, COLORS, alpha=True)
        if not self.theme.is_dark:
            colors = colors[::-1]
        self.colors = np.concatenate([np.zeros((1, 4), colors.dtype), colors])
        self._image.setLookupTable(self.colors)
        for curve in (self._low, self._high):
            curve.setPen(pg.mkPen(self.theme.color("window_edge")))
        self._cursor.setPen(pg.mkPen(self.theme.color("text"), width=2))

    def draw(self, snapshots: List[Snapshot], name: str, index: int, cursor: Optional[Snapshot]) -> None:
        """Show the tensor ``name`` (number ``index`` of the plan) in ``snapshots``."""
        self._snapshots, self._name, self._index = snapshots, name, index
        self.empty_text("" if snapshots else "Waits for the first snapshot.")
        if not snapshots:
            self.caption = ""
            return
        ends = self._ends()
        low, high = self._held_x = steady_extent(self._held_x, float(np.nanmin(ends)), float(np.nanmax(ends)))
        histograms = [snapshot.histograms[name] for snapshot in snapshots]
        image = self._heatmap.image(histograms, low, high)
        self._image.setImage(image, autoLevels=False, levels=(0, COLORS))
        self._image.setRect(QtCore.QRectF(-0.5, low, len(snapshots), high - low))
        self.setXRange(-0.5, max(len(snapshots), FEWEST_COLUMNS) - 0.5, padding=0)
        self.setYRange(low, high, padding=0)
        self._draw_range(ends[2:])
        self._draw_cursor(cursor)
        self._tick_x()
        self._tick_counts(0.0)
        self.caption = (
            f"{len(snapshots)} snapshots, steps {snapshots[0].step:,} … {snapshots[-1].step:,} · a bin's "
            "fraction of the values"
        )

    def _ends(self) -> np.ndarray:
        """Return the ends of each histogram and representable range (NaN: in float), float64 ``[4, snapshots]``."""
        known = self._known
        self._known = {
            id(snapshot): known.get(id(snapshot)) or (snapshot, self._ends_of(snapshot)) for snapshot in self._snapshots
        }
        return np.array([ends for _, ends in self._known.values()], np.float64).T

    def _ends_of(self, snapshot: Snapshot) -> Tuple[float, ...]:
        edges, measures = snapshot.histograms[self._name].edges, snapshot.values[:, self._index]
        ends = [measures[_RANGE_MIN], measures[_RANGE_MAX]]
        if not snapshot.enabled[self._index] or not np.isfinite(ends).all():
            ends = [np.nan, np.nan]
        return tuple(map(float, (edges[0], edges[-1], *ends)))

    def _draw_range(self, ranges: np.ndarray) -> None:
        x = np.repeat(np.arange(len(self._snapshots) + 1) - 0.5, 2)[1:-1]
        for curve, ends in zip((self._low, self._high), ranges):
            curve.setData(x, np.repeat(ends, 2), connect="finite")

    def _draw_cursor(self, cursor: Optional[Snapshot]) -> None:
        self._at = next((i for i, snapshot in enumerate(self._snapshots) if snapshot is cursor), None)
        self._cursor.setVisible(self._at is not None)
        if self._at is not None:
            self._cursor.setValue(self._at)

    def _tick_x(self, *_) -> None:
        if not self._snapshots:
            return
        most = max(2, int(self.getViewBox().width() // TICK_PX))
        columns = max(len(self._snapshots), FEWEST_COLUMNS)
        stride = max(1, -(-columns // most))
        self.getAxis("bottom").setTicks(
            [[(i, si(snapshot.step, 4)) for i, snapshot in enumerate(self._snapshots) if i % stride == 0]]
        )

    def _tick_counts(self, top: float) -> None:
        most = max(2, int(self.getViewBox().height() // 30))
        self.getAxis("left").setTicks([few_ticks(*self.viewRange()[1], most)])

    def read(self, x: float, y: float) -> str:
        column = int(np.floor(x + 0.5))
        if not 0 <= column < len(self._snapshots):
            return ""
        snapshot = self._snapshots[column]
        size = (self._heatmap.high - self._heatmap.low) / ROWS
        low = self._heatmap.low + size * np.floor((y - self._heatmap.low) / size)
        share = float(rebinned(snapshot.histograms[self._name], np.array([low, low + size]))[0])
        ends = [0.0 if abs(end) < 1e-3 * size else end for end in (low, low + size)]
        return f"step {snapshot.step:,}, {span(*ends)}: {percent_text(share)} of the values"

    def legend(self, width: int, height: int) -> QtGui.QPixmap:
        """The colours from :data:`LEAST_SHARE` to :data:`MOST_SHARE`."""
        row = self.colors[1:][np.linspace(0, COLORS - 1, width).astype(int)].astype(np.uint8)
        pixels = np.ascontiguousarray(np.broadcast_to(row, (height, width, 4)))
        image = QtGui.QImage(pixels.data, width, height, 4 * width, QtGui.QImage.Format_RGBA8888)
        return QtGui.QPixmap.fromImage(image)

    legend_ends = percent_text(LEAST_SHARE), percent_text(MOST_SHARE)

    def forget_ranges(self) -> None:
        super().forget_ranges()
        self._known = {}

    # The cursor

    def _move_to(self, column: Optional[int]) -> None:
        if not self._snapshots:
            return
        last = len(self._snapshots) - 1
        at = None if column is None or column > last else max(column, 0)
        if at != self._at:
            self.cursor_moved.emit(None if at is None else self._snapshots[at])

    def _column_at(self, pos: QtCore.QPoint) -> int:
        x = self.getViewBox().mapSceneToView(self.mapToScene(pos)).x()
        return int(np.clip(np.floor(x + 0.5), 0, max(len(self._snapshots) - 1, 0)))

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self.setFocus(QtCore.Qt.MouseFocusReason)
        if event.button() == QtCore.Qt.LeftButton:
            self._move_to(self._column_at(event.pos()))

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.buttons() & QtCore.Qt.LeftButton:
            self._move_to(self._column_at(event.pos()))
        self._place_readout(event.pos())

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        event.accept()

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        self._move_to(None)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        last = len(self._snapshots) - 1
        if event.key() in _KEYS:
            here = last if self._at is None else self._at
            self._move_to(here + _KEYS[event.key()])
        elif event.key() == QtCore.Qt.Key_Home:
            self._move_to(0)
        elif event.key() in (QtCore.Qt.Key_End, QtCore.Qt.Key_Escape):
            self._move_to(None)
        else:
            super().keyPressEvent(event)

    def _columns(self):
        if not self._snapshots:
            return {}
        steps = np.array([snapshot.step for snapshot in self._snapshots])
        edges = np.linspace(self._heatmap.low, self._heatmap.high, ROWS + 1)
        shares = np.array([rebinned(snapshot.histograms[self._name], edges) for snapshot in self._snapshots])
        return {
            "step": np.repeat(steps, ROWS),
            "bin_low": np.tile(edges[:-1], len(steps)),
            "bin_high": np.tile(edges[1:], len(steps)),
            "share": shares.reshape(-1),
        }
