"""Time to choose the bits of 200 tensors among 8 widths within a budget, the dual, and the front of optima."""

import time
from typing import Dict, Iterator, Sequence

import numpy as np

TENSORS, WIDTHS = 200, tuple(range(2, 10))
NAMES = ("budget_ms/best", "budget_ms/cheapest", "budget_ms/front")
#: Budgets, as fractions of the way from the least to the largest cost.
FRACTIONS = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
SEEDS = range(4)


def problems():
    """Yield problems like those of networks: sizes over five decades, losses that fall by about 4 for each bit."""
    from qatviz.analysis.budget import BitAllocationProblem

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


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures: medians, and the longest of all problems and budgets."""
    times: Dict[str, list] = {name: [] for name in NAMES}

    def timed(name, function, *arguments):
        begin = time.perf_counter()
        result = function(*arguments)
        times[name].append(1e3 * (time.perf_counter() - begin))
        return result

    for problem in problems():
        front = timed("budget_ms/front", problem.front)
        for fraction in FRACTIONS:
            budget = int(front[0].cost + fraction * (front[-1].cost - front[0].cost))
            best = timed("budget_ms/best", problem.best_within, budget)
            timed("budget_ms/cheapest", problem.cheapest_within, 1.001 * best.loss)
    for name in names:
        yield {
            "name": name,
            "unit": "ms",
            "value": float(np.median(times[name])),
            "highest": max(times[name]),
            "tensors": TENSORS,
            "widths": len(WIDTHS),
            "problems": len(times[name]),
        }
