"""Requantization multipliers in fixed point, with which integer runtimes multiply an accumulator by a ratio of scales.

A real multiplier is stored as ``multiplier * 2**-right_shift`` with ``multiplier`` in ``[2**(bits-1), 2**bits)``. The
product is rounded once, half up: ``floor(accumulator * multiplier * 2**-right_shift + 1/2)``, in 64-bit integers.
"""

from typing import NamedTuple

import numpy as np

#: Bits of a multiplier if the accumulator has no more than 31: their product fits 62 bits and the sign.
MULTIPLIER_BITS = 31
#: Largest number of bits (without the sign) of the product of accumulator and multiplier.
PRODUCT_BITS = 62
#: Largest accumulator: it leaves a multiplier 18 bits, whose error is at most a quarter of a quantization step of a
#: 16-bit output.
LARGEST_ACCUMULATOR = 2**44 - 1


class FixedPoint(NamedTuple):
    """Real multipliers ``multiplier * 2**-right_shift``.

    Attributes
    ----------
    multiplier : np.ndarray
        int64 ``[n]``, 0 or in ``[2**30, 2**31)`` (with fewer bits if the accumulator is wide).
    right_shift : np.ndarray
        int64 ``[n]``, 1 to 62. Runtimes that count left shifts from a Q31 multiplier have ``31 - right_shift``.
    """

    multiplier: np.ndarray
    right_shift: np.ndarray

    @property
    def real(self) -> np.ndarray:
        """The real multipliers, float64 ``[n]``."""
        return np.ldexp(self.multiplier.astype(np.float64), -self.right_shift.astype(np.int32))


def multiplier_bits(accumulator_bound: int) -> int:
    """Return the number of bits of a multiplier whose products with accumulators up to ``accumulator_bound`` fit."""
    return min(MULTIPLIER_BITS, PRODUCT_BITS - int(accumulator_bound).bit_length())


def fixed_point(real: np.ndarray, bits: int = MULTIPLIER_BITS) -> FixedPoint:
    """Return positive multipliers ``real`` (float64 ``[n]``) in fixed point of ``bits`` bits, rounded to nearest.

    Those above ``2**(bits - 2)`` are clipped to it, which still moves every accumulator but 0 beyond 16 bits. Those so
    small that every product is below 1/2 become 0.

    >>> fixed_point(np.array([0.75]))
    FixedPoint(multiplier=array([1610612736]), right_shift=array([31]))
    """
    real = _saturated(real, bits)
    fraction, exponent = np.frexp(real)
    multiplier = np.floor(np.ldexp(fraction, bits) + 0.5).astype(np.int64)
    carried = multiplier == 2**bits  # a fraction just below 1
    multiplier = np.where(carried, 2 ** (bits - 1), multiplier)
    right_shift = bits - exponent.astype(np.int64) - carried
    vanishes = (right_shift > PRODUCT_BITS) | (real == 0)
    return FixedPoint(np.where(vanishes, 0, multiplier), np.where(vanishes, 1, right_shift))


def common_fixed_point(real: np.ndarray) -> FixedPoint:
    """Return multipliers as :func:`fixed_point` does, but all with the right shift of the largest.

    This allows products to be summed before they are rounded.
    """
    real = _saturated(real, MULTIPLIER_BITS)
    shift = fixed_point(real.max()).right_shift
    scaled = np.ldexp(real, shift.astype(np.int32))
    return FixedPoint(np.floor(scaled + 0.5).astype(np.int64), np.full(real.shape, shift))


def requantize(accumulator: np.ndarray, by: FixedPoint) -> np.ndarray:
    """Return ``accumulator`` (integers ``[..., n]``) times real multipliers, rounded half up once, as int64."""
    return round_shift(accumulator.astype(np.int64) * by.multiplier, by.right_shift)


def round_shift(products: np.ndarray, right_shift: np.ndarray) -> np.ndarray:
    """Return ``floor(products * 2**-right_shift + 1/2)``, int64, for shifts from 1."""
    return (products + (np.int64(1) << (right_shift - 1))) >> right_shift


def _saturated(real: np.ndarray, bits: int) -> np.ndarray:
    return np.minimum(np.asarray(real, np.float64), np.ldexp(1.0, bits - 2))
