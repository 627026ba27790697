"""Nudge the scales of sums of two tensors by a few ULPs so that all runtimes round the sums alike.

A sum is ``a * scale_a / scale + b * scale_b / scale``, rounded, of the codes of two tensors. XNNPACK (LiteRT)
represents these multipliers in 21 bits, onnxruntime in 22 bits or in float32, integer kernels in 31 bits. A few of the
65,536 pairs of codes lie so close to a tie that the result depends on this precision. Which pairs do so depends on the
last digits of a scale, as with weights (:mod:`qatviz.quant.tie_safe_scales`): the output's scale is nudged to the
closest one without such pairs.
"""

from functools import lru_cache
from typing import Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from qatviz.network.elementwise import Multiply, Sum
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.affine import AffineGrid
from qatviz.quant.tie_safe_scales import LARGEST_HALF, MAX_ULPS, ULPS, tie_safe_product_scale

#: Widths in bits of the multipliers of XNNPACK and onnxruntime.
_BITS = (21, 22)
#: Distance from a tie, in quantization steps, below which a sum is tested; smallest distance that float32 resolves.
_NEAR, _FLOAT32_ERROR = 2.0**-12, 2.0**-14.5
#: Distances of the candidates, in ULPs, up to which one selection of sums next to ties serves.
_SELECTED_FOR = (16, 64, MAX_ULPS)


def tie_safe_sum_scales(
    plan: QuantizationPlan, grid_in_use: Callable[[str], Optional[AffineGrid]]
) -> Dict[str, np.float32]:
    """Return the tie-safe scale of each sum and product whose inputs and output are quantized, by its quantizer.

    ``grid_in_use`` returns the grid of an activation tensor, None if it is not quantized.
    """
    nudged: Dict[str, np.float32] = {}
    for unit in plan.units:
        if isinstance(unit.op, Multiply) and not plan.shares_grid(plan.grid_of(unit.output)):
            names, output = [plan.grid_of(name) for name in unit.inputs], grid_in_use(plan.grid_of(unit.output))
            factors = [nudged.get(name, grid.scale) for name, grid in zip(names, map(grid_in_use, names)) if grid]
            if output is not None and len(factors) == len(names):
                nudged[plan.grid_of(unit.output)] = tie_safe_product_scale(
                    float(factors[0]),
                    float(factors[1]),
                    float(output.scale),
                    int(output.zero_point),
                    2 ** (output.num_bits - 1),
                )
        if isinstance(unit.op, Sum) and not plan.shares_grid(plan.grid_of(unit.output)):
            names, output = [plan.grid_of(name) for name in unit.inputs], grid_in_use(plan.grid_of(unit.output))
            grids = [grid for grid in map(grid_in_use, names) if grid is not None]
            if output is not None and len(grids) == len(names):
                nudged[plan.grid_of(unit.output)] = tie_safe_sum_scale(
                    [nudged.get(name, grid.scale) for name, grid in zip(names, grids)],
                    [int(grid.zero_point) for grid in grids],
                    [2 ** (grid.num_bits - 1) for grid in grids],
                    output.scale,
                    2 ** (output.num_bits - 1),
                    unit.op.signs,
                    unit.op.divisor,
                )
    return nudged


def tie_safe_sum_scale(
    input_scales: Sequence[float],
    input_zero_points: Sequence[int],
    input_halves: Sequence[int],
    output_scale: float,
    output_half: int,
    signs: Sequence[int] = (1, 1),
    divisor: int = 1,
) -> np.float32:
    """Return the scale closest to ``output_scale`` at which all runtimes round the sums alike.

    The scale is unchanged if it is a power of two, if no tie-safe scale is close enough, for more than two tensors or
    more than 8 bits, and if a tensor has no scale.

    Parameters
    ----------
    input_scales, output_scale : float
        Values of float32; 0 for none.
    input_zero_points : int
    input_halves, output_half : int
        ``2**(num_bits - 1)``.
    signs : int
        1 for tensors that are added, -1 for one that is subtracted.
    divisor : int
        Number by which the sum is divided; 1 or 2 for two tensors.

    Examples
    --------
    >>> tie_safe_sum_scale([0.1, 0.2], [0, -128], [128, 128], 0.25, 128)
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
    ranges = tuple(
        (int(-half - zero), int(half - zero)) if sign > 0 else (int(zero - half + 1), int(zero + half + 1))
        for half, zero, sign in zip(input_halves, input_zero_points, signs)
    )
    # Dividing a sum by two is the same as doubling the output's scale, which is exact.
    return np.float32(
        _nudged(tuple(map(float, sources)), ranges, np.float32(divisor * scale), int(output_half)) / np.float32(divisor)
    )


@lru_cache(maxsize=256)
def _nudged(
    input_scales: Tuple[float, ...], ranges: Tuple[Tuple[int, int], ...], scale: np.float32, half: int
) -> np.float32:
    first, second = np.meshgrid(*(np.arange(*ends) for ends in ranges), indexing="ij")
    sums = _sums(first, second, input_scales, scale)
    distance, done = np.abs(sums - np.floor(sums) - 0.5), -1
    for largest in _SELECTED_FOR:
        # The pairs that `_is_safe` tests at one of these candidates, each of which changes a sum by a smaller fraction.
        change = 2 * largest * 2.0**-23
        near = (distance < _NEAR + 2 * half * change) & (np.abs(sums) < 2 * half * (1 + change))
        pairs = first[near], second[near]
        for ulps in ULPS[(np.abs(ULPS) > done) & (np.abs(ULPS) <= largest)]:
            candidate = (scale.view(np.int32) + ulps).view(np.float32)
            if _is_safe(input_scales, *pairs, candidate, 2 * half):
                return candidate
        done = largest
    return scale


def _sums(first: np.ndarray, second: np.ndarray, input_scales: Tuple[float, ...], scale: np.float32) -> np.ndarray:
    """Return the sums of codes in quantization steps of ``scale``, float64."""
    multipliers = np.array(input_scales) / np.float64(scale)
    return np.asarray(first * multipliers[0] + second * multipliers[1])


def _is_safe(
    input_scales: Tuple[float, ...], first: np.ndarray, second: np.ndarray, scale: np.float32, reach: int
) -> bool:
    """Return whether all runtimes round the sums of these pairs alike; sums of at least ``reach`` are ignored."""
    sums = _sums(first, second, input_scales, scale)
    distance = np.abs(sums - np.floor(sums) - 0.5)
    tested = (distance < _NEAR) & (np.abs(sums) < reach)
    if (distance[tested] < _FLOAT32_ERROR).any():
        return False
    codes, first, second = np.floor(sums[tested] + 0.5), first[tested], second[tested]
    return all(
        (_fixed_point_sums(first, second, np.float32(input_scales) / scale, bits) == codes).all() for bits in _BITS
    )


def _fixed_point_sums(first: np.ndarray, second: np.ndarray, multipliers: np.ndarray, bits: int) -> np.ndarray:
    """Return the rounded sums, int64, for multipliers in fixed point, the larger of which has ``bits`` bits.

    Source: ``xnn_init_qs8_add_minmax_params`` (XNNPACK), ``MlasCalcQLinearAddParameters`` (onnxruntime).
    """
    shift = bits - int(np.frexp(multipliers.max())[1])
    fixed = np.rint(np.ldexp(multipliers.astype(np.float64), shift)).astype(np.int64)
    sums = first * fixed[0] + second * fixed[1]
    return (sums + (1 << (shift - 1))) >> shift if shift > 0 else sums << -shift
