"""Scales and biases that minimize the error of kernels which round twice.

TensorFlow 1.15's interpreter, TFLite Micro and CMSIS-NN (as they are built by default) requantize by gemmlowp's
arithmetic: the accumulator times a 32-bit multiplier is rounded to a whole number, which is shifted right by ``n`` bits
and rounded again. A value up to half a unit of the first rounding before a tie is rounded to the tie, then beyond it.
This happens to one of ``2**(n + 1)`` values, which get the next code; in a deep network, few logits remain the same.

Half a unit less in the accumulator compensates for it. A unit of the bias is a half to one of those units, and a change
of the scale changes the result in proportion to its size. For each channel, the bias (the same, or one unit more or
less) and the scale are chosen that round the fewest ties wrongly. Kernels that round once are less exact
with these.
"""

from typing import Tuple

import numpy as np

from qatviz.export.integers.fixed_point import MULTIPLIER_BITS, fixed_point
from qatviz.export.integers.model import IntegerOp, IntegerTensor

#: Candidates: changes of the bias; changes of the scale, in units of the first rounding for a result of this size.
_BIASES, _CHANGES = (0, -1, 1), np.arange(-8, 9) / 4
_TYPICAL_RESULT = 128
#: Distance from zero, in quantization steps, over which results are assumed to become rarer by a factor of e.
_DECAY = 256
#: Distance from zero, in quantization steps, up to which all ties are tested; and the stride of those beyond.
_DENSE, _STRIDE = 32, 5


def requantize_with_double_rounding(accumulators: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return ``accumulators`` (integers ``[..., n]``) times ``real`` (float64 ``[n]``) as gemmlowp computes it, int64.

    The product is rounded to a whole multiple of ``2**-shift`` first, then to a whole number, halves away from zero.
    """
    multiplier, right_shift = fixed_point(real)
    shift = right_shift - MULTIPLIER_BITS
    products = (accumulators << np.maximum(-shift, 0)) * multiplier
    negative, shift = products < 0, np.maximum(shift, 0)
    high = (np.abs(products) + 2 ** (MULTIPLIER_BITS - 1) - negative) >> MULTIPLIER_BITS
    codes = (high + ((np.int64(1) << shift) >> 1)) >> shift
    return np.where(negative, -codes, codes)


def minimize_double_rounding_error(
    op: IntegerOp, source: IntegerTensor, output: IntegerTensor, scale: np.ndarray, times: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Return scales and changes of biases for the weights of ``op``.

    Parameters
    ----------
    source, output : IntegerTensor
        Its input and its output.
    scale : np.ndarray
        float32 ``[out]``, or ``[1]`` for all channels: scale of the stored weights.
    times : np.ndarray
        int64, the same shape: factor of the stored codes and of the stored bias.

    Returns
    -------
    np.ndarray, np.ndarray
        float32 and int64, the same shape.
    """
    ties = _ties(op.clamp[0] - output.zero_point, op.clamp[1] - output.zero_point)
    weight = np.exp(-np.abs(ties) / _DECAY)
    exact = op.require_requantization().real[: len(scale)]
    # Exact results round half up: the last accumulator before a tie must stay below it.
    before = np.ceil(ties[:, np.newaxis] / np.where(exact > 0, exact, np.inf)) - 1
    reached = (np.abs(before) + 1 < 2.0 ** (op.accumulator_bits - 1)) & (exact > 0)
    before = np.where(reached, before, 0).astype(np.int64)
    found, change, least = scale.copy(), np.zeros(scale.shape, np.int64), np.full(scale.shape, np.inf)
    for bias in _BIASES:
        for units in _CHANGES:
            tried = (scale * (1 + units * exact / (_TYPICAL_RESULT * times))).astype(np.float32)
            real = np.float64(source.scale) * tried.astype(np.float64) / np.float64(output.scale)
            below, above = [
                requantize_with_double_rounding(accumulators * times + bias, real)
                for accumulators in (before, before + 1)
            ]
            wrong = weight @ (reached & ((below > ties[:, np.newaxis]) | (above < ties[:, np.newaxis])))
            # Among equally good ones, the smallest change.
            better = wrong < least - 1e-9 if bias or units else wrong <= least
            found, change, least = (
                np.where(better, new, old) for new, old in ((tried, found), (bias, change), (wrong, least))
            )
    return found, change


def _ties(lowest: int, highest: int) -> np.ndarray:
    """Return the ties between results from ``lowest`` to ``highest`` that are tested, float64."""
    steps = np.arange(lowest, highest)
    return steps[(np.abs(steps) <= _DENSE) | (steps % _STRIDE == 0)] + 0.5
