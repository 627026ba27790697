"""Time of a training step, relative to that in a graph without what most runs do not use."""

import contextlib
from typing import Any, Callable, ContextManager, Dict, Iterator, Sequence, Tuple
from unittest import mock

import numpy as np
import tensorflow.compat.v1 as tf
from interleave import interleaved_times, milliseconds, ratio
from live_graph import NETWORKS, dataset, live_graph, network, schedule

from qatviz.data import BatchSchedule, Dataset
from qatviz.data.heads import from_heads
from qatviz.heads import Head
from qatviz.network.graph import Network, NetworkBuilder
from qatviz.network.layers import Dense, Flatten, ReLU
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.live import LiveQuantizers
from qatviz.settings import FROZEN, LEARNED
from qatviz.training import batch_pass, step_inputs, training_copy
from qatviz.training.graph import TrainingGraph
from qatviz.training.range_policy import actions_on_change, held_ranges
from qatviz.training.step_inputs import StepInputs

AUGMENTATION_OFF, OUTPUT_LOSSES = "step_ratio_augmentation_off", "step_ratio_output_losses"
LEARNING_OFF, LEARNING_ON = "step_ratio_learned_off", "step_ratio_learned_on"
OSCILLATION_OFF = "step_ratio_oscillation_off"
NAMES = (
    f"{AUGMENTATION_OFF}/mlp",
    f"{AUGMENTATION_OFF}/lenet",
    f"{OUTPUT_LOSSES}/mlp",
    *(f"{kind}/{name}" for kind in (LEARNING_OFF, LEARNING_ON) for name in NETWORKS),
    *(f"{OSCILLATION_OFF}/{name}" for name in NETWORKS),
)
STEPS, SLOW_STEPS = 1000, 150
#: Multiply-accumulates per example of a network whose steps are long.
_MANY_MACS = 10**6
_HEADS = (Head("digit", "cross_entropy"), Head("ink", "mse"))


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        kind, network_name = name.split("/")
        if kind == OUTPUT_LOSSES:
            figure = _measured(*_two_outputs(), _without_output_losses, heads=_HEADS)
        elif kind == LEARNING_ON:
            figure = _learning(network_name)
        elif kind == LEARNING_OFF:
            data = dataset()
            figure = _measured(network(network_name, data), data, _without_learning)
        elif kind == OSCILLATION_OFF:
            data = dataset()
            figure = _measured(network(network_name, data), data, _without_oscillation)
        else:
            data = dataset()
            figure = _measured(network(network_name, data), data, _without_augmentation)
        yield dict({"name": name, "unit": "ratio"}, **figure)


def _measured(net: Network, data: Dataset, without: Callable[[], ContextManager[None]], **options: Any) -> Dict:
    whole = live_graph(net, data, telemetry=True, **options)
    with without():
        plain = live_graph(net, data, telemetry=True, **options)
    batches = schedule(data)
    try:
        steppers = {name: _stepper(graph, batches) for name, graph in (("whole", whole), ("plain", plain))}
        times = interleaved_times(steppers, STEPS if net.macs < _MANY_MACS else SLOW_STEPS)
    finally:
        whole.close()
        plain.close()
    return {"value": ratio(times, "whole", "plain"), "step_ms": milliseconds(times, "whole")}


def _learning(network_name: str) -> Dict:
    """Return the time of a step that learns all scales, relative to one that learns none."""
    data = dataset()
    net = network(network_name, data)
    plan = quantization_plan(net)
    graphs, batches = {}, schedule(data)
    for name, method in (("on", LEARNED), ("off", FROZEN)):
        book, _ = SettingsBook.from_preset(plan, "int4").change([("*.range_method", method)])
        graphs[name] = live_graph(net, data, telemetry=True)
        actions = actions_on_change(graphs[name].layout, None, book)
        held = held_ranges(
            graphs[name].layout, book, actions, graphs[name].read_weights(), graphs[name].read_held_ranges()
        )
        graphs[name].write_held_ranges(held)
        graphs[name].write_settings(book.quantizers, book.run, 0)
    try:
        steppers = {name: _stepper(graph, batches) for name, graph in graphs.items()}
        times = interleaved_times(steppers, STEPS if net.macs < _MANY_MACS else SLOW_STEPS)
    finally:
        for graph in graphs.values():
            graph.close()
    return {"value": ratio(times, "on", "off"), "step_ms": milliseconds(times, "on")}


def _stepper(graph: TrainingGraph, batches: BatchSchedule) -> Callable[[int], Any]:
    return lambda step: graph.step(batches.indices(step), step)


@contextlib.contextmanager
def _without_augmentation() -> Iterator[None]:
    """Context in which graphs are built that can't be augmented: no input can be replaced or mixed."""

    def loss(inputs: StepInputs, heads: Any, outputs: Any, smoothing: tf.Tensor) -> Tuple[tf.Tensor, list]:
        return heads.total(heads.losses(outputs, inputs.labels, smoothing, inputs._weights)), []

    kept = mock.patch.object(step_inputs, "_replaceable", lambda value, name: tf.identity(value))
    with kept, mock.patch.object(StepInputs, "loss", loss):
        yield


@contextlib.contextmanager
def _without_learning() -> Iterator[None]:
    """Context in which graphs are built that can learn no range."""
    passes = mock.patch.multiple(batch_pass, trained_tensors=lambda quantizers: {}, gradient_sums=mock.Mock())
    updates = mock.patch.object(training_copy, "learned_updates", mock.Mock(return_value=({}, None)))
    with passes, updates:
        yield


@contextlib.contextmanager
def _without_oscillation() -> Iterator[None]:
    """Context in which graphs are built that can't freeze weights."""
    with mock.patch.object(LiveQuantizers, "_frozen_weights", return_value=[]):
        yield


@contextlib.contextmanager
def _without_output_losses() -> Iterator[None]:
    """Context in which graphs are built whose steps return the loss only, not those of the outputs."""
    loss = StepInputs.loss
    with mock.patch.object(StepInputs, "loss", lambda *arguments: (loss(*arguments)[0], [])):
        yield


def _two_outputs() -> Tuple[Network, Dataset]:
    """Return a network that decides which digit an image shows, and how dark it is, and its data."""
    digits = dataset()
    examples = [(digits.x_train, digits.y_train), (digits.x_test, digits.y_test)]
    parts = [(x, {"digit": y, "ink": x.mean((1, 2, 3)).astype(np.float32)}) for x, y in examples]
    builder = NetworkBuilder("mlp", digits.input_shape)
    builder.add(Flatten, "flat")
    builder.add(Dense, "body", units=128)
    body = builder.add(ReLU, "body_relu")
    return builder.network(
        [builder.add(Dense, "digit", body, units=10), builder.add(Dense, "ink", body, units=1)]
    ), from_heads("digits", "mnist-5k", *parts)
