"""A run on another machine over a link of 50 ms and 10 Mbit/s: what the link adds to a click, and updates.

The run is staged, and the time of its steps not counted: those of training are other figures.
"""

import sys
from pathlib import Path
from typing import Dict, Iterator, Sequence

CLICK, UPDATES = "remote_click_to_histogram_ms", "remote_histograms_per_s"
NETWORKS = ("lenet", "mobilenet")
NAMES = tuple(f"{kind}/{network}" for kind in (CLICK, UPDATES) for network in NETWORKS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures."""
    tests = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(tests), str(tests / "remote"), str(tests / "gui")]
    from slow_link_use import measure_transport

    for network in NETWORKS:
        wanted = [kind for kind in (CLICK, UPDATES) if f"{kind}/{network}" in names]
        if not wanted:
            continue
        found = measure_transport(network)
        values = {CLICK: (1000 * found["click_s"], "ms"), UPDATES: (found["updates_per_s"], "1/s")}
        for kind in wanted:
            value, unit = values[kind]
            yield {"name": f"{kind}/{network}", "value": round(value, 1), "unit": unit, "bytes": found["bytes"]}
