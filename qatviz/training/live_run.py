"""Live state of a run: the graph, with the settings, step and branch of its variables."""

import time
from contextlib import contextmanager
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Tuple

import numpy as np

from qatviz.data import BatchSchedule
from qatviz.errors import RunStateError
from qatviz.low_bit_settings import MODEL_TEACHER, START_TEACHER
from qatviz.protocol.branches import BranchCursor, BranchPoint
from qatviz.protocol.events import Event, SettingsActivated
from qatviz.protocol.reasons import SaveReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import Arrays, RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state, oscillation
from qatviz.training.graph import TrainingGraph
from qatviz.training.parameters import initial_parameters
from qatviz.training.range_policy import (
    KEEP,
    SEARCH,
    actions_at_step,
    actions_on_change,
    affects_histograms,
    held_anew,
    held_ranges,
    histograms_on_change,
    learned_anew,
    learned_from_now_on,
    learned_from_step,
    ranges_found,
    searched_at_step,
    searched_on_change,
)
from qatviz.training.towers import check_settings

#: Number of the last batches from which the first range is found when a method that needs a histogram is chosen.
CALIBRATION_BATCHES = 8


def _no_checkpoint(name: str) -> RunState:
    raise RunStateError(f"no teacher {name!r}: the run has no checkpoints yet")


class LiveRun:
    """Live state of a run: it is trained step by step, copied, and replaced by another one.

    Parameters
    ----------
    graph : TrainingGraph
    spec : RunSpec
        The graph is set to its ``start``; if that is None, to the initial state.
    cursor : BranchCursor
        Assigns to each event its place on the branches of the run.
    put : callable
        Called with each event.

    Attributes
    ----------
    step : int
        Number of training steps complete.
    seconds : float
        Training time so far.
    book : SettingsBook
        Settings in effect.
    best : BestEvaluation or None
        See :class:`qatviz.protocol.run_state.RunState`.
    ladder : LadderState or None
    """

    def __init__(self, graph: TrainingGraph, spec: RunSpec, cursor: BranchCursor, put: Callable[[Event], None]):
        self.graph, self.plan, self._spec = graph, spec.plan, spec
        self._cursor, self._put = cursor, put
        self._layout = graph.layout
        self._batches = BatchSchedule(len(spec.dataset.x_train), spec.batch_size, spec.seed)
        start = spec.start
        if start is not None:
            graph.check_state(start.name, start.arrays)
        self.step, self.seconds = (start.step, start.seconds) if start else (0, 0.0)
        self.book = start.book if start else spec.book
        self.best = start.best if start else None
        self.ladder = start.ladder if start else None
        self.check_book(self.book)
        self._write_settings()
        graph.write_state(start.arrays if start else graph.initial_state(self.book.run, spec.parameters))
        if start is None:
            if self.book.run.has_own_teacher:
                graph.write_teacher(self.teacher_parameters(self.book.run.teacher))
            graph.calibrate(self._batches.indices(0))
            self._adopt_ranges(None)

    def check_book(self, book: SettingsBook) -> None:
        """Raise SettingError if the run can't train with ``book`` where it runs."""
        check_settings(book, self._spec.placement)

    def train_step(self) -> Tuple[float, Any]:
        """Run one training step; return its loss and raw measures.

        Raises
        ------
        NonFiniteLoss
            If the loss is not finite; no variable was changed then.
        """
        started = time.perf_counter()
        if self.step == self._next_switch_on:
            self._switch_on()
        if self.step in self._delays:
            self._learn_after_delay()
        if self.step:
            self._update_held_ranges(actions_at_step(self._layout, self.book, self.step))
            self._update_found_ranges(searched_at_step(self._layout, self.book, self.step))
        self.graph.expect(self._batches.indices, self.step)
        result = self.graph.step(self._batches.indices(self.step), self.step)
        self.step += 1
        self.seconds += time.perf_counter() - started
        return result

    def apply_settings(self, book: SettingsBook, teacher: Optional[Dict[str, np.ndarray]] = None) -> bool:
        """Apply ``book`` before the next training step; return whether arrays of the state may have changed.

        ``teacher`` has the parameters of a teacher that is new in ``book``, None if there is none.
        """
        old, self.book = self.book, book
        if teacher:
            self.graph.write_teacher(teacher)
        self._write_settings()
        have_changed = self._adopt_oscillation(old) or teacher is not None
        return self._adopt_ranges(old) or have_changed

    def teacher_parameters(
        self, name: str, checkpoint: Callable[[str], RunState] = _no_checkpoint
    ) -> Dict[str, np.ndarray]:
        """Return the parameters of the teacher ``name``, see :class:`qatviz.low_bit_settings.LowBitSettings`.

        They are empty for the Keras model, whose parameters the graph has.

        ``checkpoint`` returns a checkpoint of the run by its name.

        Raises
        ------
        RunStateError
            If there is no such teacher.
        """
        if name == MODEL_TEACHER:
            if self._spec.teacher is None:
                raise RunStateError("there is no Keras model as teacher: state one when the run is started")
            return {}
        if name != START_TEACHER:
            return checkpoint(name).arrays
        own = self._spec.parameters
        return initial_parameters(self._spec.network, self._spec.seed) if own is None else own

    @contextmanager
    def with_settings(self, book: SettingsBook) -> Iterator[None]:
        """Apply other settings within a ``with`` block without training steps; restore state and settings after it."""
        arrays, own = self.graph.read_state(), self.book
        try:
            self.apply_settings(book)
            yield
        finally:
            self.book = own
            self.graph.write_state(arrays)
            self._write_settings()

    def correct(self, arrays: Arrays, weights: Collection[str] = (), activations: Collection[str] = ()) -> None:
        """Replace the arrays of the state at this step by those of a correction.

        Weight tensors whose folded weights change have no tracked levels and no frozen weights afterwards.

        Parameters
        ----------
        arrays : dict of str to np.ndarray
            As in a RunState.
        weights : collection of str
            Weight tensors whose held ranges are found anew, frozen ones included.
        activations : collection of str
            Tensors whose ranges are found anew, frozen ones included: in running histograms where the range method uses
            these; otherwise as means over CALIBRATION_BATCHES batches, in float.
        """
        # Copied: an array that TensorFlow fetches can share its memory with a variable on the CPU.
        before = [array.copy() for array in self.graph.read_weights()]
        self.graph.write_state(arrays)
        if oscillation.FROZEN_LEVELS in arrays:
            self._forget_levels(before)
        held = [action if self._names(group, weights) else KEEP for group, action in held_anew(self._layout, self.book)]
        self._update_held_ranges(held)
        concerned = np.array([self._names(group, activations) for group in self._layout.activations], bool)
        if concerned.any():
            self._calibrate_anew(concerned)
        changed = [self._names(group, {*weights, *activations}) for group in range(len(self._layout.leaders))]
        learned = live_state.learns(self._layout, self.book.quantizers) & np.array(changed, bool)
        self._begin_learning(learned, learned)

    def _forget_levels(self, before: List[np.ndarray]) -> None:
        """Forget the levels of the weight tensors that differ from ``before``, and lift their frozen weights.

        ``before`` are the folded weights of each tensor, as :meth:`.TrainingGraph.read_weights` returns them.
        """
        changed = [not np.array_equal(*both) for both in zip(before, self.graph.read_weights())]
        self.graph.write_oscillation(
            oscillation.forgotten(self._weight_counts(), changed, self.graph.read_oscillation())
        )

    def _weight_counts(self) -> List[int]:
        """Return the number of weights of each weight tensor."""
        return oscillation.sizes([self._layout.leaders[group] for group in self._layout.weights])

    def _names(self, group: int, names: Collection[str]) -> bool:
        """Return whether a group has a tensor with one of the names."""
        return any(self.plan.tensors[member].name in names for member in self.plan.groups[group])

    def _calibrate_anew(self, concerned: np.ndarray) -> None:
        """Find the ranges of the groups of activations ``concerned`` (bool ``[A]``) anew."""
        before, found = self.graph.read_histograms(), []
        batches = self._last_batches()
        for _, indices in batches:
            self.graph.calibrate(indices)
            found.append(self.graph.read_histograms())
        ranges = {
            name: np.where(concerned, np.mean([each[name] for each in found], axis=0), before[name]).astype(np.float32)
            for name in live_state.RANGES
        }
        self.graph.write_ranges(ranges)
        counted = concerned & live_state.uses_histogram(self._layout, self.book.quantizers)
        if counted.any():
            emptied = {name: before[name].copy() for name in live_state.HISTOGRAMS}
            for array in emptied.values():
                array[counted] = 0
            self.graph.write_histograms(emptied)
            self.graph.collect(batches, counted)
            self._adopt_found_ranges(counted, self.graph.read_histograms())

    def capture(self, name: str, reason: SaveReason) -> RunState:
        """Return a copy of the current state."""
        branch, step, position = self.point
        arrays = self.graph.read_state()
        return RunState(step, self.seconds, self.book, arrays, name, reason, branch, position, self.best, self.ladder)

    def set_to(self, state: RunState) -> int:
        """Replace the current state; return the number of the new branch on which the run continues."""
        self.step, self.seconds, self.book, self.best = state.step, state.seconds, state.book, state.best
        self.ladder = state.ladder
        self.graph.write_state(state.arrays)
        self._write_settings()
        return self._cursor.fork(state.point)

    @property
    def point(self) -> BranchPoint:
        """Place of the current state on the branches of the run."""
        return self._cursor.point(self.step)

    def emit(self, event: Event) -> None:
        """Report an event at the current state."""
        self._put(self._cursor.place(event))

    def report(self, event: Event, point: BranchPoint) -> None:
        """Report an event that concerns the earlier state at ``point``; may be called from any thread."""
        self._put(self._cursor.place_at(event, point))

    def _write_settings(self) -> None:
        self.graph.write_settings(self.book.quantizers, self.book.run, self.step)
        self._delays = {s.quant_delay for s in self.book.quantizers if s.quant_delay}
        self._next_switch_on: int = live_state.next_switch_on(self.book.quantizers, self.step)

    def _switch_on(self) -> None:
        """Switch on the quantizers whose ``quant_delay`` ends at the current step."""
        names = [
            t.name
            for t in self.plan.tensors
            if self.book.of(t.name).is_active(self.step) and not self.book.of(t.name).is_active(self.step - 1)
        ]
        self._write_settings()
        self.emit(SettingsActivated(self.step, tuple(names)))

    def _adopt_ranges(self, old: Optional[SettingsBook]) -> bool:
        """Capture or search the ranges, and fill the histograms, that a change of settings requires.

        ``old`` are the settings before it, None at the start of a run. Returns whether ranges or histograms may have
        changed.
        """
        have_changed = self._update_held_ranges(actions_on_change(self._layout, old, self.book))
        have_changed |= self._begin_learning(
            learned_from_now_on(self._layout, old, self.book), learned_anew(self._layout, old, self.book)
        )
        if not affects_histograms(self._layout, old, self.book):
            return have_changed
        arrays = self.graph.read_histograms()
        histograms, needed = histograms_on_change(self._layout, old, self.book, arrays)
        if any((histograms[name] != arrays[name]).any() for name in histograms):
            self.graph.write_histograms(histograms)
        arrays.update(histograms)
        if needed.any():
            self.graph.collect(self._last_batches(), needed)
            arrays = self.graph.read_histograms()
        self._adopt_found_ranges(searched_on_change(self._layout, old, self.book) | needed, arrays)
        return True

    def _learn_after_delay(self) -> None:
        """Start the learned ranges of tensors that are quantized from this step on: their values have changed."""
        groups = learned_from_step(self._layout, self.book, self.step)
        self._update_held_ranges([SEARCH if groups[group] else KEEP for group in self._layout.weights])
        self._begin_learning(groups, groups)

    def _begin_learning(self, groups: np.ndarray, anew: np.ndarray) -> bool:
        """Reset the optimizer's state of the learned ranges of ``groups``; return whether there are any.

        The ranges of activations among ``anew`` become those of least squared error in the last batches, in float: a
        network that is suddenly quantized to few bits has other values. Both are bool ``[G]``.
        """
        if not groups.any():
            return False
        arrays = self.graph.read_learned()
        for group in np.flatnonzero(groups):
            for by_channel in (False, True):
                for array in arrays.values():
                    array[..., self._layout.learned_at(group, by_channel)] = 0
        self.graph.write_learned(arrays)
        searched = anew[list(self._layout.activations)]
        if searched.any():
            before = self.graph.read_histograms()
            self.graph.write_histograms(live_state.empty_histograms(self._layout))
            self.graph.collect(self._last_batches(), searched, in_float=True)
            self._adopt_found_ranges(searched, self.graph.read_histograms())
            self.graph.write_histograms(before)
        return True

    def _last_batches(self) -> List[Tuple[int, np.ndarray]]:
        """Return number and indices of the last training steps' batches; of the first one before any step."""
        steps = range(max(0, self.step - CALIBRATION_BATCHES), max(self.step, 1))
        return [(step, self._batches.indices(step)) for step in steps]

    def _adopt_oscillation(self, old: SettingsBook) -> bool:
        """Freeze and lift weights as a change of settings requires; return whether any may have changed."""
        layout, books = self._layout, (old, self.book)
        before, after = [[book.quantizers[group] for group in layout.weights] for book in books]
        runs = [book.run for book in books]
        if not oscillation.is_affected(before, after, runs):
            return False
        arrays = self.graph.read_oscillation()
        self.graph.write_oscillation(oscillation.adopted(self._weight_counts(), before, after, runs, self.step, arrays))
        return True

    def _update_found_ranges(self, searched: np.ndarray) -> None:
        """Find the ranges of the activation groups ``searched`` (bool ``[A]``) in their histograms."""
        if searched.any():
            self._adopt_found_ranges(searched, self.graph.read_histograms())

    def _adopt_found_ranges(self, searched: np.ndarray, arrays: Dict[str, np.ndarray]) -> None:
        """Find the ranges of the activation groups ``searched`` in the histograms of ``arrays``, and write them."""
        if searched.any():
            self.graph.write_ranges(ranges_found(self._layout, self.book, searched, arrays))

    def _update_held_ranges(self, actions: List[int]) -> bool:
        """Execute an action on the held range of each weight tensor; return whether there was any but KEEP."""
        if all(action == KEEP for action in actions):
            return False
        held = held_ranges(self._layout, self.book, actions, self.graph.read_weights(), self.graph.read_held_ranges())
        self.graph.write_held_ranges(held)
        return True
