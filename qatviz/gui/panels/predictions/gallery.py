"""Gallery of examples that scrolls, and the selected example with the scores of both networks."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.gallery import GalleryLayout, ScoreBars, Shown, picture_ratio, picture_shapes
from qatviz.presentation.prediction_texts import example_lines, examples_table, score_rows
from qatviz.presentation.scene import Shape, Text

#: Largest number of classes of the selected example; largest height of its picture, relative to the widget's, and px.
_SCORES, _PICTURE_PART, _LARGEST_PX = 10, 0.4, 200.0
_MARGIN = 6.0


class GalleryView(SceneWidget):
    """Visible rows of the gallery; arrow keys move between the examples."""

    #: Emitted with the index of the example that the user selected.
    selected = QtCore.pyqtSignal(int)
    #: Emitted when the first visible row, or the number of rows, has changed.
    scrolled = QtCore.pyqtSignal()

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.figure_name = "predictions"
        self.shown: Optional[Shown] = None
        self.selection = -1
        self.first_row = 0
        self.menu = FigureMenu(self)
        self.caption = Caption("Examples by lost margin")
        self.empty = EmptyText(self)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setAccessibleName("Examples by lost margin")
        self.setMinimumSize(120, 80)

    def show_examples(self, shown: Optional[Shown], selection: int, empty: str) -> None:
        """Show examples, or ``empty`` if there are none."""
        self.shown, self.selection = shown, selection
        is_empty = shown is None or not len(shown.indices)
        self.empty.show_text(empty if is_empty else "")
        self.scroll_to(self.first_row)
        self.changed()

    @property
    def places(self) -> Optional[GalleryLayout]:
        """Positions of the examples at the present width; None if there are none."""
        return None if self.shown is None else GalleryLayout(self.shown, self.width(), self.metrics)

    @property
    def last_first_row(self) -> int:
        """The first visible row if the last one is at the bottom."""
        places = self.places
        return 0 if places is None else max(places.rows - max(int(self.height() // places.row), 1), 0)

    def scroll_to(self, row: int) -> None:
        """Make a row the first visible one, as far as possible."""
        row = min(max(row, 0), self.last_first_row)
        if row != self.first_row:
            self.first_row = row
            self.changed()
        self.scrolled.emit()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        places = self.places
        if places is None:
            return []
        return places.shapes(self.first_row, int(self.height() // places.row) + 1, self.selection)

    def table(self) -> Dict[str, Any]:
        """Return the shown examples by column."""
        shown = self.shown
        if shown is None or not len(shown.indices):
            return {}
        return examples_table(shown.found, shown.comparison, shown.indices.tolist())

    def center_of(self, place: int) -> QtCore.QPoint:
        """Return the middle of the example at a place of the list, in the widget."""
        places = self.places
        assert places is not None, "there are examples"
        row, column = divmod(place, places.columns)
        return QtCore.QPoint(int((column + 0.5) * places.cell), int((row - self.first_row + 0.5) * places.row))

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self.scroll_to(self.first_row)

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        turns = event.angleDelta().y()
        if turns:
            self.scroll_to(self.first_row - (1 if turns > 0 else -1))
        event.accept()

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip:
            index = self._index_at(event.pos())
            shown = self.shown
            text = "" if index < 0 or shown is None else "\n".join(example_lines(shown.found, shown.comparison, index))
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(text), self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        index = self._index_at(event.pos())
        if index >= 0 and event.button() == QtCore.Qt.LeftButton:
            self.selected.emit(index)
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        places, shown = self.places, self.shown
        page = 0 if places is None else max(int(self.height() // places.row), 1) * places.columns
        moves = {
            QtCore.Qt.Key_Left: -1,
            QtCore.Qt.Key_Right: 1,
            QtCore.Qt.Key_Up: -places.columns if places is not None else 0,
            QtCore.Qt.Key_Down: places.columns if places is not None else 0,
            QtCore.Qt.Key_PageUp: -page,
            QtCore.Qt.Key_PageDown: page,
        }
        ends = {QtCore.Qt.Key_Home: 0, QtCore.Qt.Key_End: -1}
        if shown is None or not len(shown.indices) or event.key() not in {**moves, **ends}:
            super().keyPressEvent(event)
            return
        last = len(shown.indices) - 1
        found = np.flatnonzero(shown.indices == self.selection)
        if event.key() in ends:
            place = last if ends[event.key()] else 0
        else:
            place = min(max(int(found[0]) + moves[event.key()], 0), last) if len(found) else 0
        self._select(place)

    def _select(self, place: int) -> None:
        """Select the example at a place of the list, and scroll to it."""
        places, shown = self.places, self.shown
        assert places is not None, "there are examples"
        assert shown is not None, "there are examples"
        row, visible = place // places.columns, max(int(self.height() // places.row), 1)
        self.scroll_to(min(max(self.first_row, row - visible + 1), row))
        self.selected.emit(int(shown.indices[place]))

    def _index_at(self, point: QtCore.QPoint) -> int:
        """Return the index of the example at a point; -1 for none."""
        places, shown = self.places, self.shown
        if places is None or shown is None:
            return -1
        place = places.place_at(point.x(), point.y(), self.first_row)
        return int(shown.indices[place]) if place >= 0 else -1

    def focusInEvent(self, event: QtGui.QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    def paint_over(self, painter: QtGui.QPainter) -> None:
        if self.hasFocus():
            painter.setPen(QtGui.QPen(self.theme.color("accent"), 1, QtCore.Qt.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))


class Gallery(QtWidgets.QWidget):
    """Gallery with a scroll bar."""

    def __init__(self, theme: Theme):
        super().__init__()
        self.view = GalleryView(theme)
        self.bar = QtWidgets.QScrollBar(QtCore.Qt.Vertical)
        self.bar.setFocusPolicy(QtCore.Qt.NoFocus)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.view, 1)
        row.addWidget(self.bar)
        self.view.scrolled.connect(self._on_scrolled)
        self.bar.valueChanged.connect(self.view.scroll_to)

    def _on_scrolled(self) -> None:
        blocker = QtCore.QSignalBlocker(self.bar)
        self.bar.setRange(0, self.view.last_first_row)
        self.bar.setPageStep(1)
        self.bar.setValue(self.view.first_row)
        blocker.unblock()


class ExampleView(SceneWidget):
    """Selected example, enlarged, with what both networks predict for it."""

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.figure_name = "example"
        self.shown: Optional[Shown] = None
        self.index = -1
        self.menu = FigureMenu(self)
        self.empty = EmptyText(self)
        self.setMinimumSize(120, 80)
        self.setAccessibleName("Selected example")

    def show_example(self, shown: Optional[Shown], index: int) -> None:
        """Show the example with an index; -1 for none."""
        self.shown, self.index = shown, index
        self.empty.show_text("" if index >= 0 else "Select an example to see its scores.")
        self.changed()

    def caption(self) -> Caption:
        """Return the caption of a saved figure."""
        return Caption("Selected example" if self.index < 0 else f"Example {self.index:,}")

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        shown, metrics = self.shown, self.metrics
        if shown is None or self.index < 0:
            return []
        width = self.width() - 2 * _MARGIN
        ratio = picture_ratio(shown)
        lines = example_lines(shown.found, shown.comparison, self.index)
        high = min(max(_PICTURE_PART * self.height(), len(lines) * metrics.height), _LARGEST_PX, width / ratio)
        wide = high * ratio
        shapes: List[Shape] = picture_shapes(shown, self.index, (_MARGIN, _MARGIN, _MARGIN + wide, _MARGIN + high))
        longest = max(map(metrics.width, lines))
        is_beside = wide + _MARGIN + longest <= width
        left, y = (2 * _MARGIN + wide, _MARGIN) if is_beside else (_MARGIN, 2 * _MARGIN + high)
        for number, line in enumerate(lines):
            base = y + number * metrics.height + metrics.ascent
            shapes.append(Text(left, base, metrics.elided(line, self.width() - left - _MARGIN), "text"))
        top = max(y + len(lines) * metrics.height, _MARGIN + high)
        top += _MARGIN
        rows = score_rows(shown.found, self.index, _SCORES)
        bars = ScoreBars(rows, width, metrics)
        if top + bars.height > self.height():
            legend = bars.height - bars.row * len(rows)
            room = max(int((self.height() - top - legend) // bars.row), 1)
            bars = ScoreBars(score_rows(shown.found, self.index, room), width, metrics)
        return [*shapes, *bars.shapes(_MARGIN, top)]
