"""Scales of weights with which runtimes that multiply in float32 and those that multiply integers round alike.

A sum of products is a whole number ``k`` of input scale times weight scale. Taken to steps of the output it is ``k *
input_scale * weight_scale / output_scale``, rounded. Kernels of XNNPACK (LiteRT) and onnxruntime have that factor, and
its product with ``k``, in float32, and round ties to even; kernels in integers have more digits and round ties up. The
two differ where a product lies closer to a tie than float32 can tell: at a few of the ``k`` just before or just after
one of the at most 255 ties of a channel. In a deep network that makes 2 of 100 logits another (measured: a trained
mobilenet with 8 bits per channel), by up to 21 codes.

But which ``k`` those are depends on the last digits of the factor, which mean nothing. So the scale of each channel is
moved by as few units in its last place as it takes to have none: one on average, for 8 bits.
"""

from functools import lru_cache
from typing import Union

import numpy as np

#: How far a scale may be moved, in units in the last place: 3 of 100,000 at most.
FARTHEST = 256
#: By what is tried, the closest first; how many scales are looked at together.
DISTANCES = np.array(sorted(range(-FARTHEST, FARTHEST + 1), key=abs), np.int32)
_AT_ONCE = 512
#: A factor in integers may be off by a share of less than 2**-31.
_INTEGER_ERROR = 2.0**-30
#: float32 has all integers up to here.
_WHOLE = 2**24
#: Of 8 bits. Runtimes that take sums to more do not do it in float32.
LARGEST_HALF = 128
#: Ties are looked at in so many parts.
_PARTS = 6


def agreeing_scales(
    input_scale: float, weight_scales: np.ndarray, output_scale: float, output_zero_point: int, output_half: int
) -> np.ndarray:
    """``weight_scales``, moved to the closest ones with which all products are rounded alike.

    A scale stays as it is where it is a power of two, where there is none close enough (with very small factors), and
    where input, weights or output have no scale.

    Parameters
    ----------
    input_scale, output_scale : float
        Values of float32; 0 for none.
    weight_scales : np.ndarray
        float32 ``[n]`` or ``[]``.
    output_zero_point : int
    output_half : int
        ``2**(num_bits - 1)`` of the output; with more than 8 bits, scales stay.

    Returns
    -------
    np.ndarray
        float32, the same shape.

    Examples
    --------
    >>> agreeing_scales(0.1, np.float32([0.003, 0.25]), 0.05, -128, 128)
    array([0.003, 0.25 ], dtype=float32)
    """
    scales = np.asarray(weight_scales, np.float32)
    if not (0 < input_scale < np.inf and 0 < output_scale < np.inf and output_half <= LARGEST_HALF):
        return scales
    steps = _steps(output_zero_point, output_half)
    found = _moved(float(input_scale), scales.tobytes(), float(output_scale), steps)
    return np.frombuffer(found, np.float32).reshape(scales.shape)


def round_alike(
    input_scale: float,
    weight_scales: np.ndarray,
    output_scale: float,
    output_zero_point: int,
    output_half: int,
    times: np.ndarray,
) -> np.ndarray:
    """Bool ``[n]``: whether products are rounded alike where a kernel in float32 has ``times`` (integers ``[n]``) the
    codes of the weights and as much smaller scales, and where integers have neither. Else as
    :func:`agreeing_scales`.
    """
    scales = np.asarray(weight_scales, np.float32)
    if output_half > LARGEST_HALF:
        return np.ones(scales.shape, bool)
    return _alike(input_scale, scales, output_scale, _steps(output_zero_point, output_half), times)


def _steps(zero_point: int, half: int) -> int:
    """How far a code can be from the zero point."""
    return int(max(half - 1 - zero_point, zero_point + half))


@lru_cache(maxsize=1024)  # all layers of a large network: an evaluation asks for each of its batches
def _moved(input_scale: float, weight_scales: bytes, output_scale: float, steps: int) -> bytes:
    scales = np.frombuffer(weight_scales, np.float32).copy()
    movable = np.isfinite(scales) & (scales > 0) & (np.frexp(scales)[0] != 0.5)
    left, first = np.flatnonzero(movable), 0
    while len(left) and first < len(DISTANCES):
        # One try for many scales, many tries for a few.
        tried = DISTANCES[first : first + 1 + (first > 0) * (_AT_ONCE // len(left))]
        candidates = (scales.view(np.int32)[left, np.newaxis] + tried).view(np.float32)
        alike = _alike(input_scale, candidates.ravel(), output_scale, steps).reshape(candidates.shape)
        found, which = alike.any(axis=1), alike.argmax(axis=1)
        scales[left[found]] = candidates[found, which[found]]
        left, first = left[~found], first + len(tried)
    return scales.tobytes()


def _alike(
    input_scale: float, weight_scales: np.ndarray, output_scale: float, steps: int, times: Union[int, np.ndarray] = 1
) -> np.ndarray:
    """Bool ``[n]``: whether the sums before and after each tie are so in float32 and in integers."""
    factors = (input_scale * weight_scales.astype(np.float64) / output_scale)[:, np.newaxis]
    # In the kernels' order.
    in_float32 = np.float32(input_scale) * (weight_scales / times).astype(np.float32) / np.float32(output_scale)
    counts = np.broadcast_to(times, len(factors))[:, np.newaxis]
    alike = np.ones(len(factors), bool)
    # Most of those that are not, are not at large ties, after which there is no need to look at the others.
    for ties in np.array_split(np.arange(steps)[::-1] + 0.5, _PARTS):
        alike[alike] = _alike_at(ties, factors[alike], in_float32[alike, np.newaxis], counts[alike])
    return alike


def _alike_at(ties: np.ndarray, factors: np.ndarray, in_float32: np.ndarray, times: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        before = np.floor(ties / factors)
        after = before + 1
        # What float32 can't count is beyond all sums that kernels take without loss.
        alike = ~(after * times < _WHOLE)
        alike |= (
            (before * factors < ties * (1 - _INTEGER_ERROR))
            & (after * factors > ties * (1 + _INTEGER_ERROR))
            & ((before * times).astype(np.float32) * in_float32 < ties)
            & ((after * times).astype(np.float32) * in_float32 > ties)
        )
    return alike.all(axis=1)
