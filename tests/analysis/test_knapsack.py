"""The solver of the multiple-choice knapsack problem against all choices."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.analysis import knapsack
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


def least_by_table(values, weights, capacity):
    """Return the least sum of values for each integer capacity up to ``capacity``, by the textbook's table."""
    table = np.zeros(capacity + 1)
    for row_values, row_weights in zip(values, weights.astype(int)):
        found = np.full(capacity + 1, np.inf)
        for value, weight in zip(row_values, row_weights):
            found[weight:] = np.minimum(found[weight:], value + table[: capacity + 1 - weight])
        table = found
    return table


def families(rng, rows):
    """Yield (name, values, weights) of problems with ties, with none, and with options of little or no use."""
    bits = np.arange(2, 10)
    sizes = np.ceil(10 ** rng.uniform(0.5, 2.5, (rows, 1)))
    stored = np.ceil(sizes * bits / 8)
    drop = 4.0**-bits
    yield "tied", sizes * drop, stored
    yield "sensitive", sizes * drop * rng.lognormal(0, 2, (rows, 1)), stored
    yield "noisy", sizes * drop * rng.lognormal(0, 1, (rows, len(bits))), stored
    yield "equal sizes", 123 * drop + np.zeros((rows, 1)), np.ceil(123 * bits / 8) + np.zeros((rows, 1))
    weights = np.sort(rng.randint(1, 300, (rows, len(bits))), axis=1).astype(float)
    yield "sums of weights", weights.max(axis=1, keepdims=True) - weights, weights
    weights = 2 * weights
    weights[0] += np.arange(len(bits)) % 2
    yield "sums of even weights but one", weights.max(axis=1, keepdims=True) - weights, weights
    yield "any", rng.randint(0, 300, weights.shape).astype(float), weights
    yield "powers", sizes * drop * 10.0 ** rng.uniform(-9, 9, (rows, 1)), stored


@pytest.mark.parametrize("states", [knapsack._KEPT_STATES, (1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_choices_of_forty_classes_are_those_of_the_table(states, seed, monkeypatch):
    # With few states, searches follow each other, and bounds decide which is the last.
    monkeypatch.setattr(knapsack, "_KEPT_STATES", states)
    for name, values, weights in families(np.random.RandomState(seed), 40):
        allowed = np.ones(values.shape, bool)
        low, high = weights.min(axis=1).sum(), weights.max(axis=1).sum()
        least = least_by_table(values, weights, int(high))
        for fraction in (0.02, 0.3, 0.6, 0.97):
            capacity = int(low + fraction * (high - low))
            choice = least_value(values, weights, allowed, capacity)
            assert total(weights, choice) <= capacity, name
            assert total(values, choice) == pytest.approx(least[capacity], rel=2e-6), name


def test_cheapest_choices_are_those_of_the_table():
    for name, losses, costs in families(np.random.RandomState(7), 30):
        allowed = np.ones(costs.shape, bool)
        largest = losses.min(axis=1).sum() + 0.3 * (losses.max(axis=1).sum() - losses.min(axis=1).sum())
        choice = least_value(costs, losses, allowed, largest)
        least = least_by_table(losses, costs, int(costs.max(axis=1).sum()))
        assert total(losses, choice) <= largest * (1 + 1e-12), name
        assert total(costs, choice) == np.flatnonzero(least <= largest * (1 + 1e-12))[0], name


def test_large_problems_are_solved_with_few_states(monkeypatch):
    searches = []
    search = knapsack._Search._open_classes
    monkeypatch.setattr(
        knapsack._Search, "_open_classes", lambda self, limit: searches.append(limit) or search(self, limit)
    )
    for name, values, weights in families(np.random.RandomState(0), 200):
        allowed = np.ones(values.shape, bool)
        for fraction in (0.1, 0.5):
            capacity = weights.min(axis=1).sum() * (1 - fraction) + weights.max(axis=1).sum() * fraction
            choice = least_value(values, weights, allowed, capacity)
            assert total(weights, choice) <= capacity
            # Within the bound of the linear relaxation between the corners around it.
            corners = efficient_choices(values, weights, allowed)
            load = np.array([total(weights, corner) for corner in corners])
            after = int(np.searchsorted(load, capacity, side="right"))
            assert total(values, corners[after]) <= total(values, choice) <= total(values, corners[after - 1]), name
    # At most 512 states are kept, however many choices are equally good.
    assert max(searches) <= max(knapsack._KEPT_STATES)
