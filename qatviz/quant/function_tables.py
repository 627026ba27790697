"""Tables of activation functions from codes to codes: the definition of a quantized function, in NumPy.

An entry is the code that is nearest to the function of an input's value, ties upwards. The exceptions are integers of
LiteRT's kernels:

- LEAKY_RELU on codes of up to 8 bits: XNNPACK's kernel multiplies codes by numbers of 8 fractional bits
  (``xnn_init_qs8_lrelu_scalar_params`` and ``xnn_qs8_vlrelu_ukernel__scalar_select_u1``);
- sigmoid and tanh with the scale 2**-15 in a network with activations of more than 8 bits
  (:mod:`qatviz.quant.int16_functions`).

Evaluation, simulator and exports use the same tables.
"""

from typing import Optional

import numpy as np

from qatviz.network.activations import Activation
from qatviz.quant import int16_functions
from qatviz.quant.affine import AffineGrid

#: Bits of codes for which LiteRT's int8 kernels are followed.
_INT8_BITS = 8
#: Fractional bits of XNNPACK's multipliers of a LEAKY_RELU, and bounds on their absolute values.
_LEAKY_BITS, _LEAKY_LEAST, _LEAKY_MOST = 8, 2.0**-8, 2.0**7


def function_table(layer: Activation, source: AffineGrid, output: AffineGrid, wide: bool) -> np.ndarray:
    """Return the code of the output for each code of the input from ``-2**(bits - 1)`` on: int64 ``[2**bits]``.

    Codes may lie beyond the bounds of the output's grid; the caller clips them.

    Parameters
    ----------
    layer : Activation
    source, output : AffineGrid
        Grids with one scale, above 0.
    wide : bool
        True if any activation of the network has more than 8 bits: LiteRT's kernels then are those of int16.
    """
    found = _of_kernel(layer, source, output, wide)
    if found is None:
        found = np.floor(_exact(layer, source, output) + 0.5).astype(np.int64)
    return found + int(output.zero_point)


def follows_kernel(layer: Activation, source: AffineGrid, output: AffineGrid, wide: bool) -> bool:
    """Return whether the table has the integers of a kernel of LiteRT instead of the nearest codes.

    Parameters as in :func:`function_table`.
    """
    return _of_kernel(layer, source, output, wide) is not None


def distance_from_tie(layer: Activation, source: AffineGrid, output: AffineGrid) -> float:
    """Return the smallest distance of the function's values from a tie, in quantization steps of the output, up to 0.5.

    Values beyond the output's grid, which are clipped, do not count.
    """
    low, high = output.bounds
    steps = _exact(layer, source, output)
    within = steps[(steps > low - int(output.zero_point) - 1) & (steps < high - int(output.zero_point) + 1)]
    return float(np.abs(within - np.floor(within) - 0.5).min(initial=0.5))


def _input_steps(source: AffineGrid) -> np.ndarray:
    """Return all codes of a grid's bits minus the zero point, int64 ``[2**bits]``."""
    half = 2 ** (source.num_bits - 1)
    return np.arange(-half, half, dtype=np.int64) - int(source.zero_point)


def _exact(layer: Activation, source: AffineGrid, output: AffineGrid) -> np.ndarray:
    """Return the function in quantization steps of the output, float64 ``[2**bits]``, clipped far beyond its grid."""
    limit = 2.0 ** (2 * output.num_bits)
    inputs = _input_steps(source) * np.float64(source.scale)
    values = layer.on_grid(float(source.scale)).values(inputs)
    return np.clip(values / np.float64(output.scale), -limit, limit)


def _of_kernel(layer: Activation, source: AffineGrid, output: AffineGrid, wide: bool) -> Optional[np.ndarray]:
    """Return the codes of a kernel of LiteRT minus the zero point; None if the nearest codes are defined instead."""
    if wide:
        if float(output.scale) != int16_functions.OUTPUT_SCALE:
            return None
        return int16_functions.kernel_steps(layer.function, _input_steps(source), float(source.scale))
    return _leaky_relu(layer, source, output) if layer.function == "leaky_relu" else None


def _leaky_relu(layer: Activation, source: AffineGrid, output: AffineGrid) -> Optional[np.ndarray]:
    """Return the codes of XNNPACK's kernel minus the zero point; None if it does not support the grids or the slope."""
    assert layer.slope is not None
    ratio = np.float32(source.scale) / np.float32(output.scale)
    sloped = np.float32(layer.slope) * ratio
    if max(source.num_bits, output.num_bits) > _INT8_BITS:
        return None
    if not (_LEAKY_LEAST <= ratio <= _LEAKY_MOST and _LEAKY_LEAST <= abs(sloped) < _LEAKY_MOST):
        return None
    steps = _input_steps(source)
    above, below = (int(np.rint(2**_LEAKY_BITS * factor)) for factor in (ratio, sloped))
    return (steps * np.where(steps >= 0, above, below) + 2 ** (_LEAKY_BITS - 1)) >> _LEAKY_BITS
