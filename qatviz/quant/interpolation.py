"""Linear interpolation of codes between pixels, in the integers of TFLite's RESIZE_BILINEAR with half_pixel_centers."""

from typing import Tuple

import numpy as np

#: Bits behind the point of a position: in XNNPACK's kernels of 8 bits, and in TFLite's own one of 16 bits.
_BITS, _WIDE_BITS = 11, 10


def position_unit(wide: bool) -> int:
    """Return the number of positions from one pixel to the next; ``wide`` with activations of more than 8 bits."""
    return 1 << (_WIDE_BITS if wide else _BITS)


def pixel_positions(size: int, times: int, wide: bool) -> np.ndarray:
    """Return the positions of the ``size * times`` rows of an output between the ``size`` rows of its input, int32.

    The center of row ``i`` lies at ``(i + 1/2) / times - 1/2`` rows, within those of the input. XNNPACK rounds that to
    the unit; TFLite's int16 kernel rounds the distance of two rows, and so accumulates its error.

    >>> pixel_positions(2, 2, wide=False) / position_unit(False)
    array([0.  , 0.25, 0.75, 1.  ])
    """
    unit, rows = position_unit(wide), np.arange(size * times, dtype=np.int64)
    if wide:
        count = size * times
        distance = (unit * size + count // 2) // count
        positions = rows * distance + distance // 2 - unit // 2
    else:
        positions = ((2 * rows + 1 - times) * unit + times) // (2 * times)
    return np.clip(positions, 0, (size - 1) * unit).astype(np.int32)


def interpolation_weights(positions: np.ndarray, size: int, unit: int) -> np.ndarray:
    """Return the weights of the ``size`` rows of an input for rows at ``positions``, int64 ``[len(positions), size]``.

    Each row of weights sums to ``unit``.
    """
    first, fraction = np.divmod(positions, unit)
    weights, rows = np.zeros((len(positions), size), np.int64), np.arange(len(positions))
    np.add.at(weights, (rows, first), unit - fraction)
    np.add.at(weights, (rows, np.minimum(first + 1, size - 1)), fraction)
    return weights


def interpolation_center(zero_point: int, lowest: int, wide: bool) -> int:
    """Return the code from which ties are rounded away: the lowest, so that they are rounded up, as XNNPACK does.

    TFLite's int16 kernel rounds them away from the zero point.
    """
    return int(zero_point if wide else lowest)


def finest_parts(size: Tuple[int, int]) -> int:
    """Return the number of parts of a quantization step of which all exactly interpolated codes are multiples.

    ``size`` is the height and width of the output, relative to the input's.
    """
    return 4 * size[0] * size[1]
