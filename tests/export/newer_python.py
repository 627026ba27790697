"""Pythons that are newer than TensorFlow 1.15's, with packages that need one, for tests and benchmarks."""

import os
import shutil
import subprocess
from functools import lru_cache
from typing import NamedTuple, Optional


class Newer(NamedTuple):
    """Path of an interpreter that has a package, and the package's version."""

    python: str
    version: str


@lru_cache(maxsize=None)
def find(variable: str, package: str) -> Optional[Newer]:
    """Return the Python that an environment variable names, or else the first one on PATH that has the package.

    It is None if neither exists.
    """
    version = f"import {package}, sys; assert sys.version_info > (3, 8); print(getattr({package}, '__version__', ''))"
    named = [os.environ.get(variable)] + [shutil.which(f"python3.{minor}") for minor in range(14, 8, -1)]
    for path in filter(None, [*named, shutil.which("python3")]):
        found = subprocess.run([path, "-c", version], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if found.returncode == 0:
            return Newer(path, found.stdout.strip())
    return None


def run(newer: Newer, program: str, directory, *arguments) -> None:
    """Run the text of a program in a directory (a Path), without the variables of this Python."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [newer.python, "-c", program, *map(str, arguments)],
        cwd=str(directory),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
