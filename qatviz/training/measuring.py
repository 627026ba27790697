"""Measurement of the current state: snapshots with histograms, and evaluations on held-out data."""

import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import numpy as np

from qatviz.heads import Head
from qatviz.metric import MODES, OutputMetric
from qatviz.protocol.commands import WatchChannels, WatchDrift
from qatviz.protocol.events import Evaluated, FurtherScores
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import OLDEST_S, TensorValues, longest_gap, oldest_age_s, read_only
from qatviz.protocol.trials import SettingsEvaluated
from qatviz.settings import LOSS, RUN_SETTINGS
from qatviz.training.checkpointer import BEST, checkpoint_name
from qatviz.training.graph import TrainingGraph
from qatviz.training.live_run import LiveRun
from qatviz.training.pace import SnapshotPace
from qatviz.training.pieces import PiecewiseJob, piece_size
from qatviz.training.predictions import PredictionUpdates
from qatviz.training.scoring import Scores, scores_of
from qatviz.training.sensitivity_updates import SensitivityUpdates
from qatviz.training.snapshot import make_snapshot
from qatviz.training.watched import ChannelUpdates, DriftUpdates, Watch

#: Snapshots use at most this fraction of wall time, except right after a change, and if the newest one would become too
#: old (LONGEST_GAP); proportionally more if the snapshot interval is below its default.
SNAPSHOT_SHARE = 1 / 100
#: Longest time from the end of a snapshot to that of the next one, relative to the largest age of what is displayed
#: (`oldest_age_s`): that ages further while the next one is drawn.
LONGEST_GAP = 0.85
#: Whether weights and whether activations are quantized, by mode of evaluation.
EVALUATIONS = dict(zip(MODES, ((False, False), (True, False), (False, True), (True, True))))


class Measuring:
    """Snapshots and evaluations of a run.

    Parameters
    ----------
    live : LiveRun
    spec : RunSpec
    put : callable
        Called with each snapshot, and with the values of each inspected tensor.

    Attributes
    ----------
    is_snapshot_wanted : bool
        True if settings have changed since the last snapshot: another one should not wait for the next training step.
    on_result : callable (Evaluated, SettingsBook, RunState or None)
        Called with each result, the settings of the evaluated state and, with ``keep_best``, that state.
    """

    def __init__(self, live: LiveRun, spec: RunSpec, put: Callable[[Any], None]):
        self._live, self._spec, self._put = live, spec, put
        self._evaluation: Optional[Evaluation] = None
        self._candidate: Optional[RunState] = None
        #: Place and settings of the state that is evaluated.
        self._evaluated_point, self._evaluated_book = live.point, live.book
        self._is_evaluation_queued = False
        #: Settings that are evaluated although they are not in effect, or wait for that.
        self._trial: Optional[SettingsEvaluated] = None  # in progress, without its result
        self._waiting_trials: List[SettingsEvaluated] = []
        self.sensitivity = SensitivityUpdates(live, spec, put)
        self.watched = {WatchDrift: DriftUpdates(live, spec, put), WatchChannels: ChannelUpdates(live, spec, put)}
        self.predictions = PredictionUpdates(live, spec, put, lambda: self._is_published_needed)
        self._inspected: Set[str] = set()
        self.is_snapshot_wanted = False
        self.on_result: Callable[[Evaluated, SettingsBook, Optional[RunState]], None] = lambda *_: None
        # The largest age takes precedence over SNAPSHOT_SHARE: if a snapshot takes 0.09 s (0.23 s with many tensors),
        # they use 1/20 of wall time.
        longest_gap_s = LONGEST_GAP * oldest_age_s(len(spec.plan.tensors))
        self._pace = SnapshotPace(time.perf_counter(), 1 / SNAPSHOT_SHARE, longest_gap_s)
        self._measured_step: Optional[int] = None  # of the last snapshot

    # Snapshots

    def is_snapshot_due(self, now: float) -> bool:
        """Return whether a snapshot is due: by its pace, or because the last one is too many training steps ago.

        ``now`` is in seconds of ``time.perf_counter``. Steps do not matter if the user wants snapshots rarely.
        """
        if self._pace.is_due(now):
            return True
        step, last = self._live.step, self._measured_step
        return not self._is_rare and (last is None or not last <= step < last + longest_gap(step))

    def schedule_soon(self) -> None:
        """Schedule a snapshot soon after a change; if the user wants them rarely, no earlier than the interval."""
        self._pace.schedule_soon(self._live.book.run.snapshot_interval if self._is_rare else 0.0)

    @property
    def _is_rare(self) -> bool:
        """True if the user has set an interval longer than the age that snapshots have anyway."""
        return self._live.book.run.snapshot_interval > OLDEST_S

    def inspect(self, tensor: str) -> None:
        """Send the float values of a tensor with the next snapshot; NetworkError if there is no such tensor."""
        self._inspected.add(self._spec.plan.tensor(tensor).name)

    def take_snapshot(self) -> None:
        """Take a snapshot of the current state."""
        self.is_snapshot_wanted = False
        live, graph = self._live, self._live.graph
        started = time.perf_counter()
        self._measured_step = live.step
        with graph.published(restore_previous=self._is_published_needed):
            arrays, oscillation = graph.snapshot_with_oscillation()
            self._put(make_snapshot(arrays, live.book, live.point, live.seconds, oscillation))
            for name in sorted(self._inspected):
                self._put(TensorValues(live.step, name, read_only(graph.tensor_values(name))))
        self._inspected.clear()
        interval = live.book.run.snapshot_interval
        rest_share = min(1.0, interval / RUN_SETTINGS["snapshot_interval"].default)
        self._pace.done(started, time.perf_counter(), interval, rest_share)

    @property
    def _is_published_needed(self) -> bool:
        """True while the published state is that of an evaluation or of a measurement in progress."""
        return self.is_evaluating or self.sensitivity.is_measuring

    # Sensitivities and predictions

    def watch_sensitivity(self, is_on: bool) -> None:
        """Begin or end to estimate sensitivities."""
        self.sensitivity.watch(is_on)

    def measure_sensitivity(self, is_on: bool) -> None:
        """Begin a measurement of the sensitivities of the present state, or cancel it."""
        self.sensitivity.measure(is_on)

    def watch_predictions(self, is_on: bool) -> None:
        """Begin or end to predict held-out examples after evaluations and changes of settings."""
        self.predictions.watch(is_on)

    def request_predictions(self) -> None:
        """Predict held-out examples in the present state once."""
        self.predictions.request()

    def advance_requests(self, is_idle: bool = False) -> bool:
        """Compute a piece of what is requested or watched if one is due; return whether it did."""
        if self.sensitivity.advance(not self.is_evaluating, is_idle) or self.predictions.advance(is_idle):
            return True
        return any(updates.advance(is_idle) for updates in self.watched.values())

    # Watched results

    def watch(self, command: Watch) -> None:
        """Begin or end to compute the results that a command requests."""
        self.watched[type(command)].watch(command)

    # Evaluations

    @property
    def is_evaluating(self) -> bool:
        """True while an evaluation is in progress."""
        return self._evaluation is not None

    def begin_evaluation(self) -> None:
        """Begin an evaluation of the current state; if one of another state is in progress, after that."""
        live = self._live
        if self._evaluation is None:
            run = live.book.run
            self._begin(run.monitor == LOSS and (run.keep_best or run.patience > 0))
            self._candidate = None
            if run.keep_best:
                self._candidate = live.capture(checkpoint_name(BEST, live.step), SaveReason(SaveKind.BEST))
        elif self._evaluated_point[:2] != live.point[:2] or self._evaluated_book != live.book:
            self._is_evaluation_queued = True

    def evaluate_settings(self, book: SettingsBook, command_id: str) -> None:
        """Evaluate the present state, or a later one, with other settings, after the evaluations in progress.

        ``command_id`` is the id of the command that requests it.
        """
        self._waiting_trials.append(SettingsEvaluated(book, None, command_id))
        if self._evaluation is None:
            self._begin_trial()

    def _begin_trial(self) -> None:
        self._trial = self._waiting_trials.pop(0)
        with self._live.with_settings(self._trial.book):
            self._begin(False)

    def _begin(self, with_loss: bool) -> None:
        live, spec = self._live, self._spec
        num_examples = len(spec.dataset.x_test)
        self._evaluation = Evaluation(live.graph, spec.metrics, num_examples, live.step, with_loss, spec.heads)
        self.sensitivity.interrupt()
        self._evaluated_point, self._evaluated_book = live.point, live.book

    def is_evaluation_behind(self) -> bool:
        """Return whether a piece of the evaluation in progress must be run before the next training step.

        The pieces are spread evenly over the training steps until the next evaluation is due, so that this one is done
        by then. If an evaluation of the current state is queued, training waits until it has begun. The first piece
        waits for a training step, because the first evaluation of a run takes longer to prepare than that.
        """
        if self._evaluation is None:
            return False
        interval, step = self._live.book.run.evaluation_interval, self._live.step
        if self._is_evaluation_queued:
            return True
        if not interval:
            return False
        next_due = (step // interval + 1) * interval
        first = min(self._evaluated_point.step + 1, next_due - 1)
        return self._evaluation.pieces_done * (next_due - first) < self._evaluation.num_pieces * (step + 1 - first)

    def advance_evaluation(self) -> None:
        """Run a piece of the evaluation in progress, and report the result after the last one."""
        assert self._evaluation is not None
        result = self._evaluation.advance()
        if result is None:
            return
        self._evaluation = None
        self.predictions.follow_evaluation()
        if self._trial is not None:
            self._put(self._trial._replace(result=result))
            self._trial = None
        else:
            self._live.report(result, self._evaluated_point)
            self.on_result(result, self._evaluated_book, self._candidate)
            self._candidate = None
        if self._is_evaluation_queued:
            self._is_evaluation_queued = False
            self.begin_evaluation()
        elif self._waiting_trials:
            self._begin_trial()

    def close(self) -> None:
        """Release what is computed while it is watched."""
        self.sensitivity.close()
        for updates in self.watched.values():
            updates.close()

    def drop_evaluation(self) -> None:
        """Drop the evaluation and all else in progress: its state is abandoned, or the run ends."""
        self.sensitivity.restart()
        self.predictions.restart()
        for updates in self.watched.values():
            updates.restart()
        for trial in [self._trial, *self._waiting_trials]:
            if trial is not None:
                self._put(trial)
        self._trial, self._waiting_trials = None, []
        self._evaluation, self._is_evaluation_queued, self._candidate = None, False, None


class Evaluation(PiecewiseJob[Evaluated]):
    """Evaluation of metrics on held-out data in all four modes, in small pieces between training steps.

    It applies to the state at its construction, which it publishes. Each :meth:`advance` runs one piece of
    :func:`piece_size` examples in one mode.

    Parameters
    ----------
    graph : TrainingGraph
    metrics : sequence of OutputMetric
        The first is that of the run.
    num_examples : int
        Number of held-out examples.
    step : int
        Number of training steps complete.
    with_loss : bool
        If True, the loss of the quantized network is computed, too.
    heads : sequence of Head
        Those of several outputs, whose losses are always computed.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        metrics: Sequence[OutputMetric],
        num_examples: int,
        step: int,
        with_loss: bool = False,
        heads: Sequence[Head] = (),
    ):
        self._graph, self._metrics, self._num_examples, self._step = graph, metrics, num_examples, step
        self._heads, self._losses = heads, np.zeros(0)
        with_loss = with_loss and not heads  # with several outputs, their losses are known anyway
        self._with_loss = with_loss
        self._loss: Optional[float] = None
        self._piece = piece_size(graph.network)
        self._found: Dict[str, List[Scores]] = {}
        graph.publish()
        super().__init__((len(EVALUATIONS) + with_loss) * -(-num_examples // self._piece))

    def advance(self) -> Optional[Evaluated]:
        """Run a piece; return the result after the last one, otherwise None."""
        super().advance()
        if self.pieces_done < self.num_pieces:
            return None
        (scores, outputs), *others = map(self._scores, range(len(self._metrics)))
        first, *rest = self._metrics
        further = tuple(FurtherScores(each.output, each.metric.name, *found) for each, found in zip(rest, others))
        return Evaluated(
            self._step,
            scores,
            self._num_examples,
            self.seconds,
            first.metric.name,
            outputs,
            further,
            self._loss,
            first.output,
            tuple(zip([head.output for head in self._heads], self._losses.tolist())),
        )

    def _scores(self, index: int) -> Tuple[Dict[str, float], Tuple[Tuple[float, ...], ...]]:
        """Return the scores of a metric by mode, and by mode and label or number to predict if there are several."""
        scores = {mode: found[index][0] for mode, found in self._found.items()}
        outputs = tuple(found[index][1] for found in self._found.values())
        return scores, outputs if len(outputs[0]) > 1 else ()

    def _compute(self) -> Iterator[None]:
        for name, (weights, activations) in EVALUATIONS.items():
            parts: List[List[np.ndarray]] = []
            for indices in self._indices():
                if parts:
                    yield
                parts.append(self._graph.score_part(indices, weights, activations))
            self._found[name] = [
                scores_of(each.metric, list(own), self._num_examples) for each, own in zip(self._metrics, zip(*parts))
            ]
            if self._heads and weights and activations:
                self._losses = self._mean_losses([part[-1] for part in parts])
                self._loss = float(np.dot([head.weight for head in self._heads], self._losses))
            yield
        if self._with_loss:
            total = 0.0
            for indices in self._indices():
                total += len(indices) * self._graph.held_out_loss(indices)
                self._loss = total / self._num_examples
                yield

    def _mean_losses(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mean of the losses of all pieces, ``[outputs]`` each."""
        counts = [len(indices) for indices in self._indices()]
        return np.asarray(np.average(parts, axis=0, weights=counts))

    def _indices(self) -> Iterator[np.ndarray]:
        """Yield the indices of the examples of each piece, int32."""
        for start in range(0, self._num_examples, self._piece):
            yield np.arange(start, min(start + self._piece, self._num_examples), dtype=np.int32)
