"""The staged run of the window's tests, the real run, and the same on another machine answer a script equally.

Both go in lockstep: commands are sent, then each goes through the same number of rounds, in which it carries out what
waits and takes a step unless it is paused. What comes out is compared item by item: its type, its order among all
others, and every field. Of the numbers that each run makes itself, types and shapes are compared.
"""

import os
import subprocess
import sys
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from small_runs import mlp, spec
from waiting import Patience, wait_for, wait_until

from qatviz.errors import RunStateError
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.commands import Command
from qatviz.protocol.snapshots import Snapshot, StepRecord, TensorHistogram, TensorValues
from qatviz.telemetry.collector import Collector
from qatviz.telemetry.record.refill import EVALUATIONS, SNAPSHOTS, STEPS
from qatviz.training.handle import Run

GUI_TESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "gui")
sys.path[:0] = [GUI_TESTS, os.path.join(os.path.dirname(GUI_TESTS), "remote")]
from remote_stage import Stage, until_answered  # noqa: E402
from staging import StagedRun  # noqa: E402

#: A step that no run of these tests reaches.
NO_STEP = 10**6
#: Rounds that an evaluation takes: one for each of the four ways, of few examples.
EVALUATION = 4
#: Fields whose values differ between runs: times and results of training.
OWN_NUMBERS = {
    events.Evaluated: {"scores", "num_examples", "seconds"},
    StepRecord: {"seconds", "loss", "values", "losses"},
    Snapshot: {"seconds", "values"},
    TensorHistogram: {
        "edges",
        "distinct",
        "float_counts",
        "quantized_counts",
        "code_counts",
        "channel_min",
        "channel_max",
        "scale",
        "size",
        "zero_point",
        "zeros",
    },
    TensorValues: {"values"},
}
#: Arrays whose lengths differ between runs: number of bins, number of examples.
OWN_LENGTHS = {"edges", "float_counts", "quantized_counts", "TensorValues.values"}
BITS = "dense1.weights.num_bits"

BEGINNING = [
    ([], 3),
    ([c.ChangeSettings(((BITS, 4), ("*.activations.symmetric", True)))], 2),
    ([c.ChangeSettings(((BITS, 3), (BITS, 99)))], 1),
    ([c.ChangeSettings((("nobody.num_bits", 3),))], 1),
    ([c.ChangeSettings(((BITS, 4),))], 1),  # changes nothing
    ([c.ApplyPreset("int4")], 2),
    ([c.ApplyPreset("nonsense")], 1),
    ([c.ChangeSettings((("run.learning_rate", 2e-3),))], 1),
    ([c.UnknownCommand("Fly")], 1),
]
PAUSED = [
    ([c.Pause()], 1),
    ([c.Pause()], 1),
    ([c.SingleStep()], 2),
    ([c.SingleStep(3)], 5),
    ([c.SingleStep(0)], 1),
    ([c.SingleStep(3)], 2),
    ([c.Pause()], 1),  # ends the single steps
    ([c.ChangeSettings(((BITS, 6),))], 2),
    ([c.ChangeSettings((("run.learning_rate", 1e-3),))], 2),
    ([c.Evaluate()], EVALUATION),
    ([c.SaveCheckpoint("mine")], 1),
    ([c.SaveCheckpoint()], 1),
    ([c.TakeSnapshot()], 1),
    ([c.InspectTensor("dense1.weights")], 1),
    ([c.InspectTensor("logits.activations")], 1),
    ([c.InspectTensor("nobody")], 1),
]
REWINDS = [
    ([c.Undo()], 1),
    ([c.RestoreCheckpoint("mine")], 1),
    ([c.RestoreCheckpoint("missing")], 1),
    ([c.Resume()], 3),
    ([c.Resume()], 1),
    ([c.Evaluate()], EVALUATION),
    ([c.Undo()], 2),
    ([c.Redo()], 2),
    ([c.Redo()], 1),
    ([c.ChangeSettings(((BITS, 5),)), c.ChangeSettings(((BITS, 2),)), c.Undo(), c.Undo()], 2),
    ([c.Evaluate(), c.Undo()], 2),  # the evaluation of a state that is left is dropped
    *[([c.Undo()], 1)] * 6,  # until there is nothing to undo
    ([c.ChangeSettings((("*.quant_delay", 9),))], 12),
]
LAST_STEP = 60
SCRIPT = [*BEGINNING, *PAUSED, *REWINDS, ([c.SetSteps(-1)], 1), ([c.SetSteps(None)], 1), ([c.SetSteps(1000)], 2)]
ENDINGS = {
    "stop": ([c.Stop(), c.Pause(), c.ChangeSettings(((BITS, 7),))], 1),
    "stop-while-paused": ([c.Pause(), c.Stop()], 1),
    "finish": ([c.SetSteps(LAST_STEP)], 200),
    "finish-at-once": ([c.Pause(), c.SetSteps(0), c.Resume()], 200),
}


class Lockstep:
    """A real run whose training thread advances by a given number of rounds, then waits.

    With a ``stage``, its handle is that of a viewer of a server which has the run.
    """

    def __init__(self, run_spec, monkeypatch, stage=None):
        self.run = self.handle = Run(run_spec)
        if stage is not None:
            self.handle = stage.host(self.run, run_spec.network, run_spec.book).run
        self._rounds, self._is_waiting = 0, False
        drain = self.run._inbox.drain

        def drain_when_permitted():
            self._is_waiting = True
            wait_until(lambda: self._rounds > 0)
            self._is_waiting = False
            self._rounds -= 1
            return drain()

        def make_collector(*arguments):
            self._collector = Collector(*arguments)
            return self._collector

        monkeypatch.setattr("qatviz.training.handle.Collector", make_collector)
        monkeypatch.setattr(self.run._inbox, "drain", drain_when_permitted)
        monkeypatch.setattr(self.run._inbox, "wait", lambda timeout_s: None)
        # Snapshots come when a command causes them, not after some time.
        monkeypatch.setattr("qatviz.training.measuring.Measuring.is_snapshot_due", lambda self, now: False)

    def __enter__(self):
        self.handle.start()
        self._until_it_waits()
        return self

    def __exit__(self, *_):
        self.run.request_stop()
        self._rounds = 10**6
        wait_for(self.run)

    def send(self, command):
        command_id = self.handle.send(command)
        if self.handle is not self.run:
            until_answered(self.handle)
        return command_id

    def advance(self, rounds):
        self._rounds = rounds
        self._until_it_waits()

    def drain(self):
        """Return the items of the rounds so far, after the telemetry thread has passed on all of them."""
        news, mark = [], events.Resumed(NO_STEP)
        self._collector.put(mark)
        wait_until(lambda: news.extend(self.handle.drain()) or mark in news)
        return [item for item in news if item != mark]

    def _until_it_waits(self):
        patience = Patience(lambda: f"the end of a round; the run is {self.run.state}")
        while not ((self._is_waiting and self._rounds == 0) or self.run.wait(0.001)):
            patience.look()


def differences(real, staged, where):
    """Yield descriptions of the differences between two items that should be equal."""
    if type(real) is not type(staged):
        yield f"{where}: {short(real)} is a {type(real).__name__}, {short(staged)} a {type(staged).__name__}"
    elif is_dataclass(real) and not isinstance(real, Command):
        for field in fields(real):
            name = f"{where}.{field.name}"
            one, other = getattr(real, field.name), getattr(staged, field.name)
            if field.name in OWN_NUMBERS.get(type(real), ()):
                yield from different_forms(one, other, name)
            elif field.name == "id":
                one, other = one.rpartition("-")[2], other.rpartition("-")[2]
                yield from differences(one, other, name)
            else:
                yield from differences(one, other, name)
    elif isinstance(real, dict):
        if list(real) != list(staged):
            yield f"{where}: keys {list(real)} are {list(staged)}"
        for key in set(real) & set(staged):
            yield from differences(real[key], staged[key], f"{where}[{key!r}]")
    elif real != staged:
        yield f"{where}: {real!r} is {staged!r}"


def different_forms(real, staged, where):
    """Yield descriptions of different types and shapes of numbers."""
    if isinstance(real, np.ndarray) and isinstance(staged, np.ndarray):
        if (real.dtype, real.ndim) != (staged.dtype, staged.ndim):
            yield f"{where}: {real.dtype} of {real.ndim} axes is {staged.dtype} of {staged.ndim} axes"
        elif real.shape != staged.shape and not any(where.endswith(name) for name in OWN_LENGTHS):
            yield f"{where}: {real.shape} is {staged.shape}"
        elif real.flags.writeable or staged.flags.writeable:
            yield f"{where}: an array can be written to"
    elif isinstance(real, dict) and isinstance(staged, dict) and list(real) == list(staged):
        for key in real:
            yield from different_forms(real[key], staged[key], f"{where}[{key!r}]")
    elif type(real) is not type(staged):
        yield f"{where}: {real!r} is a {type(real).__name__}, {staged!r} a {type(staged).__name__}"


def short(item):
    """Return an item without its arrays."""
    has_arrays = isinstance(item, (StepRecord, Snapshot, TensorValues))
    return f"{type(item).__name__} of step {item.step}" if has_arrays else item


def assert_alike(real, staged):
    """Compare all items of both runs; show those before the first difference."""
    for index, (one, other) in enumerate(zip(real, staged)):
        found = list(differences(one, other, type(one).__name__))
        before = "\n".join(map(str, map(short, real[max(0, index - 4) : index])))
        assert not found, "\n".join([f"after\n{before}\n", *found])
    assert [short(item) for item in real[len(staged) :]] == [short(item) for item in staged[len(real) :]] == []


def curves(history):
    """Return the steps of a history's rows, by track, and its branch."""
    tracks = {track: history.series(history.names(track)[0]).last_step.tolist() for track in (STEPS, SNAPSHOTS)}
    return tracks, history.series(history.names(EVALUATIONS)[0]).last_step.tolist(), history.branch


@pytest.fixture(params=["here", "there"])
def stage(request, monkeypatch):
    """None for a run in this process, or a server that drops nothing although it is read late."""
    if request.param == "here":
        yield None
        return
    monkeypatch.setattr("qatviz.remote.subscription._FEWEST_STEPS", 2000)
    monkeypatch.setattr("qatviz.remote.subscription._SNAPSHOTS", 2000)
    with Stage() as stage:
        yield stage


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_staged_and_real_run_have_the_same_answers_and_events(ending, stage, monkeypatch):
    run_spec = spec(mlp())
    staged, seen = StagedRun(run_spec.network), []
    staged.apply_settings(run_spec.book)
    with Lockstep(run_spec, monkeypatch, stage) as real:
        last, news = ENDINGS[ending][0], []
        for commands, rounds in [*SCRIPT, ENDINGS[ending]]:
            ids = [(real.send(command), staged.send(command)) for command in commands]
            assert len({one.rpartition("-")[2] for pair in ids for one in pair}) == len(commands)
            real.advance(rounds)
            staged.advance(rounds, snapshot=False)
            news += real.drain() if commands is not last else []
            if stage is not None:
                wait_until(lambda: (real.handle.state, real.handle.step) == (real.run.state, real.run.step))
            seen.append((real.handle.state, staged.state))
            assert seen[-1][0] == seen[-1][1] and real.handle.step == staged.step, (commands, seen[-1])
        wait_for(real.handle)
        first, *news = news + real.handle.drain()
        assert isinstance(first, events.Started)
        assert_alike(news, staged.drain())
        wait_until(lambda: stage is None or curves(real.handle.history) == curves(real.run.history))
        assert curves(real.handle.history) == curves(staged.history)
        assert real.run.final.book == staged.book
        for run in (real.handle, staged):
            with pytest.raises(RunStateError, match="Pause: the run has ended"):
                run.send(c.Pause())
            run.request_stop()
            assert run.wait(0)
    # The script must cause every kind of event that a command can cause.
    kinds = {type(item) for item in news}
    assert kinds >= {
        events.CommandApplied,
        events.CommandRejected,
        events.SettingsActivated,
        events.Paused,
        events.Resumed,
        events.Evaluated,
        events.CheckpointSaved,
        events.Restored,
        events.Planned,
        StepRecord,
        Snapshot,
        TensorValues,
    }
    assert {state for state, _ in seen} == {"running", "paused", "stopped" if "stop" in ending else "finished"}


def test_a_difference_in_any_field_is_detected():
    run = StagedRun("mlp")
    run.send(c.ChangeSettings(((BITS, 4),)))
    run.advance(2)
    run.send(c.InspectTensor("dense1.weights"))
    run.advance(1)
    for item in run.drain():
        assert not list(differences(item, item, ""))
        for field in fields(item):
            changed = type("Other", (), {})()
            other = object.__new__(type(item))
            other.__dict__.update(item.__dict__)
            other.__dict__[field.name] = changed
            if field.name != "id":
                assert list(differences(item, other, "")), (item, field.name)


def test_the_staged_run_imports_neither_tensorflow_nor_qt():
    program = (
        f"import sys; sys.path[:0] = [{GUI_TESTS!r}]; import staging; staging.StagedRun().advance(2); "
        "sys.exit(len({'tensorflow', 'PyQt5'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
