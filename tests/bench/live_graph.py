"""qatviz's training graph, ready to step, for the benchmarks."""

from dataclasses import replace
from typing import Dict, Optional

from qatviz.data import BatchSchedule, Dataset, load
from qatviz.network import zoo
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.presets import preset_settings
from qatviz.settings import WEIGHTS, RunSettings
from qatviz.training.graph import TrainingGraph

BATCH_SIZE = 64
DATA = "mnist-5k"
NETWORKS = ("mlp", "lenet", "dscnn", "resnet8")
#: The preset that quantizes as tf.contrib.quantize does.
CONTRIB_PRESET = "uint8-affine"


def dataset() -> Dataset:
    """The data all benchmarks train on."""
    return load(DATA)


def network(name: str, data: Dataset) -> Network:
    """A network of the zoo for ``data``."""
    return zoo.build(name, data.input_shape, data.num_classes)


def schedule(data: Dataset, seed: int = 0, batch_size: int = BATCH_SIZE) -> BatchSchedule:
    """Batches of the training part."""
    return BatchSchedule(len(data.x_train), batch_size, seed)


def live_graph(net: Network, data: Dataset, preset: str = CONTRIB_PRESET, seed: int = 0, telemetry: bool = False,
               weights: Optional[Dict] = None) -> TrainingGraph:
    """A training graph in its initial state, with the settings of a preset; ``weights`` replaces settings of all weights."""
    plan = quantization_plan(net)
    graph = TrainingGraph(net, plan, data, BATCH_SIZE, "adam", seed, telemetry=telemetry)
    run = RunSettings()
    graph.write_state(graph.initial_state(run))
    graph.write_settings(settings_of(graph, preset, weights), run, 0)
    graph.calibrate(schedule(data, seed).indices(0))
    return graph


def settings_of(graph: TrainingGraph, preset: str, weights: Optional[Dict] = None):
    """Settings of every group of a graph's plan, by preset."""
    chosen = []
    for leader in graph.layout.leaders:
        settings = preset_settings(preset, leader.kind, leader.op_kind)
        chosen.append(replace(settings, **weights) if weights and leader.kind == WEIGHTS else settings)
    return chosen
