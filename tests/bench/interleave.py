"""Step times of several contenders in one process, step by step in turn.

What else the machine does changes from second to second, but hardly between neighbouring steps: ratios of neighbours,
and the median of these, say more than any mean of times.
"""

import gc
import time
from typing import Callable, Dict

import numpy as np

WARM_UP = 20
STEPS = 200


def interleaved_times(
    contenders: Dict[str, Callable[[int], None]], steps: int = STEPS, warm_up: int = WARM_UP
) -> Dict[str, np.ndarray]:
    """Seconds of every step of each contender, ``[steps]``.

    ``contenders[name](step)`` runs one step. Who goes first changes with every round, as the first of a round follows
    another contender than the last.
    """
    names = list(contenders)
    times = {name: np.zeros(steps) for name in names}
    for step in range(warm_up):
        for name in names:
            contenders[name](step)
    collecting = gc.isenabled()
    gc.disable()  # a collection in the midst of one contender's step would be charged to it
    try:
        for index in range(steps):
            first = index % (2 * len(names))
            # Both directions of every rotation: each contender follows every other equally often.
            order = names[first % len(names) :] + names[: first % len(names)]
            for name in order if first < len(names) else reversed(order):
                begin = time.perf_counter()
                contenders[name](warm_up + index)
                times[name][index] = time.perf_counter() - begin
    finally:
        if collecting:
            gc.enable()
    return times


def ratio(times: Dict[str, np.ndarray], ours: str, theirs: str) -> float:
    """Median of the ratios of neighbouring steps."""
    return float(np.median(times[ours] / times[theirs]))


def milliseconds(times: Dict[str, np.ndarray], name: str) -> float:
    """Median time of a step."""
    return float(np.median(times[name])) * 1e3
