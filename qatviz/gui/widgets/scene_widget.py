"""Widget that shows a scene."""

from typing import Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.scene_painter import ScenePainter, scene_painter
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.scene import SMALL, Metrics, Shape


class SceneWidget(QtWidgets.QWidget):
    """Widget that caches a picture of :meth:`shapes` until they change, and paints hover marks over it."""

    #: Role of the colour behind the shapes.
    ground = "base"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme = theme
        self._still: Optional[QtGui.QPixmap] = None
        self.setAttribute(QtCore.Qt.WA_OpaquePaintEvent)  # nothing behind it has to be painted

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        """Return the shapes for the widget's present size; ``is_figure``: for a file, not for the screen."""
        raise NotImplementedError

    def paint_over(self, painter: QtGui.QPainter) -> None:
        """Paint marks that are not cached."""

    def changed(self) -> None:
        """Drop the cached picture and repaint."""
        self._still = None
        self.update()

    @property
    def scenes(self) -> ScenePainter:
        """Painter for the theme and the font."""
        return scene_painter(self.theme, self.font(), self.ground)

    @property
    def metrics(self) -> Metrics:
        """Text sizes of labels."""
        return self.scenes.metrics[SMALL]

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(320, 200)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        if self._is_figure(painter):
            self._paint(painter, True)
            return
        ratio = self.devicePixelRatioF()
        if self._still is None or self._still.size() != self.size() * ratio:
            self._still = QtGui.QPixmap(self.size() * ratio)
            self._still.setDevicePixelRatio(ratio)
            still = QtGui.QPainter(self._still)
            try:  # a painter that is left open crashes Qt
                self._paint(still, False)
            finally:
                still.end()
        painter.drawPixmap(0, 0, self._still)
        self.paint_over(painter)

    def _is_figure(self, painter: QtGui.QPainter) -> bool:
        """Return whether the painter draws to a file, which may be larger or SVG and can't use the cached picture."""
        is_raster = painter.paintEngine().type() == QtGui.QPaintEngine.Raster
        return not is_raster or abs(painter.deviceTransform().m11() - self.devicePixelRatioF()) > 1e-3

    def _paint(self, painter: QtGui.QPainter, is_figure: bool) -> None:
        painter.fillRect(self.rect(), self.theme.color(self.ground))
        self.scenes.paint(painter, self.shapes(is_figure))

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self.changed()

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange:
            self.changed()
