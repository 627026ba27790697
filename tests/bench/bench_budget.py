"""Time to choose the bits of 200 tensors among 8 widths within a budget, the dual, and the front of optima.

``hard`` are problems with very many nearly equal choices, of which networks have few: sums of sizes, and tensors of
one or two sizes.
"""

import time
from dataclasses import replace
from typing import Dict, Iterator, Sequence

import numpy as np

from qatviz.analysis.budget import BitAllocationProblem
from qatviz.analysis.knapsack import least_value

TENSORS, WIDTHS = 200, tuple(range(2, 10))
NAMES = ("budget_ms/best", "budget_ms/cheapest", "budget_ms/front", "budget_ms/hard")
#: Budgets, as fractions of the way from the least to the largest cost.
FRACTIONS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
SEEDS = range(4)


def problems():
    """Yield problems like those of networks: sizes over five decades, losses that fall by about 4 for each bit."""
    bits = np.array(WIDTHS)
    names = tuple(f"layer{index}.weights" for index in range(TENSORS))
    allowed = np.ones((TENSORS, len(WIDTHS)), bool)
    for seed in SEEDS:
        rng = np.random.RandomState(seed)
        sizes = (10 ** rng.uniform(1, 6, TENSORS)).astype(np.int64)[:, None]
        noise = rng.lognormal(0, 0.3, (TENSORS, len(WIDTHS)))
        sensitive = rng.lognormal(0, 2, (TENSORS, 1)) * sizes**0.5
        stored = np.where(bits <= 4, (sizes + 1) // 2, sizes * -(-bits // 8))
        for losses in (sensitive * 4.0**-bits, sensitive * 4.0**-bits * noise, sizes * 4.0**-bits):
            for costs in (-(-sizes * bits // 8), stored):
                yield BitAllocationProblem(names, WIDTHS, costs, losses, allowed)


def constrained(problem):
    """Return a problem with fixed tensors, limits and groups."""
    allowed = problem.allowed.copy()
    allowed[::7] = np.array(WIDTHS) == 8
    allowed[1::7] = np.array(WIDTHS) >= 4
    groups = tuple(problem.tensors[first : first + 3] for first in range(2, TENSORS - 3, 14))
    return replace(problem, allowed=allowed, groups=groups)


def hard_problems():
    """Yield (losses, costs), float64 ``[tensors, widths]``."""
    bits = np.array(WIDTHS)
    for seed in SEEDS:
        rng = np.random.RandomState(seed)
        costs = np.sort(rng.randint(1, 10**6, (TENSORS, len(WIDTHS))), axis=1).astype(np.float64)
        rest = costs.max(axis=1, keepdims=True) - costs
        yield rest, costs
        yield rest + rng.randint(-50, 50, rest.shape), costs
        odd = 2 * costs
        odd[0] += np.arange(len(WIDTHS)) % 2
        yield odd.max(axis=1, keepdims=True) - odd, odd
        for sizes in (
            np.full(TENSORS, 123457),
            np.where(np.arange(TENSORS) % 2, 100003, 77777),
            rng.randint(500000, 1000000, TENSORS),
            rng.rand(TENSORS),
        ):
            yield sizes[:, None] * 4.0**-bits, sizes[:, None] * bits / 8


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures: medians, the longest of all problems and budgets, and the longest time of the processor."""
    times: Dict[str, list] = {name: [] for name in NAMES}
    own: Dict[str, list] = {name: [] for name in NAMES}

    def timed(name, function, *arguments):
        begin, own_begin = time.perf_counter(), time.process_time()
        result = function(*arguments)
        times[name].append(1e3 * (time.perf_counter() - begin))
        own[name].append(1e3 * (time.process_time() - own_begin))
        return result

    if set(names) - {"budget_ms/hard"}:
        for problem in problems():
            for posed in (problem, constrained(problem)):
                front = timed("budget_ms/front", posed.front)
                for fraction in FRACTIONS:
                    budget = int(front[0].cost + fraction * (front[-1].cost - front[0].cost))
                    best = timed("budget_ms/best", posed.best_within, budget)
                    timed("budget_ms/cheapest", posed.cheapest_within, 1.001 * best.loss)
    if "budget_ms/hard" in names:
        for losses, costs in hard_problems():
            for fraction in FRACTIONS:
                budget = costs.min(axis=1).sum() * (1 - fraction) + costs.max(axis=1).sum() * fraction
                timed("budget_ms/hard", least_value, losses, costs, np.ones(costs.shape, bool), budget)
    for name in names:
        yield {
            "name": name,
            "unit": "ms",
            "value": float(np.median(times[name])),
            "highest": max(times[name]),
            "highest_cpu_ms": max(own[name]),
            "tensors": TENSORS,
            "widths": len(WIDTHS),
            "problems": len(times[name]),
        }
