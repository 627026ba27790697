"""Context menu of markers."""

from typing import Any, Callable, Dict, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.panels.evolution.effects import MarkerEffects
from qatviz.gui.panels.evolution.markers import Marker
from qatviz.protocol.commands import ChangeSettings, Command, RestoreCheckpoint
from qatviz.protocol.events import Change, CommandApplied


class MarkerMenu(QtWidgets.QMenu):
    """Menu with the text of each marker's events, and actions to go to, undo, or rewind to before them."""

    def __init__(
        self,
        model: RunModel,
        edits: Edits,
        effects: MarkerEffects,
        markers: Sequence[Marker],
        go_to: Callable[[int], None],
        parent: QtWidgets.QWidget,
    ):
        super().__init__(parent)
        self._model, self._edits, self._effects, self._go_to = model, edits, effects, go_to
        self.setToolTipsVisible(True)
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        for marker in reversed(markers):
            where = self
            if len(markers) > 1:
                where = self.addMenu(f"Step {marker.step:,}: {marker.label}")
                where.setToolTipsVisible(True)
            self._fill(where, marker)

    def _fill(self, menu: QtWidgets.QMenu, marker: Marker) -> None:
        for line in self._effects.text([marker]).splitlines():
            menu.addAction(line).setEnabled(False)
        menu.addSeparator()
        menu.addAction(f"Go to step {marker.step:,}", lambda: self._go_to(marker.step))
        can_change = not self._model.unavailable_text()
        undo = menu.addAction("Undo this setting change", lambda: self._undo(marker.changes))
        undo.setToolTip("Restore the previous settings; training continues from its present state.")
        undo.setEnabled(can_change and bool(marker.changes))
        applied = [event for event in marker.events if isinstance(event, CommandApplied)]
        kept = next((event.checkpoint for event in applied if event.checkpoint), "")
        back = menu.addAction("Rewind to before this change", lambda: self._send(RestoreCheckpoint(kept)))
        back.setToolTip("Restore the whole run: weights, optimizer and settings. Can be redone.")
        back.setEnabled(can_change and bool(kept))

    def _undo(self, changes: Sequence[Change]) -> None:
        old: Dict[str, Any] = {}
        for change in changes:
            # If a setting changed twice at one step, the first change has the old value.
            old.setdefault(change.setting, change.old)
        self._send(ChangeSettings(tuple(old.items())))

    def _send(self, command: Command) -> None:
        try:
            self._model.send(command)
        except QatvizError as error:
            self._edits.refused.emit(str(error))
