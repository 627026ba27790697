"""Cycles by kernels and core, fitted on published measurements.

The model of the cycles of a network is

    cycles = (work · cost of the kernels) × exp(level of the version + core + chip + pair of kernels and core),

with a cost for each quantity of :class:`qatviz.analysis.chip.work.Work`. Costs and effects are found in turns: the
effects by least squares on logarithms, with normal priors of mean 0; the costs by non-negative least squares on
relative errors, with a prior of fixed ratios (:data:`PRIOR`) for what the networks of a library do not tell apart. A
core on which a library was not measured is thus predicted from the other libraries that were measured on it.
"""

from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.chip.measurements import Measurement
from qatviz.analysis.chip.work import QUANTITIES

#: Prior of the costs of the quantities, relative to a multiplication of a convolution: depthwise convolutions reuse
#: less in registers, and requantizing a value takes about ten instructions.
PRIOR = np.array([1.0, 1.0, 1.3, 1.0, 10.0, 2.0])
#: Standard deviation of a cost's relative difference from the prior, in units of the relative errors.
_PRIOR_WEIGHT = 0.15
#: Standard deviations of the effects (natural logarithm): chips of one core differ by their memories.
_CORE_SD, _CHIP_SD, _PAIR_SD, _LEVEL_SD = 0.5, 0.12, 0.12, 10.0
#: Standard deviation of the mean residual of a measured set of networks.
_NOISE = 0.05
_TURNS, _SWEEPS = 20, 8

#: Key of an effect.
Effect = Tuple[str, ...]


class Fit(NamedTuple):
    """Fitted model.

    Attributes
    ----------
    costs : dict of str to np.ndarray
        float64 ``[quantities]`` by kernels.
    effects : dict
        Effects by key: ``(level, kernels, version)``, ``(core, core)``, ``(chip, chip)``, ``(pair, kernels, core)``.
    """

    costs: Mapping[str, np.ndarray]
    effects: Mapping[Effect, float]

    def knows(self, kernels: str, core: str) -> bool:
        """Return whether kernels and core were measured, be it apart."""
        return kernels in self.costs and ("core", core) in self.effects

    def is_measured(self, kernels: str, core: str) -> bool:
        """Return whether the kernels were measured on the core."""
        return ("pair", kernels, core) in self.effects

    def cycles(self, kernels: str, core: str, version: Optional[str] = None, chip: str = "") -> np.ndarray:
        """Return the cycles by quantity, by default of the newest version on an average chip with the core."""
        versions = [key[2] for key in self.effects if key[:2] == ("level", kernels)]
        chosen = version if version in versions else versions[-1]
        keys: Sequence[Effect] = (("level", kernels, chosen), ("core", core), ("chip", chip), ("pair", kernels, core))
        costs: np.ndarray = self.costs[kernels] * np.exp(sum(self.effects.get(key, 0.0) for key in keys))
        return costs


def fitted(work: Mapping[str, np.ndarray], rows: Sequence[Measurement]) -> Fit:
    """Return the model fitted on measurements.

    Parameters
    ----------
    work : dict of str to np.ndarray
        Work of the networks, float64 ``[quantities]``.
    rows : sequence of Measurement
    """
    keys: List[Effect] = list(dict.fromkeys(key for row in rows for key in _effects_of(row)))
    places = {key: index for index, key in enumerate(keys)}
    sets = [
        _Set(
            row.kernels,
            np.array([places[key] for key in _effects_of(row)]),
            np.array([work[name] for name in row.cycles]),
            np.array(list(row.cycles.values()), np.float64),
        )
        for row in rows
    ]
    costs = {row.kernels: PRIOR.copy() for row in rows}
    effects = np.zeros(len(keys))
    inverse = np.linalg.inv(_precision(keys, sets))
    for _ in range(_TURNS):
        effects = inverse @ _residuals(len(keys), sets, costs)
        costs = {
            kernels: _fit_costs([s for s in sets if s.kernels == kernels], effects, costs[kernels]) for kernels in costs
        }
    return Fit(costs, dict(zip(keys, effects.tolist())))


class _Set(NamedTuple):
    """Measured set: its kernels, the indices of its effects, work ``[networks, quantities]`` and cycles."""

    kernels: str
    effects: np.ndarray
    work: np.ndarray
    cycles: np.ndarray


def _effects_of(row: Measurement) -> Tuple[Effect, ...]:
    return (
        ("level", row.kernels, row.version),
        ("core", row.core),
        ("chip", row.chip),
        ("pair", row.kernels, row.core),
    )


def _precision(keys: Sequence[Effect], sets: Sequence[_Set]) -> np.ndarray:
    """Return the matrix of the least squares for the effects, float64 ``[effects, effects]``."""
    spread = {"level": _LEVEL_SD, "core": _CORE_SD, "chip": _CHIP_SD, "pair": _PAIR_SD}
    matrix = np.diag([spread[key[0]] ** -2.0 for key in keys])
    for one in sets:
        matrix[np.ix_(one.effects, one.effects)] += _NOISE**-2.0
    return matrix


def _residuals(count: int, sets: Sequence[_Set], costs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the right side of the least squares for known costs, float64 ``[effects]``."""
    right = np.zeros(count)
    for one in sets:
        right[one.effects] += np.log(one.cycles / (one.work @ costs[one.kernels])).mean() * _NOISE**-2.0
    return right


def _fit_costs(sets: Sequence[_Set], effects: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the non-negative costs of one library for known effects."""
    rows = np.concatenate([s.work * np.exp(effects[s.effects].sum()) / s.cycles[:, None] for s in sets])
    scale = np.exp(-np.log(rows @ PRIOR).mean())
    ridge = (_PRIOR_WEIGHT / (PRIOR * scale)) ** 2
    matrix = rows.T @ rows + np.diag(ridge)
    right = rows.sum(axis=0) + ridge * PRIOR * scale
    return _non_negative(matrix, right, start)


def _non_negative(matrix: np.ndarray, right: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the minimum of a positive definite quadratic form over non-negative values, by coordinate descent."""
    rows, found = matrix.tolist(), start.tolist()
    for _ in range(_SWEEPS):
        for index in range(QUANTITIES):
            row = rows[index]
            rest = sum(row[other] * found[other] for other in range(QUANTITIES)) - row[index] * found[index]
            found[index] = max(0.0, (right[index] - rest) / row[index])
    return np.array(found)


class LeftOut(NamedTuple):
    """Prediction for a chip that was not used for the fit.

    Attributes
    ----------
    measurement : Measurement
        That of the chip.
    network : str
    error : float
        Relative error of the predicted cycles.
    is_measured : bool
        Whether other chips with the same kernels and core were used.
    """

    measurement: Measurement
    network: str
    error: float
    is_measured: bool


def left_out_errors(work: Mapping[str, np.ndarray], rows: Sequence[Measurement]) -> Tuple[LeftOut, ...]:
    """Return the errors of predictions for each chip, with a fit on all others.

    Chips whose core or kernels no other chip has are not predicted.
    """
    found: List[LeftOut] = []
    for chip in dict.fromkeys(row.chip for row in rows):
        fit = fitted(work, [row for row in rows if row.chip != chip])
        for row in rows:
            if row.chip == chip and fit.knows(row.kernels, row.core):
                costs = fit.cycles(row.kernels, row.core, row.version)
                is_measured = fit.is_measured(row.kernels, row.core)
                found += [
                    LeftOut(row, name, float(work[name] @ costs / cycles - 1), is_measured)
                    for name, cycles in row.cycles.items()
                ]
    return tuple(found)


def left_out_networks(
    work: Mapping[str, np.ndarray], rows: Sequence[Measurement], kernels: Sequence[str]
) -> Tuple[LeftOut, ...]:
    """Return the errors of predictions for each network on a measured chip, with a fit on all others on this chip.

    Parameters
    ----------
    kernels : sequence of str
        Libraries whose measurements are predicted.
    """
    found: List[LeftOut] = []
    for row in rows:
        for name in row.cycles if row.kernels in kernels and len(row.cycles) > 1 else ():
            kept = [_without(other, name) if other.chip == row.chip else other for other in rows]
            costs = fitted(work, [other for other in kept if other.cycles]).cycles(
                row.kernels, row.core, row.version, row.chip
            )
            found.append(LeftOut(row, name, float(work[name] @ costs / row.cycles[name] - 1), True))
    return tuple(found)


def _without(row: Measurement, network: str) -> Measurement:
    return row._replace(cycles={name: cycles for name, cycles in row.cycles.items() if name != network})
