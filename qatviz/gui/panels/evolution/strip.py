"""Strip above the evolution plots: a flag for each marker; flags without room are merged."""

from bisect import bisect_left
from typing import Callable, List, NamedTuple, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.evolution.marked_line import MarkedLine
from qatviz.gui.panels.evolution.markers import Marker
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.scene_painter import blend, small_font
from qatviz.gui.widgets.theme import Theme

_PADDING, _GAP = 5, 3
_MAX_LABEL_LENGTH = 16
_ABOUT = "Changes of the run; click one for its effect, undo and rewind."


class Flag(NamedTuple):
    """Markers under one label, and its rectangle."""

    markers: Sequence[Marker]
    label: str
    rect: QtCore.QRect


class MarkerStrip(MarkedLine):
    """Flags of the markers in the visible part of the run; a click or the keyboard chooses one.

    Parameters
    ----------
    theme : Theme
    tip_of : callable
        Returns the tooltip of some markers.
    """

    #: Emitted with the markers under a flag, and the position for their menu.
    chosen = QtCore.pyqtSignal(object, QtCore.QPoint)
    #: Emitted with the markers under the flag that the keyboard moved to.
    moved = QtCore.pyqtSignal(object)

    def __init__(
        self, theme: Theme, tip_of: Callable[[Sequence[Marker]], str], parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self.theme, self._tip_of = theme, tip_of
        self._markers: List[Marker] = []
        self._pixels: List[float] = []
        self._edges = 0.0, 0.0
        self._selected: Optional[int] = None
        self.setFocusPolicy(QtCore.Qt.TabFocus)
        self.setAccessibleName("Markers of changes")
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(120, QtGui.QFontMetrics(small_font(self.font())).height() + 4)

    def set_markers(
        self, markers: Sequence[Marker], pixels: Sequence[float], left: float, right: float, selected: Optional[int]
    ) -> None:
        """Show the markers between the pixels ``left`` and ``right``.

        Parameters
        ----------
        markers : sequence of Marker
            All markers, ascending.
        pixels : sequence of float
            Their positions, px, ascending.
        left, right : float
            Left and right edge of the plots, px.
        selected : int or None
            Step of the selected marker.
        """
        state = list(markers), list(pixels), (left, right), selected
        if state != (self._markers, self._pixels, self._edges, self._selected):
            self._markers, self._pixels, self._edges, self._selected = state
            self.setAccessibleDescription(", ".join(flag.label for flag in self.flags()))
            self.update()

    def flags(self) -> List[Flag]:
        """Return the flags from left to right; no two overlap."""
        metrics = QtGui.QFontMetrics(small_font(self.font()))
        left, right = self._edges
        begin, end = bisect_left(self._pixels, left), bisect_left(self._pixels, right + 1)
        groups: List[_Group] = []
        for marker, pixel in zip(self._markers[begin:end], self._pixels[begin:end]):
            groups.append(_Group([marker], pixel, self._edges[1], metrics))
            while len(groups) > 1 and groups[-1].left <= groups[-2].right + _GAP:
                last, before = groups.pop(), groups.pop()
                groups.append(_Group(before.markers + last.markers, before.pixel, self._edges[1], metrics))
        for group, following in zip(groups, [*groups[1:], None]):
            group.spell_out(self._edges[1] if following is None else following.left - _GAP)
        return [
            Flag(
                group.markers,
                group.label,
                QtCore.QRect(int(group.left), 1, int(group.right - group.left), self.height() - 2),
            )
            for group in groups
        ]

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        base = self.theme.color("base")
        painter.fillRect(self.rect(), base)
        painter.setFont(small_font(self.font()))
        for flag in self.flags():
            selected = any(marker.step == self._selected for marker in flag.markers)
            color = self.theme.color(flag.markers[-1].color)
            painter.fillRect(flag.rect, color if selected else blend(color, base, 0.22))
            painter.fillRect(QtCore.QRect(flag.rect.left(), 1, 2, flag.rect.height()), color)
            painter.setPen(base if selected else self.theme.color("text"))
            painter.drawText(flag.rect.adjusted(2, 0, 0, 0), QtCore.Qt.AlignCenter, flag.label)
        if self.hasFocus():
            painter.setPen(QtGui.QPen(self.theme.color("accent"), 1, QtCore.Qt.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    # User actions

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        flag = self._flag_at(event.pos())
        if flag is not None:
            self.chosen.emit(flag.markers, self.mapToGlobal(flag.rect.bottomLeft()))

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        flags, step = self.flags(), HORIZONTAL.get(event.key(), 0)
        enter = event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter, QtCore.Qt.Key_Space)
        if not flags or not (step or enter):
            super().keyPressEvent(event)
            return
        at = next((i for i, flag in enumerate(flags) if any(m.step == self._selected for m in flag.markers)), None)
        if step:
            at = (0 if step > 0 else len(flags) - 1) if at is None else min(max(at + step, 0), len(flags) - 1)
            self.moved.emit(flags[at].markers)
        elif at is not None:
            self.chosen.emit(flags[at].markers, self.mapToGlobal(flags[at].rect.bottomLeft()))

    def tip_at(self, point: QtCore.QPoint) -> str:
        flag = self._flag_at(point)
        return self._tip_of(flag.markers) if flag is not None else _ABOUT

    def _flag_at(self, point: QtCore.QPoint) -> Optional[Flag]:
        return next((flag for flag in self.flags() if flag.rect.contains(point)), None)


class _Group:
    """Markers that share a flag, which shows their number unless there is room for words."""

    def __init__(self, markers: List[Marker], pixel: float, limit: float, metrics: QtGui.QFontMetrics):
        self.markers, self.pixel, self._limit, self._metrics = markers, pixel, limit, metrics
        self._write(markers[0].label if len(markers) == 1 else str(len(markers)))

    def spell_out(self, until: float) -> None:
        """Replace the number by words if they fit before ``until``."""
        label, n = self.markers[0].label, len(self.markers)
        if n > 1:
            words = f"{label} ×{n}" if all(m.label == label for m in self.markers) else f"{n} changes"
            if self.pixel + self._width(words) <= until:
                self._write(words)

    def _write(self, label: str) -> None:
        self.label = label if len(label) <= _MAX_LABEL_LENGTH else label[: _MAX_LABEL_LENGTH - 1] + "…"
        width = self._width(self.label)
        self.left = min(self.pixel, self._limit - width)
        self.right = self.left + width

    def _width(self, label: str) -> float:
        return self._metrics.horizontalAdvance(label) + 2 * _PADDING
