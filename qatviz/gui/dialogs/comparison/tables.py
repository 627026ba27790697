"""Tables of a comparison: texts of rows by run, with differences in colours."""

from typing import List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.analysis.comparison import MeasureRow, SettingRow
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.tables import set_up_table, style_table
from qatviz.gui.widgets.theme import Theme

_ROLES = {1: "good", -1: "bad"}
_WIDEST = 260


class ComparisonTable(QtWidgets.QTableWidget):
    """Read-only table with a row for each setting or measure, and a column for each run."""

    def __init__(self, theme: Theme, name: str):
        super().__init__()
        self._theme = theme
        self._cells: List[List[Tuple[str, int]]] = []
        set_up_table(self)
        self.setHorizontalScrollMode(self.ScrollPerPixel)
        self.setAccessibleName(name)

    def show_settings(self, names: Sequence[str], rows: Sequence[SettingRow]) -> None:
        """Show settings that differ."""
        self._show("Setting", names, [row.path for row in rows], [[(text, 0) for text in row.texts] for row in rows])

    def show_measures(self, title: str, names: Sequence[str], rows: Sequence[MeasureRow]) -> None:
        """Show measures with their differences to the first run."""
        cells = [
            [
                (f"{text}  ({difference})" if difference else text, better)
                for text, difference, better in zip(row.texts, row.differences, row.better)
            ]
            for row in rows
        ]
        self._show(title, names, [row.title for row in rows], cells)

    def _show(self, title: str, names: Sequence[str], heads: Sequence[str], cells: List[List[Tuple[str, int]]]) -> None:
        selected = self.selected_head()
        self._cells = cells
        self.setColumnCount(len(names) + 1)
        self.setHorizontalHeaderLabels([title, *names])
        self.setRowCount(len(heads))
        for row, head in enumerate(heads):
            self.setItem(row, 0, _item(head, False))
            for column, (text, _) in enumerate(cells[row], start=1):
                self.setItem(row, column, _item(text, True))
        self.apply_theme()
        for row, head in enumerate(heads):
            if head == selected:
                self.selectRow(row)

    def selected_head(self) -> Optional[str]:
        """Return the text at the left of the selected row; None without one."""
        item = self.item(self.currentRow(), 0)
        return item.text() if item is not None else None

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        style_table(self, self._theme)
        for row, cells in enumerate(self._cells):
            for column, (_, better) in enumerate(cells, start=1):
                item = self.item(row, column)
                if item is not None:
                    item.setForeground(self._theme.color(_ROLES.get(better, "text")))
        self.resizeColumnsToContents()
        for column in range(self.columnCount()):
            self.setColumnWidth(column, min(self.columnWidth(column) + 8, _WIDEST))


def _item(text: str, is_value: bool) -> QtWidgets.QTableWidgetItem:
    item = QtWidgets.QTableWidgetItem(text)
    item.setToolTip(plain_tip(text))
    if is_value:
        item.setTextAlignment(int(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter))
    return item
