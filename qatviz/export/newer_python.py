"""Runtimes that need a newer Python than TensorFlow 1.15 does, each in a process of its own.

Its interpreter is the one that an environment variable names, or the first one on PATH that has the runtime's package.
Arrays are passed as .npz files in a temporary directory.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import textwrap
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Type, Union

import numpy as np

from qatviz.errors import ExportError

_CANDIDATES = (*(f"python3.{minor}" for minor in range(14, 8, -1)), "python3", "python")
_SEARCH_TIMEOUT_S, RUN_TIMEOUT_S = 60, 300
_ANSWERING = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # messages of libraries go to the standard error
try:
    import numpy as np
    path = sys.argv[1]
@program@
    for line in sys.stdin:
        request, answer = json.loads(line)
        with np.load(request, allow_pickle=False) as arrays:
            given = arrays["given"]
        np.savez(answer, *run(given))
        print("null", file=answers, flush=True)
except Exception as error:
    print(json.dumps("{}: {}".format(type(error).__name__, error)), file=answers, flush=True)
"""


class Package(NamedTuple):
    """Package to search for.

    Attributes
    ----------
    name, module : str
        Name of the distribution, and of the module that is imported.
    variable : str
        Environment variable that can name an interpreter.
    """

    name: str
    module: str
    variable: str


class NewerPython(NamedTuple):
    """Path of an interpreter that has a package, and the package's version."""

    python: str
    version: str


def find(package: Package) -> Union[NewerPython, str]:
    """Return the interpreter with a package, or the reason why there is none.

    The search is repeated only if PATH or the variable change.
    """
    return _search(package, os.environ.get(package.variable), os.environ.get("PATH"))


def required(package: Package, what: str, missing: Type[ExportError]) -> NewerPython:
    """Return the interpreter with the package of a runtime, whose display name is ``what``.

    Raises
    ------
    missing
        If there is none.
    """
    found = find(package)
    if isinstance(found, str):
        raise missing(f"there is no {what}: {found}")
    return found


class NewerProcess:
    """Process of a runtime that runs a file. One thread at a time; use as a context manager, which ends it.

    Parameters
    ----------
    name : str
        Display name of the runtime, for errors.
    python : str
        Path of the interpreter.
    program : str
        Program text, which defines ``run(given)``: the output arrays of the file for an input array. ``path`` is the
        path of the file, and ``sys.argv[2:]`` are the ``arguments``; ``np`` is NumPy. An exception is an error.
    content : bytes
        Content of the file.
    arguments : sequence of str
    timeout_s : float
        Time limit for a request (seconds).
    """

    def __init__(
        self,
        name: str,
        python: str,
        program: str,
        content: bytes,
        arguments: Sequence[str] = (),
        timeout_s: float = RUN_TIMEOUT_S,
    ):
        self._name, self._timeout_s = name, timeout_s
        self._directory = tempfile.TemporaryDirectory(prefix="qatviz-runtime-")
        path = Path(self._directory.name)
        self._given, self._found = str(path / "given.npz"), str(path / "found.npz")
        try:
            (path / "model").write_bytes(content)
            # In an empty directory, so that nothing is imported from it.
            self._process = subprocess.Popen(
                [python, "-c", _answering(program), str(path / "model"), *arguments],
                cwd=self._directory.name,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                universal_newlines=True,
            )
        except OSError as error:
            self._directory.cleanup()
            raise ExportError(f"{python}: can't be run: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def run(self, given: np.ndarray) -> List[np.ndarray]:
        """Return the output arrays of the file for an input array.

        Raises
        ------
        ExportError
            If the runtime refuses the file, ends or does not answer in time.
        """
        np.savez(self._given, given=given)
        fault = self._answer(json.dumps([self._given, self._found]))
        if fault is not None:
            raise ExportError(f"{self._name}: {fault}")
        with np.load(self._found, allow_pickle=False) as arrays:
            return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]

    def _answer(self, request: str) -> Optional[str]:
        """Send a request; return the error in the answer, None if there is none."""
        late = threading.Event()

        def kill_late() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._timeout_s, kill_late)
        timer.start()
        try:
            with contextlib.suppress(OSError):  # it has ended, and its answer says why
                self._requests.write(request + "\n")
                self._requests.flush()
            line = self._answers.readline()
        finally:
            timer.cancel()
            timer.join()
        if late.is_set():
            return f"did not answer within {self._timeout_s:g} s"
        if not line.endswith("\n"):
            return f"ended without an answer, with exit code {self._process.wait()}"
        fault = json.loads(line)
        return None if fault is None else f"refuses the file: {' '.join(fault.split())}"

    def __enter__(self) -> "NewerProcess":
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # unread input is lost
                pipe.close()
        self._directory.cleanup()


def _answering(program: str) -> str:
    """Return the text of a program that answers requests for ``run(given)``, which ``program`` defines.

    A request is a line of JSON on its standard input, a list of two paths: of an .npz with the array "given", and of
    the .npz to write. The answer is a line of JSON on its standard output: null, or the text of an exception.
    """
    return _ANSWERING.replace("@program@", textwrap.indent(program, "    "))


def _environment() -> Dict[str, str]:
    """Return the environment without the variables of this Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


@lru_cache(maxsize=8)
def _search(package: Package, named: Optional[str], path: Optional[str]) -> Union[NewerPython, str]:
    for python in [named] if named else [str(found) for found in map(shutil.which, _CANDIDATES) if found]:
        version = _version(package, python)
        if version is not None:
            return NewerPython(python, version)
    if named:
        return f"{package.variable} is {named!r}, which is not a Python with the package {package.name}"
    return (
        f"no Python on PATH has the package {package.name}, which needs Python 3.9 or newer; {package.variable} can "
        "name one"
    )


def _version(package: Package, python: str) -> Optional[str]:
    program = f"import {package.module}, importlib.metadata; print(importlib.metadata.version({package.name!r}))"
    return output_of(python, program, timeout_s=_SEARCH_TIMEOUT_S)


def output_of(
    python: str, program: str, content: bytes = b"", arguments: Sequence[str] = (), timeout_s: float = RUN_TIMEOUT_S
) -> Optional[str]:
    """Return what a program writes to its standard output; None if it fails, writes nothing or is late.

    Its working directory has the file ``model`` with this content, and nothing that could be imported.
    """
    with tempfile.TemporaryDirectory(prefix="qatviz-runtime-") as directory:
        try:
            (Path(directory) / "model").write_bytes(content)
            found = subprocess.run(
                [python, "-c", program, *arguments],
                cwd=directory,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
                text=True,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    return found.stdout.strip() if found.returncode == 0 and found.stdout.strip() else None
