"""The definition of a network's input, in words and numbers: from pixels to values, and from values to codes.

All descriptions use these texts. (A formula with the zero point, ``floor(value / scale + zero_point + 0.5)``, is
another function: at 16 bits it gives another code for some values next to a tie.)
"""

from typing import List

import numpy as np

from qatviz.data import Dataset
from qatviz.export.integers.model import IntegerModel, IntegerTensor
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


def input_formula(tensor: IntegerTensor, offset: int = 0) -> str:
    """Return the formula of the codes of an input, plus an offset, with the precision of its arithmetic."""
    return ids_formula(tensor) if tensor.ids else f"{codes_formula(tensor.grid, offset)}, {PRECISION}"


def ids_formula(tensor: IntegerTensor) -> str:
    """Return the formula of the codes of an input of ids, which need no arithmetic."""
    return f"code = value, the id, from 0 to {tensor.ids - 1}"


def input_formulas(model: IntegerModel) -> str:
    """Return the formula of the codes of the input; of several, for each with its name."""
    if len(model.inputs) == 1:
        return input_formula(model.inputs[0])
    formulas = [
        f"{tensor.name}: {ids_formula(tensor) if tensor.ids else codes_formula(tensor.grid)}" for tensor in model.inputs
    ]
    return f"{'; '.join(formulas)}, {PRECISION}"


def values_formula(dataset: Dataset) -> str:
    """Return how the values that are fed to a network come from the data; of several inputs, for each."""
    formulas = values_formulas(dataset)
    names = [f"{each.name}: " for each in dataset.inputs] or [""]
    return "; ".join(name + formula for name, formula in zip(names, formulas))


def values_formulas(dataset: Dataset) -> List[str]:
    """Return how the values that are fed to each input of a network come from the data."""
    if dataset.inputs:
        return [formula_of(each.scaling, each.is_bytes) for each in dataset.inputs]
    return [formula_of(dataset.scaling, dataset.pixel_scale != 1.0)]


def formula_of(name: str, is_bytes: bool) -> str:
    """Return how values that are fed come from the data in a scaling; ``is_bytes`` if they are bytes over 255."""
    if is_bytes:
        return f"value = x * {number_text(np.float32(1.0 / 255.0))} for pixels x from 0 to 255"
    if name == UNSCALED:
        return "value = x for examples x as they are in the data"
    scaling = scaling_of(name)
    if name in SCALINGS:
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
