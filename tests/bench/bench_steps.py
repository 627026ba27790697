"""Time of a training step, relative to tf.contrib.quantize's static graph and to the float graph."""

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
    without_telemetry, with_telemetry = [live_graph(net, data, telemetry=telemetry) for telemetry in (False, True)]
    try:
        times = interleaved_times(
            {
                "static": _stepper(static, data),
                "without_telemetry": _live_stepper(without_telemetry, data),
                "with_telemetry": _live_stepper(with_telemetry, data),
            }
        )
    finally:
        for graph in (static, without_telemetry, with_telemetry):
            graph.close()
    return {
        "value": ratio(times, "without_telemetry", "static"),
        "with_telemetry": ratio(times, "with_telemetry", "static"),
        "step_ms": milliseconds(times, "without_telemetry"),
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
