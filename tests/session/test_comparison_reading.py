"""Reading of recorded runs to compare them."""

import numpy as np
import pytest
from recorded_samples import STEP_S, loss_at, record_run

from qatviz.analysis.comparison import LOSS, SECONDS, STEPS, aligned_curve
from qatviz.errors import RecordError, SettingError
from qatviz.protocol.snapshots import StepRecord
from qatviz.session import comparison
from qatviz.session.comparison import read_comparison
from qatviz.telemetry.record.run_record import RunRecord


def fork_of(parent, step, **changes):
    origin = {"run_id": "parent", "directory": str(parent), "checkpoint": "c", "step": step}
    return {"forked_from": dict(origin, **changes)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    record_run(folder / "parent", steps=40, run_id="parent")
    record_run(folder / "fork", steps=60, first=20, seed=5, run_id="fork", **fork_of(folder / "parent", 20))
    return folder


def test_curves_are_those_of_the_record(folder):
    (run,) = read_comparison([str(folder / "parent")]).runs
    curve = aligned_curve([run], LOSS, STEPS)
    np.testing.assert_array_equal(curve.x, np.arange(1, 41))
    np.testing.assert_allclose(curve.mean, loss_at(np.arange(1, 41)))
    scores = run.tracks["quantized"]
    assert scores.steps.tolist() == list(range(5, 41, 5))
    np.testing.assert_allclose(scores.seconds, scores.steps * STEP_S)
    assert run.best == pytest.approx(scores.values.max()) and run.first_step == 0 and run.changes == 0


def test_a_fork_has_the_curve_of_its_parent_before_its_first_step(folder):
    (fork,) = read_comparison([str(folder / "fork")]).runs
    track = fork.tracks[LOSS]
    assert track.steps.tolist() == list(range(1, 61)) and fork.first_step == 20
    np.testing.assert_allclose(track.values[:20], loss_at(np.arange(1, 21), 0))
    np.testing.assert_allclose(track.values[20:], loss_at(np.arange(21, 61), 5))
    assert fork.tracks["float"].steps.tolist() == list(range(5, 61, 5))
    assert fork.place_of_start(SECONDS) == pytest.approx(20 * STEP_S)
    assert (np.diff(track.seconds) > 0).all()


@pytest.mark.parametrize("origin", [{"directory": "/nowhere"}, {"run_id": "another"}])
def test_a_parent_that_was_moved_or_replaced_is_left_out(folder, tmp_path, origin):
    record_run(tmp_path / "alone", steps=30, first=20, run_id="alone", **fork_of(folder / "parent", 20, **origin))
    (run,) = read_comparison([str(tmp_path / "alone")]).runs
    assert run.tracks[LOSS].steps.tolist() == list(range(21, 31))


def test_a_run_that_claims_to_be_its_own_parent_is_read_once(tmp_path):
    record_run(tmp_path / "a", steps=10, first=5, run_id="parent", **fork_of(tmp_path / "a", 5))
    (run,) = read_comparison([str(tmp_path / "a")]).runs
    assert run.tracks[LOSS].steps.tolist() == list(range(6, 11))


def test_losses_are_those_of_the_steps_of_the_surviving_timeline(tmp_path):
    record_run(tmp_path / "a", steps=20)
    with RunRecord.open(tmp_path / "a") as record:
        record.append_rewind(8)
        assert record.flush()
    reader = RunRecord.read(tmp_path / "a")
    losses, steps = reader.losses(1000), reader.steps()
    for found, expected in ((losses.steps, steps.steps), (losses.seconds, steps.seconds), (losses.loss, steps.loss)):
        np.testing.assert_array_equal(found, expected)
    assert losses.steps[-1] == 8


def test_the_loss_of_a_long_run_is_read_from_blocks_spread_over_it(tmp_path):
    with RunRecord.open(record_run(tmp_path / "a", steps=1)) as record:
        for number in range(12):
            values = record.steps().values[0]
            for step in range(2 + 70 * number, 72 + 70 * number):
                record.append_step(StepRecord(step, step * STEP_S, loss_at(step), 1e-3, values))
            assert record.flush()
    reader = RunRecord.read(tmp_path / "a")
    some, everything = reader.losses(5), reader.losses(1000)
    assert len(everything.steps) == reader.last_step == 841
    assert len(some.steps) < 420 and (some.steps[0], some.steps[-1]) == (1, 841)
    np.testing.assert_allclose(some.loss, loss_at(some.steps))


def test_a_run_without_steps_is_compared(tmp_path):
    record_run(tmp_path / "new", steps=0, ending=False)
    (run,) = read_comparison([str(tmp_path / "new")]).runs
    assert len(run.tracks[LOSS].steps) == 0 and run.best is None and run.summary.step == 0


def test_a_damaged_record_and_too_many_runs_are_refused(folder, monkeypatch, tmp_path):
    with pytest.raises(RecordError, match="not found"):
        read_comparison([str(folder / "parent"), str(tmp_path)])
    monkeypatch.setattr(comparison, "MOST_RUNS", 1)
    with pytest.raises(SettingError, match="2 runs to compare: expected 1 to 1"):
        read_comparison([str(folder / "parent")] * 2)
