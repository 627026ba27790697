"""Heading of a plot: title, and the curves with their values; a click shows or hides a curve."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution.marked_line import MarkedLine
from qatviz.gui.panels.evolution.time_axis import left_margin
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.scene_painter import scene_painter, small_font
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.scene import SMALL, Stroke

_SWATCH, _GAP = 16, 12
#: Minimum width of an elided name, px.
_MIN_NAME_PX = 40
#: Endings of names, and their abbreviations where there is little room.
_SHORT_NAMES = (
    (".weights", ".w"),
    (".activations", ".a"),
    ("weights only", "w only"),
    ("activations only", "a only"),
)


class Entry(NamedTuple):
    """Entry of one curve, which ``key`` identifies and ``stroke`` draws."""

    key: str
    name: str
    value: str
    stroke: Stroke
    hidden: bool = False
    about: str = ""


class Legend(MarkedLine):
    """Title and entries in a line; arrow keys move the focus, the space bar shows or hides a curve."""

    #: Emitted with the key of an entry to show or hide.
    toggled = QtCore.pyqtSignal(str)

    def __init__(self, theme: Theme, title: str, about: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme = theme
        self.entries: List[Entry] = []
        self._rects: List[QtCore.QRect] = []
        self._current = 0
        self.set_title(title, about)
        self.setAttribute(QtCore.Qt.WA_OpaquePaintEvent)  # nothing behind it has to be painted
        self.setFocusPolicy(QtCore.Qt.TabFocus)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)

    def set_title(self, title: str, about: str) -> None:
        """Set the title and its tooltip."""
        self.title, self._about = title, about
        self.setAccessibleName("Legend of " + title)
        self.update()

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(120, QtGui.QFontMetrics(small_font(self.font())).height() + 4)

    def set_entries(self, entries: Sequence[Entry]) -> None:
        """Show ``entries``; repaint only if they have changed."""
        if list(entries) != self.entries:
            self.entries = list(entries)
            self._current = min(self._current, max(len(self.entries) - 1, 0))
            self.setAccessibleDescription(", ".join(f"{e.name} {e.value}" for e in self.entries))
            self.update()

    def entry_rect(self, key: str) -> QtCore.QRect:
        """Return the rectangle of the entry ``key``; empty if there is no such entry."""
        self._place()
        return next((rect for entry, rect in zip(self.entries, self._rects) if entry.key == key), QtCore.QRect())

    # Drawing

    def _place(self) -> List[Tuple[str, str]]:
        """Place all entries; return their names and values, shortened to fit."""
        font = small_font(self.font())
        metrics = QtGui.QFontMetrics(font)
        bold = QtGui.QFont(font)
        bold.setBold(True)
        margin = left_margin(scene_painter(self.theme, self.font()).metrics[SMALL])
        start = max(margin, 8 + QtGui.QFontMetrics(bold).horizontalAdvance(self.title) + _GAP)
        fit = _Fit(metrics, self.entries, self.width() - start)
        self._rects, x = [], start
        for _name, width in zip(fit.names, fit.widths):
            self._rects.append(QtCore.QRect(int(x), 0, int(width) - 3, self.height()))
            x += width
        return list(zip(fit.names, fit.values))

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(self.rect(), self.theme.color("base"))
        scene = scene_painter(self.theme, self.font())
        texts, font = self._place(), small_font(self.font())
        bold = QtGui.QFont(font)
        bold.setBold(True)
        painter.setFont(bold)
        painter.setPen(self.theme.color("text"))
        painter.drawText(self.rect().adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, self.title)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        for i, (entry, (name, value), rect) in enumerate(zip(self.entries, texts, self._rects)):
            middle = rect.center().y() + 1
            stroke = entry.stroke._replace(width=2.0 if entry.stroke.dash else 3.0)
            painter.setPen(scene.pen(stroke._replace(role="muted", width=1.0) if entry.hidden else stroke))
            painter.drawLine(rect.left(), middle, rect.left() + _SWATCH - 4, middle)
            left = rect.left() + _SWATCH
            painter.setPen(self.theme.color("muted"))
            painter.drawText(left, 0, rect.right() - left, rect.height(), QtCore.Qt.AlignVCenter, name)
            if entry.hidden and name:
                painter.drawLine(left, middle, left + metrics.horizontalAdvance(name), middle)
            left += metrics.horizontalAdvance(name) + 4 if name else 0
            if not entry.hidden:
                painter.setPen(self.theme.color("text"))
                painter.drawText(left, 0, rect.right() - left, rect.height(), QtCore.Qt.AlignVCenter, value)
            if self.hasFocus() and i == self._current:
                painter.setPen(QtGui.QPen(self.theme.color("accent"), 1, QtCore.Qt.DotLine))
                painter.drawRect(rect.adjusted(-2, 0, 0, -1))

    # User actions

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        index = self._index_at(event.pos())
        if event.button() == QtCore.Qt.LeftButton and index is not None:
            self._current = index
            self.toggled.emit(self.entries[index].key)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        step = HORIZONTAL.get(event.key(), 0)
        if not self.entries or not (step or event.key() == QtCore.Qt.Key_Space):
            super().keyPressEvent(event)
            return
        if step:
            self._current = (self._current + step) % len(self.entries)
        else:
            self.toggled.emit(self.entries[self._current].key)
        self.update()

    def tip_at(self, point: QtCore.QPoint) -> str:
        index = self._index_at(point)
        if index is None:
            return self._about
        entry = self.entries[index]
        about = entry.about + "\n" if entry.about else ""
        return f"{entry.name}: {entry.value}\n{about}Click: {'show' if entry.hidden else 'hide'} this curve."

    def _index_at(self, point: QtCore.QPoint) -> Optional[int]:
        self._place()
        return next((i for i, rect in enumerate(self._rects) if rect.contains(point)), None)


class _Fit:
    """Names and values of entries as they fit into a line of ``room`` pixels.

    Names are first abbreviated, then elided to no less than ``_MIN_NAME_PX``, then omitted; values are omitted last. A
    swatch for each curve always remains.
    """

    def __init__(self, metrics: QtGui.QFontMetrics, entries: Sequence[Entry], room: float):
        self.values = [entry.value for entry in entries]
        # Room for other values of the same length, so that entries do not move with each number.
        spare = [
            _SWATCH + max(metrics.horizontalAdvance("0" * max(len(v), 5)), metrics.horizontalAdvance(v)) + _GAP
            for v in self.values
        ]
        tight = [_SWATCH + metrics.horizontalAdvance(v) + _GAP - 4 for v in self.values]
        full, short = [e.name for e in entries], [_shortened(e.name) for e in entries]
        for names, fixed in ((full, spare), (short, spare), (short, tight)):
            wanted = [metrics.horizontalAdvance(name) + 5 if name else 0 for name in names]
            if sum(wanted) + sum(fixed) <= room:
                self._settle(names, wanted, fixed)
                return
        limit = _name_limit(wanted, room - sum(tight))
        if limit >= _MIN_NAME_PX:
            cut = [metrics.elidedText(name, QtCore.Qt.ElideMiddle, int(limit) - 5) for name in short]
            self._settle(cut, [min(width, limit) for width in wanted], tight)
        elif sum(tight) <= room:
            self._settle([""] * len(entries), [0] * len(entries), tight)
        else:
            self.values = [""] * len(entries)
            swatch = min(_SWATCH + 4.0, max(room / max(len(entries), 1), 6.0))
            self._settle([""] * len(entries), [0] * len(entries), [swatch] * len(entries))

    def _settle(self, names: Sequence[str], name_widths: Sequence[float], fixed: Sequence[float]) -> None:
        self.names = list(names)
        self.widths = [name + rest for name, rest in zip(name_widths, fixed)]


def _shortened(name: str) -> str:
    """Return an abbreviated name: ``conv1.w`` for ``conv1.weights``, ``w only`` for ``weights only``."""
    for long, short in _SHORT_NAMES:
        if name.endswith(long):
            return name[: -len(long)] + short
    return name


def _name_limit(wanted: Sequence[int], room: float) -> float:
    """Return the maximum width of a name at which all fit; short names leave room for long ones."""
    left, names = room, sorted(wanted)
    for i, width in enumerate(names):
        if width * (len(names) - i) > left:
            return left / (len(names) - i)
        left -= width
    return max(names, default=0)
