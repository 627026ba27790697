"""Exact solver of the multiple-choice knapsack problem: one option of each class, with the least sum of values.

The method is that of Pisinger, "A minimal algorithm for the multiple-choice knapsack problem" (European Journal of
Operational Research 83, 1995). The linear relaxation gives a price of weight, a bound, and a choice that is optimal but
for one class. Classes are then opened one by one, those first whose other options cost least at that price, until no
class is left whose other options could improve the best choice found. States that a lighter one equals in value are
dropped, and so are those whose bound is not below the best choice.
"""

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

#: A choice is optimal if no other one is better by more than this fraction of the sum of values. Sums of integers below
#: 1e9 are thus exact, and sums of floats differ from the optimum by little more than rounding.
_TOLERANCE = 1e-10
#: Relative difference below which two steps along the hull are equally efficient.
_ROUNDING = 1e-12


class _Relaxed(NamedTuple):
    """Solution of the linear relaxation, rounded to options.

    ``base`` and ``filled`` are options by class, ``int [classes]``: those before the first step that exceeds the
    capacity, and after all later steps that fit. ``price`` is the decrease of the value by unit of weight in that step.
    """

    base: np.ndarray
    filled: np.ndarray
    price: float


@dataclass(frozen=True)
class _Layer:
    """States after a class was opened: the state that each continues, and the option that it chose."""

    group: int
    parents: np.ndarray
    options: np.ndarray


def least_value(values: np.ndarray, weights: np.ndarray, allowed: np.ndarray, capacity: float) -> Optional[np.ndarray]:
    """Return the options with the least sum of values whose weights sum to at most the capacity.

    Parameters
    ----------
    values, weights : np.ndarray
        float64 ``[classes, options]``, finite where allowed. Integers are exact if their sums are below 2⁵³.
    allowed : np.ndarray
        bool ``[classes, options]``: True for the options that may be chosen.
    capacity : float
        A sum of weights may exceed it by its rounding error only; sums of integers have none.

    Returns
    -------
    np.ndarray or None
        int ``[classes]``, an option of each class; None if no choice fits.
    """
    if not allowed.any(axis=1).all():
        return None
    values, weights = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    capacity += len(values) * float(np.finfo(np.float64).eps) * abs(capacity)
    kept = _undominated(values, weights, allowed)
    relaxed = _relax(values, weights, kept, capacity)
    if relaxed is None:
        return None
    if relaxed.price == 0:
        return relaxed.filled
    return _open_classes(values, weights, kept, capacity, relaxed)


def efficient_choices(values: np.ndarray, weights: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the choices that are optimal for some price of weight, from the lightest to that of the least value.

    No choice of the same weight, or of less, has a smaller value: these are the corners of the convex hull of all
    choices. Parameters are those of :func:`least_value`.

    Returns
    -------
    np.ndarray
        int ``[choices, classes]``.
    """
    if not allowed.any(axis=1).all():
        return np.zeros((0, len(allowed)), int)
    kept = _undominated(values, weights, allowed)
    start, steps = _hull_steps(values, weights, kept)
    choices = [start]
    for position, (group, option, rate, _) in enumerate(steps):
        changed = choices[-1].copy()
        changed[group] = option
        # Corners only: between steps of the same rate there is none.
        if position and steps[position - 1][2] - rate <= _ROUNDING * rate:
            choices[-1] = changed
        else:
            choices.append(changed)
    return np.array(choices)


def total(table: np.ndarray, choice: np.ndarray) -> float:
    """Return the sum of a table ``[classes, options]`` over the options ``int [classes]`` chosen."""
    return float(table[np.arange(len(choice)), choice].sum())


def _undominated(values: np.ndarray, weights: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return which allowed options have no other one that is at most as heavy and at most as large, bool."""
    kept = np.zeros(allowed.shape, bool)
    for group, row in enumerate(allowed):
        options = np.flatnonzero(row)
        order = options[np.lexsort((values[group, options], weights[group, options]))]
        found = values[group, order]
        before = np.concatenate([[np.inf], np.minimum.accumulate(found)[:-1]])
        kept[group, order[found < before]] = True
    return kept


def _hull_steps(
    values: np.ndarray, weights: np.ndarray, kept: np.ndarray
) -> Tuple[np.ndarray, List[Tuple[int, int, float, float]]]:
    """Return the lightest choice, and the steps along each class' convex hull, the most efficient first.

    A step is (class, option, decrease of the value by unit of weight, weight).
    """
    start = np.zeros(len(kept), int)
    steps: List[Tuple[int, int, float, float]] = []
    for group, row in enumerate(kept):
        options = np.flatnonzero(row)
        order = options[np.argsort(weights[group, options])].tolist()
        own_values, own_weights = values[group].tolist(), weights[group].tolist()
        hull: List[int] = []
        rates: List[float] = []
        for option in order:
            while hull:
                more = own_weights[option] - own_weights[hull[-1]]
                rate = (own_values[hull[-1]] - own_values[option]) / more
                if not rates or rate < rates[-1]:
                    rates.append(rate)
                    break
                hull.pop()
                rates.pop()
            hull.append(option)
        start[group] = hull[0]
        for before, after, rate in zip(hull, hull[1:], rates):
            steps.append((group, after, rate, own_weights[after] - own_weights[before]))
    return start, sorted(steps, key=lambda step: -step[2])


def _relax(values: np.ndarray, weights: np.ndarray, kept: np.ndarray, capacity: float) -> Optional[_Relaxed]:
    """Return the rounded solution of the linear relaxation; its price is 0 if the capacity does not bind.

    None if no choice fits.
    """
    base, steps = _hull_steps(values, weights, kept)
    weight = total(weights, base)
    if weight > capacity:
        return None
    filled, price = base.copy(), 0.0
    closed = set()
    for group, option, rate, more in steps:
        if group in closed:
            continue
        if weight + more > capacity:
            if price == 0:
                base, price = filled.copy(), rate
            closed.add(group)
            continue
        weight += more
        filled[group] = option
    return _Relaxed(base if price else filled, filled, price)


def _open_classes(
    values: np.ndarray, weights: np.ndarray, kept: np.ndarray, capacity: float, relaxed: _Relaxed
) -> np.ndarray:
    """Return the optimal choice, by dynamic programming over the classes whose base option can be left."""
    base, price = relaxed.base, relaxed.price
    groups = np.arange(len(kept))
    # At the price, the base has the least sum; what other options cost more is added up in `excess`. The value of a
    # state is then that of the relaxation, plus its excess, plus the price of the capacity that it leaves.
    priced = np.where(kept, values + price * weights, np.inf)
    excess = priced - priced[groups, base][:, None]
    excess[kept] = np.maximum(excess[kept], 0.0)
    change = np.where(kept, weights - weights[groups, base][:, None], 0.0)
    base_weight = total(weights, base)
    others = np.where(kept, excess, np.inf)
    others[groups, base] = np.inf
    # Of equally good ones, first those that move the weight most: the others then fill what is left of the capacity.
    order = np.lexsort((-np.abs(change).max(axis=1), others.min(axis=1)))
    relaxation = float(priced[groups, base].sum() - price * capacity)
    tolerance = _TOLERANCE * abs(relaxation)

    filled_excess = float(excess[groups, relaxed.filled].sum())
    best = filled_excess + price * (capacity - total(weights, relaxed.filled))
    best_at: Optional[Tuple[int, int]] = None
    state_weights, state_excess = np.array([base_weight]), np.zeros(1)
    layers: List[_Layer] = []
    # Changes of weight that the classes not yet opened can still make.
    usable = (others < best - tolerance) & kept
    lightest = _sums_from(np.where(usable, change, 0.0).min(axis=1)[order])
    heaviest = _sums_from(np.where(usable, change, 0.0).max(axis=1)[order])
    for position, group in enumerate(order.tolist()):
        options = np.flatnonzero(others[group] < best - tolerance)
        if not options.size:
            break  # those of later classes cost even more
        options = np.concatenate([[base[group]], options])
        new_weights = (state_weights[:, None] + change[group, options]).ravel()
        new_excess = (state_excess[:, None] + excess[group, options]).ravel()
        low, high = lightest[position + 1], heaviest[position + 1]
        bound = new_excess + price * np.maximum(capacity - new_weights - high, 0.0)
        alive = np.flatnonzero((bound < best - tolerance) & (new_weights + low <= capacity))
        # Of states of at most the same weight, only those of a smaller value are of use.
        value = new_excess[alive] - price * new_weights[alive]
        by_weight = np.lexsort((value, new_weights[alive]))
        value = value[by_weight]
        before = np.concatenate([[np.inf], np.minimum.accumulate(value)[:-1]])
        alive = alive[by_weight[value < before]]
        state_weights, state_excess = new_weights[alive], new_excess[alive]
        layers.append(_Layer(group, alive // len(options), options[alive % len(options)]))
        complete = np.where(state_weights <= capacity, state_excess + price * (capacity - state_weights), np.inf)
        if complete.size and complete.min() < best:
            best, best_at = float(complete.min()), (position, int(complete.argmin()))
        if not alive.size:
            break
    return relaxed.filled if best_at is None else _traced(base, layers, best_at)


def _sums_from(numbers: np.ndarray) -> List[float]:
    """Return the sums of the numbers from each position on, and 0 after the last."""
    return [*numbers[::-1].cumsum()[::-1].tolist(), 0.0]


def _traced(base: np.ndarray, layers: List[_Layer], at: Tuple[int, int]) -> np.ndarray:
    """Return the choice that led to a state."""
    choice = base.copy()
    position, state = at
    for layer in reversed(layers[: position + 1]):
        choice[layer.group] = layer.options[state]
        state = int(layer.parents[state])
    return choice
