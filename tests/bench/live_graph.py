"""Runs and training graphs of qatviz for the benchmarks."""

import os
from typing import Any

from qatviz.data import BatchSchedule, Dataset, load
from qatviz.network import zoo
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook

BATCH_SIZE = 64
#: Name of the data of all benchmarks.
DATA = os.environ.get("QATVIZ_BENCH_DATA", "mnist-5k")
NETWORKS = ("mlp", "lenet", "dscnn", "resnet8")
#: The preset that quantizes like tf.contrib.quantize.
CONTRIB_PRESET = "uint8-affine"


def dataset() -> Dataset:
    """Return the data of all benchmarks."""
    return load(DATA)


def network(name: str, data: Dataset) -> Network:
    """Return a network of the zoo for ``data``."""
    return zoo.build(name, data.input_shape, data.num_classes)


def schedule(data: Dataset, seed: int = 0) -> BatchSchedule:
    """Return the batches of the training part."""
    return BatchSchedule(len(data.x_train), BATCH_SIZE, seed)


def run_spec(network_name: str, preset: str = CONTRIB_PRESET, settings: tuple = (), **changes: Any) -> RunSpec:
    """Return the spec of a run of a network of the zoo; ``settings`` are ``(path, value)`` assignments on top of the
    preset, ``changes`` fields of the spec."""
    data = dataset()
    net = network(network_name, data)
    book, _ = SettingsBook.from_preset(quantization_plan(net), preset).change(settings)
    return RunSpec(net, data, DATA, book, batch_size=BATCH_SIZE, **changes)


def live_graph(net: Network, data: Dataset, telemetry: bool, **options: Any):
    """Return a :class:`TrainingGraph` in the initial state of a run with seed 0, quantized like contrib's.

    ``options`` are further arguments of the graph.
    """
    from qatviz.training.graph import TrainingGraph

    book = SettingsBook.from_preset(quantization_plan(net), CONTRIB_PRESET)
    graph = TrainingGraph(net, book.plan, data, BATCH_SIZE, "adam", seed=0, telemetry=telemetry, **options)
    graph.write_state(graph.initial_state(book.run))
    graph.write_settings(book.quantizers, book.run, 0)
    graph.calibrate(schedule(data).indices(0))
    return graph
