"""bootstrap.py: which interpreter it takes, when it trusts an environment, and what it tells the user."""

import glob
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHONS = ["3.{}".format(minor) for minor in range(6, 14)]


def python_of(version):
    """Return an interpreter of this version on the machine, or None."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    return next(iter(glob.glob(os.path.join(root, "versions", version + ".*", "bin", "python" + version))), None)


@pytest.mark.parametrize("version", PYTHONS)
def test_help_is_printed_by_every_supported_python(version):
    python = python_of(version)
    if not python:
        pytest.skip("no Python {} on this machine".format(version))
    done = subprocess.run([python, "-W", "error", os.path.join(ROOT, "bootstrap.py"), "--help"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python3 bootstrap.py test" in done.stdout
