"""The header of a tile of the histograms: which tensor, on which grid, how well; and what is pending."""

from PyQt5 import QtCore, QtGui

from qatviz.gui.histogram_style import TileContent, TileStyle


def paint_header(painter: QtGui.QPainter, rect: QtCore.QRectF, content: TileContent, style: TileStyle) -> None:
    """Paint it at the top of the rectangle of a tile."""
    _HeaderPainter(painter, rect, content, style).paint()


class _HeaderPainter:
    def __init__(self, painter: QtGui.QPainter, rect: QtCore.QRectF, content: TileContent, style: TileStyle):
        self._painter, self._rect, self._content, self._style = painter, rect, content, style

    def paint(self) -> None:
        """Layer and kind at the left, badge at the right; below, what is pending and the measures."""
        style, content, rect = self._style, self._content, self._rect.adjusted(7, 3, -6, 0)
        is_compact = style.is_compact(self._rect)
        room = rect.width() - self._badge(rect) - 6
        if is_compact and content.readout:
            brief, needed = content.readout[0], style.small_metrics.horizontalAdvance(content.readout[0])
            if style.title_metrics.horizontalAdvance(content.name.rpartition(".")[0]) + needed + 8 <= room:
                line = QtCore.QRectF(rect.left(), rect.top(), room, style.title_metrics.height())
                self._text(line, brief, style.muted, QtCore.Qt.AlignRight)
                room -= needed + 8
        self._name(rect, room)
        below = style.title_metrics.height() + (5 if is_compact else 0)
        row = QtCore.QRectF(rect.left(), rect.top() + below, rect.width(), style.small_metrics.height())
        room = row.width() - self._ghost_text(row, is_compact)
        readout = () if is_compact else content.readout
        while readout and style.small_metrics.horizontalAdvance(" · ".join(readout)) > room:
            readout = readout[:-1]
        self._text(row, " · ".join(readout), style.muted, QtCore.Qt.AlignRight)

    def _ghost_text(self, row: QtCore.QRectF, is_compact: bool) -> float:
        """Paint it over what is there, and return its width with some room beside it."""
        ghost, metrics = self._content.ghost, self._style.small_metrics
        if ghost is None:
            return 0.0
        is_brief = is_compact or metrics.horizontalAdvance(ghost.text) > row.width() * 0.6
        text = metrics.elidedText(ghost.brief if is_brief else ghost.text, QtCore.Qt.ElideRight, int(row.width()))
        width = metrics.horizontalAdvance(text)
        self._painter.fillRect(QtCore.QRectF(row.left() - 1, row.top(), width + 3, row.height()), self._style.base)
        self._text(row, text, self._style.ghost, QtCore.Qt.AlignLeft)
        return width + 8

    def _badge(self, rect: QtCore.QRectF) -> float:
        """Paint it, and return its width; without its flags where they would take the name's room."""
        style, badge = self._style, self._content.badge
        if style.small_metrics.horizontalAdvance(badge) > rect.width() * 0.4:
            badge = badge.split(" ")[0]
        width = style.small_metrics.horizontalAdvance(badge) + 8
        box = QtCore.QRectF(rect.right() - width, rect.top() + 1, width, style.title_metrics.height() - 1)
        self._painter.fillRect(box, style.raised)
        color = style.text if self._content.shown.window is not None else style.muted
        self._text(box, badge, color, QtCore.Qt.AlignHCenter)
        return width

    def _name(self, rect: QtCore.QRectF, room: float) -> None:
        painter, style = self._painter, self._style
        layer, _, kind = self._content.name.rpartition(".")
        layer = style.title_metrics.elidedText(layer, QtCore.Qt.ElideMiddle, int(room))
        painter.setFont(style.title)
        painter.setPen(style.text)
        start = QtCore.QPointF(rect.left(), rect.top() + style.title_metrics.ascent())
        painter.drawText(start, layer)
        used = style.title_metrics.horizontalAdvance(layer)
        if used + style.small_metrics.horizontalAdvance("." + kind) <= room:
            painter.setFont(style.small)
            painter.setPen(style.muted)
            painter.drawText(start + QtCore.QPointF(used, 0), "." + kind)

    def _text(self, rect: QtCore.QRectF, text: str, color: QtGui.QColor, alignment: QtCore.Qt.AlignmentFlag) -> None:
        if text:
            self._painter.setFont(self._style.small)
            self._painter.setPen(color)
            self._painter.drawText(rect, alignment | QtCore.Qt.AlignVCenter, text)
