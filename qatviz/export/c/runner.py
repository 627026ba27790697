"""Runtime of C models: compiling them with the machine's compiler, and running them from codes to codes."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.c.lowering import CModel
from qatviz.network.layer import element_count

#: Options of every build.
FLAGS = ("-std=c99", "-O2")
_NAMES = ("cc", "gcc", "clang")
#: Time limits (seconds), for tens of megabytes of source, and for a batch of a large network.
_COMPILE_TIMEOUT, _RUN_TIMEOUT = 600, 600
#: Interval of checks for cancellation (seconds).
_CHECK_INTERVAL = 0.1
_EMPTY = b"int main(void) { return 0; }\n"


class NoCompiler(ExportError):
    """No compiler works, so that a C model can be written but not run; the message has the reasons."""


class Compiler(NamedTuple):
    """Command of a C compiler, and its version."""

    command: Tuple[str, ...]
    version: str


def find_compiler(environment: Optional[Mapping[str, str]] = None) -> Compiler:
    """Return the compiler that ``$CC`` names, or the first of cc, gcc and clang on the PATH that works.

    Raises
    ------
    NoCompiler
    """
    environment = os.environ if environment is None else environment
    named = environment.get("CC", "").strip()
    candidates = [named] if named else list(_NAMES)
    reasons = []
    for candidate in candidates:
        try:
            command = tuple(shlex.split(candidate, posix=os.name != "nt"))
            if shutil.which(command[0], path=environment.get("PATH", "")) is None:
                reasons.append(f"{command[0]} is not on the PATH")
                continue
            return Compiler(command, _verified_version(command, environment))
        except (OSError, ValueError, ExportError) as error:  # ValueError: a quote without its counterpart
            reasons.append(f"{candidate} does not work ({' '.join(str(error).split())[:200]})")
    raise NoCompiler(f"no C compiler: {'CC names one, but ' if named else ''}{', '.join(reasons)}")


def _verified_version(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Compile and run an empty program; return the first line of the compiler's version."""
    with tempfile.TemporaryDirectory(prefix="qatviz-cc-") as name:
        directory = Path(name)
        (directory / "empty.c").write_bytes(_EMPTY)
        call(list(command) + list(FLAGS) + ["-o", "empty", "empty.c"], directory, environment)
        call([str(directory / "empty")], directory, environment)
        version = call([*command, "--version"], directory, environment).decode("utf-8", "replace").splitlines()
    return version[0].strip() if version else command[0]


class CRunner:
    """Runner of a compiled C model.

    One thread at a time. Use as a context manager: it has a temporary directory.

    Parameters
    ----------
    model : CModel
    compiler : Compiler
    layers : bool
        True for a build that dumps the output of each layer; False for the shipped one.
    flags : sequence of str
        Options in addition to :data:`FLAGS`.
    check : callable
        Called repeatedly while the compiler runs; if it raises, the compiler is stopped.

    Raises
    ------
    ExportError
        If the model does not compile, or fails its self test.
    """

    def __init__(
        self,
        model: CModel,
        compiler: Compiler,
        layers: bool = False,
        flags: Sequence[str] = (),
        check: Callable[[], None] = lambda: None,
    ):
        self._given_dtype = model.inputs[0].dtype
        self._outputs = model.layers if layers else model.outputs
        self._dtype = None if layers else model.dtype
        self._temporary = tempfile.TemporaryDirectory(prefix="qatviz-c-")
        self._directory = Path(self._temporary.name)
        self._program = str(self._directory / (model.stem + "_test"))
        try:
            for name, content in model.files.items():
                (self._directory / name).parent.mkdir(parents=True, exist_ok=True)
                (self._directory / name).write_bytes(content)
            more = [*(["-DQATVIZ_DUMP"] if layers else []), *("-I" + folder for folder in model.includes)]
            call(
                [*compiler.command, *FLAGS, *flags, *more, "-o", self._program, *model.sources],
                self._directory,
                timeout=_COMPILE_TIMEOUT,
                check=check,
            )
            call([self._program], self._directory, timeout=_RUN_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def run(self, codes: np.ndarray) -> Dict[str, np.ndarray]:
        """Return int32 codes of the output, or of all layers, by tensor, for codes of inputs ``[n] + shape``.

        Those of several inputs are rows (:mod:`qatviz.inputs`).
        """
        given = np.ascontiguousarray(codes.astype(self._given_dtype)).tobytes()
        output = call([self._program, "--run"], self._directory, given=given, timeout=_RUN_TIMEOUT)
        record = np.dtype(
            [
                (str(index), self._dtype or tensor.dtype, (element_count(tensor.shape),))
                for index, tensor in enumerate(self._outputs)
            ]
        )
        if len(output) != len(codes) * record.itemsize:
            raise ExportError(
                f"the compiled C model wrote {len(output):,} bytes; expected: {len(codes) * record.itemsize:,}"
            )
        found = np.frombuffer(output, record)
        return {
            tensor.name: found[str(index)].reshape((len(codes), *tensor.shape)).astype(np.int32)
            for index, tensor in enumerate(self._outputs)
        }

    def close(self) -> None:
        """Remove the temporary directory."""
        self._temporary.cleanup()

    def __enter__(self) -> "CRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def call(
    command: Sequence[str],
    directory: Path,
    environment: Optional[Mapping[str, str]] = None,
    given: bytes = b"",
    timeout: int = 60,
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """Return the standard output of a program.

    Parameters
    ----------
    command : sequence of str
    directory : Path
        Its working directory.
    environment : dict of str to str, optional
        Its environment variables; by default those of this process.
    given : bytes
        Its standard input.
    timeout : int
        Seconds after which it is killed.
    check : callable
        Called repeatedly while it runs; if it raises, the program is killed.

    Raises
    ------
    ExportError
        If it fails, with its messages, or takes too long.
    """
    name, deadline = os.path.basename(command[0]), time.monotonic() + timeout
    # From a file: Python 3.7's communicate() loses input when it is called again after a timeout.
    with tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        process = subprocess.Popen(
            list(command),
            cwd=str(directory),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    with process:
        try:
            outputs = None
            while outputs is None:
                check()
                if time.monotonic() > deadline:
                    raise ExportError(f"{name} took more than {timeout} s")
                outputs = _communicate(process)
        except BaseException:
            _kill(process)
            raise
    if process.returncode != 0:
        lines = (outputs[1] + outputs[0]).decode("utf-8", "replace").split("\n")
        raise ExportError(f"{name} failed ({process.returncode}): {' '.join(' '.join(lines[:6]).split())[:600]}")
    return outputs[0]


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process with its children: a compiler runs other programs."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
        os.killpg(process.pid, signal.SIGKILL)


def _communicate(process: "subprocess.Popen[bytes]") -> Optional[Tuple[bytes, bytes]]:
    """Return a program's standard output and error once it has ended; None if it is still running."""
    try:
        return process.communicate(timeout=_CHECK_INTERVAL)
    except subprocess.TimeoutExpired:
        return None
