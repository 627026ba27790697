"""Small networks with random parameters as integer models."""

import numpy as np
from lowering_cases import random_parameters, settings_of

from qatviz.export.integers.lowering import integer_model
from qatviz.network.builder import NetworkBuilder
from qatviz.network.plan import quantization_plan
from qatviz.quant import live_state
from qatviz.settings import RunSettings
from qatviz.training.settings_book import SettingsBook

#: Of every group of activations; tensors that cannot be negative start at 0.
RANGE = (-2.5, 7.0)


def network_of(input_shape, *layers):
    """A chain of ``(kind, name, settings)``."""
    net = NetworkBuilder("chain", input_shape)
    for kind, name, values in layers:
        net.add(kind, name, **values)
    return net.network()


def book_of(network, weights=None, activations=None, **run):
    plan = quantization_plan(network)
    return SettingsBook(plan, tuple(settings_of(plan, weights=weights, activations=activations)), RunSettings(**run))


def state_of(network, ranges=None, seed=0, **parameters):
    """Arrays as a checkpoint has them; ``ranges`` by a group's first tensor; in ``parameters`` ``__`` is the dot."""
    plan = quantization_plan(network)
    place = live_state.layout(plan)
    arrays = dict(random_parameters(network, seed), **live_state.initial_ranges(place))
    arrays.update((name.replace("__", "."), np.float32(value)) for name, value in parameters.items())
    for index, group in enumerate(place.activations):
        leader = place.leaders[group]
        # No two scales are in a ratio of small numbers, which would make real ties that a scale's own rounding breaks.
        wider = (1 + 0.1 * index)**0.9
        low, high = (ranges or {}).get(leader.name, (0.0 if leader.nonnegative else RANGE[0] * wider, RANGE[1] * wider))
        arrays["range_min"][index], arrays["range_max"][index] = low, high
    return arrays


def model_of(network, weights=None, activations=None, ranges=None, seed=0, step=None, **parameters):
    arrays = state_of(network, ranges, seed, **parameters)
    return integer_model(network, book_of(network, weights, activations), arrays, step)
