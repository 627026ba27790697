"""Affine quantization in NumPy: the reference that every other implementation in this package is tested against.

A real value ``x`` is stored as a signed integer code: ``x ~ scale * (code - zero_point)``. The arithmetic is float32
and follows TensorFlow's kernel (``tensorflow/core/kernels/fake_quant_ops_functor.h``) operation by operation, so that
the results are equal and not merely close. The kernel's codes are unsigned: signed codes plus ``2**(num_bits - 1)``.
"""

from dataclasses import dataclass
from typing import Tuple, Union

import numpy as np

ArrayLike = Union[float, np.ndarray]

MIN_BITS, MAX_BITS = 2, 16
#: Scales outside these bounds count as 0: such a tensor is treated as all zero. Below, float32 arithmetic runs into
#: denormals, which TensorFlow's threads flush to zero (measured: codes equal the kernel's down to 2**-124, and its
#: values are NaN where the scale itself is denormal).
SMALLEST_SCALE = np.float32(2.0**-120)
#: Above, the range of the 16-bit kernel that carries every grid in the graph would be infinite (see
#: :mod:`qatviz.quant.fake_quant`).
LARGEST_SCALE = np.float32(3e38 / 65535)


def code_bounds(num_bits: int, narrow_range: bool) -> Tuple[int, int]:
    """Return the smallest and largest signed code, ``(-2**(b-1) + narrow, 2**(b-1) - 1)``.

    >>> code_bounds(8, False), code_bounds(2, True)
    ((-128, 127), (-1, 1))
    """
    half = 2 ** (int(num_bits) - 1)
    return -half + int(bool(narrow_range)), half - 1


def round_half_up(x: np.ndarray) -> np.ndarray:
    """Return ``floor(x + 0.5)`` in float32, the kernel's rounding (``np.round`` rounds halves to even)."""
    return np.floor(np.asarray(x, np.float32) + np.float32(0.5))


@dataclass(frozen=True)
class AffineGrid:
    """The representable values of one tensor, or of each of its output channels.

    Attributes
    ----------
    scale : np.ndarray
        float32 ``[]`` or ``[num_channels]``: distance of two neighbouring values; 0 for an all-zero tensor.
    zero_point : np.ndarray
        int32, same shape: code of the real value 0.
    num_bits, narrow_range
        As in :func:`code_bounds`.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    num_bits: int
    narrow_range: bool

    @property
    def bounds(self) -> Tuple[int, int]:
        """Smallest and largest code."""
        return code_bounds(self.num_bits, self.narrow_range)

    @property
    def minimum(self) -> np.ndarray:
        """Smallest representable value, float32 (TensorFlow's nudged min)."""
        return (np.float32(self.bounds[0]) - self.zero_point.astype(np.float32)) * self.scale

    @property
    def maximum(self) -> np.ndarray:
        """Largest representable value, float32 (TensorFlow's nudged max)."""
        return (np.float32(self.bounds[1]) - self.zero_point.astype(np.float32)) * self.scale


def choose_grid(
    range_min: ArrayLike,
    range_max: ArrayLike,
    num_bits: int = 8,
    symmetric: bool = False,
    narrow_range: bool = False,
    power_of_two: bool = False,
) -> AffineGrid:
    """Return the grid for values in ``[range_min, range_max]``.

    The range is first widened to contain 0, so that 0 is exact. Then, with ``qmin, qmax = code_bounds(...)``:

    - affine: ``scale = (max - min) / (qmax - qmin)``, ``zero_point = clip(round(qmin - min / scale), qmin, qmax)``;
    - symmetric: ``scale = max(min / qmin, max / qmax)``, ``zero_point = 0``;
    - power of two: the scale is then raised to the next power of two.

    A range with an end that is not finite, or a scale outside ``SMALLEST_SCALE .. LARGEST_SCALE``, results in scale 0,
    the grid of an all-zero tensor: a grid is never NaN, and non-finite values are reported elsewhere.

    Parameters
    ----------
    range_min, range_max : float or np.ndarray
        ``[]`` or ``[num_channels]``.

    Returns
    -------
    AffineGrid
        With ``scale`` and ``zero_point`` of the shape of the ranges.

    Examples
    --------
    >>> grid = choose_grid(-1.0, 3.0, num_bits=2)
    >>> float(grid.scale), int(grid.zero_point), float(grid.minimum), float(grid.maximum)
    (1.3333333730697632, -1, -1.3333333730697632, 2.6666667461395264)
    """
    qmin, qmax = code_bounds(num_bits, narrow_range)
    range_min, range_max = np.asarray(range_min, np.float32), np.asarray(range_max, np.float32)
    low, high = np.minimum(range_min, np.float32(0)), np.maximum(range_max, np.float32(0))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if symmetric:
            step = np.maximum(low / np.float32(qmin), high / np.float32(qmax))
            low, high = step * np.float32(qmin), step * np.float32(qmax)
        scale = (high - low) / np.float32(qmax - qmin)
        if power_of_two:
            scale = next_power_of_two(scale)
        usable = (scale >= SMALLEST_SCALE) & (scale <= LARGEST_SCALE) & np.isfinite(range_max - range_min)
        scale = np.where(usable, scale, np.float32(0)).astype(np.float32)
        low = np.where(usable, low, np.float32(0))
        # The kernel rounds unsigned codes.
        unsigned_min = np.float32(qmin + 2 ** (num_bits - 1))
        unsigned_max = np.float32(2**num_bits - 1)
        ratio = np.where(scale > 0, low / np.where(scale > 0, scale, np.float32(1)), np.float32(0))
        zero = np.clip(round_half_up(unsigned_min - ratio.astype(np.float32)), unsigned_min, unsigned_max)
    zero_point = np.asarray(zero - np.float32(2 ** (num_bits - 1)), np.int32)
    if symmetric:
        zero_point = np.zeros_like(zero_point)
    return AffineGrid(scale, zero_point, int(num_bits), bool(narrow_range))


def next_power_of_two(scale: np.ndarray) -> np.ndarray:
    """Return the smallest power of two that is not below ``scale``, float32 (0 and infinity are returned unchanged).

    >>> next_power_of_two(np.float32([0.3, 0.5, 0.0])).tolist()
    [0.5, 0.5, 0.0]
    """
    scale = np.asarray(scale, np.float32)
    fraction, exponent = np.frexp(scale)
    exponent = np.where(fraction == 0.5, exponent - 1, exponent)
    return np.where((scale > 0) & (scale < np.inf), np.ldexp(np.float32(1), exponent), scale).astype(np.float32)


def clip(x: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return ``x`` clipped to the representable range; channels are on the last axis."""
    return np.clip(np.asarray(x, np.float32), grid.minimum, grid.maximum)


def _steps(x: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return the number of quantization steps from the smallest representable value, 0..qmax-qmin, float32."""
    scale = np.where(grid.scale > 0, grid.scale, np.float32(1))
    return round_half_up((clip(x, grid) - grid.minimum) / scale)


def quantize(x: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return the int32 codes of ``x`` (any shape, channels last): signed, from ``grid.bounds``."""
    codes = _steps(x, grid).astype(np.int32) + grid.bounds[0]
    return np.where(grid.scale > 0, codes, grid.zero_point).astype(np.int32)


def dequantize(codes: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return the float32 values of ``codes`` (integers of any shape, channels last)."""
    return ((codes - grid.zero_point).astype(np.float32) * grid.scale).astype(np.float32)


def fake_quant(x: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return ``x`` rounded to the grid as by the kernel: ``floor((clip(x) - min) / scale + 0.5) * scale + min``."""
    return (_steps(x, grid) * grid.scale + grid.minimum).astype(np.float32)


def fake_quant_gradient(gradient: np.ndarray, x: np.ndarray, grid: AffineGrid) -> np.ndarray:
    """Return the straight-through gradient: ``gradient`` where ``minimum <= x <= maximum`` (inclusive), 0 elsewhere."""
    x = np.asarray(x, np.float32)
    return np.where((x >= grid.minimum) & (x <= grid.maximum), gradient, np.float32(0)).astype(np.float32)
