"""Standard streams that are full, closed or of a terminal that has gone: a message where one can be seen, no traceback.

A run ends cleanly, with its record, whichever of them fails.
"""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import ROOT, write_data
from exhaustive import tries
from test_cli_processes import OPTIONS, posix, start, wait_for_step
from waiting import communicate, wait_until

from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = posix
FULL = "qatviz: error: standard output can't be written: No space left on device\n"


COMMANDS = [
    ("settings >/dev/full", 1, FULL),
    ("data mnist-5k <&- >&-", 0, ""),
    ("settings 2>&- | head -1 >/dev/null", 0, ""),
    ("data /nowhere 2>/dev/full", 2, ""),
    ("data /nowhere <&- >&- 2>&-", 2, ""),
]
MORE_COMMANDS = [
    ("--help >/dev/full", 1, FULL),
    ("--version >/dev/full", 1, FULL),
    ("settings >&-", 0, ""),
    ("--help | head -1 >/dev/null", 0, ""),
    ("data /nowhere 2>&-", 2, ""),
]


@pytest.mark.parametrize("command, code, err", tries(COMMANDS, COMMANDS + MORE_COMMANDS))
def test_a_stream_that_is_full_or_closed(command, code, err):
    program = f'"{sys.executable}" -m qatviz {command}'
    # Coverage, if it is measured, would open its file in the place of a closed stream.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV_CORE")}
    done = subprocess.run(["sh", "-c", program], cwd=ROOT, env=unmeasured, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (code, b"", err)


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path):
    """What libraries print would be written into it."""
    program = (
        "import sys; from qatviz.cli import main; main(['presets']); "
        f"print(open({str(tmp_path / 'file')!r}, 'w').fileno(), file=open({str(tmp_path / 'answer')!r}, 'w'))"
    )
    subprocess.run(["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, program], cwd=ROOT, check=True)
    assert int((tmp_path / "answer").read_text()) > 2


def test_a_run_whose_progress_can_not_be_shown_is_stopped_and_recorded(tmp_path):
    data = write_data(tmp_path / "small.npz")
    process = start("train", "--data", data, *OPTIONS, "--steps", "inf", "--out", tmp_path / "run")
    wait_for_step(process, tmp_path / "run", 10)
    process.stderr.close()  # the next line of progress
    out = process.stdout.read()
    process.stdout.close()
    wait_until(lambda: process.poll() is not None, "the end of the run")
    assert (process.returncode, out) == (1, "")
    assert read_outcome(RunRecord.read(tmp_path / "run")).ending == "stopped"


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.always("False")
def test_the_end_of_the_terminal_stops_a_run_cleanly_unless_ignored(tmp_path, ignored):
    data = write_data(tmp_path / "small.npz")
    terminal, own = pty.openpty()
    command = ["train", "--data", data, *OPTIONS, "--steps", "inf", "--out", tmp_path / "run", "--json"]
    process = subprocess.Popen(
        [*(["env", "nohup"] if ignored else []), sys.executable, "-m", "qatviz", *map(str, command)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=own,
        universal_newlines=True,
        # Tests may run under nohup; the test itself has no other threads.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509
    )
    os.close(own)
    wait_for_step(process, tmp_path / "run", 10)
    if ignored:
        process.send_signal(signal.SIGHUP)
        wait_for_step(process, tmp_path / "run", RunRecord.read(tmp_path / "run").last_step + 20)
        process.send_signal(signal.SIGTERM)
    else:
        os.close(terminal)
        for _ in range(3):  # the shell and the kernel each send one
            process.send_signal(signal.SIGHUP)
    out, _ = communicate(process)
    if ignored:
        os.close(terminal)
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1])["ending"] == "stopped"
    assert read_outcome(RunRecord.read(tmp_path / "run")).ending == "stopped"
