"""Runtime of files for TFLite Micro: its Python package tflite-micro, which has its reference kernels.

It needs a newer Python than TensorFlow 1.15 does, which QATVIZ_TFLM_PYTHON can name
(:mod:`qatviz.export.newer_python`).
"""

import json
from typing import NamedTuple, Optional

from qatviz.errors import ExportError
from qatviz.export.newer_python import RUN_TIMEOUT_S, NewerProcess, Package, output_of, required
from qatviz.export.tflite.file_runner import FileRunner
from qatviz.export.tflite.written import TfliteModel

VARIABLE = "QATVIZ_TFLM_PYTHON"
#: Unit of the sizes of arenas (bytes).
ARENA_UNIT = 16
_PACKAGE = Package("tflite-micro", "tflite_micro.python.tflite_micro.runtime", VARIABLE)
#: Program for :class:`qatviz.export.newer_python.NewerProcess`; its arguments are the size of the arena (bytes), the
#: number of outputs, and the shapes of several inputs.
_PROGRAM = """
from tflite_micro.python.tflite_micro import runtime
arena, outputs = map(int, sys.argv[2:4])
shapes = json.loads(sys.argv[4])
ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
interpreter = runtime.Interpreter.from_file(path, arena_size=arena)
dtypes = [interpreter.get_input_details(index)["dtype"] for index in range(max(len(shapes), 1))]
def run(given):
    results = [[] for _ in range(outputs)]
    for example in given:
        parts = [example]
        if len(shapes) > 1:
            parts = [part.reshape(shape) for part, shape in zip(np.split(example, ends), shapes)]
        for index, part in enumerate(parts):
            interpreter.set_input(part[None].astype(dtypes[index]), index)  # beside ids, codes come as int32, too
        interpreter.invoke()
        for index, values in enumerate(results):
            values.append(np.array(interpreter.get_output(index))[0])
    return map(np.stack, results)
"""
#: Program that prints the smallest arena in which the file runs. Each try has a process: TFLite Micro crashes in some
#: arenas that are too small. (There is no tflite-micro for systems without fork.)
_MEASURE = """
import os, sys
from tflite_micro.python.tflite_micro import runtime
unit, highest = map(int, sys.argv[1:])
def runs(units):
    child = os.fork()
    if child == 0:
        try:
            runtime.Interpreter.from_file("model", arena_size=units * unit).invoke()
        except RuntimeError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
fails, works = 0, highest // unit
assert runs(works)
while works - fails > 1:
    middle = (fails + works) // 2
    fails, works = (fails, middle) if runs(middle) else (middle, works)
print(works * unit)
"""


class MicroMissing(ExportError):
    """There is no tflite-micro on this machine; the message says how to provide it."""


class Micro(NamedTuple):
    """A Python with tflite-micro: path of the interpreter, and version of the package."""

    python: str
    version: str

    @property
    def name(self) -> str:
        """Display name."""
        return f"tflite-micro {self.version}"

    def smallest_arena(self, file: TfliteModel, enough: int) -> Optional[int]:
        """Return the smallest arena in which the file runs (bytes); None if it does not run in ``enough`` bytes."""
        limits = [str(number) for number in (ARENA_UNIT, enough)]
        found = output_of(self.python, _MEASURE, file.content, limits)
        return None if found is None else int(found)


def find_micro() -> Micro:
    """Return the tflite-micro to run files in.

    Raises
    ------
    MicroMissing
    """
    return Micro(*required(_PACKAGE, "tflite-micro", MicroMissing))


class MicroRunner(FileRunner):
    """Runner of a file in tflite-micro. One thread at a time; use as a context manager, which ends the process."""

    def __init__(self, micro: Micro, file: TfliteModel, arena: int, timeout_s: float = RUN_TIMEOUT_S):
        shapes = json.dumps([shape for _, shape in file.inputs])
        arguments = [str(arena), str(len(file.outputs)), shapes]
        super().__init__(file, NewerProcess(micro.name, micro.python, _PROGRAM, file.content, arguments, timeout_s))
