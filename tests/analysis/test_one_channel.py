"""A single channel of a tensor."""

from types import SimpleNamespace

import numpy as np
import pytest

from qatviz.analysis.distribution import grid_of
from qatviz.analysis.one_channel import grid_of_channel, one_channel
from qatviz.protocol.snapshots import TensorHistogram
from qatviz.quant.affine import choose_grid, quantize
from qatviz.quant.measures import measure

VALUES = np.random.RandomState(1).randn(200, 3).astype(np.float32) * np.float32([0.1, 1, 5])
TENSOR = SimpleNamespace(num_channels=3)


def whole(grid, code_min=-8, codes=16):
    counts, edges = np.histogram(VALUES, 64)
    code_counts = np.zeros(codes, np.int64) if codes else None
    ends = VALUES.min(axis=0), VALUES.max(axis=0)
    return TensorHistogram(
        edges.astype(np.float32), counts, counts, code_min, code_counts, *ends, grid.scale, grid.zero_point
    )


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_channel_has_the_measures_and_codes_of_its_values_alone(per_channel):
    ends = (VALUES.min(axis=0), VALUES.max(axis=0)) if per_channel else (VALUES.min()[None], VALUES.max()[None])
    grid = choose_grid(*ends, num_bits=4)
    found = one_channel(1, VALUES, whole(grid), grid, TENSOR)
    alone = grid_of_channel(grid, 1)
    x = VALUES[:, 1:2]
    for key, value in measure(x, alone)._asdict().items():
        assert found.measures[key] == pytest.approx(value)
    assert found.measures["scale"] == grid.scale[1 if per_channel else 0]
    codes = quantize(VALUES, grid)[:, 1]
    assert found.histogram.code_counts.tolist() == np.bincount(codes + 8, minlength=16).tolist()
    assert found.histogram.float_counts.sum() == found.histogram.quantized_counts.sum() == 200
    assert (found.histogram.channel_min, found.histogram.channel_max) == (x.min(), x.max())
    same = grid_of(found.histogram, 4, found.measures["range_min"])
    assert (same.scale, same.zero_point, same.narrow_range) == (alone.scale, alone.zero_point, False)


def test_a_channel_in_float_or_of_many_bits_has_no_codes():
    grid = choose_grid(VALUES.min(axis=0), VALUES.max(axis=0), num_bits=12)
    found = one_channel(0, VALUES, whole(grid, -(2**11), 0), grid, TENSOR)
    assert found.histogram.code_counts is None and found.measures["used_codes"] > 100
    found = one_channel(0, VALUES, whole(grid), None, TENSOR)
    assert found.measures == {} and found.histogram.code_counts is None


def test_a_constant_channel_has_a_histogram():
    values = np.zeros((10, 3), np.float32)
    grid = choose_grid(values.min(axis=0), values.max(axis=0), num_bits=4)
    assert one_channel(2, values, whole(grid), grid, TENSOR).histogram.float_counts.sum() == 10
