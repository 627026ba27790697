"""The nodes and edges of the drawn network."""

from functools import lru_cache
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.theme import Theme
from qatviz.network.plan import QuantizedTensor
from qatviz.presentation.network.drawing import NodeText

#: Sizes in lines of text: a node's breadth, its margin, the height of its values.
_BREADTH, _MARGIN, _BADGE = 12.8, 0.45, 1.35
#: Below this scale details can't be read, and what is left is drawn larger.
_DETAILS_SCALE, _LARGER = 0.78, 1.55


class Badge(NamedTuple):
    """One tensor's value as a node shows it."""

    text: str
    color: Optional[QtGui.QColor]
    selected: bool
    current: bool


def node_size(metrics: QtGui.QFontMetricsF, has_tensors: bool) -> Tuple[float, float]:
    """Width and height of a node for a font."""
    line = metrics.lineSpacing()
    lines = 3 + (_BADGE + _MARGIN if has_tensors else 0)
    return round(_BREADTH * line), round((lines + 2 * _MARGIN) * line)


class Node(QtWidgets.QGraphicsItem):
    """A unit of the network with the values of its tensors."""

    def __init__(
        self, text: NodeText, tensors: List[QuantizedTensor], size: Tuple[float, float], theme: Theme, font: QtGui.QFont
    ):
        super().__init__()
        self.text, self.tensors, self._size, self._font = text, tensors, size, font
        names = ("accent", "line", "raised", "window", "text", "muted", "base")
        self._colors = {name: theme.color(name) for name in names}
        self._bold, self._large = QtGui.QFont(font), QtGui.QFont(font)
        self._bold.setBold(True)
        self._large.setPixelSize(round(_LARGER * font.pixelSize()))
        self.badges: Dict[str, Badge] = {}
        self.is_cursor = False
        self._line = QtGui.QFontMetricsF(font).lineSpacing()
        self._rects = {detailed: self._badge_rects(detailed) for detailed in (True, False)}

    def set_badge(self, tensor: str, badge: Badge) -> bool:
        """Show another value; whether that is something new."""
        if self.badges.get(tensor) == badge:
            return False
        self.badges[tensor] = badge
        self.update()
        return True

    def set_cursor(self, is_cursor: bool) -> None:
        if is_cursor != self.is_cursor:
            self.is_cursor = is_cursor
            self.update()

    def badge_rects(self, detailed: bool = True) -> Dict[str, QtCore.QRectF]:
        """Where each tensor's value is, weights first."""
        return self._rects[detailed]

    def _badge_rects(self, detailed: bool) -> Dict[str, QtCore.QRectF]:
        width, height = self._size
        margin = _MARGIN * self._line
        tall = _BADGE * self._line if detailed else height - 2 * margin - _LARGER * 1.15 * self._line
        each = (width - margin * (1 + len(self.tensors))) / max(1, len(self.tensors))
        return {
            tensor.name: QtCore.QRectF(margin + index * (each + margin), height - margin - tall, each, tall)
            for index, tensor in enumerate(self.tensors)
        }

    def tensor_at(self, point: QtCore.QPointF, scale: float) -> Optional[QuantizedTensor]:
        """The tensor whose value is at a point of this node."""
        rects = self.badge_rects(self.is_detailed_at(scale))
        return next((tensor for tensor in self.tensors if rects[tensor.name].contains(point)), None)

    @staticmethod
    def is_detailed_at(scale: float) -> bool:
        """Whether all lines of text are drawn at this scale of the view."""
        return scale >= _DETAILS_SCALE

    def boundingRect(self) -> QtCore.QRectF:
        return QtCore.QRectF(-3, -3, self._size[0] + 6, self._size[1] + 6)

    def paint(self, painter: QtGui.QPainter, option: QtWidgets.QStyleOptionGraphicsItem, widget=None) -> None:
        detailed = option.levelOfDetailFromTransform(painter.worldTransform()) >= _DETAILS_SCALE
        colors, body = self._colors, QtCore.QRectF(0, 0, *self._size)
        chosen = any(badge.selected for badge in self.badges.values())
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.setPen(QtGui.QPen(colors["accent" if chosen else "line"], 2.0 if chosen else 1.2))
        painter.setBrush(colors["raised" if self.tensors else "window"])
        painter.drawRoundedRect(body, 5, 5)
        if self.is_cursor and self.scene().hasFocus():
            painter.setPen(QtGui.QPen(colors["text"], 1.2, QtCore.Qt.DotLine))
            painter.setBrush(QtCore.Qt.NoBrush)
            painter.drawRoundedRect(body.adjusted(-2.5, -2.5, 2.5, 2.5), 7, 7)
        if detailed:
            self._paint_text(painter)
        else:
            self._paint_name(painter)
        for name, rect in self.badge_rects(detailed).items():
            if name in self.badges:
                self._paint_badge(painter, rect, name, self.badges[name], detailed)

    def _paint_text(self, painter: QtGui.QPainter) -> None:
        left, top, width = _MARGIN * self._line * 1.3, _MARGIN * self._line, self._size[0] - 2.6 * _MARGIN * self._line
        rows = (
            (self.text.name, self._bold, "text"),
            (self.text.layers, self._font, "muted"),
            (self.text.shape, self._font, "muted"),
        )
        for number, (text, font, color) in enumerate(rows):
            rect = QtCore.QRectF(left, top + number * self._line, width, self._line)
            alignment = QtCore.Qt.AlignLeft | QtCore.Qt.AlignVCenter
            self._write(painter, rect, alignment, text, font, self._colors[color])

    def _paint_name(self, painter: QtGui.QPainter) -> None:
        margin = _MARGIN * self._line
        height = _LARGER * 1.15 * self._line if self.tensors else self._size[1] - margin
        rect = QtCore.QRectF(margin, margin / 2, self._size[0] - 2 * margin, height)
        self._write(painter, rect, QtCore.Qt.AlignCenter, self.text.name, self._large, self._colors["text"])

    def _paint_badge(
        self, painter: QtGui.QPainter, rect: QtCore.QRectF, name: str, badge: Badge, detailed: bool
    ) -> None:
        fill = badge.color or self._colors["base"]
        if badge.selected:
            painter.setPen(QtGui.QPen(self._colors["text"], 2.6 if badge.current else 1.6))
        else:
            painter.setPen(QtGui.QPen(self._colors["line"], 1.0))
        painter.setBrush(fill)
        painter.drawRoundedRect(rect, 3, 3)
        ink = QtGui.QColor("#0b0d10" if _is_bright(fill.rgb()) else "#ffffff")
        value = badge.text if detailed else badge.text.split(" ")[0]
        text = f"{name.rpartition('.')[2][0]} {value}"
        self._write(painter, rect, QtCore.Qt.AlignCenter, text, self._font if detailed else self._large, ink)

    def _write(self, painter, rect, alignment, text, font, color) -> None:
        painter.setFont(font)
        painter.setPen(color)
        painter.drawText(rect, alignment, _elided(text, font.key(), rect.width() + 1))


class Edges(QtWidgets.QGraphicsPathItem):
    """All edges as one path with an arrow head at each end."""

    def __init__(self, routes: Dict[Tuple[str, str], np.ndarray], flow_down: bool, theme: Theme):
        super().__init__()
        path = QtGui.QPainterPath()
        for points in routes.values():
            _add_route(path, points, flow_down)
        self.setPath(path)
        self.setZValue(-1)
        self.setPen(QtGui.QPen(theme.color("muted"), 1.4))
        heads = QtGui.QPainterPath()
        for points in routes.values():
            _add_head(heads, points[-1], flow_down)
        head_item = QtWidgets.QGraphicsPathItem(heads, self)
        head_item.setBrush(theme.color("muted"))
        head_item.setPen(QtGui.QPen(QtCore.Qt.NoPen))

    def paint(self, painter, option, widget=None) -> None:
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        super().paint(painter, option, widget)


def _add_route(path: QtGui.QPainterPath, points: np.ndarray, flow_down: bool) -> None:
    path.moveTo(*points[0])
    for (x0, y0), (x1, y1) in zip(points[:-1], points[1:]):
        if x0 == x1 or y0 == y1:
            path.lineTo(x1, y1)
        elif flow_down:
            path.cubicTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1)
        else:
            path.cubicTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1)


def _add_head(path: QtGui.QPainterPath, tip: np.ndarray, flow_down: bool) -> None:
    x, y = tip
    corners = ((-3.5, -7), (3.5, -7)) if flow_down else ((-7, -3.5), (-7, 3.5))
    path.addPolygon(QtGui.QPolygonF([QtCore.QPointF(x, y)] + [QtCore.QPointF(x + dx, y + dy) for dx, dy in corners]))
    path.closeSubpath()


@lru_cache(maxsize=2000)
def _elided(text: str, font_key: str, width: float) -> str:
    """The text, with an ellipsis where it is too wide; remembered, as measuring is most of what drawing text costs."""
    font = QtGui.QFont()
    font.fromString(font_key)
    return QtGui.QFontMetricsF(font).elidedText(text, QtCore.Qt.ElideRight, width)


@lru_cache(maxsize=500)
def _is_bright(rgb: int) -> bool:
    """Whether dark text reads better on a colour, by its relative luminance (WCAG 2).

    White on blue reads better than the contrast ratio says, so the limit is above the 0.18 where the ratios are equal.
    """
    channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in QtGui.QColor(rgb).getRgbF()[:3]]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2] > 0.24
