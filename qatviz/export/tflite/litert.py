"""Runtime of TFLite files: LiteRT, TFLite's present runtime, whose XNNPACK kernels round once.

It needs a newer Python than TensorFlow 1.15 does, so it runs in a process of its own: of the Python that
QATVIZ_LITERT_PYTHON names, or of the first one on PATH that has ``ai_edge_litert`` installed. Arrays are passed as .npz
files in a temporary directory.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Union

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.proof.parity import Agreement
from qatviz.export.tflite.written import TfliteModel

VARIABLE = "QATVIZ_LITERT_PYTHON"
#: Kernels: LiteRT's default, which is XNNPACK's where that has them; and its built-in ones.
XNNPACK, BUILTIN = "AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
#: Agreement that they reach in networks of a few layers: with int8, whose sums XNNPACK rounds once; with int16, whose
#: integers are the model's; where LiteRT's own kernels of INT4 convolutions round twice, at first to coarse steps.
REACHED, REACHED_INT16, REACHED_ROUNDED_TWICE = (
    Agreement(0.995, 1, 1.0),
    Agreement(0.999, 1, 1.0),
    Agreement(0.75, 2, 0.98),
)

_CANDIDATES = (*(f"python3.{minor}" for minor in range(14, 8, -1)), "python3", "python")
_SEARCH_TIMEOUT_S, _RUN_TIMEOUT_S = 60, 300
_VERSION = "import ai_edge_litert.interpreter, importlib.metadata; print(importlib.metadata.version('ai-edge-litert'))"
#: Program that answers each line of its input, a JSON list of the paths of input and output, with a line of JSON: null,
#: or an error. Messages of libraries go to the standard error.
_PROGRAM = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
try:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    kernels = getattr(OpResolverType, sys.argv[2])
    interpreter = Interpreter(model_path=sys.argv[1], experimental_op_resolver_type=kernels)
    source = interpreter.get_input_details()[0]["index"]
    outputs = [details["index"] for details in interpreter.get_output_details()]
    shape = None
    for line in sys.stdin:
        given, found = json.loads(line)
        with np.load(given, allow_pickle=False) as arrays:
            codes = arrays["codes"]
        if codes.shape != shape:
            interpreter.resize_tensor_input(source, codes.shape)
            interpreter.allocate_tensors()
            shape = codes.shape
        interpreter.set_tensor(source, codes)
        interpreter.invoke()
        np.savez(found, *[interpreter.get_tensor(index) for index in outputs])
        print("null", file=answers, flush=True)
except Exception as error:
    print(json.dumps("{}: {}".format(type(error).__name__, error)), file=answers, flush=True)
"""


class LitertMissing(ExportError):
    """There is no LiteRT on this machine; the message says how to provide it."""


class Litert(NamedTuple):
    """A Python with LiteRT: path of the interpreter, and version of LiteRT."""

    python: str
    version: str

    @property
    def name(self) -> str:
        """Display name."""
        return f"LiteRT {self.version}"


def reached(file: TfliteModel) -> Agreement:
    """Return the agreement that LiteRT reaches with a file of a network of a few layers."""
    if file.rounded_twice:
        return REACHED_ROUNDED_TWICE
    return REACHED_INT16 if file.dtype == np.int16 else REACHED


def find_litert() -> Litert:
    """Return the LiteRT to run files in; the search is repeated only if PATH or the variable change.

    Raises
    ------
    LitertMissing
    """
    found = _search(os.environ.get(VARIABLE), os.environ.get("PATH"))
    if isinstance(found, Litert):
        return found
    raise LitertMissing("there is no LiteRT: " + found)


class LitertRunner:
    """Runner of a file in LiteRT. One thread at a time; use as a context manager, which ends the process.

    Parameters
    ----------
    litert : Litert
    file : TfliteModel
    kernels : str
        :data:`XNNPACK` or :data:`BUILTIN`.
    timeout_s : float
        Time limit for a batch (seconds).
    """

    def __init__(self, litert: Litert, file: TfliteModel, kernels: str = XNNPACK, timeout_s: float = _RUN_TIMEOUT_S):
        self._litert, self._file, self._timeout_s = litert, file, timeout_s
        self._directory = tempfile.TemporaryDirectory(prefix="qatviz-litert-")
        path = Path(self._directory.name)
        self._given, self._found = str(path / "given.npz"), str(path / "found.npz")
        try:
            (path / "model.tflite").write_bytes(file.content)
            # In an empty directory, so that nothing is imported from it.
            self._process = subprocess.Popen(
                [litert.python, "-c", _PROGRAM, str(path / "model.tflite"), kernels],
                cwd=self._directory.name,
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                universal_newlines=True,
            )
        except OSError as error:
            self._directory.cleanup()
            raise ExportError(f"{litert.python}: can't be run: {error.strerror or error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def run(self, codes: np.ndarray) -> Dict[str, np.ndarray]:
        """Return int32 codes of the outputs, by name, for the integer model's codes of the input, ``[n] + shape``.

        Raises
        ------
        ExportError
            If LiteRT refuses the file, ends or does not answer in time.
        """
        np.savez(self._given, codes=self._file.to_file(codes))
        fault = self._answer(json.dumps([self._given, self._found]))
        if fault is not None:
            raise ExportError(f"{self._litert.name}: {fault}")
        with np.load(self._found, allow_pickle=False) as arrays:
            return self._file.from_file([arrays[f"arr_{i}"] for i in range(len(self._file.outputs))])

    def _answer(self, request: str) -> Optional[str]:
        """Return the error in the program's answer; None if there is none."""
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

    def __enter__(self) -> "LitertRunner":
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # unread input is lost
                pipe.close()
        self._directory.cleanup()


def _environment() -> Dict[str, str]:
    """Return the environment without the variables of this Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


@lru_cache(maxsize=8)
def _search(named: Optional[str], path: Optional[str]) -> Union[Litert, str]:
    """Return LiteRT, or the reason why there is none."""
    for python in [named] if named else [str(found) for found in map(shutil.which, _CANDIDATES) if found]:
        version = _version(python)
        if version is not None:
            return Litert(python, version)
    if named:
        return f"{VARIABLE} is {named!r}, which is not a Python with the package ai-edge-litert"
    return f"no Python on PATH has the package ai-edge-litert, which needs Python 3.9 or newer; {VARIABLE} can name one"


def _version(python: str) -> Optional[str]:
    with tempfile.TemporaryDirectory(prefix="qatviz-litert-") as directory:
        try:
            found = subprocess.run(
                [python, "-c", _VERSION],
                cwd=directory,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_SEARCH_TIMEOUT_S,
                check=False,
                text=True,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
    return found.stdout.strip() if found.returncode == 0 and found.stdout.strip() else None
