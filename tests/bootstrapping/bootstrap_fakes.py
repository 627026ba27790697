"""Shell scripts that stand in for interpreters, apt and other programs; the moments of an installation."""

import glob
import json
import os
import shlex
import shutil
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def make_program(path, script):
    """Write an executable shell script with its parent folders and return its path as a string."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + script + "\n")
    os.chmod(str(path), os.stat(str(path)).st_mode | stat.S_IXUSR)
    return str(path)


def make_interpreter(
    path, version=(3, 7, 9), implementation="CPython", bits=64, machine="x86_64", complete=True, base=""
):
    """Write a program that answers bootstrap's probe with these facts."""
    facts = json.dumps([str(path), list(version), implementation, bits, machine, complete, base])
    return make_program(path, f"echo '{facts}'")


def make_installer(path):
    """Write an interpreter whose venv and pip are those of fake_python.py; so is the one of its environments."""
    fake = shlex.quote(os.path.join(HERE, "fake_python.py"))
    return make_program(path, f'exec {shlex.quote(sys.executable)} -S {fake} "$0" "$@"')


def copy_bootstrap(checkout):
    """Copy bootstrap.py and what it imports and reads into a folder."""
    shutil.copytree(os.path.join(ROOT, "qatviz", "bootstrapping"), str(checkout / "qatviz" / "bootstrapping"))
    for name in ("__init__.py", "atomic_files.py", "tensorflow_presence.py"):
        shutil.copy(os.path.join(ROOT, "qatviz", name), str(checkout / "qatviz"))
    for name in ("bootstrap.py", "constraints.txt", "setup.py"):
        shutil.copy(os.path.join(ROOT, name), str(checkout))


def _has(environment, pattern):
    return bool(glob.glob(os.path.join(glob.escape(str(environment)), "lib", "python3.7", "site-packages", pattern)))


#: Moments of an installation in their order, each with whether the files of an environment show it.
MOMENTS = {
    "environment begun": lambda folder: os.path.exists(str(folder)) and not _has(folder, "pip"),
    "first pip half there": lambda folder: _has(folder, "pip") and not _has(folder, "pip-*.dist-info"),
    "download": lambda folder: _has(folder, "pip-2[0-3]*.dist-info/RECORD"),
    "pip half upgraded": lambda folder: _has(folder, "~ip*"),
    "package half there": lambda folder: _has(folder, "numpy") and not _has(folder, "numpy-*.dist-info/INSTALLER"),
    "metadata before its files": lambda folder: (
        _has(folder, "tensorflow-*.dist-info") and not _has(folder, "tensorflow-*.dist-info/INSTALLER")
    ),
    "installed": lambda folder: _has(folder, "qatviz-*.dist-info/INSTALLER"),
}
