"""Sweeps that a window starts on another machine: their news arrive there, also after a lost connection."""

import subprocess
import sys
import time

import pytest
from sweep_stage import base, followed  # noqa: F401
from tensorflow_needed import needs_tensorflow
from waiting import wait_until

from qatviz.app.launching import AppLauncher
from qatviz.errors import QatvizError
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.session import sweep
from qatviz.session.sweep_request import FINISHED, STARTED, SweepRequest

pytestmark = needs_tensorflow


@pytest.fixture
def children(monkeypatch, tmp_path):
    """Child processes that end once a file exists; returns its path."""
    popen, gate = subprocess.Popen, tmp_path / "gate"
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    monkeypatch.setattr(
        sweep.subprocess, "Popen", lambda command, **options: popen([sys.executable, "-c", code], **options)
    )
    return gate


@pytest.fixture
def launcher(qapp, stage):
    found = followed(AppLauncher(RemoteWorkplace(stage.client())))
    yield found
    found.wait()


def request(base, out):
    return SweepRequest(str(out), 2, base, "halfway", 30, (0, 1), ("*.weights.num_bits=8,4",))


def count(launcher, event):
    return [known for _, known in launcher.news].count(event)


def test_a_sweep_trains_there_beyond_a_lost_connection(stage, launcher, children, base, tmp_path, qtbot):
    launcher.begin_sweep(request(base, tmp_path / "sweep"))
    qtbot.waitUntil(lambda: count(launcher, STARTED) == 2)
    assert [len(begun.runs) for begun in launcher.begun] == [4]
    cut = stage.streams["ana@laptop"]
    stage.cut()
    wait_until(lambda: stage.streams["ana@laptop"] is not cut)
    assert stage.server.workplace.has_sweeps and not launcher.ends
    children.touch()
    qtbot.waitUntil(lambda: bool(launcher.ends), timeout=60000)
    assert launcher.ends == [(str(tmp_path / "sweep"), "")] and count(launcher, FINISHED) == 4
    assert not stage.server.workplace.has_sweeps


def test_a_server_with_a_sweep_is_in_use_and_stops_it_at_its_end(stage, launcher, children, base, tmp_path, qtbot):
    launcher.begin_sweep(request(base, tmp_path / "sweep"))
    qtbot.waitUntil(lambda: count(launcher, STARTED) == 2)
    stage.clients.pop().close()
    launcher.wait()
    wait_until(lambda: not stage.server._sessions)
    stage.server._in_use_at = time.monotonic() - 1e6
    assert not stage.server.is_idle(300.0), "the window is closed, and the sweep goes on"
    stage.server.close()
    assert not stage.server.workplace.has_sweeps


def test_a_window_joins_a_sweep_that_trains(stage, launcher, children, base, tmp_path, qtbot):
    out = str(tmp_path / "sweep")
    place = RemoteWorkplace(stage.client("bob@laptop"))
    place.begin_sweep(request(base, out))
    launcher.begin_sweep(SweepRequest(out, 2))  # continue
    qtbot.waitUntil(lambda: count(launcher, STARTED) == 2)
    with pytest.raises(QatvizError, match="trains there already"):
        place.begin_sweep(request(base, out))
    children.touch()
    qtbot.waitUntil(lambda: bool(launcher.ends), timeout=60000)
    assert launcher.ends == [(out, "")]


def test_a_refused_sweep_says_why(launcher, base, tmp_path, qtbot):
    launcher.begin_sweep(request(base, tmp_path / "sweep")._replace(checkpoint="gone"))
    qtbot.waitUntil(lambda: bool(launcher.ends))
    assert "gone" in launcher.ends[0][1] and not launcher.begun


def test_a_sweep_there_is_stopped(stage, launcher, children, base, tmp_path, qtbot):
    out = str(tmp_path / "sweep")
    launcher.begin_sweep(request(base, out))
    qtbot.waitUntil(lambda: count(launcher, STARTED) == 2)
    launcher.stop_sweep(out)
    qtbot.waitUntil(lambda: bool(launcher.ends), timeout=60000)
    assert not stage.server.workplace.has_sweeps
