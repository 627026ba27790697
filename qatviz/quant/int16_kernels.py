"""Arithmetic of TFLite's int16 kernels: requantization multipliers of 15 bits, and sums that are rounded twice.

TFLite's kernels for activations of more than 8 bits reduce the multiplier of an int64 accumulator to 15 bits
(``MultiplyByQuantizedMultiplier(int64_t, ...)``), and round once, half up. The last bits of a multiplier carry no
information. So if any activation of a network has more than 8 bits, all its multipliers are defined to have 15 bits:
weight scales are moved by at most 2**-15 of their size, to those with such a multiplier. Evaluation, simulator, C and
LiteRT then compute the same integers.

ADD rounds both terms to 2**-15 of the larger scale, then their sum, each with a multiplier of 31 bits. That is the
definition of such a sum, too, as LiteRT's kernel for vectors of 16 codes computes it (``AddElementwiseInt16``). The
reference kernel, of TFLite Micro and of sums that repeat a tensor along axes, rounds the term of the smaller scale
twice; one of 10,000 to 100,000 sums differs. SUB rounds as ADD does.

MUL multiplies the product of two codes by a multiplier of 31 bits and rounds it twice, as each of these.
"""

from typing import Sequence, Tuple

import numpy as np

#: Largest number of bits of the activations of networks that TFLite's int8 kernels compute.
NARROW_BITS = 8
#: Bits of a multiplier, and the other bits of the mantissa of a float64 (which has 53 with the implicit one).
MULTIPLIER_BITS = 15
TAIL_BITS = 53 - MULTIPLIER_BITS
#: Products of codes that are at least this large don't fit TFLite's accumulators, of int32.
LARGEST_PRODUCT = 2.0**31
#: Bits of the multipliers of a sum.
Q31 = 31
#: Fractional bits of the terms of a sum, which are multiples of twice the larger input scale.
_SUM_BITS = 15


def round_multipliers(real: np.ndarray) -> np.ndarray:
    """Return positive multipliers (float64) rounded to :data:`MULTIPLIER_BITS` bits, halves up; 0 remains 0.

    >>> round_multipliers(np.array([0.5, 1 / 3])) * 2**16
    array([32768., 21845.])
    """
    bits = np.asarray(real, np.float64).reshape(-1).view(np.int64)
    half = np.int64(1) << (TAIL_BITS - 1)
    return ((bits + half) >> TAIL_BITS << TAIL_BITS).view(np.float64).reshape(np.shape(real))


def representable_scales(input_scale: float, weight_scales: np.ndarray, output_scale: float) -> np.ndarray:
    """Return the closest weight scales whose requantization multipliers have 15 bits.

    As scales are float32, a multiplier is only close to one of 15 bits, to which the kernel rounds it. Just below a
    power of two, the kernel saturates at the largest number of 15 bits below it, so the scale is raised until the
    multiplier is at least that power.

    Parameters
    ----------
    input_scale, output_scale : float
        Values of float32; 0 for none.
    weight_scales : np.ndarray
        float32, any shape.

    Returns
    -------
    np.ndarray
        float32, the same shape; the scales themselves if input or output have no scale, and those that are 0.
    """
    scales = np.asarray(weight_scales, np.float32)
    if not (0 < input_scale < np.inf and 0 < output_scale < np.inf):
        return scales
    ratio = np.float64(output_scale) / np.float64(input_scale)
    multipliers = round_multipliers(scales.astype(np.float64) / ratio)
    with np.errstate(over="ignore"):
        found = (multipliers * ratio).astype(np.float32)
    for _ in range(2):
        reached = np.float64(input_scale) * found.astype(np.float64) / np.float64(output_scale)
        short = (np.frexp(multipliers)[0] == 0.5) & (reached < multipliers)
        found = np.where(short, np.nextafter(found, np.float32(np.inf)), found)
    usable = np.isfinite(found) & (found >= np.finfo(np.float32).tiny) & np.isfinite(scales)
    return np.where(usable, found, scales).astype(np.float32)


def sum_constants(input_scales: Sequence[float], output_scale: float) -> Tuple[np.ndarray, np.ndarray]:
    """Return multipliers and right shifts of the terms of a sum and of the sum itself, as ADD computes them.

    ``output = rounded_twice(sum(rounded_twice(code, *term)), *total)``

    Parameters
    ----------
    input_scales, output_scale : float
        Values of float32, above 0.

    Returns
    -------
    np.ndarray, np.ndarray
        int64 ``[len(input_scales) + 1]``, the last for the sum: multipliers in ``[2**30, 2**31)``, and the shifts.
    """
    sources = np.float32(input_scales).astype(np.float64)
    unit = 2 * sources.max() / 2.0**_SUM_BITS
    return in_q31(np.append(sources, unit) / np.append([unit] * len(sources), np.float32(output_scale)))


def product_constants(first_scale: float, second_scale: float, output_scale: float) -> Tuple[np.ndarray, np.ndarray]:
    """Return multiplier and right shift of a product, int64 ``[1]``, as LiteRT's MUL computes them: from float32.

    ``output = rounded_twice(code * code, multiplier, right_shift)``; the scales are values of float32, above 0.
    """
    product = np.float32(first_scale) * np.float32(second_scale)
    return in_q31(np.float64([product / np.float32(output_scale)]))


def in_q31(real: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return positive multipliers as whole numbers in ``[2**30, 2**31)`` and right shifts, int64."""
    fraction, exponent = np.frexp(real)
    multiplier = np.floor(np.ldexp(fraction, Q31) + 0.5).astype(np.int64)
    carried = multiplier == 2**Q31  # a fraction just below 1
    return np.where(carried, 2 ** (Q31 - 1), multiplier), Q31 - exponent.astype(np.int64) - carried


def rounded_twice(values: np.ndarray, multiplier: np.ndarray, right_shift: np.ndarray) -> np.ndarray:
    """Return integers times ``multiplier * 2**-right_shift`` in gemmlowp's arithmetic, int64.

    The product is rounded, half up, to a multiple of ``2**(31 - right_shift)``; if that is less than 1, it is rounded
    to a whole number then, half away from zero.
    """
    left, right = np.maximum(Q31 - right_shift, 0), np.maximum(right_shift - Q31, 0)
    high = ((values.astype(np.int64) << left) * multiplier + (np.int64(1) << (Q31 - 1))) >> Q31
    return (high + ((np.int64(1) << right) >> 1) - ((high < 0) & (right > 0))) >> right
