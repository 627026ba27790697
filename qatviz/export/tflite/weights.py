"""Weights and biases of the integer model in the types of a TFLite file."""

from dataclasses import replace
from typing import Mapping, NamedTuple

import numpy as np

from qatviz.export.integers.bounds import accumulator_bound, bits_of, channel_bounds, requantization_multipliers
from qatviz.export.integers.fixed_point import fixed_point, multiplier_bits
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.tflite.double_rounding import minimize_double_rounding_error
from qatviz.export.tflite.storage import (
    ACCUMULATOR_BITS,
    INT4_RANGE,
    LARGEST_CODE,
    UINT8_OFFSET,
    bias_type,
    fits_int8,
    weights_type,
)
from qatviz.quant.tie_safe_scales import are_tie_safe


class StoredWeights(NamedTuple):
    """Weights and bias of an operation as stored in a file.

    Attributes
    ----------
    codes : np.ndarray
        int8 or uint8, in the model's shape.
    scale, zero_point : np.ndarray
        float32 and int64, ``[out]``, or ``[1]`` for all channels.
    bias : np.ndarray
        int32 ``[out]``; int64 with int16 activations. Its scale is that of :func:`bias_scale`.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    bias: np.ndarray


def stored_weights(
    model: IntegerModel,
    op: IntegerOp,
    dtype: np.dtype,
    per_channel: bool,
    multiply: bool,
    int4: bool = False,
    double_rounding: bool = False,
) -> StoredWeights:
    """Return the stored weights of ``op`` in a file of ``dtype``.

    Parameters
    ----------
    dtype : np.dtype
        Type of the activations.
    per_channel : bool
        True if the operation supports a scale for each channel.
    multiply : bool
        Multiply codes of few bits by the largest integer with which they fit the type, and divide their scale by it.
        The weights are the same (except for the scale's last bit), and kernels that round twice round less coarsely
        the first time.
    int4 : bool
        Keep codes within INT4.
    double_rounding : bool
        Choose scale and bias for kernels that round twice.
    """
    weights = op.require_weights()
    out = len(weights.bias)
    # uint8 has a zero point if the codes don't fit int8 without it; other zero points are folded into the codes.
    zero = 0 if fits_int8(weights) else int(weights.zero_point.reshape(-1)[0])
    columns = weights.centred.reshape(-1, out) + zero
    scale, bias = weights.channel_scales.astype(np.float64), weights.bias.astype(np.int64)
    vanishing = _vanishing(model, op, per_channel)
    # TFLite can't represent the multipliers of such channels.
    columns, bias = np.where(vanishing, zero, columns), np.where(vanishing, 0, bias)
    scale = np.where(vanishing, model.tensor(op.output).scale / model.tensor(op.inputs[0]).scale, scale)
    times = np.ones(out, np.int64)
    if multiply and zero == 0:
        times = _largest_multiples(model, op, columns, scale, INT4_RANGE[1] if int4 else LARGEST_CODE, per_channel)
    count = out if per_channel else 1
    bias, stored_scale = bias * times, (scale / times).astype(np.float32)[:count]
    if double_rounding:
        stored_scale, change = minimize_double_rounding_error(
            op,
            model.tensor(op.inputs[0]),
            model.tensor(op.output),
            stored_scale,
            times[:count],
            # LiteRT rounds sums of INT4 codes to coarse steps first, so that no change leaves all other codes correct.
            keep_correct=not int4,
        )
        bias += change
    offset = UINT8_OFFSET if dtype == np.uint8 else 0
    return StoredWeights(
        (columns * times + offset).astype(weights_type(dtype)).reshape(weights.codes.shape),
        stored_scale,
        np.full(stored_scale.shape, zero + offset, np.int64),
        bias.astype(bias_type(dtype)),
    )


def with_stored_weights(model: IntegerModel, stored: Mapping[str, StoredWeights]) -> IntegerModel:
    """Return the model with weights, biases and multipliers as stored for its operations, which round once."""
    ops = []
    for op in model.ops:
        if op.name not in stored:
            ops.append(op)
            continue
        found, plain = stored[op.name], op.require_weights()
        weights = replace(
            plain,
            codes=found.codes,
            scale=np.broadcast_to(found.scale, plain.bias.shape),
            zero_point=np.broadcast_to(found.zero_point.astype(np.int32), plain.bias.shape),
            num_bits=8,
            bias=found.bias,
        )
        source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
        bound = accumulator_bound(op.layer, weights, None, [source])
        multipliers = requantization_multipliers(op.layer, weights, [source], output)
        fixed = fixed_point(multipliers, multiplier_bits(bound))
        ops.append(replace(op, weights=weights, requantization=fixed, accumulator_bits=bits_of(bound)))
    return replace(model, ops=tuple(ops))


def bias_scale(source: IntegerTensor, weight_scale: np.ndarray) -> np.ndarray:
    """Return the scale of a bias, input scale times weight scale, float32, which TFLite checks to within 1e-6."""
    return (np.float64(source.scale) * weight_scale.astype(np.float64)).astype(np.float32)


def _vanishing(model: IntegerModel, op: IntegerOp, per_channel: bool) -> np.ndarray:
    """Return a mask, bool ``[out]``, of channels that stay below half a quantization step for any input."""
    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
    weights = op.require_weights()
    real = source.scale * weights.channel_scales.astype(np.float64) / output.scale
    found = real * channel_bounds(weights, source) < 0.5
    return found if per_channel else np.full(found.shape, found.all())


def _largest_multiples(
    model: IntegerModel, op: IntegerOp, columns: np.ndarray, scale: np.ndarray, limit: int, per_channel: bool
) -> np.ndarray:
    """Return the largest numbers by which the codes of each channel can be multiplied: int64 ``[out]``.

    The codes stay within ``limit``, accumulators fit, and float32 kernels still round as integer kernels do. Powers of
    two never change the rounding, because scales are divided by them without an error.
    """
    largest = np.maximum(np.abs(columns).max(axis=0), 1)
    most = np.minimum(np.maximum(limit // largest, 1), 2 ** (ACCUMULATOR_BITS - op.accumulator_bits)).astype(np.int64)
    if not per_channel:
        most = np.full(most.shape, most.min())
    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
    found = np.exp2(np.floor(np.log2(most))).astype(np.int64)
    for number in range(most.max(), 0, -1):
        tried = np.flatnonzero((number <= most) & (number > found))
        if len(tried):
            are_safe = are_tie_safe(
                source.scale,
                scale[tried].astype(np.float32),
                output.scale,
                output.zero_point,
                2 ** (output.num_bits - 1),
                np.full(tried.shape, number),
            )
            found[tried[are_safe]] = number
    return found
