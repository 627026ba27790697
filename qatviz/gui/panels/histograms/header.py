"""The header of a tile of the histograms: which tensor, on which grid, how well; and what is pending."""

from PyQt5 import QtCore, QtGui

from qatviz.gui.panels.histograms.style import TileContent, TileStyle

#: What a compact tile keeps free between name and badge for its readout.
ROOM_FOR = "88.8 dB"


def paint_title(painter: QtGui.QPainter, rect: QtCore.QRectF, content: TileContent, style: TileStyle) -> None:
    """Layer and kind at the left, badge at the right; ``rect`` is the whole tile's."""
    line, badge = _title_line(rect, style), _badge_text(rect, content, style)
    width = _badge_width(badge, style)
    box = QtCore.QRectF(line.right() - width, line.top() + 1, width, line.height() - 1)
    _badge(painter, box, badge, content, style)
    room = line.width() - width - 6 - _room_for_readout(line, content, style, rect)
    layer, _, kind = content.name.rpartition(".")
    layer = style.title_metrics.elidedText(layer, QtCore.Qt.ElideMiddle, int(room))
    painter.setFont(style.title)
    painter.setPen(style.text)
    start = QtCore.QPointF(line.left(), line.top() + style.title_metrics.ascent())
    painter.drawText(start, layer)
    used = style.title_metrics.horizontalAdvance(layer)
    if used + style.small_metrics.horizontalAdvance("." + kind) <= room:
        painter.setFont(style.small)
        painter.setPen(style.muted)
        painter.drawText(start + QtCore.QPointF(used, 0), "." + kind)


def paint_readout(painter: QtGui.QPainter, rect: QtCore.QRectF, content: TileContent, style: TileStyle) -> None:
    """What is pending and the measures: in a line of their own, or what of them has room in a compact tile."""
    line, is_compact = _title_line(rect, style), style.is_compact(rect)
    top = line.bottom() + (4 if is_compact else 0)
    row = QtCore.QRectF(line.left(), top, line.width(), style.small_metrics.height())
    room = row.width() - _ghost(painter, row, content, style, is_compact)
    if is_compact:
        if _room_for_readout(line, content, style, rect):
            line.setRight(line.right() - _badge_width(_badge_text(rect, content, style), style) - 6)
            _text(painter, line, content.readout[0], style, style.muted, QtCore.Qt.AlignRight)
        return
    readout = content.readout
    while readout and style.small_metrics.horizontalAdvance(" · ".join(readout)) > room:
        readout = readout[:-1]
    _text(painter, row, " · ".join(readout), style, style.muted, QtCore.Qt.AlignRight)


def _title_line(rect: QtCore.QRectF, style: TileStyle) -> QtCore.QRectF:
    return QtCore.QRectF(rect.left() + 7, rect.top() + 3, rect.width() - 13, style.title_metrics.height())


def _room_for_readout(line: QtCore.QRectF, content: TileContent, style: TileStyle, rect: QtCore.QRectF) -> float:
    """In the line of the title: none where there is a second line, or the name of the layer needs it."""
    if not style.is_compact(rect) or not content.readout:
        return 0.0
    needed = style.small_metrics.horizontalAdvance(ROOM_FOR) + 8
    name = style.title_metrics.horizontalAdvance(content.name.rpartition(".")[0])
    badge = _badge_width(_badge_text(rect, content, style), style) + 6
    return needed if name + needed + badge <= line.width() else 0.0


def _badge_text(rect: QtCore.QRectF, content: TileContent, style: TileStyle) -> str:
    """Without its flags where they would take the name's room."""
    is_long = style.small_metrics.horizontalAdvance(content.badge) > rect.width() * 0.4
    if content.shown.window is not None and (is_long or style.is_compact(rect)):
        return content.badge.split(" ")[0]
    return content.badge


def _badge_width(text: str, style: TileStyle) -> float:
    return style.small_metrics.horizontalAdvance(text) + 8


def _badge(painter: QtGui.QPainter, box: QtCore.QRectF, text: str, content: TileContent, style: TileStyle) -> None:
    painter.fillRect(box, style.raised)
    color = style.text if content.shown.window is not None else style.muted
    _text(painter, box, text, style, color, QtCore.Qt.AlignHCenter)


def _ghost(
    painter: QtGui.QPainter, row: QtCore.QRectF, content: TileContent, style: TileStyle, is_compact: bool
) -> float:
    """Paint over what is there, and return the width with some room beside it."""
    ghost, metrics = content.ghost, style.small_metrics
    if ghost is None:
        return 0.0
    is_brief = is_compact or metrics.horizontalAdvance(ghost.text) > row.width() * 0.6
    text = metrics.elidedText(ghost.brief if is_brief else ghost.text, QtCore.Qt.ElideRight, int(row.width()))
    width = metrics.horizontalAdvance(text)
    painter.fillRect(QtCore.QRectF(row.left() - 1, row.top(), width + 3, row.height()), style.base)
    _text(painter, row, text, style, style.ghost, QtCore.Qt.AlignLeft)
    return width + 8


def _text(
    painter: QtGui.QPainter,
    rect: QtCore.QRectF,
    text: str,
    style: TileStyle,
    color: QtGui.QColor,
    alignment: QtCore.Qt.AlignmentFlag,
) -> None:
    if text:
        painter.setFont(style.small)
        painter.setPen(color)
        painter.drawText(rect, alignment | QtCore.Qt.AlignVCenter, text)
