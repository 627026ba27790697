"""How TFLite's 8-bit types hold the codes of an integer model, and which they can't.

Two kinds of files: int8, whose weights have a zero point of 0, with a scale for each output channel; and uint8, the
older form, whose weights have one scale and any zero point. Codes of the model become int8 as they are, uint8 by
adding 128.
"""

from typing import List, NamedTuple

import numpy as np

from qatviz.export.errors import ExportError
from qatviz.export.integer_model import IntegerModel, IntegerOp, IntegerTensor, IntegerWeights, channel_shape

#: From codes to those of a uint8 file.
UINT8_OFFSET = 128
#: Bits of TFLite's accumulators.
_ACCUMULATOR_BITS = 32
#: TFLite shifts an accumulator left before it multiplies; so many steps of the output are safe from overflow.
_LARGEST_RESULT = 2**30
_LARGEST_CODE = 127


class StoredWeights(NamedTuple):
    """Weights and bias of an operation as a file has them.

    Attributes
    ----------
    codes : np.ndarray
        int8 or uint8, in the shape of the model's.
    scale, zero_point : np.ndarray
        float32 and int64, ``[out]``, or ``[1]`` where there is one for all.
    bias : np.ndarray
        int32 ``[out]``.
    bias_scale : np.ndarray
        float32, shape of ``scale``: input scale times weight scale.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    bias: np.ndarray
    bias_scale: np.ndarray


def storage_type(model: IntegerModel) -> np.dtype:
    """int8; uint8 if 8-bit weights with a zero point ask for it.

    Raises
    ------
    ExportError
        If no TFLite file can hold the model: what is in the way, why, and what would make it possible.
    """
    for tensor in model.tensors:
        if tensor.num_bits > 8:
            raise ExportError("{}: {} bits; TFLite's int8 holds up to 8; possible with {}.num_bits=8".format(
                _where(tensor), tensor.num_bits, tensor.quantizer))
    weighted = [op for op in model.ops if op.weights is not None]
    for op in model.ops:
        _check_op(op)
    shifted = [op for op in weighted if not _fits_int8(op.weights)]
    for op in shifted:
        if not is_uniform(op.weights):
            raise ExportError(
                "layer {0!r}: its weights have 8 bits and a zero point for each channel; TFLite holds 8-bit weights "
                "with a zero point (uint8) or a scale for each channel (int8), not both; possible with "
                "{0}.weights.symmetric=on, with {0}.weights.per_channel=off, or with {0}.weights.num_bits=7".format(
                    op.name))
    for op in weighted:
        if shifted and not is_uniform(op.weights):
            raise ExportError(
                "layer {0!r}: its weights have a scale for each channel, but layer {1!r} has 8-bit weights with a zero "
                "point, which makes it a uint8 file, where weights have one scale; possible with "
                "{0}.weights.per_channel=off, or with {1}.weights.symmetric=on".format(op.name, shifted[0].name))
    return np.dtype(np.uint8 if shifted else np.int8)


def stored_weights(model: IntegerModel, op: IntegerOp, dtype: np.dtype, per_channel: bool,
                   multiply: bool) -> StoredWeights:
    """What a file of ``dtype`` has for the weights of ``op``.

    Parameters
    ----------
    per_channel : bool
        Whether the operation takes scales by channel.
    multiply : bool
        Multiply codes of few bits by the whole number that makes most of 8, and divide their scale by it. The weights
        are the same (but for the scale's last bit), and kernels that round twice round the first time to finer steps.
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
        factor = _multipliers(columns, op.accumulator_bits, per_channel)
    stored_scale = (scale / factor).astype(np.float32)[:out if per_channel else 1]
    offset = UINT8_OFFSET if dtype == np.uint8 else 0
    return StoredWeights(
        (columns * factor + offset).astype(dtype).reshape(weights.codes.shape), stored_scale,
        np.full(stored_scale.shape, zero + offset, np.int64), (bias * factor).astype(np.int32),
        bias_scale(model.tensor(op.inputs[0]), stored_scale))


def bias_scale(source: IntegerTensor, weight_scale: np.ndarray) -> np.ndarray:
    """float32: input scale times weight scale, as TFLite checks it, to a millionth."""
    return (np.float64(source.scale) * weight_scale.astype(np.float64)).astype(np.float32)


def remarks(model: IntegerModel, dtype: np.dtype) -> List[str]:
    """What a file holds all the same, but runtimes may take amiss."""
    found = []
    for op in model.ops:
        if dtype == np.int8 and op.weights is not None and op.weights.centred.min() < -_LARGEST_CODE:
            found.append("{0}.weights: has the code -128, which TFLite's specification leaves out and some kernels "
                         "overflow on; {0}.weights.narrow_range=on avoids it".format(op.name))
    return found


def _check_op(op: IntegerOp) -> None:
    if op.kind == "Add" and len(op.inputs) > 2:
        raise ExportError("layer {!r}: adds {} tensors; TFLite's ADD takes 2, and rounds each sum; possible with a "
                          "chain of Add layers".format(op.name, len(op.inputs)))
    if op.weights is None:
        return
    if op.weights.num_bits > 8:
        raise ExportError("layer {0!r}: its weights have {1} bits; TFLite's int8 holds up to 8; possible with "
                          "{0}.weights.num_bits=8".format(op.name, op.weights.num_bits))
    if op.accumulator_bits > _ACCUMULATOR_BITS:
        raise ExportError("layer {!r}: its sums take up to {} bits; TFLite's accumulators have {}; possible with fewer "
                          "bits for its weights or its input".format(op.name, op.accumulator_bits, _ACCUMULATOR_BITS))
    largest = 2.0**(op.accumulator_bits - 1) * op.factors.real.max()
    if largest > _LARGEST_RESULT:
        raise ExportError("layer {!r}: its sums are up to {:.3g} steps of its output; {:.3g} at most are safe from "
                          "overflow in TFLite; possible with a wider range of its output".format(
                              op.name, largest, _LARGEST_RESULT))


def _where(tensor: IntegerTensor) -> str:
    return "the network's input" if tensor.name == "input" else "layer {!r}: its output".format(tensor.name)


def is_uniform(weights: IntegerWeights) -> bool:
    """One scale and one zero point for all channels."""
    return all(bool((values == values.flat[0]).all()) for values in (weights.scale, weights.zero_point))


def _fits_int8(weights: IntegerWeights) -> bool:
    centred = weights.centred
    return bool(centred.min() >= -_LARGEST_CODE - 1 and centred.max() <= _LARGEST_CODE)


def _vanishing(model: IntegerModel, op: IntegerOp, per_channel: bool) -> np.ndarray:
    """bool ``[out]``: channels whose sums are less than half a step of the output, whatever the input."""
    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
    real = source.scale * op.weights.channel_scales.astype(np.float64) / output.scale
    found = real * 2.0**(op.accumulator_bits - 1) < 0.5
    return found if per_channel else np.full(found.shape, found.all())


def _multipliers(columns: np.ndarray, accumulator_bits: int, per_channel: bool) -> np.ndarray:
    """int64 ``[out]``: how many times larger the codes may be, for them to fit int8 and their sums the accumulator."""
    largest = np.maximum(np.abs(columns).max(axis=0), 1)
    factor = np.maximum(_LARGEST_CODE // largest, 1)
    factor = np.minimum(factor, 2**(_ACCUMULATOR_BITS - accumulator_bits))
    return factor.astype(np.int64) if per_channel else np.full(factor.shape, factor.min(), np.int64)
