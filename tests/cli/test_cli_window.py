"""``window``, ``open`` and ``screenshot``: their requests, and messages without a display."""

import os
import sys
import types

import pytest
from cli_calls import call, write_data
from tensorflow_needed import needs_tensorflow
from waiting import run_process

from qatviz.cli import main, window
from qatviz.errors import SettingError
from qatviz.session.changes import TimedChange
from qatviz.session.request import NewRunRequest, OpenRequest, ResumeRequest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def opened(monkeypatch):
    """Return the requests for a window; the application is not loaded."""
    calls = []

    def open_window(request):
        calls.append(request)
        return 0

    monkeypatch.setitem(sys.modules, "qatviz.app.main", types.SimpleNamespace(open_window=open_window))
    return calls


def test_without_a_display_a_window_is_refused_with_alternatives(no_display, capsys):
    for arguments in (["window"], ["open", "runs/a"]):
        assert main(arguments) == 2
        told = capsys.readouterr().err
        assert "no display" in told and "qatviz train" in told and "qatviz screenshot" in told


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"])
def test_without_a_command_the_window_opens(no_display, opened, monkeypatch, tmp_path, variable):
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path))
    monkeypatch.setenv(variable, "x")
    assert main([]) == 0
    assert opened == [NewRunRequest(out=opened[0].out)] and opened[0].out.endswith("-lenet")


@needs_tensorflow
def test_the_window_checks_the_options_of_train_before_it_opens(no_display, opened, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("QATVIZ_RUNS", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":1")
    assert main(["window", "--network", "mlp", "--set", "5:*.weights.num_bits=3"]) == 0
    changes = (TimedChange(5, (("*.weights.num_bits", 3),)),)
    request = opened.pop()
    assert request == NewRunRequest(network="mlp", changes=changes, out=request.out) and request.out.endswith("-mlp")
    assert main(["window", "--out", "here"]) == 0
    assert opened.pop() == NewRunRequest(out="here")
    assert main(["window", "--resume", "here"]) == 0
    assert opened.pop() == ResumeRequest(directory="here")
    assert main(["window", "--netwrok", "mlp"]) == 2
    assert "--netwrok" in capsys.readouterr().err and opened == []


def test_open_uses_the_absolute_path(no_display, opened, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":1")
    main(["open", "runs/a"])
    assert opened == [OpenRequest(os.path.abspath("runs/a"))]


@pytest.fixture
def drawn(monkeypatch):
    """Return the requests and steps for pictures; the application is not loaded."""
    calls = []

    def draw_screenshot(path, size, theme, request, steps, show):
        calls.append((request, steps))
        return path

    monkeypatch.setitem(sys.modules, "qatviz.app.screenshot", types.SimpleNamespace(draw_screenshot=draw_screenshot))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    return calls


def test_a_screenshot_takes_the_inputs_of_a_new_run(drawn):
    assert main(["screenshot"]) == 0
    assert drawn.pop() == (NewRunRequest(), window.SCREENSHOT_STEPS)
    inputs = ["--network", "mlp", "--data", "mnist-5k", "--task", "classification", "--preset", "int4"]
    assert main(["screenshot", *inputs, "--scaling", "signed"]) == 0
    request = NewRunRequest(network="mlp", data="mnist-5k", task="classification", scaling="signed", preset="int4")
    assert drawn.pop() == (request, window.SCREENSHOT_STEPS)


def test_the_run_of_a_screenshot_reaches_the_requested_step(drawn):
    assert main(["screenshot", "--steps", "9000"]) == 0
    assert drawn.pop() == (NewRunRequest(steps=9000), 9000)
    assert main(["screenshot", "--steps", "0"]) == 0
    assert drawn.pop() == (NewRunRequest(), 0)


@pytest.mark.parametrize(
    "option", [["--scaling", "unit"], ["--data", "x.npz"], ["--steps", "0"], ["--task", "regression"]]
)
def test_a_screenshot_of_a_record_refuses_options_of_a_new_run(drawn, capsys, option):
    assert main(["screenshot", "--record", "a", *option]) == 2
    assert f"{option[0]} is of a new run, but --record shows a recorded one" in capsys.readouterr().err and not drawn


def test_steps_and_size_of_a_screenshot_are_refused_by_the_name_of_their_option(drawn, capsys):
    assert main(["screenshot", "--steps", "-5"]) == 2
    assert "--steps is -5: expected a whole number" in capsys.readouterr().err
    assert main(["screenshot", "--size", "10x10"]) == 2
    assert "--size is '10x10': expected WIDTHxHEIGHT" in capsys.readouterr().err and not drawn


@pytest.mark.parametrize("text", ["", "1280", "1280x", "x800", "10x10", "99999x800", "1280*800", "-1x800"])
def test_invalid_sizes_are_refused(text):
    with pytest.raises(SettingError, match="WIDTHxHEIGHT"):
        window.parse_size(text)


def test_a_size_is_width_x_height():
    assert window.parse_size("1920x1080") == (1920, 1080)


def run(arguments, folder, **variables):
    """Run the real program without a display."""
    environ = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    environ.update(PYTHONPATH=ROOT, QATVIZ_RUNS=str(folder / "runs"), XDG_CONFIG_HOME=str(folder), **variables)
    return run_process([sys.executable, "-m", "qatviz", *arguments], cwd=str(folder), env=environ, text=True)


@pytest.mark.parametrize(
    "name, reason", [("missing/w.png", "No such file or directory"), ("", "Is a directory"), ("run.sqlite", "record")]
)
def test_a_screenshot_that_cannot_be_written_is_refused_before_the_run(tmp_path, name, reason):
    (tmp_path / "run.sqlite").write_bytes(b"SQLite format 3\0")
    options = ["--network", "mlp", "--steps", "1000000", "--out", str(tmp_path / name)]
    done = run(["screenshot", *options], tmp_path)
    assert done.returncode == 2 and reason in done.stderr and str(tmp_path / name) in done.stderr
    assert "Traceback" not in done.stderr


@needs_tensorflow
def test_without_a_display_train_and_screenshot_work(tmp_path):
    # Like a user's call, but with fewer steps.
    program = (
        "import sys; from dataclasses import replace; from qatviz.cli import main, train; real = train.train_request; "
        "train.train_request = lambda request: real(replace(request, steps=12, network='mlp')); sys.exit(main([]))"
    )
    environ = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    environ.update(PYTHONPATH=ROOT, QATVIZ_RUNS=str(tmp_path / "runs"))
    done = run_process([sys.executable, "-c", program], cwd=str(tmp_path), env=environ, text=True)
    assert done.returncode == 0, done.stderr
    assert "no display found" in done.stderr and "dense1" in done.stdout
    path = done.stdout.rstrip().rpartition("the window of this run: ")[2]
    assert path == str(tmp_path / "qatviz.png") and (tmp_path / "qatviz.png").read_bytes().startswith(PNG)
    assert len(list((tmp_path / "runs").iterdir())) == 1


@needs_tensorflow
def test_a_screenshot_has_the_requested_size_and_run(tmp_path):
    data = write_data(tmp_path / "small.npz")
    options = ["--network", "mlp", "--batch-size", "8", "--steps", "15", "--quiet"]
    assert call("train", "--data", data, *options, "--out", tmp_path / "a").code == 0
    done = run(
        ["screenshot", "--record", "a", "--size", "1000x700", "--theme", "light", "--show", "layers", "--out", "x.png"],
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "x.png").read_bytes()
    assert done.stdout.strip() == str(tmp_path / "x.png") and content.startswith(PNG)
    assert (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")) == (1000, 700)
    refused = call("screenshot", "--record", tmp_path / "a", "--show", "lyers")
    assert refused.code == 2 and "--show is 'lyers': expected one of" in refused.err
    assert "layers" in refused.err
    missing = run(["screenshot", "--record", "nowhere"], tmp_path)
    assert missing.returncode == 2 and "nowhere" in missing.stderr
