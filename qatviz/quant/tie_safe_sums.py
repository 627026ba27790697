"""Scales of a sum of two tensors with which all runtimes round it alike.

An Add has the codes of two tensors, in steps of its output: ``a * scale_a / scale + b * scale_b / scale``, rounded.
XNNPACK (LiteRT) has these factors in 21 bits, onnxruntime in 22 bits or in float32, kernels in integers in 31 bits, and
of 65,536 pairs of codes a few lie so close to a tie that it makes a difference. As with the weights
(:mod:`qatviz.quant.tie_safe_scales`), which ones depends on the last digits of a scale, and so the output's is moved by
as few units in the last place as it takes to have none.
"""

from functools import lru_cache
from typing import Sequence, Tuple

import numpy as np

from qatviz.quant.tie_safe_scales import DISTANCES, LARGEST_HALF

#: Bits of the factors of runtimes that have few.
_BITS = (21, 22)
#: How far from a tie a sum may be, in steps, for it to be looked at; and how far it has to be for float32.
_NEAR, _FLOAT32_ERROR = 2.0**-12, 2.0**-14.5
#: Codes of the first tensor are looked at in so many parts.
_PARTS = 8


def agreeing_sum_scale(
    input_scales: Sequence[float],
    input_zero_points: Sequence[int],
    input_halves: Sequence[int],
    output_scale: float,
    output_half: int,
) -> np.float32:
    """``output_scale``, moved to the closest one with which all sums are rounded alike.

    It stays as it is where it is a power of two, where there is none close enough, of more than two tensors, with more
    than 8 bits, and where a tensor has no scale.

    Parameters
    ----------
    input_scales, output_scale : float
        Values of float32; 0 for none.
    input_zero_points : int
    input_halves, output_half : int
        ``2**(num_bits - 1)``.

    Examples
    --------
    >>> agreeing_sum_scale([0.1, 0.2], [0, -128], [128, 128], 0.25, 128)
    0.25
    """
    scale, sources = np.float32(output_scale), np.asarray(input_scales, np.float32)
    if (
        len(sources) != 2
        or max(*input_halves, output_half) > LARGEST_HALF
        or not ((sources > 0).all() and np.isfinite(sources).all() and 0 < scale < np.inf)
        or np.frexp(scale)[0] == 0.5
    ):
        return scale
    reaches = tuple((int(-half - zero), int(half - zero)) for half, zero in zip(input_halves, input_zero_points))
    return _moved(tuple(map(float, sources)), reaches, scale, int(output_half))


@lru_cache(maxsize=256)
def _moved(
    input_scales: Tuple[float, float], reaches: Tuple[Tuple[int, int], ...], scale: np.float32, half: int
) -> np.float32:
    first, second = (np.arange(*reach) for reach in reaches)
    for distance in DISTANCES:
        candidate = (scale.view(np.int32) + distance).view(np.float32)
        # Most candidates fail in the first part already.
        if all(_alike(input_scales, first[part::_PARTS], second, candidate, 2 * half) for part in range(_PARTS)):
            return candidate
    return scale


def _alike(
    input_scales: Tuple[float, float], first: np.ndarray, second: np.ndarray, scale: np.float32, steps: int
) -> bool:
    """Whether the sums of these codes are the same for all runtimes, as far as they are below ``steps``."""
    factors = np.array(input_scales) / np.float64(scale)
    sums = (first * factors[0])[:, np.newaxis] + second * factors[1]
    distance = np.abs(sums - np.floor(sums) - 0.5)
    rows, columns = np.nonzero((distance < _NEAR) & (np.abs(sums) < steps))
    if (distance[rows, columns] < _FLOAT32_ERROR).any():
        return False
    codes = np.floor(sums[rows, columns] + 0.5)
    return all(
        (_in_few_bits(first[rows], second[columns], np.float32(input_scales) / scale, bits) == codes).all()
        for bits in _BITS
    )


def _in_few_bits(first: np.ndarray, second: np.ndarray, factors: np.ndarray, bits: int) -> np.ndarray:
    """int64: sums, with the larger factor in so many bits, as ``xnn_init_qs8_add_minmax_params`` of XNNPACK and
    ``MlasCalcQLinearAddParameters`` of onnxruntime have them.
    """
    shift = bits - int(np.frexp(factors.max())[1])
    multipliers = np.rint(np.ldexp(factors.astype(np.float64), shift)).astype(np.int64)
    sums = first * multipliers[0] + second * multipliers[1]
    return (sums + (1 << (shift - 1))) >> shift if shift > 0 else sums << -shift
