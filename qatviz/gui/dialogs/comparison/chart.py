"""Chart of a comparison: curves with a readout under the mouse."""

from typing import Dict, List, Optional, Sequence

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import Label, note_style
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.number_format import si
from qatviz.presentation.axis_range import Range
from qatviz.presentation.chart import Axis, Frame
from qatviz.presentation.comparison import AXIS_TITLES, NamedCurve, chart_frame, chart_shapes
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.scene import Shape

_NO_VALUES = "No values yet"
#: Maximum number of curves in a readout.
_MOST_READ = 12


class CurveChart(SceneWidget):
    """Curves of runs over a common axis; hovering shows their values."""

    def __init__(self, theme: Theme, name: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self.figure_name = name
        self._title, self._axis, self._x_axis = "", Axis(), ""
        self._x_range: Optional[Range] = None
        self._curves: List[NamedCurve] = []
        self._crosshair: Optional[float] = None
        self.empty = EmptyText(self)
        self.note = Label("", self)
        self.note.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        self.note.hide()
        self.menu = FigureMenu(self)
        self.setMouseTracking(True)
        self.setMinimumSize(200, 110)

    def show_curves(
        self, title: str, curves: List[NamedCurve], axis: Axis, x_axis: str, x_range: Optional[Range] = None
    ) -> None:
        """Show curves over the axis ``x_axis``, one of :data:`qatviz.analysis.comparison.AXES`."""
        self._title, self._curves, self._axis, self._x_axis, self._x_range = title, curves, axis, x_axis, x_range
        self.setAccessibleName(title)
        self.empty.show_text("" if self._frame() else _NO_VALUES)
        self._read(None)
        self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        return chart_shapes(
            (self.width(), self.height()), self._curves, self._axis, self._x_axis, self.metrics, self._x_range
        )

    def caption(self) -> Caption:
        """Return title and names of the curves for a saved figure."""
        return Caption(self._title, tuple(named.name for named in self._curves))

    def table(self) -> Dict[str, np.ndarray]:
        """Return the curves as columns: the positions and the means of each."""
        columns: Dict[str, np.ndarray] = {}
        for named in self._curves:
            columns[f"{named.name} {AXIS_TITLES[self._x_axis]}"] = named.curve.x
            columns[named.name] = named.curve.mean * self._axis.factor
        return columns

    def _frame(self) -> Optional[Frame]:
        return chart_frame((self.width(), self.height()), self._curves, self._axis, self.metrics, self._x_range)

    def paint_over(self, painter: QtGui.QPainter) -> None:
        frame = self._frame()
        if self._crosshair is not None and frame is not None:
            x = round(float(frame.x(np.float64(self._crosshair))))
            painter.setPen(QtGui.QPen(self.theme.color("text"), 1, QtCore.Qt.DotLine))
            painter.drawLine(x, int(frame.top), x, int(frame.bottom))

    def _read(self, x: Optional[float]) -> None:
        """Show the values of the curves at ``x``; None hides them."""
        self._crosshair = x
        lines = [] if x is None else self._texts_at(x)
        self.note.setVisible(bool(lines))
        if lines:
            self.note.setText("\n".join(lines))
            self.note.setStyleSheet(note_style(self.theme))
            self.note.adjustSize()
            frame = self._frame()
            at = 0.0 if frame is None or x is None else float(frame.x(np.float64(x)))
            is_left = at > self.width() / 2
            self.note.move(int(at - self.note.width() - 10 if is_left else at + 10), 8)
        self.update()

    def _texts_at(self, x: float) -> List[str]:
        texts = [f"{AXIS_TITLES[self._x_axis]} {si(x, 4)}"]
        for named in self._curves[:_MOST_READ]:
            curve = named.curve
            if curve.x[0] <= x <= curve.x[-1]:
                value = float(np.interp(x, curve.x, curve.mean)) * self._axis.factor
                texts.append(f"{named.name}: {si(value)}{self._axis.unit}")
        return texts

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        frame = self._frame()
        if frame is not None and frame.left <= event.x() <= frame.right:
            self._read(frame.x_range[0] + (event.x() - frame.left) / frame.x_scale)
        else:
            self._read(None)

    def leaveEvent(self, event: QtCore.QEvent) -> None:
        self._read(None)
