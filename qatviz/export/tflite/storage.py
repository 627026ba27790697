"""How TFLite's integer types hold the codes of an integer model, and which they can't.

Three kinds of files:

- int8, whose weights have a zero point of 0, with a scale for each output channel. Codes are the model's.
- uint8, the older form, whose weights have one scale and any zero point. Codes are the model's plus 128.
- int16, whose activations have a zero point of 0, and whose weights are int8's. Codes are the model's less their zero
  point, which up to 15 bits always fit. (LiteRT only.)

Weights of up to 4 bits can be INT4 tensors, beside int8 activations. (LiteRT only.)
"""

from typing import FrozenSet, List, NamedTuple

import numpy as np

from qatviz.export.errors import ExportError
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor, IntegerWeights
from qatviz.export.tflite.double_rounding import suited
from qatviz.quant.tie_safe_scales import round_alike

#: From codes to those of a uint8 file.
UINT8_OFFSET = 128
#: Bits of TFLite's accumulators; of those of int16 activations, which are multiplied with 16 bits in 64.
_ACCUMULATOR_BITS, _WIDE_ACCUMULATOR_BITS = 32, 48
#: Right shifts of their kernels end here: with a factor below this, which has a mantissa from 1/2 to 1.
_SMALLEST_WIDE_FACTOR = 2.0**-32
#: TFLite shifts an accumulator left before it multiplies; so many steps of the output are safe from overflow.
_LARGEST_RESULT = 2**30
_LARGEST_CODE = 127
_INT4 = (-8, 7)
_UINT8, _INT16 = np.dtype(np.uint8), np.dtype(np.int16)


class StoredWeights(NamedTuple):
    """Weights and bias of an operation as a file has them.

    Attributes
    ----------
    codes : np.ndarray
        int8 or uint8, in the shape of the model's.
    scale, zero_point : np.ndarray
        float32 and int64, ``[out]``, or ``[1]`` where there is one for all.
    bias : np.ndarray
        int32 ``[out]``; int64 beside int16 activations.
    bias_scale : np.ndarray
        float32, shape of ``scale``: input scale times weight scale.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    bias: np.ndarray
    bias_scale: np.ndarray


def storage_type(model: IntegerModel, int16: bool = False) -> np.dtype:
    """Of activations: int8; uint8 if 8-bit weights with a zero point ask for it; int16 if activations of more than 8
    bits do, and it may be.

    Raises
    ------
    ExportError
        If no TFLite file can hold the model: what is in the way, why, and what would make it possible.
    """
    wide = [tensor for tensor in model.tensors if tensor.num_bits > 8]
    if wide and not int16:
        raise ExportError(
            f"{_where(wide[0])}: {wide[0].num_bits} bits; TFLite's int8 holds up to 8; possible with "
            f"{wide[0].quantizer}.num_bits=8, or as int16, for "
            "LiteRT"
        )
    for op in model.ops:
        _check_op(op, bool(wide))
    if wide:
        _check_int16(model)
        return _INT16
    weighted = [op for op in model.ops if op.weights is not None]
    shifted = [op for op in weighted if not _fits_int8(op.weights)]
    for op in shifted:
        if not is_uniform(op.weights):
            raise ExportError(
                f"layer {op.name!r}: its weights have 8 bits and a zero point for each channel; TFLite holds "
                "8-bit weights "
                "with a zero point (uint8) or a scale for each channel (int8), not both; possible with "
                f"{op.name}.weights.symmetric=on, with {op.name}.weights.per_channel=off, or with "
                f"{op.name}.weights.num_bits=7"
            )
    for op in weighted:
        if shifted and not is_uniform(op.weights):
            raise ExportError(
                f"layer {op.name!r}: its weights have a scale for each channel, but layer {shifted[0].name!r} "
                "has 8-bit weights with a zero "
                "point, which makes it a uint8 file, where weights have one scale; possible with "
                f"{op.name}.weights.per_channel=off, or with {shifted[0].name}.weights.symmetric=on"
            )
    return np.dtype(np.uint8 if shifted else np.int8)


def int4_layers(model: IntegerModel, dtype: np.dtype) -> FrozenSet[str]:
    """Names of the operations whose weights can be INT4 tensors beside activations of ``dtype``.

    Raises
    ------
    ExportError
        If there are no operations for INT4 and ``dtype``.
    """
    small = [op for op in model.ops if op.weights is not None and op.weights.num_bits <= 4]
    if small and dtype == _UINT8:
        shifted = next(op for op in model.ops if op.weights is not None and not _fits_int8(op.weights))
        raise ExportError(
            f"layer {small[0].name!r}: its weights would be INT4, but layer {shifted.name!r} has 8-bit weights "
            "with a zero point, which makes "
            f"it a uint8 file, and INT4 goes with int8; possible with {shifted.name}.weights.symmetric=on, or "
            "without INT4"
        )
    if small and dtype == _INT16:
        raise ExportError(
            f"layer {small[0].name!r}: its weights would be INT4, but there are activations of more than 8 "
            "bits, and LiteRT's int16 "
            "operations take int8 weights; possible with 8 bits for all activations, or without INT4"
        )
    return frozenset(op.name for op in small if _fits(op.weights, *_INT4))


def check_double_rounding(model: IntegerModel, dtype: np.dtype, int4: bool) -> None:
    """Raise :class:`ExportError` if the kernels that round twice don't know what there would be in the file."""
    small = int4 and any(op.weights is not None and op.weights.num_bits <= 4 for op in model.ops)
    if small or dtype == _INT16:
        raise ExportError(
            f"the file would have {'INT4 tensors' if small else 'int16 activations'}, which kernels that round "
            "twice don't know; possible without the "
            "option double_rounding"
        )


def int4_remarks(model: IntegerModel, layers: FrozenSet[str]) -> List[str]:
    """Why weights of up to 4 bits are not among the ``layers`` with INT4 tensors; that there are no such weights."""
    small = [op for op in model.ops if op.weights is not None and op.weights.num_bits <= 4]
    if not small:
        return ["no weights have 4 bits or fewer: no tensor is INT4"]
    return [
        f"{op.name}.weights: {op.weights.num_bits} bits with a zero point, which INT4 tensors don't have: kept "
        "as int8; possible with "
        f"{op.name}.weights.symmetric=on"
        for op in small
        if op.name not in layers
    ]


def code_offset(tensor: IntegerTensor, dtype: np.dtype) -> int:
    """What is added to the codes of a tensor in a file of ``dtype``."""
    if dtype == _INT16:
        return -tensor.zero_point
    return UINT8_OFFSET if dtype == _UINT8 else 0


def weights_type(dtype: np.dtype) -> np.dtype:
    """Of weights, in a file of ``dtype``."""
    return np.dtype(np.uint8 if dtype == _UINT8 else np.int8)


def bias_type(dtype: np.dtype) -> np.dtype:
    """Of biases, in a file of ``dtype``."""
    return np.dtype(np.int64 if dtype == _INT16 else np.int32)


def stored_weights(
    model: IntegerModel,
    op: IntegerOp,
    dtype: np.dtype,
    per_channel: bool,
    multiply: bool,
    int4: bool = False,
    double_rounding: bool = False,
) -> StoredWeights:
    """What a file of ``dtype`` has for the weights of ``op``.

    Parameters
    ----------
    dtype : np.dtype
        Of its activations.
    per_channel : bool
        Whether the operation takes scales by channel.
    multiply : bool
        Multiply codes of few bits by the whole number that makes most of the type, and divide their scale by it. The
        weights are the same (but for the scale's last bit), and kernels that round twice round the first time to finer
        steps.
    int4 : bool
        For codes that fit INT4, to do so.
    double_rounding : bool
        Change scale and bias by what suits kernels that round twice.
    """
    weights, out = op.weights, len(op.weights.bias)
    # uint8 keeps a zero point that int8 could not do without; all others are folded into the codes.
    zero = 0 if _fits_int8(weights) else int(weights.zero_point.reshape(-1)[0])
    columns = weights.centred.reshape(-1, out) + zero
    scale, bias = weights.channel_scales.astype(np.float64), weights.bias.astype(np.int64)
    vanishing = _vanishing(model, op, per_channel)
    # Such channels have scales that TFLite can't work with.
    columns, bias = np.where(vanishing, zero, columns), np.where(vanishing, 0, bias)
    scale = np.where(vanishing, model.tensor(op.output).scale / model.tensor(op.inputs[0]).scale, scale)
    factor = np.ones(out, np.int64)
    if multiply and zero == 0:
        factor = _multipliers(model, op, columns, scale, _INT4[1] if int4 else _LARGEST_CODE, per_channel)
    count = out if per_channel else 1
    bias, stored_scale = bias * factor, (scale / factor).astype(np.float32)[:count]
    if double_rounding:
        stored_scale, change = suited(
            op, model.tensor(op.inputs[0]), model.tensor(op.output), stored_scale, factor[:count]
        )
        bias += change
    offset = UINT8_OFFSET if dtype == _UINT8 else 0
    return StoredWeights(
        (columns * factor + offset).astype(weights_type(dtype)).reshape(weights.codes.shape),
        stored_scale,
        np.full(stored_scale.shape, zero + offset, np.int64),
        bias.astype(bias_type(dtype)),
        bias_scale(model.tensor(op.inputs[0]), stored_scale),
    )


def bias_scale(source: IntegerTensor, weight_scale: np.ndarray) -> np.ndarray:
    """float32: input scale times weight scale, as TFLite checks it, to a millionth."""
    return (np.float64(source.scale) * weight_scale.astype(np.float64)).astype(np.float32)


def remarks(model: IntegerModel, dtype: np.dtype, int4: FrozenSet[str] = frozenset()) -> List[str]:
    """What a file holds all the same, but runtimes may take amiss; ``int4`` names the layers with INT4 weights."""
    found = []
    for op in model.ops:
        if dtype == _UINT8 or op.weights is None:
            continue
        least = _INT4[0] if op.name in int4 else -_LARGEST_CODE - 1
        if op.weights.centred.min() == least:
            found.append(
                f"{op.name}.weights: has the code {least}, which TFLite's specification leaves out and some kernels "
                f"overflow on; {op.name}.weights.narrow_range=on avoids it"
            )
    return found


def _check_op(op: IntegerOp, wide: bool) -> None:
    if op.kind == "Add" and len(op.inputs) > 2:
        raise ExportError(
            f"layer {op.name!r}: adds {len(op.inputs)} tensors; TFLite's ADD takes 2, and rounds each sum; "
            "possible with a "
            "chain of Add layers"
        )
    if op.weights is None:
        return
    if op.weights.num_bits > 8:
        raise ExportError(
            f"layer {op.name!r}: its weights have {op.weights.num_bits} bits; TFLite's int8 holds up to 8; "
            "possible with "
            f"{op.name}.weights.num_bits=8"
        )
    bits = _WIDE_ACCUMULATOR_BITS if wide else _ACCUMULATOR_BITS
    if op.accumulator_bits > bits:
        raise ExportError(
            f"layer {op.name!r}: its sums take up to {op.accumulator_bits} bits; TFLite's accumulators have "
            f"{bits}; possible with fewer "
            "bits for its weights or its input"
        )
    results = 2.0 ** (op.accumulator_bits - 1) * op.factors.real
    if results.max() > _LARGEST_RESULT:
        raise ExportError(
            f"layer {op.name!r}: its sums are up to {results.max():.3g} steps of its output; "
            f"{_LARGEST_RESULT:.3g} at most are safe from "
            "overflow in TFLite; possible with a wider range of its output"
        )
    if wide and ((op.factors.real < _SMALLEST_WIDE_FACTOR) & (results >= 0.5)).any():
        raise ExportError(
            f"layer {op.name!r}: its sums are multiplied with {op.factors.real.min():.3g} to be steps of its "
            "output; LiteRT's int16 "
            f"kernels take {_SMALLEST_WIDE_FACTOR:.3g} at least; possible with a narrower range of its output"
        )


def _check_int16(model: IntegerModel) -> None:
    for tensor in model.tensors:
        if max(tensor.bounds[1] - tensor.zero_point, tensor.zero_point - 1 - tensor.bounds[0]) > np.iinfo(_INT16).max:
            raise ExportError(
                f"{_where(tensor)}: {tensor.num_bits} bits and the zero point {tensor.zero_point}; TFLite's "
                "int16 has the zero point 0; possible "
                f"with {tensor.quantizer}.symmetric=on, or with {tensor.quantizer}.num_bits=15"
            )
    for op in model.ops:
        if op.weights is not None and not _fits_int8(op.weights):
            raise ExportError(
                f"layer {op.name!r}: its weights have {op.weights.num_bits} bits and a zero point; beside "
                "int16 activations "
                f"TFLite holds weights without; possible with {op.name}.weights.symmetric=on, or with "
                f"{op.name}.weights.num_bits=7"
            )


def _where(tensor: IntegerTensor) -> str:
    return "the network's input" if tensor.name == "input" else f"layer {tensor.name!r}: its output"


def is_uniform(weights: IntegerWeights) -> bool:
    """One scale and one zero point for all channels."""
    return all(bool((values == values.flat[0]).all()) for values in (weights.scale, weights.zero_point))


def _fits_int8(weights: IntegerWeights) -> bool:
    return _fits(weights, -_LARGEST_CODE - 1, _LARGEST_CODE)


def _fits(weights: IntegerWeights, low: int, high: int) -> bool:
    centred = weights.centred
    return bool(centred.min() >= low and centred.max() <= high)


def _vanishing(model: IntegerModel, op: IntegerOp, per_channel: bool) -> np.ndarray:
    """Bool ``[out]``: channels whose sums are less than half a step of the output, whatever the input."""
    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
    real = source.scale * op.weights.channel_scales.astype(np.float64) / output.scale
    found = real * 2.0 ** (op.accumulator_bits - 1) < 0.5
    return found if per_channel else np.full(found.shape, found.all())


def _multipliers(
    model: IntegerModel, op: IntegerOp, columns: np.ndarray, scale: np.ndarray, limit: int, per_channel: bool
) -> np.ndarray:
    """int64 ``[out]``: how many times larger the codes may be, for them to keep to ``limit`` and their sums to fit.

    The largest number with which kernels that multiply in float32 still round as integers do; a power of two, by which
    scales can be divided without a rest, always is one.
    """
    largest = np.maximum(np.abs(columns).max(axis=0), 1)
    most = np.minimum(np.maximum(limit // largest, 1), 2 ** (_ACCUMULATOR_BITS - op.accumulator_bits)).astype(np.int64)
    if not per_channel:
        most = np.full(most.shape, most.min())
    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
    found = np.exp2(np.floor(np.log2(most))).astype(np.int64)
    for number in range(most.max(), 0, -1):
        tried = np.flatnonzero((number <= most) & (number > found))
        if len(tried):
            alike = round_alike(
                source.scale,
                scale[tried].astype(np.float32),
                output.scale,
                output.zero_point,
                2 ** (output.num_bits - 1),
                np.full(tried.shape, number),
            )
            found[tried[alike]] = number
    return found
