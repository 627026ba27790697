"""Quantized values of sampled weights that have a map, as in the training step that fetched them."""

# Apart from step_measures.py, because it knows maps and no measures.

from typing import NamedTuple, Optional

import numpy as np

from qatviz.quant.affine import round_half_up
from qatviz.quant.weight_maps import MAPS
from qatviz.settings import TANH


class StepMaps(NamedTuple):
    """Arrays of a training step by which weights are mapped, besides the weights and their grids.

    Attributes
    ----------
    map : np.ndarray
        int32 ``[W]``: index of each weight tensor's map in :data:`qatviz.quant.weight_maps.MAPS`.
    factors, thresholds, channel_thresholds : np.ndarray
        As in :class:`qatviz.quant.live_maps.MapRanges`.
    """

    map: np.ndarray
    factors: np.ndarray
    thresholds: np.ndarray
    channel_thresholds: np.ndarray


def values_on_grid(
    x: np.ndarray, grid: np.ndarray, maps: StepMaps, weight: int, channels: Optional[np.ndarray]
) -> np.ndarray:
    """Return the quantized values of sampled weights of a tensor that has a map, float32 ``[n]``.

    Parameters
    ----------
    x : np.ndarray
        Weights before the map, float32 ``[n]``.
    grid : np.ndarray
        Rows scale, zero point, minimum, maximum: float32 ``[4, n]`` or ``[4, 1]``.
    weight : int
        Index of the tensor among the weight tensors.
    channels : np.ndarray or None
        Index of each value's channel among all channels, if the tensor is quantized per channel.
    """
    scale, _, low, high = grid
    if MAPS[maps.map[weight]] == TANH:
        curved = (maps.factors[weight] * np.tanh(x.astype(np.float64))).astype(np.float32)
        safe = np.where(scale > 0, scale, np.float32(1))
        steps = round_half_up((np.clip(curved, low, high) - low) / safe)
        return np.asarray(steps * scale + low, np.float32)
    threshold = maps.thresholds[weight] if channels is None else maps.channel_thresholds[channels]
    ends = np.where(x >= 0, np.broadcast_to(high, x.shape), np.broadcast_to(low, x.shape))
    return np.where(np.abs(x) > threshold, ends, np.float32(0)).astype(np.float32)
