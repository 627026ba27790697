"""Holding changes of a run on another machine: previews and applied changes are those of a run in this process."""

import numpy as np
import pytest
from remote_stage import until_answered
from small_runs import mlp, spec
from staging import StagedRun
from tensorflow_needed import needs_tensorflow
from waiting import wait_for, wait_until

from qatviz.gui.model.edits import HOLD, Edits
from qatviz.gui.model.ghost import fresh_values, ghost_of
from qatviz.gui.model.run_model import RunModel
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.training.handle import Run

WEIGHTS = "dense1.weights"
#: Row of a snapshot that depends on the one before it, of which a viewer may not have received all.
FLIP_RATE = SNAPSHOT_MEASURES.index("flip_rate")
#: Changes that are held together, by tensors and setting.
HELD = [
    [((WEIGHTS,), "num_bits", 3)],
    [((WEIGHTS, "logits.weights"), "per_channel", True), ((WEIGHTS,), "symmetric", False)],
    [(("dense1.activations",), "num_bits", 4), (("logits.weights",), "range_method", "mse")],
    [((WEIGHTS,), "enabled", False)],
    [(("run",), "freeze_ranges", True), ((WEIGHTS,), "narrow_range", False), ((WEIGHTS,), "num_bits", 5)],
]


class Window:
    """Model and pending edits of a window that shows a run, which is paused."""

    def __init__(self, run, handle, cut):
        self._run, self._handle, self.cut = run, handle, cut
        self.happened = []
        self.model = RunModel()
        self.model.happened.connect(self.happened.append)
        self.model.set_run(handle, run.network if is_staged(run) else run.spec.network, book_of(run), "held")
        self.edits = Edits(self.model)
        self.edits.set_mode(HOLD)

    def until(self, condition):
        """Show what the run reports until ``condition()`` is true."""
        wait_until(lambda: self.model.process(self._handle.drain()) or condition())

    def send(self, *commands, steps=0):
        """Send commands, and train some steps, of which a snapshot is taken and shown."""
        before, step = self.model.snapshot, self.model.step + steps  # before the run can take them
        for command in [*commands, *([c.SingleStep(steps)] if steps else []), c.TakeSnapshot()]:
            self._handle.send(command)
        self.arrive()
        if is_staged(self._run):
            self._run.advance(steps or 1)
        self.until(lambda: self.model.snapshot is not before and self.model.snapshot.step == step)

    def arrive(self):
        """Wait until all commands have arrived at the run's machine."""
        if self._handle is not self._run:
            until_answered(self._handle)

    def previews(self):
        """Return all that the window shows of each ghost, by tensor."""
        found = {}
        for tensor in self.model.plan.tensors:
            ghost = ghost_of(self.model, self.edits, tensor.name)
            if ghost is not None:
                grid = None if ghost.grid is None else (ghost.grid.scale.tolist(), ghost.grid.zero_point.tolist())
                texts = [ghost.quantity(key, getattr(ghost.measures, key, np.nan)) for key in ("sqnr_db", "clipped")]
                measured = [np.nan_to_num(value, nan=-1.0) for value in ghost.measures]
                state = ghost.active, ghost.approximate, ghost.step, ghost.of_values, ghost.size
                found[tensor.name] = (grid, measured, list(map(str, texts)), state)
        return found


def is_staged(run):
    return isinstance(run, StagedRun)


def book_of(run):
    return run.book if is_staged(run) else run.spec.book


def hold(window):
    """Preview all of :data:`HELD`, apply one, and return what the window shows, in order."""
    model, edits, shown = window.model, window.edits, []
    window.send(steps=5)

    def preview(changes):
        for tensors, setting, value in changes:
            edits.edit(tensors, setting, value)
        assert edits.pending and model.book == book
        shown.append(window.previews())
        assert shown[-1]

    book = model.book
    for changes in HELD:
        preview(changes)
        edits.discard()
        assert window.previews() == {}
    window.send(c.InspectTensor(WEIGHTS))
    window.until(lambda: fresh_values(model, WEIGHTS) is not None)
    for changes in HELD:  # of the values now, instead of their histogram
        preview(changes)
        edits.discard()
    preview(HELD[1])
    window.cut()
    assert window.previews() == shown[-1], "changes stay held while there is no connection"
    applied = len(window.happened)
    edits.apply()
    window.arrive()
    window.send(steps=1)
    window.until(lambda: not edits.pending)
    assert window.previews() == {}, "the changes are measured"
    (event,) = [item for item in window.happened[applied:] if isinstance(item, events.CommandApplied) and item.changes]
    shown.append(sorted((change.setting, change.old, change.new) for change in event.changes))
    shown.append(np.delete(model.snapshot.values, FLIP_RATE, axis=0).tolist())
    previewed, _, _, _ = shown[-3][WEIGHTS]
    assert len(model.snapshot.histograms[WEIGHTS].scale) == len(previewed[0]) > 1, "it is quantized as previewed"
    return shown


@pytest.fixture(params=["staged", pytest.param("trained", marks=needs_tensorflow)])
def make_run(request):
    """Return a function that returns a paused run of :data:`WEIGHTS`, the same each time."""
    made = []

    def make():
        if request.param == "staged":
            return StagedRun("mlp")
        made.append(Run(spec(mlp(), steps=10**6, run={"snapshot_interval": 60.0})))
        return made[-1]

    yield make
    for run in made:
        run.request_stop()
        wait_for(run)


def begin(run, handle):
    handle.send(c.Pause())
    if is_staged(run):
        run.advance(0, snapshot=False)
    else:
        handle.start()


def test_held_changes_are_previewed_and_applied_as_on_this_machine(make_run, stage):
    here, there = make_run(), make_run()
    begin(here, here)
    remote = stage.host(there, there.network if is_staged(there) else there.spec.network, book_of(there)).run
    begin(there, remote)

    expected = hold(Window(here, here, lambda: None))
    found = hold(Window(there, remote, lambda: stage.renew(remote)))
    assert len(found) == len(expected) == 2 * len(HELD) + 3
    for one, other in zip(found, expected):
        np.testing.assert_equal(one, other)
