"""Runtime of TFLite files: LiteRT, TFLite's present runtime, whose XNNPACK kernels round once.

It needs a newer Python than TensorFlow 1.15 does: see :mod:`qatviz.export.newer_python`.
"""

from typing import NamedTuple

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.newer_python import RUN_TIMEOUT_S, NewerProcess, Package, required
from qatviz.export.proof.parity import ROUNDED_ONCE, Agreement
from qatviz.export.tflite.file_runner import FileRunner
from qatviz.export.tflite.written import TfliteModel

VARIABLE = "QATVIZ_LITERT_PYTHON"
_PACKAGE = Package("ai-edge-litert", "ai_edge_litert.interpreter", VARIABLE)
#: Kernels: LiteRT's default, which is XNNPACK's where that has them; and its built-in ones.
XNNPACK, BUILTIN = "AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
#: Agreement that they reach in networks of a few layers, if not :data:`ROUNDED_ONCE` as XNNPACK's: with int16, whose
#: integers are the model's; where LiteRT's own kernels of INT4 convolutions round twice, at first to coarse steps.
REACHED_INT16, REACHED_ROUNDED_TWICE = Agreement(0.999, 1, 1.0), Agreement(0.75, 2, 0.98)
#: Program for :class:`qatviz.export.newer_python.NewerProcess`; its argument is the kind of kernels.
_PROGRAM = """
from ai_edge_litert.interpreter import Interpreter, OpResolverType
kernels = getattr(OpResolverType, sys.argv[2])
interpreter = Interpreter(model_path=path, experimental_op_resolver_type=kernels)
sources = [(details["index"], details["shape"][1:]) for details in interpreter.get_input_details()]
types = [details["dtype"] for details in interpreter.get_input_details()]
outputs = [details["index"] for details in interpreter.get_output_details()]
shapes = [None]
def run(given):
    if sys.argv[3] == "single" and len(given) > 1:
        return [np.concatenate(parts) for parts in zip(*[run(given[i : i + 1]) for i in range(len(given))])]
    sizes = [int(np.prod(shape)) for _, shape in sources]
    parts = [given] if len(sources) == 1 else np.split(given, np.cumsum(sizes)[:-1], axis=1)
    if len(sources) > 1:
        parts = [part.reshape([len(given), *shape]) for part, (_, shape) in zip(parts, sources)]
    if given.shape != shapes[-1]:
        for (source, _), part in zip(sources, parts):
            interpreter.resize_tensor_input(source, part.shape)
        interpreter.allocate_tensors()
        shapes[-1] = given.shape
    for (source, _), part, dtype in zip(sources, parts, types):
        interpreter.set_tensor(source, part.astype(dtype))
    interpreter.invoke()
    return [interpreter.get_tensor(index) for index in outputs]
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
    """Return the agreement with the evaluation graph that LiteRT reaches in networks of a few layers."""
    if file.rounded_twice:
        return REACHED_ROUNDED_TWICE
    return REACHED_INT16 if file.dtype == np.int16 else ROUNDED_ONCE


def find_litert() -> Litert:
    """Return the LiteRT to run files in; the search is repeated only if PATH or the variable change.

    Raises
    ------
    LitertMissing
    """
    return Litert(*required(_PACKAGE, "LiteRT", LitertMissing))


class LitertRunner(FileRunner):
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

    def __init__(self, litert: Litert, file: TfliteModel, kernels: str = XNNPACK, timeout_s: float = RUN_TIMEOUT_S):
        options = [kernels, "single" if file.single else "batch"]
        super().__init__(file, NewerProcess(litert.name, litert.python, _PROGRAM, file.content, options, timeout_s))
