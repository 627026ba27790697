"""Model of the table of layers for Qt's views, and its filter."""

from typing import Any, List, Optional, Sequence

from PyQt5 import QtCore
from PyQt5.QtCore import Qt

from qatviz.analysis.verdict import LEVEL_NAMES, WARNING
from qatviz.gui.panels.layers.columns import COLUMNS, INDEX
from qatviz.gui.panels.layers.rows import Rows
from qatviz.gui.widgets.theme import Theme
from qatviz.name_lookup import matches_pattern
from qatviz.network.plan import QuantizedTensor

SORT_ROLE = Qt.UserRole
_NUMBER, _TEXT = int(Qt.AlignRight | Qt.AlignVCenter), int(Qt.AlignLeft | Qt.AlignVCenter)


class LayersModel(QtCore.QAbstractTableModel):
    """Model of ``rows``; code that changes them must repaint the view's visible cells."""

    def __init__(self, theme: Theme, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self.rows, self._theme = Rows(), theme

    def show_tensors(self, tensors: Sequence[QuantizedTensor]) -> None:
        """Replace all rows."""
        self.beginResetModel()
        self.rows.clear(tensors)
        self.endResetModel()

    # Qt

    def rowCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows.tensors)

    def columnCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(COLUMNS)

    def flags(self, index: QtCore.QModelIndex) -> Qt.ItemFlags:
        is_bits = index.isValid() and COLUMNS[index.column()].key == "num_bits"
        return super().flags(index) | (Qt.ItemIsEditable if is_bits else Qt.NoItemFlags)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.DisplayRole) -> Any:
        if orientation != Qt.Horizontal:
            return None
        column = COLUMNS[section]
        if role == Qt.DisplayRole:
            return column.header
        if role == Qt.ToolTipRole:
            return f"<b>{column.title}</b><br>{column.help}"
        if role == Qt.AccessibleTextRole:
            return column.title
        if role == Qt.TextAlignmentRole:
            return _NUMBER if column.is_number else _TEXT
        return None

    def data(self, index: QtCore.QModelIndex, role: int = Qt.DisplayRole) -> Any:
        if not self.rows.settings:
            return None
        row, column = index.row(), COLUMNS[index.column()]
        if role == SORT_ROLE:
            return self.rows.sort_value(row, column)
        if role == Qt.ToolTipRole:
            return self.rows.tooltip(row, column)
        if role == Qt.TextAlignmentRole:
            return _NUMBER if column.is_number else _TEXT
        if role not in (Qt.DisplayRole, Qt.AccessibleTextRole, Qt.ForegroundRole):
            return None
        cell = self.rows.cell(row, column)
        if role == Qt.ForegroundRole:
            return self._theme.color("ghost" if cell.pending else LEVEL_NAMES[cell.level] or "text")
        text = f"{cell.text} → {cell.pending}" if cell.pending else cell.text
        if role == Qt.AccessibleTextRole:
            text = LEVEL_NAMES[cell.level] or "in float" if column.key == "verdict" else text
            text += ", " + LEVEL_NAMES[cell.level] if column.key != "verdict" and cell.level >= WARNING else ""
        return text


class LayersFilter(QtCore.QSortFilterProxyModel):
    """Filter by kind, and by names with all words of a text (``*`` and ``?`` are wildcards)."""

    def __init__(self, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._words: List[str] = []
        self._kind: str = ""
        self.setSortRole(SORT_ROLE)
        # LayersPanel sorts rows itself; Qt would move them whenever a number changes.
        self.setDynamicSortFilter(False)

    def set_text(self, text: str) -> None:
        self._words = [f"*{word}*" for word in text.lower().split()]
        self.invalidateFilter()

    def set_kind(self, kind: str) -> None:
        """Set the kind: ``weights``, ``activations``, or an empty text for both."""
        self._kind = kind
        self.invalidateFilter()

    def resort(self) -> None:
        """Sort by the present values, unless the rows are still in order."""
        if self.sortColumn() < 0:
            return
        rows, column = self.sourceModel().rows, COLUMNS[self.sortColumn()]
        values = [rows.sort_value(row, column) for row in self.source_rows()]
        if self.sortOrder() == Qt.DescendingOrder:
            values.reverse()
        if any(later < earlier for earlier, later in zip(values, values[1:])):
            self.invalidate()

    def tensor(self, row: int) -> str:
        """Return the name of the tensor in a row."""
        return self.sourceModel().rows.tensors[self.mapToSource(self.index(row, 0)).row()].name

    def source_rows(self) -> List[int]:
        """Return the index in the plan of each shown row, from top to bottom."""
        return [self.mapToSource(self.index(row, 0)).row() for row in range(self.rowCount())]

    def row_of(self, tensor: str) -> int:
        """Return the row of a tensor; -1 if it is not shown."""
        source = self.sourceModel()
        names = [t.name for t in source.rows.tensors]
        if tensor not in names:
            return -1
        return self.mapFromSource(source.index(names.index(tensor), INDEX["name"])).row()

    # Qt

    def filterAcceptsRow(self, source_row: int, source_parent: QtCore.QModelIndex) -> bool:
        tensor = self.sourceModel().rows.tensors[source_row]
        name = tensor.name.lower()
        return self._kind in ("", tensor.kind) and all(matches_pattern(name, word) for word in self._words)
