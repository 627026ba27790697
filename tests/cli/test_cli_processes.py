"""Behaviour of separate processes: signals, sudden ends, imports."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import ROOT, call, write_data
from exhaustive import tries
from waiting import communicate, wait_until

from qatviz.cli import main
from qatviz.errors import RecordError
from qatviz.protocol.reasons import SaveKind
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.tensorflow_presence import NO_XLA, XLA_VARIABLE

OPTIONS = [
    "--network",
    "mlp",
    "--batch-size",
    "8",
    "--evaluation-interval",
    "0",
    "--set",
    "20:dense1.weights.num_bits=3",
]

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@pytest.fixture
def hangup():
    """Let child processes begin with SIGHUP as from a terminal; under nohup, they would ignore it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def start(*arguments, program=("-m", "qatviz")):
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def wait_for_step(process, directory, step):
    """Wait until the record on disk has reached ``step``."""

    def has_reached():
        assert process.poll() is None, process.communicate()
        try:
            return RunRecord.read(directory).last_step >= step
        except RecordError:  # not made yet
            return False

    wait_until(has_reached, f"step {step}", pause=lambda: time.sleep(0.02))


@posix
@pytest.mark.parametrize("number", tries([signal.SIGINT], [signal.SIGINT, signal.SIGTERM]))
def test_a_signal_stops_a_run_cleanly_and_keeps_its_record(tmp_path, number):
    data = write_data(tmp_path / "small.npz")
    process = start("train", "--data", data, *OPTIONS, "--steps", "inf", "--out", tmp_path / "run", "--json")
    wait_for_step(process, tmp_path / "run", 30)
    process.send_signal(number)
    out, err = communicate(process)
    assert process.returncode == 0, err
    result = json.loads(out.splitlines()[-1])
    assert result["ending"] == "stopped" and result["step"] >= 30
    assert f"qatviz train --resume {tmp_path / 'run'} continues" in err.splitlines()[-1]
    assert "Traceback" not in err
    shown = call("show", tmp_path / "run", "--json").json
    assert shown["step"] == result["step"] and shown["tensors"] == result["tensors"]
    more = call("train", "--resume", tmp_path / "run", "--steps", result["step"] + 5, "--json", "--quiet")
    assert more.code == 0 and more.json["step"] == result["step"] + 5


@posix
def test_a_second_signal_ends_the_process_immediately(tmp_path):
    data = write_data(tmp_path / "small.npz")
    process = start("train", "--data", data, *OPTIONS, "--steps", "inf")
    # The run cannot stop before TensorFlow is loaded, so the second signal arrives while the first is being handled.
    assert "starting TensorFlow\n" in iter(process.stderr.readline, "")
    process.send_signal(signal.SIGINT)
    assert "a second one quits at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    communicate(process)
    assert process.returncode == -signal.SIGINT


@posix
def test_a_killed_run_resumes_and_ends_like_an_uninterrupted_one(tmp_path):
    data = write_data(tmp_path / "small.npz")
    process = start("train", "--data", data, *OPTIONS, "--steps", "inf", "--out", tmp_path / "run")
    wait_for_step(process, tmp_path / "run", 40)
    assert call("show", tmp_path / "run").code == 0
    second = call("train", "--resume", tmp_path / "run")
    assert second.code == 2 and f"is being written by process {process.pid}" in second.err
    process.kill()
    communicate(process)
    reached = RunRecord.read(tmp_path / "run").last_step
    outcome = read_outcome(RunRecord.read(tmp_path / "run"))
    assert outcome.step == reached >= 40 and outcome.ending == ""
    answer = call("train", "--resume", tmp_path / "run", "--steps", reached + 10, "--json", "--quiet")
    whole = call("train", "--data", data, *OPTIONS, "--steps", reached + 10, "--json", "--quiet")
    assert answer.code == whole.code == 0
    for name in ("step", "loss", "accuracy", "events", "tensors"):
        assert answer.json[name] == whole.json[name]


#: Calls the command lines in turn, as far as one imports what it should not.
IMPORTS = """
import json, sys
from qatviz.cli import main
for arguments in json.loads(sys.argv[1]):
    main(arguments)
    found = {"tensorflow", "PyQt5", "tqdm"} & set(sys.modules)
    if found:
        sys.exit(f"{arguments} imports {found}")
print("end of the commands")
"""


def test_commands_that_do_not_train_import_neither_tensorflow_nor_qt():
    commands = [
        ["--help"],
        ["networks", "--json"],
        ["data", "mnist-5k"],
        ["settings"],
        ["train", "--help"],
        ["show", "nowhere"],
        ["train", "--network", "none"],
    ]
    done = subprocess.run([sys.executable, "-c", IMPORTS, json.dumps(commands)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0 and done.stdout.endswith(b"\nend of the commands\n"), done.stderr


@posix
def test_a_program_spares_the_search_for_what_xla_could_compile_unless_the_user_set_flags(monkeypatch, capsys):
    monkeypatch.delenv(XLA_VARIABLE)  # which the tests themselves have set
    assert main(["--version"]) == 0 and os.environ[XLA_VARIABLE] == NO_XLA
    monkeypatch.setenv(XLA_VARIABLE, "--tf_xla_auto_jit=2")
    assert main(["--version"]) == 0 and os.environ[XLA_VARIABLE] == "--tf_xla_auto_jit=2"


def test_a_closed_pipe_causes_no_traceback():
    process = start("settings")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    communicate(process)
    assert err == ""


@posix
# By default, one signal; test_the_program_waits_for_the_last_state_of_a_run_after_closing sends SIGTERM.
@pytest.mark.parametrize("number", tries([signal.SIGHUP], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
def test_a_signal_closes_the_window_and_keeps_the_run(tmp_path, monkeypatch, hangup, number):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    data = write_data(tmp_path / "small.npz")
    process = start("window", "--data", data, *OPTIONS, "--steps", "inf", "--out", tmp_path / "run")
    wait_for_step(process, tmp_path / "run", 30)
    process.send_signal(number)
    out, err = communicate(process)
    assert (process.returncode, out) == (0, "") and "Traceback" not in err, err  # Qt has messages of its own
    assert read_outcome(RunRecord.read(tmp_path / "run")).step >= 30


#: The program, with a step in progress that takes longer than closing a window may.
SLOW_CLOSING = """
import sys
from qatviz.cli import main
from qatviz.gui.window import main_window
main_window.CLOSING_S = 0.0
sys.exit(main(sys.argv[1:]))
"""


@posix
def test_the_program_waits_for_the_last_state_of_a_run_after_closing(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    data = write_data(tmp_path / "small.npz")
    arguments = ["window", "--data", data, *OPTIONS, "--steps", "inf", "--out", tmp_path / "run"]
    process = start(*arguments, program=["-c", SLOW_CLOSING])
    wait_for_step(process, tmp_path / "run", 30)
    process.send_signal(signal.SIGTERM)
    _, err = communicate(process)
    assert process.returncode == 0, err
    record = RunRecord.read(tmp_path / "run")
    assert [found.step for found in record.list_checkpoints() if found.reason.kind == SaveKind.END] == [
        record.last_step
    ]


#: The program, with a run that does not end, and a line on standard error when it waits for that.
NEVER_ENDING = """
import sys, threading
from qatviz.app import main as app
from qatviz.cli import main
from qatviz.gui.window import main_window
from qatviz.training.trainer import Trainer

main_window.CLOSING_S, app.END_S = 0.0, 3600.0
Trainer._end = lambda trainer: threading.Event().wait()
end_runs = main_window.MainWindow.end_runs

def waiting(window, timeout_s):
    if timeout_s:
        print("waiting", file=sys.stderr, flush=True)
    return end_runs(window, timeout_s)

main_window.MainWindow.end_runs = waiting
sys.exit(main(sys.argv[1:]))
"""


@posix
def test_a_second_ctrl_c_ends_the_wait_for_a_run_after_closing(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    data, run = write_data(tmp_path / "small.npz"), tmp_path / "run"
    arguments = ["window", "--data", data, *OPTIONS, "--steps", "inf", "--out", run]
    process = start(*arguments, program=["-c", NEVER_ENDING])
    wait_for_step(process, run, 30)
    process.send_signal(signal.SIGINT)
    assert "waiting\n" in iter(process.stderr.readline, "")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = communicate(process)
    assert (process.returncode, out) == (1, "") and "Traceback" not in err, err
    steps = RunRecord.read(run).last_step + 5
    assert call("train", "--resume", run, "--steps", steps, "--quiet").code == 0
    assert RunRecord.read(run).steps().steps.tolist() == list(range(1, steps + 1))


WAITING = "qatviz: waiting for the end of training; Ctrl-C quits without saving its state\n"
#: A script that ends while its run trains; what it registers first is called last.
LEFT_ALONE = """
import atexit, sys, time
atexit.register(lambda: print(run.state))
from qatviz.session.prepare import prepare
from qatviz.session.request import NO_LIMIT, NewRunRequest
run = prepare(NewRunRequest(network="lenet", batch_size=256, steps=NO_LIMIT)).run
run.start()
while run.step < int(sys.argv[1]):
    time.sleep(0.001)
sys.exit(5)
"""


@pytest.mark.parametrize("step", tries([3], [0, 1, 2, 3] * 8))
def test_a_script_that_ends_while_a_run_trains_ends_the_run_first(step):
    process = start(step, program=["-c", LEFT_ALONE])
    out, err = communicate(process)
    assert (process.returncode, out) == (5, "stopped\n")
    assert err in ("", WAITING)  # on a busy machine, it may take seconds


#: A script that ends while its run is in a training step that TensorFlow never ends.
HANGING = """
import signal, threading
import tensorflow as tf
from qatviz.session.prepare import prepare
from qatviz.session.request import NewRunRequest
from qatviz.training import handle
from qatviz.training.graph import TrainingGraph

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is ignored
handle.END_NOTICE_S = 0.0
with tf.Graph().as_default():
    empty = tf.queue.FIFOQueue(1, tf.int32).dequeue()
    session = tf.compat.v1.Session()

entered = threading.Event()

def hang(*_):
    entered.set()
    session.run(empty)

TrainingGraph.step = hang
run = prepare(NewRunRequest(network="lenet", batch_size=8, steps=9)).run
run.start()
entered.wait()
"""


@posix
def test_ctrl_c_ends_a_script_that_waits_for_a_step_without_an_end():
    process = start(program=["-c", HANGING])
    assert WAITING in iter(process.stderr.readline, "")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = communicate(process)
    assert (process.returncode, out, err) == (0, "", "")
