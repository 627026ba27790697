"""The solver of the multiple-choice knapsack problem against all choices."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.analysis.knapsack import efficient_choices, least_value, total


def every_choice(allowed):
    return map(np.array, itertools.product(*[np.flatnonzero(row) for row in allowed]))


def brute_force(values, weights, allowed, capacity):
    """Return the least sum of values within the capacity; None if nothing fits."""
    fitting = [total(values, c) for c in every_choice(allowed) if total(weights, c) <= capacity]
    return min(fitting, default=None)


@st.composite
def problems(draw):
    """Return values, weights, allowed options and a capacity; with ties, zeros, and options that are of no use."""
    rows, options = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = rows * options
    # Their sums are exact.
    numbers = st.one_of(st.integers(0, 4), st.integers(0, 10**6), st.integers(0, 640).map(lambda n: n / 64))
    values = draw(st.lists(numbers, min_size=size, max_size=size))
    weights = draw(st.lists(st.one_of(st.integers(0, 4), st.integers(0, 10**6)), min_size=size, max_size=size))
    allowed = np.reshape(draw(st.lists(st.integers(0, 5), min_size=size, max_size=size)), (rows, options)) > 0
    fraction = draw(st.floats(-0.1, 1.1))
    weights = np.reshape(weights, (rows, options)).astype(float)
    return np.reshape(values, (rows, options)).astype(float), weights, allowed, fraction


@settings(deadline=None, max_examples=150)
@given(problems())
def test_no_choice_is_better(problem):
    values, weights, allowed, fraction = problem
    for table, load in ((values, weights), (weights, values)):
        capacity = float(np.floor(fraction * load.sum()))
        expected = brute_force(table, load, allowed, capacity)
        choice = least_value(table, load, allowed, capacity)
        assert (choice is None) == (expected is None)
        if choice is not None:
            assert allowed[np.arange(len(choice)), choice].all()
            assert total(load, choice) <= capacity
            assert total(table, choice) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_efficient_choices_are_the_corners_of_the_hull(problem):
    values, weights, allowed, _ = problem
    choices = efficient_choices(values, weights, allowed)
    if not allowed.any(axis=1).all():
        assert not len(choices)
        return
    for choice in choices:
        expected = brute_force(values, weights, allowed, total(weights, choice))
        assert total(values, choice) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    points = [(total(weights, choice), total(values, choice)) for choice in choices]
    assert points == sorted(points) and len(set(points)) == len(points)
    assert points[0][0] == min(total(weights, choice) for choice in every_choice(allowed))
    assert points[-1][1] == pytest.approx(min(total(values, choice) for choice in every_choice(allowed)))


def test_an_optimum_between_the_corners_is_found():
    # At a price, only (0, 0) and (1, 1) are optimal; the best within 3 is neither.
    values = np.array([[10.0, 6.0], [10.0, 0.0]])
    weights = np.array([[0.0, 3.0], [0.0, 4.0]])
    allowed = np.ones((2, 2), bool)
    assert least_value(values, weights, allowed, 3).tolist() == [1, 0]
    assert least_value(values, weights, allowed, 6).tolist() == [0, 1]
    assert [0, 1] in efficient_choices(values, weights, allowed).tolist()


def test_nothing_fits_and_no_class():
    ones = np.ones((2, 2))
    assert least_value(ones, ones, np.ones((2, 2), bool), 1.9) is None
    assert least_value(ones, ones, np.array([[True, True], [False, False]]), 9) is None
    empty = np.zeros((0, 3))
    assert least_value(empty, empty, empty.astype(bool), 0).tolist() == []


@pytest.mark.slow
def test_large_problems_with_many_ties_are_solved():
    rng = np.random.RandomState(0)
    bits = np.arange(2, 10)
    sizes = (10 ** rng.uniform(1, 6, 200)).astype(int)
    weights = np.ceil(sizes[:, None] * bits / 8)
    values = sizes[:, None] * 4.0**-bits  # as sensitive by bit: the steps of all classes are alike
    allowed = np.ones(weights.shape, bool)
    for fraction in (0.2, 0.5, 0.8):
        capacity = weights.min(axis=1).sum() * (1 - fraction) + weights.max(axis=1).sum() * fraction
        choice = least_value(values, weights, allowed, capacity)
        assert total(weights, choice) <= capacity
        # Within the bound of the linear relaxation between the corners around it.
        corners = efficient_choices(values, weights, allowed)
        load = np.array([total(weights, corner) for corner in corners])
        after = int(np.searchsorted(load, capacity, side="right"))
        assert total(values, corners[after]) <= total(values, choice) <= total(values, corners[after - 1])
