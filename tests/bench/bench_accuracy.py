"""Accuracy of trained networks, on the 1,000 held-out digits: against tf.contrib.quantize at 8 bits, and against float
at fewer.

All runs of a comparison start from the same parameters and see the same batches. The learning rate falls towards the
end and the last evaluations are averaged, so that the result depends on the schemes rather than on the last step.
"""

from functools import lru_cache
from typing import Dict, Iterator, List, Sequence

import numpy as np
from contrib_graph import CONTRIB, StaticEvaluation, StaticGraph
from live_graph import BATCH_SIZE, CONTRIB_PRESET, dataset, network, run_spec, schedule

from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings
from qatviz.training.handle import Run
from qatviz.training.parameters import initial_parameters

SEEDS = (0, 1, 2)
#: dscnn needs longer: until its batch norm's averages have settled, results vary by more than a point.
STEPS = {"mlp": 600, "lenet": 600, "dscnn": 1800, "resnet8": 600}
#: Fraction of the steps after which the learning rate falls.
SLOW_AFTER, LEARNING_RATE, SLOW_LEARNING_RATE = 2 / 3, 1e-3, 1e-4
#: Steps between the last evaluations: enough for an evaluation, one batch per step, to finish.
INTERVAL, EVALUATIONS = 40, 4
FLOAT_PRESET, W4A8_PRESET, TERNARY_PRESET = "float", "int4", "ternary"

BELOW_CONTRIB, W4A8_BELOW_FLOAT, TERNARY_BELOW_FLOAT = (
    "accuracy_points_below_contrib",
    "accuracy_points_w4a8_below_float",
    "accuracy_points_ternary_below_float",
)
NAMES = tuple(
    f"{kind}/{name}"
    for kind, names in (
        (BELOW_CONTRIB, ("mlp", "lenet", "dscnn")),
        (W4A8_BELOW_FLOAT, ("mlp", "lenet")),
        (TERNARY_BELOW_FLOAT, ("mlp", "lenet")),
    )
    for name in names
)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``: points by which the mean over the seeds is below the reference."""
    for name in names:
        kind, network_name = name.split("/")
        reference, candidate = _COMPARISONS[kind]
        ours = [accuracy_of(network_name, candidate, seed) for seed in SEEDS]
        theirs = [_REFERENCES[reference](network_name, seed) for seed in SEEDS]
        yield {
            "name": name,
            "unit": "percentage points",
            "value": 100.0 * (np.mean(theirs) - np.mean(ours)),
            "accuracy": ours,
            "accuracy_" + reference: theirs,
        }


_COMPARISONS = {
    BELOW_CONTRIB: (CONTRIB, CONTRIB_PRESET),
    W4A8_BELOW_FLOAT: (FLOAT_PRESET, W4A8_PRESET),
    TERNARY_BELOW_FLOAT: (FLOAT_PRESET, TERNARY_PRESET),
}


def _slow_from(network_name: str) -> int:
    return int(STEPS[network_name] * SLOW_AFTER)


def _evaluated_steps(network_name: str) -> List[int]:
    return [STEPS[network_name] - INTERVAL * i for i in reversed(range(EVALUATIONS))]


@lru_cache(maxsize=None)
def accuracy_of(network_name: str, preset: str, seed: int, settings: tuple = ()) -> float:
    """Quantized accuracy of a run of qatviz; ``settings`` are assignments on top of the preset."""
    slower = (_slow_from(network_name), ChangeSettings((("run.learning_rate", SLOW_LEARNING_RATE),)))
    settings += (("run.learning_rate", LEARNING_RATE), ("run.evaluation_interval", INTERVAL))
    run_ = Run(run_spec(network_name, preset, settings, seed=seed, steps=STEPS[network_name], schedule=(slower,)))
    run_.start()
    found = {}
    while not run_.wait(0.1):
        found.update(_accuracies(run_))
    found.update(_accuracies(run_))
    return float(np.mean([found[step] for step in _evaluated_steps(network_name)]))


def _accuracies(run_: Run) -> Dict[int, float]:
    found = {}
    for item in run_.drain():
        if isinstance(item, events.Failed):
            raise RuntimeError(item.traceback)
        if isinstance(item, events.Evaluated):
            found[item.step] = item.scores["quantized"]
    return found


def _contrib_accuracy(network_name: str, seed: int) -> float:
    """Accuracy of contrib's evaluation graph after training with contrib's training graph."""
    data = dataset()
    net = network(network_name, data)
    graph, evaluation = StaticGraph(net, data, BATCH_SIZE, CONTRIB, LEARNING_RATE), StaticEvaluation(net, data, CONTRIB)
    try:
        graph.write_parameters(initial_parameters(net, seed))
        batches = schedule(data, seed)
        accuracies = []
        for step in range(STEPS[network_name]):
            if step == _slow_from(network_name):
                graph.set_learning_rate(SLOW_LEARNING_RATE)
            graph.step(batches.indices(step))
            if step + 1 in _evaluated_steps(network_name):
                accuracies.append(evaluation.accuracy(graph.state()))
    finally:
        graph.close()
        evaluation.close()
    return float(np.mean(accuracies))


_REFERENCES = {CONTRIB: _contrib_accuracy, FLOAT_PRESET: lambda name, seed: accuracy_of(name, FLOAT_PRESET, seed)}
