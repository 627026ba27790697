"""Step times of several contenders in one process, step by step in turn.

The load of the machine changes from second to second, but barely between neighbouring steps: the median of ratios of
neighbours is more reliable than any mean of times.
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
    """Return the seconds of every step of each contender, ``[steps]``.

    ``contenders[name](step)`` runs one step. The order changes with every round, because the previous
    contender affects the time of the next.
    """
    names = list(contenders)
    times = {name: np.zeros(steps) for name in names}
    for step in range(warm_up):
        for name in names:
            contenders[name](step)
    collecting = gc.isenabled()
    gc.disable()  # a collection during a contender's step would be charged to it
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
    """Return the median of the ratios of neighbouring steps."""
    return float(np.median(times[ours] / times[theirs]))


def milliseconds(times: Dict[str, np.ndarray], name: str) -> float:
    """Return the median time of a step."""
    return float(np.median(times[name])) * 1e3
