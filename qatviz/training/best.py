"""Best evaluation of a run: its state is kept, and the run ends after a number of evaluations that are not better."""

import hashlib
import json
from typing import TYPE_CHECKING, Callable, Optional

from qatviz.metric import Metric
from qatviz.protocol.events import Evaluated, Planned, StoppedEarly
from qatviz.protocol.run_state import BestEvaluation, RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import LOSS
from qatviz.training.control import Control

if TYPE_CHECKING:  # it imports TensorFlow
    from qatviz.training.live_run import LiveRun


class BestKeeper:
    """Comparison of each evaluation of a run with the best one so far.

    An evaluation is compared only with those under the same settings of all quantizers; the first after a change of
    settings, or after the end of a quantization delay, is the best so far. Otherwise, a state before quantization began
    would remain the best.

    Parameters
    ----------
    live : LiveRun
        Its ``best`` is updated; it is a part of the run's state, so that undo and resume restore it.
    control : Control
    metric : Metric
        Metric of the run, whose value in the mode "quantized" is compared unless the loss is.
    keep : callable (RunState, RunState or None)
        Saves the first state; the second is the one that was the best before, to be replaced.

    Attributes
    ----------
    state : RunState or None
        State of the best evaluation, if it was kept and is the best on the current branch.
    """

    def __init__(
        self,
        live: "LiveRun",
        control: Control,
        metric: Metric,
        keep: Callable[[RunState, Optional[RunState]], None],
    ):
        self._live, self._control, self._metric, self._keep = live, control, metric, keep
        self._state: Optional[RunState] = None

    @property
    def state(self) -> Optional[RunState]:
        best = self._live.best
        return self._state if self._state is not None and best is not None and best.step == self._state.step else None

    def compare(self, result: Evaluated, book: SettingsBook, state: Optional[RunState]) -> None:
        """Compare an evaluation with the best one.

        Parameters
        ----------
        result : Evaluated
        book : SettingsBook
            Settings of the evaluated state.
        state : RunState or None
            That state; None if it is not to be kept.
        """
        live, run = self._live, self._live.book.run
        if not run.keep_best and not run.patience:
            live.best = None
            return
        is_loss = run.monitor == LOSS
        score = result.held_out_loss if is_loss else result.scores["quantized"]
        if score is None:  # the loss has been monitored only since this evaluation began
            return
        quantization, best = _quantization(book, result.step, run.monitor), live.best
        higher_is_better = not is_loss and self._metric.higher_is_better
        if best is None or best.quantization != quantization or _is_better(score, best.score, higher_is_better):
            live.best = BestEvaluation(result.step, score, 0, quantization)
            if state is not None and run.keep_best:
                self._keep(state, self.state)
                self._state = state
            return
        live.best = best._replace(waited=best.waited + 1)
        if run.patience and live.best.waited >= run.patience and not self._control.is_done:
            self._end(live.best)

    def _end(self, best: BestEvaluation) -> None:
        live = self._live
        live.emit(StoppedEarly(live.step, best.step, best.waited))
        live.best = best._replace(waited=0)  # if the run is continued, it waits again
        self._control.total = live.step
        live.emit(Planned(live.step, live.step))


def _is_better(score: float, best: float, higher_is_better: bool) -> bool:
    """Return whether a score is better; NaN is worse than any number."""
    if best != best:
        return score == score
    return score > best if higher_is_better else score < best


def _quantization(book: SettingsBook, step: int, monitor: str) -> str:
    """Return a hash of what must be equal for evaluations to be compared: the result and the quantizers' settings."""
    rows = [{**settings.to_dict(), "quant_delay": settings.is_active(step)} for settings in book.quantizers]
    return hashlib.blake2b(json.dumps([monitor, rows]).encode(), digest_size=8).hexdigest()
