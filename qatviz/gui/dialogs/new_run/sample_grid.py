"""Grid of pictures of examples."""

from typing import List, Optional, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.previews import GREY, ROWS, DataInfo

#: Maximum number of pictures in a row, and number of characters of a caption below a picture.
_COLUMNS, _CAPTION_LENGTH = 8, 5
_GAP = 6


class SampleGrid(QtWidgets.QWidget):
    """Grid of pictures with captions below, if there are any.

    Rows of features are drawn as strips with captions beside them.
    """

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self._info: Optional[DataInfo] = None
        self._pixmaps: List[QtGui.QPixmap] = []
        self.setAccessibleName("Examples of the data")
        self.setMinimumSize(240, 130)
        self.setMouseTracking(True)

    @property
    def shown(self) -> Tuple[str, ...]:
        """The captions of the examples that fit."""
        return tuple(self._info.captions[: len(self._places())]) if self._info is not None else ()

    def show_info(self, info: Optional[DataInfo]) -> None:
        """Show the examples; none for None."""
        self._info, self._pixmaps = info, []
        if info is not None:
            table = heat_table(self._theme) if info.kind == ROWS else None
            self._pixmaps = [QtGui.QPixmap.fromImage(picture(sample, info.kind, table)) for sample in info.samples]
        self.update()

    def _places(self) -> List[Tuple[QtCore.QRect, QtCore.QRect]]:
        """Return the rectangles of each example and its caption."""
        info = self._info
        if info is None:
            return []
        line = self.fontMetrics().height() if any(info.captions) else 0
        if info.kind == ROWS:
            count = min(len(self._pixmaps), max(1, self.height() // (line + 1)))
            widest = max(self.fontMetrics().horizontalAdvance(text) for text in info.captions) + _GAP
            words = min(widest, self.width() // 3)
            return [
                (
                    QtCore.QRect(0, row * (line + 1), self.width() - words - _GAP, line),
                    QtCore.QRect(self.width() - words, row * (line + 1), words, line),
                )
                for row in range(count)
            ]
        least = _CAPTION_LENGTH * self.fontMetrics().averageCharWidth() + _GAP
        columns = min(_COLUMNS, max(len(self._pixmaps), 1), max(1, self.width() // least))
        height, width = info.samples.shape[1:3]
        wide = max(8, self.width() // columns - _GAP)
        # All rows if there is room, with smaller pictures if necessary; fewer rows if they would be tiny.
        rows = -(-len(self._pixmaps) // columns)
        side = min(wide, self.height() // rows - line - _GAP)
        if side < 20:
            side = min(wide, 28)
            rows = max(1, self.height() // (side + line + _GAP))
        scale = side / max(height, width)
        size = QtCore.QSize(max(1, round(width * scale)), max(1, round(height * scale)))
        places = []
        for index in range(min(len(self._pixmaps), rows * columns)):
            x, y = index % columns * (wide + _GAP), index // columns * (side + line + _GAP)
            spot = QtCore.QRect(QtCore.QPoint(x + (wide - size.width()) // 2, y + (side - size.height()) // 2), size)
            places.append((spot, QtCore.QRect(x - _GAP // 2, y + side, wide + _GAP, line)))
        return places

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setPen(self._theme.color("muted"))
        metrics = self.fontMetrics()
        align = QtCore.Qt.AlignLeft if self._info is not None and self._info.kind == ROWS else QtCore.Qt.AlignHCenter
        captions = self._info.captions if self._info is not None else ()
        for (spot, below), pixmap, caption in zip(self._places(), self._pixmaps, captions):
            # Enlarged pixels stay sharp.
            painter.setRenderHint(QtGui.QPainter.SmoothPixmapTransform, spot.width() < pixmap.width())
            painter.drawPixmap(spot, pixmap)
            text = metrics.elidedText(caption, QtCore.Qt.ElideMiddle, below.width())
            painter.drawText(below, int(align | QtCore.Qt.AlignVCenter), text)
        painter.end()

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip and self._info is not None:
            for (spot, below), caption in zip(self._places(), self._info.captions):
                if spot.united(below).contains(event.pos()):
                    QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(caption), self)
                    return True
            QtWidgets.QToolTip.hideText()
            return True
        return super().event(event)


def heat_table(theme: Theme) -> List[int]:
    """Return 256 colours (``0xAARRGGBB``), from the background of plots to the accent colour."""
    low, high = theme.color("raised"), theme.color("accent")
    steps = np.linspace(0, 1, 256)
    parts = [np.round(a + (b - a) * steps).astype(int) for a, b in zip(low.getRgb()[:3], high.getRgb()[:3])]
    return [QtGui.qRgb(*rgb) for rgb in zip(*(part.tolist() for part in parts))]


def picture(sample: np.ndarray, kind: str, heat: Optional[List[int]] = None) -> QtGui.QImage:
    """Return one example, uint8, as an image: grey ``[h, w]``, RGB ``[h, w, 3]``, or ``[n]`` in colours ``heat``."""
    pixels = np.ascontiguousarray(sample if kind != ROWS else sample[np.newaxis])
    height, width = pixels.shape[:2]
    if kind == GREY:
        return QtGui.QImage(pixels.data, width, height, width, QtGui.QImage.Format_Grayscale8).copy()
    if kind == ROWS:
        image = QtGui.QImage(pixels.data, width, height, width, QtGui.QImage.Format_Indexed8)
        image.setColorTable(heat)
        return image.copy()
    return QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format_RGB888).copy()
