"""A/B trials and sweeps from a checkpoint: their plans, and their results."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from recorded_samples import loss_at, record_run
from tensorflow_needed import needs_tensorflow

from qatviz.errors import RecordError, RunStateError, SettingError
from qatviz.session import trials as module
from qatviz.session.comparison import compare_runs
from qatviz.session.sweep import Side, SweepPlan, open_plan, runs_of
from qatviz.session.sweep_request import FAILED, A, B, Report
from qatviz.session.trials import Fork, ab, ab_plan, fork_point, read_trial, sweep

pytestmark = needs_tensorflow

RECORDS = Path(__file__).resolve().parents[1] / "golden" / "records"
BITS, RATE = "conv1.weights.num_bits=3", "30:run.learning_rate=0.002"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A recorded run with checkpoints of the steps 6, 12 and 22."""
    folder = tmp_path_factory.mktemp("base")
    shutil.unpack_archive(str(RECORDS / "pairs.zip"), str(folder))
    return str(folder / "pairs")


def test_both_sides_start_from_the_newest_checkpoint_unless_another_is_named(base):
    assert fork_point(base) == Fork(base, "halfway", 22)
    assert fork_point(base, "halfway").arguments == ("--fork", base + "@halfway")
    with pytest.raises(RecordError, match="checkpoint"):
        fork_point(base, "nonsense")


def test_an_automatic_checkpoint_is_kept_for_both_sides(base):
    fork = fork_point(base, "before-00000006")
    assert fork.step == 6 and (Path(base) / "checkpoints" / (fork.checkpoint + ".npz")).exists()
    assert fork_point(base, "before-00000006") == fork, "a trial that is continued has the same plan"


def test_the_runs_of_a_trial_are_both_sides_of_each_seed(base):
    plan = ab_plan(fork_point(base), (), (BITS, RATE), (0, 1), ("--steps", "40"))
    assert plan.arguments == ("--fork", base + "@halfway", "--steps", "40")
    runs = runs_of(plan)
    assert [run.name for run in runs] == ["A_s0", "B_s0", "A_s1", "B_s1"]
    assert runs[3].arguments == ("--set", BITS, "--set", RATE, "--seed", "1")
    assert [run.name for run in runs_of(plan._replace(seeds=()))] == [A, B]


def test_settings_that_are_not_allowed_are_refused_before_training(base):
    fork = fork_point(base)
    with pytest.raises(SettingError, match="conv1") as refused:
        ab_plan(fork, (), ("conv.weights.num_bits=3",))
    assert refused.value.field == "b"
    with pytest.raises(SettingError, match="num_bits"):
        ab_plan(fork, ("*.weights.num_bits=0",), ())
    with pytest.raises(SettingError, match="both sides have the settings of the checkpoint: expected two others"):
        ab_plan(fork, (), ())


def test_a_plan_with_sides_is_stored_and_a_path_as_their_name_refused(tmp_path, base):
    plan = ab_plan(fork_point(base), (), (BITS,))
    assert open_plan(str(tmp_path), plan) == open_plan(str(tmp_path), None) == plan
    stored = tmp_path / "sweep.json"
    stored.write_text(stored.read_text().replace('"B"', '"../B"'))
    with pytest.raises(RecordError, match="damaged"):
        open_plan(str(tmp_path), None)


@pytest.fixture
def trained(tmp_path):
    """The records of both sides with two seeds; side B has a loss that is larger by 0.002."""
    for seed in (0, 1):
        record_run(tmp_path / f"A_s{seed}", seed=seed, steps=30)
        record_run(tmp_path / f"B_s{seed}", seed=seed + 2, steps=25, bits=4)
    return SweepPlan((), (), (0, 1), (Side(A, ()), Side(B, ()))), tmp_path


def test_the_losses_of_both_sides_are_paired_step_by_step(trained, monkeypatch):
    plan, directory = trained
    compared = module.read_comparison

    def with_equal_seeds(directories):
        found = compared(directories)
        return found._replace(
            runs=tuple(run._replace(about=dict(run.about, seed=run.about["seed"] % 2)) for run in found.runs)
        )

    monkeypatch.setattr(module, "read_comparison", with_equal_seeds)
    trial = read_trial(str(directory), plan)
    assert [part.steps.tolist() for part in trial.pairs] == [list(range(1, 26))] * 2
    np.testing.assert_allclose(trial.pairs[1].references, [loss_at(step, 1) for step in range(1, 26)])
    assert trial.effect.mean == pytest.approx(0.002) and trial.effect.steps == 50 and trial.effect.lower == 0
    row = trial.to_dict()
    assert row["losses"][0]["step"][-1] == 25 and row["loss_difference"]["error"] == pytest.approx(0, abs=1e-6)


def test_a_side_that_fails_is_reported_with_its_reason(tmp_path, base, monkeypatch):
    def fail(directory, plan, processes, notify):
        notify(Report(runs_of(plan)[1], FAILED, 2, 2, "the loss is not finite (exit code 1)"))
        return 1

    monkeypatch.setattr(module, "run_sweep", fail)
    with pytest.raises(RunStateError, match="training failed: B: the loss is not finite"):
        ab(base, b=[BITS], out=tmp_path / "trial")


def test_a_script_sweeps_values_and_gets_the_comparison(tmp_path, base, monkeypatch):
    def train(directory, plan, processes, notify):
        for number, run in enumerate(runs_of(plan)):
            record_run(Path(directory) / run.name, steps=2, seed=number % 2, bits=8 if number < 2 else 4)
        assert processes == 3 and plan.arguments[-2:] == ("--steps", "40")
        return 0

    monkeypatch.setattr(module, "run_sweep", train)
    vary = {"*.weights.num_bits": [8, 4]}
    found = sweep(base, vary, seeds=[0, 1], steps=40, processes=3, out=tmp_path / "sweep")
    assert found.groups == ((0, 1), (2, 3)) and found.names[3] == "weights.num_bits-4_s1"
    assert compare_runs(*(run.summary.directory for run in found.runs)).names == found.names
    with pytest.raises(SettingError, match="num_bits"):
        sweep(base, {"*.weights.num_bits": [99]})
    with pytest.raises(SettingError, match="nothing to vary"):
        sweep(base, {})
