"""Means over batches, from which batch norms are re-estimated and biases corrected."""

from typing import Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from qatviz.network.plan import Unit

Arrays = Dict[str, np.ndarray]
#: Ratio of new to old variance up to which an output counts as constant.
_CONSTANT = np.float32(1e-6)


class BatchNormMeans:
    """Means of the batch statistics of all batch norms.

    With ``mu_k`` and ``v_k`` the mean and the unbiased variance of a layer's output, before batch norm, in batch k of
    N::

        moving_mean = 1/N sum_k mu_k,  moving_variance = 1/N sum_k v_k

    While they are measured, each layer is normalized by the statistics of its batch, as in training, so that all layers
    are measured in one pass. Weights and activations are quantized: a layer's output is that of its quantized, folded
    weights, unfolded, ``conv(x, Q(w gamma / sigma)) sigma / gamma``. Where gamma is 0, the statistics have no effect,
    and stay. Where all weights of a channel are rounded to zero, its output is constant, and its variance stays: with a
    variance of 0, the folded weights of this channel would become larger than all others.

    Source: AIMET's ``reestimate_bn_stats``.
    """

    def __init__(self) -> None:
        self._sums: Dict[str, List[np.ndarray]] = {}
        self._counts: Dict[str, int] = {}

    def add(self, batch_norm: str, mean: np.ndarray, variance: np.ndarray) -> None:
        """Add the mean and unbiased variance of a batch norm in a batch, float32 ``[channels]`` each."""
        values = [np.asarray(mean, np.float64), np.asarray(variance, np.float64)]
        self._sums[batch_norm] = [a + b for a, b in zip(self._sums.get(batch_norm, [0.0, 0.0]), values)]
        self._counts[batch_norm] = self._counts.get(batch_norm, 0) + 1

    def applied(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Return ``arrays`` with the means as moving statistics."""
        changed = dict(arrays)
        for batch_norm, sums in self._sums.items():
            mean, variance = ((total / self._counts[batch_norm]).astype(np.float32) for total in sums)
            mean_key, variance_key = batch_norm + ".moving_mean", batch_norm + ".moving_variance"
            is_used = arrays[batch_norm + ".gamma"] != 0
            is_varied = variance > _CONSTANT * arrays[variance_key]
            changed[mean_key] = np.where(is_used, mean, arrays[mean_key])
            changed[variance_key] = np.where(is_used & is_varied, variance, arrays[variance_key])
        return changed


class MeanError(NamedTuple):
    """Mean outputs of a layer before its activation, in float and quantized, float64 ``[channels]`` each."""

    in_float: np.ndarray
    quantized: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """Mean error of each output channel, float64 ``[channels]``."""
        return self.quantized - self.in_float


def bias_of(unit: Unit, arrays: Mapping[str, np.ndarray]) -> Optional[str]:
    """Return the parameter that is added to a layer's output: its bias, or beta of its batch norm; None without one."""
    if unit.batch_norm is not None:
        return unit.batch_norm.owner + ".beta"
    return unit.bias if unit.bias in arrays else None


def corrected_bias(name: str, error: MeanError, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return ``arrays`` with the mean error of a layer subtracted from its bias ``name``.

    With ``y`` the output of the layer in the network in float and ``y~`` that in the quantized network, in which the
    layers before are corrected already::

        b' = b - (E[y~] - E[y])

    for each output channel, over examples and positions. Source: Nagel et al. 2019 (arXiv:1906.04721), 4.2 and
    appendix D (empirical bias correction).
    """
    changed = dict(arrays)
    changed[name] = (arrays[name] - error.difference).astype(np.float32)
    return changed
