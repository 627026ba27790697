"""Table of recorded runs: sorting, search, thumbnails, names that can be edited."""

from typing import Any, List, Optional, Sequence, Set

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_painter import scene_painter
from qatviz.gui.widgets.tables import Table, set_up_table, style_table
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.run_table import COLUMNS, cell_text, matches, sorted_runs, thumbnail
from qatviz.telemetry.run_summary import RunSummary

#: Width and height of a thumbnail, px.
_PICTURE = QtCore.QSize(96, 26)
_PICTURE_TITLE, _PICTURE_HELP = "Curve", "Metric of the evaluations: float thin, quantized bold."
#: Columns in this order: the name, the thumbnail, all others.
_PICTURE_COLUMN = 1
#: Width of a column beyond its longest text, and largest width, px.
_PADDING, _WIDEST = 18, 260
_DATE = "date"
#: Columns that are hidden until the user shows them.
_HIDDEN = ("loss", "time", "disk", "notes", "devices")


class RunsModel(QtCore.QAbstractTableModel):
    """Rows of the runs that match a search, in the order of a column."""

    #: Emitted with a run and its new name.
    renamed = QtCore.pyqtSignal(object, str)

    def __init__(self, theme: Theme, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._theme = theme
        self._all: Sequence[RunSummary] = ()
        self._search, self._key, self._descending = "", _DATE, True
        self.rows: List[RunSummary] = []

    def show(self, runs: Sequence[RunSummary]) -> None:
        """Show other runs."""
        self._all = runs
        self._arrange()

    def search(self, text: str) -> None:
        """Show the runs that match ``text``."""
        self._search = text
        self._arrange()

    def _arrange(self) -> None:
        self.beginResetModel()
        found = [run for run in self._all if matches(run, self._search)]
        self.rows = sorted_runs(found, self._key, self._descending)
        self.endResetModel()

    def sort(self, column: int, order: QtCore.Qt.SortOrder = QtCore.Qt.AscendingOrder) -> None:
        if column != _PICTURE_COLUMN and column >= 0:
            self._key, self._descending = key_of(column), order == QtCore.Qt.DescendingOrder
            self._arrange()

    def rowCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(COLUMNS) + 1

    def headerData(self, section: int, orientation: QtCore.Qt.Orientation, role: int = QtCore.Qt.DisplayRole) -> Any:
        if orientation != QtCore.Qt.Horizontal:
            return None
        is_picture = section == _PICTURE_COLUMN
        if role == QtCore.Qt.DisplayRole:
            return _PICTURE_TITLE if is_picture else COLUMNS[_index(section)].title
        if role == QtCore.Qt.ToolTipRole:
            return plain_tip(_PICTURE_HELP if is_picture else COLUMNS[_index(section)].help)
        return None

    def data(self, index: QtCore.QModelIndex, role: int = QtCore.Qt.DisplayRole) -> Any:
        run, section = self.rows[index.row()], index.column()
        if section == _PICTURE_COLUMN:
            return None
        column = COLUMNS[_index(section)]
        if role == QtCore.Qt.DisplayRole:
            return cell_text(column, run)
        if role == QtCore.Qt.EditRole:
            return run.name
        if role == QtCore.Qt.ToolTipRole:
            return plain_tip(run.error or (run.labels.notes if column.key == "notes" else run.directory))
        if role == QtCore.Qt.TextAlignmentRole:
            return int(QtCore.Qt.AlignVCenter | (QtCore.Qt.AlignLeft if column.is_left else QtCore.Qt.AlignRight))
        if role == QtCore.Qt.ForegroundRole and run.error:
            return self._theme.color("bad" if column.key == "state" else "muted")
        return None

    def flags(self, index: QtCore.QModelIndex) -> QtCore.Qt.ItemFlags:
        flags = super().flags(index)
        is_name = index.isValid() and index.column() == 0 and not self.rows[index.row()].error
        return flags | QtCore.Qt.ItemIsEditable if is_name else flags

    def setData(self, index: QtCore.QModelIndex, value: Any, role: int = QtCore.Qt.EditRole) -> bool:
        run = self.rows[index.row()]
        if role == QtCore.Qt.EditRole and str(value).strip() != run.name:
            self.renamed.emit(run, str(value))
        return True


def _index(section: int) -> int:
    """Return the index in :data:`COLUMNS` of a column of the table, which is not that of the thumbnail."""
    return section if section < _PICTURE_COLUMN else section - 1


def key_of(section: int) -> str:
    """Return the key of a column of the table."""
    return COLUMNS[_index(section)].key


def section_of(key: str) -> int:
    """Return the column of the table with this key."""
    index = [column.key for column in COLUMNS].index(key)
    return index if index < _PICTURE_COLUMN else index + 1


class _Thumbnails(QtWidgets.QStyledItemDelegate):
    """Painter of thumbnails."""

    def __init__(self, model: RunsModel, theme: Theme, parent: QtCore.QObject):
        super().__init__(parent)
        self._model, self._theme = model, theme

    def paint(self, painter: QtGui.QPainter, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> None:
        super().paint(painter, option, index)
        shapes = thumbnail(self._model.rows[index.row()], option.rect.width(), option.rect.height())
        painter.save()
        painter.translate(option.rect.topLeft())
        scene_painter(self._theme, option.font).paint(painter, shapes)
        painter.restore()


class RunsTable(Table):
    """View of the runs; several rows can be selected."""

    #: Emitted when a row is double-clicked, or Enter is pressed.
    open_wanted = QtCore.pyqtSignal()
    #: Emitted when Delete is pressed.
    delete_wanted = QtCore.pyqtSignal()

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme = theme
        self.runs = RunsModel(theme, self)
        self.setModel(self.runs)
        set_up_table(self)
        self.setEditTriggers(self.EditKeyPressed)
        self.setSelectionMode(self.ExtendedSelection)
        self.setItemDelegateForColumn(_PICTURE_COLUMN, _Thumbnails(self.runs, theme, self))
        self.setHorizontalScrollMode(self.ScrollPerPixel)
        header = self.horizontalHeader()
        header.setSectionsMovable(True)
        header.setSortIndicator(section_of(_DATE), QtCore.Qt.DescendingOrder)
        self.setSortingEnabled(True)
        header.sortIndicatorChanged.connect(self._on_sorted)
        self._last = section_of(_DATE)
        header.setContextMenuPolicy(QtCore.Qt.CustomContextMenu)
        header.customContextMenuRequested.connect(self._choose_columns)
        self.has_chosen_columns = False
        for key in _HIDDEN:
            self.setColumnHidden(section_of(key), True)
        self.setAccessibleName("Recorded runs")
        self.setContextMenuPolicy(QtCore.Qt.ActionsContextMenu)

    def show_runs(self, runs: Sequence[RunSummary]) -> None:
        """Show other runs; runs with the same directories stay selected."""
        self._keep_selection(lambda: self.runs.show(runs))

    def search(self, text: str) -> None:
        """Show the runs that match ``text``; those that stay stay selected."""
        self._keep_selection(lambda: self.runs.search(text))

    def selected(self) -> List[RunSummary]:
        """Return the selected runs, from top to bottom."""
        return [self.runs.rows[row] for row in sorted(index.row() for index in self.selectionModel().selectedRows())]

    def select(self, directories: Set[str]) -> None:
        """Select the runs in ``directories``."""
        model = self.selectionModel()
        flags = model.Select | model.Rows
        found = [row for row, run in enumerate(self.runs.rows) if run.directory in directories]
        chosen = QtCore.QItemSelection()
        for row in found:
            index = self.runs.index(row, 0)
            chosen.merge(QtCore.QItemSelection(index, index), flags)
        model.select(chosen, model.ClearAndSelect | model.Rows)
        if found:
            model.setCurrentIndex(self.runs.index(found[0], 0), model.NoUpdate)

    def _keep_selection(self, change: Any) -> None:
        kept = {run.directory for run in self.selected()}
        change()
        self.select(kept)

    def restore_columns(self, state: QtCore.QByteArray) -> None:
        """Restore widths, order and visibility of the columns, and the sorting."""
        self.has_chosen_columns = self.horizontalHeader().restoreState(state)

    def fit(self) -> None:
        """Fit all columns to their texts."""
        metrics = self.fontMetrics()
        for section in range(self.runs.columnCount()):
            if section == _PICTURE_COLUMN:
                self.setColumnWidth(section, _PICTURE.width())
                continue
            column = COLUMNS[_index(section)]
            texts = [cell_text(column, run) for run in self.runs.rows]
            longest = max([metrics.horizontalAdvance(text) for text in texts], default=0)
            heading = metrics.horizontalAdvance(column.title) + metrics.height()  # with the arrow of sorting
            self.setColumnWidth(section, min(max(longest, heading) + _PADDING, _WIDEST))

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        style_table(self, self.theme)
        header = self.verticalHeader()
        header.setDefaultSectionSize(max(header.defaultSectionSize(), _PICTURE.height()))
        self.viewport().update()

    def _on_sorted(self, section: int, order: QtCore.Qt.SortOrder) -> None:
        """Sort a column by its own first order where it was not sorted before."""
        header = self.horizontalHeader()
        if section == _PICTURE_COLUMN:
            header.setSortIndicator(self._last, QtCore.Qt.DescendingOrder)
            return
        is_new, self._last = section != self._last, section
        descending = COLUMNS[_index(section)].largest_first
        wanted = QtCore.Qt.DescendingOrder if descending else QtCore.Qt.AscendingOrder
        if is_new and order != wanted:
            header.setSortIndicator(section, wanted)

    def _choose_columns(self, at: QtCore.QPoint) -> None:
        menu = QtWidgets.QMenu("Columns", self)
        for section in range(1, self.runs.columnCount()):
            action = menu.addAction(self.runs.headerData(section, QtCore.Qt.Horizontal))
            action.setCheckable(True)
            action.setChecked(not self.isColumnHidden(section))
            action.toggled.connect(lambda shown, section=section: self.setColumnHidden(section, not shown))
        menu.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        menu.popup(self.horizontalHeader().mapToGlobal(at))

    def mouseDoubleClickEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() == QtCore.Qt.LeftButton and self.indexAt(event.pos()).isValid():
            self.open_wanted.emit()

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        if event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter) and self.state() != self.EditingState:
            self.open_wanted.emit()
        elif event.key() == QtCore.Qt.Key_Delete:
            self.delete_wanted.emit()
        else:
            super().keyPressEvent(event)
