"""Ranges of channels, and the screening of weights: against definitions and constructed tensors."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.analysis.channels import REMEDIES, channel_ranges, excess_kurtosis, robust_z, screened
from qatviz.analysis.verdict import BAD, GOOD
from qatviz.settings import quantizer_settings


def tensor(channels):
    return SimpleNamespace(name="conv.weights", num_channels=channels)


def weights(scales, rows=400, seed=0):
    return (np.random.RandomState(seed).randn(rows, len(scales)) * np.array(scales)).astype(np.float32)


def test_quantiles_are_those_of_each_channel():
    values = weights([0.5, 1.0, 2.0]).reshape(20, 20, 3)
    found = channel_ranges(tensor(3), values)
    expected = np.percentile(values.astype(np.float64).reshape(-1, 3), [0, 25, 50, 75, 100], axis=0)
    np.testing.assert_allclose(found.quantiles, expected)
    np.testing.assert_allclose(found.ranges, expected[-1] - expected[0])
    assert found.whole[0] == expected[0].min() and found.whole[-1] == expected[-1].max()


def test_a_range_contains_zero():
    found = channel_ranges(tensor(2), np.array([[1.0, -3.0], [2.0, -1.0]], np.float32))
    assert found.ranges.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "draw, expected",
    [("standard_normal", 0.0), ("uniform", -1.2), ("laplace", 3.0)],
)
def test_kurtosis_of_known_distributions(draw, expected):
    random = np.random.RandomState(1)
    values = random.laplace(size=400_000) if draw == "laplace" else getattr(random, draw)(size=400_000)
    assert excess_kurtosis(values.reshape(-1, 1))[0] == pytest.approx(expected, abs=0.15)
    assert np.isnan(excess_kurtosis(np.ones((5, 1)))[0])


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=30), st.floats(0.01, 100), st.floats(-100, 100))
def test_robust_z_ignores_location_and_scale(values, factor, shift):
    z, moved = robust_z(np.array(values, float)), robust_z(np.array(values) * factor + shift)
    if np.ptp(values):
        np.testing.assert_allclose(moved, z, rtol=1e-6, atol=1e-6)


def test_robust_z_is_the_z_score_of_normal_values():
    values = np.random.RandomState(0).randn(100_001)
    np.testing.assert_allclose(robust_z(values), values, atol=0.1)
    assert robust_z(np.ones(4)).tolist() == [0.0] * 4


def test_a_channel_that_stands_out_is_found_and_explained():
    scales = np.linspace(0.9, 1.1, 32)
    scales[7] = 40.0
    found = channel_ranges(tensor(32), weights(scales))
    assert found.outliers == (7,)
    assert found.range_ratio == pytest.approx(found.ranges[7] / np.median(found.ranges))
    shared = screened(found, quantizer_settings("weights", per_channel=False))
    assert (
        shared.verdict.level == BAD and "quantize per channel" in shared.verdict.text and ": 7." in shared.verdict.text
    )
    apart = screened(found, quantizer_settings("weights", per_channel=True))
    assert apart.verdict.level == GOOD and "share" not in apart.verdict.text


def test_the_verdict_names_the_bits_that_are_lost_and_its_remedies():
    scales = np.ones(32)
    scales[7] = 40.0
    found = channel_ranges(tensor(32), weights(scales))
    shared = screened(found, quantizer_settings("weights", per_channel=False))
    assert "loses 5." in shared.verdict.text and " of 8 bits" in shared.verdict.text
    assert REMEDIES[0] in shared.remedies
    few = screened(found, quantizer_settings("weights", per_channel=False, num_bits=4))
    assert "loses all of its 4 bits" in few.verdict.text
    assert screened(found, quantizer_settings("weights", per_channel=True)).remedies == ()


def test_similar_channels_do_not_stand_out_however_similar_the_others():
    scales = np.ones(32)
    found = channel_ranges(tensor(32), np.sign(weights(scales)) * np.where(np.arange(32) == 3, 1.2, 1.0))
    assert found.outliers == () and found.z[3] > 3.5
    assert screened(found, quantizer_settings("weights")).verdict.text.startswith("Even")


def test_extreme_weights_have_a_verdict_unless_the_range_clips_them():
    values = weights([1.0] * 8, rows=1000)
    values[3] *= 40
    found = channel_ranges(tensor(8), values)
    assert found.kurtosis > 20 and found.channel_kurtosis > 20
    assert screened(found, quantizer_settings("weights")).verdict.level == BAD
    clipping = quantizer_settings("weights", range_method="percentile")
    assert screened(found, clipping).verdict.level == GOOD


def test_the_kurtosis_is_that_of_the_values_that_share_a_scale():
    found = channel_ranges(tensor(16), weights([1.0] * 15 + [30.0]))
    assert found.kurtosis > 5 > found.channel_kurtosis
    assert screened(found, quantizer_settings("weights", per_channel=True)).measures["kurtosis"] < 1


def test_channels_of_zeros_are_counted_and_no_outliers():
    values = weights([1.0] * 8)
    values[:, 2] = 0
    found = channel_ranges(tensor(8), values)
    assert found.zeros == 1 and 2 not in found.outliers and np.isnan(found.z[2])
    told = screened(found, quantizer_settings("weights")).to_dict()
    assert "1 channel is all zeros" in told["verdict"] and told["channels"][2]["z"] is None
    nothing = channel_ranges(tensor(2), np.zeros((3, 2), np.float32))
    assert screened(nothing, quantizer_settings("weights")).verdict.level == GOOD and nothing.outliers == ()
