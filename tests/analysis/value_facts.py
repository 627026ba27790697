"""Snapshots of given values, as the graph measures them, for tests of verdicts and advice."""

import numpy as np

from qatviz.analysis.causes import Facts
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.snapshots import MOST_DISTINCT, TensorHistogram
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.quant.measures import measure
from qatviz.quant.ranges import find_range


def tensor_of(values, kind="weights", nonnegative=False):
    channels = values.shape[1] if kind == "weights" else 1
    parameters = values.size if kind == "weights" else 0
    name = "layer." + kind
    axis = 1 if kind == "weights" else None
    return QuantizedTensor(name, "layer", kind, values.shape, channels, axis, name, nonnegative, "Dense", parameters)


def grid_of(values, settings, given=None):
    """The grid by the settings' method, or of a ``given`` range."""
    rows = values if settings.per_channel else values.reshape(-1, 1)
    low, high = find_range(rows, settings) if given is None else np.float32(given).reshape(2, 1)
    return choose_grid(low, high, settings.num_bits, settings.symmetric, settings.narrow_range, settings.power_of_two)


def measures_of(values, grid, **others):
    found = dict(
        measure(values, grid)._asdict(),
        scale=float(grid.scale.max()),
        zero_point=float(grid.zero_point[np.argmax(grid.scale)]),
        range_min=float(grid.minimum.min()),
        range_max=float(grid.maximum.max()),
        flip_rate=float("nan"),
        oscillating=float("nan"),
        frozen_weights=float("nan"),
    )
    return {**found, **others}


def histogram_of(values, grid, bins=128):
    quantized = fake_quant(values, grid)
    low, high = min(values.min(), quantized.min()), max(values.max(), quantized.max())
    edges = np.linspace(low, high if high > low else low + max(1, abs(low)), bins + 1)
    distinct = np.unique(values).size
    return TensorHistogram(
        edges.astype(np.float32),
        np.histogram(values, edges)[0],
        np.histogram(quantized, edges)[0],
        -(2 ** (grid.num_bits - 1)),
        None,
        values.min(axis=0),
        values.max(axis=0),
        grid.scale,
        grid.zero_point,
        values.size,
        int(np.count_nonzero(values == 0)),
        distinct if distinct <= MOST_DISTINCT else None,
    )


def facts_of_values(values, grid, partners=(), motion=None, held=False):
    return Facts(histogram_of(values, grid), tuple(partners), motion, held)
