"""Plot of dots that the mouse finds: hovering shows a text, a click selects one."""

from typing import Optional, Sequence

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.pareto import ParetoScene, nearest
from qatviz.presentation.scene import Shape

#: Distance within which the mouse finds a dot, px.
_REACH = 10.0


class DotsPlot(SceneWidget):
    """Plot of dots by cost and quality."""

    #: Emitted with the index of the dot that the user clicked; -1 for none.
    selected = QtCore.pyqtSignal(int)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self.setMouseTracking(True)
        self.setMinimumHeight(120)
        self._places = np.zeros((0, 2))

    def scene(self) -> ParetoScene:
        """Return the shapes, and the places of the dots."""
        raise NotImplementedError

    def text_of(self, index: int) -> str:
        """Return the lines on a dot."""
        raise NotImplementedError

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        scene = self.scene()
        self._places = scene.places
        return scene.shapes

    def place_of(self, index: int) -> QtCore.QPoint:
        """Return the place of a dot in the widget."""
        return QtCore.QPoint(*np.rint(self._places[index]).astype(int).tolist())

    def _at(self, place: QtCore.QPoint) -> int:
        return nearest(self._places, place.x(), place.y(), _REACH)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        index = self._at(event.pos())
        text = self.text_of(index) if index >= 0 else ""
        self.setToolTip(plain_tip(text))
        if text:
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(text), self)
        else:
            QtWidgets.QToolTip.hideText()
        super().mouseMoveEvent(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() == QtCore.Qt.LeftButton:
            self.selected.emit(self._at(event.pos()))
        super().mousePressEvent(event)
