"""Tables of the results of an export's proof, with a column for each name in their rows."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.tables import set_up_table, style_table
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.proof_values import proof_number

_LEFT, _RIGHT = (int(side | QtCore.Qt.AlignVCenter) for side in (QtCore.Qt.AlignLeft, QtCore.Qt.AlignRight))
_SORT = QtCore.Qt.UserRole
_PADDING = 8
#: Titles and tooltips of columns, by the path of their value in a row.
_TITLES = {
    "identical": "Identical",
    "largest": "Largest difference",
    "top1": "Top-1",
    "close": "Within the tolerance",
    "relative": "Relative difference",
    "unexplained": "Unexplained",
    "own.identical": "Identical, same inputs",
    "own.largest": "Largest, same inputs",
    "whole.identical": "Identical",
    "whole.largest": "Largest difference",
}
_TIPS = {
    "identical": "Fraction of identical codes",
    "largest": "Largest difference between a computed code (or value) and the expected one",
    "top1": "Fraction of examples with the same most probable class",
    "close": "Fraction of values whose difference is within the tolerance",
    "relative": "Largest difference, relative to the largest absolute value",
    "own.identical": "Fraction of identical codes if the operation is given identical inputs, which excludes "
    "differences of earlier layers",
    "own.largest": "Largest difference of codes if the operation is given identical inputs",
    "unexplained": "Number of codes whose difference exceeds that of another rounding mode; 0 in a correct file",
}


class RecordTable(QtCore.QAbstractTableModel):
    """Rows of numbers and texts; the columns are all names in the rows."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._rows = [flat(row) for row in rows]
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))

    def rowCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._columns)

    def headerData(self, section: int, orientation: int, role: int = QtCore.Qt.DisplayRole) -> Any:
        if orientation != QtCore.Qt.Horizontal:
            return None
        name = self._columns[section]
        if role == QtCore.Qt.DisplayRole:
            return _TITLES.get(name) or name.replace("_", " ").replace(".", " ").capitalize()
        if role == QtCore.Qt.ToolTipRole:
            return _TIPS.get(name) or _TIPS.get(name.rpartition(".")[2])
        if role == QtCore.Qt.TextAlignmentRole:
            return _LEFT if any(isinstance(row.get(name), str) for row in self._rows) else _RIGHT
        return None

    def data(self, index: QtCore.QModelIndex, role: int = QtCore.Qt.DisplayRole) -> Any:
        name = self._columns[index.column()]
        value = self._rows[index.row()].get(name)
        if role == QtCore.Qt.DisplayRole:
            return shown(name, value)
        if role == _SORT:
            return value
        if role == QtCore.Qt.TextAlignmentRole and not isinstance(value, str):
            return _RIGHT
        return None

    def table(self) -> Dict[str, List[Any]]:
        """Return the values of each column."""
        return {name: [row.get(name) for row in self._rows] for name in self._columns}


class RecordView(QtWidgets.QTableView):
    """Sortable table that can be copied and saved."""

    def __init__(self, name: str, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.figure_name = name.lower()
        self.setAccessibleName(name)
        set_up_table(self)
        self._theme: Theme = theme
        self._source: Optional[RecordTable] = None
        self._sorted = QtCore.QSortFilterProxyModel(self)
        self._sorted.setSortRole(_SORT)
        self.setModel(self._sorted)
        self.menu = FigureMenu(self)
        theme.changed.connect(self.apply_theme)

    def show_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show ``rows`` in this order until a column is clicked."""
        self._source = RecordTable(rows, self)
        self.setSortingEnabled(False)
        self._sorted.setSourceModel(self._source)
        self._sorted.sort(-1)
        self.horizontalHeader().setSortIndicator(-1, QtCore.Qt.AscendingOrder)
        self.setSortingEnabled(True)
        self.apply_theme()

    def table(self) -> Dict[str, List[Any]]:
        """Return the values of each column, as sorted."""
        if self._source is None:
            return {}
        order = [self._sorted.mapToSource(self._sorted.index(row, 0)).row() for row in range(self._sorted.rowCount())]
        return {name: [values[row] for row in order] for name, values in self._source.table().items()}

    def apply_theme(self) -> None:
        """Apply the theme, and fit the widths of columns."""
        style_table(self, self._theme)
        for column in range(self._sorted.columnCount()):
            width = max(self.sizeHintForColumn(column), self.horizontalHeader().sectionSizeHint(column))
            self.setColumnWidth(column, width + _PADDING)


def flat(row: Mapping[str, Any], above: str = "") -> Dict[str, Any]:
    """Return a row without nested rows: ``{"own": {"largest": 1}}`` becomes ``{"own.largest": 1}``."""
    found: Dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found.update(flat(value, above + name + "."))
        else:
            found[above + name] = value
    return found


def shown(name: str, value: Any) -> str:
    """Return the text of a value in the column ``name``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return proof_number(name.rpartition(".")[2], value) if isinstance(value, (int, float)) else str(value)
