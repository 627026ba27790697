"""Events of a run, each marked as leading to its current state or as abandoned by a rewind."""

from dataclasses import dataclass, replace
from typing import List, Optional

from qatviz.protocol.branches import UNPLACED, BranchCursor, BranchPath, BranchPoint
from qatviz.protocol.events import Event


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

    def place(self, point: BranchPoint) -> BranchPoint:
        """Return ``point``; if it has no place, the same step on the current branch."""
        return point if point.branch != UNPLACED else self._cursor.point(point.step)
