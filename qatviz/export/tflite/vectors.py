"""Golden vectors of a TFLite file: an input and the outputs of each kind of kernels, in the file's own types."""

from typing import Any, Callable, Dict, List, Mapping, Optional

import numpy as np

from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import dequantize, run_codes
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.proof.parity import golden_codes
from qatviz.export.tflite.litert import BUILTIN, Litert, LitertRunner
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.export.tflite.storage import softmax_grid
from qatviz.export.tflite.written import TfliteModel
from qatviz.inputs import split_examples
from qatviz.name_lookup import numbered

#: Names of the vectors: the input; outputs of kernels that round each result once, such as LiteRT's, and of those that
#: round twice, such as TensorFlow 1.15's, LiteRT's without XNNPACK, and by default TFLite Micro's and CMSIS-NN's.
FILE_INPUT, LITERT_OUTPUT, DOUBLE_ROUNDING_OUTPUT = "file_input", "litert_output", "double_rounding_output"


def file_vectors(
    model: IntegerModel,
    shipped: TfliteModel,
    golden: Mapping[str, np.ndarray],
    in_eight_bits: Callable[[], Optional[TfliteModel]],
    litert: Optional[Litert],
) -> Dict[str, np.ndarray]:
    """Return the golden vectors of the shipped file, for the codes "input" and "simulator_output" of ``golden``.

    Without LiteRT, those of its outputs are computed from the simulator's logits (:func:`rounded_once`). If TensorFlow
    1.15 can't run the file, the outputs that are rounded twice are those of LiteRT's kernels without XNNPACK.

    Parameters
    ----------
    in_eight_bits : callable
        Function that returns a file of the same integers that TensorFlow 1.15's interpreter computes; None if there is
        none: with int16, whose kernels round once everywhere, without kernels there, and if sums of means overflow.
    litert : Litert, optional
        Runtime to run the file in.
    """
    codes = golden_codes(model, golden)
    if len(shipped.inputs) > 1:
        parts = [shipped.to_file(part, name) for name, part in split_examples(shipped.inputs, codes).items()]
    else:
        parts = [shipped.to_file(codes)]
    vectors: Dict[str, Any] = {numbered(FILE_INPUT, index): part for index, part in enumerate(parts)}
    if litert is not None:
        with LitertRunner(litert, shipped) as runner:
            found = runner.run(codes)
        for index, output in enumerate(shipped.outputs):
            vectors[numbered(LITERT_OUTPUT, index)] = shipped.to_file(found[output], output)
    else:
        for index in range(len(shipped.outputs)):
            vectors[numbered(LITERT_OUTPUT, index)] = rounded_once(model, shipped, golden, index)
    eight_bits = in_eight_bits()
    twice = None
    if eight_bits is not None:
        twice = TfliteRunner(eight_bits).run(codes)
    elif litert is not None and shipped.dtype != np.int16:
        with LitertRunner(litert, shipped, BUILTIN) as runner:
            twice = runner.run(codes)
    if twice is not None:
        for index, output in enumerate(shipped.outputs):
            vectors[numbered(DOUBLE_ROUNDING_OUTPUT, index)] = shipped.to_file(twice[output], output)
    return vectors


def rounded_once(
    model: IntegerModel, shipped: TfliteModel, golden: Mapping[str, np.ndarray], index: int = 0
) -> np.ndarray:
    """Return an output of exact kernels that round each result once, in the file's type.

    Probabilities are rounded from the exact softmax; kernels are off by a step.
    """
    found, output = golden[numbered("simulator_output", index)].astype(np.int32), shipped.outputs[index]
    model = model.heads[index]
    if shipped.integers is not None:
        found = run_codes(shipped.integers, golden_codes(model, golden), [model.output])[model.output]
    if output != model.output:
        found = _softmax(model, shipped, found)
    return shipped.to_file(found, output)


def absent_vectors(shipped: TfliteModel, golden: Mapping[str, np.ndarray]) -> List[str]:
    """Return a note if the outputs of kernels that round twice are not among the golden vectors."""
    if DOUBLE_ROUNDING_OUTPUT in golden or shipped.dtype == np.int16:
        return []
    return [
        f"golden vectors have no {DOUBLE_ROUNDING_OUTPUT}: TensorFlow 1.15's interpreter lacks kernels of this file, "
        "or their sums of means overflow; LiteRT can compute it, and was not run"
    ]


def _softmax(model: IntegerModel, shipped: TfliteModel, logits: np.ndarray) -> np.ndarray:
    """Return the codes of probabilities, counted from the code of 0, rounded from the exact softmax of the logits."""
    scale, zero = softmax_grid(shipped.dtype)
    codes = np.floor(softmax_of(dequantize(model.logits, logits).astype(np.float64)) / scale + 0.5)
    return np.minimum(codes, np.iinfo(shipped.dtype).max - zero).astype(np.int32)
