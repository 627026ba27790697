"""Requantization with integers equals rounding the real product half up."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.export.integers.fixed_point import (
    LARGEST_ACCUMULATOR,
    MULTIPLIER_BITS,
    common_fixed_point,
    fixed_point,
    multiplier_bits,
    requantize,
    round_shift,
)

FACTORS = st.floats(2.0**-40, 2.0**12)
BOUNDS = st.integers(1, 44).map(lambda bits: 2**bits - 1)


def half_up(value):
    """``floor(value + 1/2)`` of a Fraction, exactly."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def exact(factor):
    """Return a multiplier as a rational number."""
    return Fraction(int(factor.multiplier), 2 ** int(factor.right_shift))


@given(FACTORS, BOUNDS, st.data())
@settings(deadline=None)
def test_requantization_rounds_the_product_half_up_once(real, bound, data):
    accumulator = data.draw(st.integers(-bound, bound))
    factor = fixed_point(np.array(real), multiplier_bits(bound))
    assert int(requantize(np.array([accumulator]), factor)[0]) == half_up(accumulator * exact(factor))


@given(FACTORS, BOUNDS)
@settings(deadline=None)
def test_a_multiplier_is_as_close_as_its_bits_allow_and_its_products_fit(real, bound):
    bits = multiplier_bits(bound)
    factor = fixed_point(np.array(real), bits)
    assert 1 <= factor.right_shift <= 62
    assert bound * int(factor.multiplier) + 2 ** int(factor.right_shift - 1) < 2**63
    if factor.multiplier:
        assert 2 ** (bits - 1) <= factor.multiplier < 2**bits
        assert abs(exact(factor) - Fraction(real)) <= Fraction(real) / 2**bits
    else:
        assert bound * Fraction(real) < Fraction(1, 2)


@given(st.integers(-40, 9), st.integers(-(2**31) + 1, 2**31 - 1))
def test_powers_of_two_are_exact_ties_included(exponent, accumulator):
    factor = fixed_point(np.array(2.0**exponent))
    assert int(requantize(np.array([accumulator]), factor)[0]) == half_up(accumulator * Fraction(2) ** exponent)


@given(st.floats(2.0**28, 2.0**100), st.integers(1, 2**31 - 1))
def test_multipliers_that_are_too_large_saturate_16_bits(real, accumulator):
    factor = fixed_point(np.array(real))
    assert int(requantize(np.array([accumulator]), factor)[0]) > 2**16
    assert int(requantize(np.array([-accumulator]), factor)[0]) < -(2**16)


@pytest.mark.parametrize("real", [0.0, 2.0**-70])
def test_tiny_multipliers_round_everything_to_zero(real):
    factor = fixed_point(np.array(real))
    np.testing.assert_array_equal(requantize(np.array([-(2**31) + 1, 0, 2**31 - 1]), factor), 0)


def test_a_fraction_just_below_one_carries_into_the_exponent():
    factor = fixed_point(np.array(np.nextafter(1.0, 0.0)))
    assert factor.real == 1.0 and factor.multiplier == 2**30


@given(st.lists(st.floats(2.0**-20, 2.0**8), min_size=1, max_size=4))
def test_multipliers_of_a_sum_share_a_shift_and_are_close(reals):
    factors = common_fixed_point(np.array(reals))
    assert len(set(factors.right_shift.tolist())) == 1
    np.testing.assert_allclose(factors.real, reals, rtol=0, atol=max(reals) * 2.0**-MULTIPLIER_BITS)


@given(st.lists(st.tuples(st.integers(-255, 255), st.floats(2.0**-6, 2.0**6)), min_size=1, max_size=4))
def test_a_sum_is_rounded_once(terms):
    factors = common_fixed_point(np.array([real for _, real in terms]))
    products = sum(code * int(multiplier) for (code, _), multiplier in zip(terms, factors.multiplier))
    total = Fraction(products, 2 ** int(factors.right_shift[0]))
    assert int(round_shift(np.int64(products), factors.right_shift[0])) == half_up(total)


def test_the_widest_accumulator_leaves_18_bits_for_the_multiplier():
    assert multiplier_bits(LARGEST_ACCUMULATOR) == 18
    assert multiplier_bits(2**31 - 1) == MULTIPLIER_BITS
