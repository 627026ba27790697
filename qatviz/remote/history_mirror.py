"""Copy, in a viewer, of the history of a run on another machine.

New data is appended as it arrives. If data before it is missing, because the connection was lost or telemetry was
dropped, the missing part is requested from the record of the run, and new data is queued until that part is complete.
"""

from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Union

from qatviz.protocol import values
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.events import Evaluated, Event
from qatviz.remote.telemetry import SnapshotRow, StepRows, Tail
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import SNAPSHOTS, STEPS, append_evaluation, append_new, extend_steps

#: Largest number of queued steps; the oldest ones beyond it are dropped, and requested later.
_MOST_WAITING = 20_000


class NewBranch(NamedTuple):
    """Beginning of a branch: the run continues from the state at ``parent``, None if that is unknown.

    ``left`` is the end of the branch before it; None if that is unknown.
    """

    branch: int
    parent: Optional[BranchPoint]
    left: Optional[Tail] = None


#: New data, in the order in which the run produces it.
Item = Union[StepRows, SnapshotRow, Evaluated, NewBranch]


class HistoryMirror:
    """Writer of the copy of a history; one thread at a time may call its methods.

    Parameters
    ----------
    history : History
        The copy.
    request : callable (Tail)
        Requests all recorded data after an end of the history. When it arrives, the owner of the mirror passes it to
        :meth:`fill`, and then calls :meth:`end_filling`.

    Attributes
    ----------
    is_filling : bool
        Whether a part of the history is missing and was requested.
    """

    def __init__(self, history: History, request: Callable[[Tail], None]):
        self._history, self._request = history, request
        self._waiting: Deque[Item] = deque()  # queued until the missing part is complete
        self._waiting_steps = 0
        self.is_filling = True  # the viewer requests the first missing part when it subscribes to the run
        self._requested = -1, -1  # branch and step of the last snapshot that was missing and requested
        self._complete_step = -1  # the history has all recorded steps of the present branch up to this one

    @property
    def tail(self) -> Tail:
        """End of the history, after which data is requested."""
        steps, snapshots = self._history.last_step(STEPS), self._history.last_step(SNAPSHOTS)
        return Tail(self._history.branch, -1 if steps is None else steps, -1 if snapshots is None else snapshots)

    def expect_filling(self) -> None:
        """Queue new data from now on: the caller requests the data after :attr:`tail`."""
        self.is_filling = True
        self._waiting.clear()
        self._waiting_steps = 0

    def put(self, item: Item) -> None:
        """Append new data, or queue it while a part before it is missing, which is requested."""
        if not self.is_filling and self._is_missing_before(item):
            self.is_filling = True
            self._request(self.tail)
        if not self.is_filling:
            self._append(item)
            return
        self._waiting.append(item)
        if isinstance(item, StepRows):
            self._waiting_steps += len(item.steps)
            while self._waiting_steps > _MOST_WAITING:
                self._drop_steps()

    def put_event(self, event: Event, left: Optional[Tail] = None) -> None:
        """Append the data of an event: a new branch, after the end ``left`` of the one before it, or an evaluation."""
        if event.branch > self._history.branch:
            self.put(NewBranch(event.branch, event.parent, left))
        if isinstance(event, Evaluated):
            self.put(event)

    def fill(self, item: Item) -> None:
        """Append a piece of the missing part, in order."""
        self._append(item)

    def end_filling(self, step: int, branch: Optional[int] = None) -> None:
        """Append the queued data: the missing part is complete up to ``step`` of ``branch``.

        By default, ``branch`` is the present one of the history.
        """
        if branch is None or branch == self._history.branch:
            self._complete_step = max(self._complete_step, step)
        elif branch > self._history.branch:  # the run has left the present one, of which no more is recorded
            self._complete_step = values.LARGEST_STEP
        self.is_filling = False
        waiting: List[Item] = list(self._waiting)
        self._waiting.clear()
        self._waiting_steps = 0
        for item in waiting:
            self.put(item)

    def _is_missing_before(self, item: Item) -> bool:
        """Return whether the history lacks steps, a branch or a snapshot before an item."""
        if isinstance(item, NewBranch):
            return item.left is not None and item.left.branch == self._history.branch and self._lacks(item.left)
        if isinstance(item, StepRows):
            if item.branch != self._history.branch:
                return item.branch > self._history.branch
            return self._lacks(Tail(item.branch, int(item.steps[0]) - 1))
        if not isinstance(item, SnapshotRow) or item.branch != self._history.branch:
            return False
        return self._lacks(Tail(item.branch, snapshot=item.previous))

    def _lacks(self, end: Tail) -> bool:
        """Return whether the history lacks data of the present branch up to ``end``."""
        own, wanted = self.tail, (end.branch, end.snapshot)
        lacks_snapshot = end.snapshot > own.snapshot and wanted > self._requested
        if lacks_snapshot:
            self._requested = wanted  # once: a record does not keep all snapshots
        return lacks_snapshot or end.step > max(self._complete_step, own.step)

    def _drop_steps(self) -> None:
        """Drop the oldest queued steps."""
        for index, item in enumerate(self._waiting):
            if isinstance(item, StepRows):
                del self._waiting[index]
                self._waiting_steps -= len(item.steps)
                return

    def _append(self, item: Any) -> None:
        """Append the part of an item that the history lacks; ignore an item that is not of the present branch."""
        history = self._history
        if isinstance(item, NewBranch):
            if item.branch > history.branch:
                history.rewind(item.parent or BranchPoint(item.branch - 1, 0), item.branch)
                self._complete_step = -1 if item.parent is None else item.parent.step
        elif item.branch != history.branch:
            return  # the run left this branch before the item arrived: no curve shows it
        elif isinstance(item, StepRows):
            known = history.last_step(STEPS)
            new = item.steps > (-1 if known is None else known)
            if new.any():
                losses = item.losses if item.losses.shape[1] else None
                extend_steps(
                    history,
                    item.steps[new],
                    item.scalars[new, 1:],
                    item.values[new],
                    None if losses is None else losses[new],
                )
        elif isinstance(item, SnapshotRow):
            append_new(history, SNAPSHOTS, item.step, item.values.reshape(-1), item.position or 0)
        else:
            append_evaluation(history, item)
