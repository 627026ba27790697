"""Time axis of the evolution plots: the visible part of the run, and the ruler with its labels."""

from typing import Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.scene_painter import scene_painter
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.chart import Frame, x_labels
from qatviz.presentation.scene import SMALL, Metrics

#: Minimum number of visible steps or seconds.
_MIN_WIDTH = {"step": 8.0, "seconds": 0.05}
#: Number of visible steps or seconds of a run that has just begun.
_FIRST = {"step": 50.0, "seconds": 1.0}
#: Fraction of the visible part that is free of curves after the right edge has moved, so that it moves seldom: when the
#: whole run is followed, and when a part of constant width is.
_JUMP_ALL, _JUMP_SPAN = 0.15, 0.1
#: Fraction of the visible part, left of the newest step, in which zooming in still follows the run.
_NEAR = 0.1


class TimeAxis:
    """Visible part of the run: all of it, its newest part, or a part chosen by the user.

    Attributes
    ----------
    unit : str
        Unit of all numbers here: ``step`` or ``seconds``.
    begin, newest : float
        First and newest step of the run.
    low, high : float
        Ends of the visible part.
    follow : bool
        Whether the newest step stays visible.
    span : float or None
        While following: width of the visible part; None for the whole run.
    """

    def __init__(self, unit: str = "step"):
        self.unit = unit
        self.begin = self.newest = 0.0
        self.reset()

    def reset(self) -> None:
        """Follow the whole run."""
        self.follow: bool = True
        self.span: Optional[float] = None
        self.low, self.high = self.begin, self.begin + _FIRST[self.unit]

    @property
    def width(self) -> float:
        return self.high - self.low

    def update(self, begin: float, newest: float) -> None:
        """Update the axis for a run from ``begin`` to ``newest``."""
        went_back = newest < self.newest
        self.begin, self.newest = begin, newest
        if not self.follow:
            return
        if self.span is None:
            self.low = begin
            length = max(newest - begin, 1e-9)
            if newest > self.high or went_back or self.high - begin > 3 * max(length, _FIRST[self.unit]):
                self.high = begin + max(length * (1 + _JUMP_ALL), _FIRST[self.unit])
        elif newest > self.high or newest < self.high - self.span * 2 * _JUMP_SPAN or self.width != self.span:
            self.high = newest + self.span * _JUMP_SPAN
            self.low = self.high - self.span

    def show_range(self, low: float, high: float) -> None:
        """Show ``low`` to ``high`` and stop following the run."""
        self.follow = False
        self._set(low, high)

    def pan(self, distance: float) -> None:
        """Move the visible part to the right, and stop following the run."""
        # At least a quarter of the visible part stays within the run.
        distance = min(
            max(distance, self.begin - self.low - 0.75 * self.width), self.newest - self.high + 0.75 * self.width
        )
        self.follow = False
        self.low, self.high = self.low + distance, self.high + distance

    def zoom(self, factor: float, at: Optional[float] = None) -> None:
        """Multiply the visible width by ``factor``; ``at`` keeps its place.

        While the run is followed, the newest step keeps its place instead if ``at`` is near it or None, or the user
        zooms out. Zooming in elsewhere stops following, so that the part under the mouse does not move away.
        """
        if self.follow:
            if self.width * factor >= (self.newest - self.begin) * (1 + _JUMP_ALL):
                self.follow_all()
                return
            if at is None or factor > 1 or at >= self.newest - _NEAR * self.width:
                self.span = max(self.width * factor, _MIN_WIDTH[self.unit])
                self.update(self.begin, self.newest)
                return
            self.follow = False
        at = (self.low + self.high) / 2 if at is None else at
        self._set(at - (at - self.low) * factor, at + (self.high - at) * factor)

    def follow_newest(self) -> None:
        """Follow the run again, with the present width."""
        if not self.follow:
            whole = self.width >= self.newest - self.begin
            self.follow, self.span = True, None if whole else self.width
        self.update(self.begin, self.newest)

    def follow_all(self) -> None:
        """Show the whole run, and follow it."""
        self.reset()
        self.update(self.begin, self.newest)

    def centre(self, x: float) -> None:
        """Show ``x`` in the middle; zoom in if the whole run is visible."""
        width = self.width
        if width >= 0.8 * (self.newest - self.begin):
            width = max(0.2 * (self.newest - self.begin), 2 * _FIRST[self.unit])
        self.show_range(x - width / 2, x + width / 2)

    def _set(self, low: float, high: float) -> None:
        longest = 4 * max(self.newest - self.begin, _FIRST[self.unit])
        width = min(max(high - low, _MIN_WIDTH[self.unit]), longest)
        middle = (low + high) / 2
        self.low, self.high = middle - width / 2, middle + width / 2


def left_margin(metrics: Metrics) -> float:
    """Return the width of the labels at the left, px: the same for all plots, to align their curves."""
    return metrics.width("−0.00000") + 8


def ruler_height(metrics: Metrics) -> int:
    """Return the height of the labels of the time axis, px."""
    return int(metrics.height) + 4


class TimeRuler(QtWidgets.QWidget):
    """Labels of the time axis and of the crosshair, below the plots; they don't scroll with the plots."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme = theme
        self.unit, self.crosshair_text = "step", ""
        self._x_range, self._edges = (0.0, 1.0), (0.0, 1.0)
        self._crosshair: Optional[float] = None
        self.setFixedHeight(ruler_height(scene_painter(self.theme, self.font()).metrics[SMALL]))
        self.setToolTip(
            "Training steps, or seconds of training without pauses (see View).\n"
            "Wheel: zoom at the mouse; at the newest steps the plots keep following the run.\n"
            "Drag or arrow keys: pan. Shift+drag: zoom into a box. Double-click: whole run.\n"
            "F: follow the newest step."
        )

    def set_view(
        self, x_range: Tuple[float, float], left: float, right: float, unit: str, crosshair: Optional[float], text: str
    ) -> None:
        """Show ``x_range`` between the pixels ``left`` and ``right``, and ``text`` at the crosshair."""
        state = x_range, (left, right), unit, crosshair, text
        if state != (self._x_range, self._edges, self.unit, self._crosshair, self.crosshair_text):
            self._x_range, self._edges, self.unit, self._crosshair, self.crosshair_text = state
            self.update()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter, scene = QtGui.QPainter(self), scene_painter(self.theme, self.font())
        painter.fillRect(self.rect(), self.theme.color("base"))
        metrics = scene.metrics[SMALL]
        frame = Frame(self._edges[0], -1.0, max(self._edges[1], self._edges[0] + 1), -1.0, self._x_range, (0.0, 1.0))
        scene.paint(painter, x_labels(frame, self.width(), metrics, self.unit))
        if self._crosshair is None or not self._x_range[0] <= self._crosshair <= self._x_range[1]:
            return
        x, width = float(frame.x(self._crosshair)), metrics.width(self.crosshair_text) + 10
        tag = QtCore.QRectF(min(max(x - width / 2, 0), self.width() - width), 0, width, self.height() - 1)
        painter.fillRect(tag, self.theme.color("raised"))
        painter.setFont(scene.fonts[SMALL])
        painter.setPen(self.theme.color("text"))
        painter.drawText(tag, QtCore.Qt.AlignCenter, self.crosshair_text)

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange:
            self.setFixedHeight(ruler_height(scene_painter(self.theme, self.font()).metrics[SMALL]))
