"""Time of a training step, relative to that in a graph whose quantizers have the plain form only."""

import contextlib
from typing import Any, Dict, Iterator, Sequence
from unittest import mock

from interleave import interleaved_times, milliseconds, ratio
from live_graph import NETWORKS, dataset, live_graph, network, schedule

from qatviz.quant import live
from qatviz.quant.live_maps import MapRanges

NAMES = tuple(f"step_ratio_methods_off/{name}" for name in NETWORKS)
STEPS = {"mlp": 1000, "lenet": 400}
_OTHERS = 150


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    data, batches = dataset(), schedule(dataset())
    for name in names:
        network_name = name.rpartition("/")[2]
        net = network(network_name, data)
        with _plain_forms():
            graphs = {"plain": live_graph(net, data, telemetry=True)}
        graphs["whole"] = live_graph(net, data, telemetry=True)
        steppers = {
            key: lambda step, graph=graph: graph.step(batches.indices(step), step) for key, graph in graphs.items()
        }
        try:
            times = interleaved_times(steppers, STEPS.get(network_name, _OTHERS))
        finally:
            for graph in graphs.values():
                graph.close()
        yield {
            "name": name,
            "unit": "ratio",
            "value": ratio(times, "whole", "plain"),
            "step_ms": milliseconds(times, "whole"),
        }


@contextlib.contextmanager
def _plain_forms() -> Iterator[None]:
    """Context in which graphs are built without maps, EWGS, stochastic rounding and the ramp of the strength."""

    def ranges(state: Any, sources: Any, tensors: Any, low: Any, high: Any) -> MapRanges:
        return MapRanges(low, high, None, None, None, None)

    def channels(state: Any, found: Any, owner: Any, low: Any, high: Any) -> Any:
        return low, high

    with contextlib.ExitStack() as stack:
        for name, value in (
            ("map_ranges", ranges),
            ("map_channel_ranges", channels),
            ("general_forms", lambda *arguments: {}),
        ):
            stack.enter_context(mock.patch.object(live, name, value))
        yield
