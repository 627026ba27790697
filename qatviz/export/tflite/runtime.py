"""Runtime of TFLite files: TensorFlow 1.15's own interpreter."""

import contextlib
from typing import Dict, Iterator, List

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.errors import ExportError
from qatviz.export.integers.model import IntegerModel
from qatviz.export.proof.parity import Agreement
from qatviz.export.tflite.written import TfliteModel
from qatviz.inputs import split_examples

#: Name of the runtime in the proof.
RUNTIME = f"TensorFlow Lite interpreter of TensorFlow {tf.__version__}"
#: Agreement that it reaches in networks of up to seven layers: its kernels round twice, and differences add up over the
#: layers. (With the same files, LiteRT's XNNPACK kernels, which round once, reach 99 % and a difference of 1.)
REACHED, REACHED_FEW_BITS = Agreement(0.84, 2, 0.995), Agreement(0.84, 2, 0.98)


def reached(model: IntegerModel) -> Agreement:
    """Return the agreement that the interpreter reaches for weights of up to 4 bits, or of more."""
    few = any(op.weights is not None and op.weights.num_bits <= 4 for op in model.ops)
    return REACHED_FEW_BITS if few else REACHED


class Interpreter:
    """Interpreter of a file, which takes one example at a time if it is ``single``. One thread at a time.

    Raises
    ------
    ExportError
        If the interpreter refuses the file.
    """

    def __init__(self, content: bytes, single: bool = False):
        self._examples, self._single = 0, single
        with _refusals():
            self._interpreter = tf.lite.Interpreter(model_content=content)
        details = self._interpreter.get_input_details()
        self._inputs = [(each["index"], tuple(each["shape"][1:])) for each in details]
        self._types = {each["index"]: each["dtype"] for each in details}
        self._outputs = [details["index"] for details in self._interpreter.get_output_details()]

    def run(self, examples: np.ndarray) -> List[np.ndarray]:
        """Return the outputs, in the file's order and types, for the input ``[n] + shape``.

        Its values are converted to the file's type. Of several inputs, ``examples`` are rows (:mod:`qatviz.inputs`).
        """
        if self._single and len(examples) > 1:
            return [np.concatenate(parts) for parts in zip(*(self.run(example[None]) for example in examples))]
        interpreter = self._interpreter
        given = split_examples(self._inputs, examples)
        with _refusals():
            if self._examples != len(examples):
                for index, part in given.items():
                    interpreter.resize_tensor_input(index, part.shape)
                interpreter.allocate_tensors()
                self._examples = len(examples)
            for index, part in given.items():
                interpreter.set_tensor(index, part.astype(self._types[index], copy=False))
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._outputs]


class TfliteRunner:
    """Runner of a file of codes in the :class:`Interpreter`."""

    def __init__(self, file: TfliteModel):
        self._file, self._interpreter = file, Interpreter(file.content, file.single)

    def run(self, codes: np.ndarray) -> Dict[str, np.ndarray]:
        """Return int32 codes of the outputs, by name, for the integer model's codes of the input, ``[n] + shape``."""
        return self._file.from_file(self._interpreter.run(self._file.to_file(codes)))


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Raise the interpreter's own errors as :class:`ExportError`."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"{RUNTIME}: refuses the file: {' '.join(str(error).split())}") from error
