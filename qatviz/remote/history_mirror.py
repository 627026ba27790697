"""Copy of a run's history on another machine: complete, whatever was dropped or missed on the way.

New data is appended as it arrives. Where something is missing, because the connection was lost or telemetry was
dropped, the missing part is requested from the record of the run, and new data waits until it has arrived.
"""

from collections import deque
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Union

from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.events import Evaluated, Event
from qatviz.remote.telemetry import SnapshotRow, StepRows, Tail
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import SNAPSHOTS, STEPS, append_evaluation, append_new, extend_steps

#: Largest number of steps that wait; if there are more, the oldest are dropped and requested again.
_MOST_WAITING = 20_000


class NewBranch(NamedTuple):
    """The run continues on a new branch from the state at ``parent``."""

    branch: int
    parent: Optional[BranchPoint]


Item = Union[StepRows, SnapshotRow, Evaluated, NewBranch]


class HistoryMirror:
    """Writer of a history, used by one thread.

    Parameters
    ----------
    history : History
    request : callable (Tail)
        Requests what follows the end of the history; :meth:`fill` is called with it, then :meth:`end_filling`.
    """

    def __init__(self, history: History, request: Callable[[Tail], None]):
        self._history, self._request = history, request
        self._waiting: Deque[Item] = deque()
        self._waiting_steps = 0
        self._is_filling = True  # the first part is requested when the run is attached
        self._step = -1  # all steps of the present branch up to it are known, or not recorded

    @property
    def tail(self) -> Tail:
        """End of the history."""
        steps, snapshots = self._history.last_step(STEPS), self._history.last_step(SNAPSHOTS)
        return Tail(self._history.branch, -1 if steps is None else steps, -1 if snapshots is None else snapshots)

    def expect_filling(self) -> None:
        """Let new data wait, because the missing part was requested with :meth:`tail`."""
        self._is_filling = True
        self._waiting.clear()
        self._waiting_steps = 0

    def put(self, item: Item) -> None:
        """Append new data, or let it wait."""
        if not self._is_filling and isinstance(item, StepRows) and self._is_missing_before(item):
            self._is_filling = True
            self._request(self.tail)
        if not self._is_filling:
            self._append(item)
            return
        self._waiting.append(item)
        if isinstance(item, StepRows):
            self._waiting_steps += len(item.steps)
            while self._waiting_steps > _MOST_WAITING:
                self._drop_steps()

    def put_event(self, event: Event) -> None:
        """Append what an event changes in the history."""
        if event.branch > self._history.branch:
            self.put(NewBranch(event.branch, event.parent))
        if isinstance(event, Evaluated):
            self.put(event)

    def fill(self, item: Item) -> None:
        """Append a piece of the missing part."""
        self._append(item)

    def end_filling(self, step: int) -> None:
        """Append what waits; the missing part up to ``step`` was all that is recorded."""
        self._step = max(self._step, step)
        self._is_filling = False
        waiting: List[Item] = list(self._waiting)
        self._waiting.clear()
        self._waiting_steps = 0
        for item in waiting:
            self.put(item)

    def _is_missing_before(self, rows: StepRows) -> bool:
        if rows.branch != self._history.branch:
            return rows.branch > self._history.branch
        known = self._history.last_step(STEPS)
        return int(rows.steps[0]) > max(self._step, -1 if known is None else known) + 1

    def _drop_steps(self) -> None:
        for index, item in enumerate(self._waiting):
            if isinstance(item, StepRows):
                del self._waiting[index]
                self._waiting_steps -= len(item.steps)
                return

    def _append(self, item: Any) -> None:
        """Append what the history does not have yet, on the branch that it is on."""
        history = self._history
        if isinstance(item, NewBranch):
            if item.branch > history.branch:
                history.rewind(item.parent or BranchPoint(item.branch - 1, 0), item.branch)
                self._step = -1 if item.parent is None else item.parent.step
        elif item.branch != history.branch:
            return  # of a branch that was left before it arrived: its rows are on none of the shown paths
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
