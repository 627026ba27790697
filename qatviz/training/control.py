"""Control of a run: pause, single steps, total number of steps, stop."""

from typing import TYPE_CHECKING, Callable, Optional

from qatviz.protocol.events import Paused, Resumed
from qatviz.protocol.reasons import PauseReason
from qatviz.telemetry.run_handle import PAUSED, RUNNING

if TYPE_CHECKING:  # these import TensorFlow; the staged run of the tests has its own in their place
    from qatviz.training.live_run import LiveRun
    from qatviz.training.measuring import Measuring


class Control:
    """Pause, single steps, total steps and stop of a run.

    Parameters
    ----------
    total : int or None
        Total steps; None: no limit.
    on_state : callable (str, int)
        Called with the state, :data:`RUNNING` or :data:`PAUSED`, and the step whenever they change.

    Attributes
    ----------
    is_paused, is_stopping : bool
    total : int or None
        Total steps.
    """

    def __init__(
        self, live: "LiveRun", measuring: "Measuring", total: Optional[int], on_state: Callable[[str, int], None]
    ):
        self._live, self._measuring, self._on_state = live, measuring, on_state
        self.total = total
        self.is_paused = self.is_stopping = False
        self._single_steps = 0

    @property
    def is_done(self) -> bool:
        """True if the total number of steps is done."""
        return self.total is not None and self._live.step >= self.total

    @property
    def is_single_stepping(self) -> bool:
        """True if the run will pause after the requested number of steps."""
        return self._single_steps > 0

    @property
    def single_steps(self) -> int:
        """Number of training steps after which the run will pause; 0: it will not."""
        return self._single_steps

    def report_state(self) -> None:
        """Report the current state and step to ``on_state``."""
        self._on_state(PAUSED if self.is_paused else RUNNING, self._live.step)

    def count_step(self) -> None:
        """Report a completed training step, and pause after the last single step."""
        self._on_state(RUNNING, self._live.step)
        if self._single_steps:
            self._single_steps -= 1
            if not self._single_steps:
                self.pause(PauseReason.SINGLE_STEPS)
                self._measuring.take_snapshot()

    def pause(self, reason: PauseReason) -> None:
        """Pause the run; the caller must take a snapshot, so that the display shows the exact state."""
        self.is_paused, self._single_steps = True, 0
        self._live.emit(Paused(self._live.step, reason))
        self.report_state()

    def proceed(self, single_steps: int = 0) -> None:
        """Resume the run, for ``single_steps`` training steps (0: without limit)."""
        self._single_steps = single_steps
        if self.is_paused:
            self.is_paused = False
            self._live.emit(Resumed(self._live.step))
            self.report_state()
