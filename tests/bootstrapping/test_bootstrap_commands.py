"""bootstrap.py as a whole: from the command line to the program that it starts."""

import glob
import os
import shutil
import signal
import subprocess
import sys

import pytest

import bootstrap
from qatviz.bootstrapping.common import packages_folder

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VERSIONS = [f"3.{minor}" for minor in range(6, 14)]
WRITE_STAMP = "from qatviz.bootstrapping.environment import write_stamp; write_stamp(qt=['xcb', 'offscreen', ''])"
TELL = "import os, sys; print(os.getcwd(), sys.argv[1:])"


def python_of(version):
    """Return an interpreter of this version on the machine, or skip the test."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = glob.glob(os.path.join(root, "versions", version + ".*", "bin", "python" + version))
    if version == "{}.{}".format(*sys.version_info):
        found.append(sys.executable)
    if not found:
        pytest.skip(f"no Python {version} on this machine")
    return found[0]


@pytest.fixture
def prepared(tmp_path):
    """Return a checkout whose environment is this test's own, stamped, so that there is nothing left to prepare."""
    if os.name == "nt":
        pytest.skip("links need rights on Windows")
    checkout = tmp_path / "check out"
    shutil.copytree(os.path.join(ROOT, "qatviz", "bootstrapping"), str(checkout / "qatviz" / "bootstrapping"))
    shutil.copy(os.path.join(ROOT, "qatviz", "__init__.py"), str(checkout / "qatviz"))
    shutil.copy(os.path.join(ROOT, "bootstrap.py"), str(checkout))
    for folder in (".venv/bin", "tests/bench"):
        (checkout / folder).mkdir(parents=True)
    os.symlink(sys.executable, str(checkout / ".venv" / "bin" / "python"))
    (checkout / "tests" / "bench" / "run.py").write_text(TELL + "; sys.exit(7)")
    subprocess.run([sys.executable, "-c", WRITE_STAMP], cwd=str(checkout), check=True)
    return checkout


def call(checkout, *arguments, python=sys.executable, **options):
    """Run the checkout's bootstrap.py and return the finished process."""
    return subprocess.run(
        [python, "-W", "error", str(checkout / "bootstrap.py"), *list(arguments)],
        capture_output=True,
        text=True,
        **options,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_any_python_from_36_on_starts_the_program_and_hands_on_its_exit_code(prepared, version, tmp_path):
    done = call(prepared, "bench", "--only", "a b", python=python_of(version), cwd=str(tmp_path))
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout == f"{prepared} ['--only', 'a b']\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_help_is_printed_by_any_python_from_36_on(version):
    done = subprocess.run(
        [python_of(version), "-W", "error", os.path.join(ROOT, "bootstrap.py"), "--help"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "python3 bootstrap.py test" in done.stdout


def test_run_keeps_the_working_directory_so_that_the_users_paths_hold(prepared, tmp_path):
    (tmp_path / "qatviz").mkdir()
    (tmp_path / "qatviz" / "__main__.py").write_text(TELL)
    done = call(prepared, "run", "show", "runs/a", cwd=str(tmp_path))
    assert done.stdout == f"{tmp_path} ['show', 'runs/a']\n"


def test_a_program_that_a_signal_ends_ends_bootstrap_alike(prepared):
    (prepared / "tests" / "bench" / "run.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert call(prepared, "bench").returncode == -signal.SIGTERM


def test_windows_has_no_exec_and_gets_the_exit_code_from_a_child(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "ON_WINDOWS", True)
    monkeypatch.setattr(bootstrap, "environment_python", lambda: sys.executable)
    program = "import os, sys; sys.exit(5 if os.getcwd() == sys.argv[1] else 6)"
    assert bootstrap.become(["-c", program, str(tmp_path)], dict(os.environ), cwd=str(tmp_path)) == 5


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([], "python3 bootstrap.py run"),
        (["tset"], "'tset'; allowed: run, test, check, bench"),
    ],
)
def test_a_wrong_call_is_the_users_error_and_prepares_nothing(monkeypatch, capsys, arguments, told):
    monkeypatch.setattr(bootstrap, "ensure_environment", lambda: pytest.fail("it began to prepare"))
    assert bootstrap.main(arguments) == 2
    captured = capsys.readouterr()
    assert told in captured.err and captured.out == ""


@pytest.mark.parametrize(
    "stop, code, told",
    [
        (bootstrap.BootstrapError("pip failed"), 1, "pip failed"),
        (PermissionError(13, "Permission denied", "/x/.venv"), 1, "/x/.venv"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_stops_the_preparation_is_told_in_a_line(monkeypatch, capsys, stop, code, told):
    def fail():
        raise stop

    monkeypatch.setattr(bootstrap, "ensure_environment", fail)
    assert bootstrap.main(["test"]) == code
    assert told in capsys.readouterr().err


@pytest.fixture
def started(monkeypatch):
    """Record what is started instead of becoming it, with nothing known about Qt; `started.qt` lists what was tried."""

    class Started(list):
        qt = None

    def become(arguments, environ, cwd=None):
        calls.append((arguments, environ, cwd))

    calls = Started()
    calls.qt = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bootstrap, "ON_LINUX", True)
    monkeypatch.setattr(bootstrap, "become", become)
    monkeypatch.setattr(bootstrap, "check", lambda: 0)
    monkeypatch.setattr(bootstrap, "ensure_qt", lambda qt_platform, environ: calls.qt.append(qt_platform))
    return calls


@pytest.mark.parametrize("arguments", [[], ["window", "--network", "mlp"], ["open", "runs/a"], ["screenshot"]])
@pytest.mark.parametrize(
    "variable, qt_platform", [("DISPLAY", "xcb"), ("WAYLAND_DISPLAY", ""), ("NOTHING", "offscreen")]
)
def test_run_checks_the_platform_that_its_window_will_be_on(started, monkeypatch, arguments, variable, qt_platform):
    monkeypatch.setenv(variable, ":5")
    bootstrap.run(arguments)
    assert started[0][0] == ["-m", "qatviz", *arguments]
    assert started.qt == [qt_platform]


def test_what_runs_in_the_terminal_needs_no_qt(started, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":5")
    bootstrap.run(["train", "--steps", "1"])
    assert started.qt == []


def test_arguments_of_run_go_to_qatviz_as_they_are(started, capsys):
    bootstrap.run(["show", "runs/a", "--json"])
    assert started[0][0] == ["-m", "qatviz", "show", "runs/a", "--json"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("users", ["", "/users/own"])
def test_qt_is_told_where_its_plugins_are_before_those_the_user_names(started, monkeypatch, users):
    monkeypatch.setenv("QT_PLUGIN_PATH", users)
    bootstrap.run(["networks"])
    first, *others = started[0][1]["QT_PLUGIN_PATH"].split(os.pathsep)
    assert first == os.path.join(packages_folder(), "PyQt5", "Qt5", "plugins")
    assert others == ([users] if users else [])


def test_tests_run_under_a_virtual_display_where_there_is_one(started, monkeypatch):
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(bootstrap, "start_xvfb", lambda: ":77")
    bootstrap.test(["-k", "some"])
    arguments, environ, cwd = started[0]
    assert (arguments, environ["DISPLAY"], cwd) == (["-m", "pytest", "-k", "some"], ":77", ROOT)
    assert started.qt == ["xcb"]


def test_tests_run_without_a_display_where_xvfb_cannot_be_had(started, monkeypatch):
    supplied = []
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(bootstrap, "supply_libraries", lambda with_xvfb: supplied.append(with_xvfb))
    bootstrap.test([])
    assert supplied == [True]
    assert "DISPLAY" not in started[0][1]
    assert started.qt == ["offscreen"]


class Qt:
    """A Qt that starts as soon as it gets its libraries, if it gets them."""

    def __init__(self, monkeypatch, starts, can_be_helped=False):
        self.starts, self.can_be_helped, self.tries, self.stamp = starts, can_be_helped, 0, {"qt": ["offscreen"]}
        monkeypatch.setattr(bootstrap, "ON_LINUX", True)
        monkeypatch.setattr(bootstrap, "output_of", self.try_to_start)
        monkeypatch.setattr(bootstrap, "supply_libraries", self.help)
        monkeypatch.setattr(bootstrap, "read_stamp", lambda: self.stamp)
        monkeypatch.setattr(bootstrap, "write_stamp", self.stamp.update)

    def try_to_start(self, command, env):
        self.tries += 1
        assert env["QT_QPA_PLATFORM"] == "xcb"
        return (0, "", "") if self.starts else (-6, "", "could not load the plugin")

    def help(self):
        self.starts = self.can_be_helped
        return self.can_be_helped


def test_a_qt_that_starts_is_tried_once_and_remembered(monkeypatch, capsys):
    qt = Qt(monkeypatch, starts=True)
    bootstrap.ensure_qt("xcb", {})
    bootstrap.ensure_qt("xcb", {})
    assert (qt.tries, qt.stamp["qt"]) == (1, ["offscreen", "xcb"])
    assert capsys.readouterr().err == ""


def test_a_qt_that_lacks_libraries_is_tried_again_after_they_are_installed(monkeypatch, capsys):
    qt = Qt(monkeypatch, starts=False, can_be_helped=True)
    bootstrap.ensure_qt("xcb", {})
    assert (qt.tries, qt.stamp["qt"]) == (2, ["offscreen", "xcb"])
    assert capsys.readouterr().err == ""


def test_a_qt_that_does_not_start_is_told_with_its_reason_each_time(monkeypatch, capsys):
    qt = Qt(monkeypatch, starts=False)
    bootstrap.ensure_qt("xcb", {})
    bootstrap.ensure_qt("xcb", {})
    assert (qt.tries, qt.stamp["qt"]) == (2, ["offscreen"])
    assert capsys.readouterr().err.count("could not load the plugin") == 2


@pytest.mark.parametrize(
    "arguments, passed, whole",
    [
        ([], [], True),
        (["--durations=5"], ["--durations=5"], True),
        (["--coverage"], ["--cov=qatviz", "--cov-report=term"], True),
        (["--coverage", "tests/quant"], ["--cov=qatviz", "--cov-report=term", "tests/quant"], False),
        (["tests/quant"], ["tests/quant"], False),
        (["-x"], ["-x"], False),
        (["-n", "3"], ["-n", "3"], False),
        (["--pdb"], ["--pdb"], False),
    ],
)
def test_the_whole_suite_is_checked_first_and_shared_out(arguments, passed, whole, monkeypatch):
    started = []
    monkeypatch.setattr(bootstrap, "ON_LINUX", False)
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(bootstrap, "check", lambda: started.append("check") or 0)
    monkeypatch.setattr(bootstrap, "become", lambda command, environ, cwd: started.append(command) or 0)
    assert bootstrap.test(arguments) == 0
    tests = ["-m", "pytest"] + (["-n", "2", "--dist", "loadfile"] if whole else []) + passed
    assert started == (["check", tests] if whole else [tests])


def test_no_test_runs_where_a_check_has_failed(started, monkeypatch):
    monkeypatch.setattr(bootstrap, "check", lambda: 1)
    assert bootstrap.test([]) == 1
    assert started == []


def test_all_checks_run_and_those_that_fail_are_named(monkeypatch, capsys):
    called = []
    monkeypatch.setattr(
        bootstrap.subprocess, "call", lambda command, env, cwd: called.append(command) or "ruff" in command
    )
    assert bootstrap.check() == 1
    assert [command[1:3] for command in called] == [["-m", "ruff"], ["-m", "ruff"], ["-m", "mypy"]]
    told = capsys.readouterr().err
    assert "failed: ruff check ." in told and "failed: ruff format --check ." in told and "mypy" not in told
    monkeypatch.setattr(bootstrap.subprocess, "call", lambda command, env, cwd: 0)
    assert bootstrap.check() == 0


def test_check_takes_no_arguments(capsys):
    assert bootstrap.check(["qatviz/cli"]) == 2
    assert "qatviz/cli" in capsys.readouterr().err
