"""The measured effect of a change of settings: loss, the metric and SQNR before it and some training steps later."""

from typing import Iterable, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.measures import MEASURES
from qatviz.metric import ACCURACY, Metric
from qatviz.protocol.commands import CORRECTIONS
from qatviz.protocol.events import Change, CommandApplied, Evaluated, Event, SettingsActivated
from qatviz.protocol.timeline import LoggedEvent
from qatviz.telemetry.history import History, Series
from qatviz.telemetry.record.refill import metric_in

_LOSS, _SQNR = MEASURES["loss"], MEASURES["sqnr_db"]
#: Number of training steps in each of the two spans, before and after a change, whose values are averaged.
SPAN_STEPS = 50
#: Number of training steps right after a change that are left out: the run first has to adapt to the new grid.
TRANSIENT_STEPS = 10
#: Means over fewer training steps are not compared: the loss depends on the batch.
MIN_STEPS = 5

Pair = Tuple[float, float]
Span = Tuple[int, int]


class Effect(NamedTuple):
    """Values before and after; None where they could not be measured (yet).

    Attributes
    ----------
    loss : (float, float) or None
        Means over ``steps`` training steps.
    score : (float, float) or None
        The metric, quantized: the last evaluation before, the first after the transient.
    sqnr_db : (float, float) or None
        Mean over the same steps and over ``num_tensors`` tensors.
    sqnr_db_errors : (float, float) or None
        Standard errors of ``sqnr_db``: 0 if the measures of all steps are exact; None if not known.
    num_tensors : int
        Number of tensors in ``sqnr_db``.
    steps : int
        Number of training steps in the means after the change.
    complete : bool
        True if the effect is final: the next change was made, or all compared steps are done and ``score`` is known.
    metric : Metric
        Metric of ``score``.
    """

    loss: Optional[Pair]
    score: Optional[Pair]
    sqnr_db: Optional[Pair]
    num_tensors: int
    steps: int
    complete: bool
    metric: Metric = ACCURACY
    sqnr_db_errors: Optional[Pair] = (0.0, 0.0)

    def describe(self) -> str:
        """Return one line: ``loss 0.21 → 0.34 (50 steps), accuracy 97.1 % → 95.8 %, SQNR 31.0 dB → 12.0 dB``."""
        parts = []
        if self.loss is not None:
            parts.append(f"{_LOSS.name} {_LOSS.change(*self.loss)} ({self.steps} steps)")
        if self.score is not None:
            parts.append("{} {} → {}".format(self.metric.title, *map(self.metric.text, self.score)))
        if self.sqnr_db is not None:
            whose = f" (mean of {self.num_tensors} tensors)" if self.num_tensors > 1 else ""
            errors = (None, None) if self.sqnr_db_errors is None else self.sqnr_db_errors
            parts.append(f"{_SQNR.name} {_SQNR.change(*self.sqnr_db, errors)}{whose}")
        if parts:
            return ", ".join(parts)
        return "not enough steps to measure an effect" if self.complete else "effect: measured some steps later"


def tensors_of(changes: Iterable[Change], known: Sequence[str]) -> Tuple[str, ...]:
    """Return the tensors of ``known`` whose settings changed, each once."""
    changed = {change.setting.rpartition(".")[0] for change in changes}
    return tuple(name for name in known if name in changed)


def effect(
    history: History,
    step: int,
    tensors: Sequence[str] = (),
    previous: Optional[int] = None,
    following: Optional[int] = None,
    log: Sequence[LoggedEvent] = (),
) -> Effect:
    """Return the effect of the changes that were made after training step ``step`` and before the next one.

    Parameters
    ----------
    history : History
        History with the series of :func:`qatviz.telemetry.record.refill.history_names`.
    tensors : sequence of str
        Tensors whose SQNR is compared.
    previous, following : int, optional
        Steps of the changes before and after this one, which limit the steps that are compared.
    log : sequence of LoggedEvent
        Events of the run, for its evaluations.
    """
    before = max(step - SPAN_STEPS + 1, 1 if previous is None else previous + 1), step
    after = step + TRANSIENT_STEPS + 1, step + TRANSIENT_STEPS + SPAN_STEPS
    if following is not None:
        after = after[0], min(after[1], following)
    loss, steps = _compare(history, "loss", before, after)
    pairs = [_compare(history, tensor + "/sqnr_db", before, after, 1)[0] for tensor in tensors]
    measured = [pair for pair in pairs if pair is not None]
    sqnr_db = _mean_pair(measured) if measured else None
    errors = _errors_of_mean(history, [t for t, pair in zip(tensors, pairs) if pair is not None], before, after)
    score = _score(log, step, following)
    newest = history.series("loss", max(step, 0)).last_step
    full = following is not None or (len(newest) > 0 and newest[-1] >= after[1])
    complete = full and (score is not None or following is not None)
    return Effect(loss, score, sqnr_db, len(measured), steps, complete, metric_in(history), errors)


def _mean_pair(pairs: Sequence[Pair]) -> Pair:
    before, after = np.mean(pairs, axis=0).tolist()
    return before, after


def _errors_of_mean(history: History, tensors: Sequence[str], before: Span, after: Span) -> Optional[Pair]:
    """Return the standard errors of the mean SQNR of ``tensors``; None where one is not known.

    All steps measure the same sample of a tensor, so that the mean over them is no more exact than one step.
    """
    pairs = [_compare(history, tensor + "/sqnr_db_error", before, after, 1)[0] for tensor in tensors]
    if not pairs:
        return 0.0, 0.0
    if None in pairs:
        return None
    first, last = np.sqrt(np.sum(np.square(pairs), axis=0)) / len(pairs)
    return float(first), float(last)


def _compare(
    history: History, name: str, before: Span, after: Span, fewest: int = MIN_STEPS
) -> Tuple[Optional[Pair], int]:
    """Return the means of a series over two spans of steps, inclusive, and the number of values of the second."""
    first, last = (_mean(history.series(name, *span), *span, fewest) for span in (before, after))
    if first is None or last is None:
        return None, 0
    return (first[0], last[0]), last[1]


def _mean(series: Series, start: int, stop: int, fewest: int) -> Optional[Tuple[float, int]]:
    """Return the mean of the values from ``start`` to ``stop`` and their number; None where there are too few.

    A bucket that extends beyond them is left out, because it can include values from both sides of the change.
    """
    within = (series.first_step >= start) & (series.last_step <= stop) & np.isfinite(series.mean)
    count = series.count[within]
    if count.sum() < fewest:
        return None
    return float(np.average(series.mean[within].astype(np.float64), weights=count)), int(count.sum())


def _score(log: Sequence[LoggedEvent], step: int, following: Optional[int]) -> Optional[Pair]:
    """Return the last quantized score before the changes at a step and the first after their transient.

    None if one is missing.
    """
    events = [logged.event for logged in log if logged.survives]
    corrections = [
        event for event in events if isinstance(event, CommandApplied) and isinstance(event.command, CORRECTIONS)
    ]
    evaluations = [event for event in events if isinstance(event, Evaluated) and "quantized" in event.scores]
    before = [event for event in evaluations if _precedes(event, step, events)]
    if any(event.step == step for event in corrections):  # evaluated at once
        at_once = [event for event in evaluations if event.step == step and event not in before]
        after = at_once[-1:] or [event for event in evaluations if event.step > step]
    else:
        after = [event for event in evaluations if event.step >= step + TRANSIENT_STEPS]
    if following is not None:
        after = [event for event in after if _precedes(event, following, events)]
    return (before[-1].scores["quantized"], after[0].scores["quantized"]) if before and after else None


def _has_changes(event: Event) -> bool:
    return len(getattr(event, "changes", ())) > 0


def _precedes(evaluation: Evaluated, step: int, events: Sequence[Event]) -> bool:
    """Return whether an evaluation measured a state before the changes at ``step``; at that step, the order counts."""
    if evaluation.step != step:
        return evaluation.step < step
    for event in events:
        is_applied = isinstance(event, CommandApplied) and event.has_effect
        if event.step == step and (is_applied or isinstance(event, SettingsActivated) or _has_changes(event)):
            return (evaluation.branch, evaluation.position) <= (event.branch, event.position)
    return True
