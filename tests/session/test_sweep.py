"""Sweeps: which runs they have, in which state these are, and how they are continued."""

import json
import subprocess
import sys

import pytest
from recorded_samples import record_run
from tensorflow_needed import needs_tensorflow

from qatviz.errors import RecordError, SettingError
from qatviz.session import sweep
from qatviz.session.sweep import (
    PLAN_NAME,
    SweepPlan,
    Variation,
    open_plan,
    parse_variation,
    run_sweep,
    runs_of,
    state_of,
)
from qatviz.session.sweep_request import FINISHED, INTERRUPTED, NEW, RESUMED, STOPPED, TRAINING
from qatviz.telemetry.record.labels import RunLabels, read_labels, write_labels

pytestmark = needs_tensorflow

BITS, RATE = Variation("*.weights.num_bits", ("8", "4")), Variation("run.learning_rate", ("0.001", "1e-4"))


def test_runs_are_all_combinations_of_values_with_all_seeds():
    runs = runs_of(SweepPlan((), (BITS, RATE), (0, 7)))
    assert len(runs) == 8 and len({run.name for run in runs}) == 8
    assert runs[1].name == "weights.num_bits-8_run.learning_rate-0.001_s7"
    assert runs[1].arguments == ("--set", "*.weights.num_bits=8", "--set", "run.learning_rate=0.001", "--seed", "7")
    assert [run.name for run in runs_of(SweepPlan(("--steps", "2")))] == ["run"]
    (run,) = runs_of(SweepPlan((), (Variation("preset", ("int4",)),)))
    assert run.arguments == ("--preset", "int4")


def test_names_that_would_be_equal_are_numbered():
    runs = runs_of(SweepPlan((), (Variation("a.num_bits", ("+1", "1")),)))
    assert [run.name for run in runs] == ["000_a.num_bits-1", "001_a.num_bits-1"]


@pytest.mark.parametrize("text", ["", "num_bits", "num_bits=", "=4", "num_bits=4,,5", "num_bits=4,4"])
def test_a_variation_needs_a_path_and_distinct_values(text):
    with pytest.raises(SettingError, match="expected PATH=VALUE,VALUE"):
        parse_variation(text)


def test_too_many_runs_and_a_path_that_is_varied_twice_are_refused():
    many = Variation("x", tuple(map(str, range(101))))
    with pytest.raises(SettingError, match="a sweep of 1,010 runs: expected at most 1,000"):
        runs_of(SweepPlan((), (many,), tuple(range(10))))
    with pytest.raises(SettingError, match="expected each once"):
        runs_of(SweepPlan((), (BITS, BITS)))


def test_a_plan_is_stored_and_another_is_refused(tmp_path):
    plan = SweepPlan(("--network", "mlp"), (BITS,), (1, 2))
    directory = str(tmp_path / "sweep")
    assert open_plan(directory, plan) == open_plan(directory, None) == open_plan(directory, plan) == plan
    with pytest.raises(SettingError, match="has a sweep of other settings"):
        open_plan(directory, plan._replace(seeds=(1,)))
    with pytest.raises(SettingError, match="has no sweep to continue"):
        open_plan(str(tmp_path / "none"), None)


def test_a_stored_plan_runs_code_only_if_the_user_repeats_that(tmp_path):
    plan = SweepPlan(("--model", "evil.py:build", "--allow-code"), (BITS,))
    assert open_plan(str(tmp_path), plan) == plan
    with pytest.raises(SettingError, match="may execute code in files .--allow-code.: .* repeat all its options"):
        open_plan(str(tmp_path), None)
    assert open_plan(str(tmp_path), plan) == plan


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "run.log").mkdir()
    with pytest.raises(RecordError, match="run.log: cannot be written: Is a directory"):
        run_sweep(str(tmp_path), SweepPlan(()), 1, print)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"arguments": [1], "variations": [], "seeds": []}',
        '{"arguments": [], "variations": [["a"]], "seeds": []}',
        '{"arguments": [], "variations": [], "seeds": [-1]}',
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, content):
    (tmp_path / PLAN_NAME).write_text(content)
    with pytest.raises(RecordError, match="damaged, or not the plan of a sweep"):
        open_plan(str(tmp_path), None)


def test_the_state_of_a_run_is_that_of_its_record(tmp_path):
    record_run(tmp_path / "done", steps=2)
    record_run(tmp_path / "half", steps=2, ending=False)
    assert [state_of(tmp_path / name) for name in ("done", "half", "none")] == [FINISHED, INTERRUPTED, NEW]


@pytest.fixture
def children(tmp_path, monkeypatch):
    """Children record a finished run at once, or fail; returns their arguments, and the directory of the sweep."""
    started, popen = [], subprocess.Popen

    def start(command, **options):
        started.append(command[5:])
        code = 3 if "*.weights.num_bits=4" in command else 0
        return popen([sys.executable, "-c", f"raise SystemExit({code})"], **options)

    monkeypatch.setattr(sweep.subprocess, "Popen", start)
    return started


def test_finished_runs_are_skipped_and_interrupted_ones_resumed(tmp_path, children):
    plan = SweepPlan(("--network", "mlp"), (BITS,), (0, 1))
    names = [run.name for run in runs_of(plan)]
    record_run(tmp_path / names[0], steps=2)
    record_run(tmp_path / names[1], steps=2, ending=False)
    news = []
    failed = run_sweep(str(tmp_path), plan, 2, news.append)
    assert failed == 2
    assert children[0][:2] == ["--resume", str(tmp_path / names[1])]
    assert children[1][:4] == ["--network", "mlp", "--set", "*.weights.num_bits=4"] and "--out" in children[1]
    events = {(report.run.name, report.event) for report in news}
    assert {(names[0], "skipped"), (names[1], "resumed"), (names[1], "finished"), (names[2], "failed")} <= events
    assert news[-1].done == news[-1].total == 4
    assert read_labels(tmp_path / names[1]).tags == (tmp_path.name[:40],)


def test_the_labels_of_a_run_stay_when_it_is_continued(tmp_path, children):
    record_run(tmp_path / "run", steps=2, ending=False)
    write_labels(tmp_path / "run", RunLabels("mine", "a note", ("best",)))
    assert run_sweep(str(tmp_path), SweepPlan(("--steps", "9")), 1, lambda report: None) == 0
    tags = tuple(sorted(("best", tmp_path.name[:40])))
    assert read_labels(tmp_path / "run") == RunLabels("mine", "a note", tags)


def test_a_failure_is_reported_with_the_last_line_of_the_log(tmp_path, monkeypatch):
    popen, code = subprocess.Popen, "import sys; print('one'); print('the reason', file=sys.stderr); sys.exit(3)"
    monkeypatch.setattr(
        sweep.subprocess, "Popen", lambda command, **options: popen([sys.executable, "-c", code], **options)
    )
    news = []
    assert run_sweep(str(tmp_path), SweepPlan(()), 1, news.append) == 1
    assert news[-1].message == "the reason (exit code 3)"


def test_the_recorded_steps_of_runs_are_reported(tmp_path, monkeypatch):
    record_run(tmp_path / "run", steps=7, ending=False)
    popen, code = subprocess.Popen, "import time; time.sleep(600)"
    monkeypatch.setattr(
        sweep.subprocess, "Popen", lambda command, **options: popen([sys.executable, "-c", code], **options)
    )
    news = []
    is_wanted = lambda: not any(report.event == TRAINING for report in news)  # noqa: E731
    run_sweep(str(tmp_path), SweepPlan(()), 1, news.append, is_wanted)
    assert [(report.event, report.step) for report in news] == [(RESUMED, 0), (TRAINING, 7), (STOPPED, 7)]


def test_a_damaged_record_fails_alone(tmp_path, children):
    plan = SweepPlan((), (), (0, 1))
    (tmp_path / "s0").mkdir()
    (tmp_path / "s0" / "run.sqlite").write_bytes(b"damaged")
    news = []
    assert run_sweep(str(tmp_path), plan, 1, news.append) == 1
    assert "run.sqlite" in news[0].message and (news[-1].run.name, news[-1].event) == ("s1", "finished")


def test_an_interruption_ends_the_children(tmp_path, monkeypatch):
    endless, popen = [], subprocess.Popen

    def start(command, **options):
        endless.append(popen([sys.executable, "-c", "import time; time.sleep(600)"], **options))
        return endless[-1]

    def interrupt(report):
        if len(endless) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(str(tmp_path), SweepPlan((), (), (0, 1, 2)), 2, interrupt)
    assert [child.poll() is not None for child in endless] == [True, True]


def test_the_number_of_processes_is_checked(tmp_path):
    with pytest.raises(SettingError, match="processes is 0: expected 1 to 64"):
        run_sweep(str(tmp_path), SweepPlan(()), 0, print)


def test_the_plan_is_readable(tmp_path):
    open_plan(str(tmp_path), SweepPlan(("--steps", "2"), (BITS,), (1,)))
    row = json.loads((tmp_path / PLAN_NAME).read_text())
    assert row == {"arguments": ["--steps", "2"], "variations": [[BITS.path, ["8", "4"]]], "seeds": [1]}
