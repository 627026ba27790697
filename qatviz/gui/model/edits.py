"""Changes of settings on their way from a control to the run: at once (live) or collected (hold), with undo and redo.

A control says what it wants; the run says what is in effect. In between, a change is *pending*: the controls show it,
the plots draw its ghost. Undo here restores settings; setting the run itself back is a command of its own.
"""

from typing import Any, Dict, Iterable, List, Optional, Tuple

from PyQt5 import QtCore

from qatviz.errors import QatvizError
from qatviz.gui.model.run_model import RUN, SETTINGS, RunModel
from qatviz.presentation.event_texts import change_words
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, Command
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import RUN as RUN_PREFIX

LIVE, HOLD = "live", "hold"
#: Edits wait this long for the next one before they are sent: turns of a wheel are one change. Drags and keys that are
#: held are one change however long they take (:meth:`Edits.set_dragging`), so this can be well below the 100 ms that a
#: user notices.
DEBOUNCE_MS = 40

Key = Tuple[str, str]


class Edits(QtCore.QObject):
    """Collects edits of settings and sends them to the run of ``model``.

    Attributes
    ----------
    mode : str
        ``live``: an edit is sent by itself, a moment after the last; ``hold``: edits wait for :meth:`apply`.
    pending : dict of (tensor or "run", setting) to value
        What is wanted and not yet in effect; sent or not.
    """

    #: What is pending, or the mode, or what can be undone, has changed.
    changed = QtCore.pyqtSignal()
    #: The run refused a change, or could not be asked: a sentence for the user.
    refused = QtCore.pyqtSignal(str)

    def __init__(self, model: RunModel, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self._model = model
        self.mode = LIVE
        self._dragging = False
        self.pending: Dict[Key, Any] = {}
        self._pending_book: Optional[Tuple[SettingsBook, Dict[Key, Any], SettingsBook]] = None
        self._sent: Dict[int, Dict[Key, Any]] = {}
        self._undo: List[Tuple[events.Change, ...]] = []
        self._redo: List[Tuple[events.Change, ...]] = []
        self._moving: Dict[int, str] = {}
        self._timer = QtCore.QTimer(self, singleShot=True, interval=DEBOUNCE_MS)
        self._timer.timeout.connect(self.apply)
        model.changed.connect(self._on_model_changed)
        model.happened.connect(self._on_event)

    # What the user does

    def set_mode(self, mode: str) -> None:
        """``live`` or ``hold``; what is pending is sent when going live."""
        self.mode = mode
        if mode == LIVE and self.unsent:
            self.apply()
        self.changed.emit()

    def edit(self, tensors: Iterable[str], setting: str, value: Any) -> None:
        """Want ``setting`` of ``tensors`` (or of ``["run"]``) to be ``value``."""
        for tensor in tensors:
            key = (tensor, setting)
            if self._in_effect(key) == value and not self._is_under_way(key):
                self.pending.pop(key, None)
            else:
                self.pending[key] = value
        if self.mode == LIVE and not self._dragging:
            self._timer.start()
        self.changed.emit()

    def set_dragging(self, dragging: bool) -> None:
        """While a control is being dragged (or a key held down) edits stay pending, however slow; its end sends them as
        one.
        """
        self._dragging = dragging
        if dragging:
            self._timer.stop()
        elif self.mode == LIVE and self.unsent:
            self._timer.start()

    def apply(self) -> None:
        """Send what is pending and was not sent yet, as one change."""
        self._timer.stop()
        unsent = self.unsent
        if unsent:
            paths = tuple(("{}.{}".format(*key), value) for key, value in unsent.items())
            sequence = self._send(ChangeSettings(paths))
            if sequence is None:
                self.pending = {key: value for key, value in self.pending.items() if key not in unsent}
            else:
                self._sent[sequence] = unsent
        self.changed.emit()

    def apply_preset(self, preset: str, tensors: Optional[Iterable[str]] = None) -> None:
        """Give quantizers (those of ``tensors``; by default all) a preset, at once in live mode; in hold mode its
        differences become pending.
        """
        chosen = {tensor.name for tensor in self._model.tensors}
        chosen = chosen if tensors is None else chosen & set(tensors)
        if self.mode == LIVE and len(chosen) == len(self._model.tensors):
            self._send(ApplyPreset(preset))
            return
        book = self.pending_book() or self._model.book
        for change in book.with_preset(preset)[1]:
            tensor, _, name = change.setting.rpartition(".")
            if tensor in chosen:
                self.edit([tensor], name, change.new)
        if self.mode == LIVE:
            self.apply()

    def discard(self) -> None:
        """Forget what is pending and was not sent."""
        self._timer.stop()
        for key in self.unsent:
            del self.pending[key]
        self.changed.emit()

    def undo(self) -> None:
        """Restore the settings that the last change replaced; training goes on from where it is."""
        self._move(self._undo, "undo")

    def redo(self) -> None:
        self._move(self._redo, "redo")

    # What controls and plots ask

    @property
    def unsent(self) -> Dict[Key, Any]:
        """What is pending and waits for :meth:`apply`."""
        return {
            key: value
            for key, value in self.pending.items()
            if not any(sent.get(key, _NOTHING) == value for sent in self._sent.values())
        }

    @property
    def can_undo(self) -> bool:
        return bool(self._undo) and not self._moving

    @property
    def can_redo(self) -> bool:
        return bool(self._redo) and not self._moving

    def describe_undo(self) -> str:
        """What undo would restore, or an empty text."""
        return describe(self._undo[-1]) if self._undo else ""

    def describe_redo(self) -> str:
        return describe(self._redo[-1]) if self._redo else ""

    def value(self, tensor: str, setting: str) -> Any:
        """What is wanted: the pending value, else the one in effect."""
        return self.pending.get((tensor, setting), self._in_effect((tensor, setting)))

    def is_pending(self, tensor: str, setting: str) -> bool:
        return (tensor, setting) in self.pending

    def pending_book(self) -> Optional[SettingsBook]:
        """The settings as they would be; None where nothing is pending."""
        if not self.pending or self._model.book is None:
            return None
        # Every plot asks, for every tensor: the answer is kept until something else is pending or in effect.
        wanted, book, kept = dict(self.pending), self._model.book, self._pending_book
        if kept is None or kept[0] is not book or kept[1] != wanted:
            assignments = [("{}.{}".format(*key), value) for key, value in wanted.items()]
            self._pending_book = kept = (book, wanted, book.change(assignments)[0])
        return kept[2]

    # Inside

    def _in_effect(self, key: Key) -> Any:
        tensor, setting = key
        book = self._model.book
        return getattr(book.run if tensor == RUN_PREFIX else book.of(tensor), setting)

    def _is_under_way(self, key: Key) -> bool:
        return any(key in sent for sent in self._sent.values())

    def _send(self, command: Command) -> Optional[int]:
        try:
            return self._model.run.send(command)
        except QatvizError as error:
            self.refused.emit(str(error))
            return None

    def _move(self, stack: List[Tuple[events.Change, ...]], direction: str) -> None:
        if not stack or self._moving:
            return
        sequence = self._send(ChangeSettings(tuple((change.setting, change.old) for change in stack[-1])))
        if sequence is not None:
            self._moving[sequence] = direction

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.CommandApplied, events.CommandRejected)):
            sent = self._sent.pop(event.sequence, {})
            self.pending = {key: value for key, value in self.pending.items() if sent.get(key, _NOTHING) != value}
            direction = self._moving.pop(event.sequence, "")
            if isinstance(event, events.CommandRejected):
                self.refused.emit(event.message)
            elif event.changes or direction:
                self._remember(event.changes, direction)
            self.changed.emit()
        elif isinstance(event, events.Restored):
            # The settings are the moment's: what would be undone is not what is in effect any more.
            for memory in (self._undo, self._redo, self._moving):
                memory.clear()
            self.changed.emit()
        elif isinstance(event, events.ENDINGS):
            self.pending.clear()
            self._sent.clear()
            self._moving.clear()
            self.changed.emit()

    def _remember(self, changes: Tuple[events.Change, ...], direction: str) -> None:
        # A change that came between may have emptied the stack.
        if direction:
            del (self._undo if direction == "undo" else self._redo)[-1:]
        else:
            self._redo.clear()
        if changes:  # else another change had restored those settings before
            (self._redo if direction == "undo" else self._undo).append(changes)

    def _on_model_changed(self, topic: str) -> None:
        if topic == RUN:
            for memory in (self.pending, self._sent, self._undo, self._redo, self._moving):
                memory.clear()
            self._timer.stop()
        if topic in (RUN, SETTINGS):
            self.changed.emit()


class _Nothing:
    """Equal to no value of a setting."""


_NOTHING = _Nothing()


def describe(changes: Tuple[events.Change, ...]) -> str:
    """A change in one line: ``conv1.weights.num_bits 8 → 4``, and how many more."""
    if not changes:
        return ""
    text = change_words(changes[0])
    return text if len(changes) == 1 else f"{text} and {len(changes) - 1} more"
