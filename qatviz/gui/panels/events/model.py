"""Qt model of the list of events; rows are appended, so that an update takes the same time however long the list is."""

from typing import Any, Dict, List, Optional, Sequence

from PyQt5 import QtCore, QtGui
from PyQt5.QtCore import Qt

from qatviz.gui.panels.events.text import ALL, is_error, is_listed, mark_of, tooltip
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.event_texts import sentence
from qatviz.protocol.timeline import LoggedEvent

STEP, MARK, WHAT = range(3)
HEADERS = (
    ("Step", "Number of training steps done before the event"),
    ("", "Kind of event"),
    (
        "Event",
        "Double-click a line to see the curves at its step; struck-through lines are on a branch that the run has left "
        "by a rewind",
    ),
)
_ALIGN = {
    STEP: int(Qt.AlignRight | Qt.AlignVCenter),
    MARK: int(Qt.AlignCenter),
    WHAT: int(Qt.AlignLeft | Qt.AlignVCenter),
}


class EventsModel(QtCore.QAbstractTableModel):
    """Listed events of the run's log, oldest first."""

    def __init__(self, theme: Theme, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._theme = theme
        self._log: Sequence[LoggedEvent] = []
        self._seen = 0
        self._rows: List[int] = []
        self._filter = ALL
        self._abandoned_font = QtGui.QFont()
        self._abandoned_font.setStrikeOut(True)

    def show_log(self, log: List[LoggedEvent], is_same_run: bool = True) -> None:
        """Append new events of the log; if only ``survives`` has changed, the view's owner must repaint it."""
        if not is_same_run or len(log) < self._seen:
            self.beginResetModel()
            self._log, self._seen, self._rows = log, 0, []
            self.endResetModel()
        self._log = log
        fresh = [i for i in range(self._seen, len(log)) if is_listed(log[i].event, self._filter)]
        self._seen = len(log)
        if fresh:
            self.beginInsertRows(QtCore.QModelIndex(), len(self._rows), len(self._rows) + len(fresh) - 1)
            self._rows += fresh
            self.endInsertRows()

    def set_filter(self, what: str) -> None:
        """Set the filter: ``all``, ``changes`` or ``evaluations``."""
        self.beginResetModel()
        self._filter = what
        self._rows = [i for i in range(self._seen) if is_listed(self._log[i].event, what)]
        self.endResetModel()

    def logged(self, row: int) -> LoggedEvent:
        """Return the event of a row."""
        return self._log[self._rows[row]]

    def number(self, row: int) -> int:
        """Return the index of a row's event in the log."""
        return self._rows[row]

    def row_of(self, number: int) -> int:
        """Return the row of an event by its index in the log; -1 if it is not listed."""
        return self._rows.index(number) if number in self._rows else -1

    def table(self) -> Dict[str, List[Any]]:
        """Return the rows by column."""
        shown = [self._log[i] for i in self._rows]
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
        logged, column = self.logged(index.row()), index.column()
        if role == Qt.DisplayRole:
            if column == STEP:
                return f"{logged.event.step:,}"
            return mark_of(logged.event).symbol if column == MARK else sentence(logged.event)
        if role == Qt.ForegroundRole:
            if not logged.survives:
                return self._theme.color("muted")
            text = "bad" if is_error(logged.event) else "text"
            return self._theme.color({STEP: "muted", WHAT: text}.get(column, mark_of(logged.event).color))
        if role == Qt.FontRole:
            return self._abandoned_font if column == WHAT and not logged.survives else None
        if role == Qt.TextAlignmentRole:
            return _ALIGN[column]
        if role == Qt.ToolTipRole:
            return plain_tip(tooltip(logged.event, logged.survives))
        if role == Qt.AccessibleTextRole and column == MARK:
            return logged.event.kind + ("" if logged.survives else ", abandoned")
        return None
