"""Maps of weights before they are rounded, in NumPy: the reference for what the graph computes.

A map ``m`` turns the weights ``w`` of a tensor into those that are rounded to its grid: ``codes = quantize(m(w))``.

- **tanh** (DoReFa, Zhou 2016, arXiv:1606.06160, equation 9, whose weights end in [-1, 1]; here they keep their largest
  magnitude ``M = max|w|``, so that a layer's output does not jump when the map is switched on, and layers without batch
  norm keep their scale): ``m(w) = M tanh(w) / tanh(M)``. Gradient: ``dw = dm * M / tanh(M) * (1 - tanh(w)^2)``, with
  ``M`` as a constant.
- **binary** (Rastegari 2016, arXiv:1603.05279, equation 6): ``m(w) = a sign(w)`` with ``a = mean|w|`` and
  ``sign(0) = 1``. Gradient: ``dw = dm`` (DoReFa, equation 7).
- **ternary** (TWN, Li 2016, arXiv:1605.04711, equations 5 and 6): ``m(w) = a sign(w)`` where ``|w| > t``, else 0, with
  ``t = 0.7 mean|w|`` and ``a`` the mean of ``|w|`` above ``t``. Gradient: ``dw = dm``.

Means are those of the whole tensor, or of each output channel if it is quantized per channel; ``M`` is that of the
tensor. Binary and ternary weights have a symmetric grid of 2 bits with narrow range and scale ``a``: codes -1, 0 and 1,
of which binary weights use -1 and 1 (only 0 if all weights are 0). Readers of grids and codes need no special case.
Sums are float64, and their results are rounded to float32, so that they do not depend on the order of summation.

Example: weights -0.2, 0.1, 0.6 are -0.3, 0.3, 0.3 if binary; ternary, with ``t = 0.21``, they are 0, 0, 0.6.
"""

from typing import NamedTuple, Tuple

import numpy as np

from qatviz.settings import BINARY, NO_MAP, TANH, TERNARY, QuantizerSettings

#: Names of the maps; the position is the number that the graph uses.
MAPS = (NO_MAP, TANH, TERNARY, BINARY)
#: Threshold of ternary weights, relative to their mean magnitude (TWN).
TERNARY_THRESHOLD = 0.7
#: Threshold of binary weights, which all magnitudes exceed: no weight is rounded to zero.
BINARY_THRESHOLD = -1.0


def tanh_factor(w: np.ndarray) -> float:
    """Return ``M / tanh(M)`` with ``M = max|w|``; 1 if all weights are 0."""
    largest = float(np.abs(w).max(initial=0.0))
    return largest / float(np.tanh(largest)) if largest > 0 else 1.0


def threshold_and_scale(w: np.ndarray, name: str) -> Tuple[np.ndarray, np.ndarray]:
    """Return threshold and scale of the binary or ternary map of each column, two float32 arrays ``[columns]``.

    ``w`` is float32 ``[n, columns]``; ``name`` is BINARY or TERNARY.
    """
    magnitude = np.abs(w).astype(np.float64)
    number = np.float64(max(len(w), 1))
    mean = magnitude.sum(axis=0) / number
    threshold = TERNARY_THRESHOLD * mean if name == TERNARY else np.full_like(mean, BINARY_THRESHOLD)
    threshold = threshold.astype(np.float32)
    kept = np.abs(w) > threshold
    count = kept.sum(axis=0).astype(np.float64)
    scale = np.where(kept, magnitude, 0.0).sum(axis=0) / np.maximum(count, 1.0)
    return threshold, scale.astype(np.float32)


class MapValues(NamedTuple):
    """Values by which the graph computes the map of a tensor.

    Attributes
    ----------
    map : int
        Index in :data:`MAPS`.
    factor : float
        :func:`tanh_factor`; 1 for other maps.
    thresholds : np.ndarray
        float32 ``[num_channels]``: thresholds of the binary or ternary map; 0 for other maps.
    """

    map: int
    factor: float
    thresholds: np.ndarray


def map_values(w: np.ndarray, settings: QuantizerSettings, num_channels: int) -> MapValues:
    """Return the values of the map under the settings of a tensor; the parameters are those of :func:`mapped`."""
    name = settings.effective_map
    thresholds = np.zeros(num_channels, np.float32)
    if settings.has_coded_map:
        thresholds[:] = threshold_and_scale(_columns(w, settings, num_channels), name)[0]
    return MapValues(MAPS.index(name), tanh_factor(w) if name == TANH else 1.0, thresholds)


def mapped(w: np.ndarray, settings: QuantizerSettings, num_channels: int) -> np.ndarray:
    """Return ``m(w)`` under the settings of a tensor, float32 in the shape of ``w``; its last axes are the channels.

    Parameters
    ----------
    w : np.ndarray
        float32.
    settings : QuantizerSettings
    num_channels : int
        Number of output channels of the tensor.
    """
    name = settings.effective_map
    if name == NO_MAP:
        return w
    w = np.asarray(w, np.float32)
    if name == TANH:
        return (tanh_factor(w) * np.tanh(w.astype(np.float64))).astype(np.float32)
    columns = _columns(w, settings, num_channels)
    threshold, scale = threshold_and_scale(columns, name)
    signs = np.where(columns >= 0, np.float32(1), np.float32(-1)) * (np.abs(columns) > threshold)
    return (signs * scale).astype(np.float32).reshape(w.shape)


def _columns(w: np.ndarray, settings: QuantizerSettings, num_channels: int) -> np.ndarray:
    """Return the weights that share a threshold and a scale as columns, ``[n, columns]``."""
    return w.reshape(-1, num_channels if settings.per_channel else 1)
