"""Events of a run, each marked as leading to its current state or as abandoned by a rewind."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

from qatviz.protocol.branches import UNPLACED, BranchCursor, BranchPath, BranchPoint
from qatviz.protocol.commands import ApplyPreset, ChangeSettings
from qatviz.protocol.events import CommandApplied, Event
from qatviz.protocol.settings_book import SettingsBook


@dataclass(frozen=True)
class LoggedEvent:
    """An event in the log of a run.

    Attributes
    ----------
    event : Event
    survives : bool
        True if it led to the current state of the run; False if the run was rewound to before it.
    time : float or None
        Wall clock, Unix time in seconds; None if not recorded.
    """

    event: Event
    survives: bool = True
    time: Optional[float] = None


def value_at(values: Sequence[Tuple[int, Any]], step: int) -> Any:
    """Return the value of :meth:`Timeline.values_of` at ``step``, which is not before the first one."""
    return [value for at, value in values if at <= step][-1]


class Timeline:
    """All events of a run, in order of arrival.

    Attributes
    ----------
    log : list of LoggedEvent
        Replaced by a new list when the survival of events changes; otherwise it only grows.
    path : BranchPath
        Path to the current state.
    """

    def __init__(self) -> None:
        self.log: List[LoggedEvent] = []
        self._cursor = BranchCursor()
        self.path: BranchPath = self._cursor.tree.path()

    def add(self, event: Event, time: Optional[float] = None) -> bool:
        """Append an event; return whether the run has been set to another state.

        An event without a place belongs to the current state.
        """
        branch = self._cursor.branch
        event = self._cursor.place(event)
        is_moved = self._cursor.branch != branch
        if is_moved:
            self.path = self._cursor.tree.path()
            self.log = [
                logged if logged.survives == survives else replace(logged, survives=survives)
                for logged, survives in ((logged, self.path.includes(logged.event.point)) for logged in self.log)
            ]
        self.log.append(LoggedEvent(event, self.path.includes(event.point), time))
        return is_moved

    def settings_at(self, point: BranchPoint, present: SettingsBook) -> SettingsBook:
        """Return the settings at an earlier state of the run, on any branch.

        ``present`` are the settings after the last event.
        """
        old: Dict[str, Any] = {}
        for logged in reversed(self.log[self._number_before(self.place(point)) :]):
            # If a setting was changed several times, its value before the first change counts.
            old.update((change.setting, change.old) for change in reversed(getattr(logged.event, "changes", ())))
        return present.change(list(old.items()))[0] if old else present

    def values_of(self, path: str, present: Any) -> List[Tuple[int, Any]]:
        """Return the values of a setting on the path to the current state.

        Parameters
        ----------
        path : str
        present : object
            Value after the last event.

        Returns
        -------
        list of (int, object)
            Number of training steps complete at each change, ascending, and the value from then on; the first pair is
            the step 0 with the value before all changes.
        """
        changes = [
            (logged.event.step, change)
            for logged in self.log
            # A rewind continues from the values that the events before its state had led to.
            if logged.survives and isinstance(logged.event, CommandApplied)
            if isinstance(logged.event.command, (ApplyPreset, ChangeSettings))
            for change in logged.event.changes
            if change.setting == path
        ]
        first = changes[0][1].old if changes else present
        return [(0, first), *((step, change.new) for step, change in changes)]

    def _number_before(self, point: BranchPoint) -> int:
        """Return the number of events up to the last one that changed settings on the way to ``point``."""
        limit: Optional[BranchPoint] = point
        while limit is not None:
            for number in range(len(self.log), 0, -1):
                event = self.log[number - 1].event
                is_before = event.step <= limit.step if limit.position is None else event.position < limit.position
                if event.branch == limit.branch and is_before and bool(getattr(event, "changes", None)):
                    return number
            parent = self._cursor.tree.parent_of(limit.branch)
            limit = parent if parent is not None and parent.branch < limit.branch else None
        return 0

    def place(self, point: BranchPoint) -> BranchPoint:
        """Return ``point``; if it has no place, the same step on the current branch."""
        return point if point.branch != UNPLACED else self._cursor.point(point.step)
