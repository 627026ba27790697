"""What the plots of the Tensor panel share: axes that hold still, logarithmic counts, a readout under the mouse."""

from typing import Optional

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.plot import EmptyText, Plot
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import si
from qatviz.presentation.axis_range import Range, steady_extent, steady_top
from qatviz.presentation.ticks import linear_ticks

#: Room above the largest count.
HEADROOM = 1.12
#: The count axis shrinks when less than this part of it is used.
LOW = 0.4
#: A count this many times the next largest is cut off, with its number beside it: of rectified activations, half are 0.
TOWERS = 4.0
#: Distance between two ticks, pixels.
X_TICK_PX, Y_TICK_PX = 62, 30
#: Room for the numbers and the name of the left axis, characters.
LEFT_CHARACTERS = 8.5
#: Axes are named only where that leaves room for the plot, pixels.
NAMED_WIDTH, NAMED_HEIGHT = 300, 170


class TensorPlot(Plot):
    """A plot with counts upwards, whose range is held, and a line of text that reads what is under the mouse.

    The wheel zooms into x and a drag moves it; a double click shows everything again.
    """

    _hair: Optional[pg.InfiniteLine] = None

    def __init__(self, theme: Theme, name: str, accessible: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, name, parent)
        self.setAccessibleName(accessible)
        self.is_log = False
        self._held_x: Optional[Range] = None
        self._x, self._top = (0.0, 1.0), 1.0
        self._zoomed = False
        self._readout = QtWidgets.QLabel(self.viewport())
        self._readout.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        self._readout.hide()
        self._hair = pg.InfiniteLine(angle=90)
        self._hair.setZValue(50)
        self._hair.hide()
        self.addItem(self._hair, ignoreBounds=True)
        self._tower = pg.TextItem(anchor=(0, 0))
        self._tower.setZValue(60)
        self._tower.hide()
        self.addItem(self._tower, ignoreBounds=True)
        self._empty = EmptyText(self)
        box = self.getViewBox()
        box.setDefaultPadding(0.0)
        box.disableAutoRange()
        self.setMouseEnabled(x=True, y=False)
        box.sigRangeChangedManually.connect(self._on_zoomed)
        box.sigXRangeChanged.connect(self._tick_x)
        box.sigResized.connect(self._on_resized)
        # Room for half of the last tick's text.
        self.getPlotItem().setContentsMargins(0, 2, 14, 2)
        self.dress()

    # For the plots

    def dress(self) -> None:
        """Give the items the theme's colours."""
        colors = self.theme.colors
        self._hair.setPen(pg.mkPen(self.theme.color("muted", 160)))
        self._tower.setColor(self.theme.color("text"))
        # Always the same, so that plots above each other are in line.
        self.getAxis("left").setWidth(int(LEFT_CHARACTERS * self.fontMetrics().averageCharWidth()))
        self._readout.setStyleSheet(
            f"color: {colors.text}; background: {colors.raised}; border: 1px solid {colors.line}; padding: 1px 4px;"
        )

    def empty_text(self, text: str) -> None:
        """Say ``text`` instead of the plot; with an empty one, show the plot."""
        self._empty.say(text)
        self.getPlotItem().setVisible(not text)

    def read(self, x: float, y: float) -> str:
        """What is at ``x``, ``y`` of the plot, for the readout; empty where nothing is."""
        return ""

    def heights(self, counts: np.ndarray) -> np.ndarray:
        """Where ``counts`` are drawn on the axis: as they are, or ``log10(1 + count)``."""
        return np.log10(1.0 + np.asarray(counts, np.float64)) if self.is_log else np.asarray(counts, np.float64)

    def show_x(self, low: float, high: float) -> None:
        """Have at least ``low .. high`` in view, without a jump where there is no need."""
        self._x = self._held_x = steady_extent(self._held_x, low, high)
        if not self._zoomed:
            self.setXRange(*self._x, padding=0)

    def show_counts(self, *counts: np.ndarray) -> None:
        """Have ``counts`` in view, but for one that towers over all others (logarithmic: that, too)."""
        largest = max(
            [_second_of(part) if not self.is_log else float(part.max()) for part in counts if part.size], default=1.0
        )
        wanted = max(largest, 1.0) * HEADROOM
        # Counts of a few hundred values jump about: only what is far too high comes down.
        if not LOW <= wanted / self._top <= 1.0:
            self._top = steady_top(0.0, wanted)
        top = float(self.heights(self._top))
        self.setYRange(0, top, padding=0)
        self._tick_counts(top)

    def tell_tower(self, at: np.ndarray, counts: np.ndarray) -> None:
        """Write the largest of ``counts``, which are drawn ``at``, beside where it is cut off, if it is."""
        index = int(np.argmax(counts)) if len(counts) else 0
        is_cut = len(counts) > 0 and float(counts[index]) > self._top
        self._tower.setVisible(is_cut)
        if is_cut:
            low, high = self._x
            self._tower.setText(f"▲ {si(float(counts[index]))} ")
            self._tower.setAnchor((0, 0) if at[index] < (low + high) / 2 else (1, 0))
            self._tower.setPos(float(at[index]), self.count_top)

    def forget_ranges(self) -> None:
        """Another tensor is shown: its axes are its own."""
        self._held_x, self._top = None, 1e-9
        self._zoomed = False

    @property
    def count_top(self) -> float:
        """Upper end of the count axis, as it is drawn."""
        return float(self.heights(self._top))

    # Inside

    def apply_theme(self) -> None:
        super().apply_theme()
        if self._hair is not None:
            self.dress()

    def _tick_x(self, *_) -> None:
        low, high = self.viewRange()[0]
        most = max(2, self.getViewBox().width() // X_TICK_PX)
        self.getAxis("bottom").setTicks([few_ticks(low, high, int(most))])

    def _tick_counts(self, top: float) -> None:
        most = max(2, int(self.getViewBox().height() // Y_TICK_PX))
        if not self.is_log:
            self.getAxis("left").setTicks([[(at, si(at)) for at, _ in few_ticks(0, 0.97 * top, most) if at == int(at)]])
            return
        powers = 10.0 ** np.arange(0, int(np.floor(top)) + 1)
        step = max(1, -(-len(powers) // most))
        self.getAxis("left").setTicks(
            [[(0.0, "0")] + [(float(np.log10(1 + p)), si(p)) for p in powers[::step] if np.log10(1 + p) < 0.97 * top]]
        )

    def _on_zoomed(self, *_) -> None:
        self._zoomed = True

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        self._zoomed = False
        self.setXRange(*self._x, padding=0)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._place_readout(event.pos())

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        super().leaveEvent(event)
        self._readout.hide()
        self._hair.hide()

    def _on_resized(self, *_) -> None:
        item = self.getPlotItem()
        item.getAxis("left").showLabel(self.width() >= NAMED_WIDTH)
        named = self.height() >= NAMED_HEIGHT
        item.getAxis("bottom").showLabel(named)
        item.getAxis("bottom").setHeight(int((2.4 if named else 1.4) * self.fontMetrics().height()))
        self._tick_x()
        self._tick_counts(self.count_top)

    def _place_readout(self, pos: QtCore.QPoint) -> None:
        box = self.getViewBox()
        inside = box.sceneBoundingRect().contains(self.mapToScene(pos))
        point = box.mapSceneToView(self.mapToScene(pos))
        text = self.read(point.x(), point.y()) if inside and self._empty.isHidden() else ""
        self._readout.setVisible(bool(text))
        self._hair.setVisible(bool(text))
        if text:
            self._hair.setValue(point.x())
            self._readout.setText(text)
            area = box.sceneBoundingRect()
            self._readout.setWordWrap(False)
            self._readout.adjustSize()
            if self._readout.width() > area.width() - 8:
                width = int(area.width()) - 8
                self._readout.setWordWrap(True)
                self._readout.resize(width, self._readout.heightForWidth(width))
            # In the corner that the mouse is not in.
            left = pos.x() > area.center().x()
            x = area.left() + 4 if left else max(area.left(), area.right() - self._readout.width() - 4)
            self._readout.move(int(x), int(area.top()) + 4)

    def readout(self) -> str:
        """What the readout says now; empty while it is not shown."""
        return "" if self._readout.isHidden() else self._readout.text()


def _second_of(counts: np.ndarray) -> float:
    """The largest count, or the second where the largest is far beyond it."""
    if counts.size < 2:
        return float(counts.max())
    second, first = np.partition(counts, counts.size - 2)[-2:]
    return float(first if first <= TOWERS * second or second <= 0 else 1.5 * second)


def few_ticks(low: float, high: float, most: int):
    """Return about ``most`` ticks at round numbers in ``low .. high``, three at least where that is possible."""
    return linear_ticks(low, high, most, at_least=3)
