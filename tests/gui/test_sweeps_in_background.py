"""Sweeps that the window's launcher trains in child processes."""

import subprocess
import sys

import pytest
from sweep_stage import base, followed  # noqa: F401
from tensorflow_needed import needs_tensorflow

from qatviz.app.launching import AppLauncher
from qatviz.session import sweep
from qatviz.session.sweep_request import FINISHED, STARTED, STOPPED, SweepRequest

pytestmark = needs_tensorflow


@pytest.fixture
def children(monkeypatch):
    """Child processes that end on request; returns their arguments, and the code that they run."""
    popen, found = subprocess.Popen, {"arguments": [], "code": "pass"}

    def start(command, **options):
        found["arguments"].append(command[5:])
        return popen([sys.executable, "-c", found["code"]], **options)

    monkeypatch.setattr(sweep.subprocess, "Popen", start)
    return found


@pytest.fixture
def launcher(app):
    launcher = followed(AppLauncher())
    yield launcher
    launcher.wait()


def request(base, out, **changes):
    return SweepRequest(str(out), 2, base, "halfway", 30, (0, 1), ("*.weights.num_bits=8,4",))._replace(**changes)


def test_all_runs_are_trained_from_the_checkpoint(launcher, children, base, tmp_path, qtbot):
    launcher.begin_sweep(request(base, tmp_path / "sweep"))
    qtbot.waitUntil(lambda: bool(launcher.ends))
    assert launcher.ends == [(str(tmp_path / "sweep"), "")]
    assert [len(begun.runs) for begun in launcher.begun] == [4] and not launcher.begun[0].is_trial
    assert [event for _, event in launcher.news].count(FINISHED) == 4
    assert children["arguments"][0][:4] == ["--fork", base + "@halfway", "--steps", "52"]


def test_a_trial_has_two_sides_and_is_continued_without_a_form(launcher, children, base, tmp_path, qtbot):
    out = tmp_path / "trial"
    wanted = request(base, out, seeds=(), variations=(), sides=((), ("*.weights.num_bits=4",)))
    launcher.begin_sweep(wanted)
    qtbot.waitUntil(lambda: bool(launcher.ends))
    launcher.begin_sweep(SweepRequest(str(out), 2))
    qtbot.waitUntil(lambda: len(launcher.ends) == 2)
    assert launcher.begun[0] == launcher.begun[1] and launcher.begun[0].is_trial
    assert [run.name for run in launcher.begun[0].runs] == ["A", "B"]


def test_a_sweep_is_stopped(launcher, children, base, tmp_path, qtbot):
    children["code"] = "import time; time.sleep(600)"
    launcher.begin_sweep(request(base, tmp_path / "sweep"))
    qtbot.waitUntil(lambda: [event for _, event in launcher.news].count(STARTED) == 2)
    launcher.stop_sweep(str(tmp_path / "sweep"))
    qtbot.waitUntil(lambda: bool(launcher.ends))
    assert [event for _, event in launcher.news].count(STOPPED) == 2 and len(children["arguments"]) == 2


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"variations": ("*.weights.num_bits=8,99",)}, "num_bits"),
        ({"variations": ("preset=int4,nonsense",)}, "preset is 'nonsense'"),
        ({"variations": (), "seeds": ()}, "nothing to vary"),
        ({"checkpoint": "gone"}, "gone"),
        ({"directory": ""}, "has no sweep to continue"),
    ],
)
def test_what_can_not_be_trained_is_refused_before_any_run_starts(
    launcher, children, base, tmp_path, qtbot, changes, reason
):
    launcher.begin_sweep(request(base, tmp_path / "sweep", **changes))
    qtbot.waitUntil(lambda: bool(launcher.ends))
    assert reason in launcher.ends[0][1] and launcher.begun == [] and children["arguments"] == []
    assert not (tmp_path / "sweep").exists()
