"""Cuts of the connection at random moments: nothing is lost, and the losses are bit for bit those without cuts."""

import random

import numpy as np
import pytest
from remote_stage import until_answered
from small_runs import mlp, spec
from tensorflow_needed import needs_tensorflow
from waiting import wait_for, wait_until

from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.session.begin import new_record, prepared_run
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.refill import EVALUATIONS, SNAPSHOTS, STEPS
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow
BITS = "dense1.weights.num_bits"
#: Changes at steps of the run, so that they take effect at the same steps with and without a viewer.
SCHEDULE = ((40, c.ChangeSettings(((BITS, 4),))), (90, c.ChangeSettings((("run.learning_rate", 5e-3),))))


def run_spec(steps):
    run = {"evaluation_interval": 25, "snapshot_interval": 0.05}
    return spec(mlp(), steps=steps, schedule=SCHEDULE, run=run)


def prepared(directory, steps):
    """Return a run that is recorded in a directory, prepared."""
    wanted = run_spec(steps)
    record = new_record(wanted, str(directory))
    return prepared_run(wanted, record, Outcome(wanted.book, wanted.metric), True)


def undisturbed_losses(directory, steps):
    """Return the losses of a run without viewers."""
    found = prepared(directory, steps)
    found.run.start()
    wait_for(found.run)
    return RunRecord.read(found.directory).steps().loss.tolist()


def hosted(stage, tmp_path, steps):
    """Return a remote run that is recorded, and its directory."""
    found = prepared(tmp_path / "run", steps)
    wanted = found.run.spec
    return stage.host(found.run, wanted.network, wanted.book, found.directory).run, found.directory


def cut_and_compare(stage, tmp_path, steps, cuts):
    """Cut the connection ``cuts`` times while a run of ``steps`` steps trains, and compare all that arrives."""
    moments = random.Random(0)
    expected = undisturbed_losses(tmp_path / "undisturbed", steps)
    run, directory = hosted(stage, tmp_path, steps)
    run.send(c.Pause())
    run.start()
    news = []
    for number in range(cuts):
        # The run can't end before the last cut. A cut right after a command is the most likely to lose it.
        run.send(c.Pause() if moments.random() < 0.3 else c.SingleStep(steps // (2 * cuts)))
        target = moments.uniform(0, 0.06)
        wait_until(lambda: moments.random() < 0.2 or target < 0.01)
        stage.cut()
        if number % 3 == 0:
            run.send(c.Evaluate())
        wait_until(lambda: not run.connection.problem)
        news += run.drain()
    run.send(c.Resume())
    wait_for(run)
    news += run.drain()
    until_answered(run)

    reader = RunRecord.read(directory)
    recorded = reader.steps()
    assert recorded.loss.tolist() == expected
    # Events: each once, in order, as the record has them, which has no commands to a run that has ended.
    seen = [item for item in news if isinstance(item, events.Event)]
    placed = [event for event in seen if not (isinstance(event, events.CommandRejected) and event.branch < 0)]
    assert [event.to_dict() for event in placed] == [logged.event.to_dict() for logged in reader.log()[0]]
    commands = [event for event in seen if isinstance(event, (events.CommandApplied, events.CommandRejected))]
    assert len({event.id for event in commands}) == len(commands)
    assert sum(isinstance(event.command, c.Evaluate) for event in commands) == len(range(0, cuts, 3))
    # The history: complete, although telemetry was lost on the way.
    wait_until(lambda: run.history.last_step(STEPS) == steps)
    losses = run.history.series("loss")
    assert losses.last_step.tolist() == recorded.steps.tolist()
    np.testing.assert_array_equal(losses.mean, recorded.loss.astype(np.float32))
    scale = run.history.series("dense1.weights/scale")
    np.testing.assert_array_equal(
        scale.mean, recorded.values[:, 0, [t.name for t in reader_plan(run)].index(BITS[:-9])]
    )
    evaluations = [event.step for event in seen if isinstance(event, events.Evaluated)]
    first = run.history.names(EVALUATIONS)[0]
    assert sorted(set(evaluations)) == run.history.series(first).last_step.tolist()
    # Measures of snapshots are the last ones to arrive of what is missing.
    wait_until(lambda: run.history.last_step(SNAPSHOTS) == reader.snapshots()[-1])
    snapshots = run.history.series(run.history.names(SNAPSHOTS)[0]).last_step.tolist()
    assert set(reader.snapshots()) <= set(snapshots)


def reader_plan(run):
    from qatviz.protocol.run_spec import described_plan

    return described_plan(dict(run.description)).tensors


def test_nothing_is_lost_when_the_connection_is_cut(stage, tmp_path):
    cut_and_compare(stage, tmp_path, steps=1000, cuts=5)


@pytest.mark.slow
def test_nothing_is_lost_in_thirty_cuts(stage, tmp_path):
    cut_and_compare(stage, tmp_path, steps=6000, cuts=30)


def test_a_viewer_that_comes_later_gets_all(stage, tmp_path):
    run, directory = hosted(stage, tmp_path, 60)
    run.start()
    wait_for(run)
    from qatviz.remote.remote_workplace import RemoteWorkplace

    late = RemoteWorkplace(stage.client("bob@desk")).open_run(directory)
    reader = RunRecord.read(directory)
    wait_until(lambda: late.run.history.last_step(STEPS) == 60)
    np.testing.assert_array_equal(late.run.history.series("loss").mean, reader.steps().loss.astype(np.float32))
    assert [logged.event.to_dict() for logged in late.log] == [logged.event.to_dict() for logged in reader.log()[0]]
    assert late.book.value(BITS) == 4 and late.snapshots[-1].step == reader.snapshots()[-1]


def test_training_goes_on_without_a_viewer(stage, tmp_path):
    run, directory = hosted(stage, tmp_path, 120)
    inner = next(iter(stage.server.handles().values()))
    run.start()
    run.leave()
    stage.clients.pop().close()
    wait_for(inner)
    assert inner.state == "finished" and RunRecord.read(directory).last_step == 120
