"""bootstrap.py from the command line to the program that it starts."""

import glob
import os
import signal
import subprocess
import sys

import pytest
from bootstrap_fakes import copy_bootstrap

import bootstrap
from qatviz.bootstrapping.common import packages_folder

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COVERAGE = "--cov=" + os.path.join(ROOT, "qatviz")
VERSIONS = [f"3.{minor}" for minor in range(6, 14)]
WRITE_STAMP = "from qatviz.bootstrapping.environment import write_stamp; write_stamp(qt=['xcb', 'offscreen', ''])"
PRINT_CALL = "import os, sys; print(os.getcwd(), sys.argv[1:])"


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
    """Return a copy of the checkout whose environment has an up-to-date stamp."""
    if os.name == "nt":
        pytest.skip("links need rights on Windows")
    checkout = tmp_path / "check out"
    copy_bootstrap(checkout)
    for folder in (".venv/bin", "tests/bench"):
        (checkout / folder).mkdir(parents=True)
    os.symlink(sys.executable, str(checkout / ".venv" / "bin" / "python"))
    (checkout / "tests" / "bench" / "run.py").write_text(PRINT_CALL + "; sys.exit(7)")
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
def test_python_36_and_later_start_the_program_and_return_its_exit_code(prepared, version, tmp_path):
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


RUN_CAPTURED = """
import sys
from qatviz.bootstrapping.common import run_captured
print(run_captured([sys.executable, "-c", "import sys; print(' caf\\xe9 '); sys.exit('reason')"]))
print(run_captured(["/nowhere/python"])[0], run_captured(["sleep", "9"], timeout=0.1))
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no sleep on Windows")
@pytest.mark.parametrize("version", VERSIONS)
def test_output_is_captured_by_any_python_from_36_on(version):
    done = subprocess.run(
        [python_of(version), "-W", "error", "-c", RUN_CAPTURED],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=dict(os.environ, PYTHONIOENCODING="utf-8", PYTHONUTF8="1", LC_ALL="C.UTF-8"),
    )
    assert done.stderr == ""
    assert done.stdout == "(1, 'café', 'reason')\n127 (124, '', 'no answer within 0.1 s')\n"


def test_run_keeps_the_working_directory_so_that_the_users_paths_hold(prepared, tmp_path):
    (tmp_path / "qatviz").mkdir()
    (tmp_path / "qatviz" / "__main__.py").write_text(PRINT_CALL)
    done = call(prepared, "run", "show", "runs/a", cwd=str(tmp_path))
    assert done.stdout == f"{tmp_path} ['show', 'runs/a']\n"


def test_bootstrap_ends_with_the_signal_that_ended_its_program(prepared):
    (prepared / "tests" / "bench" / "run.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert call(prepared, "bench").returncode == -signal.SIGTERM


def test_on_windows_the_exit_code_is_that_of_a_child(monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "ON_WINDOWS", True)
    monkeypatch.setattr(bootstrap, "environment_python", lambda: sys.executable)
    program = "import os, sys; sys.exit(5 if os.getcwd() == sys.argv[1] else 6)"
    assert bootstrap.exec_python(["-c", program, str(tmp_path)], dict(os.environ), cwd=str(tmp_path)) == 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "python3 bootstrap.py run"),
        (["tset"], "'tset'; allowed: run, test, check, bench"),
    ],
)
def test_a_wrong_command_line_exits_with_2_before_any_set_up(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(bootstrap, "ensure_environment", lambda: pytest.fail("the set-up began"))
    assert bootstrap.main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""


@pytest.mark.parametrize(
    "error, code, message",
    [
        (bootstrap.BootstrapError("pip failed"), 1, "pip failed"),
        (PermissionError(13, "Permission denied", "/x/.venv"), 1, "/x/.venv"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_failing_set_up_prints_the_reason(monkeypatch, capsys, error, code, message):
    def fail():
        raise error

    monkeypatch.setattr(bootstrap, "ensure_environment", fail)
    assert bootstrap.main(["test"]) == code
    assert message in capsys.readouterr().err


@pytest.fixture
def started(monkeypatch):
    """Record the programs that are started, and in `started.qt` the platforms of Qt that are checked."""

    class Started(list):
        qt = None

    def exec_python(arguments, environ, cwd=None):
        calls.append((arguments, environ, cwd))

    calls = Started()
    calls.qt = []
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bootstrap, "ON_LINUX", True)
    monkeypatch.setattr(bootstrap, "exec_python", exec_python)
    monkeypatch.setattr(bootstrap, "check", lambda: 0)
    monkeypatch.setattr(bootstrap, "is_viewer", lambda: False)
    monkeypatch.setattr(bootstrap, "ensure_qt", lambda qt_platform, environ: calls.qt.append(qt_platform))
    return calls


@pytest.mark.parametrize("arguments", [[], ["window", "--network", "mlp"], ["open", "runs/a"], ["screenshot"]])
@pytest.mark.parametrize(
    "variable, qt_platform", [("DISPLAY", "xcb"), ("WAYLAND_DISPLAY", ""), ("NOTHING", "offscreen")]
)
def test_run_checks_the_platform_of_its_window(started, monkeypatch, arguments, variable, qt_platform):
    monkeypatch.setenv(variable, ":5")
    bootstrap.run(arguments)
    assert started[0][0] == ["-m", "qatviz", *arguments]
    assert started.qt == [qt_platform]


def test_a_command_without_a_window_does_not_check_qt(started, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":5")
    bootstrap.run(["train", "--steps", "1"])
    assert started.qt == []


def test_arguments_of_run_are_passed_to_qatviz_unchanged(started, capsys):
    bootstrap.run(["show", "runs/a", "--json"])
    assert started[0][0] == ["-m", "qatviz", "show", "runs/a", "--json"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("users", ["", "/users/own"])
def test_qt_finds_its_own_plugins_before_those_of_the_user(started, monkeypatch, users):
    monkeypatch.setenv("QT_PLUGIN_PATH", users)
    bootstrap.run(["networks"])
    first, *others = started[0][1]["QT_PLUGIN_PATH"].split(os.pathsep)
    assert first == os.path.join(packages_folder(), "PyQt5", "Qt5", "plugins")
    assert others == ([users] if users else [])


def test_tests_run_under_a_virtual_display_if_available(started, monkeypatch):
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(bootstrap, "ssh_server", lambda: "sshd")
    monkeypatch.setattr(bootstrap, "start_xvfb", lambda: ":77")
    bootstrap.test(["-k", "some"])
    arguments, environ, cwd = started[0]
    assert (arguments, environ["DISPLAY"], cwd) == (["-m", "pytest", "-k", "some"], ":77", ROOT)
    assert started.qt == ["xcb"]


def test_tests_run_without_a_display_if_xvfb_is_not_available(started, monkeypatch):
    supplied = []
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    monkeypatch.setattr(bootstrap, "install_missing_libraries", lambda for_tests: supplied.append(for_tests))
    bootstrap.test([])
    assert supplied == [True]
    assert "DISPLAY" not in started[0][1]
    assert started.qt == ["offscreen"]


class Qt:
    """Stand-in for a Qt that starts once its libraries are installed."""

    def __init__(self, monkeypatch, starts, installable=False):
        self.starts, self.installable, self.tries, self.stamp = starts, installable, 0, {"qt": ["offscreen"]}
        monkeypatch.setattr(bootstrap, "ON_LINUX", True)
        monkeypatch.setattr(bootstrap, "run_captured", self.try_to_start)
        monkeypatch.setattr(bootstrap, "install_missing_libraries", self.install)
        monkeypatch.setattr(bootstrap, "read_stamp", lambda: self.stamp)
        monkeypatch.setattr(bootstrap, "write_stamp", self.stamp.update)

    def try_to_start(self, command, env):
        self.tries += 1
        assert env["QT_QPA_PLATFORM"] == "xcb"
        return (0, "", "") if self.starts else (-6, "", "could not load the plugin")

    def install(self):
        self.starts = self.installable
        return self.installable


def test_a_qt_that_starts_is_checked_once(monkeypatch, capsys):
    qt = Qt(monkeypatch, starts=True)
    bootstrap.ensure_qt("xcb", {})
    bootstrap.ensure_qt("xcb", {})
    assert (qt.tries, qt.stamp["qt"]) == (1, ["offscreen", "xcb"])
    assert capsys.readouterr().err == ""


def test_qt_is_checked_again_after_installing_missing_libraries(monkeypatch, capsys):
    qt = Qt(monkeypatch, starts=False, installable=True)
    bootstrap.ensure_qt("xcb", {})
    assert (qt.tries, qt.stamp["qt"]) == (2, ["offscreen", "xcb"])
    assert capsys.readouterr().err == ""


def test_the_reason_why_qt_does_not_start_is_printed_each_time(monkeypatch, capsys):
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
        (["--coverage"], [COVERAGE, "--cov-report=term"], True),
        (["--coverage", "tests/quant"], [COVERAGE, "--cov-report=term", "tests/quant"], False),
        (["tests/quant"], ["tests/quant"], False),
        (["-x"], ["-x"], False),
        (["-n", "3"], ["-n", "3"], False),
        (["--pdb"], ["--pdb"], False),
    ],
)
def test_the_whole_suite_runs_after_the_checks_and_in_parallel(arguments, passed, whole, monkeypatch):
    started = []
    monkeypatch.setattr(bootstrap, "ON_LINUX", False)
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(bootstrap, "check", lambda: started.append("check") or 0)
    monkeypatch.setattr(bootstrap, "exec_python", lambda command, environ, cwd: started.append(command) or 0)
    assert bootstrap.test(arguments) == 0
    tests = ["-m", "pytest"] + (["-n", "2", "--dist", "loadfile"] if whole else []) + passed
    assert started == (["check", tests] if whole else [tests])


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is only known on Linux")
@pytest.mark.parametrize("cpus, gigabytes, number", [(2, 64, 2), (16, 64, 4), (16, 8, 2), (4, 1, 1), (None, 64, 1)])
def test_as_many_processes_run_tests_as_processors_and_memory_allow(cpus, gigabytes, number, monkeypatch):
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gigabytes * 2**18}
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: cpus)
    monkeypatch.setattr(bootstrap.os, "sysconf", pages.__getitem__)
    assert bootstrap.test_processes() == number


def test_no_test_runs_after_a_failed_check(started, monkeypatch):
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
    output = capsys.readouterr().err
    assert "failed: ruff check ." in output and "failed: ruff format --check ." in output and "mypy" not in output
    monkeypatch.setattr(bootstrap.subprocess, "call", lambda command, env, cwd: 0)
    assert bootstrap.check() == 0


def test_check_takes_no_arguments(capsys):
    assert bootstrap.check(["qatviz/cli"]) == 2
    assert "qatviz/cli" in capsys.readouterr().err
