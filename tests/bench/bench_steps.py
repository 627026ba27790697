"""Time of a training step: against tf.contrib.quantize's static graph, and against the float graph."""

from typing import Dict, Iterator, Sequence

from contrib_graph import CONTRIB, FLOAT, StaticGraph, fake_quant_names
from interleave import interleaved_times, milliseconds, ratio
from live_graph import BATCH_SIZE, NETWORKS, dataset, live_graph, network, schedule

from qatviz.training.parameters import initial_parameters

STEP_RATIO_CONTRIB, STEP_RATIO_FLOAT = "step_ratio_contrib", "step_ratio_float"
NAMES = tuple(f"{kind}/{name}" for kind in (STEP_RATIO_CONTRIB, STEP_RATIO_FLOAT) for name in NETWORKS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        kind, network_name = name.split("/")
        yield dict({"name": name, "unit": "ratio"}, **_MEASUREMENTS[kind](network_name))


def _against_static(network_name: str, scheme: str) -> Dict:
    data = dataset()
    net = network(network_name, data)
    static = StaticGraph(net, data, BATCH_SIZE, scheme)
    static.write_parameters(initial_parameters(net, 0))
    quiet, telling = [live_graph(net, data, telemetry=telemetry) for telemetry in (False, True)]
    try:
        times = interleaved_times(
            {
                "static": _stepper(static, data),
                "quiet": _live_stepper(quiet, data),
                "telling": _live_stepper(telling, data),
            }
        )
    finally:
        for graph in (static, quiet, telling):
            graph.close()
    return {
        "value": ratio(times, "quiet", "static"),
        "with_telemetry": ratio(times, "telling", "static"),
        "step_ms": milliseconds(times, "quiet"),
        scheme + "_step_ms": milliseconds(times, "static"),
        "fake_quant_operations": len(fake_quant_names(static.graph)),
    }


def _against_contrib(network_name: str) -> Dict:
    return _against_static(network_name, CONTRIB)


def _against_float(network_name: str) -> Dict:
    return _against_static(network_name, FLOAT)


_MEASUREMENTS = {STEP_RATIO_CONTRIB: _against_contrib, STEP_RATIO_FLOAT: _against_float}


def _stepper(graph, data):
    batches = schedule(data)
    return lambda step: graph.step(batches.indices(step))


def _live_stepper(graph, data):
    batches = schedule(data)
    return lambda step: graph.step(batches.indices(step), step)
