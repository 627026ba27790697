"""Snapshots measure all values of large tensors; only the histograms are of a sample, and marked as such."""

import numpy as np
import pytest
from small_runs import dataset, mlp, spec
from training_cases import Driver

from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU
from qatviz.protocol.commands import InspectTensor
from qatviz.protocol.snapshots import MOST_DISTINCT, SNAPSHOT_MEASURES, Snapshot, TensorValues
from qatviz.quant.affine import AffineGrid, quantize
from qatviz.quant.measures import measure
from qatviz.training.probes import HISTOGRAM_SAMPLE


def test_zeros_are_counted_and_distinct_values_if_few():
    """ReLU outputs have zeros, the input has as many distinct values as the pixels take, weights have very many."""
    with Driver(spec(mlp(), dataset())) as driver:
        for name in ("input.activations", "dense1.activations", "dense1.weights"):
            driver.run.send(InspectTensor(name))
            found = driver.until(lambda item: isinstance(item, TensorValues) and item.name == name)
            snapshot = [item for item in driver.news if isinstance(item, Snapshot) and item.step == found.step][-1]
            values = found.values
            histogram, distinct = snapshot.histograms[name], np.unique(values).size
            assert histogram.count == values.size and histogram.zeros == np.count_nonzero(values == 0)
            assert histogram.distinct == (distinct if distinct <= MOST_DISTINCT else None), name


@pytest.mark.parametrize("settings", [{}, {"per_channel": True}, {"range_method": "percentile", "percentile": 90.0}])
def test_measures_and_counts_of_a_large_tensor_cover_all_its_values(settings):
    net = NetworkBuilder("wide", (700,))
    net.add(Dense, "wide", units=600)
    net.add(ReLU, "wide_relu")
    net.add(Dense, "logits", units=3)
    weights = {"num_bits": 8, **settings}
    with Driver(spec(net.network(), dataset((700,)), weights=weights)) as driver:
        plan = driver.run.spec.plan
        for name in ("wide.weights", "wide.activations"):
            driver.run.send(InspectTensor(name))
        values = {}
        while len(values) < 2:
            found = driver.until(lambda item: isinstance(item, TensorValues) and item.name not in values)
            values[found.name] = found
        step = values["wide.weights"].step
        snapshot = [item for item in driver.news if isinstance(item, Snapshot) and item.step == step][-1]
    for name, found_values in values.items():
        index = plan.index(name)
        histogram, x, num_bits = snapshot.histograms[name], found_values.values, snapshot.num_bits[index]
        narrow = driver.run.spec.book.of(name).narrow_range
        grid = AffineGrid(histogram.scale, histogram.zero_point, num_bits, narrow)
        expected = measure(x, grid)
        found = dict(zip(SNAPSHOT_MEASURES, snapshot.values[:, index]))
        assert histogram.size == x.size
        for key in ("clipped", "flushed", "used_codes"):  # numbers of values, to the last
            assert found[key] == np.float32(getattr(expected, key)), (name, key)
        codes = quantize(x, grid).ravel() - histogram.code_min
        np.testing.assert_array_equal(histogram.code_counts, np.bincount(codes, minlength=2**num_bits))
        for key in ("mse", "mse_clipping", "mse_rounding", "rmse_over_scale", "effective_bits"):
            assert found[key] == pytest.approx(getattr(expected, key), rel=1e-4), (name, key)
        assert found["sqnr_db"] == pytest.approx(expected.sqnr_db, abs=1e-3)
        if name.endswith("weights"):
            assert (found["clipped"] > 0) == ("percentile" in settings)
            np.testing.assert_array_equal(histogram.channel_min, x.min(axis=0))
            np.testing.assert_array_equal(histogram.channel_max, x.max(axis=0))
            assert HISTOGRAM_SAMPLE / 3 < histogram.sample <= HISTOGRAM_SAMPLE + 600
            assert histogram.float_counts.sum() == histogram.quantized_counts.sum() == histogram.sample
        else:
            assert histogram.sample is None
