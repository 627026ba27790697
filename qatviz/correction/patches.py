"""Inputs of a layer with weights as rows of a matrix product, at sampled positions of its output."""

from typing import NamedTuple, Tuple

import numpy as np

from qatviz.network.layers import Conv2D, Dense, DepthwiseConv2D, GroupedConv2D
from qatviz.network.plan import Unit


class Rows(NamedTuple):
    """Rows of a matrix product at sampled positions of a layer's output.

    Attributes
    ----------
    inputs : np.ndarray
        float32 ``[n, inputs]`` or, of a depthwise convolution, ``[n, inputs, channels]``.
    outputs : np.ndarray
        Outputs of the layer at these positions, float32 ``[n, out]``.
    """

    inputs: np.ndarray
    outputs: np.ndarray


def has_rows(unit: Unit) -> bool:
    """Return whether :func:`sampled_rows` can be called for a unit."""
    is_convolution = isinstance(unit.op, (Conv2D, DepthwiseConv2D)) and not isinstance(unit.op, GroupedConv2D)
    return is_convolution or isinstance(unit.op, Dense)


def sampled_rows(unit: Unit, x: np.ndarray, outputs: np.ndarray, number: int, random: np.random.RandomState) -> Rows:
    """Return the rows at ``number`` random positions of the output, in order; at all positions if there are fewer.

    Parameters
    ----------
    x : np.ndarray
        Inputs of the layer, float32 ``[batch, ...]``.
    outputs : np.ndarray
        Outputs of the same examples, float32 ``[batch, ..., out]``.
    random : np.random.RandomState
        Chooses the positions.
    """
    flat = outputs.reshape(-1, outputs.shape[-1])
    chosen = np.arange(len(flat))
    if number < len(flat):
        chosen = np.sort(random.permutation(len(flat))[:number])
    if isinstance(unit.op, Dense):
        return Rows(x.reshape(len(flat), -1)[chosen], flat[chosen])
    return Rows(_patches(unit, x, outputs.shape[1:3], chosen), flat[chosen])


def _patches(unit: Unit, x: np.ndarray, size: Tuple[int, ...], places: np.ndarray) -> np.ndarray:
    """Return the inputs of a convolution at ``places``, flat positions of its output of ``size`` (rows, columns)."""
    op = unit.op
    assert isinstance(op, (Conv2D, DepthwiseConv2D))
    (rows, columns), (down, right), (gap_down, gap_right) = op.kernel_size, op.strides, op.dilation
    pads = [(0, 0)] * 2
    if op.padding == "SAME":
        pads = [
            _same_padding(x.shape[1], size[0], rows, down, gap_down),
            _same_padding(x.shape[2], size[1], columns, right, gap_right),
        ]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), "constant")
    example, row, column = np.unravel_index(places, (len(x), *size))
    y = (row * down)[:, np.newaxis, np.newaxis] + (np.arange(rows) * gap_down)[:, np.newaxis]
    z = (column * right)[:, np.newaxis, np.newaxis] + np.arange(columns) * gap_right
    found = padded[example[:, np.newaxis, np.newaxis], y, z]
    flat = found.reshape(len(places), rows * columns, x.shape[-1])
    return flat if isinstance(op, DepthwiseConv2D) else flat.reshape(len(places), -1)


def _same_padding(size: int, outputs: int, kernel: int, stride: int, dilation: int) -> Tuple[int, int]:
    """Return TensorFlow's SAME padding before and after an axis of ``size``, for an output of size ``outputs``."""
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2
