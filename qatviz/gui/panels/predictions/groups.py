"""Table of the scores by class, label or number to predict."""

from typing import List, Optional

from PyQt5 import QtCore, QtGui

from qatviz.analysis.predictions import OutputPredictions, group_scores
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.tables import Table, set_up_table, style_table
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.prediction_texts import column_heads, group_cells

#: Smallest loss that is coloured: half of the last digit of a percentage.
_VISIBLE = 5e-4
_INDEX = QtCore.Qt.UserRole


class GroupTable(Table):
    """Classes, labels or numbers, those that lose most first."""

    #: Emitted with the index of the class or label whose examples the user wants to see.
    chosen = QtCore.pyqtSignal(int)

    def __init__(self, theme: Theme):
        super().__init__()
        self._theme = theme
        self.rows = QtGui.QStandardItemModel(self)
        self.setModel(self.rows)
        set_up_table(self)
        self.setSelectionMode(self.SingleSelection)
        self.setAccessibleName("Scores by class")
        self.setToolTip("Those that lose most come first. A double click, or Return, shows the examples.")
        self.doubleClicked.connect(lambda place: self._choose(place.row()))

    def show_scores(self, found: Optional[OutputPredictions]) -> None:
        """Show the scores of an output."""
        self.rows.clear()
        if found is None:
            return
        heads = column_heads(found.task)
        self.rows.setHorizontalHeaderLabels([title for title, _ in heads])
        for column, (_, about) in enumerate(heads):
            self.rows.horizontalHeaderItem(column).setToolTip(about)
        for row in group_scores(found):
            cells = [_item(text, place > 0) for place, text in enumerate(group_cells(found, row))]
            cells[0].setData(row.group, _INDEX)
            if abs(row.lost) > _VISIBLE:
                cells[-1].setForeground(self._theme.color("bad" if row.lost > 0 else "good"))
            self.rows.appendRow(cells)
        style_table(self, self._theme)
        self.resizeColumnsToContents()

    def texts(self) -> List[List[str]]:
        """Return the texts of all rows."""
        columns = range(self.rows.columnCount())
        return [[self.rows.item(row, column).text() for column in columns] for row in range(self.rows.rowCount())]

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        if event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter) and self.currentIndex().isValid():
            self._choose(self.currentIndex().row())
        else:
            super().keyPressEvent(event)

    def _choose(self, row: int) -> None:
        self.chosen.emit(int(self.rows.item(row, 0).data(_INDEX)))


def _item(text: str, is_number: bool) -> QtGui.QStandardItem:
    item = QtGui.QStandardItem(text)
    item.setToolTip(plain_tip(text))
    if is_number:
        item.setTextAlignment(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)
    return item
