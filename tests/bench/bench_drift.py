"""Drift and channels: what they cost a run that trains while they are watched."""

from dataclasses import replace
from typing import Dict, Iterator, List, Sequence

from live_graph import run_spec
from watched_cost import watched_cost

from qatviz.protocol.branches import BranchCursor

#: Training steps before the results are watched.
STEPS = {"lenet": 100, "mobilenet": 40}
DRIFT, CHANNELS = "drift_cost", "channels_cost"
NAMES = tuple(f"{kind}/{name}" for kind in (DRIFT, CHANNELS) for name in STEPS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        kind, network_name = name.split("/")
        yield dict({"name": name}, **_cost(kind, network_name))


def _cost(kind: str, network_name: str) -> Dict:
    from qatviz.protocol.commands import WatchChannels, WatchDrift
    from qatviz.training.building import graph_arguments
    from qatviz.training.graph import TrainingGraph
    from qatviz.training.live_run import LiveRun
    from qatviz.training.watched import ChannelUpdates, DriftUpdates

    spec = run_spec(network_name, "tflite-int8")
    live = LiveRun(TrainingGraph(*graph_arguments(spec)), spec, BranchCursor(), lambda event: None)
    for _ in range(STEPS[network_name]):
        live.train_step()
    found: List = []
    updates = (DriftUpdates if kind == DRIFT else ChannelUpdates)(live, replace(spec, telemetry=False), found.append)
    updates.watch(WatchDrift(examples=64) if kind == DRIFT else WatchChannels())
    result = watched_cost(live, updates, updates.advance, found)
    updates.close()
    live.graph.close()
    return result
