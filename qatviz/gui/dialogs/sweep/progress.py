"""Table with the progress of the runs of a sweep."""

from typing import Dict, List, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.tables import set_up_table, style_table
from qatviz.gui.widgets.theme import Theme
from qatviz.session.sweep_request import FAILED, FINISHED, SKIPPED, Report, SweepRun

_HEADS = ("Run", "Settings", "Steps", "State")
_STEPS, _STATE = _HEADS.index("Steps"), _HEADS.index("State")
_WAITING = "waiting"
_ROLES = {FAILED: "bad", FINISHED: "good", SKIPPED: "good"}
#: Texts of the states that are not shown as the report names them.
_STATES = {SKIPPED: "finished before"}
#: Option of `qatviz train` that the column of settings omits.
_SET = "--set"
_WIDEST = 420


class ProgressTable(QtWidgets.QTableWidget):
    """Runs of a sweep with their settings, steps and states."""

    def __init__(self, theme: Theme):
        super().__init__(0, len(_HEADS))
        self._theme = theme
        self._rows: Dict[str, int] = {}
        self.states: Dict[str, str] = {}
        self.setHorizontalHeaderLabels(list(_HEADS))
        self.setAccessibleName("Runs of the sweep")
        set_up_table(self)
        self.horizontalHeader().setStretchLastSection(True)

    def show_runs(self, runs: Sequence[SweepRun]) -> None:
        """Show the runs of another sweep, none of which has started."""
        self._rows = {run.name: row for row, run in enumerate(runs)}
        self.states = {run.name: _WAITING for run in runs}
        self.setRowCount(len(runs))
        for row, run in enumerate(runs):
            settings = " ".join(word for word in run.arguments if word != _SET) or "those of the checkpoint"
            for column, text in enumerate((run.name, settings, "", _WAITING)):
                item = QtWidgets.QTableWidgetItem(text)
                if column == _STEPS:
                    item.setTextAlignment(int(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter))
                item.setToolTip(plain_tip(text))
                self.setItem(row, column, item)
        self.apply_theme()

    def show_report(self, report: Report) -> None:
        """Show the new state and step of a run."""
        row = self._rows.get(report.run.name)
        if row is None:
            return
        self.states[report.run.name] = report.event
        state = self.item(row, _STATE)
        text = _STATES.get(report.event, report.event)
        state.setText(f"{text}: {report.message}" if report.message else text)
        state.setToolTip(plain_tip(state.text()))
        state.setForeground(self._theme.color(_ROLES.get(report.event, "text")))
        if report.step:
            self.item(row, _STEPS).setText(f"{report.step:,}")

    def names_in(self, *states: str) -> List[str]:
        """Return the names of the runs in these states, in the order of the table."""
        return [name for name, state in self.states.items() if state in states]

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        style_table(self, self._theme)
        for name, row in self._rows.items():
            self.item(row, _STATE).setForeground(self._theme.color(_ROLES.get(self.states[name], "text")))
        self.resizeColumnsToContents()
        for column in range(_STATE):  # the last one fills the rest
            self.setColumnWidth(column, min(self.columnWidth(column) + 8, _WIDEST))
