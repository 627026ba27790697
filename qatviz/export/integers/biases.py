"""Biases as integers on the grid of input scale times weight scale, which may be too fine for them."""

from typing import List, NamedTuple, Optional

import numpy as np

from qatviz.errors import SettingChange, refused
from qatviz.export.integers.model import IntegerTensor
from qatviz.quant.affine import AffineGrid, next_power_of_two, round_half_up


class FittedGrid(NamedTuple):
    """A grid of weights at which biases fit.

    Attributes
    ----------
    grid : AffineGrid
        With scales above 0.
    units : np.ndarray
        float32 ``[out]``: units of the biases.
    notes : list of str
        Texts on what was changed.
    """

    grid: AffineGrid
    units: np.ndarray
    notes: List[str]


def fit_scales(
    bias: np.ndarray, grid: AffineGrid, input_scale: float, limit: int, fine: Optional[float] = None
) -> FittedGrid:
    """Return weight scales at which the biases have at most ``limit`` units.

    - A scale of 0 (weights that are all 0) carries no information, so it is replaced by one at which the bias fits, or
      whose product with the input's scale is ``fine``.
    - A channel's scale that is too small is raised by a power of two. Rounding a weight to the coarser scale changes
      the result by less than ``2**-21`` of the bias. (Such channels come from batch norm whose input hardly varied.)
    - The scale of a whole tensor is left as it is; see :func:`bias_codes`.

    Parameters
    ----------
    bias : np.ndarray
        float32 ``[out]``.
    grid : AffineGrid
        Grid of the weights, ``[]`` or ``[out]``.
    input_scale : float
    limit : int
        Largest bias in units of input scale times weight scale: a power of two.
    fine : float, optional
        Unit of biases of channels without weights.
    """
    scale, notes = grid.scale.astype(np.float64), []
    largest = np.abs(bias).astype(np.float64)
    if scale.ndim == 0:
        largest = largest.max()
    needed = np.maximum(largest / (input_scale * limit), np.finfo(np.float32).tiny)
    needed = next_power_of_two(needed).astype(np.float64)
    # The scale that is needed as a multiple of the present one.
    with np.errstate(divide="ignore"):
        doublings = np.ceil(np.log2(np.where(scale > 0, needed / np.where(scale > 0, scale, 1.0), 1.0)))
    raised = (scale > 0) & (doublings > 0) if scale.ndim else np.zeros((), bool)
    for channel in np.flatnonzero(raised):
        notes.append(
            f"the scale of channel {channel} is raised from {scale[channel]:.3g} to "
            f"{np.ldexp(scale[channel], int(doublings[channel])):.3g}, so that its bias fits "
            f"{limit.bit_length() + 1} bits"
        )
    fitted = np.where(raised, np.ldexp(scale, np.where(raised, doublings, 0).astype(np.int32)), scale)
    float32 = np.finfo(np.float32)
    empty = (
        np.where(largest > 0, needed, 1.0) if fine is None else np.clip(fine / input_scale, float32.tiny, float32.max)
    )
    fitted = np.where(scale > 0, fitted, empty).astype(np.float32)
    units = np.float32(input_scale) * fitted
    # As in the evaluation, to the last bit.
    units = units if fine is None else np.where(scale > 0, units, np.float32(fine))
    return FittedGrid(
        AffineGrid(fitted, grid.zero_point, grid.num_bits, grid.narrow_range),
        np.broadcast_to(units, bias.shape),
        notes,
    )


def bias_codes(
    layer: str,
    weights: str,
    bias: np.ndarray,
    product_scale: np.ndarray,
    output: IntegerTensor,
    products: np.ndarray,
    limit: int,
) -> np.ndarray:
    """Return ``floor(bias / product_scale + 1/2)``, computed in float32 as in the evaluation graph: int64 ``[out]``.

    A bias beyond ``limit`` is clipped to it if that makes no difference because the output is clipped either way.

    Parameters
    ----------
    layer, weights : str
        Names of the layer and of its weights for the message.
    bias, product_scale : np.ndarray
        float32 ``[out]``.
    output : IntegerTensor
    products : np.ndarray
        int64 ``[out]``: largest sum of products.
    limit : int

    Raises
    ------
    ExportError
        If clipping makes a difference.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        codes = round_half_up(bias / product_scale).astype(np.float64)
    codes = np.where(bias == 0, 0.0, codes)
    # Smallest accumulator with a clipped bias, in quantization steps of the output; 2**num_bits are clipped anyway.
    least = (limit - products) * (product_scale.astype(np.float64) / output.scale)
    for channel in np.flatnonzero((np.abs(codes) > limit) & (least < 2**output.num_bits)):
        raise refused(
            f"layer {layer!r}: the bias {bias[channel]:.4g} of channel {channel} is {codes[channel]:.3g} units of "
            f"input scale times weight scale; allowed: {limit}",
            SettingChange(f"{weights}.per_channel", True),
        )
    return np.clip(codes, -limit, limit).astype(np.int64)
