"""Evaluation of other settings on a run that has ended or was recorded, without training: "what if".

Nothing is written to the record.
"""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Sequence, Tuple

from qatviz.analysis.predictions import Predictions
from qatviz.errors import RunStateError, SettingError
from qatviz.export.progress import Progress
from qatviz.metric import METRICS, Metric
from qatviz.presets import PRESETS
from qatviz.protocol.events import Change, Evaluated, FurtherScores
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook, training_only
from qatviz.session.changes import CHANGES, TimedChange, check_change
from qatviz.session.checkpoints import evaluable_state
from qatviz.session.more_bits import MoreBits, try_more_bits
from qatviz.session.prepared import Notice, Notify, ignore
from qatviz.session.record_requests import EvaluationRequest
from qatviz.session.request import check_choice
from qatviz.session.state_work import StateWork, completed
from qatviz.telemetry.outcome import finite_scores, further_scores, losses_by_output, read_outcome, scores_by_output
from qatviz.telemetry.run_handle import RunHandle
from qatviz.training.handle import Run

if TYPE_CHECKING:
    from qatviz.training.state_evaluator import StateEvaluator


class Evaluator(StateWork["StateEvaluator"]):
    """Evaluator of settings on one state of a run."""

    def evaluate(self, book: SettingsBook, progress: Optional[Progress] = None) -> Evaluated:
        """Return the metric on held-out data in the four modes under ``book``.

        Raises
        ------
        Cancelled
        QatvizError
            If the state does not match the network.
        """
        progress = progress or Progress()
        with self._in_use(progress) as graph:
            return completed(graph.begin(book), "evaluating", progress)

    def predict(
        self, book: SettingsBook, at_most: Optional[int] = None, progress: Optional[Progress] = None
    ) -> Predictions:
        """Return the predictions of the first ``at_most`` held-out examples (None: all) under ``book``.

        Raises
        ------
        Cancelled
        QatvizError
            If the state does not match the network.
        """
        progress = progress or Progress()
        with self._in_use(progress) as graph:
            return completed(graph.begin_predictions(book, at_most), "predicting", progress)

    def _build(self) -> "StateEvaluator":
        from qatviz.training.state_evaluator import StateEvaluator  # imports TensorFlow

        return StateEvaluator(self.spec)


class SettingsEvaluation(NamedTuple):
    """Result of an evaluation of settings, beside what the run has recorded.

    Attributes
    ----------
    checkpoint, step
        State that was evaluated.
    metric : Metric
    scores : dict of str to float
        Results by the modes of :data:`qatviz.metric.MODES`.
    num_examples : int
    changes : tuple of Change
        Differences from the settings of the state.
    recorded : dict or None
        The newest evaluation of the run up to this state, and its ``step``; None without one.
    outputs : tuple of tuple of float
        Results by mode and output where there are several numbers to predict, or labels.
    more_bits : tuple of MoreBits
        Results with 16 bits by tensor, the best first, if they were requested.
    further : tuple of FurtherScores
        Results by the task's other metrics, and those of further outputs.
    output : str
        Output that the metric is of, if the network has several.
    losses : tuple of (str, float)
        Losses of several outputs.
    held_out_loss : float or None
        Their weighted sum.
    """

    checkpoint: str
    step: int
    metric: Metric
    scores: Dict[str, float]
    num_examples: int
    changes: Tuple[Change, ...]
    recorded: Optional[Dict[str, Any]] = None
    outputs: Tuple[Tuple[float, ...], ...] = ()
    more_bits: Tuple[MoreBits, ...] = ()
    further: Tuple[FurtherScores, ...] = ()
    output: str = ""
    losses: Tuple[Tuple[str, float], ...] = ()
    held_out_loss: Optional[float] = None

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        recorded = self.recorded
        return {
            "checkpoint": self.checkpoint,
            "step": self.step,
            "metric": self.metric.name,
            self.metric.name: finite_scores(self.scores),
            **scores_by_output(self.metric, self.outputs),
            **({"output": self.output} if self.output else {}),
            **further_scores(self.further),
            **losses_by_output(self.losses, self.held_out_loss),
            "num_examples": self.num_examples,
            "changes": [asdict(change) for change in self.changes],
            **({"more_bits": [row.to_dict() for row in self.more_bits]} if self.more_bits else {}),
            "recorded": None
            if recorded is None
            else {"step": recorded["step"], self.metric.name: finite_scores(recorded)},
        }


def evaluate(
    request: EvaluationRequest, notify: Notify = ignore, progress: Optional[Progress] = None
) -> SettingsEvaluation:
    """Evaluate a checkpoint of a recorded run under other settings.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint to evaluate.
    DataError
        If its data can't be read.
    SettingError
        If a setting is not allowed.
    """
    reader, spec = evaluable_state(request.directory, request.checkpoint, request.data, notify)
    evaluator = Evaluator(spec)
    state = evaluator.state
    past = read_outcome(reader).evaluations if reader.is_surviving(state.point) else []
    past = [row for row in past if row["step"] <= state.step]
    try:
        return evaluate_changes(
            evaluator, request.preset, request.changes, past[-1:], notify, progress, request.more_bits
        )
    finally:
        evaluator.close()


def evaluate_changes(
    evaluator: Evaluator,
    preset: Optional[str],
    changes: Sequence[TimedChange],
    recorded: Sequence[Dict[str, Any]] = (),
    notify: Notify = ignore,
    progress: Optional[Progress] = None,
    more_bits: bool = False,
) -> SettingsEvaluation:
    """Evaluate the settings of the evaluator's state after a preset and changes.

    Parameters
    ----------
    evaluator : Evaluator
    preset : str, optional
        Applied first.
    changes : sequence of TimedChange
        Changes without steps.
    recorded : sequence of dict
        Recorded evaluations up to the state, the newest last; the result shows the newest beside its own.
    more_bits : bool
        True to evaluate also with 16 bits in each tensor.

    Raises
    ------
    SettingError
        If there is no such preset, a change has a step, or a value is not allowed.
    """
    state = evaluator.state
    book = state.book
    if preset is not None:
        check_choice("preset", preset, PRESETS)
        book = book.with_preset(preset)[0]
    for change in changes:
        if change.step is not None:
            raise SettingError.of_field(CHANGES, f"{change.text!r}: an evaluation has no training steps: omit the step")
        book = check_change(book, change)
    differences = state.book.differences(book)
    unused = training_only(change.setting for change in differences)
    if unused:
        notify(Notice(f"without training, there is no effect of {', '.join(unused)}", True))
    delayed = [tensor.name for tensor in book.plan.tensors if book.of(tensor.name).is_delayed(state.step)]
    if delayed:
        notify(Notice(f"not quantized, as their delay ends after step {state.step}: {', '.join(delayed)}", True))
    progress = progress or Progress()
    result = evaluator.evaluate(book, progress.part(0.0, 0.1) if more_bits else progress)
    rows = try_more_bits(evaluator.evaluate, book, result, progress.part(0.1, 1.0)) if more_bits else ()
    return SettingsEvaluation(
        state.name,
        result.step,
        METRICS[result.metric],
        dict(result.scores),
        result.num_examples,
        differences,
        recorded[-1] if recorded else None,
        result.outputs,
        rows,
        result.further,
        result.output,
        result.losses,
        result.held_out_loss,
    )


def evaluator_of(run: RunHandle, directory: str) -> Evaluator:
    """Return the evaluator for a run that has ended or was opened from its record; as :func:`ended_spec`."""
    return Evaluator(ended_spec(run, directory))


def ended_spec(run: RunHandle, directory: str) -> RunSpec:
    """Return the spec of a run that has ended or was opened from its record, with its last state as ``start``.

    Parameters
    ----------
    directory : str
        Directory of its record; empty if it is not recorded.

    Raises
    ------
    RunStateError
        If it has no state.
    RecordError, DataError
    """
    if isinstance(run, Run) and run.final is not None:
        return replace(run.spec, start=run.final)
    if not directory:
        raise RunStateError("this run has failed and is not recorded: it has no state to evaluate")
    return evaluable_state(directory)[1]
