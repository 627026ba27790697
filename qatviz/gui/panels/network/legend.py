"""The colours of the drawn network: from a value's place on the bar to a colour, and the bar itself."""

from typing import Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.theme import Theme
from qatviz.measures import HIGHER, NEITHER, Measure

_STOPS = 24


def color_at(place: float, better: int, theme: Theme) -> QtGui.QColor:
    """Return the colour of a place 0..1: from bad over grey to good, or from dim to bright on a neutral scale."""
    if better == NEITHER:
        return _blend(theme.color("base"), theme.color("accent"), 0.15 + 0.85 * place)
    goodness = place if better == HIGHER else 1.0 - place
    middle = _blend(theme.color("muted"), theme.color("base"), 0.55)
    if goodness < 0.5:
        return _blend(theme.color("bad"), middle, 2 * goodness)
    return _blend(middle, theme.color("in_range"), 2 * goodness - 1)


def _blend(one: QtGui.QColor, other: QtGui.QColor, share: float) -> QtGui.QColor:
    """``share`` of the other; rounded, so that few different colours occur and little is drawn anew."""
    share = round(share * _STOPS) / _STOPS
    channels = zip(one.getRgb()[:3], other.getRgb()[:3])
    return QtGui.QColor(*(round(a + share * (b - a)) for a, b in channels))


class ColorBar(QtWidgets.QWidget):
    """What the colours of a measure mean: its range, and which end is the worse."""

    def __init__(self, theme: Theme, parent: QtWidgets.QWidget = None):
        super().__init__(parent)
        self._theme = theme
        self._measure = None
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)

    def set_measure(self, measure: Measure) -> None:
        self._measure = measure
        words = "" if measure.color_direction == NEITHER else " Orange is bad, blue is good."
        self.setToolTip(measure.help + words)
        self.setAccessibleName(f"Colours of {measure.label}: {' to '.join(self.texts())}")
        self.update()

    def texts(self) -> Tuple[str, str, str]:
        """What is written at the left end, in the middle, at the right end."""
        low, middle, high = (self._measure.text(self._measure.color_value(place)) for place in (0.0, 0.5, 1.0))
        return "≤ " + low, middle, "≥ " + high

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(240, self.fontMetrics().height() + 4)

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(120, self.fontMetrics().height() + 4)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        if self._measure is None:
            return
        painter = QtGui.QPainter(self)
        metrics = self.fontMetrics()
        low, middle, high = self.texts()
        left, right = metrics.horizontalAdvance(low) + 6, metrics.horizontalAdvance(high) + 6
        bar = QtCore.QRectF(left, 3, max(20, self.width() - left - right), self.height() - 6)
        gradient = QtGui.QLinearGradient(bar.topLeft(), bar.topRight())
        for stop in range(_STOPS + 1):
            gradient.setColorAt(stop / _STOPS, color_at(stop / _STOPS, self._measure.color_direction, self._theme))
        painter.setPen(QtGui.QPen(self._theme.color("line")))
        painter.setBrush(gradient)
        painter.drawRect(bar)
        painter.setPen(self._theme.color("text"))
        if bar.width() > 2 * metrics.horizontalAdvance(middle):
            painter.drawText(bar, QtCore.Qt.AlignCenter, middle)
        painter.setPen(self._theme.color("muted"))
        painter.drawText(self.rect(), QtCore.Qt.AlignLeft | QtCore.Qt.AlignVCenter, low)
        painter.drawText(self.rect(), QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter, high)
