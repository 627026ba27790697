#!/usr/bin/env python3
"""Set up this checkout of qatviz and run one command in it.

    python3 bootstrap.py run [arguments of qatviz]    without arguments: open the window
    python3 bootstrap.py test [arguments of pytest]   without arguments: the checks, then all tests; --coverage: report
    python3 bootstrap.py check                        style, lint and types: ruff and mypy
    python3 bootstrap.py bench [--only NAME]

The first call finds CPython 3.7 (TensorFlow 1.15 has no wheels for later versions) or downloads it with uv, creates
.venv next to this file and installs the package into it with the versions pinned in constraints.txt. Later calls start
at once, unless setup.py or constraints.txt has changed. Runs on any Python from 3.6 on. On processors other than
x86-64, which TensorFlow 1.15 has no wheels for, it sets up the viewer of recorded runs with the Python that runs it.

Environment: QATVIZ_PYTHON is the path of the CPython 3.7 to use; without it, the first one found is used.
"""

import contextlib
import os
import shutil
import subprocess
import sys

from qatviz.bootstrapping.common import (
    ON_LINUX,
    ON_WINDOWS,
    ROOT,
    BootstrapError,
    clean_environment,
    environment_python,
    log,
    packages_folder,
    run_captured,
)
from qatviz.bootstrapping.environment import ensure_environment, is_viewer, read_stamp, write_stamp
from qatviz.bootstrapping.system import install_missing_libraries, ssh_server, start_xvfb

#: Commands of qatviz that open or render a window.
COMMANDS_WITH_QT = ("window", "open", "screenshot")
QT_PROBE = "from PyQt5 import QtGui, QtWidgets; QtGui.QGuiApplication(['qatviz'])"


def program_environment():
    """Return the environment variables for qatviz, with Qt's plugin folder.

    PyQt5 does not find its own plugins if the path of the environment has non-ASCII characters.
    """
    plugins = os.path.join(packages_folder(), "PyQt5", "Qt5", "plugins")
    paths = [plugins, *os.environ.get("QT_PLUGIN_PATH", "").split(os.pathsep)]
    return clean_environment(QT_PLUGIN_PATH=os.pathsep.join(filter(None, paths)))


def ensure_qt(qt_platform, environ):
    """Verify that Qt starts on a platform plugin, and install missing libraries on Linux if it does not.

    A success is recorded in the stamp and not checked again. A failure is only printed: the program may not need Qt.

    Parameters
    ----------
    qt_platform : str
        Value of QT_QPA_PLATFORM, such as "xcb"; "" for Qt's default.
    environ : dict
        Environment variables of the check.
    """
    known = read_stamp().get("qt", [])
    if qt_platform in known:
        return
    environ = dict(environ, QT_QPA_PLATFORM=qt_platform)
    code, _, err = run_captured([environment_python(), "-c", QT_PROBE], env=environ)
    if code and ON_LINUX and install_missing_libraries():
        code, _, err = run_captured([environment_python(), "-c", QT_PROBE], env=environ)
    if code:
        log("Qt cannot open a window:\n" + (err or f"exit code {code}"))
    else:
        write_stamp(qt=[*known, qt_platform])


def exec_python(arguments, environ, cwd=None):
    """Replace this process with the environment's Python; on Windows, run it as a child and return its exit code."""
    command = [environment_python(), *arguments]
    if ON_WINDOWS:
        child = subprocess.Popen(command, env=environ, cwd=cwd)
        while child.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # The child receives Ctrl-C as well and exits by itself.
                child.wait()
        return child.returncode
    os.chdir(cwd or os.curdir)
    return os.execve(command[0], command, environ)


#: Upper limit on parallel test processes, and the memory that each may need, in bytes: it keeps graphs to use again.
MAX_TEST_PROCESSES, TEST_PROCESS_BYTES = 4, 4 * 2**30
COVERAGE = "--coverage"
#: Options of pytest with which the tests run in a single process.
SINGLE_PROCESS_OPTIONS = {"-n", "--numprocesses", "-x", "--exitfirst", "--pdb", "-s", "--collect-only", "--co"}


def run(arguments):
    """Start qatviz; without arguments, open its window. Check Qt only for commands that need it."""
    environ = program_environment()
    if not arguments or arguments[0] in COMMANDS_WITH_QT:
        has_display = not ON_LINUX or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
        # Without a display, qatviz renders its window to a file.
        ensure_qt("xcb" if ON_LINUX and environ.get("DISPLAY") else "" if has_display else "offscreen", environ)
    return exec_python(["-m", "qatviz", *arguments], environ)


#: Static checks, as arguments of Python; configured in pyproject.toml.
CHECKS = (["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "mypy"])


def check(arguments=()):
    """Run ruff and mypy, all of them even if one fails; return 1 if any failed, 2 for unexpected arguments, else 0."""
    if arguments:
        log(f"check: unexpected arguments {' '.join(arguments)}; allowed: none")
        return 2
    environ = program_environment()
    failed = [command for command in CHECKS if subprocess.call([environment_python(), *command], env=environ, cwd=ROOT)]
    for command in failed:
        log("failed: " + " ".join(command[1:]))
    return 1 if failed else 0


def test(arguments):
    """Run the tests; before the whole suite, run the checks. On Linux, use a virtual X server if available."""
    environ = program_environment()
    whole = all(argument.startswith("-") for argument in arguments) and not SINGLE_PROCESS_OPTIONS & set(arguments)
    if whole and is_viewer():
        log("the checks need the pinned tools of CPython 3.7: running the tests that need no TensorFlow")
    elif whole and check():
        return 1
    # The path, not the name: tests also run copies of the package elsewhere, which are not to be counted.
    package = os.path.join(ROOT, "qatviz")
    coverage = [f"--cov={package}", "--cov-report=term"] if COVERAGE in arguments else []
    arguments = coverage + [argument for argument in arguments if argument != COVERAGE]
    if ON_LINUX:
        if not shutil.which("Xvfb") or ssh_server() is None:
            install_missing_libraries(for_tests=True)
        display = start_xvfb() if shutil.which("Xvfb") else None
        environ.update({"DISPLAY": display} if display else {})
        ensure_qt("xcb" if display else "offscreen", environ)
    # Distribute whole files: the fixtures of a module are then built once.
    parallel = ["-n", str(test_processes()), "--dist", "loadfile"] if whole else []
    return exec_python(["-m", "pytest", *parallel, *arguments], environ, cwd=ROOT)


def test_processes():
    """Return the number of parallel test processes that this machine's processors and memory allow."""
    number = min(os.cpu_count() or 1, MAX_TEST_PROCESSES)
    if ON_LINUX:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        number = min(number, memory // TEST_PROCESS_BYTES)
    return max(1, number)


def bench(arguments):
    """Run the benchmarks, which print one JSON object per line."""
    return exec_python([os.path.join("tests", "bench", "run.py"), *arguments], program_environment(), cwd=ROOT)


COMMANDS = {"run": run, "test": test, "check": check, "bench": bench}


def main(argv):
    """Run the command of a command line and return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        log(f"unknown command {argv[0]!r}; allowed: {', '.join(COMMANDS)}")
        return 2
    try:
        ensure_environment()
        return COMMANDS[argv[0]](argv[1:])
    except (BootstrapError, OSError) as error:
        log(str(error))
        return 1
    except KeyboardInterrupt:
        log("interrupted; call it again to continue")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
