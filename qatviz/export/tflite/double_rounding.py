"""Scales and biases that minimize the error of kernels which round twice.

TensorFlow 1.15's interpreter, TFLite Micro and CMSIS-NN (as they are built by default) requantize by gemmlowp's
arithmetic: the accumulator times a 32-bit multiplier is rounded to a whole number, which is shifted right by ``n`` bits
and rounded again. A value up to half a unit of the first rounding before a tie is rounded to the tie, then beyond it.
This happens to one of ``2**(n + 1)`` values, which get the next code; in a deep network, few logits remain the same.

Half a unit less in the accumulator compensates for it. A unit of the bias is a half to one of those units, and a change
of the scale changes the result in proportion to its size. For each channel, the bias (the same, or one unit more or
less) and the scale are chosen that round the fewest ties wrongly, among those with which every accumulator that is
rounded correctly without a change still is. No layer thus gets worse, whatever its input, and its codes differ from the
exact ones no more than in a file without the changes. Kernels that round once are less exact with these.
"""

from typing import Any, Sequence, Tuple

import numpy as np

from qatviz.export.integers.fixed_point import MULTIPLIER_BITS, fixed_point
from qatviz.export.integers.model import IntegerOp, IntegerTensor

#: Candidates: changes of the bias; changes of the scale, in units of the first rounding for a result of this size.
_BIASES, _CHANGES = (0, -1, 1), np.arange(-8, 9) / 4
_TYPICAL_RESULT = 128
#: Distance from zero, in quantization steps, over which results are assumed to become rarer by a factor of e.
_DECAY = 256
#: Distance from zero, in quantization steps, up to which all ties are tested first; and the stride of those beyond.
_DENSE, _STRIDE = 32, 5
#: Tested accumulators on both sides of a tie, as distances from the last one below it. Rounding is monotonic: if the
#: second one on a side is rounded correctly, so are those beyond it.
_NEAREST, _NEAR = (0, 1), (-1, 0, 1, 2)


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
    op: IntegerOp,
    source: IntegerTensor,
    output: IntegerTensor,
    scale: np.ndarray,
    times: np.ndarray,
    keep_correct: bool = True,
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the scales, and changes of biases, with which the fewest ties of ``op`` are rounded wrongly.

    Parameters
    ----------
    source, output : IntegerTensor
        Its input and its output.
    scale : np.ndarray
        float32 ``[out]``, or ``[1]`` for all channels: scale of the stored weights.
    times : np.ndarray
        int64, the same shape: factor of the stored codes and of the stored bias.
    keep_correct : bool
        True if no accumulator may be rounded wrongly that is rounded correctly without a change.

    Returns
    -------
    np.ndarray, np.ndarray
        float32 and int64, the same shape.
    """
    lowest, highest = op.clamp[0] - output.zero_point, op.clamp[1] - output.zero_point
    every = np.arange(lowest, highest) + 0.5
    some = every[(np.abs(every) <= _DENSE) | (np.arange(lowest, highest) % _STRIDE == 0)]
    all_ties, some_ties = _Ties(op, every, times), _Ties(op, some, times)
    exact, weight = op.require_requantization().real[: len(scale)], np.exp(-np.abs(some) / _DECAY)
    found, change = scale.copy(), np.zeros(scale.shape, np.int64)
    in_steps = np.float64(source.scale) / np.float64(output.scale)
    plain = scale.astype(np.float64) * in_steps
    some_wrong, all_wrong = some_ties.wrong(plain, 0), all_ties.wrong(plain, 0, _NEAR)
    least = weight @ some_wrong.sum(axis=0)
    # One unit more cannot help results above 0, which are rounded up wrongly.
    for bias in _BIASES if lowest < 0 else _BIASES[:-1]:
        for units in _CHANGES:
            tried = (scale * (1 + units * exact / (_TYPICAL_RESULT * times))).astype(np.float32)
            real = tried.astype(np.float64) * in_steps
            wrong = some_ties.wrong(real, bias)
            count = weight @ wrong.sum(axis=0)
            better = count < least - 1e-9
            if keep_correct:
                better &= ~(wrong & ~some_wrong).any(axis=(0, 1))
                # Few candidates are left, so that all ties can be tested.
                places = np.flatnonzero(better)
                wrong = all_ties.wrong(real, bias, _NEAR, places)
                better[places] = ~(wrong & ~all_wrong[:, :, places]).any(axis=(0, 1))
            found, change, least = (
                np.where(better, new, old) for new, old in ((tried, found), (bias, change), (count, least))
            )
    return found, change


class _Ties:
    """Ties of an operation's results, with the accumulators next to them.

    Parameters
    ----------
    op : IntegerOp
    ties : np.ndarray
        float64 ``[ties]``, in quantization steps from the output's zero point.
    times : np.ndarray
        int64 ``[out]`` or ``[1]``: factor of the stored codes and of the stored bias.
    """

    def __init__(self, op: IntegerOp, ties: np.ndarray, times: np.ndarray):
        self._ties, self._times = ties[:, np.newaxis], times
        exact = op.require_requantization().real[: len(times)]
        # Exact results round half up: the last accumulator before a tie must stay below it.
        before = np.ceil(self._ties / np.where(exact > 0, exact, np.inf)) - 1
        self._reached = (np.abs(before) + 1 < 2.0 ** (op.accumulator_bits - 1)) & (exact > 0)
        self._before = np.where(self._reached, before, 0).astype(np.int64)

    def wrong(
        self, real: np.ndarray, bias: int, offsets: Sequence[int] = _NEAREST, places: Any = slice(None)
    ) -> np.ndarray:
        """Return which accumulators next to a tie are rounded to its other side: bool ``[offsets, ties, out]``.

        ``real`` are float64 requantization multipliers ``[out]``, ``bias`` is added to the stored accumulator,
        ``offsets`` are those of accumulators from the last one below the tie, ``places`` selects channels.
        """
        before, times, found = self._before[:, places], self._times[places], []
        for offset in offsets:
            codes = requantize_with_double_rounding((before + offset) * times + bias, real[places])
            found.append(codes > self._ties if offset <= 0 else codes < self._ties)
        return np.array(found) & self._reached[:, places]
