"""Weights and biases of compute units with batch norm folded in, from the arrays of a checkpoint."""

from typing import Mapping, NamedTuple

import numpy as np

from qatviz.network.layers import BatchNorm, DepthwiseConv2D
from qatviz.network.plan import QuantizationPlan, Unit


class Folded(NamedTuple):
    """Weights in the layer's shape and bias ``[out]``, float32, with batch norm folded in."""

    weights: np.ndarray
    bias: np.ndarray


def folded(plan: QuantizationPlan, unit: Unit, arrays: Mapping[str, np.ndarray]) -> Folded:
    """Return weights and bias of a unit from the arrays of a checkpoint."""
    weights = arrays[unit.weights]
    bias = arrays.get(unit.bias, np.zeros(plan.tensor(unit.weights).num_channels, np.float32))
    if unit.batch_norm is None:
        return Folded(weights, bias)
    beta, mean = (arrays[f"{unit.batch_norm.owner}.{name}"] for name in ("beta", "moving_mean"))
    multiplier = batch_norm_factor(unit.batch_norm, arrays)
    return Folded(weights * by_output(unit, multiplier, weights), beta + multiplier * (bias - mean))


def batch_norm_factor(batch_norm: BatchNorm, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return ``gamma / sigma`` of a batch norm, with the moving statistics, float32 ``[out]``."""
    gamma, variance = (arrays[f"{batch_norm.owner}.{name}"] for name in ("gamma", "moving_variance"))
    sigma = np.sqrt((variance + np.float32(batch_norm.epsilon)).astype(np.float64))
    return np.asarray(gamma * (1 / sigma).astype(np.float32))


def by_output(unit: Unit, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ``values`` of the output channels, ``[out]``, in a shape that broadcasts against a unit's weights."""
    return values.reshape(weights.shape[2:]) if isinstance(unit.op, DepthwiseConv2D) else values
