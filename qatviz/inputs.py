"""Rows with the values of a network's inputs.

Examples of a network with several inputs are stored and fed as rows: the values of the inputs one after the other, in
the network's order. So data, batches and codes of examples have one array, whatever the number of inputs.
"""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

Shape = Tuple[int, ...]


class InputPart(NamedTuple):
    """Place of an input's values in a row: those from ``start`` to ``stop - 1``."""

    name: str
    shape: Shape
    start: int
    stop: int


def packed_shape(inputs: Sequence[Tuple[str, Shape]]) -> Shape:
    """Return the shape of one example: that of the only input, or of a row with the values of all.

    >>> packed_shape([("left", (2, 2)), ("right", (3,))])
    (7,)
    """
    return inputs[0][1] if len(inputs) == 1 else (row_length(inputs),)


def row_length(inputs: Sequence[Tuple[str, Shape]]) -> int:
    """Return the number of values of all inputs together."""
    return sum(_count(shape) for _, shape in inputs)


def input_parts(inputs: Sequence[Tuple[str, Shape]]) -> List[InputPart]:
    """Return the places of several inputs in a row.

    >>> [part[2:] for part in input_parts([("left", (2, 2)), ("right", (3,))])]
    [(0, 4), (4, 7)]
    """
    parts: List[InputPart] = []
    for name, shape in inputs:
        start = parts[-1].stop if parts else 0
        parts.append(InputPart(name, tuple(shape), start, start + _count(shape)))
    return parts


def split_examples(inputs: Sequence[Tuple[str, Shape]], examples: np.ndarray) -> Dict[str, np.ndarray]:
    """Return the arrays ``[n] + shape`` of examples by name of the input; those of one input as they are."""
    if len(inputs) == 1:
        return {inputs[0][0]: examples}
    return {
        part.name: examples[:, part.start : part.stop].reshape((len(examples), *part.shape))
        for part in input_parts(inputs)
    }


def packed_examples(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the rows ``[n, values]`` of several inputs' arrays ``[n] + shape``; that of one input as it is."""
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate([array.reshape((len(array), -1)) for array in arrays], axis=1)


def _count(shape: Shape) -> int:
    count = 1
    for length in shape:
        count *= length
    return count
