"""The heading of a plot: its name, and its curves with their values; a click shows or hides a curve."""

from typing import List, NamedTuple, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution_canvas import LEFT, small_font
from qatviz.gui.theme import Theme

_SWATCH, _GAP = 14, 12
#: A name is shortened to no less than this, in pixels; narrower, only swatches and values are left.
_LEAST_NAME = 30


class Entry(NamedTuple):
    """One curve: ``key`` tells it from others; ``style`` is a Qt.PenStyle."""

    key: str
    name: str
    value: str
    color: QtGui.QColor
    style: int = QtCore.Qt.SolidLine
    hidden: bool = False
    about: str = ""


class Legend(QtWidgets.QWidget):
    """Title and entries in a line; with the keyboard: arrows move, the space bar shows or hides."""

    toggled = QtCore.pyqtSignal(str)

    def __init__(self, theme: Theme, title: str, about: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme, self.title = theme, title
        self.entries = []  # type: List[Entry]
        self._rects = []  # type: List[QtCore.QRect]
        self._current, self._about = 0, about
        self.setFocusPolicy(QtCore.Qt.TabFocus)
        self.setAccessibleName("Legend of " + title)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(120, QtGui.QFontMetrics(small_font(self.font())).height() + 4)

    def set_entries(self, entries: Sequence[Entry]) -> None:
        """Show these; nothing happens where they are the same."""
        if list(entries) != self.entries:
            self.entries = list(entries)
            self._current = min(self._current, max(len(self.entries) - 1, 0))
            self.setAccessibleDescription(", ".join("{} {}".format(e.name, e.value) for e in self.entries))
            self.update()

    def entry_rect(self, key: str) -> QtCore.QRect:
        """Where the entry ``key`` is; empty if there is no such entry."""
        self._place()
        return next((rect for entry, rect in zip(self.entries, self._rects) if entry.key == key), QtCore.QRect())

    # Drawing

    def _place(self) -> List[str]:
        """Find room for all entries, and give their names as they fit."""
        font = small_font(self.font())
        metrics = QtGui.QFontMetrics(font)
        bold = QtGui.QFont(font)
        bold.setBold(True)
        start = max(LEFT, 8 + QtGui.QFontMetrics(bold).horizontalAdvance(self.title) + _GAP)
        fixed = [_SWATCH + metrics.horizontalAdvance(_widest(entry.value)) + 4 + _GAP for entry in self.entries]
        wanted = [metrics.horizontalAdvance(entry.name) + 4 for entry in self.entries]
        room = max(self.width() - start - sum(fixed), 0)
        limit = _share(wanted, room)
        if limit < _LEAST_NAME and limit < max(wanted, default=0):
            limit = 0
        names, self._rects, x = [], [], start
        for entry, width, fix in zip(self.entries, wanted, fixed):
            width = int(min(width, limit))
            names.append(metrics.elidedText(entry.name, QtCore.Qt.ElideMiddle, max(width - 3, 0)) if width else "")
            self._rects.append(QtCore.QRect(x, 0, width + fix - 4, self.height()))
            x += width + fix
        return names

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), self.theme.color("base"))
        names, font = self._place(), small_font(self.font())
        bold = QtGui.QFont(font)
        bold.setBold(True)
        painter.setFont(bold)
        painter.setPen(self.theme.color("text"))
        painter.drawText(self.rect().adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, self.title)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        for i, (entry, name, rect) in enumerate(zip(self.entries, names, self._rects)):
            color = self.theme.color("muted") if entry.hidden else entry.color
            middle = rect.center().y() + 1
            painter.setPen(QtGui.QPen(color, 1 if entry.hidden else 3, entry.style, QtCore.Qt.FlatCap))
            painter.drawLine(rect.left(), middle, rect.left() + _SWATCH - 5, middle)
            left = rect.left() + _SWATCH
            painter.setPen(self.theme.color("muted"))
            painter.drawText(left, 0, rect.right() - left, rect.height(), QtCore.Qt.AlignVCenter, name)
            if entry.hidden and name:
                painter.drawLine(left, middle, left + metrics.horizontalAdvance(name), middle)
            left += metrics.horizontalAdvance(name) + 4 if name else 0
            if not entry.hidden:
                painter.setPen(self.theme.color("text"))
                painter.drawText(left, 0, rect.right() - left, rect.height(), QtCore.Qt.AlignVCenter, entry.value)
            if self.hasFocus() and i == self._current:
                painter.setPen(QtGui.QPen(self.theme.color("accent"), 1, QtCore.Qt.DotLine))
                painter.drawRect(rect.adjusted(-2, 0, 0, -1))

    # What the user does

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        index = self._index_at(event.pos())
        if event.button() == QtCore.Qt.LeftButton and index is not None:
            self._current = index
            self.toggled.emit(self.entries[index].key)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        step = {QtCore.Qt.Key_Left: -1, QtCore.Qt.Key_Right: 1}.get(event.key(), 0)
        if not self.entries or not (step or event.key() == QtCore.Qt.Key_Space):
            super().keyPressEvent(event)
            return
        if step:
            self._current = (self._current + step) % len(self.entries)
        else:
            self.toggled.emit(self.entries[self._current].key)
        self.update()

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip:
            index = self._index_at(event.pos())
            text = self._about
            if index is not None:
                entry = self.entries[index]
                text = "{}: {}\n{}Click: {} this curve.".format(
                    entry.name, entry.value, entry.about + "\n" if entry.about else "", "show" if entry.hidden else "hide")
            QtWidgets.QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        self.update()

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        self.update()

    def _index_at(self, point: QtCore.QPoint) -> Optional[int]:
        self._place()
        return next((i for i, rect in enumerate(self._rects) if rect.contains(point)), None)


def _widest(value: str) -> str:
    """Room for any value of about this many characters: entries do not move with each number."""
    return "0" * max(len(value), 5)


def _share(wanted: Sequence[int], room: float) -> float:
    """The width that no name may exceed so that all fit: short names leave room for long ones."""
    left, names = room, sorted(wanted)
    for i, width in enumerate(names):
        if width * (len(names) - i) > left:
            return left / (len(names) - i)
        left -= width
    return max(names, default=0)
