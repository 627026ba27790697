"""What happened to a run, and what of it led to the present state: a run that is set back leaves some of it behind."""

from dataclasses import dataclass, replace
from typing import List, Optional

from qatviz.protocol.branches import UNPLACED, BranchCursor, BranchPath, BranchPoint
from qatviz.protocol.events import Event


@dataclass(frozen=True)
class LoggedEvent:
    """An event of a run.

    Attributes
    ----------
    event : Event
    survives : bool
        Whether it led to the present state of the run; False where the run was set back to before it.
    time : float or None
        Wall clock, Unix time in seconds; None where nobody noted it.
    """

    event: Event
    survives: bool = True
    time: Optional[float] = None


class Timeline:
    """All events of a run, in the order in which they came.

    Attributes
    ----------
    log : list of LoggedEvent
        Another list once events no longer survive, or survive again; else it only grows.
    path : BranchPath
        What led to the present state.
    """

    def __init__(self) -> None:
        self.log: List[LoggedEvent] = []
        self._cursor = BranchCursor()
        self.path: BranchPath = self._cursor.tree.path()

    def add(self, event: Event, time: Optional[float] = None) -> bool:
        """Append what came next; return whether the run was set to another state by then.

        An event that says nothing of its place belongs to the present.
        """
        branch = self._cursor.branch
        event = self._cursor.place(event)
        moved = self._cursor.branch != branch
        if moved:
            self.path = self._cursor.tree.path()
            self.log = [
                logged if logged.survives == survives else replace(logged, survives=survives)
                for logged, survives in ((logged, self.path.includes(logged.event.point)) for logged in self.log)
            ]
        self.log.append(LoggedEvent(event, self.path.includes(event.point), time))
        return moved

    def place(self, point: BranchPoint) -> BranchPoint:
        """Return the place of a state; one that says nothing of it is of the present branch."""
        return point if point.branch != UNPLACED else self._cursor.point(point.step)
