"""Error measures: identities that hold for every tensor, and the laws of uniform rounding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from qatviz.measures import IDEAL_RMSE_OVER_SCALE
from qatviz.quant.affine import choose_grid, fake_quant
from qatviz.quant.measures import CLIPPED_BEYOND, entropy_bits, flip_rate, is_clipped, measure, sqnr_db, standard_error

TENSORS = arrays_of.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.integers(1, 3)),
    elements=st.floats(-100, 100, width=32).map(lambda value: value if abs(value) > 1e-6 else 0.0),
)
properties = settings(deadline=None, max_examples=60)


@st.composite
def measured(draw):
    """Draw a tensor and a grid that may clip it, per tensor or per channel; return them with the measures."""
    x = draw(TENSORS)
    axis = draw(st.sampled_from([None, 0]))
    share = np.float32(draw(st.floats(0.125, 1.5, width=16)))
    grid = choose_grid(
        x.min(axis=axis) * share,
        x.max(axis=axis) * share,
        draw(st.integers(2, 16)),
        draw(st.booleans()),
        draw(st.booleans()),
    )
    return x, grid, measure(x, grid)


@properties
@given(measured())
def test_mse_is_clipping_plus_rounding(drawn):
    x, grid, found = drawn
    ulp = float(np.finfo(np.float32).eps * np.max(grid.maximum - grid.minimum))
    assert found.mse == pytest.approx(found.mse_clipping + found.mse_rounding, rel=1e-6, abs=ulp**2)
    # fake_quant's values are rounded to float32, which hides errors that are small relative to them.
    assert found.mse == pytest.approx(
        np.mean((fake_quant(x, grid).astype(np.float64) - x) ** 2), rel=1e-6, abs=2 * ulp * np.sqrt(found.mse) + ulp**2
    )
    beyond = x.astype(np.float64) - np.clip(x, grid.minimum, grid.maximum)
    clipped = np.abs(beyond) > np.float32(CLIPPED_BEYOND) * grid.scale
    assert found.mse_clipping == pytest.approx(np.sum(np.square(beyond)[clipped]) / x.size, rel=1e-5)
    if found.clipped == 0:
        assert found.mse_clipping == 0
        assert found.mse_rounding <= np.max((CLIPPED_BEYOND * grid.scale.astype(np.float64)) ** 2) + 100 * ulp**2


@properties
@given(measured())
def test_fractions_are_counts_of_values(drawn):
    x, grid, found = drawn
    values = fake_quant(x, grid)
    allowance = np.float32(CLIPPED_BEYOND) * grid.scale
    assert found.clipped == np.mean((grid.minimum - x > allowance) | (x - grid.maximum > allowance))
    assert (
        found.flushed
        == sum(1 for before, after in zip(x.ravel(), values.ravel()) if before != 0 and after == 0) / x.size
    )
    assert 0 <= found.clipped <= 1 and 0 <= found.flushed <= 1


@properties
@given(measured())
def test_effective_bits_are_bounded_by_the_number_of_codes(drawn):
    x, grid, found = drawn
    assert 1 <= found.used_codes <= min(2**grid.num_bits - grid.narrow_range, x.size)
    assert 0 <= found.effective_bits <= np.log2(found.used_codes) + 1e-9


@properties
@given(measured())
def test_sqnr_and_rmse_follow_from_the_error(drawn):
    x, grid, found = drawn
    signal = np.mean(x.astype(np.float64) ** 2)
    if signal == 0:
        assert np.isnan(found.sqnr_db)
    elif found.mse == 0:
        assert found.sqnr_db == np.inf
    else:
        assert found.sqnr_db == pytest.approx(10 * np.log10(signal / found.mse))
    if grid.scale.ndim == 0 and grid.scale > 0:
        assert found.rmse_over_scale == pytest.approx(np.sqrt(found.mse) / grid.scale, rel=1e-6)
        if found.clipped == 0:
            assert found.rmse_over_scale <= CLIPPED_BEYOND + 1e-2


@pytest.fixture(scope="module")
def uniform():
    return np.random.RandomState(40).uniform(-1, 1, 100000).astype(np.float32)


@pytest.mark.parametrize("num_bits", range(4, 13))
def test_rounding_of_uniform_data_is_ideal(uniform, num_bits):
    found = measure(uniform, choose_grid(-1, 1, num_bits, symmetric=True, narrow_range=True))
    assert found.clipped == 0
    assert pytest.approx(0.28868, abs=1e-5) == IDEAL_RMSE_OVER_SCALE
    assert found.rmse_over_scale == pytest.approx(IDEAL_RMSE_OVER_SCALE, rel=0.01)


def test_sqnr_falls_by_6_db_per_bit(uniform):
    ratios = [
        measure(uniform, choose_grid(-1, 1, bits, symmetric=True, narrow_range=True)).sqnr_db for bits in range(7, 15)
    ]
    np.testing.assert_allclose(np.diff(ratios), 20 * np.log10(2), atol=0.15)


def test_a_fitting_grid_on_uniform_data_uses_all_its_bits(uniform):
    found = measure(uniform, choose_grid(-1, 15 / 16, 5))  # scale 1/16
    assert found.used_codes == 32 and found.effective_bits == pytest.approx(5, abs=0.03)


@pytest.mark.parametrize("x", [np.zeros([0, 3], np.float32), np.zeros([4, 3], np.float32)], ids=["empty", "all zero"])
def test_measures_of_empty_tensors(x):
    found = measure(x, choose_grid(0, 0))
    assert found[:3] == (0, 0, 0) and np.isnan(found.sqnr_db)
    assert found[4:7] == (0, 0, 0) and found.effective_bits == 0
    assert found.used_codes == min(x.size, 1)


def test_a_worked_example():
    grid = choose_grid(-2, 1, 2)  # scale 1: -2, -1, 0, 1
    found = measure(np.float32([-4, -1.25, 0, 0.25, 1, 1, 1, 3]), grid)
    assert float(grid.scale) == 1 and found.mse_clipping == (4 + 4) / 8
    assert found.mse_rounding == (0.0625 + 0.0625) / 8 and found.mse == found.mse_clipping + found.mse_rounding
    assert (found.clipped, found.flushed, found.used_codes) == (2 / 8, 1 / 8, 4)
    # Codes -2, -1, 0, 1 occur 1, 1, 2 and 4 times.
    assert found.effective_bits == pytest.approx(2 * (1 / 8) * 3 + (2 / 8) * 2 + (4 / 8) * 1)


@properties
@given(
    TENSORS,
    st.sampled_from([None, 0]),
    st.integers(2, 16),
    *[st.booleans()] * 3,
    st.floats(-20, 20),
)
def test_min_max_ranges_clip_nothing(x, axis, bits, symmetric, narrow_range, power_of_two, exponent):
    """Nudging the range so that 0 is a level, and the last place of a scale, are no clipping."""
    x = x * np.float32(2**exponent)
    found = measure(x, choose_grid(x.min(axis=axis), x.max(axis=axis), bits, symmetric, narrow_range, power_of_two))
    assert found.clipped == found.mse_clipping == 0 and found.mse == found.mse_rounding


def test_a_value_is_clipped_more_than_half_a_step_beyond_the_range():
    grid = choose_grid(-2, 1, 2)  # scale 1: -2, -1, 0, 1
    x = np.float32([-3, -2.6, -2.51, -2.4, -2, 1, 1.5, 1.51, 1.6, 2])
    np.testing.assert_array_equal(is_clipped(x, grid), [1, 1, 0, 0, 0, 0, 0, 0, 1, 1])
    assert measure(x, grid).clipped == 4 / 10


def test_the_standard_error_is_that_of_samples_without_replacement():
    values = np.random.RandomState(8).exponential(size=6000)
    means = [np.random.RandomState(seed).permutation(values)[:4096].mean() for seed in range(400)]
    assert standard_error(values.var(), 4096, 6000) == pytest.approx(np.std(means), rel=0.1)
    assert standard_error(values.var(), 6000, 6000) == 0


def test_rmse_over_scale_uses_each_channels_own_scale():
    x = np.random.RandomState(41).uniform(-1, 1, [50000, 2]).astype(np.float32) * np.float32([1, 1000])
    grid = choose_grid(x.min(axis=0), x.max(axis=0), 6, symmetric=True, narrow_range=True)
    assert measure(x, grid).rmse_over_scale == pytest.approx(IDEAL_RMSE_OVER_SCALE, rel=0.01)


@properties
@given(arrays_of.arrays(np.int64, st.integers(0, 20), elements=st.integers(0, 1000)))
def test_entropy_is_at_most_that_of_equal_counts(counts):
    used = np.count_nonzero(counts)
    assert 0 <= entropy_bits(counts) <= (np.log2(used) if used else 0) + 1e-9
    assert entropy_bits(np.full(8, 7)) == pytest.approx(3) and entropy_bits([5]) == 0


def test_sqnr_of_vectors():
    np.testing.assert_allclose(sqnr_db([1, 1, 0, 0], [0.1, 0, 0, 1]), [10, np.inf, np.nan, np.nan])


def test_flip_rate():
    codes = np.array([[1, 2], [3, 4]])
    assert flip_rate(codes, codes) == 0 and flip_rate(codes, codes + 1) == 1
    assert flip_rate(codes, np.array([[1, 0], [3, 0]])) == 0.5
    assert (
        np.isnan(flip_rate(codes, None))
        and np.isnan(flip_rate(codes, codes[:1]))
        and np.isnan(flip_rate(codes[:0], codes[:0]))
    )
