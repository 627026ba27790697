"""The definition of a network's input, in words and numbers: from pixels to values, and from values to codes.

All descriptions use these texts. (A formula with the zero point, ``floor(value / scale + zero_point + 0.5)``, is
another function: at 16 bits it gives another code for some values next to a tie.)
"""

import numpy as np

from qatviz.data import Dataset
from qatviz.quant.affine import AffineGrid
from qatviz.scaling import SCALINGS, UNSCALED, scaling_of

#: The arithmetic of the formulas.
PRECISION = "each operation rounded to float32"


def codes_formula(grid: AffineGrid, offset: int = 0) -> str:
    """Return the formula of :func:`qatviz.quant.affine.quantize` with a grid's numbers, for codes plus an offset.

    >>> codes_formula(AffineGrid(np.float32(0.5), np.int32(-1), 8, True))
    'code = floor((min(max(value, -63.0), 64.0) - (-63.0)) / 0.5 + 0.5) - 127'
    """
    least = grid.bounds[0] + offset
    low, high = number_text(grid.minimum), number_text(grid.maximum)
    start = f"({low})" if low.startswith("-") else low
    shift = f"- {-least}" if least < 0 else f"+ {least}"
    return f"code = floor((min(max(value, {low}), {high}) - {start}) / {number_text(grid.scale)} + 0.5) {shift}"


def values_formula(dataset: Dataset) -> str:
    """Return how the values that are fed to a network come from the data."""
    if dataset.pixel_scale != 1.0:
        return f"value = x * {number_text(np.float32(dataset.pixel_scale))} for pixels x from 0 to 255"
    if dataset.scaling == UNSCALED:
        return "value = x for examples x as they are in the data"
    scaling = scaling_of(dataset.scaling)
    if dataset.scaling in SCALINGS:
        return f"value = {scaling.formula} for pixels x from 0 to 255"
    means, deviations = (
        [number_text(np.float32(number)) for number in numbers] for numbers in (scaling.means, scaling.deviations)
    )
    if len(means) == 1:
        return f"value = (x - ({means[0]})) / {deviations[0]} for examples x as they are in the data"
    return (
        f"value = (x - mean) / deviation for examples x as they are in the data, with the means {', '.join(means)} and "
        f"the deviations {', '.join(deviations)} of the channels"
    )


def number_text(value: np.ndarray) -> str:
    """Return the shortest decimal number whose nearest float32 is ``value``.

    >>> number_text(np.float32(1 / 255))
    '0.003921569'
    """
    return str(np.float32(value))
