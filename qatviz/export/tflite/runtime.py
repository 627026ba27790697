"""Running a TFLite file in the interpreter that TensorFlow 1.15 brings."""

import contextlib
from typing import Dict, Iterator, List

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.errors import ExportError
from qatviz.export.integers.model import IntegerModel
from qatviz.export.proof.parity import Agreement
from qatviz.export.tflite.written import TfliteModel

#: What the proof calls it.
RUNTIME = f"TensorFlow Lite interpreter of TensorFlow {tf.__version__}"
#: What it reaches in networks of up to seven layers: its kernels round twice, and each layer adds to what differs
#: before it. (The same files in LiteRT's XNNPACK kernels, which round once: 99 % at least, and 1.)
REACHED, REACHED_FEW_BITS = Agreement(0.85, 2, 0.995), Agreement(0.85, 2, 0.98)


def reached(model: IntegerModel) -> Agreement:
    """By the bits of the weights: up to 4, or more."""
    few = any(op.weights is not None and op.weights.num_bits <= 4 for op in model.ops)
    return REACHED_FEW_BITS if few else REACHED


class Interpreter:
    """A file, loaded. One thread at a time.

    Raises
    ------
    ExportError
        If the interpreter refuses it.
    """

    def __init__(self, content: bytes):
        self._examples = 0
        with _refusals():
            self._interpreter = tf.lite.Interpreter(model_content=content)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [details["index"] for details in self._interpreter.get_output_details()]

    def run(self, examples: np.ndarray) -> List[np.ndarray]:
        """The outputs, in the file's order and types, for the input ``[n] + shape`` in the file's type."""
        interpreter = self._interpreter
        with _refusals():
            if self._examples != len(examples):
                interpreter.resize_tensor_input(self._input, examples.shape)
                interpreter.allocate_tensors()
                self._examples = len(examples)
            interpreter.set_tensor(self._input, examples)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._outputs]


class TfliteRunner:
    """A file of codes in the :class:`Interpreter`."""

    def __init__(self, file: TfliteModel):
        self._file, self._interpreter = file, Interpreter(file.content)

    def run(self, codes: np.ndarray) -> Dict[str, np.ndarray]:
        """int32 codes of the outputs, by name, for the integer model's codes of the input, ``[n] + shape``."""
        return self._file.from_file(self._interpreter.run(self._file.to_file(codes)))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """The interpreter's own errors as the user's."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"{RUNTIME}: refuses the file: {' '.join(str(error).split())}") from error
