"""The quantized evaluation graph equals integer arithmetic in NumPy, code by code."""

import functools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_network import IntegerNetwork, is_weighted
from lowering_cases import LoweredNetwork, random_parameters, settings_of, state_arrays
from test_lowering_float import all_layers_network, random_chain

from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import AveragePool, Concat, Conv2D, Dense, Flatten, GlobalAveragePool, MaxPool, ReLU, ReLU6

#: With power-of-two scales, float32 arithmetic is exact, including ties.
EXACT = {"power_of_two": True}
SETTINGS = {
    "int8": ({"symmetric": True, "narrow_range": True, "per_channel": True}, {}),
    "uint8": ({"narrow_range": True}, {}),
    "int4": ({"num_bits": 4, "symmetric": True}, {"num_bits": 6, "symmetric": True}),
    "mixed": ({"num_bits": 3, "per_channel": True}, {"num_bits": 5, "narrow_range": True}),
}
RANGE = (-2.5, 7.0)


def ranges_of(plan, low=RANGE[0], high=RANGE[1]):
    """Return ranges that differ from tensor to tensor."""
    return {
        t.name: (0.0 if t.nonnegative else low * (1 + 0.1 * i), high * (1 + 0.1 * i))
        for i, t in enumerate(plan.tensors)
    }


@functools.lru_cache(maxsize=4)
def lowered(network):
    """Return the network in a graph, its quantized activations by name, and a session; settings and ranges are fed."""
    with tf.Graph().as_default() as graph:
        case = LoweredNetwork(network)
    quantized = case.lowered.quantizers.quantized
    tensors = {t.name: quantized[t.name].values for t in case.plan.tensors if t.kind == "activations"}
    return case, tensors, tf.Session(graph=graph)


class Comparison:
    """One network, run in the graph and in integers."""

    def __init__(self, network, weights, activations, seed=0, images=None, ranges=None):
        parameters = random_parameters(network, seed)
        if images is None:
            images = np.random.RandomState(seed).standard_normal((8, *network.input_shape)).astype(np.float32) * 2
        case, tensors, session = lowered(network)
        settings = settings_of(case.plan, weights=weights, activations=activations)
        ranges = ranges or ranges_of(case.plan)
        state = state_arrays(case.plan, settings, ranges)
        self.values = session.run(tensors, case.feeds(images, state, parameters))
        self.plan = case.plan
        self.integers = IntegerNetwork(network, case.plan, parameters, settings, ranges)
        self.expected = self.integers.codes(images)

    def found(self, layer):
        """Return the graph's codes minus zero point for a unit with a quantizer."""
        name = layer + ".activations"
        steps = self.values[name].astype(np.float64) / float(self.integers.grids[name].scale)
        codes = np.floor(steps + 0.5)
        assert np.abs(steps - codes).max() < 1e-3, f"{name} is not on its grid"
        return codes.astype(np.int64)

    def layers(self):
        return [(unit.name, unit.output) for unit in self.plan.units if unit.name + ".activations" in self.values]


@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize(
    "network", [all_layers_network(), random_chain(0), random_chain(4)], ids=lambda network: network.name
)
def test_every_code_equals_that_of_integer_arithmetic(network, setting):
    weights, activations = SETTINGS[setting]
    both = Comparison(network, dict(weights, **EXACT), dict(activations, **EXACT))
    for name, output in both.layers():
        expected = both.expected[output]
        assert np.ptp(expected) > 0, f"the oracle says nothing about {name}"
        np.testing.assert_array_equal(both.found(name), expected, name)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_with_arbitrary_scales_codes_differ_at_ties_only(setting):
    weights, activations = SETTINGS[setting]
    network = random_chain(0)
    both = Comparison(network, weights, activations)
    difference = np.abs(both.found(both.layers()[0][0]) - both.expected[both.layers()[0][1]])
    assert difference.max() <= 1 and np.mean(difference) < 0.005


def test_biases_are_on_the_grid_of_input_times_weights():
    """With inputs of zero, the output is the bias alone."""
    net = NetworkBuilder("bias", (2, 2, 1))
    net.add(Conv2D, "conv", filters=5, kernel_size=1)
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=3)
    network = net.network()
    # Codes of the output are finer than the bias grid, so the bias can be read from them.
    both = Comparison(
        network,
        dict(num_bits=2, **EXACT),
        dict(num_bits=3, **EXACT),
        images=np.zeros((1, 2, 2, 1), np.float32),
        ranges={"input.activations": (-4.0, 3.0), "conv.activations": (-8.0, 7.0), "logits.activations": (-8.0, 7.0)},
    )
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(network)
        settings = settings_of(case.plan, weights=dict(num_bits=2, **EXACT), activations=dict(num_bits=3, **EXACT))
        state = state_arrays(case.plan, settings, {"input.activations": (-4.0, 3.0), "conv.activations": (-8.0, 7.0)})
        source = case.lowered.quantizers.quantized["conv.activations"].source
        feeds = case.feeds(np.zeros((1, 2, 2, 1), np.float32), state, random_parameters(network))
        bias = session.run(source, feeds)[0, 0, 0]
    grid = both.integers.scale("input")
    weights = random_parameters(network)["conv.weights"]
    scale = 2.0 ** np.ceil(np.log2((max(weights.max(), 0) - min(weights.min(), 0)) / 3)) * grid
    np.testing.assert_array_equal(bias, both.integers.bias_codes["conv"] * scale)
    assert not np.array_equal(bias, random_parameters(network)["conv.bias"])


def test_biases_stay_in_float_in_training_and_without_a_scale():
    net = NetworkBuilder("bias", (4,))
    net.add(Dense, "logits", units=3)
    network = net.network()
    bias = random_parameters(network)["logits.bias"]
    zeros = np.zeros((2, 4), np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        training, evaluation = LoweredNetwork(network, training=True), LoweredNetwork(network)
        on = settings_of(evaluation.plan, weights={"num_bits": 2}, activations={"num_bits": 2, "enabled": True})
        on[2] = settings_of(evaluation.plan, activations={"enabled": False})[2]
        state = state_arrays(evaluation.plan, on)
        np.testing.assert_array_equal(session.run(training.lowered.logits, training.feeds(zeros, state))[0], bias)
        assert not np.array_equal(session.run(evaluation.lowered.logits, evaluation.feeds(zeros, state))[0], bias)
        for off in ({"weights": False, "activations": True}, {"weights": True, "activations": False}):
            np.testing.assert_array_equal(
                session.run(evaluation.lowered.logits, evaluation.feeds(zeros, state, **off))[0], bias
            )


@pytest.mark.parametrize("bits, zero_point", [(8, 0), (8, -128), (8, 17), (4, -2), (12, 0), (12, -500)])
@pytest.mark.parametrize(
    "size, strides, padding",
    [(2, 1, "VALID"), (2, 2, "SAME"), (3, 1, "SAME"), (4, 3, "SAME"), (1, 2, "VALID"), ((2, 5), 1, "SAME")],
)
@pytest.mark.always("2-1-VALID-*", "size5-1-SAME-*", "4-3-SAME-*")
def test_average_pools_round_ties_as_tflite_does(size, strides, padding, bits, zero_point):
    """Means of an even number of codes may be ties, those of an odd number are not."""
    net = NetworkBuilder("pool", (10, 10, 8))
    net.add(AveragePool, "pool", pool_size=size, strides=strides, padding=padding)
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    half = 2 ** (bits - 1)
    codes = np.random.RandomState(0).randint(-4, 4, (4, 10, 10, 8)) - (zero_point if bits <= 8 else 0)
    codes = np.clip(codes, -half - zero_point, half - 1 - zero_point)
    for scale in (1.0, 0.1, 1e-3):
        limits = {
            "input.activations": ((-half - zero_point) * scale, (half - 1 - zero_point) * scale),
            "logits.activations": (-1.0, 1.0),
        }
        images = (codes * scale).astype(np.float32)
        both = Comparison(net.network(), {}, {"num_bits": bits}, images=images, ranges=limits)
        assert int(both.integers.grids["input.activations"].zero_point) == zero_point
        np.testing.assert_array_equal(both.expected["input"], codes)
        np.testing.assert_array_equal(both.found("pool"), both.expected["pool"])
        # Both signs occur, as seen from the code from which ties are rounded away.
        assert np.ptp(np.sign(both.expected["pool"] + (zero_point if bits <= 8 else 0))) == 2


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_large_averages_are_exact(padding):
    """Of 1,089 codes, whose float32 sums are not: next to ties, on both sides of 0."""
    net = NetworkBuilder("pool", (33, 33, 40))
    net.add(AveragePool, "pool", pool_size=33, strides=11, padding=padding)
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    levels = np.random.RandomState(0).randint(-126, 126, (2, 1, 1, 40))
    # 544 or 545 of the codes are larger by one.
    places = np.random.RandomState(1).rand(2, 33 * 33, 40).argsort(axis=1).reshape(2, 33, 33, 40)
    codes = levels + (places < 544 + (np.arange(40) % 2))
    limits = {"input.activations": (-12.8, 12.7), "logits.activations": (-1.0, 1.0)}
    both = Comparison(net.network(), {}, {}, images=(codes * 0.1).astype(np.float32), ranges=limits)
    np.testing.assert_array_equal(both.expected["input"], codes)
    np.testing.assert_array_equal(both.found("pool"), both.expected["pool"])


def test_layers_without_a_quantizer_keep_the_grid_of_their_input():
    net = NetworkBuilder("grids", (6, 6, 2))
    stem = net.add(Conv2D, "stem", filters=3)
    net.add(ReLU, "alone", inputs=stem)
    relu = net.add(MaxPool, "max")
    net.add(ReLU6, "clipped", inputs=stem)
    clipped = net.add(AveragePool, "average")
    net.add(Concat, "concat", inputs=(relu, clipped))
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=2)
    both = Comparison(net.network(), {}, {"num_bits": 4})
    grids, integers = both.integers.grids, both.integers
    assert {integers.plan.grid_of(name) for name in ("stem", "alone", "max", "clipped")} == {"stem.activations"}
    for name in ("average", "concat"):
        assert grids[name + ".activations"] == grids["stem.activations"] or (
            grids[name + ".activations"].scale == grids["stem.activations"].scale
        )
        np.testing.assert_array_equal(both.found(name), both.expected[name])
    assert grids["pool.activations"].scale != grids["stem.activations"].scale


def test_inputs_of_a_concat_share_one_grid_with_their_common_range():
    net = NetworkBuilder("shared", (4, 4, 1))
    one = net.add(Conv2D, "one", filters=2)
    other = net.add(Conv2D, "other", inputs="input", filters=2)
    net.add(Concat, "concat", inputs=(one, other))
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    images = np.random.RandomState(0).standard_normal((3, 4, 4, 1)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        case = LoweredNetwork(net.network(), training=True)
        state = state_arrays(case.plan, settings_of(case.plan, activations={"ema_decay": 0.0}))
        quantized = case.lowered.quantizers.quantized
        names = ["one.activations", "other.activations", "concat.activations"]
        sources, updates = session.run(
            [[quantized[name].source for name in names], case.lowered.quantizers.range_updates()],
            case.feeds(images, state),
        )
        group = case.plan.tensor("concat.activations").group
        place = case.lowered.quantizers.positions
        index = [place.leaders[g].name for g in place.activations].index(group)
    lows, highs = [s.min() for s in sources[:2]], [s.max() for s in sources[:2]]
    assert len({case.plan.tensor(name).group for name in names}) == 1
    assert len(place.activations) == len(names) - 2 + 2  # input, the shared one, logits
    np.testing.assert_allclose(
        [updates["range_min"][index], updates["range_max"][index]], [min(lows), max(highs)], rtol=1e-6
    )


def test_ranges_of_a_batch_are_built_once_from_all_observers():
    net = NetworkBuilder("small", (4,))
    net.add(Dense, "logits", units=2)
    with tf.Graph().as_default() as graph:
        quantizers = LoweredNetwork(net.network(), training=True).lowered.quantizers
        number = len(quantizers.positions.activations)
        quantizers.add_observer(lambda: (tf.fill([number], -9.0), tf.fill([number], 8.0)))
        ranges = quantizers.observed_ranges()
        built = len(graph.get_operations())
        assert quantizers.observed_ranges() == ranges and len(graph.get_operations()) == built
        with pytest.raises(AssertionError, match="built already"):
            quantizers.add_observer(quantizers.observed_ranges)


def test_the_oracle_itself_covers_every_unit():
    network = all_layers_network()
    both = Comparison(network, dict(SETTINGS["int8"][0], **EXACT), EXACT)
    assert set(both.integers.bias_codes) == {unit.name for unit in both.plan.units if is_weighted(unit)}
