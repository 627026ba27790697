"""Ranges that TensorFlow's fake-quant kernels nudge to a given grid.

The inputs of ``FakeQuantWithMinMaxVars`` are the ends of a range, not a scale: it computes
``scale = (max - min) / (qmax - qmin)`` in float32, and the zero point from ``min / scale``
(``tensorflow/core/kernels/fake_quant_ops_functor.h``; TFLite's FAKE_QUANT does the same). With minimum and maximum of
an affine grid, the scale is one ULP off for one grid in seven; with one of them shifted by a few ULPs, it is exact.
"""

from typing import NamedTuple, Tuple

import numpy as np

from qatviz.quant.affine import AffineGrid, round_half_up

#: Largest shift of minimum or maximum.
_MAX_ULPS = 8


class Range(NamedTuple):
    """Inputs of a kernel, float32 ``[]`` or ``[channels]``, which are 0 where all values are 0; and its attributes."""

    minimum: np.ndarray
    maximum: np.ndarray
    num_bits: int
    narrow_range: bool


def kernel_range(grid: AffineGrid) -> Range:
    """Return the range that a kernel nudges to a grid.

    >>> kernel_range(AffineGrid(np.float32(0.1), np.int32(0), 8, True))[:2]
    (array(-12.7, dtype=float32), array(12.7, dtype=float32))
    """
    low, high = (np.atleast_1d(np.asarray(end, np.float32)) for end in (grid.minimum, grid.maximum))
    scale, zero = np.broadcast_arrays(np.atleast_1d(grid.scale), np.atleast_1d(grid.zero_point))[:2]
    zero = zero + np.int32(2 ** (grid.num_bits - 1))
    best = [low, high]
    found = np.zeros(low.shape, bool)
    for distance in range(_MAX_ULPS + 1):
        for side in (1, 0):
            for toward in (np.inf, -np.inf):
                ends = [low, high]
                ends[side] = _moved(ends[side], toward, distance)
                nudged_scale, nudged_zero = nudged(ends[0], ends[1], grid.num_bits, grid.narrow_range)
                fits = ~found & (nudged_scale == scale) & (nudged_zero == zero)
                best = [np.where(fits, end, kept) for end, kept in zip(ends, best)]
                found |= fits
        if found.all():
            break
    shape = np.shape(grid.scale)
    return Range(best[0].reshape(shape), best[1].reshape(shape), grid.num_bits, grid.narrow_range)


def nudged(
    minimum: np.ndarray, maximum: np.ndarray, num_bits: int, narrow_range: bool
) -> Tuple[np.ndarray, np.ndarray]:
    """Return scale (float32) and unsigned zero point (int32) as the kernel computes them.

    The range is ``minimum <= 0 <= maximum``.
    """
    first, last = np.float32(int(narrow_range)), np.float32(2**num_bits - 1)
    scale = ((maximum - minimum) / (last - first)).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        position = first - np.where(scale > 0, minimum / scale, np.float32(0)).astype(np.float32)
    return scale, np.clip(round_half_up(position), first, last).astype(np.int32)


def _moved(end: np.ndarray, toward: float, ulps: int) -> np.ndarray:
    """Return ``end`` shifted by ``ulps``; 0 is not shifted, so that ranges contain 0."""
    moved = end
    for _ in range(ulps):
        moved = np.nextafter(moved, np.float32(toward), dtype=np.float32)
    return np.where(end == 0, end, moved).astype(np.float32)
