"""Fraction of a run's steps per second that results cost which it computes while they are watched."""

import time
from typing import Any, Callable, Dict, List

#: Seconds of training with and without the results, in turn, and number of turns.
TURN_S, TURNS = 3.0, 12


def watched_cost(live, updates: Any, advance: Callable[[], object], found: List) -> Dict:
    """Return the cost after the first result; ``advance`` computes a piece, results are appended to ``found``."""
    begun = time.perf_counter()
    while not found:
        live.train_step()
        advance()
    first_s = time.perf_counter() - begun
    steps, seconds, own, computing = ({False: 0.0, True: 0.0} for _ in range(4))
    ended = time.perf_counter()
    for turn in range(2 * TURNS):
        watched = bool(turn % 2)
        begun, own_begun = time.perf_counter(), time.process_time()
        if watched:
            updates._next += begun - ended  # the rest after a piece does not pass without results
        while time.perf_counter() - begun < TURN_S:
            live.train_step()
            steps[watched] += 1
            if watched:
                started = time.perf_counter()
                advance()
                computing[watched] += time.perf_counter() - started
        seconds[watched] += time.perf_counter() - begun
        if watched:
            ended = time.perf_counter()
        own[watched] += time.process_time() - own_begun
    return {
        "unit": "fraction of steps/s",
        "value": 1 - steps[True] / seconds[True] / (steps[False] / seconds[False]),
        # On a machine with other work, the other two are more exact.
        "by_cpu_time": 1 - steps[True] / own[True] / (steps[False] / own[False]),
        "computing": computing[True] / seconds[True],
        "steps_per_s": steps[False] / seconds[False],
        "first_result_s": first_s,
        "results": len(found),
    }
