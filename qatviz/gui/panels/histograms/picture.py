"""The picture of one tile, kept until what it shows has changed."""

from typing import Any, Optional

from PyQt5 import QtCore, QtGui

from qatviz.gui.panels.histograms.style import TileContent, TileStyle, TileView
from qatviz.gui.panels.histograms.tile import TilePainter, lasting_key


class Tile:
    """What was painted last of a tensor.

    Attributes
    ----------
    picture : QPixmap or None
    content, view
        What is in it.
    key : object
        What its owner painted it from; None where it is out of date.
    drawn : int
        A number that grows from one painting to the next.
    """

    def __init__(self):
        self.picture: Optional[QtGui.QPixmap] = None
        self.content: Optional[TileContent] = None
        self.view: Optional[TileView] = None
        self.key: Any = None
        self.drawn = 0
        self._lasting: Optional[QtGui.QPixmap] = None
        self._lasting_key: Any = None

    def fits(self, size: QtCore.QSize, ratio: float) -> bool:
        """Whether the picture is of this size; ``ratio`` is the device's pixels by one of the layout's."""
        return _fits(self.picture, size, ratio)

    def paint(self, content: TileContent, view: TileView, style: TileStyle, size: QtCore.QSize, ratio: float) -> None:
        """Paint it anew."""
        self.content, self.view = content, view
        whole = QtCore.QRectF(QtCore.QPointF(0, 0), QtCore.QSizeF(size))
        lasting = (style, lasting_key(content, view))
        if lasting != self._lasting_key or not _fits(self._lasting, size, ratio):
            self._lasting, self._lasting_key = _pixmap(self._lasting, size, ratio), lasting
            painter = QtGui.QPainter(self._lasting)
            TilePainter(painter, whole, content, view, style).paint_lasting()
            painter.end()
        self.picture = _pixmap(self.picture, size, ratio)
        painter = QtGui.QPainter(self.picture)
        painter.drawPixmap(0, 0, self._lasting)
        TilePainter(painter, whole, content, view, style).paint_news()
        painter.end()


def _fits(picture: Optional[QtGui.QPixmap], size: QtCore.QSize, ratio: float) -> bool:
    return picture is not None and picture.size() == size * ratio


def _pixmap(old: Optional[QtGui.QPixmap], size: QtCore.QSize, ratio: float) -> QtGui.QPixmap:
    """One of this size: the old one if it is."""
    if _fits(old, size, ratio):
        return old
    new = QtGui.QPixmap(size * ratio)
    new.setDevicePixelRatio(ratio)
    return new
