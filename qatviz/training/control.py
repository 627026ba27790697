"""Whether a run continues or waits, and how far it is to go."""

from typing import Callable, Optional

from qatviz.protocol.events import Paused, Resumed
from qatviz.protocol.reasons import PauseReason
from qatviz.training.live_run import LiveRun
from qatviz.training.measuring import Measuring


class Control:
    """Pause, single steps, total steps and stop of a run.

    Parameters
    ----------
    total : int or None
        Total steps; None: no limit.
    on_state : callable (str, int)
        Called with the state (``running``, ``paused``) and the step whenever they change.

    Attributes
    ----------
    is_paused, is_stopping : bool
    total : int or None
    """

    def __init__(self, live: LiveRun, measuring: Measuring, total: Optional[int], on_state: Callable[[str, int], None]):
        self._live, self._measuring, self._on_state = live, measuring, on_state
        self.total = total
        self.is_paused = self.is_stopping = False
        self._single_steps = 0

    @property
    def is_done(self) -> bool:
        """Whether all steps that were asked for are done."""
        return self.total is not None and self._live.step >= self.total

    @property
    def is_single_stepping(self) -> bool:
        """Whether the run will pause again after some steps."""
        return self._single_steps > 0

    def report_state(self) -> None:
        """Report the present state and step."""
        self._on_state("paused" if self.is_paused else "running", self._live.step)

    def count_step(self) -> None:
        """Report that a step was taken, and pause after the last single step."""
        self._on_state("running", self._live.step)
        if self._single_steps:
            self._single_steps -= 1
            if not self._single_steps:
                self.pause(PauseReason.SINGLE_STEPS)

    def pause(self, reason: PauseReason) -> None:
        """Wait from now on; what is on screen meanwhile is measured exactly."""
        self.is_paused, self._single_steps = True, 0
        self._live.emit(Paused(self._live.step, reason))
        self.report_state()
        if not self.is_stopping:
            self._measuring.take_snapshot()

    def proceed(self, single_steps: int = 0) -> None:
        """Continue, for so many steps (0: until something else is asked for)."""
        self._single_steps = single_steps
        if self.is_paused:
            self.is_paused = False
            self._live.emit(Resumed(self._live.step))
            self.report_state()
