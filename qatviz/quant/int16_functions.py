"""Sigmoid and tanh of codes as TFLite's int16 kernels compute them: linear interpolation in a table of the sigmoid.

LOGISTIC and TANH of LiteRT and TFLite Micro (``reference_integer_ops::Logistic`` and ``Tanh``) take codes with a zero
point of 0, and return multiples of 2**-15. They multiply the code by a number of 15 bits, so that it has 2**9 steps
(TANH, whose argument is doubled: 2**8) from one entry of the table to the next, and interpolate between them. Entries
are those of the sigmoid at multiples of 1/24, each moved away from its chords by half of their largest error, so that
results are as often above the function as below it: at most by 1.4 codes, in TANH by 2.8.

For a scale near 2**-12 (TANH: 2**-11, too), LiteRT has other kernels, which differ between processors. There is no
kernel to follow then, nor for scales so large that the multiplier has more than 15 bits.
"""

from functools import lru_cache
from typing import Optional

import numpy as np

#: Scale of the results.
OUTPUT_SCALE = 2.0**-15
_ENTRIES, _ENTRIES_PER_UNIT = 256, 24
#: Values of the table, and of the interpolation, from -1 to 1 or from 0 to 1.
_TABLE_ONE = 2**16
#: Bits of the distance of two entries of the table, by function; those of results below the output's unit.
_FRACTION_BITS, _RESULT_BITS = {"sigmoid": 9, "tanh": 8}, {"sigmoid": 10, "tanh": 8}
#: Exponents of the scales for which LiteRT has other kernels, and the distance within which a logarithm counts as one.
_OTHER_KERNELS, _CLOSE = {"sigmoid": (-12,), "tanh": (-12, -11)}, 1e-3
_LARGEST_MULTIPLIER, _MOST_SHIFT = 2**15 - 1, 30


def kernel_steps(function: str, steps: np.ndarray, scale: float) -> Optional[np.ndarray]:
    """Return the function of codes with a zero point of 0, in multiples of :data:`OUTPUT_SCALE`: int64.

    Parameters
    ----------
    function : str
        Any name of :data:`qatviz.network.activations.FUNCTIONS`.
    steps : np.ndarray
        Codes, int64.
    scale : float
        Their scale, a float32's value, above 0.

    Returns
    -------
    np.ndarray or None
        None if there is no kernel of the function, for these codes or for the scale.

    Examples
    --------
    >>> kernel_steps("sigmoid", np.array([-32768, 0, 32767]), 0.0003)
    array([    2, 16384, 32766])
    """
    limits = np.iinfo(np.int16)
    if function not in _FRACTION_BITS or steps.min() < limits.min or steps.max() > limits.max:
        return None
    if any(abs(np.log2(scale) - exponent) < _CLOSE for exponent in _OTHER_KERNELS[function]):
        return None
    multiplier, shift = float(scale) * 4096.0 * 3.0, 0
    while multiplier <= _LARGEST_MULTIPLIER / 2 and shift <= _MOST_SHIFT:
        multiplier, shift = 2 * multiplier, shift + 1
    if multiplier >= _LARGEST_MULTIPLIER + 1 or shift > _MOST_SHIFT:
        return None
    position = (steps * int(multiplier) + ((1 << shift) >> 1)) >> shift
    bits, below = _FRACTION_BITS[function], _RESULT_BITS[function]
    one = _TABLE_ONE << bits
    value, half = _interpolated(np.abs(position), bits, function), 1 << (below - 1)
    if function == "sigmoid":
        return np.where(position >= 0, value + half, one - value + half - 1) >> below
    return np.where(position >= 0, value - one // 2 + half, one // 2 - value + half - 1) >> below


def _interpolated(distance: np.ndarray, bits: int, function: str) -> np.ndarray:
    """Return values of the table at distances from 0, times ``2**bits``."""
    table, entry = _sigmoid_table(), distance >> bits
    first = np.minimum(entry, _ENTRIES - 2)
    left, right = table[first], table[first + 1]
    found = (left << bits) + (distance & ((1 << bits) - 1)) * (right - left)
    # Behind the table, the largest code of the result.
    most = (2**15 - 1) << 10 if function == "sigmoid" else (_TABLE_ONE - 1) << bits
    return np.where(entry >= _ENTRIES - 1, most, found)


@lru_cache(maxsize=1)
def _sigmoid_table() -> np.ndarray:
    """Return the kernels' table, int64: the sigmoid, in units of 2**-16, moved by half the largest error of a chord."""
    values = 1 / (1 + np.exp(-np.arange(_ENTRIES) / _ENTRIES_PER_UNIT))
    bend = values * (1 - values) * (1 - 2 * values) / _ENTRIES_PER_UNIT**2
    table = np.floor(_TABLE_ONE * (values - bend / 16) + 0.5).astype(np.int64)
    table[-1] = _TABLE_ONE - 1
    return table
