"""Which state a run is set back to after a step that went wrong."""

import time
from typing import Callable, Optional

from qatviz.protocol.run_state import RunState
from qatviz.training.pace import Pace

#: Seconds between two states kept in memory in case a step goes wrong: at first, after a change, and at most; and the
#: fraction of wall time that keeping them may take.
LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE = 0.5, 5.0, 0.01
#: A state whose loss is more than this many times that of the first step, or of guessing, is not worth going back to.
GOOD_LOSS_FACTOR = 10.0


class Recovery:
    """Keeps the newest state from which a step could be taken.

    A state becomes the one to go back to only once a step from it had a loss that is not far too large: numbers as
    large as those of a run that diverges lead to no end of bad steps, even where they are finite.

    Parameters
    ----------
    first : RunState
        The state to go back to until there is a newer one.
    loss_of_guessing : float
    cost_s : float
        Seconds that it took to copy ``first``.

    Attributes
    ----------
    good : RunState
        The state to go back to.
    """

    def __init__(self, first: RunState, loss_of_guessing: float, cost_s: float):
        self.good = first
        self._unproven: Optional[RunState] = None
        self._loss_of_guessing = loss_of_guessing
        self._greatest_good_loss: Optional[float] = None
        self._pace = Pace(time.perf_counter(), LAST_GOOD_FIRST_S, LAST_GOOD_LONGEST_S, LAST_GOOD_SHARE, cost_s)

    def accept(self, loss: float) -> None:
        """Note that a step with this loss was taken: the state kept last is proven, unless training diverges."""
        if self._greatest_good_loss is None:
            self._greatest_good_loss = GOOD_LOSS_FACTOR * max(loss, self._loss_of_guessing)
        if self._unproven is not None and loss <= self._greatest_good_loss:
            self.good, self._unproven = self._unproven, None

    def propose(self, state: RunState) -> bool:
        """Make ``state`` the next one to go back to, once it is proven; return False if it is not finite."""
        is_finite = state.is_finite
        self._unproven = state if is_finite else None
        return is_finite

    def reject(self) -> None:
        """Forget the state that is not proven yet."""
        self._unproven = None

    def is_due(self, now: float) -> bool:
        """Whether another state should be kept."""
        return self._pace.is_due(now)

    def keep(self, capture: Callable[[], RunState]) -> bool:
        """Copy the present state with ``capture`` and propose it; return False if it is not finite."""
        began = time.perf_counter()
        is_finite = self.propose(capture())
        self._pace.done(began, time.perf_counter())
        return is_finite

    def hurry(self, now: float) -> None:
        """Keep states as often as at the beginning: something has changed."""
        self._pace.restart(now)
