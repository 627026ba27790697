"""Rows of the sensitivity table, in which the arrow keys also move between cells."""

from typing import Optional

from PyQt5 import QtCore, QtGui

from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.scene_table import SceneRows
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.sensitivity import Cell, SensitivityLayout


class SensitivityRows(SceneRows):
    """Rows with a current cell, which Left and Right move; a double click or Return chooses a cell."""

    #: Emitted with the row and the column of the cell that the user chooses.
    chosen = QtCore.pyqtSignal(int, int)

    def __init__(self, theme: Theme):
        super().__init__(theme, "Sensitivity by tensor and bits")
        self._column = 0  # of the cell that keys apply to

    def places(self) -> Optional[SensitivityLayout]:
        found = super().places()
        assert found is None or isinstance(found, SensitivityLayout), "the content is a table of sensitivities"
        return found

    def paint_over(self, painter: QtGui.QPainter) -> None:
        places, row = self.places(), self.current_row()
        if places is None or row is None or not self.hasFocus():
            return
        left = places.left + min(self._column, places.columns - 1) * places.column
        painter.setPen(QtGui.QPen(self.theme.color("accent"), 1, QtCore.Qt.DotLine))
        painter.drawRect(QtCore.QRectF(left, row * places.row, places.column - 2, places.row - 2))

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        cell = self._cell_at(event)
        if cell is not None and event.button() == QtCore.Qt.LeftButton:
            self._column = max(cell.column, 0)
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        cell = self._cell_at(event)
        if cell is not None and event.button() == QtCore.Qt.LeftButton:
            self.chosen.emit(cell.row, cell.column)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        places, row, move = self.places(), self.current_row(), HORIZONTAL.get(event.key())
        if places is None or row is None:
            super().keyPressEvent(event)
        elif move is not None:
            self._column = min(max(self._column + move, 0), places.columns - 1)
            self.moved.emit(row)
            self.update()
        elif event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter):
            self.chosen.emit(row, self._column)
        else:
            super().keyPressEvent(event)

    def _cell_at(self, event: QtGui.QMouseEvent) -> Optional[Cell]:
        places = self.places()
        return None if places is None else places.cell_at(event.x(), event.y())
