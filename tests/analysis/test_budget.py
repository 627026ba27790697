"""Bits within a budget, with groups and constraints, against all allocations."""

import itertools

import numpy as np
import pytest

from qatviz.analysis.budget import BitAllocationProblem, CheapestSearch, WidthRules, choices_of, merged_groups

WIDTHS = (2, 4, 8)
TENSORS = ("a.weights", "b.weights", "c.weights", "d.weights")


def problem(groups=(), allowed=None, rest=100):
    rng = np.random.RandomState(3)
    sizes = np.array([40, 400, 300, 7])
    costs = (sizes[:, None] * np.array(WIDTHS)).astype(np.int64)
    losses = rng.uniform(0.5, 2, (4, 1)) * 4.0 ** -np.array(WIDTHS) * rng.uniform(0.8, 1.2, (4, 3))
    allowed = np.ones((4, 3), bool) if allowed is None else allowed
    return BitAllocationProblem(TENSORS, WIDTHS, costs, losses, allowed, rest, groups)


def allocations(p):
    """Return all that respect the groups and the allowed bits."""
    for widths in itertools.product(WIDTHS, repeat=4):
        by_name = dict(zip(TENSORS, widths))
        fits = all(p.allowed[row, WIDTHS.index(width)] for row, width in enumerate(widths))
        if fits and all(len({by_name[name] for name in group}) == 1 for group in p.groups):
            yield p.allocation_of(widths)


@pytest.mark.parametrize("groups", [(), (("a.weights", "c.weights"),), (("d.weights", "b.weights", "a.weights"),)])
def test_the_best_within_a_budget_and_the_cheapest_within_a_loss(groups):
    allowed = np.ones((4, 3), bool)
    allowed[1, 0] = allowed[2, 2] = False
    p = problem(groups, allowed)
    every = list(allocations(p))
    for budget in range(1500, 7000, 250):
        best, expected = p.best_within(budget), [a for a in every if a.cost <= budget]
        assert (best is None) == (not expected)
        if best is not None:
            assert best in expected and best.loss == pytest.approx(min(a.loss for a in expected), rel=1e-12)
            cheapest = p.cheapest_within(best.loss)
            assert cheapest is not None and cheapest.cost == min(a.cost for a in every if a.loss <= best.loss)
    front = p.front()
    assert [a.cost for a in front] == sorted(a.cost for a in front)
    for point in front:
        assert point.loss == pytest.approx(min(a.loss for a in every if a.cost <= point.cost), rel=1e-12)


def test_unknown_losses_exclude_a_choice_and_stuck_tensors_are_named():
    p = problem()
    losses = p.losses.copy()
    losses[0] = [np.nan, np.inf, 0.1]
    p = BitAllocationProblem(TENSORS, WIDTHS, p.costs, losses, p.allowed)
    assert {a.widths[0] for a in p.front()} == {8} and p.without_choice == ()
    losses[0, 2] = np.nan
    p = BitAllocationProblem(TENSORS, WIDTHS, p.costs, losses, p.allowed, 0, (("a.weights", "b.weights"),))
    assert p.without_choice == ("a.weights", "b.weights")
    assert p.best_within(10**9) is None and p.cheapest_within(1e9) is None and p.front() == ()


def test_wrong_shapes_and_dtypes_are_refused():
    p = problem()
    with pytest.raises(ValueError, match=r"costs is float64 \(4, 3\): expected int64 \(4, 3\)"):
        BitAllocationProblem(TENSORS, WIDTHS, p.costs.astype(float), p.losses, p.allowed)


def test_rules_of_the_user():
    rules = WidthRules((2, 4, 8), fixed=(("a", 16),), lowest=(("b", 4), ("d", 4)), highest=(("c", 4), ("d", 6)))
    assert [w for w in (2, 4, 8, 16) if rules.allows("a", w)] == [16]
    assert [w for w in (2, 4, 6, 8, 16) if rules.allows("b", w)] == [4, 8]
    assert [w for w in (2, 4, 8) if rules.allows("c", w)] == [2, 4]
    assert [w for w in (2, 4, 6, 8) if rules.allows("d", w)] == [4]
    assert [w for w in (2, 3, 4, 8) if rules.allows("e", w)] == [2, 4, 8]


def test_the_effect_on_each_tensor():
    p = problem()
    allocation = p.allocation_of((8, 4, 2, 8))
    rows = choices_of(p, (8, 8, 8, 4), allocation)
    assert [(row.before, row.width, row.saved) for row in rows] == [
        (8, 8, 0),
        (8, 4, 1600),
        (8, 2, 1800),
        (4, 8, -28),
    ]
    before = p.allocation_of((8, 8, 8, 4))
    assert sum(row.added_loss for row in rows) == pytest.approx(allocation.loss - before.loss)
    assert sum(row.saved for row in rows) == before.cost - allocation.cost


def test_groups_with_a_common_name_are_one():
    assert merged_groups([("a", "b"), ("c", "d"), ("b", "c"), ("e",)]) == (("a", "b", "c", "d"), ("e",))


def test_the_search_finds_the_cheapest_that_suffices():
    for size in range(1, 40):
        for first_good in range(size + 1):
            search = CheapestSearch(size)
            while search.next is not None:
                search.record(search.next >= first_good)
            assert search.found == (first_good if first_good < size else None)
            assert search.done <= search.tries
