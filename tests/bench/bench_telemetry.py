"""Cost of telemetry: the whole trainer with error measures, histograms, collector and history, relative to without."""

import time
from typing import Dict, Iterator, Sequence

import numpy as np
from live_graph import NETWORKS, run_spec

from qatviz.protocol import events
from qatviz.protocol.commands import Pause, SingleStep
from qatviz.protocol.snapshots import OLDEST_S, Snapshot
from qatviz.training.handle import Run
from qatviz.training.measuring import LONGEST_GAP

NAMES = tuple("telemetry_ratio/" + name for name in NETWORKS)
#: Slices are timed as a whole. Each has one snapshot, at its beginning: it lasts as long as the time between two,
#: which has passed while the other run was timed.
SLICE_S = LONGEST_GAP * OLDEST_S
SLICES = 36
#: Duration of a run from which on its phases, each of which has a snapshot, are longer than the time between snapshots.
WARM_UP_S = 14.0
_FIRST_STEPS = 30
_TIMEOUT_S = 120.0


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        yield dict({"name": name, "unit": "ratio"}, **_telemetry(name.split("/")[1]))


def _telemetry(network_name: str) -> Dict:
    common = ("run.evaluation_interval", 0), ("run.checkpoint_interval", 86400.0)
    with_telemetry = Run(run_spec(network_name, settings=common, steps=None))
    without_telemetry = Run(
        run_spec(network_name, settings=(*common, ("run.snapshot_interval", 3600.0)), steps=None, telemetry=False)
    )
    runs = (with_telemetry, without_telemetry)
    try:
        for run_ in runs:
            # Sent before the start: executed before the first step.
            run_.send(Pause())
            run_.start()
            _wait_until_paused(run_)
        for _ in range(2):  # the first steps are slow; the second round measures the number that fills a slice
            step_s = max(_slice_seconds(run_, _FIRST_STEPS) for run_ in runs) / _FIRST_STEPS
        warm_up = int(WARM_UP_S / step_s)
        begin = [_slice_seconds(run_, warm_up) for run_ in runs]
        steps = max(1, round(SLICE_S * warm_up / begin[1]))
        seconds = {run_: [] for run_ in runs}
        for index in range(SLICES):
            for run_ in runs if index % 2 else reversed(runs):
                seconds[run_].append(_slice_seconds(run_, steps))
    finally:
        for run_ in runs:
            run_.request_stop()
            run_.wait(_TIMEOUT_S)
    ratios = np.array(seconds[with_telemetry]) / np.array(seconds[without_telemetry])
    return {
        "value": float(np.median(ratios)),
        "lowest": float(ratios.min()),
        "highest": float(ratios.max()),
        "at_the_beginning": begin[0] / begin[1],
        "step_ms": float(np.median(seconds[without_telemetry])) / steps * 1e3,
        "steps_per_slice": steps,
    }


def _slice_seconds(run_: Run, steps: int) -> float:
    """Return the seconds that a paused run takes for ``steps`` steps."""
    begin = time.perf_counter()
    run_.send(SingleStep(steps))
    return _wait_until_paused(run_) - begin


def _wait_until_paused(run_: Run) -> float:
    """Wait for the pause and the snapshot that follows it; return the time of the pause."""
    paused = None
    deadline = time.perf_counter() + _TIMEOUT_S
    while time.perf_counter() < deadline:
        run_.wait_for_news(1.0)
        now = time.perf_counter()
        for item in run_.drain():
            if isinstance(item, events.Failed):
                raise RuntimeError(item.traceback)
            if isinstance(item, events.Paused):
                paused = now
            elif isinstance(item, Snapshot) and paused is not None:
                return paused
    raise RuntimeError(f"the run did not pause within {_TIMEOUT_S} s: it is {run_.state}")
