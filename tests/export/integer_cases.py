"""Small networks with random parameters as integer models."""

import numpy as np
from lowering_cases import random_parameters, settings_of

from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, GlobalAveragePool
from qatviz.network.plan import quantization_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.settings import RunSettings

#: Examples at once: enough for BLAS, few enough for their columns to fit in memory.
BATCH = 64
#: Range of every group of activations; that of nonnegative tensors starts at 0.
RANGE = (-2.5, 7.0)
#: Rows and columns whose codes are averaged, and how often their scale is halved in the output (doubled, below 0): the
#: sums have ties a quarter, an eighth and a half above them, at themselves, or rarely.
MEANS_BY_POWERS = ((7, 1), (6, 3), (7, 2), (7, 0), (4, 1), (7, -1), (5, -2))


def network_of(input_shape, *layers):
    """Return a network that is a chain of ``(kind, name, settings)``."""
    net = NetworkBuilder("chain", input_shape)
    for kind, name, values in layers:
        net.add(kind, name, **values)
    return net.network()


def book_of(network, weights=None, activations=None, **run):
    plan = quantization_plan(network)
    return SettingsBook(plan, tuple(settings_of(plan, weights=weights, activations=activations)), RunSettings(**run))


def state_of(network, ranges=None, seed=0, **parameters):
    """Return arrays like a checkpoint's; ``ranges`` by a group's first tensor; ``__`` in ``parameters`` means a dot."""
    plan = quantization_plan(network)
    place = live_state.layout(plan)
    arrays = dict(random_parameters(network, seed), **live_state.initial_ranges(place))
    arrays.update((name.replace("__", "."), np.float32(value)) for name, value in parameters.items())
    for index, group in enumerate(place.activations):
        leader = place.leaders[group]
        # No two scales have a ratio of small integers, which would cause ties that depend on the scales' rounding.
        wider = (1 + 0.1 * index) ** 0.9
        low, high = (ranges or {}).get(leader.name, (0.0 if leader.nonnegative else RANGE[0] * wider, RANGE[1] * wider))
        arrays["range_min"][index], arrays["range_max"][index] = low, high
    return arrays


def model_of(network, weights=None, activations=None, ranges=None, seed=0, step=None, **parameters):
    arrays = state_of(network, ranges, seed, **parameters)
    return integer_model(network, book_of(network, weights, activations), arrays, step)


def means_of_four(kind):
    """Return codes with all sums of four, int32 ``[n, 2, 2, 1]``, and their means, int64 ``[n]``.

    A GlobalAveragePool rounds ties up, an AveragePool away from 0.
    """
    sums = np.arange(-512, 509)
    codes = np.stack([(sums + i) // 4 for i in range(4)], axis=1).reshape(-1, 2, 2, 1).astype(np.int32)
    return codes, (sums + 2) // 4 if kind is GlobalAveragePool else np.sign(sums) * ((np.abs(sums) + 2) // 4)


class MeansByPowers:
    """A GlobalAveragePool "means" between scales whose ratio is a power of two; logits come after it.

    ``codes`` are of its input, int32 ``[n, size, size, 1]``; their sums are all those whose means do not saturate.
    ``expected`` is what they come to, int64 ``[n, 1]``, from whole numbers.
    """

    def __init__(self, size, halvings):
        self.network = network_of((size, size, 1), (GlobalAveragePool, "means", {}), (Dense, "logits", {"units": 2}))
        step = 2.0**-halvings
        self.arrays = state_of(
            self.network,
            logits__weights=[[0.1, 1.0]],
            ranges={"input.activations": (-128.0, 127.0), "means.activations": (-128 * step, 127 * step)},
        )
        self.book = book_of(self.network, {"symmetric": True})
        self.model = integer_model(self.network, self.book, self.arrays)
        count, least = size * size, max(-128, int(-128 * step))
        sums = np.arange(least * count, -(least + 1) * count + 1)
        codes = np.stack([(sums + i) // count for i in range(count)], axis=1)
        self.codes = codes.reshape(-1, size, size, 1).astype(np.int32)
        # (sum + 1/3) * 2**halvings / count + 1/2, rounded down.
        up, down = 2 ** max(halvings, 0), 2 ** max(-halvings, 0)
        expected = (2 * up * (3 * sums + 1) + 3 * down * count) // (6 * down * count)
        self.expected = np.clip(expected, -128, 127)[:, None]


def simulate_tensors(model, images, names=None):
    """Return the int32 codes of the named tensors (default: all) for float32 ``images`` ``[n] + input shape``."""
    codes = quantize_input(model, images)
    wanted = [tensor.name for tensor in model.tensors] if names is None else [model.tensor(name).name for name in names]
    parts = [run_codes(model, codes[start : start + BATCH], wanted) for start in range(0, max(len(codes), 1), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def simulate(model, images):
    """Return the int32 codes of the output of an integer model for float32 ``images`` ``[n] + input shape``."""
    return simulate_tensors(model, images, [model.output])[model.output]
