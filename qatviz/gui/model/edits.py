"""Pending edits of settings: sent at once (live) or on request (hold), with undo and redo.

In live mode, at most one change is sent per SEND_INTERVAL_MS, so that the run follows a drag; all changes of a drag are
undone together.

An edit is *pending* from the moment the user makes it until the run reports it as applied: controls show it, plots
preview its effect (the ghost). Undo restores settings only; rewinding the run is a separate command. In a run that has
ended, edits stay pending: they are previewed, and can be evaluated.
"""

from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from PyQt5 import QtCore

from qatviz.errors import QatvizError
from qatviz.gui.model.run_model import RUN, SETTINGS, RunModel
from qatviz.gui.model.scope import Scope
from qatviz.presentation.event_texts import changes_words
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, Command, InspectTensor
from qatviz.protocol.recipe import Recipe
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import QUANTIZER_SETTINGS
from qatviz.settings import RUN as RUN_PREFIX

LIVE, HOLD = "live", "hold"
#: Shortest interval (ms) between two changes sent in live mode. Edits of the same settings within it, such as wheel
#: notches, are undone together, and so are all of a drag or of a held key (:meth:`Edits.set_dragging`).
SEND_INTERVAL_MS = 150

Key = Tuple[str, str]


class Edits(QtCore.QObject):
    """Pending edits of settings for the run of ``model``.

    Attributes
    ----------
    mode : str
        ``live``: edits are sent automatically; ``hold``: edits wait for :meth:`apply`.
    pending : dict of (tensor or "run", setting) to value
        Values not yet in effect, whether sent or not.
    scope : Scope
        Tensors that changes apply to, unless they name others.
    """

    #: Emitted when the pending edits, the mode or the undo stack have changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with a message when the run rejects a change or cannot take commands.
    refused = QtCore.pyqtSignal(str)

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model, self.scope = model, Scope(model, self)
        self.mode = LIVE
        self._dragging = False
        self.pending: Dict[Key, Any] = {}
        self._pending_book: Optional[Tuple[SettingsBook, Dict[Key, Any], SettingsBook]] = None
        self._sent: Dict[str, Dict[Key, Any]] = {}  # by the id of the command, until the run has replied
        self._undo: List[Tuple[events.Change, ...]] = []
        self._redo: List[Tuple[events.Change, ...]] = []
        self._undoing: Dict[str, str] = {}  # "undo" or "redo" by the id of the command, until the run has replied
        self._gesture: Set[Key] = set()  # settings sent in the present drag; empty after its end
        # Edits of one user action, such as a preset, are one change: they are sent in the next pass of the event loop.
        self._send_timer = QtCore.QTimer(self, singleShot=True, interval=0)
        self._send_timer.timeout.connect(self._send_live)
        self._interval_timer = QtCore.QTimer(self, singleShot=True, interval=SEND_INTERVAL_MS)
        self._interval_timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._interval_timer.timeout.connect(self._on_interval_over)
        model.changed.connect(self._on_model_changed)
        model.happened.connect(self._on_event)
        self._sending = False
        model.sending.connect(self._on_sending)

    # User actions

    def set_mode(self, mode: str) -> None:
        """Set the mode, ``live`` or ``hold``; switching to live sends all pending edits."""
        self.mode = mode
        if self._is_live and self.unsent:
            self.apply()
        self.changed.emit()

    def edit(self, tensors: Iterable[str], setting: str, value: Any) -> None:
        """Request ``value`` for ``setting`` of ``tensors`` (or of ``["run"]``)."""
        for tensor in tensors:
            key = (tensor, setting)
            if self._in_effect(key) == value and not self._is_in_flight(key):
                self.pending.pop(key, None)
            else:
                self.pending[key] = value
        if self._is_live and not self._interval_timer.isActive():
            self._send_timer.start()
        self.changed.emit()

    def change_bits(self, tensors: Iterable[str], by: int) -> None:
        """Request ``by`` more bits for each of ``tensors``, within the limits of the bit width."""
        for tensor in tensors:
            setting = QUANTIZER_SETTINGS["num_bits"].of_kind(tensor.rpartition(".")[2])
            bits = self.value(tensor, "num_bits") + by
            if setting.low <= bits <= setting.high:
                self.edit([tensor], "num_bits", bits)

    def set_dragging(self, dragging: bool) -> None:
        """Begin or end a drag of a control, or a held key: what is sent meanwhile is one change for undo."""
        self._dragging = dragging
        if dragging:
            self._gesture.clear()
        elif not self._interval_timer.isActive():
            self._on_interval_over()

    def apply(self) -> None:
        """Send all unsent edits as one change."""
        self._gesture.clear()
        self._send_unsent()

    def _send_live(self) -> None:
        """Send all unsent edits as a change that continues the one before if it changes the same settings."""
        if self.unsent:
            self._interval_timer.start()
        self._send_unsent()

    def _on_interval_over(self) -> None:
        if self._is_live and self.unsent:
            self._send_live()
        elif not self._dragging:
            self._gesture.clear()

    def _send_unsent(self) -> None:
        self._send_timer.stop()
        unsent = self.unsent
        if unsent and not self.are_previews:
            paths = tuple((".".join(key), value) for key, value in unsent.items())
            continues = set(unsent) <= self._gesture
            self._gesture = self._gesture if continues else set(unsent)
            command_id = self._send(ChangeSettings(paths, continues))
            if command_id is None:
                self.pending = {key: value for key, value in self.pending.items() if key not in unsent}
            else:
                self._sent[command_id] = unsent
        self.changed.emit()

    def apply_preset(self, preset: str, tensors: Optional[Iterable[str]] = None) -> None:
        """Apply a preset to the quantizers of ``tensors`` (default: all).

        Live mode applies it at once; in hold mode, and if the run has ended, the settings that differ become pending.
        """
        chosen = {tensor.name for tensor in self._model.tensors}
        chosen = chosen if tensors is None else chosen & set(tensors)
        owners = {*chosen, RUN_PREFIX} if len(chosen) == len(self._model.tensors) else chosen
        if self._is_live and len(chosen) == len(self._model.tensors):
            self.apply()  # earlier edits come first, so that the preset replaces them
            self._send(ApplyPreset(preset))
            return
        self._edit_all(
            change
            for change in self._shown_book().with_preset(preset)[1]
            if change.setting.rpartition(".")[0] in owners
        )

    def apply_recipe(self, recipe: Recipe) -> None:
        """Request the settings of a recipe as one change: live mode applies it at once, otherwise it becomes pending.

        Raises
        ------
        SettingError
            If a rule does not fit the network; then nothing is requested.
        """
        self.apply_settings(recipe.applied(self._shown_book()))

    def apply_settings(self, book: SettingsBook) -> None:
        """Request all settings of ``book`` as one change: live mode applies it at once, otherwise it is pending."""
        self._edit_all(self._shown_book().differences(book))

    def _shown_book(self) -> SettingsBook:
        """Return the settings with all pending edits."""
        book = self.pending_book() or self._model.book
        assert book is not None, "only settings of a run are edited"
        return book

    def _edit_all(self, changes: Iterable[events.Change]) -> None:
        """Request several changes; in live mode they are applied at once, with all other unsent edits."""
        for change in changes:
            tensor, _, name = change.setting.rpartition(".")
            self.edit([tensor], name, change.new)
        if self._is_live:
            self.apply()

    def discard(self) -> None:
        """Discard all unsent edits."""
        self._send_timer.stop()
        for key in self.unsent:
            del self.pending[key]
        self.changed.emit()

    def undo(self) -> None:
        """Restore the settings that the last change replaced, but not the state of the run."""
        self._send_inverse(self._undo, "undo")

    def redo(self) -> None:
        """Apply the change that was undone last."""
        self._send_inverse(self._redo, "redo")

    # Queries of controls and plots

    @property
    def unsent(self) -> Dict[Key, Any]:
        """Pending edits that wait for :meth:`apply`."""
        return {
            key: value
            for key, value in self.pending.items()
            if not any(sent.get(key, _NOTHING) == value for sent in self._sent.values())
        }

    @property
    def are_previews(self) -> bool:
        """True if edits are only previewed and evaluated, because the run has ended."""
        return self._model.ended

    @property
    def can_undo(self) -> bool:
        return bool(self._undo) and not self._undoing and not self.are_previews

    @property
    def can_redo(self) -> bool:
        return bool(self._redo) and not self._undoing and not self.are_previews

    def describe_undo(self) -> str:
        """Describe the change that undo would revert; empty if there is none."""
        return changes_words(self._undo[-1]) if self._undo else ""

    def describe_redo(self) -> str:
        """Describe the change that redo would apply; empty if there is none."""
        return changes_words(self._redo[-1]) if self._redo else ""

    def value(self, tensor: str, setting: str) -> Any:
        """Return the pending value, or the one in effect if none is pending."""
        return self.pending.get((tensor, setting), self._in_effect((tensor, setting)))

    def is_pending(self, tensor: str, setting: str) -> bool:
        return (tensor, setting) in self.pending

    def pending_book(self) -> Optional[SettingsBook]:
        """Return the settings with all pending edits; None if nothing is pending."""
        if not self.pending or self._model.book is None:
            return None
        # Cached, because every plot needs it for every tensor.
        wanted, book, kept = dict(self.pending), self._model.book, self._pending_book
        if kept is None or kept[0] is not book or kept[1] != wanted:
            assignments = [(".".join(key), value) for key, value in wanted.items()]
            self._pending_book = kept = (book, wanted, book.change(assignments)[0])
        return kept[2]

    # Implementation

    @property
    def _is_live(self) -> bool:
        return self.mode == LIVE and not self.are_previews

    def _in_effect(self, key: Key) -> Any:
        assert self._model.book is not None, "only settings of a run are edited"
        return self._model.book.value(".".join(key))

    def _is_in_flight(self, key: Key) -> bool:
        return any(key in sent for sent in self._sent.values())

    def _send(self, command: Command) -> Optional[str]:
        self._sending = True
        try:
            return self._model.send(command)
        except QatvizError as error:
            self.refused.emit(str(error))
            return None
        finally:
            self._sending = False

    def _on_sending(self, command: Command) -> None:
        """Send the edits that the user made before another command: it must find them in effect."""
        if self._is_live and self.unsent and not self._sending and not isinstance(command, InspectTensor):
            self._send_live()

    def _send_inverse(self, stack: List[Tuple[events.Change, ...]], direction: str) -> None:
        """Send the inverse of the newest change on a stack; the run's reply moves it to the other stack."""
        if not stack or self._undoing:
            return
        command_id = self._send(ChangeSettings(tuple((change.setting, change.old) for change in stack[-1])))
        if command_id is not None:
            self._undoing[command_id] = direction

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.CommandApplied, events.CommandRejected)):
            sent = self._sent.pop(event.id, {})
            self.pending = {key: value for key, value in self.pending.items() if sent.get(key, _NOTHING) != value}
            direction = self._undoing.pop(event.id, "")
            if isinstance(event, events.CommandRejected):
                self.refused.emit(event.message)
            elif event.changes or direction:
                self._remember(event.changes, direction, getattr(event.command, "continues", False))
            elif not sent:
                return  # a command that changes no settings, such as the request for a tensor's values
            self.changed.emit()
        elif isinstance(event, events.Restored):
            # All settings were replaced, so the undo stack no longer applies.
            self._undo.clear()
            self._redo.clear()
            self._undoing.clear()
            self.changed.emit()
        elif isinstance(event, events.ENDINGS):
            self.pending = self.unsent
            self._sent.clear()
            self._undoing.clear()
            self._send_timer.stop()
            self._interval_timer.stop()
            self.changed.emit()

    def _remember(self, changes: Tuple[events.Change, ...], direction: str, continues: bool) -> None:
        """Update the stacks after applied changes; ``direction`` is "undo" or "redo", empty for a new change."""
        if continues and self._undo and {c.setting for c in changes} <= {c.setting for c in self._undo[-1]}:
            changes = _merged(self._undo.pop(), changes)
        # The stack is empty if another change came in between.
        if direction:
            del (self._undo if direction == "undo" else self._redo)[-1:]
        else:
            self._redo.clear()
        if changes:  # empty if another change had already restored these settings
            (self._redo if direction == "undo" else self._undo).append(changes)

    def _on_model_changed(self, topic: str) -> None:
        if topic == RUN:
            self.pending.clear()
            self._sent.clear()
            self._undo.clear()
            self._redo.clear()
            self._undoing.clear()
            self._gesture.clear()
            self._send_timer.stop()
            self._interval_timer.stop()
        if topic in (RUN, SETTINGS):
            self.changed.emit()


class _Nothing:
    """Marker that equals no value of a setting."""


_NOTHING = _Nothing()


def _merged(first: Tuple[events.Change, ...], then: Tuple[events.Change, ...]) -> Tuple[events.Change, ...]:
    """Return the changes of ``first`` followed by ``then``, without those that the latter reverts."""
    new = {change.setting: change.new for change in then}
    changes = (events.Change(c.setting, c.old, new.get(c.setting, c.new)) for c in first)
    return tuple(change for change in changes if change.old != change.new)
