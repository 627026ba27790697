"""Verdicts of tensors: levels and thresholds, and tensors constructed with one fault each."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from value_facts import facts_of_values, grid_of, measures_of

from qatviz.analysis import verdict as v
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.quant.affine import choose_grid
from qatviz.quant.measures import measure
from qatviz.settings import quantizer_settings

ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}
NAN = float("nan")


def tensor(kind="weights", parameters=100000, nonnegative=False):
    return QuantizedTensor(
        "layer." + kind,
        "layer",
        kind,
        (parameters,),
        1,
        None,
        "layer." + kind,
        nonnegative,
        "Dense",
        parameters if kind == "weights" else 0,
    )


def measured(values, settings, low=None, high=None, **others):
    """Return measures like a snapshot's of ``values``, on the grid of a range (by default their own)."""
    low, high = np.float32(values.min() if low is None else low), np.float32(values.max() if high is None else high)
    grid = choose_grid(low, high, settings.num_bits, settings.symmetric, settings.narrow_range, settings.power_of_two)
    row = dict(
        measure(values, grid)._asdict(),
        scale=float(grid.scale),
        zero_point=float(grid.zero_point),
        range_min=float(grid.minimum),
        range_max=float(grid.maximum),
        flip_rate=NAN,
        oscillating=NAN,
        frozen_weights=NAN,
    )
    row.update(others)
    return row


def normal(size=100000, seed=0):
    return np.random.RandomState(seed).randn(size).astype(np.float32)


def levels_of(**measures):
    values = np.full((len(SNAPSHOT_MEASURES), 1), np.nan, np.float32)
    settings = quantizer_settings("weights", num_bits=measures.pop("num_bits", 8))
    for name, value in measures.items():
        values[ROW[name]] = value
    return v.levels(values, [tensor()], [settings], [True])[:, 0]


@pytest.mark.parametrize(
    "name, good, warning, bad",
    [
        ("sqnr_db", 30, 15, 5),
        ("rmse_over_scale", 0.289, 0.5, 1.0),
        ("clipped", 0.001, 0.02, 0.5),
        ("flushed", 0.01, 0.3, 0.9),
        ("used_codes", 200, 100, 20),
    ],
)
def test_each_judged_measure_has_three_levels(name, good, warning, bad):
    assert [levels_of(**{name: value})[ROW[name]] for value in (good, warning, bad)] == [v.GOOD, v.WARNING, v.BAD]


def test_an_exact_tensor_is_good_and_a_missing_measure_is_not_judged():
    assert levels_of(sqnr_db=np.inf)[ROW["sqnr_db"]] == v.GOOD
    assert not levels_of().any()


def test_measures_without_a_threshold_have_no_level():
    found = levels_of(**dict.fromkeys(SNAPSHOT_MEASURES, 1.0))
    assert {name for name in SNAPSHOT_MEASURES if found[ROW[name]]} <= set(v.JUDGED)


def test_the_flip_rate_is_judged_for_few_bits_only():
    assert levels_of(flip_rate=0.5, num_bits=3)[ROW["flip_rate"]] == v.WARNING
    assert levels_of(flip_rate=0.5, num_bits=8)[ROW["flip_rate"]] == v.NO_LEVEL


def test_used_codes_of_few_values_are_compared_with_their_number():
    values = np.full((len(SNAPSHOT_MEASURES), 2), np.nan, np.float32)
    values[ROW["used_codes"]] = 60
    settings = quantizer_settings("weights")
    found = v.levels(values, [tensor(parameters=64), tensor()], [settings] * 2, [True, True])
    assert found[ROW["used_codes"]].tolist() == [v.GOOD, v.BAD]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a loaded machine
@given(
    st.lists(st.floats(width=32), min_size=len(SNAPSHOT_MEASURES), max_size=len(SNAPSHOT_MEASURES)),
    st.integers(2, 16),
    st.sampled_from(["weights", "activations"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_all_combinations_of_measures_have_a_verdict(numbers, bits, kind, symmetric, nonnegative, active):
    wanted = quantizer_settings(kind, num_bits=bits, symmetric=symmetric)
    found = v.verdict(dict(zip(SNAPSHOT_MEASURES, numbers)), tensor(kind, nonnegative=nonnegative), wanted, active)
    assert found.level in (v.NO_LEVEL, v.GOOD, v.WARNING, v.BAD) and found.text.endswith(".")
    assert active or found.level == v.NO_LEVEL


def test_float_tensors_have_no_levels():
    values = np.ones((len(SNAPSHOT_MEASURES), 1), np.float32)
    assert not v.levels(values, [tensor()], [quantizer_settings("weights")], [False]).any()


def test_normal_values_on_their_own_range_at_8_bits_are_good():
    settings = quantizer_settings("weights")
    found = v.verdict(measured(normal(), settings), tensor(), settings)
    assert found.level == v.GOOD and "no larger than that of rounding" in found.text


@pytest.mark.parametrize("bits, level", [(8, v.GOOD), (3, v.WARNING), (2, v.BAD)])
def test_few_bits_on_uniform_values_are_diagnosed_as_rounding(bits, level):
    values = np.random.RandomState(0).uniform(-1, 1, 50000).astype(np.float32)
    settings = quantizer_settings("weights", num_bits=bits)
    found = v.verdict(measured(values, settings), tensor(), settings)
    assert found.level == level
    assert level == v.GOOD or "Rounding dominates the error" in found.text


def test_a_small_range_is_diagnosed_as_clipping():
    settings = quantizer_settings("weights", range_method="percentile", percentile=60.0)
    found = v.verdict(measured(normal(), settings, -0.5, 0.5), tensor(), settings)
    assert found.level == v.BAD and found.text.startswith("Clipping dominates the error: 61.")


@pytest.mark.parametrize("bits", [4, 8])
def test_an_outlier_is_diagnosed_by_unused_codes(bits):
    values = normal()
    values[0] = 500
    settings = quantizer_settings("weights", num_bits=bits)
    grid = grid_of(values, settings)
    found = v.verdict(measures_of(values, grid), tensor(), settings, facts=facts_of_values(values[:, None], grid))
    assert found.level == v.BAD and found.text.startswith("Only ")
    assert "All but 1 of 100,000 measured values lie between" in found.text


def test_values_rounded_to_zero_are_diagnosed():
    settings = quantizer_settings("weights", num_bits=2, symmetric=True, narrow_range=True)
    found = v.verdict(measured(normal(), settings), tensor(), settings)
    assert found.level == v.BAD and found.text.startswith("Most values become 0 (9")


def test_float_exact_all_zero_and_diverged_tensors_have_their_own_verdicts():
    settings = quantizer_settings("weights")
    off, late = quantizer_settings("weights", enabled=False), quantizer_settings("weights", quant_delay=500)
    exact = measured(np.arange(256, dtype=np.float32), settings)
    assert v.verdict(exact, tensor(), off).text.startswith("In float:")
    assert "500 steps" in v.verdict(exact, tensor(), late, active=False).text
    assert v.verdict(exact, tensor(), settings) == v.Verdict(v.GOOD, "Exact: every value lies on the grid.")
    assert "0" in v.verdict(measured(np.zeros(8, np.float32), settings), tensor(), settings).text
    assert v.verdict(dict(exact, mse=np.inf), tensor(), settings).level == v.BAD
    assert v.verdict(dict.fromkeys(SNAPSHOT_MEASURES, NAN), tensor(), settings).text == "Not measured yet."


def test_oscillation_is_diagnosed_if_nothing_else_is_wrong():
    values = np.random.RandomState(0).uniform(-1, 1, 50000).astype(np.float32)
    settings = quantizer_settings("weights", num_bits=4)
    found = v.verdict(measured(values, settings, flip_rate=0.4), tensor(), settings)
    assert found.level == v.WARNING and "oscillate" in found.text
