"""bootstrap.py killed at any moment, called twice at once, offline, in folders with odd names.

A stand-in for the interpreter is killed or held at a chosen moment; a contract test does the same to the real one, in
exhaustive runs only, as it installs everything.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from bootstrap_fakes import MOMENTS, ROOT, copy_bootstrap, make_installer
from exhaustive import EXHAUSTIVE, tries
from fake_python import HELD, LOG
from waiting import communicate, run_process, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
#: No server listens to this port.
UNREACHABLE = "http://user:secret@127.0.0.1:9/simple"


class Checkout:
    """A copy of bootstrap.py in a folder, and calls of it with the stand-in."""

    def __init__(self, folder, interpreter):
        self.folder, self.environment = folder, folder / ".venv"
        self.folder.mkdir()
        copy_bootstrap(folder)
        self._interpreter = interpreter

    def start(self, kill="", hold="", **variables):
        """Start ``bootstrap.py bench`` in a process group of its own."""
        environ = dict(os.environ, QATVIZ_PYTHON=self._interpreter, QATVIZ_FAKE_KILL=kill, QATVIZ_FAKE_HOLD=hold)
        return subprocess.Popen(
            [sys.executable, str(self.folder / "bootstrap.py"), "bench", "a b"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
            env=dict(environ, **variables),
        )

    def moments(self):
        """Return the moments so far."""
        return (self.folder / LOG).read_text().splitlines()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "check out", make_installer(tmp_path / "bin" / "python3.7"))


def assert_started(process):
    """Wait for the program that bootstrap.py starts, in a whole environment; return the messages."""
    out, err = communicate(process)
    assert process.returncode == 7, err
    assert json.loads(out) == {"arguments": [os.path.join("tests", "bench", "run.py"), "a b"], "missing": []}
    return err


def assert_killed(process):
    _, err = communicate(process)
    assert process.returncode == -signal.SIGKILL, err


@pytest.mark.parametrize(
    "moment", tries(["environment begun", "package half there", "metadata before its files"], list(MOMENTS))
)
def test_killed_at_a_moment_the_next_call_completes_the_environment(checkout, moment):
    assert_killed(checkout.start(kill=moment))
    assert MOMENTS[moment](checkout.environment), "the stand-in leaves the files of this moment"
    assert_started(checkout.start())
    done = len(checkout.moments())
    assert_started(checkout.start())
    assert len(checkout.moments()) == done, "a complete environment is not installed into again"


def test_killed_at_every_moment_in_turn_the_last_call_completes_it(checkout):
    for moment in MOMENTS:
        assert_killed(checkout.start(kill=moment))
    assert_started(checkout.start())


@pytest.mark.parametrize("moment", ["metadata before its files", "package half there"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_the_second_of_two_calls_waits_and_takes_over_from_a_killed_one(checkout, moment, is_killed):
    first = checkout.start(hold=moment)
    wait_until((checkout.folder / HELD).exists, moment)
    second = checkout.start()
    assert second.stderr.readline() == "qatviz: another bootstrap.py is setting up this checkout; waiting for it\n"
    before = checkout.moments()
    if is_killed:
        os.killpg(first.pid, signal.SIGKILL)
    else:
        (checkout.folder / HELD).unlink()
        assert_started(first)
    assert_started(second)
    first.communicate()
    created = checkout.moments().count("environment begun")
    # The one who takes over creates the environment again only if it is of no use.
    assert created == (2 if is_killed and moment == "metadata before its files" else 1)
    assert checkout.moments()[: len(before)] == before


@pytest.mark.parametrize(
    "name",
    tries(["-a b;c'd%e#*f\\größe&|"], ["a b", "a;b", "a'b", "a%b", "a#b", "-a", "*", "a\\b", "größe", "a&b|c"]),
)
def test_a_folder_with_an_odd_name_gets_an_environment(tmp_path, name):
    checkout = Checkout(tmp_path / name, make_installer(tmp_path / "bin" / "python3.7"))
    assert_started(checkout.start())


def offline_variables():
    """Return environment variables with which pip has no source of packages but an index that can't be reached."""
    environ = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    for name in [name for name in environ if name.startswith("PIP_")]:
        del environ[name]
    return dict(environ, PIP_INDEX_URL=UNREACHABLE, PIP_CONFIG_FILE=os.devnull, PIP_RETRIES="0")


def test_without_a_network_the_message_says_what_is_missing_and_what_to_do(tmp_path):
    copy_bootstrap(tmp_path / "checkout")
    done = run_process(
        [sys.executable, str(tmp_path / "checkout" / "bootstrap.py"), "run"], env=offline_variables(), text=True
    )
    message = done.stderr.rpartition("qatviz: ")[2]
    assert done.returncode == 1 and done.stdout == ""
    assert "missing in .venv: pip 24.0" in message
    assert "127.0.0.1:9 can't be reached (Connection refused)" in message and "secret" not in message
    assert "PIP_INDEX_URL" in message and message.endswith("Call bootstrap.py again to continue\n")


@pytest.mark.skipif(not EXHAUSTIVE, reason="it installs everything seven times, in part: minutes")
def test_the_real_interpreter_and_pip_pass_the_same_moments_and_recover(tmp_path):
    checkout = tmp_path / "a;b 'c' %d"
    shutil.copytree(ROOT, str(checkout), ignore=shutil.ignore_patterns(".*", "__pycache__"))

    def start(**options):
        return subprocess.Popen([sys.executable, "bootstrap.py", "run", "networks"], cwd=str(checkout), **options)

    for moment, is_reached in MOMENTS.items():
        process = start(start_new_session=True)
        wait_until(
            lambda: is_reached(checkout / ".venv") or process.poll() is not None,
            moment,
            pause=lambda: time.sleep(0.001),
        )
        assert process.poll() is None, f"it ended before the moment {moment!r}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process = start(stdout=subprocess.PIPE, universal_newlines=True)
    out, _ = communicate(process)
    assert process.returncode == 0 and "lenet" in out
