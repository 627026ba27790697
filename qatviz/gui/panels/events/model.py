"""The list of what happened, for Qt's views: rows are added, never made anew, so that its length does not matter."""

from typing import Any, Dict, List, Sequence

from PyQt5 import QtCore, QtGui
from PyQt5.QtCore import Qt

from qatviz.gui.model.run_model import Happening
from qatviz.gui.panels.events.text import ALL, is_grave, is_listed, mark_of, tooltip
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.event_texts import sentence

STEP, MARK, WHAT = range(3)
HEADERS = (
    ("Step", "Training steps that were done when it happened"),
    ("", "What kind of thing happened"),
    (
        "What happened",
        "Double-click a line to see the curves there; lines that are struck through were left "
        "behind when the run was set back",
    ),
)
_ALIGN = {
    STEP: int(Qt.AlignRight | Qt.AlignVCenter),
    MARK: int(Qt.AlignCenter),
    WHAT: int(Qt.AlignLeft | Qt.AlignVCenter),
}


class EventsModel(QtCore.QAbstractTableModel):
    """Those of the run's happenings that are worth a line, oldest first."""

    def __init__(self, theme: Theme, parent: QtCore.QObject = None):
        super().__init__(parent)
        self._theme = theme
        self._happenings: Sequence[Happening] = []
        self._seen = 0
        self._rows: List[int] = []
        self._narrowed_to = ALL
        self._left_behind = QtGui.QFont()
        self._left_behind.setStrikeOut(True)

    def show_happenings(self, happenings: List[Happening], is_same_run: bool = True) -> None:
        """Take in what happened since the last time; where only survival changed, the view is to be drawn again."""
        if not is_same_run or len(happenings) < self._seen:
            self.beginResetModel()
            self._happenings, self._seen, self._rows = happenings, 0, []
            self.endResetModel()
        self._happenings = happenings
        fresh = [i for i in range(self._seen, len(happenings)) if is_listed(happenings[i].event, self._narrowed_to)]
        self._seen = len(happenings)
        if fresh:
            self.beginInsertRows(QtCore.QModelIndex(), len(self._rows), len(self._rows) + len(fresh) - 1)
            self._rows += fresh
            self.endInsertRows()

    def narrow_to(self, what: str) -> None:
        """``all``, ``changes`` or ``evaluations``."""
        self.beginResetModel()
        self._narrowed_to = what
        self._rows = [i for i in range(self._seen) if is_listed(self._happenings[i].event, what)]
        self.endResetModel()

    def happening(self, row: int) -> Happening:
        """What is in a row."""
        return self._happenings[self._rows[row]]

    def number(self, row: int) -> int:
        """The place of a row among all happenings."""
        return self._rows[row]

    def row_of(self, number: int) -> int:
        """Where a happening is listed, by its place among all; -1 where it is not."""
        return self._rows.index(number) if number in self._rows else -1

    def table(self) -> Dict[str, List[Any]]:
        """The rows that are shown, by column."""
        shown = [self._happenings[i] for i in self._rows]
        return {
            "step": [h.event.step for h in shown],
            "kind": [h.event.kind for h in shown],
            "what": [sentence(h.event) for h in shown],
            "survives": [h.survives for h in shown],
        }

    # Qt

    def rowCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: QtCore.QModelIndex = QtCore.QModelIndex()) -> int:
        return 0 if parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.DisplayRole) -> Any:
        if orientation == Qt.Horizontal and role in (Qt.DisplayRole, Qt.ToolTipRole):
            return HEADERS[section][role == Qt.ToolTipRole]
        if orientation == Qt.Horizontal and role == Qt.TextAlignmentRole:
            return _ALIGN[section]
        return None

    def data(self, index: QtCore.QModelIndex, role: int = Qt.DisplayRole) -> Any:
        happening, column = self.happening(index.row()), index.column()
        if role == Qt.DisplayRole:
            if column == STEP:
                return f"{happening.event.step:,}"
            return mark_of(happening.event).symbol if column == MARK else sentence(happening.event)
        if role == Qt.ForegroundRole:
            if not happening.survives:
                return self._theme.color("muted")
            text = "bad" if is_grave(happening.event) else "text"
            return self._theme.color({STEP: "muted", WHAT: text}.get(column, mark_of(happening.event).color))
        if role == Qt.FontRole:
            return self._left_behind if column == WHAT and not happening.survives else None
        if role == Qt.TextAlignmentRole:
            return _ALIGN[column]
        if role == Qt.ToolTipRole:
            return tooltip(happening.event, happening.survives)
        if role == Qt.AccessibleTextRole and column == MARK:
            return happening.event.kind + ("" if happening.survives else ", left behind")
        return None
