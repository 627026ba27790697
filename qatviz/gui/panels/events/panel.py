"""Panel that lists the events of the run and can undo changes or rewind the run."""

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from PyQt5 import QtCore, QtWidgets
from PyQt5.QtCore import Qt

from qatviz.errors import QatvizError
from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.model.availability import ACTIVE_STATES
from qatviz.gui.model.run_model import EVENTS, RUN, SETTINGS, STATE
from qatviz.gui.panels import declarations
from qatviz.gui.panels.events.model import MARK, STEP, EventsModel
from qatviz.gui.panels.events.text import ALL, CHANGES, EVALUATIONS, as_change, details
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.tables import Table, set_up_table, style_table
from qatviz.gui.widgets.toggles import toggles
from qatviz.presentation.event_texts import sentence
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Command, RestoreCheckpoint
from qatviz.protocol.timeline import LoggedEvent

_NARROWED_KEY = "events/narrowed_to"
_FILTERS = (
    (ALL, "All", "Show all events."),
    (CHANGES, "Changes", "Show only changes of settings and rewinds."),
    (EVALUATIONS, "Evaluations", "Show only evaluations on held-out data."),
)
_NOTHING_YET = {
    ALL: "No events yet.",
    CHANGES: "No setting has been changed yet.",
    EVALUATIONS: "No evaluations yet.",
}
_NO_RUN = "No run. Its events are listed here once there is one."
#: Space between the filters and the actions, px.
_GAP_PX = 14


class EventsPanel(Panel):
    """List of events; the newest is at the bottom, which stays in view unless the user has scrolled up."""

    declaration = declarations.EVENTS
    topics = (EVENTS, STATE, SETTINGS)
    figure_name = "events"

    #: Emitted with the step of a row that was activated (double click, Enter).
    step_chosen = QtCore.pyqtSignal(int)

    def _setup_ui(self) -> None:
        self.source = EventsModel(self.theme, self)
        self.view = _EventsView(self.source)
        self.empty = EmptyText(self.view.viewport())
        self._filter_group = QtWidgets.QButtonGroup(self)
        self.filters = toggles(self._filter_group, _FILTERS)
        self.undo_action = self._action(
            "Undo",
            "Undo this change: restore the previous settings; training continues from its present state",
            self._on_undo,
        )
        self.back_action = self._action(
            "Rewind",
            "Rewind to before this change: restore the whole run, weights included (can be redone)",
            self._on_back,
        )
        self.details_action = self._action("Details…", "Show and copy all details of this event", self._on_details)
        self.menu = FigureMenu(self.view)
        self._shown_kind = self.context.settings.value(_NARROWED_KEY, ALL)
        if self._shown_kind not in self.filters:
            self._shown_kind = ALL
        self.filters[self._shown_kind].setChecked(True)
        self.source.set_filter(self._shown_kind)
        self._log: Optional[List[LoggedEvent]] = None
        self._run: Any = None
        self._asked: Dict[str, str] = {}  # checkpoint to restore, by the id of the command
        self._gone: Set[str] = set()  # checkpoints that the run no longer has

    def _layout(self) -> None:
        bar = FlowLayout(spacing=2)
        bar.setContentsMargins(6, 4, 6, 2)
        for button in self.filters.values():
            bar.addWidget(button)
        gap = QtWidgets.QWidget()
        gap.setFixedWidth(_GAP_PX)
        bar.addWidget(gap)
        for action in (self.undo_action, self.back_action, self.details_action):
            button = QtWidgets.QToolButton(autoRaise=True)
            button.setFocusPolicy(Qt.TabFocus)
            button.setDefaultAction(action)
            bar.addWidget(button)
        first = self.menu.actions()[0]
        self.menu.insertActions(first, [self.undo_action, self.back_action, self.details_action])
        self.copy_action = QtWidgets.QAction("Copy text", self, toolTip="Copy this line")
        self.menu.insertAction(first, self.copy_action)
        self.menu.insertSeparator(first)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        self.setFocusProxy(self.view)

    def _connect(self) -> None:
        self._filter_group.buttonClicked.connect(self._on_filter)
        self.view.selectionModel().currentRowChanged.connect(self._enable)
        self.view.activated.connect(self._on_activated)
        self.copy_action.triggered.connect(self._on_copy)
        self.model.happened.connect(self._on_event)
        self.model.changed.connect(self._on_changed)
        self.apply_theme()

    def apply_theme(self) -> None:
        style_table(self.view, self.theme)
        self.view.fit()

    def table(self) -> Dict[str, List[Any]]:
        """Return the shown rows by column."""
        return self.source.table()

    def update_from(self) -> None:
        model = self.model
        follows = self.view.is_at_end()
        if model.run is not self._run:
            self._run, self._gone, self._asked = model.run, set(), {}
            self.source.show_log(model.log, is_same_run=False)
        else:
            self.source.show_log(model.log)
            if model.log is not self._log:
                self.view.viewport().update()  # the run was rewound: other rows survive
        self._log = model.log
        if follows:
            self.view.scrollToBottom()
        self._show_empty_text()
        self._enable()

    # Implementation

    def _action(self, text: str, tip: str, handler: Callable[[], None]) -> QtWidgets.QAction:
        action = QtWidgets.QAction(text, self, toolTip=tip)
        action.triggered.connect(handler)
        return action

    def _event(self) -> Tuple[Optional[events.Event], bool]:
        """Return the event of the current row, and whether it survives."""
        index = self.view.currentIndex()
        if not index.isValid():
            return None, False
        logged = self.source.logged(index.row())
        return logged.event, logged.survives

    def _enable(self, *_: Any) -> None:
        event, survives = self._event()
        change = as_change(event) if self.model.state in ACTIVE_STATES else None
        self.undo_action.setEnabled(change is not None and survives and bool(self._to_undo(change)))
        self.back_action.setEnabled(change is not None and change.checkpoint not in self._gone)
        self.details_action.setEnabled(event is not None)

    def _to_undo(self, event: events.CommandApplied) -> Tuple[Tuple[str, Any], ...]:
        """Return the settings of a change that differ from those before it, with their old values."""
        return tuple(
            (change.setting, change.old) for change in event.changes if self._in_effect(change.setting) != change.old
        )

    def _in_effect(self, path: str) -> Any:
        assert self.model.book is not None, "listed changes are those of a run"
        return self.model.book.value(path)

    def _send(self, command: Command) -> Optional[str]:
        try:
            return self.model.send(command)
        except QatvizError as error:
            self.edits.refused.emit(str(error))
            return None

    def _show_empty_text(self) -> None:
        text = _NOTHING_YET[self._shown_kind] if self.model.run is not None else self.model.no_run_text(_NO_RUN)
        self.empty.show_text("" if self.source.rowCount() else text)

    def _on_undo(self) -> None:
        change = as_change(self._event()[0])
        if change is not None:  # the current row may have changed since the action was enabled
            self._send(ChangeSettings(self._to_undo(change)))

    def _on_back(self) -> None:
        change = as_change(self._event()[0])
        if change is None:
            return
        command_id = self._send(RestoreCheckpoint(change.checkpoint))
        if command_id is not None:
            self._asked[command_id] = change.checkpoint

    def _on_event(self, event: events.Event) -> None:
        """Record checkpoints that the run no longer has, so that they are not offered again."""
        name = self._asked.pop(getattr(event, "id", ""), "")
        if name and isinstance(event, events.CommandRejected):
            self._gone.add(name)

    def _on_changed(self, topic: str) -> None:
        if topic == RUN:
            self._asked.clear()

    def _on_details(self) -> None:
        event, _ = self._event()
        if event is None:  # the row was removed while the menu was open
            return
        title = f"{'Failure' if isinstance(event, events.Failed) else 'Event'} at step {event.step:,}"
        dialog = DetailsDialog(title, sentence(event), details(event), self.window())
        dialog.open()

    def _on_copy(self) -> None:
        event, _ = self._event()
        if event is not None:
            QtWidgets.QApplication.clipboard().setText(f"step {event.step:,}: {sentence(event)}")

    def _on_activated(self, index: QtCore.QModelIndex) -> None:
        self.step_chosen.emit(self.source.logged(index.row()).event.step)

    def _on_filter(self, button: QtWidgets.QToolButton) -> None:
        self._shown_kind = next(what for what, known in self.filters.items() if known is button)
        self.context.settings.setValue(_NARROWED_KEY, self._shown_kind)
        index = self.view.currentIndex()
        number = self.source.number(index.row()) if index.isValid() else -1
        self.source.set_filter(self._shown_kind)
        row = self.source.row_of(number)
        if row >= 0:
            self.view.selectRow(row)
        else:
            self.view.scrollToBottom()
        self.refresh()


class _EventsView(Table):
    """Table of events with a figure's context menu."""

    figure_name = "events"

    def __init__(self, source: EventsModel, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        set_up_table(self)
        self.setSelectionMode(self.SingleSelection)
        self.setModel(source)
        self.setAccessibleName("Events of the run")
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignLeft | Qt.AlignVCenter)

    def table(self) -> Dict[str, List[Any]]:
        """Return the rows by column."""
        return self.model().table()

    def fit(self) -> None:
        """Set the widths of columns for the present font."""
        metrics = self.fontMetrics()
        self.horizontalHeader().setMinimumSectionSize(metrics.height() + 10)  # limits the widths that are set next
        self.setColumnWidth(STEP, metrics.horizontalAdvance("0,000,000") + 14)
        self.setColumnWidth(MARK, metrics.height() + 10)

    def is_at_end(self) -> bool:
        """Return whether the view is scrolled to its end."""
        bar = self.verticalScrollBar()
        return bar.value() >= bar.maximum()
