"""Allocation of bits to tensors within a budget: the choice with the least loss, or the cheapest with a given loss.

Costs and losses of tensors add up, so that this is a multiple-choice knapsack problem; it is solved exactly.
"""

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.knapsack import efficient_choices, least_value, total
from qatviz.analysis.sensitivity import Sensitivity
from qatviz.protocol.settings_book import SettingsBook

#: Differences of fractions of examples that are equal are computed within this.
LOSS_ROUNDING = 1e-9


class Allocation(NamedTuple):
    """Bits of each tensor (in the problem's order), their cost in the problem's unit, and their loss."""

    widths: Tuple[int, ...]
    cost: int
    loss: float


@dataclass(frozen=True)
class BitAllocationProblem:
    """Costs and losses of tensors by number of bits, and the choices that are allowed.

    Attributes
    ----------
    tensors : tuple of str
        Names of the tensors whose bits are chosen.
    widths : tuple of int
        Numbers of bits.
    costs : np.ndarray
        int64 ``[tensors, widths]``, at least 0: bytes, or another unit.
    losses : np.ndarray
        float64 ``[tensors, widths]``; not finite where unknown, which excludes the choice.
    allowed : np.ndarray
        bool ``[tensors, widths]``.
    rest : int
        Cost of everything else, in the unit of the costs.
    groups : tuple of tuple of str
        Tensors that have one number of bits; tensors that are in no group are chosen alone.
    """

    tensors: Tuple[str, ...]
    widths: Tuple[int, ...]
    costs: np.ndarray
    losses: np.ndarray
    allowed: np.ndarray
    rest: int = 0
    groups: Tuple[Tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.tensors), len(self.widths))
        for name, dtype in (("costs", np.int64), ("losses", np.float64), ("allowed", np.bool_)):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"{name} is {array.dtype} {array.shape}: expected {np.dtype(dtype)} {shape}")

    def best_within(self, budget: float) -> Optional[Allocation]:
        """Return the allocation with the least loss whose cost, :attr:`rest` included, is at most ``budget``.

        None if no allowed allocation is that cheap.
        """
        merged = self._merged()
        return self._allocation(merged, least_value(merged.losses, merged.costs, merged.allowed, budget - self.rest))

    def cheapest_within(self, loss: float) -> Optional[Allocation]:
        """Return the allocation with the least cost whose loss is at most ``loss``; None if there is none."""
        merged = self._merged()
        return self._allocation(merged, least_value(merged.costs, merged.losses, merged.allowed, loss))

    def front(self) -> Tuple[Allocation, ...]:
        """Return allocations that no other of the same cost, or less, improves: from the cheapest to the least loss.

        They are the corners of the convex hull of all allocations; :meth:`best_within` finds those between corners.
        Empty if a tensor, or a group, has no allowed choice.
        """
        merged = self._merged()
        choices = efficient_choices(merged.losses, merged.costs, merged.allowed)[:, merged.group_of]
        rows = np.arange(len(self.tensors))
        costs, losses = self.costs[rows, choices].sum(axis=1), self.losses[rows, choices].sum(axis=1)
        widths = np.array(self.widths, int)[choices]
        return tuple(
            Allocation(tuple(row), self.rest + cost, loss)
            for row, cost, loss in zip(widths.tolist(), costs.tolist(), losses.tolist())
        )

    def allocation_of(self, widths: Sequence[int]) -> Allocation:
        """Return the allocation with these bits by tensor, whether allowed or not."""
        choice = np.array([self.widths.index(width) for width in widths], int)
        return Allocation(tuple(widths), self.rest + int(total(self.costs, choice)), total(self.losses, choice))

    @property
    def without_choice(self) -> Tuple[str, ...]:
        """Tensors for which no number of bits is allowed, alone or in their group."""
        merged = self._merged()
        stuck = np.flatnonzero(~merged.allowed.any(axis=1))
        return tuple(name for group, name in zip(merged.group_of, self.tensors) if group in stuck)

    def _merged(self) -> "_Merged":
        """Return the problem with one row for each group."""
        firsts = {name: members[0] for members in self.groups for name in members}
        owners = [firsts.get(name, name) for name in self.tensors]
        rows = {owner: row for row, owner in enumerate(dict.fromkeys(owners))}
        group_of = np.array([rows[owner] for owner in owners], int)
        allowed = np.ones((len(rows), len(self.widths)), bool)
        np.logical_and.at(allowed, group_of, self.allowed & np.isfinite(self.losses))
        costs, losses = np.zeros(allowed.shape), np.zeros(allowed.shape)
        np.add.at(costs, group_of, self.costs)
        np.add.at(losses, group_of, np.where(np.isfinite(self.losses), self.losses, 0.0))
        return _Merged(costs, losses, allowed, group_of)

    def _allocation(self, merged: "_Merged", choice: Optional[np.ndarray]) -> Optional[Allocation]:
        if choice is None:
            return None
        return self.allocation_of([self.widths[option] for option in choice[merged.group_of]])


class _Merged(NamedTuple):
    """Sums over the members of each group, ``[groups, widths]``, and the group of each tensor."""

    costs: np.ndarray
    losses: np.ndarray
    allowed: np.ndarray
    group_of: np.ndarray


@dataclass(frozen=True)
class WidthRules:
    """Constraints that the user sets.

    Attributes
    ----------
    widths : tuple of int
        Numbers of bits to choose from.
    fixed, lowest, highest : tuple of (str, int)
        Name of a tensor, and the number of bits that it has, or has at least or at most. Fixed bits need not be among
        ``widths``; the later of several rules for a tensor wins.
    together : tuple of tuple of str
        Tensors that have one number of bits.
    """

    widths: Tuple[int, ...]
    fixed: Tuple[Tuple[str, int], ...] = ()
    lowest: Tuple[Tuple[str, int], ...] = ()
    highest: Tuple[Tuple[str, int], ...] = ()
    together: Tuple[Tuple[str, ...], ...] = ()

    def allows(self, tensor: str, width: int) -> bool:
        """Return whether a tensor may have this number of bits."""
        fixed = dict(self.fixed).get(tensor)
        if fixed is not None:
            return width == fixed
        lowest, highest = dict(self.lowest).get(tensor, width), dict(self.highest).get(tensor, width)
        return width in self.widths and lowest <= width <= highest


def considered_widths(
    book: SettingsBook, tensors: Sequence[str], rules: WidthRules, more: Sequence[int] = ()
) -> Tuple[int, ...]:
    """Return the numbers of bits of a problem: those of the rules, the present ones, and ``more``."""
    present = (book.of(name).num_bits for name in tensors)
    return tuple(sorted({*rules.widths, *(width for _, width in rules.fixed), *present, *more}))


def allocation_problem(
    book: SettingsBook,
    sensitivity: Sensitivity,
    tensors: Sequence[str],
    widths: Sequence[int],
    costs: np.ndarray,
    rest: int,
    rules: WidthRules,
    supported: Optional[np.ndarray] = None,
) -> BitAllocationProblem:
    """Return the problem of choosing bits for weights.

    Parameters
    ----------
    book : SettingsBook
        Present settings. Tensors that share a grid have one number of bits.
    sensitivity : Sensitivity
        Losses: scores, and for the present bits that of the present settings.
    tensors : sequence of str
        Names of the tensors whose bits are chosen.
    widths : sequence of int
        :func:`considered_widths`.
    costs, rest
        See :class:`BitAllocationProblem`.
    rules : WidthRules
    supported : np.ndarray, optional
        bool ``[tensors, widths]``: what the export format supports; by default everything.
    """
    losses = np.full((len(tensors), len(widths)), np.nan)
    allowed = np.zeros(losses.shape, bool)
    for row, name in enumerate(tensors):
        scored = sensitivity.tensors.index(name)
        for column, width in enumerate(widths):
            allowed[row, column] = rules.allows(name, width)
            if width in sensitivity.widths:
                losses[row, column] = sensitivity.scores[scored, sensitivity.widths.index(width)]
            if width == book.of(name).num_bits:
                losses[row, column] = sensitivity.present[scored]
    if supported is not None:
        allowed &= supported
    shared = [
        tuple(name for name in (book.plan.tensors[index].name for index in members) if name in tensors)
        for members in book.plan.groups
    ]
    groups = merged_groups([*(group for group in shared if len(group) > 1), *rules.together])
    return BitAllocationProblem(tuple(tensors), tuple(widths), costs, losses, allowed, rest, groups)


class CheapestSearch:
    """Search by bisection for the cheapest of a row of allocations whose measured quality suffices.

    They are sorted by cost, and dearer ones are taken to be better; the dearest is measured first.

    Parameters
    ----------
    size : int
        Number of allocations, at least 1.

    Attributes
    ----------
    next : int or None
        Index of the allocation to measure next; None at the end.
    found : int or None
        Index of the cheapest allocation known to suffice; None if there is none.
    done, tries : int
        Number of measurements so far, and the largest number.
    """

    def __init__(self, size: int):
        self._bad = -1
        self.next: Optional[int] = size - 1
        self.found: Optional[int] = None
        self.done, self.tries = 0, size.bit_length() + 1

    def record(self, suffices: bool) -> None:
        """Note whether the allocation ``next`` suffices; compare fractions with :data:`LOSS_ROUNDING` of room."""
        assert self.next is not None, "the search is at its end"
        self.done += 1
        if suffices:
            self.found = self.next
        elif self.found is None:
            self.next = None
            return
        else:
            self._bad = self.next
        self.next = (self._bad + self.found) // 2 if self.found - self._bad > 1 else None


class Choice(NamedTuple):
    """Bits of one tensor before and after an allocation, and what the change saves and adds to the loss."""

    tensor: str
    before: int
    width: int
    saved: int
    added_loss: float


def choices_of(problem: BitAllocationProblem, before: Sequence[int], allocation: Allocation) -> Tuple[Choice, ...]:
    """Return the effect of an allocation on each tensor; ``before`` has the present bits in the problem's order."""
    found: List[Choice] = []
    for row, (tensor, old, new) in enumerate(zip(problem.tensors, before, allocation.widths)):
        a, b = problem.widths.index(old), problem.widths.index(new)
        saved = int(problem.costs[row, a] - problem.costs[row, b])
        found.append(Choice(tensor, old, new, saved, float(problem.losses[row, b] - problem.losses[row, a])))
    return tuple(found)


def merged_groups(groups: Sequence[Sequence[str]]) -> Tuple[Tuple[str, ...], ...]:
    """Return groups of names with those united that have a name in common."""
    found: List[Tuple[str, ...]] = []
    for group in groups:
        joined = [other for other in found if set(other) & set(group)]
        rest = [other for other in found if other not in joined]
        found = [*rest, tuple(dict.fromkeys([name for other in (*joined, group) for name in other]))]
    return tuple(found)
