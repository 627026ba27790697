"""Search for a CPython 3.7 on this machine, and its installation with uv."""

import contextlib
import functools
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Iterator, List, Mapping, Optional, Set

from qatviz.bootstrapping.common import (
    ENVIRONMENT,
    ON_WINDOWS,
    BootstrapError,
    clean_environment,
    log,
    pip_install,
    run_captured,
)
from qatviz.bootstrapping.network import advice, connection_fault, index_url
from qatviz.bootstrapping.system import install_with_apt
from qatviz.bootstrapping.viewer import can_have_tensorflow
from qatviz.tensorflow_presence import X86_64

PROBE_TIMEOUT_S = 30
#: Requirement of uv for pip; uv 0.7 no longer offers CPython 3.7.
UV = "uv==0.6.17"
#: Host from which uv downloads interpreters.
RELEASES = "https://github.com"

BY_HAND = """Install CPython 3.7 (64-bit, x86-64) yourself in one of these ways and call bootstrap.py again:
  any system:     conda create -n python37 python=3.7
  Linux, macOS:   pyenv install 3.7
  Windows, macOS: the installer of Python 3.7.9 from https://www.python.org/downloads/release/python-379/
or name an existing interpreter: QATVIZ_PYTHON=/path/to/python3.7"""

#: Program that prints the properties of the interpreter that runs it, which `probe` checks, as JSON.
PROBE = """
import json, os, platform, struct, sys
try:
    import ensurepip, venv
    complete = True
except ImportError:
    complete = False
base = "" if sys.prefix == sys.base_prefix else sys.base_prefix
print(json.dumps([sys.executable, list(sys.version_info[:3]), platform.python_implementation(),
                  struct.calcsize("P") * 8, platform.machine(), complete, base]))
"""


class UnsuitableInterpreter(BootstrapError):
    """An interpreter cannot be used; the message completes a sentence that begins with its path."""


def probe(path: str) -> str:
    """Return the interpreter to create the environment with: the candidate at ``path``, or its base.

    A candidate in a virtual environment is replaced by its base interpreter, because that environment may be deleted.

    Raises
    ------
    UnsuitableInterpreter
        If it is not a complete 64-bit x86 CPython 3.7.
    """
    code, out, err = run_captured([path, "-c", PROBE], timeout=PROBE_TIMEOUT_S, env=clean_environment())
    try:
        executable, version, implementation, bits, machine, complete, base = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError, TypeError):
        raise UnsuitableInterpreter(f"does not start ({err.splitlines()[0] if err else f'exit code {code}'})") from None
    if version[:2] != [3, 7]:
        raise UnsuitableInterpreter("is Python {}.{}.{}".format(*version))
    if implementation != "CPython":
        raise UnsuitableInterpreter("is " + implementation)
    if bits != 64 or machine.lower() not in X86_64:
        raise UnsuitableInterpreter(f"is built for {machine} with {bits} bits, not for 64-bit x86")
    if base:
        return probe(python_path(base))
    if not complete:
        raise UnsuitableInterpreter(
            "lacks the modules venv and ensurepip (Debian, Ubuntu: apt-get install python3.7-venv)"
        )
    return str(executable)


def python_path(prefix: str) -> str:
    """Return the path of the interpreter of a CPython 3.7 that is installed in the folder ``prefix``."""
    return os.path.join(prefix, "python.exe") if ON_WINDOWS else os.path.join(prefix, "bin", "python3.7")


def candidates(environ: Mapping[str, str] = os.environ, home: str = os.path.expanduser("~")) -> Iterator[str]:
    """Yield the paths at which a CPython 3.7 is searched for, the most likely first; not all of them exist."""
    yield sys.executable
    yield python_path(sys.base_prefix)
    suffix = ".exe" if ON_WINDOWS else ""
    for name in ("python3.7", "python3", "python"):
        for folder in environ.get("PATH", "").split(os.pathsep):
            yield os.path.join(folder or os.curdir, name + suffix)
    if ON_WINDOWS and shutil.which("py"):
        yield run_captured(["py", "-3.7", "-c", "import sys; print(sys.executable)"])[1]

    def under(variable: str, *path: str) -> str:
        return os.path.join(environ.get(variable, ""), *path)

    at_home = functools.partial(os.path.join, home)
    prefixes = [
        # pyenv, and pyenv-win
        under("PYENV_ROOT", "versions", "*"),
        at_home(".pyenv", "versions", "*"),
        at_home(".pyenv", "pyenv-win", "versions", "*"),
        # conda: the active environment and the usual places; its own list of environments follows below
        under("CONDA_PREFIX"),
        at_home("*conda3"),
        at_home("*conda3", "envs", "*"),
        at_home("*forge*"),
        at_home("*forge*", "envs", "*"),
        at_home(".conda", "envs", "*"),
        "/opt/conda",
        "/opt/conda/envs/*",
        # uv
        under("UV_PYTHON_INSTALL_DIR", "cpython-3.7*"),
        under("XDG_DATA_HOME", "uv", "python", "cpython-3.7*"),
        at_home(".local", "share", "uv", "python", "cpython-3.7*"),
        under("APPDATA", "uv", "data", "python", "cpython-3.7*"),
        under("APPDATA", "uv", "python", "cpython-3.7*"),
        # asdf, the installers of python.org, and builds from source
        at_home(".asdf", "installs", "python", "3.7*"),
        under("LOCALAPPDATA", "Programs", "Python", "Python37"),
        under("SYSTEMDRIVE", os.sep, "Python37"),
        "/Library/Frameworks/Python.framework/Versions/3.7",
        "/opt/python/cp37-cp37m",
        "/usr/local",
        "/usr",
    ]
    with contextlib.suppress(OSError), open(at_home(".conda", "environments.txt"), encoding="utf-8") as file:
        prefixes += [glob.escape(line.strip()) for line in file]
    for prefix in filter(os.path.isabs, prefixes):
        for found in sorted(glob.glob(prefix), reverse=True):
            yield python_path(found)


def find_python() -> Optional[str]:
    """Return the path of a CPython 3.7; install one if the machine has none.

    Returns
    -------
    str or None
        None if there is none, and TensorFlow 1.15 has no wheels for the processor.

    Raises
    ------
    BootstrapError
        If the interpreter that QATVIZ_PYTHON names is unsuitable, or the installation fails.
    """
    chosen = os.environ.get("QATVIZ_PYTHON")
    if chosen:
        try:
            return probe(chosen)
        except UnsuitableInterpreter as reason:
            raise BootstrapError(f"QATVIZ_PYTHON={chosen} {reason}; expected a 64-bit x86 CPython 3.7") from None
    seen: Set[str] = set()
    refused: List[str] = []
    for path in candidates():
        path = os.path.abspath(path)
        if path in seen or not os.path.isfile(path) or path.startswith(ENVIRONMENT + os.sep):
            continue
        seen.add(path)
        try:
            return probe(path)
        except UnsuitableInterpreter as reason:
            refused.append(f"  {path} {reason}")
    if not can_have_tensorflow():
        return None
    log("no CPython 3.7 found among:\n" + "\n".join(refused))
    return fetch_python()


def fetch_python() -> str:
    """Install CPython 3.7 with a temporary copy of uv from PyPI, and return its path."""
    with tempfile.TemporaryDirectory(prefix="qatviz-uv-") as scratch:
        log("downloading uv from PyPI to install CPython 3.7 for the current user")
        uv = fetch_uv(scratch)
        if subprocess.call([uv, "python", "install", "cpython-3.7"], stdout=sys.stderr, env=clean_environment()):
            fault = connection_fault(os.environ.get("UV_PYTHON_INSTALL_MIRROR") or RELEASES)
            raise BootstrapError(
                f"uv could not install CPython 3.7 (for the reason above).\n{fault and fault + '. '}{BY_HAND}"
            )
        folder = run_captured([uv, "python", "dir"], env=clean_environment())[1]
    installed = sorted(glob.glob(os.path.join(glob.escape(folder), "cpython-3.7*")))
    if not installed:
        raise BootstrapError(f"uv reported success, but {folder} has no CPython 3.7.\n{BY_HAND}")
    return probe(python_path(installed[-1]))


def fetch_uv(scratch: str) -> str:
    """Install uv into the folder ``scratch``, and return the path of its executable."""
    helper, target = os.path.join(scratch, "helper"), os.path.join(scratch, "uv")
    make = [sys.executable, "-m", "venv", helper]
    # Debian has ensurepip in a separate package, so that venv fails on a fresh system.
    if run_captured(make, timeout=None)[0] and not (
        install_with_apt(["python3-venv"]) and run_captured(make, timeout=None)[0] == 0
    ):
        raise BootstrapError(f"{sys.executable} cannot create a virtual environment for uv.\n{BY_HAND}")
    # The pip of older Pythons may not know the platform tag of uv's wheel. The Python version that the wheel requires
    # does not matter, as uv is a native program.
    steps = [["pip==21.3.1"]] if sys.version_info < (3, 9) else []
    for step in [*steps, ["--target", target, "--ignore-requires-python", "--only-binary=:all:", UV]]:
        if pip_install(helper, ["-q", *step]):
            why = advice(connection_fault(index_url(helper)))
            raise BootstrapError(f"uv could not be downloaded from PyPI (for the reason above){why}.\n{BY_HAND}")
    return os.path.join(target, "bin", "uv.exe" if ON_WINDOWS else "uv")
