"""Child process of bench_memory: trains the mlp and prints its resident size and the history's, both in MB, at two
steps."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
_POLL_S = 0.02


def resident_mb() -> float:
    """Return the resident memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(early: int, late: int) -> None:
    """Train ``late`` steps, reading the telemetry as a window would."""
    from live_graph import run_spec

    from qatviz.protocol import events
    from qatviz.training.handle import Run

    run = Run(run_spec("mlp", steps=late))
    run.start()
    at_early = None
    while not run.wait(_POLL_S):
        for item in run.drain():
            if isinstance(item, events.Failed):
                raise RuntimeError(item.traceback)
        if at_early is None and run.step >= early:
            at_early = resident_mb(), run.history.nbytes / 1e6
    print(at_early[0], resident_mb(), at_early[1], run.history.nbytes / 1e6)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    main(*map(int, sys.argv[1:]))
