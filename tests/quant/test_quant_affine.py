"""Properties of the NumPy reference."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from qatviz.quant import affine
from qatviz.quant.affine import AffineGrid, choose_grid, code_bounds, fake_quant, fake_quant_gradient, quantize

ULP = float(np.finfo(np.float32).eps)
#: Scales of all ranges drawn below stay between affine.SMALLEST_SCALE and LARGEST_SCALE, except where they are 0.
MAGNITUDES = st.one_of(st.just(0.0), st.floats(2.0**-60, 2.0**60, width=32), st.sampled_from([1.0, 0.5, 3.0, 2.0**-60]))
VALUES = st.one_of(MAGNITUDES, MAGNITUDES.map(lambda value: -value))
BITS = st.integers(affine.MIN_BITS, affine.MAX_BITS)
properties = settings(deadline=None, max_examples=60)


@st.composite
def grids(draw, **fixed):
    """Draw a grid with the settings and the range it was made from."""
    options = {
        "num_bits": draw(BITS),
        "symmetric": draw(st.booleans()),
        "narrow_range": draw(st.booleans()),
        "power_of_two": draw(st.booleans()),
    }
    options.update(fixed)
    low, high = sorted([draw(VALUES), draw(VALUES)])
    return choose_grid(low, high, **options), options, (low, high)


def around(grid):
    """Draw values within, on the ends of and beyond the representable range of a grid, at most a few widths away."""
    width = float(grid.maximum) - float(grid.minimum)
    shares = arrays_of.arrays(np.float64, st.integers(0, 30), elements=st.floats(-2, 3))
    return shares.map(lambda share: (float(grid.minimum) + share * width).astype(np.float32))


@properties
@given(st.data(), grids())
def test_quantizing_twice_changes_nothing(data, drawn):
    grid = drawn[0]
    once = fake_quant(data.draw(around(grid)), grid)
    np.testing.assert_array_equal(fake_quant(once, grid), once)
    np.testing.assert_array_equal(quantize(affine.dequantize(quantize(once, grid), grid), grid), quantize(once, grid))


@properties
@given(st.data(), grids())
def test_quantization_is_monotonic(data, drawn):
    grid = drawn[0]
    x = np.sort(data.draw(around(grid)))
    assert np.all(np.diff(quantize(x, grid)) >= 0)
    assert np.all(np.diff(fake_quant(x, grid)) >= 0)


@given(grids())
@properties
def test_zero_is_quantized_to_exactly_zero(drawn):
    grid = drawn[0]
    assert fake_quant(np.float32(0), grid) == 0
    assert quantize(np.float32(0), grid) == grid.zero_point
    assert grid.minimum <= 0 <= grid.maximum


@properties
@given(st.data(), grids())
def test_the_error_within_the_range_is_at_most_half_a_quantization_step(data, drawn):
    grid = drawn[0]
    x = affine.clip(data.draw(around(grid)), grid)
    error = np.abs(fake_quant(x, grid).astype(np.float64) - x)
    assert np.all(error <= 0.5 * grid.scale + 2 * ULP * (float(grid.maximum) - float(grid.minimum)))


@properties
@given(st.data(), grids())
def test_values_beyond_the_range_are_clipped_to_its_ends(data, drawn):
    grid = drawn[0]
    x = data.draw(around(grid))
    qmin, qmax = grid.bounds
    codes = quantize(x, grid)
    if grid.scale > 0:
        assert np.all(codes[x <= grid.minimum] == qmin) and np.all(codes[x >= grid.maximum] == qmax)
    assert np.all((codes >= qmin) & (codes <= qmax))


@properties
@given(grids())
def test_the_number_of_values_is_at_most_that_of_codes(drawn):
    grid, options, _ = drawn
    x = np.linspace(float(grid.minimum), float(grid.maximum), 2**17 // 2 ** (16 - options["num_bits"])).astype(
        np.float32
    )
    allowed = 2 ** options["num_bits"] - options["narrow_range"]
    codes = np.unique(quantize(x, grid))
    assert len(codes) == (allowed if grid.scale > 0 else 1)
    assert len(np.unique(fake_quant(x, grid))) == len(codes)


@properties
@given(grids())
def test_the_zero_point_is_a_code_and_0_if_symmetric(drawn):
    grid, options, _ = drawn
    qmin, qmax = code_bounds(options["num_bits"], options["narrow_range"])
    assert qmin <= grid.zero_point <= qmax
    assert grid.zero_point == 0 or not options["symmetric"]
    assert grid.zero_point.dtype == np.int32 and grid.scale.dtype == np.float32


@properties
@given(grids())
def test_the_grid_covers_the_range_up_to_half_a_quantization_step(drawn):
    grid, options, (low, high) = drawn
    slack = ULP * (abs(low) + abs(high)) * 4 + float(grid.scale) * (0.0 if options["symmetric"] else 0.5)
    assert grid.minimum <= min(low, 0) + slack and grid.maximum >= max(high, 0) - slack


@properties
@given(grids(power_of_two=False))
def test_a_power_of_two_scale_is_the_next_power_above_the_plain_scale(drawn):
    plain, options, ends = drawn
    assume(plain.scale > 0)
    raised = choose_grid(*ends, **dict(options, power_of_two=True)).scale
    assert np.frexp(raised)[0] == 0.5
    assert plain.scale <= raised < 2 * plain.scale


@properties
@given(grids(power_of_two=False), st.integers(1, 14))
def test_more_bits_never_make_the_scale_coarser(drawn, more):
    grid, options, ends = drawn
    bits = min(options["num_bits"] + more, affine.MAX_BITS)
    assert choose_grid(*ends, **dict(options, num_bits=bits)).scale <= grid.scale * (1 + 2 * ULP)


@properties
@given(st.data(), grids())
def test_the_gradient_passes_exactly_within_the_range_including_its_ends(data, drawn):
    grid = drawn[0]
    x = np.concatenate([data.draw(around(grid)), [grid.minimum, grid.maximum]]).astype(np.float32)
    gradient = np.arange(1, x.size + 1, dtype=np.float32)
    passed = fake_quant_gradient(gradient, x, grid)
    np.testing.assert_array_equal(passed, np.where(affine.clip(x, grid) == x, gradient, 0))
    assert np.all(passed[-2:] != 0)


@properties
@given(
    st.lists(grids(num_bits=4, symmetric=False, narrow_range=True, power_of_two=False), min_size=1, max_size=5),
    st.data(),
)
def test_a_per_channel_grid_equals_separate_grids_per_channel(drawn, data):
    singles, ends = [item[0] for item in drawn], [item[2] for item in drawn]
    together = choose_grid(*np.float32(ends).T, num_bits=4, narrow_range=True)
    x = np.stack([np.resize(np.append(data.draw(around(grid)), np.float32(0)), 31) for grid in singles], axis=1)
    for name in ("scale", "zero_point", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(together, name), [getattr(grid, name) for grid in singles])
    for function in (fake_quant, quantize, affine.clip):
        np.testing.assert_array_equal(
            function(x, together), np.stack([function(x[:, i], grid) for i, grid in enumerate(singles)], axis=1)
        )


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    "ends",
    [
        (0, 0),
        (-np.inf, 1),
        (-1, np.inf),
        (np.nan, 1),
        (-1, np.nan),
        (np.inf, -np.inf),
        (-3.4e38, 3.4e38),
        (-1e-40, 1e-40),
    ],
    ids=repr,
)
def test_ranges_that_cannot_be_quantized_have_scale_0(ends, symmetric, power_of_two):
    grid = choose_grid(*ends, num_bits=8, symmetric=symmetric, power_of_two=power_of_two)
    assert grid.scale == 0 and grid.minimum == 0 and grid.maximum == 0
    assert grid.zero_point == (0 if symmetric else -128)
    x = np.float32([-5, 0, 1e-40, 5])
    np.testing.assert_array_equal(fake_quant(x, grid), np.zeros(4))
    np.testing.assert_array_equal(quantize(x, grid), np.full(4, grid.zero_point))


def test_an_empty_tensor_stays_empty():
    grid = choose_grid(0.0, 0.0)
    empty = np.zeros([0, 3], np.float32)
    assert (
        fake_quant(empty, grid).shape
        == quantize(empty, grid).shape
        == fake_quant_gradient(empty, empty, grid).shape
        == (0, 3)
    )


@given(BITS, st.booleans())
def test_code_bounds_follow_the_formula(num_bits, narrow_range):
    assert code_bounds(num_bits, narrow_range) == (-(2 ** (num_bits - 1)) + narrow_range, 2 ** (num_bits - 1) - 1)


def test_halves_are_rounded_up():
    np.testing.assert_array_equal(affine.round_half_up([-1.5, -0.5, 0.5, 1.5, 2.5]), [-1, 0, 1, 2, 3])


def test_worked_example_of_two_bits():
    grid = AffineGrid(np.float32(0.5), np.int32(-1), 2, False)
    np.testing.assert_array_equal(quantize([-9, -0.26, -0.25, 0.2, 0.25, 0.9, 9], grid), [-2, -2, -1, -1, 0, 1, 1])
    np.testing.assert_array_equal(
        fake_quant([-9, -0.26, -0.25, 0.2, 0.25, 0.9, 9], grid), [-0.5, -0.5, 0, 0, 0.5, 1, 1]
    )
