"""Operations of an ONNX file as integer operators whose accumulators are multiplied in double precision.

In QDQ form a runtime may accumulate in float, and does so for an Add: one of a million codes differs, and in a deep
network more do. (If it multiplies integer accumulators in float32, tie-safe scales give the same codes:
:mod:`qatviz.quant.tie_safe_scales`.) Here the outputs of ConvInteger and MatMulInteger are the accumulators themselves,
and requantization is written out::

    codes = cast(clip(accumulator * multiplier + zero_point + 1/2))

Casting to an unsigned type rounds down. A double holds the product with an error below 2**-44 quantization steps, so
every code is that of the simulator.

Codes of more than 8 bits are two bytes each here, because the operators have no wider inputs: the accumulator is 256
times the sum of products of the upper bytes plus that of the lower ones. In such networks, an Add rounds its terms
before their sum, in products of up to 62 bits, which are int64.
"""

from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.onnx.file import DOUBLE, FLOAT, INT32, INT64, UINT8, OnnxFile
from qatviz.export.onnx.grids import Grids, codes_name, is_wide
from qatviz.export.onnx.layout import TO_CHANNELS_FIRST
from qatviz.export.onnx.matrices import put_matrices
from qatviz.export.onnx.storage import BITS, Storage, StoredWeights
from qatviz.network.elementwise import Sum
from qatviz.network.layer import element_count
from qatviz.network.layers import AveragePool, Conv2DTranspose
from qatviz.network.matmul import MatMul
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT
from qatviz.quant.int16_kernels import Q31

_KINDS = (
    "Conv2D",
    "GroupedConv2D",
    "DepthwiseConv2D",
    "Conv2DTranspose",
    "Dense",
    "GlobalAveragePool",
    "Add",
    "Subtract",
    "Average",
    "Multiply",
    "MatMul",
)
#: Function of a value, of the constant with its zero point and of a name.
Preparation = Callable[[str, str, str], str]
#: Number of values of a byte; added to codes, so that they are not negative.
_BYTE, _HALF_RANGE = 256, 2**15
#: Zero point of codes of more than 8 bits that are rounded, with which none is negative.
_STORED_WIDE = 2.0**16
#: Bounds of int32 sums, and of products of int64 with room for a half.
_LARGEST_SUM, _LARGEST_PRODUCT = 2**31 - 1, 2**62
#: Bits of int32 sums, with the sign.
_SUM_BITS = 32


def wide_note(has_codes: bool, exact: bool) -> str:
    """Return the note on tensors of more than 8 bits in float, with the remedy unless the file is ``exact``."""
    remedy = "" if exact else " (the option exact computes in integers, with weights of up to 8 bits)"
    return f"of 9 to 16 bits, and so {'computed' if has_codes else 'rounded'} in float{remedy}"


class ExactOperations:
    """Builder of nodes with integer operators in a uint8 file."""

    def __init__(self, model: IntegerModel, file: OnnxFile, storage: Storage, grids: Grids):
        self._model, self._file, self._storage, self._grids = model, file, storage, grids

    def supports(self, op: IntegerOp) -> bool:
        """Return whether an operation has this form and needs it: others are exact without it, or computed in float."""
        if op.kind == "AveragePool":
            return is_wide(self._model.tensor(op.output))
        if op.kind not in _KINDS:
            return False
        if op.kind == "MatMul" and (
            any(is_wide(self._model.tensor(name)) for name in op.inputs) or op.accumulator_bits > _SUM_BITS
        ):
            return False
        if op.rounds_terms:
            return self._largest_product(op) <= _LARGEST_PRODUCT
        if op.rounds_twice:
            ((multiplier, shift),) = _factors(op)
            largest = int(multiplier) << (op.accumulator_bits - 1 + max(Q31 - shift, 0))
            return largest <= _LARGEST_PRODUCT
        if op.weights is None:
            return True
        magnitudes = np.abs(op.weights.centred.astype(np.int64)).reshape(-1, len(op.weights.bias))
        return bool(
            op.weights.num_bits <= BITS
            and self._weights(op).channel_scales is None
            and magnitudes.sum(axis=0).max() * (_BYTE - 1) <= _LARGEST_SUM
        )

    def is_exact(self, op: IntegerOp) -> bool:
        """Return whether every code of an operation is the simulator's, in this form or because it has no sums."""
        return op.kind != "Softmax" and (op.kind not in _KINDS or self.supports(op))

    def weighted(
        self,
        op: IntegerOp,
        operator: str,
        arrange: Callable[[np.ndarray], np.ndarray],
        prepare: Preparation = lambda value, zero_point, name: value,
        **attributes: Any,
    ) -> None:
        """Append ConvInteger or MatMulInteger, with axes of the weights as ``arrange`` orders them.

        ``prepare`` arranges the codes of the input.
        """
        source, stored = self._model.tensor(op.inputs[0]), self._weights(op)
        name, dtype = op.name + ".weights", self._storage.dtype
        codes = self._file.add_constant(name + ".codes", arrange(stored.codes), dtype, op.require_weights().name)
        zero = self._file.add_constant(name + ".zero_point", stored.zero_point.flat[0], dtype)
        shape = (-1,) + (1,) * (len(self._model.tensor(op.output).shape) - 1)
        if is_wide(source):
            sums = self._sums_of_bytes(op, operator, [codes, zero], prepare, **attributes)
            bias = self._number(op.name + ".bias", op.require_weights().bias.reshape(shape))
            sums = self._file.add_step("Add", [sums, bias], op.name + ".add_bias")
        else:
            zero_point = self._grids.zero_point(source)
            inputs = [prepare(codes_name(source), zero_point, op.name), codes, zero_point, zero]
            sums = self._file.add_step(operator, inputs, op.name, **attributes)
            bias = self._file.add_constant(op.name + ".bias", stored.bias.reshape(shape), np.int32)
            sums = self._file.add_step("Add", [sums, bias], op.name + ".add_bias")
            sums = self._in_double(sums, op.name)
        self._finish(op, sums, op.require_requantization().real.reshape(shape))

    def transposed(self, op: IntegerOp) -> None:
        """Append a Conv2DTranspose as a ConvInteger, with the kernel turned by 180 degrees: ONNX has no other one."""
        self.weighted(
            op,
            "ConvInteger",
            lambda codes: codes[::-1, ::-1].transpose(3, 2, 0, 1),
            lambda value, zero_point, name: self._spread(op, value, zero_point, name),
        )

    def _spread(self, op: IntegerOp, value: str, zero_point: str, name: str) -> str:
        """Return the codes of the input of a Conv2DTranspose with zero points between its pixels and around them."""
        layer, (rows, columns, channels) = op.layer, self._model.tensor(op.inputs[0]).shape
        assert isinstance(layer, Conv2DTranspose)
        apart = self._integers(name + ".pixels", (-1, channels, rows, 1, columns, 1))
        value = self._file.add_step("Reshape", [value, apart], name + ".apart")
        gaps = self._integers(name + ".gaps", (0,) * 9 + (layer.strides[0] - 1, 0, layer.strides[1] - 1))
        value = self._file.add_step("Pad", [value, gaps, zero_point], name + ".with_gaps")
        whole = self._integers(name + ".size", (-1, channels, rows * layer.strides[0], columns * layer.strides[1]))
        value = self._file.add_step("Reshape", [value, whole], name + ".spread")
        # The last gap is left out where the border is narrower.
        (top, bottom), (left, right) = (
            (kernel - 1 - before, kernel - stride - after)
            for kernel, stride, (before, after) in zip(layer.kernel_size, layer.strides, op.require_pads())
        )
        border = self._integers(name + ".border", (0, 0, top, left, 0, 0, bottom, right))
        return self._file.add_step("Pad", [value, border, zero_point], name + ".with_border")

    def _sums_of_bytes(
        self, op: IntegerOp, operator: str, weights: Sequence[str], prepare: Preparation, **attributes: Any
    ) -> str:
        """Return the sums of products, without bias, of an input of two bytes; ``weights`` are codes and zero point."""
        source = self._model.tensor(op.inputs[0])
        codes, zeros = self._bytes(source, op.name), divmod(source.zero_point + _HALF_RANGE, _BYTE)
        parts = []
        for place, (part, zero) in enumerate(zip(codes, zeros)):
            # The operator itself has the layer's name.
            name = op.name + ("" if place else ".upper")
            zero_point = self._file.add_constant(name + ".zero_byte", zero, np.uint8)
            in_bytes = prepare(self._file.add_step("Cast", [part], name + ".byte", to=UINT8), zero_point, name)
            sums = self._file.add_step(operator, [in_bytes, weights[0], zero_point, weights[1]], name, **attributes)
            parts.append(self._in_double(sums, name))
        return self._joined(parts, op.name)

    def _bytes(self, source: IntegerTensor, name: str) -> List[str]:
        """Return the upper and the lower bytes of codes of more than 8 bits, in float."""
        value = self._grids.relative_codes(source, source.zero_point, name + ".source")
        offset = self._file.add_constant(name + ".offset", source.zero_point + _HALF_RANGE, np.float32)
        value = self._file.add_step("Add", [value, offset], name + ".not_negative")
        byte = self._file.add_constant(name + ".byte", _BYTE, np.float32)
        upper = self._file.add_step("Div", [value, byte], name + ".in_bytes")
        upper = self._file.add_step("Floor", [upper], name + ".upper_byte")
        whole = self._file.add_step("Mul", [upper, byte], name + ".without_lower_byte")
        return [upper, self._file.add_step("Sub", [value, whole], name + ".lower_byte")]

    def _joined(self, parts: Sequence[str], name: str) -> str:
        """Return 256 times the first of two parts plus the second."""
        upper = self._file.add_step("Mul", [parts[0], self._number(name + ".upper_unit", _BYTE)], name + ".upper_part")
        return self._file.add_step("Add", [upper, parts[1]], name + ".joined")

    def global_average(self, op: IntegerOp) -> None:
        """Append a GlobalAveragePool as a sum of codes and its requantization."""
        source = self._model.tensor(op.inputs[0])
        count = element_count(source.shape[:2])
        axes = self._file.add_constant(op.name + ".axes", [2, 3], np.int64)
        if is_wide(source):
            value = self._in_double(self._grids.relative_codes(source, source.zero_point, op.name + ".source"), op.name)
            sums = self._file.add_step("ReduceSum", [value, axes], op.name, keepdims=0)
            sums = self._file.add_step(
                "Mul", [sums, self._number(op.name + ".three", MEAN_WEIGHT)], op.name + ".tripled"
            )
            sums = self._file.add_step("Add", [sums, self._number(op.name + ".one", MEAN_BIAS)], op.name + ".ties_up")
            self._finish(op, sums, op.require_requantization().real[0])
            return
        value = self._file.add_step("Cast", [codes_name(source)], op.name + ".in_int32", to=INT32)
        sums = self._in_double(self._file.add_step("ReduceSum", [value, axes], op.name, keepdims=0), op.name)
        less = MEAN_BIAS / MEAN_WEIGHT - count * float(self._storage.stored(source.zero_point))
        sums = self._file.add_step("Add", [sums, self._number(op.name + ".centre", less)], op.name + ".centred")
        self._finish(op, sums, MEAN_WEIGHT * op.require_requantization().real[0])

    def average(self, op: IntegerOp, **attributes: Any) -> None:
        """Append an AveragePool of more than 8 bits: float32 averages of bytes times their numbers are whole sums."""
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        counts = _elements(op, source.shape, output.shape)
        factor = self._file.add_constant(op.name + ".count", counts, np.float32)
        parts = []
        for place, part in enumerate(self._bytes(source, op.name)):
            name = op.name + ("" if place else ".upper")
            means = self._file.add_step("AveragePool", [part], name, count_include_pad=0, **attributes)
            sums = self._file.add_step("Mul", [means, factor], name + ".sum")
            parts.append(self._in_double(self._file.add_step("Round", [sums], name + ".whole_sum"), name))
        offset = self._number(op.name + ".offsets", counts * float(op.require_tie_center() + _HALF_RANGE))
        sums = self._file.add_step("Sub", [self._joined(parts, op.name), offset], op.name + ".from_center")
        size = self._file.add_step("Abs", [sums], op.name + ".size")
        size = self._file.add_step("Div", [size, self._number(op.name + ".counts", counts)], op.name + ".mean")
        size = self._file.add_step("Add", [size, self._number(op.name + ".half", 0.5)], op.name + ".ties_away")
        size = self._file.add_step("Cast", [size], op.name + ".whole_mean", to=INT64)
        size = self._in_double(size, op.name + ".size")
        sign = self._file.add_step("Sign", [sums], op.name + ".sign")
        value = self._file.add_step("Mul", [size, sign], op.name + ".signed")
        center = self._number(op.name + ".center", op.require_tie_center() - output.zero_point)
        self._finish(op, self._file.add_step("Add", [value, center], op.name + ".from_zero"))

    def matrix_product(self, op: IntegerOp) -> None:
        """Append a MatMulInteger of codes, between Transposes of images, which have channels first."""
        assert isinstance(op.layer, MatMul)
        rank = len(self._model.tensor(op.output).shape)
        sources = [self._model.tensor(name) for name in op.inputs]
        inputs = put_matrices(self._file, op.layer, list(map(codes_name, sources)), rank, op.name)
        inputs += map(self._grids.zero_point, sources)
        if rank != 3:
            sums = self._file.add_step("MatMulInteger", inputs, op.name)
        else:
            sums = self._file.add_step("MatMulInteger", inputs, op.name + ".product")
            sums = self._file.add_step("Transpose", [sums], op.name, perm=TO_CHANNELS_FIRST)
        if op.rounds_twice:
            ((multiplier, shift),) = _factors(op)
            sums = self._file.add_step("Cast", [sums], op.name + ".in_int64", to=INT64)
            sums = self._rounded_twice(sums, multiplier, shift, op.name + ".total")
            self._finish(op, self._in_double(sums, op.name + ".whole"))
            return
        self._finish(op, self._in_double(sums, op.name), op.require_requantization().real[0])

    def combine(self, op: IntegerOp) -> None:
        """Append a sum or a product of tensors."""
        if op.kind == "Multiply":
            self._multiply(op)
        elif op.rounds_terms:
            self._add_rounded_terms(op)
        else:
            self._add(op)

    def _add(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, Sum)
        total = ""
        factors = op.require_requantization().real * op.layer.signs
        for place, (name, multiplier) in enumerate(zip(op.inputs, factors)):
            source, part = self._model.tensor(name), f"{op.name}.term{place}"
            value = self._centred(source, part)
            value = self._file.add_step("Mul", [value, self._number(part + ".factor", multiplier)], part)
            if not total:
                total = value
            else:
                node = op.name if place == len(op.inputs) - 1 else part + ".sum"
                total = self._file.add_step("Add", [total, value], node)
        self._finish(op, total)

    def _multiply(self, op: IntegerOp) -> None:
        factors = [self._centred(self._model.tensor(name), f"{op.name}.factor{i}") for i, name in enumerate(op.inputs)]
        if op.rounds_twice:
            ((multiplier, shift),) = _factors(op)
            product = self._file.add_step("Mul", factors, op.name)
            product = self._file.add_step("Cast", [product], op.name + ".in_int64", to=INT64)
            product = self._rounded_twice(product, multiplier, shift, op.name + ".total")
            self._finish(op, self._in_double(product, op.name + ".product"))
            return
        self._finish(op, self._file.add_step("Mul", factors, op.name), op.require_requantization().real[0])

    def _centred(self, source: IntegerTensor, name: str) -> str:
        """Return the codes of a tensor minus its zero point, double."""
        if is_wide(source):
            return self._in_double(self._grids.relative_codes(source, source.zero_point, name), name)
        value = self._in_double(codes_name(source), name)
        zero = self._number(name + ".zero_point", self._storage.stored(source.zero_point))
        return self._file.add_step("Sub", [value, zero], name + ".centred")

    def _add_rounded_terms(self, op: IntegerOp) -> None:
        """Append the sum of two tensors as TFLite's int16 kernels compute it."""
        *terms, total = _factors(op)
        rounded = []
        for place, (name, (multiplier, shift)) in enumerate(zip(op.inputs, terms)):
            part = f"{op.name}.term{place}"
            value = self._file.add_step(
                "Cast", [self._centred(self._model.tensor(name), part)], part + ".in_int64", to=INT64
            )
            rounded.append(self._rounded_twice(value, multiplier, shift, part))
        operator = "Sub" if op.kind == "Subtract" else "Add"
        value = self._file.add_step(operator, rounded, op.name)
        multiplier, shift = total
        value = self._rounded_twice(value, multiplier, shift, op.name + ".total")
        self._finish(op, self._in_double(value, op.name))

    def _rounded_twice(self, value: str, multiplier: int, right_shift: int, name: str) -> str:
        """Append :func:`qatviz.quant.int16_kernels.rounded_twice`."""
        left, right = max(Q31 - right_shift, 0), max(right_shift - Q31, 0)
        value = self._file.add_step("Mul", [value, self._integer(name + ".factor", multiplier << left)], name)
        value = self._file.add_step("Add", [value, self._integer(name + ".half", 2 ** (Q31 - 1))], name + ".add_half")
        high = self._shifted(value, Q31, name + ".high")
        if not right:
            return high
        negative = self._file.add_step("Less", [high, self._integer(name + ".zero", 0)], name + ".is_negative")
        down = self._file.add_step("Cast", [negative], name + ".down", to=INT64)
        value = self._file.add_step("Sub", [high, down], name + ".away_from_zero")
        value = self._file.add_step("Add", [value, self._integer(name + ".tie", 2 ** (right - 1))], name + ".add_tie")
        return self._shifted(value, right, name + ".low")

    def _shifted(self, value: str, bits: int, name: str) -> str:
        """Append ``value >> bits``; ONNX shifts unsigned integers only, and its division rounds towards 0."""
        unit = self._integer(name + ".unit", 2**bits)
        rest = self._file.add_step("Mod", [value, unit], name + ".rest")
        whole = self._file.add_step("Sub", [value, rest], name + ".without_rest")
        return self._file.add_step("Div", [whole, unit], name)

    def _largest_product(self, op: IntegerOp) -> int:
        """Return a bound on the products of a sum whose terms are rounded."""
        *terms, (multiplier, total_shift) = _factors(op)
        reaches = [self._model.tensor(name).reach for name in op.inputs]
        products = [reach * (m << max(Q31 - shift, 0)) for reach, (m, shift) in zip(reaches, terms)]
        most = sum((product >> max(Q31, shift)) + 1 for product, (_, shift) in zip(products, terms))
        return max(*products, most * (multiplier << max(Q31 - total_shift, 0)))

    def _finish(self, op: IntegerOp, value: str, multiplier: Optional[np.ndarray] = None) -> None:
        output, name = self._model.tensor(op.output), op.output
        if multiplier is not None:
            value = self._file.add_step("Mul", [value, self._number(name + ".factor", multiplier)], name + ".in_steps")
        if is_wide(output):
            zero, (least, greatest) = _STORED_WIDE, (code - output.zero_point + _STORED_WIDE for code in op.clamp)
        else:
            zero = float(self._storage.stored(output.zero_point))
            least, greatest = (float(self._storage.stored(code)) for code in op.clamp)
        value = self._file.add_step(
            "Add", [value, self._number(name + ".half_up", zero + 0.5)], name + ".from_zero_point"
        )
        # The half keeps the greatest value away from the next code, even if it is rounded itself.
        ends = [self._number(name + ".least", least), self._number(name + ".greatest", greatest + 0.5)]
        value = self._file.add_step("Clip", [value, *ends], name + (".clamp" if is_wide(output) else ".limit"))
        if is_wide(output):
            value = self._in_float(self._file.add_step("Cast", [value], name + ".round_down", to=INT32), name)
            zero_point = self._file.add_constant(name + ".zero", zero, np.float32)
            value = self._file.add_step("Sub", [value, zero_point], name + ".centred_codes")
            self._grids.put_relative_codes(output, value, output.zero_point)
            return
        codes = self._file.add_node("Cast", [value], codes_name(output), name + ".round_down", to=UINT8)
        self._grids.put_codes(output, codes)

    def _weights(self, op: IntegerOp) -> StoredWeights:
        return self._storage.weights(self._model, op)

    def _in_double(self, value: str, name: str) -> str:
        return self._file.add_step("Cast", [value], name + ".in_double", to=DOUBLE)

    def _in_float(self, value: str, name: str) -> str:
        return self._file.add_step("Cast", [value], name + ".in_float", to=FLOAT)

    def _number(self, name: str, value: Any) -> str:
        return self._file.add_constant(name, value, np.float64)

    def _integer(self, name: str, value: int) -> str:
        return self._file.add_constant(name, value, np.int64)

    def _integers(self, name: str, values: Sequence[int]) -> str:
        return self._file.add_constant(name, values, np.int64)


def _factors(op: IntegerOp) -> List[Tuple[int, int]]:
    """Return multipliers and right shifts."""
    multipliers, shifts = op.require_requantization()
    return [(int(multiplier), int(shift)) for multiplier, shift in zip(multipliers, shifts)]


def _elements(op: IntegerOp, image: Tuple[int, ...], result: Tuple[int, ...]) -> np.ndarray:
    """Return the number of elements of each window of a pool without padding: float64 ``[1, 1, rows, columns]``."""
    assert isinstance(op.layer, AveragePool)
    counts = []
    for axis in (0, 1):
        first = np.arange(result[axis]) * op.layer.strides[axis] - op.require_pads()[axis][0]
        counts.append(np.minimum(first + op.layer.pool_size[axis], image[axis]) - np.maximum(first, 0))
    return np.float64(np.outer(*counts))[None, None]
