"""View of the network's graph with mouse and keyboard navigation, and its colour bar."""

from typing import Callable, Dict, List, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.network.items import Node
from qatviz.gui.widgets.arrow_keys import ARROWS
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.measure_declaration import NEITHER, Measure
from qatviz.network.plan import QuantizedTensor
from qatviz.presentation.color_bar import bar_texts, color_bar
from qatviz.presentation.scene import Shape

_LARGEST, _SMALLEST, _WHEEL = 4.0, 0.08, 1.0015
#: Largest scale of a fitted network, so that few layers are not enlarged to fill the window.
_LARGEST_FIT = 1.25
_MARGIN = 10


class NetworkView(QtWidgets.QGraphicsView):
    """View of the nodes.

    Attributes
    ----------
    is_fitted : bool
        Whether the whole network stays visible when the view's size changes.
    tooltip_of : callable (node, tensor or None) -> str
        Returns the tooltip of a node, or of one of its tensors.
    """

    #: Emitted with a clicked node, the tensor whose value was hit or None, and the keys held down.
    clicked = QtCore.pyqtSignal(object, object, object)
    #: Emitted with the direction (dx, dy) of an arrow key, and the keys held down.
    moved = QtCore.pyqtSignal(int, int, object)
    #: Emitted with a kind of tensor, ``weights`` or ``activations``, when its key is pressed.
    kind_chosen = QtCore.pyqtSignal(str)

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.figure_name = "network"
        self.setScene(QtWidgets.QGraphicsScene(self))
        self.setAccessibleName("Network graph")
        self.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.setTransformationAnchor(QtWidgets.QGraphicsView.NoAnchor)
        self.setDragMode(QtWidgets.QGraphicsView.ScrollHandDrag)
        self.viewport().setCursor(QtCore.Qt.ArrowCursor)
        self.viewport().setMouseTracking(True)
        self.setViewportUpdateMode(QtWidgets.QGraphicsView.SmartViewportUpdate)
        self.setMinimumSize(120, 90)
        self.is_fitted = True
        self._drawn = QtCore.QRectF()
        self.tooltip_of: Callable[[Node, Optional[QuantizedTensor]], str] = lambda node, tensor: ""

    def set_drawn(self, rect: QtCore.QRectF) -> None:
        """Set the network's rectangle in the scene, which is surrounded by space to pan."""
        self._drawn = rect
        room = max(rect.width(), rect.height(), 2000.0)
        self.setSceneRect(rect.adjusted(-room, -room, room, room))

    def fit(self) -> None:
        """Show the whole network."""
        self.is_fitted = True
        rect = self._drawn
        if rect.isEmpty():
            return
        room = self.viewport().rect().adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        scale = max(_SMALLEST, min(_LARGEST_FIT, room.width() / rect.width(), room.height() / rect.height()))
        self.setTransform(QtGui.QTransform.fromScale(scale, scale))
        self.centerOn(rect.center())

    def zoom(self, factor: float, at: Optional[QtCore.QPoint] = None) -> None:
        """Multiply the scale by ``factor``, within limits; the point ``at`` of the viewport keeps its place."""
        at = self.viewport().rect().center() if at is None else at
        now, before = self.scale_now(), self.mapToScene(at)
        factor = min(_LARGEST, max(_SMALLEST, now * factor)) / now
        self.is_fitted = False
        self.scale(factor, factor)
        self.centerOn(self.mapToScene(self.viewport().rect().center()) + before - self.mapToScene(at))

    def scale_now(self) -> float:
        return self.transform().m11()

    def node_at(self, point: QtCore.QPoint) -> Tuple[Optional[Node], Optional[QuantizedTensor]]:
        """Return the node at a point of the viewport, and the tensor whose value is there; both may be None."""
        item = next((item for item in self.items(point) if isinstance(item, Node)), None)
        if item is None:
            return None, None
        return item, item.tensor_at(item.mapFromScene(self.mapToScene(point)), self.scale_now())

    def place_of(self, node: Node) -> QtCore.QPoint:
        """Return the middle of a node's upper part in the viewport."""
        rect = node.sceneBoundingRect()
        return self.mapFromScene(QtCore.QPointF(rect.center().x(), rect.top() + rect.height() / 4))

    def badge_places(self, node: Node) -> Dict[str, QtCore.QPoint]:
        """Return the places of the values of a node's tensors in the viewport."""
        rects = node.badge_rects(node.is_detailed_at(self.scale_now()))
        return {name: self.mapFromScene(node.mapToScene(rect.center())) for name, rect in rects.items()}

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.is_fitted:
            self.fit()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        self.zoom(_WHEEL ** event.angleDelta().y(), event.pos())
        event.accept()

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        node, tensor = self.node_at(event.pos())
        if event.button() == QtCore.Qt.LeftButton and node is not None:
            self.clicked.emit(node, tensor, event.modifiers())
            return
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        if event.buttons() & QtCore.Qt.LeftButton:
            self.is_fitted = False
        elif not event.buttons():
            pointed = self.node_at(event.pos())[0] is not None
            self.viewport().setCursor(QtCore.Qt.PointingHandCursor if pointed else QtCore.Qt.ArrowCursor)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self.viewport().setCursor(QtCore.Qt.ArrowCursor)  # not the open hand, because a click selects

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        if self.node_at(event.pos())[0] is None:
            self.fit()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        key = event.key()
        if key in ARROWS:
            self.moved.emit(*ARROWS[key], event.modifiers())
        elif key == QtCore.Qt.Key_F:
            self.fit()
        elif key in (QtCore.Qt.Key_Plus, QtCore.Qt.Key_Equal, QtCore.Qt.Key_Minus):
            self.zoom(1 / 1.25 if key == QtCore.Qt.Key_Minus else 1.25)
        elif key in (QtCore.Qt.Key_W, QtCore.Qt.Key_A):
            self.kind_chosen.emit("weights" if key == QtCore.Qt.Key_W else "activations")
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        super().focusInEvent(event)
        self.viewport().update()  # the cursor is drawn with the focus only

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.viewport().update()

    def viewportEvent(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip:
            node, tensor = self.node_at(event.pos())
            text = self.tooltip_of(node, tensor) if node is not None else ""
            QtWidgets.QToolTip.showText(event.globalPos(), text, self.viewport())
            return True
        return super().viewportEvent(event)


class ColorBar(SceneWidget):
    """Colour bar of a measure with values."""

    ground = "window"

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self._measure: Optional[Measure] = None
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)

    def set_measure(self, measure: Measure) -> None:
        """Show the colours of ``measure``."""
        self._measure = measure
        words = "" if measure.color_direction == NEITHER else " Orange is bad, blue is good."
        self.setToolTip(measure.help + words)
        self.setAccessibleName(f"Colours of {measure.label}: {' to '.join(self.texts())}")
        self.changed()

    def texts(self) -> Tuple[str, str, str]:
        """Return the texts at the left end, in the middle, at the right end."""
        return bar_texts(self._measure) if self._measure is not None else ("", "", "")

    def shapes(self, is_figure: bool) -> List[Shape]:
        if self._measure is None:
            return []
        return color_bar(self._measure, self.width(), self.height(), self.metrics)

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(240, self.fontMetrics().height() + 4)

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(120, self.fontMetrics().height() + 4)
