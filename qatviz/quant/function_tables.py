"""Tables of activation functions from codes to codes: the definition of a quantized function, in NumPy.

An entry is the code that is nearest to the function of an input's value, ties upwards. Where LiteRT has a kernel for
8-bit codes that computes other integers, they are its integers:

- LEAKY_RELU of XNNPACK multiplies codes by two numbers of 8 fractional bits
  (``xnn_init_qs8_lrelu_scalar_params`` and ``xnn_qs8_vlrelu_ukernel__scalar_select_u1``).

Evaluation, simulator and exports use the same tables.
"""

from typing import Optional

import numpy as np

from qatviz.network.activations import Activation
from qatviz.quant.affine import AffineGrid

#: Bits of codes for which LiteRT's int8 kernels are followed.
_INT8_BITS = 8
#: Fractional bits of XNNPACK's multipliers of a LEAKY_RELU, and the ratios of scales that they hold.
_LEAKY_BITS, _LEAKY_LEAST, _LEAKY_MOST = 8, 2.0**-8, 2.0**7


def function_table(layer: Activation, source: AffineGrid, output: AffineGrid, wide: bool) -> np.ndarray:
    """Return the code of the output for each code of the input, from the lowest of its bits: int64 ``[2**bits]``.

    Codes are not limited to the bounds of the output's grid.

    Parameters
    ----------
    layer : Activation
    source, output : AffineGrid
        Grids with one scale, above 0.
    wide : bool
        True if any activation of the network has more than 8 bits: LiteRT's int8 kernels are not used then.
    """
    steps = _input_steps(source)
    if not wide:
        followed = _leaky_relu(layer, steps, source, output) if layer.function == "leaky_relu" else None
        if followed is not None:
            return followed + int(output.zero_point)
    return np.floor(_exact(layer, steps, source, output) + 0.5).astype(np.int64) + int(output.zero_point)


def follows_kernel(layer: Activation, source: AffineGrid, output: AffineGrid, wide: bool) -> bool:
    """Return whether the table has the integers of a kernel of LiteRT that are not the nearest codes."""
    return (
        not wide
        and layer.function == "leaky_relu"
        and _leaky_relu(layer, _input_steps(source), source, output) is not None
    )


def distance_from_tie(layer: Activation, source: AffineGrid, output: AffineGrid) -> float:
    """Return the smallest distance of an entry from a tie before it is rounded, in quantization steps.

    Entries beyond the output's grid, which are clipped, do not count.
    """
    low, high = output.bounds
    steps = _exact(layer, _input_steps(source), source, output)
    within = steps[(steps > low - int(output.zero_point) - 1) & (steps < high - int(output.zero_point) + 1)]
    return float(np.abs(within - np.floor(within) - 0.5).min(initial=0.5))


def _input_steps(source: AffineGrid) -> np.ndarray:
    half = 2 ** (source.num_bits - 1)
    return np.arange(-half, half, dtype=np.int64) - int(source.zero_point)


def _exact(layer: Activation, steps: np.ndarray, source: AffineGrid, output: AffineGrid) -> np.ndarray:
    """Return the function in quantization steps of the output, float64."""
    limit = 2.0 ** (2 * output.num_bits)
    return np.clip(layer.values(steps * np.float64(source.scale)) / np.float64(output.scale), -limit, limit)


def _leaky_relu(layer: Activation, steps: np.ndarray, source: AffineGrid, output: AffineGrid) -> Optional[np.ndarray]:
    """Return what XNNPACK computes; None if it does not support the scales or the slope."""
    assert layer.slope is not None
    ratio = np.float32(source.scale) / np.float32(output.scale)
    sloped = np.float32(layer.slope) * ratio
    if max(source.num_bits, output.num_bits) > _INT8_BITS:
        return None
    if not (_LEAKY_LEAST <= ratio <= _LEAKY_MOST and _LEAKY_LEAST <= abs(sloped) < _LEAKY_MOST):
        return None
    above, below = (int(np.rint(2**_LEAKY_BITS * factor)) for factor in (ratio, sloped))
    return (steps * np.where(steps >= 0, above, below) + 2 ** (_LEAKY_BITS - 1)) >> _LEAKY_BITS
