"""Files for kernels that round twice, which are off by less if bias and scale of a channel are a little off.

TensorFlow 1.15's interpreter, TFLite Micro and CMSIS-NN (as they are built by default) take a sum to steps of the
output by gemmlowp's arithmetic: times a 32-bit multiplier, rounded to a whole number; that shifted right by ``n`` bits,
rounded again. What lies up to half a unit of the first rounding before a tie is taken to the tie, and over it. Of all
values that is one of ``2**(n + 1)``, each time the next code; in a deep network, hardly a logit is left as it was.

But half a unit less in the sum is all it takes. A unit of the bias is a half to one of those units, and a change of the
scale is as many of them as the result is large. For each channel that bias, the same or one off, and that scale are
sought with which the fewest ties are taken wrongly. Kernels that round once are less exact with these.
"""

from typing import Tuple

import numpy as np

from qatviz.export.integers.fixed_point import MULTIPLIER_BITS, fixed_point
from qatviz.export.integers.model import IntegerOp, IntegerTensor

#: What is tried: changes of the bias; changes of the scale, in units of the first rounding at the step ``_COMMON``.
_BIASES, _CHANGES = (0, -1, 1), np.arange(-8, 9) / 4
_COMMON = 128
#: Results are taken to be rarer by a factor e with each so many steps from zero.
_RARER = 256
#: Ties up to so many steps from zero are all looked at; of the others, which are rarer, one of so many.
_DENSE, _STRIDE = 32, 5


def multiplied_twice(sums: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """int64: ``sums`` (integers ``[..., n]``) times ``factors`` (float64 ``[n]``), as gemmlowp does it: rounded to a
    whole multiple of ``2**-shift`` first, then to a whole number, halves away from zero.
    """
    multiplier, right_shift = fixed_point(factors)
    shift = right_shift - MULTIPLIER_BITS
    products = (sums << np.maximum(-shift, 0)) * multiplier
    negative, shift = products < 0, np.maximum(shift, 0)
    high = (np.abs(products) + 2 ** (MULTIPLIER_BITS - 1) - negative) >> MULTIPLIER_BITS
    codes = (high + ((np.int64(1) << shift) >> 1)) >> shift
    return np.where(negative, -codes, codes)


def minimize_double_rounding_error(
    op: IntegerOp, source: IntegerTensor, output: IntegerTensor, scale: np.ndarray, times: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Scales and changes of biases for the weights of ``op``.

    Parameters
    ----------
    source, output : IntegerTensor
        Its input and its output.
    scale : np.ndarray
        float32 ``[out]``, or ``[1]`` for one for all channels: the weights' as stored.
    times : np.ndarray
        int64, the same shape: how many times larger the codes and the bias are stored.

    Returns
    -------
    np.ndarray, np.ndarray
        float32 and int64, the same shape.
    """
    ties = _ties(op.clamp[0] - output.zero_point, op.clamp[1] - output.zero_point)
    weight = np.exp(-np.abs(ties) / _RARER)
    exact = op.requantization.real[: len(scale)]
    # Halves go up: the sum before a tie is below it.
    before = np.ceil(ties[:, np.newaxis] / np.where(exact > 0, exact, np.inf)) - 1
    reached = (np.abs(before) + 1 < 2.0 ** (op.accumulator_bits - 1)) & (exact > 0)
    before = np.where(reached, before, 0).astype(np.int64)
    found, change, least = scale.copy(), np.zeros(scale.shape, np.int64), np.full(scale.shape, np.inf)
    for bias in _BIASES:
        for share in _CHANGES:
            tried = (scale * (1 + share * exact / (_COMMON * times))).astype(np.float32)
            factors = np.float64(source.scale) * tried.astype(np.float64) / np.float64(output.scale)
            below, above = [multiplied_twice(sums * times + bias, factors) for sums in (before, before + 1)]
            wrong = weight @ (reached & ((below > ties[:, np.newaxis]) | (above < ties[:, np.newaxis])))
            # Of equals the least change.
            better = wrong < least - 1e-9 if bias or share else wrong <= least
            found, change, least = (
                np.where(better, new, old) for new, old in ((tried, found), (bias, change), (wrong, least))
            )
    return found, change


def _ties(lowest: int, highest: int) -> np.ndarray:
    """float64: those of the results from ``lowest`` to ``highest`` that are looked at."""
    steps = np.arange(lowest, highest)
    return steps[(np.abs(steps) <= _DENSE) | (steps % _STRIDE == 0)] + 0.5
