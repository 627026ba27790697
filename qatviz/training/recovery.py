"""Choice of the state to which a run is rewound after a step with a NaN or infinity."""

import time
from typing import Callable, Optional

from qatviz.protocol.run_state import RunState
from qatviz.training.pace import Pace

#: Interval in seconds between states saved in memory for recovery, at first (and after a change) and at most; largest
#: fraction of wall time used for saving them.
LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE = 0.5, 5.0, 0.01
#: A state with a loss larger than this multiple of that of the first step, or of guessing, is not used for recovery.
GOOD_LOSS_FACTOR = 10.0


class Recovery:
    """Recovery from bad steps: saves the newest state from which a training step succeeded.

    A state is used for recovery only after a step from it had a loss that is not far too large: a diverging run would
    repeat bad steps endlessly, even if its numbers are still finite.

    Parameters
    ----------
    first : RunState
        Recovery state until there is a newer one.
    loss_of_guessing : float
    cost_s : float
        Time taken to copy ``first``, in seconds.

    Attributes
    ----------
    good : RunState
        Recovery state.
    """

    def __init__(self, first: RunState, loss_of_guessing: float, cost_s: float):
        self.good = first
        self._unproven: Optional[RunState] = None
        self._loss_of_guessing = loss_of_guessing
        self._greatest_good_loss: Optional[float] = None
        self._pace = Pace(time.perf_counter(), LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE, cost_s)

    def accept(self, loss: float) -> None:
        """Record the loss of a step, which confirms the last saved state unless training diverges."""
        if self._greatest_good_loss is None:
            self._greatest_good_loss = GOOD_LOSS_FACTOR * max(loss, self._loss_of_guessing)
        if self._unproven is not None and loss <= self._greatest_good_loss:
            self.good, self._unproven = self._unproven, None

    def propose(self, state: RunState) -> bool:
        """Make ``state`` the next recovery state once it is confirmed; return False if it is not finite."""
        is_finite = state.is_finite
        self._unproven = state if is_finite else None
        return is_finite

    def reject(self) -> None:
        """Discard the state that is not confirmed yet."""
        self._unproven = None

    def is_due(self, now: float) -> bool:
        """Return whether another state should be saved."""
        return self._pace.is_due(now)

    def keep(self, capture: Callable[[], RunState]) -> bool:
        """Copy the present state with ``capture`` and propose it; return False if it is not finite."""
        started = time.perf_counter()
        is_finite = self.propose(capture())
        self._pace.done(started, time.perf_counter())
        return is_finite

    def hurry(self, now: float) -> None:
        """Save states as often as at the start, after a change."""
        self._pace.restart(now)
