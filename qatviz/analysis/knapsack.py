"""Exact solver of the multiple-choice knapsack problem: one option of each class, with the least sum of values.

The linear relaxation gives a price of weight and a choice that is optimal but for one class. An option that costs more
at that price than the best choice found exceeds the relaxation is in no better choice, and is left out. The remaining
classes are opened one by one, those that move the weight most first, by dynamic programming: of states, those are
dropped that a lighter one equals in value, and those for which the relaxation of the classes not yet opened is no
better than the best choice found. That relaxation, rounded, completes each state to a choice; the light classes fill
what heavy ones leave of the capacity, so that nearly optimal choices are found early.

The states of the best bounds are kept, a limited number, which is increased until no dropped state could lead to a
better choice. Relaxation and reduction are those of Sinha and Zoltners, "The multiple-choice knapsack problem"
(Operations Research 27, 1979).

No solver that fits replaces it: SciPy 1.7, the last one for Python 3.7, has no integer programs; OR-tools 9.6 needs a
protobuf that TensorFlow 1.15 does not support; HiGHS 1.5 takes up to seconds for 200 classes, and rounds capacities.
"""

from typing import List, NamedTuple, Optional, Tuple

import numpy as np

#: A choice is optimal if no other one is better by more than this fraction of the sum of values. Sums of integers below
#: 1e9 are thus exact, and sums of floats differ from the optimum by little more than rounding.
_TOLERANCE = 1e-10
#: Bounds are computed within this fraction of the sum of values.
_BOUND_ROUNDING = 1e-12
#: Relative difference below which two steps along the hull are equally efficient.
_ROUNDING = 1e-12
#: Numbers of states that the searches keep, one after the other. Choices whose values differ by less than `_PROVEN` of
#: the sum can be too many to try all of them (sums of 200 similar sizes): the best one found is then proven optimal
#: within this fraction. Otherwise, searches with `_GROWTH` times as many states follow.
_KEPT_STATES, _GROWTH, _PROVEN = (64, 512), 8, 1e-6


class _Step(NamedTuple):
    """Step of a class to the next ``option`` along its hull: what it adds; ``rate`` is -value/weight."""

    group: int
    option: int
    rate: float
    weight: float
    value: float


class _Relaxed(NamedTuple):
    """Solution of the linear relaxation, rounded to options.

    ``base`` and ``filled`` are options by class, ``int [classes]``: those before the first step that exceeds the
    capacity, and after all later steps that fit. ``price`` is the decrease of the value by unit of weight in that step.
    """

    base: np.ndarray
    filled: np.ndarray
    price: float


class _Layer(NamedTuple):
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
        int ``[classes]``, an option of each class; None if no choice fits. No other choice is better by more than
        1e-10 of the sum of values, or 1e-6 if too many differ by less.
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
    return _Search(values, weights, kept, capacity, relaxed).best_choice()


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
    for position, step in enumerate(steps):
        changed = choices[-1].copy()
        changed[step.group] = step.option
        # Corners only: between steps of the same rate there is none.
        if position and steps[position - 1].rate - step.rate <= _ROUNDING * step.rate:
            choices[-1] = changed
        else:
            choices.append(changed)
    return np.array(choices)


def total(table: np.ndarray, choice: np.ndarray) -> float:
    """Return the sum of a table ``[classes, options]`` over the options ``int [classes]`` chosen."""
    return float(table[np.arange(len(choice)), choice].sum())


def _undominated(values: np.ndarray, weights: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return which allowed options have no other one that is at most as heavy and at most as large, bool."""
    v, w = np.where(allowed, values, np.inf), np.where(allowed, weights, np.inf)
    # [classes, one, other]: the other is at most as heavy and as large, and of equal ones comes first.
    no_worse = (v[:, None, :] <= v[:, :, None]) & (w[:, None, :] <= w[:, :, None])
    better = (v[:, None, :] < v[:, :, None]) | (w[:, None, :] < w[:, :, None])
    comes_first = np.tri(v.shape[1], k=-1, dtype=bool)
    kept: np.ndarray = allowed & ~(no_worse & (better | comes_first)).any(axis=2)
    return kept


def _hull_steps(values: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> Tuple[np.ndarray, List[_Step]]:
    """Return the lightest choice, and the steps along each class' convex hull, the most efficient first."""
    start = np.zeros(len(kept), int)
    steps: List[_Step] = []
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
        for old, new, rate in zip(hull, hull[1:], rates):
            steps.append(
                _Step(group, new, rate, own_weights[new] - own_weights[old], own_values[new] - own_values[old])
            )
    return start, sorted(steps, key=lambda step: -step.rate)


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
    for step in steps:
        if step.group in closed:
            continue
        if weight + step.weight > capacity:
            if price == 0:
                base, price = filled.copy(), step.rate
            closed.add(step.group)
            continue
        weight += step.weight
        filled[step.group] = step.option
    return _Relaxed(base if price else filled, filled, price)


class _Rest:
    """Linear relaxation of the classes that are not open yet, by the weight that is left for them.

    Parameters
    ----------
    values, weights : np.ndarray
        float64 ``[open classes, options]``, in the order in which the classes are opened.
    kept : np.ndarray
        bool, the options to choose from.
    """

    def __init__(self, values: np.ndarray, weights: np.ndarray, kept: np.ndarray):
        self._start, self._steps = _hull_steps(values, weights, kept)
        groups = np.arange(len(kept))
        self._start_values, self._start_weights = (
            np.append(table[groups, self._start][::-1].cumsum()[::-1], 0.0) for table in (values, weights)
        )
        self._groups = np.array([step.group for step in self._steps], int)
        self._step_values = np.array([step.value for step in self._steps])
        self._step_weights = np.array([step.weight for step in self._steps])
        self._remaining = np.arange(len(self._steps))

    def open(self, position: int) -> None:
        """Leave out the class at a position, and those before it: positions follow each other."""
        self._remaining = self._remaining[self._groups[self._remaining] > position]
        self._corner_values = np.append(self._start_values[position + 1], self._step_values[self._remaining]).cumsum()
        self._corner_weights = np.append(
            self._start_weights[position + 1], self._step_weights[self._remaining]
        ).cumsum()

    def relaxed(self, room: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the bounds for these weights, the values of the corners at most as heavy, and their numbers.

        Bounds and values are infinite where nothing fits.
        """
        corner = np.searchsorted(self._corner_weights, room, side="right") - 1
        before, after = np.maximum(corner, 0), np.minimum(corner + 1, len(self._remaining))
        rounded = self._corner_values[before]
        more = self._corner_weights[after] - self._corner_weights[before]
        fraction = (room - self._corner_weights[before]) / np.where(more > 0, more, np.inf)
        bound = rounded + fraction * (self._corner_values[after] - rounded)
        bound[corner < 0] = rounded[corner < 0] = np.inf
        return bound, rounded, corner

    def options(self, position: int, corner: int) -> np.ndarray:
        """Return the options of the classes after a position at a corner, ``int [classes after it]``."""
        options = self._start.copy()
        for number in self._remaining[:corner]:
            options[self._groups[number]] = self._steps[number].option
        return options[position + 1 :]


class _Search:
    """Search for a better choice than the rounded relaxation; values and weights are relative to its base."""

    def __init__(self, values: np.ndarray, weights: np.ndarray, kept: np.ndarray, capacity: float, relaxed: _Relaxed):
        base, groups = relaxed.base, np.arange(len(kept))
        self._base, self._kept = base, kept
        self._values = np.where(kept, values - values[groups, base][:, None], 0.0)
        self._weights = np.where(kept, weights - weights[groups, base][:, None], 0.0)
        #: What options cost more than those of the base, at the price of weight.
        self._excess = np.where(kept, np.maximum(self._values + relaxed.price * self._weights, 0.0), np.inf)
        self._excess[groups, base] = 0.0
        room = capacity - total(weights, base)
        divisor = _common_divisor(self._weights)
        self._room = float(np.floor(room / divisor) * divisor) if divisor else room
        self._relaxation = -relaxed.price * self._room
        scale = abs(total(values, base))
        #: A better choice is better by this much; rounding of bounds; difference that suffices in the end.
        self._gain = float(_common_divisor(self._values)) or _TOLERANCE * scale
        self._rounding, self._suffices = _BOUND_ROUNDING * scale, _PROVEN * scale
        self._best, self._value = relaxed.filled, total(self._values, relaxed.filled)

    def best_choice(self) -> np.ndarray:
        """Return the optimal choice."""
        bound, number = self._relaxation, 0
        while bound <= self._needed and (number < len(_KEPT_STATES) or self._value - bound > self._suffices):
            beyond = number - len(_KEPT_STATES) + 1
            kept = _KEPT_STATES[number] if beyond <= 0 else _KEPT_STATES[-1] * _GROWTH**beyond
            bound = max(bound, self._open_classes(kept))
            number += 1
        return self._best

    @property
    def _needed(self) -> float:
        """Largest value of a better choice."""
        return float(self._value - self._gain + self._rounding)

    def _open_classes(self, limit: int) -> float:
        """Search with at most ``limit`` states after each class; return the bound on the values of all dropped ones."""
        kept = self._kept & (self._excess <= self._needed - self._relaxation)
        order = np.flatnonzero(kept.sum(axis=1) > 1)
        order = order[np.argsort(-np.abs(np.where(kept, self._weights, 0.0)).max(axis=1)[order], kind="stable")]
        rest = _Rest(self._values[order], self._weights[order], kept[order])
        values, weights = np.zeros(1), np.zeros(1)
        layers: List[_Layer] = []
        dropped = float("inf")
        for position, group in enumerate(order.tolist()):
            options = np.flatnonzero(kept[group])
            # Options × states, so that each row is sorted by weight.
            new_values = (self._values[group, options][:, None] + values).ravel()
            new_weights = (self._weights[group, options][:, None] + weights).ravel()
            rest.open(position)
            bounds, rounded, corners = rest.relaxed(self._room - new_weights)
            bounds, rounded = bounds + new_values, rounded + new_values
            state = int(rounded.argmin())
            if rounded[state] < self._value:
                self._value = float(rounded[state])
                layer = _Layer(group, np.array([state % len(values)]), options[[state // len(values)]])
                self._best = _traced(self._base, [*layers, layer])
                self._best[order[position + 1 :]] = rest.options(position, int(corners[state]))
            alive = _pareto(new_values, new_weights, np.flatnonzero(bounds <= self._needed))
            if len(alive) > limit:
                by_bound = np.argsort(bounds[alive], kind="stable")
                dropped = min(dropped, float(bounds[alive[by_bound[limit]]]))
                alive = alive[np.sort(by_bound[:limit])]
            if not alive.size:
                break
            layers.append(_Layer(group, alive % len(values), options[alive // len(values)]))
            values, weights = new_values[alive], new_weights[alive]
        return dropped


def _pareto(values: np.ndarray, weights: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Return those of the states that no other one of at most the same weight equals in value, by weight."""
    states = states[np.argsort(weights[states], kind="stable")]
    value = values[states]
    before = np.concatenate([[np.inf], np.minimum.accumulate(value)[:-1]]) if len(value) else value
    states = states[value < before]
    # Of equal weights, the last one is the best.
    is_last: np.ndarray = np.append(np.diff(weights[states]) > 0, [True])[: len(states)]
    return states[is_last]


def _common_divisor(numbers: np.ndarray) -> int:
    """Return the greatest common divisor of integers; 0 if there are others, or all are 0."""
    is_exact = np.array_equal(numbers, np.rint(numbers)) and np.abs(numbers).max(initial=0.0) < 2.0**53
    return int(np.gcd.reduce(numbers.astype(np.int64), axis=None)) if is_exact else 0


def _traced(base: np.ndarray, layers: List[_Layer]) -> np.ndarray:
    """Return the choice that led to the first state of the last layer."""
    choice = base.copy()
    state = 0
    for layer in reversed(layers):
        choice[layer.group] = layer.options[state]
        state = int(layer.parents[state])
    return choice
