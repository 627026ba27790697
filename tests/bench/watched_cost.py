"""Fraction of a run's steps per second that results cost which it computes while they are watched."""

import time
from typing import Callable, Dict, List

import numpy as np

#: Seconds of training with and without the results, in turn, and number of turns.
TURN_S, TURNS = 6.0, 6


def watched_cost(live, advance: Callable[[], object], found: List) -> Dict:
    """Return the cost after the first result; ``advance`` computes a piece, results are appended to ``found``."""
    begun = time.perf_counter()
    while not found:
        live.train_step()
        advance()
    first_s = time.perf_counter() - begun
    rates: Dict[bool, List[float]] = {False: [], True: []}
    for turn in range(2 * TURNS):
        watched = bool(turn % 2)
        steps, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < TURN_S:
            live.train_step()
            if watched:
                advance()
            steps += 1
        rates[watched].append(steps / (time.perf_counter() - begun))
    pairs = [1 - on / off for off, on in zip(rates[False], rates[True])]
    return {
        "unit": "fraction of steps/s",
        "value": float(np.median(pairs)),
        "all": pairs,
        "steps_per_s": float(np.median(rates[False])),
        "first_result_s": first_s,
        "results": len(found),
    }
