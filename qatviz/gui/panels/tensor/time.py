"""Plot of a tensor's distribution over time: a column for each snapshot, and a cursor to return to any of them."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.tensor.plot import TensorPlot
from qatviz.gui.panels.tensor.words import span
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import percent_text
from qatviz.presentation.axes import Area
from qatviz.presentation.axis_range import Range, steady_extent
from qatviz.presentation.figure_caption import LegendItem
from qatviz.presentation.heat_map import (
    COLORS,
    MAX_FRACTION,
    MIN_FRACTION,
    ROWS,
    Heatmap,
    column_edges,
    heat_map_legend,
    heat_map_shapes,
    rebinned,
)
from qatviz.presentation.palette import color_map
from qatviz.presentation.scene import Metrics, Shape
from qatviz.presentation.tensor_plots import value_axis
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot

_RANGE_MIN, _RANGE_MAX = SNAPSHOT_MEASURES.index("range_min"), SNAPSHOT_MEASURES.index("range_max")
#: Minimum number of training steps on the axis, so that the first columns are not wide.
MIN_STEPS = 30
_KEYS = {**HORIZONTAL, QtCore.Qt.Key_PageUp: -10, QtCore.Qt.Key_PageDown: 10}


class TimePlot(TensorPlot):
    """Heat map of the fractions of values (logarithmic colours), the ends of the representable range, and the cursor.

    Click or drag to move the cursor to a snapshot; Left and Right move it, Home to the first, End or Escape to the
    newest.

    Attributes
    ----------
    snapshots : list of Snapshot
    edges : np.ndarray
        Training steps between which the columns lie, float64 ``[snapshots + 1]``.
    ends : np.ndarray
        float64 ``[2, snapshots]``: ends of the representable range; NaN in float.
    cursor : int or None
        Column of the cursor; None if it follows the newest.
    """

    #: Emitted with the snapshot at the cursor, None if it follows the newest.
    cursor_moved = QtCore.pyqtSignal(object)

    has_x_grid = False
    figure_title = "distribution over time"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        self._heatmap = Heatmap()
        self.snapshots: List[Snapshot] = []
        self.image = np.zeros((0, ROWS), np.uint8)
        self.edges, self.ends = np.zeros(0), np.zeros((2, 0))
        self.cursor: Optional[int] = None
        self._name: str = ""
        self._index: int = 0
        #: Ends that were read from snapshots, by ``id``; the snapshot is kept with them, so that it stays unique.
        self._known: Dict[int, Tuple[Snapshot, Tuple[float, ...]]] = {}
        self.y_range: Range = (0.0, 1.0)
        accessible = "Distribution over time; Left and Right move the cursor"
        super().__init__(theme, "tensor-over-time", accessible, ("step", "value"), self._columns, parent)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)

    def apply_theme(self) -> None:
        colors = color_map(COLORS, self.theme.is_dark)
        self.colors = np.concatenate([np.zeros((1, 4), np.uint8), colors])
        super().apply_theme()

    def draw(self, snapshots: List[Snapshot], name: str, index: int, cursor: Optional[Snapshot]) -> None:
        """Show the tensor ``name`` (``index`` in the plan) in ``snapshots``."""
        self.snapshots, self._name, self._index = snapshots, name, index
        self.cursor = next((i for i, snapshot in enumerate(snapshots) if snapshot is cursor), None)
        if not snapshots:
            self.summary = ""
            self.empty_text("Waiting for the first snapshot.")
            return
        ends = self._read_ends()
        self._extent = steady_extent(self._extent, float(np.nanmin(ends)), float(np.nanmax(ends)))
        self.y_range, self.ends = self._extent, ends[2:]
        self.image = self._heatmap.image([snapshot.histograms[name] for snapshot in snapshots], *self.y_range)
        self.edges = column_edges([snapshot.step for snapshot in snapshots])
        self.show_x(self.edges[0], max(self.edges[-1], self.edges[0] + MIN_STEPS))
        self.summary = (
            f"{len(snapshots)} snapshots, steps {snapshots[0].step:,} … {snapshots[-1].step:,} · colour: fraction of "
            "values in a bin"
        )
        self.empty_text("")

    def _read_ends(self) -> np.ndarray:
        """Return the ends of each histogram and of its range (NaN in float or if not finite): ``[4, snapshots]``."""
        known = self._known
        self._known = {
            id(snapshot): known.get(id(snapshot)) or (snapshot, self._ends_of(snapshot)) for snapshot in self.snapshots
        }
        return np.array([ends for _, ends in self._known.values()], np.float64).T

    def _ends_of(self, snapshot: Snapshot) -> Tuple[float, ...]:
        edges, measures = snapshot.histograms[self._name].edges, snapshot.values[:, self._index]
        ends = [measures[_RANGE_MIN], measures[_RANGE_MAX]]
        if not snapshot.enabled[self._index] or not np.isfinite(ends).all():
            ends = [np.nan, np.nan]
        return tuple(map(float, (edges[0], edges[-1], *ends)))

    def content(self, area: Area, metrics: Metrics) -> List[Shape]:
        cursor = None if self.cursor is None else self.snapshots[self.cursor].step
        heat_map = heat_map_shapes(
            area, self.x_range, self.y_range, self.edges, self.image, self.colors, self.ends, cursor
        )
        return [*value_axis(area, self.y_range, metrics), heat_map]

    def legend_items(self) -> Sequence[LegendItem]:
        return heat_map_legend(self.colors)

    def read(self, x: float, y: float) -> str:
        if not self.snapshots or not self.edges[0] <= x <= self.edges[-1]:
            return ""
        column = self._column_at(x)
        snapshot, (bottom, top) = self.snapshots[column], self.y_range
        size = (top - bottom) / ROWS
        low = bottom + size * np.floor(y * ROWS)
        fraction = float(rebinned(snapshot.histograms[self._name], np.array([low, low + size]))[0])
        ends = [0.0 if abs(end) < 1e-3 * size else end for end in (low, low + size)]
        return f"step {snapshot.step:,}, {span(*ends)}: {percent_text(fraction)} of the values"

    def legend(self, width: int, height: int) -> QtGui.QPixmap:
        """Return a bar with the colours from :data:`MIN_FRACTION` to :data:`MAX_FRACTION`."""
        row = color_map(width, self.theme.is_dark)
        pixels = np.ascontiguousarray(np.broadcast_to(row, (height, width, 4)))
        image = QtGui.QImage(pixels.data, width, height, 4 * width, QtGui.QImage.Format_RGBA8888)
        return QtGui.QPixmap.fromImage(image)

    legend_ends = percent_text(MIN_FRACTION), percent_text(MAX_FRACTION)

    def forget_ranges(self) -> None:
        super().forget_ranges()
        self._known = {}

    # The cursor

    def _move_to(self, column: Optional[int]) -> None:
        if not self.snapshots:
            return
        last = len(self.snapshots) - 1
        at = None if column is None or column > last else max(column, 0)
        if at != self.cursor:
            self.cursor_moved.emit(None if at is None else self.snapshots[at])

    def _column_at(self, step: float) -> int:
        """Return the column at a training step, or the nearest one."""
        return int(np.clip(np.searchsorted(self.edges, step, side="right") - 1, 0, max(len(self.snapshots) - 1, 0)))

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        event.ignore()  # all of it is visible

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self.setFocus(QtCore.Qt.MouseFocusReason)
        if event.button() == QtCore.Qt.LeftButton:
            self._move_to(self._column_at(self.x_at(event.pos().x())))

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.buttons() & QtCore.Qt.LeftButton:
            self._move_to(self._column_at(self.x_at(event.pos().x())))
        self._place_readout(event.pos())

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        self._move_to(None)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        last = len(self.snapshots) - 1
        if event.key() in _KEYS:
            here = last if self.cursor is None else self.cursor
            self._move_to(here + _KEYS[event.key()])
        elif event.key() == QtCore.Qt.Key_Home:
            self._move_to(0)
        elif event.key() in (QtCore.Qt.Key_End, QtCore.Qt.Key_Escape):
            self._move_to(None)
        else:
            super().keyPressEvent(event)

    def _columns(self) -> Dict[str, np.ndarray]:
        if not self.snapshots:
            return {}
        steps = np.array([snapshot.step for snapshot in self.snapshots])
        edges = np.linspace(*self.y_range, ROWS + 1)
        fractions = np.array([rebinned(snapshot.histograms[self._name], edges) for snapshot in self.snapshots])
        return {
            "step": np.repeat(steps, ROWS),
            "bin_low": np.tile(edges[:-1], len(steps)),
            "bin_high": np.tile(edges[1:], len(steps)),
            "fraction": fractions.reshape(-1),
        }
