"""A run on another machine over a link of 50 ms and 10 Mbit/s: seconds from a click to its histogram, and updates."""

import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator, Sequence

CLICK, UPDATES = "remote_click_to_histogram_ms", "remote_histograms_per_s"
NETWORKS = ("lenet", "mobilenet")
NAMES = tuple(f"{kind}/{network}" for kind in (CLICK, UPDATES) for network in NETWORKS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures; the server is a process of its own, behind a relay that delays and limits."""
    tests = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(tests), str(tests / "remote")]
    from slow_link import SlowRelay
    from slow_link_use import ServerProcess, measure

    for network in NETWORKS:
        wanted = [kind for kind in (CLICK, UPDATES) if f"{kind}/{network}" in names]
        if not wanted:
            continue
        with tempfile.TemporaryDirectory() as home:
            server = ServerProcess(Path(home))
            relay = SlowRelay(server.port)
            try:
                found = measure(server, "127.0.0.1", relay.port, network, "mnist-5k")
            finally:
                relay.close()
                server.close()
        values = {CLICK: (1000 * found["click_s"], "ms"), UPDATES: (found["updates_per_s"], "1/s")}
        details = {"step_ms": round(1000 * found["step_s"], 1), "dropped": found["dropped"]}
        for kind in wanted:
            value, unit = values[kind]
            yield {"name": f"{kind}/{network}", "value": round(value, 1), "unit": unit, **details}
