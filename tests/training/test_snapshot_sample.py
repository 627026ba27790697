"""Snapshots of large weight tensors use a sample: its rows, measures and ranges."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import dataset, spec
from training_cases import Driver

from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU
from qatviz.protocol.commands import InspectTensor
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, TensorValues
from qatviz.quant.affine import AffineGrid
from qatviz.quant.measures import measure
from qatviz.training.probes import SNAPSHOT_WEIGHTS, row_stride, snapshot_rows


@pytest.mark.parametrize("channels", [1, 10, 512])
@pytest.mark.parametrize("rows", [1, 100, 1000, 25000])
def test_sampled_rows_are_spread_over_the_tensor_and_limited(channels, rows):
    tensor = SimpleNamespace(kind="weights", parameters=rows * channels, num_channels=channels)
    taken = np.arange(rows)[:: row_stride(tensor)]
    assert len(taken) == snapshot_rows(tensor) and len(taken) * channels <= SNAPSHOT_WEIGHTS + channels
    assert row_stride(tensor) == 1 or len(taken) * channels >= SNAPSHOT_WEIGHTS / 3
    assert row_stride(tensor) == 1 or row_stride(tensor) % 2 == 1


def test_sampled_measures_are_close_to_the_exact_ones_and_ranges_are_exact():
    net = NetworkBuilder("wide", (700,))
    net.add(Dense, "wide", units=600)
    net.add(ReLU, "wide_relu")
    net.add(Dense, "logits", units=3)
    with Driver(spec(net.network(), dataset((700,)), weights={"num_bits": 4})) as driver:
        plan = driver.run.spec.plan
        assert row_stride(plan.tensor("wide.weights")) > 1
        driver.run.send(InspectTensor("wide.weights"))
        values = driver.until(lambda item: isinstance(item, TensorValues))
        snapshot = [item for item in driver.news if isinstance(item, Snapshot) and item.step == values.step][-1]
    histogram = snapshot.histograms["wide.weights"]
    expected = measure(values.values, AffineGrid(histogram.scale, histogram.zero_point, 4, True))
    found = dict(zip(SNAPSHOT_MEASURES, snapshot.values[:, plan.index("wide.weights")]))
    for name in ("mse", "rmse_over_scale", "effective_bits", "flushed"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=0.02), name
    assert found["sqnr_db"] == pytest.approx(expected.sqnr_db, abs=0.1)
    assert values.values.shape == (700, 600)
    np.testing.assert_array_equal(histogram.channel_min, values.values.min(axis=0))
    np.testing.assert_array_equal(histogram.channel_max, values.values.max(axis=0))
    assert SNAPSHOT_WEIGHTS / 3 < histogram.float_counts.sum() <= SNAPSHOT_WEIGHTS + 600
