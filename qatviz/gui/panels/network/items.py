"""Nodes and edges of the network as items of a graphics scene."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.scene_painter import ScenePainter
from qatviz.gui.widgets.theme import Theme
from qatviz.network.plan import QuantizedTensor
from qatviz.presentation.network.drawing import NodeText
from qatviz.presentation.network.scene import Badge, badge_boxes, edge_shapes, node_shapes
from qatviz.presentation.scene import LARGE, SMALL, TITLE, Shape

#: Scale below which details are too small to read and omitted; factor by which the remaining text is enlarged.
_DETAILS_SCALE, _LARGER = 0.78, 1.55
#: Space around a node for the keyboard cursor, and around edges for arrow heads, px.
_NODE_ROOM, _EDGE_ROOM = 3.0, 8.0


def network_painter(theme: Theme, font: QtGui.QFont) -> ScenePainter:
    """Return a painter of networks with the colours of a theme and the font of their text."""
    bold, large = QtGui.QFont(font), QtGui.QFont(font)
    bold.setBold(True)
    large.setPixelSize(round(_LARGER * font.pixelSize()))
    return ScenePainter(theme.colors, {SMALL: font, TITLE: bold, LARGE: large})


class Node(QtWidgets.QGraphicsItem):
    """Operation of the network with the values of its tensors.

    Attributes
    ----------
    text : NodeText
    tensors : list of QuantizedTensor
    badges : dict of str to Badge
        The values by the names of the tensors.
    """

    def __init__(
        self, text: NodeText, tensors: List[QuantizedTensor], size: Tuple[float, float], painter: ScenePainter
    ):
        super().__init__()
        self.text, self.tensors, self._size, self._painter = text, tensors, size, painter
        self.badges: Dict[str, Badge] = {}
        self.is_cursor = False
        self._shapes: Dict[Tuple[bool, bool], List[Shape]] = {}
        self._rects = {detailed: self._badge_rects(detailed) for detailed in (True, False)}

    def set_badge(self, tensor: str, badge: Badge) -> bool:
        """Show the value of a tensor; return whether it has changed."""
        if self.badges.get(tensor) == badge:
            return False
        self.badges[tensor] = badge
        self._shapes.clear()
        self.update()
        return True

    def set_cursor(self, is_cursor: bool) -> None:
        """Show or hide the keyboard cursor, from which the arrow keys move."""
        if is_cursor != self.is_cursor:
            self.is_cursor = is_cursor
            self.update()

    def badge_rects(self, detailed: bool = True) -> Dict[str, QtCore.QRectF]:
        """Return the rectangle of each tensor's value, weights first."""
        return self._rects[detailed]

    def _badge_rects(self, detailed: bool) -> Dict[str, QtCore.QRectF]:
        boxes = badge_boxes(len(self.tensors), self._size, self._painter.metrics[SMALL], detailed)
        return {
            tensor.name: QtCore.QRectF(QtCore.QPointF(*box[:2]), QtCore.QPointF(*box[2:]))
            for tensor, box in zip(self.tensors, boxes)
        }

    def tensor_at(self, point: QtCore.QPointF, scale: float) -> Optional[QuantizedTensor]:
        """Return the tensor whose value is at a point of this node."""
        rects = self.badge_rects(self.is_detailed_at(scale))
        return next((tensor for tensor in self.tensors if rects[tensor.name].contains(point)), None)

    @staticmethod
    def is_detailed_at(scale: float) -> bool:
        """Return whether all lines of text are drawn at this scale of the view."""
        return scale >= _DETAILS_SCALE

    def boundingRect(self) -> QtCore.QRectF:
        room, (width, height) = _NODE_ROOM, self._size
        return QtCore.QRectF(-room, -room, width + 2 * room, height + 2 * room)

    def paint(
        self,
        painter: QtGui.QPainter,
        option: QtWidgets.QStyleOptionGraphicsItem,
        widget: Optional[QtWidgets.QWidget] = None,
    ) -> None:
        is_detailed = self.is_detailed_at(option.levelOfDetailFromTransform(painter.worldTransform()))
        key = is_detailed, self.is_cursor and self.scene().hasFocus()
        if key not in self._shapes:
            badges = [self.badges[tensor.name] for tensor in self.tensors if tensor.name in self.badges]
            self._shapes[key] = node_shapes(self.text, badges, self._size, self._painter.metrics, *key)
        self._painter.paint(painter, self._shapes[key])


class Edges(QtWidgets.QGraphicsItem):
    """All edges, each with an arrow head at its end.

    Attributes
    ----------
    shapes : list
    """

    def __init__(self, routes: Sequence[np.ndarray], flow_down: bool, painter: ScenePainter):
        super().__init__()
        self.shapes, self._painter = edge_shapes(routes, flow_down), painter
        points = np.concatenate(routes) if len(routes) else np.zeros((1, 2))
        corners = QtCore.QRectF(QtCore.QPointF(*points.min(axis=0)), QtCore.QPointF(*points.max(axis=0)))
        self._rect = corners.adjusted(-_EDGE_ROOM, -_EDGE_ROOM, _EDGE_ROOM, _EDGE_ROOM)
        self.setZValue(-1)

    def boundingRect(self) -> QtCore.QRectF:
        return self._rect

    def paint(
        self,
        painter: QtGui.QPainter,
        option: QtWidgets.QStyleOptionGraphicsItem,
        widget: Optional[QtWidgets.QWidget] = None,
    ) -> None:
        self._painter.paint(painter, self.shapes)
