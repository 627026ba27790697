#!/usr/bin/env python3
"""Prepare this checkout of qatviz and do one thing with it.

    python3 bootstrap.py run [arguments of qatviz]    without arguments: open the window
    python3 bootstrap.py test [arguments of pytest]   the whole suite, after the checks; --coverage measures coverage
    python3 bootstrap.py check                        style, lint and types: ruff and mypy
    python3 bootstrap.py bench [--only NAME]

The first call finds CPython 3.7 (TensorFlow 1.15 has wheels for no later one; where there is none, uv fetches it),
makes .venv beside this file and installs the package there with the versions of constraints.txt. Later calls find that
done and lose no time, unless setup.py or constraints.txt changed. Any Python from 3.6 on can run this file.

Environment: QATVIZ_PYTHON names the CPython 3.7 to use, instead of the first one found.
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
    clean_environ,
    environment_python,
    output_of,
    packages_folder,
    say,
)
from qatviz.bootstrapping.environment import ensure_environment, read_stamp, write_stamp
from qatviz.bootstrapping.system import start_xvfb, supply_libraries

#: Commands of qatviz that open a window or draw one.
NEED_QT = ("window", "open", "screenshot")
LOAD_QT = "from PyQt5 import QtGui, QtWidgets; QtGui.QGuiApplication(['qatviz'])"


def program_environ():
    """Return the environment for qatviz itself, in which Qt finds its plugins.

    Left to themselves, PyQt5's wheels do not find them below a folder with letters beyond ASCII in its name.
    """
    plugins = os.path.join(packages_folder(), "PyQt5", "Qt5", "plugins")
    paths = [plugins, *os.environ.get("QT_PLUGIN_PATH", "").split(os.pathsep)]
    return clean_environ(QT_PLUGIN_PATH=os.pathsep.join(filter(None, paths)))


def ensure_qt(qt_platform, environ):
    """Check that Qt starts on one of its platforms ("": its own choice) unless it is known to; help, else tell why."""
    known = read_stamp().get("qt", [])
    if qt_platform in known:
        return
    environ = dict(environ, QT_QPA_PLATFORM=qt_platform)
    code, _, err = output_of([environment_python(), "-c", LOAD_QT], env=environ)
    if code and ON_LINUX and supply_libraries():
        code, _, err = output_of([environment_python(), "-c", LOAD_QT], env=environ)
    if code:
        say("Qt cannot open a window here:\n" + (err or f"it ended with exit code {code}"))
    else:
        write_stamp(qt=[*known, qt_platform])


def become(arguments, environ, cwd=None):
    """Turn this process into the environment's Python, or on Windows wait for it; return its exit code."""
    command = [environment_python(), *arguments]
    if ON_WINDOWS:
        child = subprocess.Popen(command, env=environ, cwd=cwd)
        while child.poll() is None:
            with contextlib.suppress(KeyboardInterrupt):  # The child has got the same Ctrl-C, and ends by itself.
                child.wait()
        return child.returncode
    os.chdir(cwd or os.curdir)
    return os.execve(command[0], command, environ)


#: Processes that share the tests, at most: each takes a gigabyte of memory. And options that need all of them in one.
MOST_AT_ONCE = 4
COVERAGE = "--coverage"
ONE_PROCESS = {"-n", "--numprocesses", "-x", "--exitfirst", "--pdb", "-s", "--collect-only", "--co"}


def run(arguments):
    """Start qatviz; without arguments, its window. Qt is looked at only for what needs it."""
    environ = program_environ()
    if not arguments or arguments[0] in NEED_QT:
        has_display = not ON_LINUX or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
        # Without a display, qatviz draws its window to a file.
        ensure_qt("xcb" if ON_LINUX and environ.get("DISPLAY") else "" if has_display else "offscreen", environ)
    return become(["-m", "qatviz", *arguments], environ)


#: Arguments of Python for what is checked without running the program. Their settings are in pyproject.toml.
CHECKS = (["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "mypy"])


def check(arguments=()):
    """Run all checks of style and types, even after one has failed; return 1 if any has, else 0."""
    if arguments:
        say(f"check takes no arguments, found {' '.join(arguments)}")
        return 2
    environ = program_environ()
    failed = [command for command in CHECKS if subprocess.call([environment_python(), *command], env=environ, cwd=ROOT)]
    for command in failed:
        say("failed: " + " ".join(command[1:]))
    return 1 if failed else 0


def test(arguments):
    """Run the tests, on Linux with a virtual X server where there is one; before the whole suite, the checks."""
    environ = program_environ()
    whole = all(argument.startswith("-") for argument in arguments) and not ONE_PROCESS & set(arguments)
    if whole and check():
        return 1
    coverage = ["--cov=qatviz", "--cov-report=term"] if COVERAGE in arguments else []
    arguments = coverage + [argument for argument in arguments if argument != COVERAGE]
    if ON_LINUX:
        if not shutil.which("Xvfb"):
            supply_libraries(with_xvfb=True)
        display = start_xvfb() if shutil.which("Xvfb") else None
        environ.update({"DISPLAY": display} if display else {})
        ensure_qt("xcb" if display else "offscreen", environ)
    # Files, not tests, are shared out: what a file's tests need is made once.
    parallel = ["-n", str(min(os.cpu_count() or 1, MOST_AT_ONCE)), "--dist", "loadfile"] if whole else []
    return become(["-m", "pytest", *parallel, *arguments], environ, cwd=ROOT)


def bench(arguments):
    """Run the benchmarks; each prints one JSON object a line."""
    return become([os.path.join("tests", "bench", "run.py"), *arguments], program_environ(), cwd=ROOT)


COMMANDS = {"run": run, "test": test, "check": check, "bench": bench}


def main(argv):
    """Do what the command line asks for and return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        say(f"unknown command {argv[0]!r}; allowed: {', '.join(COMMANDS)}")
        return 2
    try:
        ensure_environment()
        return COMMANDS[argv[0]](argv[1:])
    except (BootstrapError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next call goes on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
