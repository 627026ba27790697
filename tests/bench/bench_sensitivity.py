"""Sensitivity: rank correlation of estimates with measured divergences, and what estimates cost while training.

The correlation is Spearman's, over all tensors with one grid and all numbers of bits. A measurement quantizes only this
tensor, with this number of bits, in the network trained for STEPS steps at 8 bits.
"""

import time
from dataclasses import replace
from typing import Dict, Iterator, List, Sequence

import numpy as np
from live_graph import run_spec
from watched_cost import watched_cost

from qatviz.analysis.sensitivity import WIDTHS, divergence
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.reasons import SaveKind, SaveReason

PRESET = "tflite-int8"
#: Training steps before the sensitivities are estimated.
STEPS = {"lenet": 400, "dscnn": 200, "resnet8": 100, "mobilenet": 40}
#: Number of held-out examples of a measurement.
EXAMPLES = 256

CORRELATION, COST = "sensitivity_correlation", "sensitivity_cost"
NAMES = tuple(f"{kind}/{name}" for kind in (CORRELATION, COST) for name in STEPS)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        kind, network_name = name.split("/")
        yield dict({"name": name}, **_MEASUREMENTS[kind](network_name))


def _trained(network_name: str):
    """Return the spec and the live run of a network after its training steps."""
    from qatviz.training.building import graph_arguments
    from qatviz.training.graph import TrainingGraph
    from qatviz.training.live_run import LiveRun

    spec = run_spec(network_name, PRESET)
    live = LiveRun(TrainingGraph(*graph_arguments(spec)), spec, BranchCursor(), lambda event: None)
    for _ in range(STEPS[network_name]):
        live.train_step()
    return spec, live


def _correlation(network_name: str) -> Dict:
    from qatviz.training.sensitivity import SensitivityGraph, SensitivityJob

    spec, live = _trained(network_name)
    state = live.capture("trained", SaveReason(SaveKind.END))
    begun = time.perf_counter()
    graph = SensitivityGraph(spec)
    built = time.perf_counter()
    job, found = SensitivityJob(graph, state.arrays, state.book, state.step), None
    while found is None:
        found = job.advance()
    groups = [[spec.plan.tensors[index].name for index in members] for members in spec.plan.groups]
    estimated = np.array([[sum(found.score(name, width) for name in names) for width in WIDTHS] for names in groups])
    measured = _measured(spec, live, state.book)
    graph.close()
    live.graph.close()
    return {
        "unit": "rank correlation",
        "value": rank_correlation(estimated.ravel(), measured.ravel()),
        "by_bits": {width: rank_correlation(*pair) for width, *pair in zip(WIDTHS, estimated.T, measured.T)},
        "tensors": len(groups),
        "build_s": built - begun,
        "estimate_s": job.seconds,
    }


def _measured(spec, live, book) -> np.ndarray:
    """Return the divergence with each group of tensors alone quantized, float64 ``[groups, widths]``."""
    graph, data = live.graph, spec.dataset
    examples = np.asarray(data.x_test[:EXAMPLES], np.float32) * np.float32(data.pixel_scale)

    def outputs(group: int) -> np.ndarray:
        graph.publish()
        graph.enable_published(np.arange(len(spec.plan.groups)) == group)
        return np.concatenate([graph.outputs(part)[0] for part in np.split(examples, EXAMPLES // 64)])

    reference = outputs(-1)
    rows: List[List[float]] = []
    for group, members in enumerate(spec.plan.groups):
        rows.append([])
        for width in WIDTHS:
            live.apply_settings(book.change([(f"{spec.plan.tensors[members[0]].name}.num_bits", width)])[0])
            rows[-1].append(divergence(reference, outputs(group), data.task))
        live.apply_settings(book)
    return np.array(rows)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's rank correlation of two float arrays ``[n]`` without equal values."""
    return float(np.corrcoef(*(np.argsort(np.argsort(each)) for each in (one, other)))[0, 1])


def _cost(network_name: str) -> Dict:
    """Return the fraction of steps per second that estimates cost after the first."""
    from qatviz.training.sensitivity_updates import SensitivityUpdates

    spec, live = _trained(network_name)
    found: List = []
    updates = SensitivityUpdates(live, replace(spec, telemetry=False), found.append)
    updates.watch(True)
    result = watched_cost(live, updates, lambda: updates.advance(True), found)
    updates.close()
    live.graph.close()
    return result


_MEASUREMENTS = {CORRELATION: _correlation, COST: _cost}
