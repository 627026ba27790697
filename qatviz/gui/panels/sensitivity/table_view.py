"""Picture of the sensitivities, with a header that stays while the rows scroll."""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.scene import Shape
from qatviz.presentation.sensitivity import Cell, SensitivityLayout, SensitivityTable

#: Moves of the cell under the keyboard, by key: rows and columns.
_MOVES = {
    QtCore.Qt.Key_Up: (-1, 0),
    QtCore.Qt.Key_Down: (1, 0),
    QtCore.Qt.Key_Left: (0, -1),
    QtCore.Qt.Key_Right: (0, 1),
}


class SensitivityHeader(SceneWidget):
    """Titles of the columns; a click sorts by one, and at the names in the order of the network."""

    #: Emitted with the column that was clicked, -1 for the names.
    clicked = QtCore.pyqtSignal(int)
    ground = "raised"

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.table: Optional[SensitivityTable] = None
        self.sorted_by: Optional[int] = None
        self.setToolTip("Sort by this column, the most sensitive tensor first; by name: in the order of the network")
        self.setCursor(QtCore.Qt.PointingHandCursor)

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        return [] if self.table is None else self._places(self.table).header_shapes(self.sorted_by)

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(320, int(self.metrics.height) + 4)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        if self.table is not None and event.button() == QtCore.Qt.LeftButton:
            self.clicked.emit(self._places(self.table).column_at(event.x()))

    def _places(self, table: SensitivityTable) -> SensitivityLayout:
        return SensitivityLayout(table, self.width(), self.metrics)


class SensitivityRows(SceneWidget):
    """Rows of the table: hover explains a cell, a click selects its tensor, a double click applies its bits."""

    #: Emitted with the tensor that was clicked, and whether it is added to the selection.
    selected = QtCore.pyqtSignal(str, bool)
    #: Emitted with a tensor and the number of bits that was double-clicked.
    chosen = QtCore.pyqtSignal(str, int)
    #: Emitted with the cell that the keyboard moved to.
    moved = QtCore.pyqtSignal(object)

    def __init__(self, theme: Theme, text_of: Callable[[Cell], Sequence[str]]):
        super().__init__(theme)
        self.shown: Optional[SensitivityTable] = None
        self.selection: Tuple[str, ...] = ()
        self.cursor_cell = Cell(0, 0)
        self._text_of = text_of
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setAccessibleName("Sensitivity by tensor and bits")

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        if self.shown is None:
            return []
        places = self.places(self.shown)
        if not is_figure:
            return places.row_shapes(self.selection)
        return [*places.header_shapes(None), *places.row_shapes(self.selection, places.row)]

    def places(self, table: SensitivityTable) -> SensitivityLayout:
        """Return the positions of the cells at the present width."""
        return SensitivityLayout(table, self.width(), self.metrics)

    def show_table(self, table: Optional[SensitivityTable], selection: Tuple[str, ...]) -> None:
        """Show a table, or nothing."""
        self.shown, self.selection = table, selection
        places = None if table is None else self.places(table)
        self.setMinimumHeight(0 if places is None else int(places.height + places.row))  # a figure has a header
        self.changed()

    def table(self) -> Dict[str, Any]:
        """Return the values by column."""
        if self.shown is None:
            return {}
        columns = dict(zip(self.shown.titles, self.shown.values.T))
        return {"tensor": list(self.shown.names), **columns}

    def paint_over(self, painter: QtGui.QPainter) -> None:
        if self.shown is None or not self.hasFocus():
            return
        places, cell = self.places(self.shown), self._kept(self.shown)
        left = places.left + cell.column * places.column
        painter.setPen(QtGui.QPen(self.theme.color("accent"), 1, QtCore.Qt.DotLine))
        painter.drawRect(QtCore.QRectF(left, cell.row * places.row, places.column - 2, places.row - 2))

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ToolTip and self.shown is not None:
            cell = self.places(self.shown).cell_at(event.pos().x(), event.pos().y())
            text = "" if cell is None else "\n".join(self._text_of(cell))
            QtWidgets.QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        cell = self._cell_at(event)
        if cell is not None and self.shown is not None and event.button() == QtCore.Qt.LeftButton:
            self.cursor_cell = Cell(cell.row, max(cell.column, 0))
            self.selected.emit(self.shown.names[cell.row], bool(event.modifiers() & QtCore.Qt.ControlModifier))
        else:
            super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        cell = self._cell_at(event)
        if cell is not None and event.button() == QtCore.Qt.LeftButton:
            self._choose(cell)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        move = _MOVES.get(event.key())
        if self.shown is None or (move is None and event.key() not in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter)):
            super().keyPressEvent(event)
            return
        if move is None:
            self._choose(self._kept(self.shown))
            return
        cell = self._kept(self.shown)
        self.cursor_cell = Cell(cell.row + move[0], cell.column + move[1])
        self.cursor_cell = self._kept(self.shown)
        self.moved.emit(self.cursor_cell)
        if move[0]:
            self.selected.emit(self.shown.names[self.cursor_cell.row], False)
        self.update()

    def _kept(self, table: SensitivityTable) -> Cell:
        """Return the cell under the keyboard, within the table."""
        row, column = self.cursor_cell
        return Cell(min(max(row, 0), len(table.names) - 1), min(max(column, 0), len(table.titles) - 1))

    def _cell_at(self, event: QtGui.QMouseEvent) -> Optional[Cell]:
        return None if self.shown is None else self.places(self.shown).cell_at(event.x(), event.y())

    def _choose(self, cell: Cell) -> None:
        if self.shown is not None and 0 <= cell.column < len(self.shown.widths):
            self.chosen.emit(self.shown.names[cell.row], self.shown.widths[cell.column])
