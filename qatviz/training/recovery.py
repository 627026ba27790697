"""Choice of the state to which a run is rewound after a step with a NaN or infinity."""

import time
from collections import deque
from typing import Callable, Deque, Optional

from qatviz.protocol.reasons import NonFiniteValue
from qatviz.protocol.run_state import RunState
from qatviz.training.pace import Pace

#: Interval in seconds between states saved in memory for recovery, at first (and after a change) and at most; largest
#: fraction of wall time used for saving them.
LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE = 0.5, 5.0, 0.01
#: States with a loss above this multiple of the first loss or the baseline, whichever is larger, are not restored.
GOOD_LOSS_FACTOR = 10.0
#: Number of states kept for recovery.
GOOD_STATES = 3


class Recovery:
    """Recovery from bad steps: saves the newest states from which a training step succeeded.

    A state is used for recovery only after a step from it had an acceptable loss (:data:`GOOD_LOSS_FACTOR`). From a
    state that is finite but has diverged, the run would reach a bad step again and again. The gradient of a state can
    be infinite at a finite loss, so that no learning rate helps: then an older state is restored, from which the run
    reached a finite state.

    Parameters
    ----------
    first : RunState
        Recovery state until there is a newer one.
    baseline_loss : float
        See :attr:`.objective.Objective.baseline_loss`.
    cost_s : float
        Time taken to copy ``first``, in seconds.
    """

    def __init__(self, first: RunState, baseline_loss: float, cost_s: float):
        self._good: Deque[RunState] = deque([first], GOOD_STATES)
        self._candidate: Optional[RunState] = None
        self._restored_step: Optional[int] = None
        self._baseline_loss = baseline_loss
        self._loss_limit: Optional[float] = None
        self._pace = Pace(time.perf_counter(), LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE, cost_s)

    def accept(self, loss: float) -> None:
        """Record the loss of a step, which confirms the last saved state unless training diverges."""
        if self._loss_limit is None:
            self._loss_limit = GOOD_LOSS_FACTOR * max(loss, self._baseline_loss)
        if self._candidate is not None and loss <= self._loss_limit:
            if self._good[-1].step == self._candidate.step:  # the same state, with other settings perhaps
                self._good.pop()
            self._good.append(self._candidate)
            self._candidate = None

    def forget_loss(self) -> None:
        """Take the loss of the next step as the first one: it is computed in another way from now on."""
        self._loss_limit = None

    def propose(self, state: RunState) -> bool:
        """Make ``state`` the next recovery state once it is confirmed; return False if it is not finite."""
        is_finite = state.is_finite
        self._candidate = state if is_finite else None
        return is_finite

    def restart(self, state: RunState) -> None:
        """Continue from ``state``: newer ones belong to the abandoned branch."""
        if self.propose(state):
            older = [good for good in self._good if good.step <= state.step]
            self._good = deque(older or [state], GOOD_STATES)

    def fall_back(self, what: NonFiniteValue) -> RunState:
        """Return the state to restore after a bad step, and discard the newer ones and the one not confirmed yet.

        It is the newest confirmed state, but an older one if that state may be the cause: if the weights after it are
        not finite, or if the run has failed twice since.
        """
        newest = self._good[-1].step
        if (what is NonFiniteValue.STATE or newest == self._restored_step) and len(self._good) > 1:
            self._good.pop()
        self._candidate, self._restored_step = None, self._good[-1].step
        return self._good[-1]

    @property
    def newest(self) -> RunState:
        """The newest finite state that was saved, confirmed or not: for failures that are not the state's."""
        return self._candidate or self._good[-1]

    def is_due(self, now: float) -> bool:
        """Return whether another state should be saved."""
        return self._pace.is_due(now)

    def keep(self, capture: Callable[[], RunState]) -> bool:
        """Copy the current state with ``capture`` and propose it; return False if it is not finite."""
        started = time.perf_counter()
        is_finite = self.propose(capture())
        self._pace.done(started, time.perf_counter())
        return is_finite

    def schedule_soon(self, now: float) -> None:
        """Restart from the first interval, after a change."""
        self._pace.restart(now)
