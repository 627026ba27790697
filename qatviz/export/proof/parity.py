"""Comparison of the codes that a file computes with those of the evaluation, for the output and for each layer."""

from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from qatviz.export.integers.fixed_point import FixedPoint
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.integers.simulator import quantize_input, run_codes, run_op
from qatviz.export.progress import Progress
from qatviz.inputs import packed_examples
from qatviz.name_lookup import numbered
from qatviz.network.elementwise import Sum
from qatviz.number_format import share_text
from qatviz.quant.affine import AffineGrid
from qatviz.quant.int16_kernels import Q31

#: Function from codes of the input, ``[n] + shape``, to codes of tensors by name, with the logits among them.
Runtime = Callable[[np.ndarray], Dict[str, np.ndarray]]

#: Batch size: layers of large networks have many codes.
BATCH = 32
#: Largest number of examples whose inner layers are compared.
LAYER_EXAMPLES = 256
#: Additional fractional bits of recomputed results, which show how close to a tie they are.
_FINER_BITS = 10
#: Upper limit, in quantization steps of the output, of the difference that one unit of the accumulator may cause.
_MAX_TOLERANCE = 0.75
_NO_CLAMP = (-(2**31), 2**31 - 1)


class Agreement(NamedTuple):
    """Agreement of computed codes with expected ones.

    Attributes
    ----------
    identical : float
        Fraction of equal codes.
    largest : int
        Largest difference, in codes.
    top1 : float or None
        Fraction of examples whose largest logit is the same one, ties counted as equal; None for inner layers, and if
        the outputs are not classes.
    """

    identical: float
    largest: int
    top1: Optional[float] = None

    def reaches(self, bar: "Agreement") -> bool:
        """Return whether the agreement is at least as close as ``bar``."""
        is_same = self.top1 is None or bar.top1 is None or self.top1 >= bar.top1
        return self.identical >= bar.identical and self.largest <= bar.largest and is_same

    def to_record(self) -> Dict[str, Any]:
        """Return the fields that are not None, JSON-able."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def codes_record(self) -> Dict[str, Any]:
        """Return the agreement of the codes alone, JSON-able."""
        return {"identical": self.identical, "largest": self.largest}

    def in_words(self) -> str:
        """Return a text such as ``99.90 % identical, 1 as the largest difference, 100.00 % top-1``."""
        top1 = "" if self.top1 is None else f", {share_text(self.top1)} top-1"
        return f"{share_text(self.identical)} identical, {self.largest} as the largest difference{top1}"


#: Agreement that runtimes reach in networks of a few layers if they round each result once, as the simulator does.
ROUNDED_ONCE = Agreement(0.995, 1, 1.0)


class LayerAgreement(NamedTuple):
    """Agreement of one layer.

    Attributes
    ----------
    layer, kind : str
        Name of the tensor in the integer model; kind of the operation.
    whole : Agreement
        Agreement if the network runs from its input, so that differences of earlier layers add up.
    own : Agreement
        Agreement of this operation alone, given the codes that the file computed for its inputs.
    unexplained : int
        Number of codes of ``own`` whose difference is more than rounding: they are farther from the exact result than
        half a quantization step and one unit of the accumulator together.
    """

    layer: str
    kind: str
    whole: Agreement
    own: Agreement
    unexplained: int


class Tally:
    """Counter of equal codes over batches; its result is an :class:`Agreement`."""

    def __init__(self) -> None:
        self._identical = self._total = self._largest = 0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        """Compare integer arrays of one shape."""
        difference = np.abs(expected.astype(np.int64) - found)
        self._identical += int(np.count_nonzero(difference == 0))
        self._total += difference.size
        self._largest = max(self._largest, int(difference.max()))

    def result(self) -> Agreement:
        """Return the agreement of the arrays that were added, at least one pair."""
        return Agreement(self._identical / self._total, self._largest)


def compare_logits(expected: np.ndarray, found: np.ndarray, classes: bool = True, zero_point: int = 0) -> Agreement:
    """Compare codes of the network's output, ``[n, outputs]`` each; ``classes``: they are logits of classes."""
    tally = Tally()
    tally.add(expected, found)
    top1 = float(np.mean(same_top1(expected, found, zero_point))) if classes else None
    return tally.result()._replace(top1=top1)


def same_top1(expected: np.ndarray, found: np.ndarray, zero: int = 0) -> np.ndarray:
    """Return a mask, bool ``[n]``, of examples for which both decide for the same class, ties counted as equal.

    The class is that of the largest value, or with a single logit, its side of ``zero``.
    """
    if expected.shape[1] == 1:
        sides = np.sign(expected[:, 0].astype(np.float64) - zero) * np.sign(found[:, 0].astype(np.float64) - zero)
        return np.asarray(sides >= 0)
    rows = np.arange(len(expected))
    return (expected[rows, found.argmax(axis=1)] == expected.max(axis=1)) | (
        found[rows, expected.argmax(axis=1)] == found.max(axis=1)
    )


def codes_of(values: np.ndarray, grid: Union[IntegerTensor, AffineGrid]) -> np.ndarray:
    """Return the codes, int64, of float32 values that are on a grid except for float32's own error.

    The grid has one scale, or one for each index of the last axis; where it is 0, so are the values.
    """
    scale = np.where(np.greater(grid.scale, 0), grid.scale, 1).astype(np.float64)
    return np.floor(values.astype(np.float64) / scale + grid.zero_point + 0.5).astype(np.int64)


def golden_codes(model: IntegerModel, golden: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the codes of the inputs in golden vectors, int32, as :func:`.quantize_input` returns them."""
    codes = [golden[numbered("input", index)] for index in range(len(model.inputs))]
    return packed_examples(codes).astype(np.int32)


def inner_examples(images: np.ndarray) -> np.ndarray:
    """Return the examples on which inner layers are compared: the first quarter, at most :data:`LAYER_EXAMPLES`.

    They are fewer because each layer is computed three times.
    """
    return images[: min(LAYER_EXAMPLES, -(-len(images) // 4))]


def run_outputs(
    model: IntegerModel, run: Runtime, images: np.ndarray, progress: Progress = Progress()
) -> List[Tuple[np.ndarray, np.ndarray]]:
    """Return the codes of each output, ``[n, ...]``, that the simulator and ``run`` compute from float32 images."""
    expected: List[Dict[str, np.ndarray]] = []
    found: List[Dict[str, np.ndarray]] = []
    for codes in _batches(quantize_input(model, images), progress, "comparing the outputs"):
        expected.append(run_codes(model, codes, model.outputs))
        found.append(run(codes))
    return [
        (np.concatenate([each[name] for each in expected]), np.concatenate([each[name] for each in found]))
        for name in model.outputs
    ]


def compare_layers(
    model: IntegerModel,
    run: Runtime,
    images: np.ndarray,
    progress: Progress = Progress(),
) -> List[LayerAgreement]:
    """Compare every layer of ``run``, which computes all tensors of the model, with the simulator."""
    whole, own = ({op.output: Tally() for op in model.ops} for _ in range(2))
    unexplained = {op.output: 0 for op in model.ops}
    for codes in _batches(quantize_input(model, images), progress, "comparing the layers"):
        expected = run_codes(model, codes, [op.output for op in model.ops])
        found = dict(run(codes), **model.split(codes))
        for op in model.ops:
            whole[op.output].add(expected[op.output], found[op.output])
            alone = run_op(model, op, found)
            own[op.output].add(alone, found[op.output])
            unexplained[op.output] += _unexplained(model, op, found, alone)
    return [
        LayerAgreement(name, op.kind, whole[name].result(), own[name].result(), unexplained[name])
        for name, op in ((op.output, op) for op in model.ops)
    ]


def _unexplained(model: IntegerModel, op: IntegerOp, found: Dict[str, np.ndarray], alone: np.ndarray) -> int:
    """Return the number of codes that differ by more than rounding can cause."""
    difference = np.abs(alone - found[op.output])
    if not difference.any():
        return 0
    if op.requantization is None:
        return int(np.count_nonzero(difference))
    # The same operation with finer quantization steps of its output. The unit of the accumulator that is allowed covers
    # a kernel's first of two roundings, too: half of its unit is at most one of the accumulator.
    bits, finer = _finer(op, op.requantization)
    zero = model.tensor(op.output).zero_point
    results = (run_op(model, replace(op, requantization=finer, clamp=_NO_CLAMP), found) - zero) / 2**bits
    tolerance = np.minimum(2.0**-bits + (0.0 if isinstance(op.layer, Sum) else op.requantization.real), _MAX_TOLERANCE)
    off = np.abs(found[op.output] - np.clip(results + zero, *op.clamp))
    return int(np.count_nonzero(difference.astype(bool) & (off > 0.5 + tolerance)))


def _finer(op: IntegerOp, requantization: FixedPoint) -> Tuple[int, FixedPoint]:
    """Return a number of bits, and multipliers to an output whose quantization steps are finer by as many."""
    shift = requantization.right_shift
    if not op.rounds_terms:
        bits = int(min(_FINER_BITS, shift.min() - 1))
        return bits, FixedPoint(requantization.multiplier, shift - bits)
    bits = int(np.clip(shift[-1] - Q31, 0, _FINER_BITS))
    return bits, FixedPoint(requantization.multiplier, np.append(shift[:-1], shift[-1] - bits))


def _batches(codes: np.ndarray, progress: Progress, what: str) -> Iterator[np.ndarray]:
    for start in range(0, len(codes), BATCH):
        progress.at(what, start / len(codes))
        yield codes[start : start + BATCH]
