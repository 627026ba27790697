"""Nudge weight scales by a few ULPs so that float32 and fixed-point requantization agree at every tie.

An accumulator ``k`` is an integer in units of input scale times weight scale. Requantization yields the output's code
``k * input_scale * weight_scale / output_scale``, rounded. Kernels of XNNPACK (LiteRT) and onnxruntime compute the
requantization multiplier, and its product with ``k``, in float32, and round ties to even; integer kernels use more
digits and round ties up. The two differ where a product lies closer to a tie than float32 can resolve: at a few of the
``k`` next to one of the at most 255 ties of a channel. In a deep network that changes 2 of 100 logits (measured: a
trained mobilenet with 8 bits per channel), by up to 21 codes.

Which ``k`` these are depends on the last digits of the multiplier, which carry no information. The scale of each
channel is therefore nudged to the closest one without such ``k``: by one unit in the last place (ULP) on average, for
8 bits.
"""

from functools import lru_cache
from typing import Optional, Tuple

import numpy as np

from qatviz.quant.int16_kernels import representable_scales

#: Largest change of a scale, in ULPs: at most 3 parts in 100,000.
MAX_ULPS = 256
#: Changes to try, the smallest first.
ULPS = np.array(sorted(range(-MAX_ULPS, MAX_ULPS + 1), key=abs), np.int32)
#: Number of candidates tested together.
_BATCH = 512
#: Bound on the relative error of an integer multiplier, which is below 2**-31.
_INTEGER_ERROR = 2.0**-30
#: Below this, float32 represents every integer.
_EXACT_INTEGERS = 2**24
#: Half the number of codes of 8 bits. Runtimes that requantize in float32 have no outputs of more bits.
LARGEST_HALF = 128
#: Fractions of the ties of a channel, the largest first, after each of which the scales that have failed are left out.
_PARTS = (0.08, 0.2, 0.5)


def tie_safe_scales(
    input_scale: float,
    weight_scales: np.ndarray,
    output_scale: float,
    output_zero_point: int,
    output_half: int,
    wide: bool = False,
) -> np.ndarray:
    """Return ``weight_scales``, each replaced by the closest scale at which all accumulators are rounded alike.

    A scale is unchanged if it is a power of two, if there is no tie-safe scale within :data:`MAX_ULPS` (very small
    multipliers), or if input, weights or output have no scale.

    Parameters
    ----------
    input_scale, output_scale : float
        Values of float32; 0 for none.
    weight_scales : np.ndarray
        float32 ``[n]`` or ``[]``.
    output_zero_point : int
    output_half : int
        ``2**(num_bits - 1)`` of the output; for more than 8 bits, all scales are unchanged.
    wide : bool
        True if any activation of the network has more than 8 bits: all multipliers then are those of TFLite's int16
        kernels (:func:`qatviz.quant.int16_kernels.representable_scales`).

    Returns
    -------
    np.ndarray
        float32, the same shape.

    Examples
    --------
    >>> tie_safe_scales(0.1, np.float32([0.003, 0.25]), 0.05, -128, 128)
    array([0.003, 0.25 ], dtype=float32)
    """
    if wide:
        return representable_scales(input_scale, weight_scales, output_scale)
    scales = np.asarray(weight_scales, np.float32)
    if not (0 < input_scale < np.inf and 0 < output_scale < np.inf and output_half <= LARGEST_HALF):
        return scales
    reach = _reach(output_zero_point, output_half)
    # All channels of a tensor that is quantized as a whole have the same scale.
    distinct, places = np.unique(scales, return_inverse=True)
    found = _nudged(float(input_scale), distinct.tobytes(), float(output_scale), reach)
    return np.frombuffer(found, np.float32)[places].reshape(scales.shape)


def tie_safe_product_scale(
    first: float, second: float, output_scale: float, output_zero_point: int, output_half: int
) -> np.float32:
    """Return the scale closest to ``output_scale`` at which all runtimes round products of two tensors alike.

    The accumulators are products of codes, whose unit is the product of the scales ``first`` and ``second``. The scale
    is unchanged where :func:`tie_safe_scales` changes none.
    """
    scale = np.float32(output_scale)
    usable = min(first, second, output_scale) > 0 and max(first, second, output_scale) < np.inf
    if not usable or output_half > LARGEST_HALF or np.frexp(scale)[0] == 0.5:
        return scale
    return _product_scale(float(first), float(second), scale, _reach(output_zero_point, output_half))


@lru_cache(maxsize=256)
def _product_scale(first: float, second: float, scale: np.float32, reach: int) -> np.float32:
    weights = np.float32([second])
    for distance in ULPS:
        candidate = (scale.view(np.int32) + distance).view(np.float32)
        if _are_safe(first, weights, float(candidate), reach)[0]:
            return candidate
    return scale


def are_tie_safe(
    input_scale: float,
    weight_scales: np.ndarray,
    output_scale: float,
    output_zero_point: int,
    output_half: int,
    times: np.ndarray,
) -> np.ndarray:
    """Return whether float32 kernels round multiplied weight codes as integer kernels round the codes, bool ``[n]``.

    For the float32 kernel, codes are multiplied and scales divided by ``times`` (integers ``[n]``). The other
    parameters are those of :func:`tie_safe_scales`.
    """
    scales = np.asarray(weight_scales, np.float32)
    if output_half > LARGEST_HALF:
        return np.ones(scales.shape, bool)
    return _are_safe(input_scale, scales, output_scale, _reach(output_zero_point, output_half), times)


def _reach(zero_point: int, half: int) -> int:
    """Return the largest distance of a code from the zero point."""
    return int(max(half - 1 - zero_point, zero_point + half))


@lru_cache(maxsize=1024)  # all layers of a large network: looked up for each batch of an evaluation
def _nudged(input_scale: float, weight_scales: bytes, output_scale: float, reach: int) -> bytes:
    scales = np.frombuffer(weight_scales, np.float32).copy()
    movable = np.isfinite(scales) & (scales > 0) & (np.frexp(scales)[0] != 0.5)
    left, first = np.flatnonzero(movable), 0
    while len(left) and first < len(ULPS):
        # A single change for many scales, many changes for a few.
        tried = ULPS[first : first + 1 + (first > 0) * (_BATCH // len(left))]
        candidates = (scales.view(np.int32)[left, np.newaxis] + tried).view(np.float32)
        safe = _are_safe(input_scale, candidates.ravel(), output_scale, reach).reshape(candidates.shape)
        found, which = safe.any(axis=1), safe.argmax(axis=1)
        scales[left[found]] = candidates[found, which[found]]
        left, first = left[~found], first + len(tried)
    return bytes(scales.tobytes())


def _are_safe(
    input_scale: float, weight_scales: np.ndarray, output_scale: float, reach: int, times: Optional[np.ndarray] = None
) -> np.ndarray:
    """Return whether float32 and integer arithmetic agree on the accumulators next to every tie, bool ``[n]``.

    For each tie, these are the largest accumulator below it and the next one.
    """
    multipliers, in_float32 = (
        part[:, np.newaxis] for part in _multipliers(input_scale, weight_scales, output_scale, times)
    )
    safe = np.ones(len(multipliers), bool)
    # Most unsafe scales fail at large ties, so that the other ties need not be tested.
    all_ties = np.arange(reach)[::-1] + 0.5
    for ties in np.split(all_ties, [int(part * reach) for part in _PARTS]):
        safe[safe] = _agree(
            ties, multipliers[safe], in_float32[safe], None if times is None else times[safe, np.newaxis]
        ).all(axis=1)
    return safe


def _multipliers(
    input_scale: float, scales: np.ndarray, output_scale: float, times: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the multipliers of accumulators at these scales in float64, and divided by ``times`` in float32."""
    with np.errstate(over="ignore"):  # the scales of a diverged run; infinity is never safe
        # In the order of the kernels.
        divided = scales if times is None else (scales / times).astype(np.float32)
        in_float32 = np.float32(input_scale) * divided / np.float32(output_scale)
    return input_scale * scales.astype(np.float64) / output_scale, in_float32


def _agree(
    ties: np.ndarray, multipliers: np.ndarray, in_float32: np.ndarray, times: Optional[np.ndarray] = None
) -> np.ndarray:
    """Return for each tie and multiplier whether float32 and integer arithmetic agree next to it, bool.

    ``times`` are those of :func:`are_tie_safe`; without them, codes are as they are.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        before = np.floor(ties / multipliers)
        after = before + 1
        safe: np.ndarray = before * multipliers < ties * (1 - _INTEGER_ERROR)
        safe &= after * multipliers > ties * (1 + _INTEGER_ERROR)
        if times is not None:
            before *= times
            after *= times
        in_float32, ties = np.asarray(in_float32, np.float32), ties.astype(np.float32)  # exact: halves below 256
        safe &= before.astype(np.float32) * in_float32 < ties
        safe &= after.astype(np.float32) * in_float32 > ties
        # Accumulators beyond the integers that float32 represents exactly are not tested.
        safe |= ~(after < _EXACT_INTEGERS)
    return safe
