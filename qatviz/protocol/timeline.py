"""What led to where the run is, of all that happened: a run that is set back goes on from there on another branch."""

import re
from typing import Dict, List, Tuple

from qatviz.protocol import events

#: Names of states that are kept when the run is set back or forward (to undo that): they end in the step, and in the
#: number of the command by which the state was left.
_LEFT = re.compile(r"-(\d+)-(\d+)$")
_NONE = -1
#: Told some steps after they were true: they say something of a state, and come at no place of their own.
_LATE = (events.Evaluated, events.CheckpointSaved)


class Timeline:
    """A tree of events: each knows what came before it on its branch.

    By steps alone it can't be told what came before and what after a state that was restored: a change takes effect at
    the very step of the checkpoint that was kept before it. So the names of checkpoints are followed.
    """

    def __init__(self):
        self._events: List[events.Event] = []
        self._parents: List[int] = []
        self._head = _NONE
        self._kept: Dict[str, int] = {}
        self._last_kept = ""
        self._saved: Dict[str, int] = {}
        self._left: Dict[Tuple[int, int], int] = {}

    def add(self, event: events.Event) -> None:
        """What happened next."""
        if isinstance(event, _LATE):
            before = self._until(self._head, event.step)
            if isinstance(event, events.CheckpointSaved):
                self._saved[event.name] = before
            self._append(event, before)
            return
        if isinstance(event, events.Restored):
            self._restore(event)
        elif isinstance(event, events.CommandApplied) and event.checkpoint:
            # Kept before a change of settings (several may share it); else asked for, with all that came before.
            if not event.changes or event.checkpoint != self._last_kept:
                self._kept[event.checkpoint] = self._head
            self._last_kept = event.checkpoint
        self._head = self._append(event, self._head)

    def recall(self, event: events.Event, survives: bool) -> None:
        """What happened next, as somebody else knows it: of ``survives`` nothing is concluded anew."""
        before = self._head if survives else len(self._events) - 1
        if isinstance(event, events.CommandApplied) and event.checkpoint:
            if event.checkpoint != self._last_kept:
                self._kept[event.checkpoint] = before
            self._last_kept = event.checkpoint
        index = self._append(event, before)
        if survives:
            self._head = index

    def surviving(self) -> List[bool]:
        """Of each event, in the order in which they were added, whether it is part of what led here."""
        flags = [False] * len(self._events)
        # How far each state of the present branch was left: at once where the run was set to it, else at a later event.
        left_at: Dict[int, float] = {}
        index, limit = self._head, float("inf")
        while index != _NONE:
            flags[index], left_at[index] = True, limit
            event = self._events[index]
            limit = event.step if isinstance(event, events.Restored) else float("inf")
            index = self._parents[index]
        left_at[_NONE] = limit
        for index, event in enumerate(self._events):
            if isinstance(event, _LATE) and not flags[index]:
                flags[index] = event.step <= left_at.get(self._parents[index], -1)
        return flags

    def _append(self, event: events.Event, before: int) -> int:
        self._events.append(event)
        self._parents.append(before)
        return len(self._events) - 1

    def _restore(self, event: events.Restored) -> None:
        sequence, head = self._answer(event)
        left = _LEFT.search(event.name)
        key = (int(left.group(1)), int(left.group(2))) if left else None
        if event.name in self._kept:
            self._head = self._kept[event.name]
        elif key in self._left:
            self._head = self._left[key]
        else:
            self._head = self._saved.get(event.name, self._until(head, event.step))
        self._left[event.from_step, sequence] = head

    def _answer(self, event: events.Restored) -> Tuple[int, int]:
        """Number of the command that was answered just before, and where the run was when it came."""
        last = self._events[self._head] if self._head != _NONE else None
        if isinstance(last, events.CommandApplied) and not last.checkpoint and last.step == event.step:
            return last.sequence, self._parents[self._head]
        return _NONE, self._head

    def _until(self, index: int, step: int) -> int:
        """The newest event of a branch that came after no more than ``step`` steps."""
        while index != _NONE and self._events[index].step > step:
            index = self._parents[index]
        return index
