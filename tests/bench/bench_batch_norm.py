"""Folded batch norm: time of a training step relative to the float graph, and accuracy, by how it is normalized."""

from typing import Any, Dict, Iterator, Sequence

import numpy as np
from bench_accuracy import SEEDS, accuracy_of
from contrib_graph import FLOAT, StaticGraph
from interleave import interleaved_times, milliseconds, ratio
from live_graph import BATCH_SIZE, CONTRIB_PRESET, dataset, live_graph, network, schedule

from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.training.parameters import initial_parameters

NETWORKS = ("dscnn", "resnet8")
#: Settings of the run by the name of the form.
FORMS: Dict[str, Dict[str, Any]] = {
    "double": {},
    "single": {"single_convolution": True},
    "frozen": {"freeze_batch_norm": True},
}
STEP_RATIO, POINTS_BELOW = "step_ratio_batch_norm", "accuracy_points_single_below_double"
NAMES = (
    *(f"{STEP_RATIO}/{name}/{form}" for name in NETWORKS for form in FORMS),
    *(f"{POINTS_BELOW}/{name}" for name in NETWORKS),
)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``; the forms of a network are measured together."""
    for network_name in NETWORKS:
        wanted = {name: name.split("/")[2] for name in names if name.startswith(f"{STEP_RATIO}/{network_name}/")}
        found = _step_times(network_name, set(wanted.values())) if wanted else {}
        for name, form in wanted.items():
            yield {
                "name": name,
                "unit": "ratio",
                "value": ratio(found, form, FLOAT),
                "step_ms": milliseconds(found, form),
                "float_step_ms": milliseconds(found, FLOAT),
            }
    for name in names:
        if name.startswith(POINTS_BELOW):
            yield _accuracies(name)


def _step_times(network_name: str, forms: set) -> Dict[str, np.ndarray]:
    """Return the seconds of each step of the float graph, and of graphs with these forms, in turn."""
    data = dataset()
    net = network(network_name, data)
    static = StaticGraph(net, data, BATCH_SIZE, FLOAT)
    static.write_parameters(initial_parameters(net, 0))
    book = SettingsBook.from_preset(quantization_plan(net), CONTRIB_PRESET)
    graphs = {form: live_graph(net, data, telemetry=False) for form in sorted(forms)}
    batches = schedule(data)
    try:
        contenders = {FLOAT: lambda step: static.step(batches.indices(step))}
        for form, graph in graphs.items():
            run_settings = book.change([(f"run.{name}", value) for name, value in FORMS[form].items()])[0].run
            graph.write_settings(book.quantizers, run_settings, 0)
            contenders[form] = lambda step, graph=graph: graph.step(batches.indices(step), step)
        return interleaved_times(contenders)
    finally:
        for each in (static, *graphs.values()):
            each.close()


def _accuracies(name: str) -> Dict:
    """Return the points by which the mean accuracy over the seeds is below that with two convolutions."""
    network_name = name.split("/")[1]
    settings = {form: tuple((f"run.{key}", value) for key, value in FORMS[form].items()) for form in FORMS}
    single, double = (
        [accuracy_of(network_name, CONTRIB_PRESET, seed, settings[form]) for seed in SEEDS]
        for form in ("single", "double")
    )
    return {
        "name": name,
        "unit": "percentage points",
        "value": 100.0 * (np.mean(double) - np.mean(single)),
        "accuracy": single,
        "accuracy_double": double,
    }
