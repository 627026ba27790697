"""Interpreter for an environment without TensorFlow, on machines that TensorFlow 1.15 has no wheels for."""

import os
import platform
import sys
from typing import List, NamedTuple

from qatviz.bootstrapping.common import ENVIRONMENT, ON_LINUX, BootstrapError, clean_environment, log, run_captured
from qatviz.bootstrapping.system import install_with_apt
from qatviz.tensorflow_presence import X86_64

#: Oldest Python that qatviz supports.
OLDEST = (3, 7)
#: Debian's Python, and packages with PyQt5 for it, of which there are no wheels for Linux on these processors.
DEBIAN_PYTHON = "/usr/bin/python3"
DEBIAN_QT = ["python3-pyqt5", "python3-pyqt5.qtsvg"]
#: Programs: one prints version and base prefix of an interpreter, or fails without venv; the other fails without PyQt5.
_PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2]); print(getattr(sys, 'base_prefix', sys.prefix))"
_QT = "from PyQt5 import QtSvg"
_EXPECTED = "expected Python 3.7 or later with venv: call bootstrap.py with another Python"


class Choice(NamedTuple):
    """Interpreter to create an environment with, and the options of venv."""

    python: str
    options: List[str]


def can_have_tensorflow() -> bool:
    """Return whether TensorFlow 1.15 has wheels for the processor of this machine."""
    return platform.machine().lower() in X86_64


def viewer_choice() -> Choice:
    """Return the interpreter for the viewer: the one that runs bootstrap.py, or Debian's where PyQt5 has no wheels.

    Raises
    ------
    BootstrapError
        If that interpreter is too old, or lacks venv; or if PyQt5 is neither installed nor can be installed.
    """
    log(
        f"TensorFlow 1.15 exists for x86-64 only, and this machine is {platform.machine()}: setting up the viewer, "
        "which shows recorded runs and writes reports, but trains and exports nothing"
    )
    if not ON_LINUX:
        return Choice(_usable(sys.executable), [])
    for python in (sys.executable, DEBIAN_PYTHON):
        if _imports_qt(python):
            return Choice(_usable(python), ["--system-site-packages"])
    if os.path.exists(DEBIAN_PYTHON) and install_with_apt([*DEBIAN_QT, "python3-venv"]) and _imports_qt(DEBIAN_PYTHON):
        return Choice(_usable(DEBIAN_PYTHON), ["--system-site-packages"])
    raise BootstrapError(
        f"PyQt5 has no wheels for Linux on {platform.machine()}: install the packages of your system "
        f"({', '.join(DEBIAN_QT)} on Debian) and call bootstrap.py again with its Python"
    )


def _imports_qt(python: str) -> bool:
    return run_captured([python, "-c", _QT], env=clean_environment())[0] == 0


def _usable(python: str) -> str:
    """Return an interpreter, or its base if it belongs to the environment of this checkout, which may be deleted.

    Raises
    ------
    BootstrapError
        If it is too old, or lacks venv.
    """
    code, out, _ = run_captured([python, "-c", _PROBE], env=clean_environment())
    if code:
        raise BootstrapError(f"{python} lacks venv; {_EXPECTED}")
    version, base = out.splitlines()
    if tuple(map(int, version.split())) < OLDEST:
        raise BootstrapError(f"{python} is Python {version.replace(' ', '.')}; {_EXPECTED}")
    inside = os.path.abspath(python).startswith(ENVIRONMENT + os.sep)
    return os.path.join(base, "bin", "python3") if inside else python
