"""Live state of a run: the graph, with the settings, step and branch of its variables."""

import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np

from qatviz.data import BatchSchedule
from qatviz.errors import RunStateError
from qatviz.low_bit_settings import MODEL_TEACHER, START_TEACHER
from qatviz.protocol.branches import BranchCursor, BranchPoint
from qatviz.protocol.events import Event, SettingsActivated
from qatviz.protocol.reasons import SaveReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.training.graph import TrainingGraph
from qatviz.training.parameters import initial_parameters
from qatviz.training.range_policy import (
    KEEP,
    actions_at_step,
    actions_on_change,
    affects_histograms,
    held_ranges,
    histograms_on_change,
    ranges_found,
    searched_at_step,
    searched_on_change,
)

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
        self._write_settings()
        graph.write_state(start.arrays if start else graph.initial_state(self.book.run, spec.parameters))
        if start is None:
            if self.book.run.has_own_teacher:
                graph.write_teacher(self.teacher_parameters(self.book.run.teacher))
            graph.calibrate(self._batches.indices(0))
            self._adopt_ranges(None)

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
        return self._adopt_ranges(old) or teacher is not None

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
        """Have other settings within a ``with`` block without training steps; state and settings are restored."""
        arrays, own = self.graph.read_state(), self.book
        try:
            self.apply_settings(book)
            yield
        finally:
            self.book = own
            self.graph.write_state(arrays)
            self._write_settings()

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
        """Report an event on the earlier state at ``point``; may be called from any thread."""
        self._put(self._cursor.place_at(event, point))

    def _write_settings(self) -> None:
        self.graph.write_settings(self.book.quantizers, self.book.run, self.step)
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
        if not affects_histograms(self._layout, old, self.book):
            return have_changed
        arrays = self.graph.read_histograms()
        histograms, needed = histograms_on_change(self._layout, old, self.book, arrays)
        if any((histograms[name] != arrays[name]).any() for name in histograms):
            self.graph.write_histograms(histograms)
        arrays.update(histograms)
        if needed.any():
            steps = range(max(0, self.step - CALIBRATION_BATCHES), max(self.step, 1))
            self.graph.collect([(step, self._batches.indices(step)) for step in steps], needed)
            arrays = self.graph.read_histograms()
        self._adopt_found_ranges(searched_on_change(self._layout, old, self.book) | needed, arrays)
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
