"""The simulator compared with the quantized evaluation graph, layer by layer, and with results computed by hand."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import (
    BATCH,
    MEANS_BY_POWERS,
    MeansByPowers,
    book_of,
    model_of,
    network_of,
    simulate,
    simulate_tensors,
    state_of,
)
from lowering_cases import LoweredNetwork
from test_lowering_float import all_layers_network, random_chain

from qatviz.errors import ExportError
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import (
    dequantize,
    quantize_input,
    run_codes,
    run_op,
)
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    Add,
    AveragePool,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU6,
    Reshape,
    ZeroPad,
)
from qatviz.quant import live_state

#: With power-of-two scales, float32 arithmetic is exact, including ties.
EXACT = {"power_of_two": True}
SETTINGS = {
    "int8": ({"symmetric": True, "narrow_range": True, "per_channel": True}, {}),
    "uint8": ({"narrow_range": True}, {}),
    "int4": ({"num_bits": 4, "symmetric": True}, {"num_bits": 6, "symmetric": True}),
    "mixed": ({"num_bits": 3, "per_channel": True}, {"num_bits": 5, "narrow_range": True}),
    "wide": ({"num_bits": 9, "symmetric": True}, {"num_bits": 10}),
}


class Graph:
    """A network's evaluation graph, built once for all settings."""

    def __init__(self, network):
        self.network = network
        with tf.Graph().as_default():
            self._case = LoweredNetwork(network)
            self._session = tf.Session()
        plan, quantized = self._case.plan, self._case.lowered.quantizers.quantized
        self._fetches = {
            unit.output: quantized[unit.name + ".activations"].values
            for unit in plan.units
            if unit.name + ".activations" in quantized
        }
        self._fetches["input"] = quantized["input.activations"].values

    def values(self, book, arrays, images):
        """Return float32 outputs of all units with their own quantizer, by layer."""
        place = live_state.layout(self._case.plan)
        state = {name: arrays[name] for name in live_state.initial_ranges(place)}
        state.update(live_state.settings_arrays(place, book.quantizers, book.run, 0))
        parameters = {name: value for name, value in arrays.items() if name in self._case.parameters}
        return self._session.run(self._fetches, self._case.feeds(images, state, parameters))

    def close(self):
        self._session.close()


@pytest.fixture(
    scope="module", params=[all_layers_network(), random_chain(0), random_chain(4)], ids=lambda network: network.name
)
def graph(request):
    made = Graph(request.param)
    yield made
    made.close()


def graph_codes(model, values):
    """Return the codes of the graph's values, which must be on its grids."""
    found = {}
    for name, value in values.items():
        tensor = model.tensor(name)
        steps = value.astype(np.float64) / tensor.scale + tensor.zero_point
        found[name] = np.floor(steps + 0.5).astype(np.int64)
        assert np.abs(steps - found[name]).max() < 1e-2, f"{name} is not on its grid"
    return found


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_code_of_every_tensor_equals_the_graphs(graph, setting):
    weights, activations = SETTINGS[setting]
    book = book_of(graph.network, dict(weights, **EXACT), dict(activations, **EXACT))
    arrays = state_of(graph.network)
    images = np.random.RandomState(0).standard_normal((8, *graph.network.input_shape)).astype(np.float32) * 2
    model = integer_model(graph.network, book, arrays)
    expected = graph_codes(model, graph.values(book, arrays, images))
    found = simulate_tensors(model, images)
    assert set(expected) <= set(found) and len(expected) > 4
    for name, codes in expected.items():
        assert np.ptp(codes) > 0, f"the graph says nothing about {name}"
        np.testing.assert_array_equal(found[name], codes, name)


@pytest.mark.parametrize("setting", sorted(set(SETTINGS) - {"wide"}))
def test_codes_with_arbitrary_scales_equal_the_graphs(graph, setting):
    weights, activations = SETTINGS[setting]
    book, arrays = book_of(graph.network, weights, activations), state_of(graph.network)
    images = np.random.RandomState(0).standard_normal((64, *graph.network.input_shape)).astype(np.float32) * 2
    model = integer_model(graph.network, book, arrays)
    found = simulate_tensors(model, images)
    for name, codes in graph_codes(model, graph.values(book, arrays, images)).items():
        np.testing.assert_array_equal(found[name], codes, name)


def units(shape, **layers):
    """Return a network that begins with these layers (kind and settings by name)."""
    chain = [(kind, name, settings) for name, (kind, settings) in layers.items()]
    return network_of(shape, *chain, (Flatten, "flatten", {}), (Dense, "logits", {"units": 2}))


#: Grid on which codes equal values: scale 1, zero point 0.
UNIT = (-128.0, 127.0)


@pytest.mark.parametrize(
    "codes, up, away",
    [
        ((0, 0, 0, 2), 1, 1),
        ((0, 0, 0, 1), 0, 0),
        ((0, 0, 0, -2), 0, -1),
        ((0, 0, 0, -3), -1, -1),
        ((1, 1, 1, 3), 2, 2),
        ((-1, -1, -1, -3), -1, -2),
        ((127, 127, 127, 127), 127, 127),
        ((-128,) * 4, -128, -128),
    ],
)
def test_means_of_an_image_round_ties_up_and_those_of_windows_away_from_zero(codes, up, away):
    network = units((2, 2, 1), pool=(AveragePool, {}))
    model = model_of(network, ranges={"input.activations": UNIT})
    images = np.float32(codes).reshape(1, 2, 2, 1)
    assert simulate_tensors(model, images, ["pool"])["pool"].tolist() == [[[[away]]]]
    net = NetworkBuilder("whole", (2, 2, 1))
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=2)
    model = model_of(net.network(), ranges={"input.activations": UNIT, "pool.activations": UNIT})
    assert simulate_tensors(model, images, ["pool"])["pool"].tolist() == [[up]]


def test_averages_exclude_padding():
    network = units((2, 2, 1), pool=(AveragePool, {"pool_size": 2, "strides": 1, "padding": "SAME"}))
    model = model_of(network, ranges={"input.activations": (-100.0, 155.0)})
    images = np.float32([[0, 10], [20, 30]]).reshape(1, 2, 2, 1)
    found = dequantize(model.tensor("pool"), simulate_tensors(model, images, ["pool"])["pool"])
    assert found.reshape(-1).tolist() == [15, 20, 25, 30]


def test_maxima_ignore_padding_but_not_zeros():
    same = units((2, 2, 1), pool=(MaxPool, {"pool_size": 2, "strides": 1, "padding": "SAME"}))
    images = -np.float32([[40, 30], [20, 10]]).reshape(1, 2, 2, 1)
    model = model_of(same, ranges={"input.activations": (-100.0, 155.0)})
    assert simulate_tensors(model, images, ["pool"])["pool"].reshape(-1).tolist() == [-38, -38, -38, -38]
    padded = units((2, 2, 1), pad=(ZeroPad, {"padding": ((1, 0), (0, 2))}))
    model = model_of(padded, ranges={"input.activations": (-100.0, 155.0)})
    assert model.tensor("input").zero_point == -28
    assert simulate_tensors(model, images, ["pad"])["pad"].reshape(3, 4).tolist() == [
        [-28] * 4,
        [-68, -58, -28, -28],
        [-48, -38, -28, -28],
    ]


def test_a_convolution_pads_with_the_zero_point():
    """With inputs and weights of one, corners are 4, edges 6, the centre 9."""
    network = network_of(
        (3, 3, 1),
        (Conv2D, "conv", {"filters": 1, "use_bias": False}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 2}),
    )
    model = model_of(
        network,
        ranges={"input.activations": (-1.0, 1.5), "conv.activations": (-27.5, 100.0)},
        conv__weights=np.ones((3, 3, 1, 1)),
    )
    found = simulate_tensors(model, np.ones((1, 3, 3, 1), np.float32), ["conv"])["conv"]
    assert dequantize(model.tensor("conv"), found).reshape(3, 3).tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


@pytest.mark.parametrize("size, halvings", MEANS_BY_POWERS)
@pytest.mark.always("7-1", "5--2", "7--1")
def test_means_with_power_of_two_scale_ratios_equal_the_graphs(size, halvings):
    """Tie breaking must not cause ties: neither doubles nor 31-bit multipliers represent 1/49 exactly."""
    case = MeansByPowers(size, halvings)
    np.testing.assert_array_equal(run_codes(case.model, case.codes, ["means"])["means"], case.expected)
    graph = Graph(case.network)
    seen = graph.values(case.book, case.arrays, case.codes.astype(np.float32))["means"]
    graph.close()
    np.testing.assert_array_equal(np.floor(seen / case.model.tensor("means").scale + 0.5), case.expected)


def test_an_addition_rescales_its_inputs_and_rounds_once():
    """0.25 * 3 + 0.75 * 1 = 1.5 rounds to 2; rounding each first would give 1 + 1 or 1 + 0."""
    net = NetworkBuilder("sum", (1,))
    one = net.add(Dense, "one", units=1, use_bias=False)
    other = net.add(Dense, "other", inputs="input", units=1, use_bias=False)
    net.add(Add, "sum", inputs=(one, other))
    net.add(Dense, "logits", units=2)
    ranges = {
        "input.activations": UNIT,
        "one.activations": (-32.0, 31.75),
        "other.activations": (-96.0, 95.25),
        "sum.activations": UNIT,
    }
    model = model_of(net.network(), ranges=ranges, one__weights=[[0.25]], other__weights=[[0.25]])
    op = model.op("sum")
    for x, y in ((3, 1), (-3, -1), (1, 0), (-2, 0), (-127, 127)):
        codes = {"one": np.int32([[x]]), "other": np.int32([[y]])}
        assert int(run_op(model, op, codes)) == int(np.floor((x + 3 * y) / 4 + 0.5))


def test_a_concat_copies_codes_along_its_axis():
    net = NetworkBuilder("joined", (2, 2, 1))
    net.add(Concat, "rows", inputs=("input", "input"), axis=0)
    net.add(Concat, "channels", inputs=("rows", "rows"), axis=-1)
    net.add(Reshape, "reshape", target_shape=(4, 4))
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    model = model_of(net.network(), ranges={"input.activations": UNIT})
    images = np.float32([[1, 2], [3, 4]]).reshape(1, 2, 2, 1)
    found = simulate_tensors(model, images, ["rows", "channels", "reshape"])
    assert found["rows"].reshape(4, 2).tolist() == [[1, 2], [3, 4], [1, 2], [3, 4]]
    assert found["channels"].reshape(4, 2, 2).tolist()[0] == [[1, 1], [2, 2]]
    assert found["reshape"][0, 0].tolist() == [1, 1, 2, 2]


def test_an_unfused_relu6_clips_at_the_nearest_code():
    network = units((2, 2, 1), clip=(ReLU6, {}))
    model = model_of(network, ranges={"input.activations": (-0.7 * 128, 0.7 * 127)})
    images = np.float32([[-5, 5], [6.3, 80]]).reshape(1, 2, 2, 1)
    assert simulate_tensors(model, images, ["clip"])["clip"].reshape(-1).tolist() == [0, 7, 9, 9]


def test_results_do_not_depend_on_the_batch_size():
    network = random_chain(4)
    model = model_of(network)
    images = np.random.RandomState(0).standard_normal((2 * BATCH + 3, *network.input_shape)).astype(np.float32)
    whole = simulate(model, images)
    assert whole.dtype == np.int32 and whole.shape == (len(images), *model.logits.shape)
    np.testing.assert_array_equal(run_codes(model, quantize_input(model, images), ["logits"])["logits"], whole)
    np.testing.assert_array_equal(simulate(model, images[5:6]), whole[5:6])
    assert simulate(model, images[:0]).shape == (0, *model.logits.shape)


def test_accumulators_too_large_for_float32_are_exact():
    network = network_of((300,), (Dense, "logits", {"units": 1}))
    ranges = {"input.activations": (-32768.0, 32767.0), "logits.activations": (-(2.0**31), 2.0**31 - 2.0**16)}
    weights = np.full((300, 1), 32767.0)
    weights[0] = 1.0
    model = model_of(
        network,
        {"num_bits": 16, "symmetric": True},
        {"num_bits": 16},
        ranges,
        logits__weights=weights,
        logits__bias=[0.0],
    )
    assert model.ops[0].accumulator_bits > 25
    images = np.full((1, 300), 211.0, np.float32)
    total = 211 * (299 * 32767 + 1)
    assert simulate(model, images)[0, 0] == int(np.floor(total / model.logits.scale + 0.5)) + model.logits.zero_point


@pytest.mark.parametrize("shape", [(2, 4), (4,), (2, 3, 1)])
def test_images_of_another_shape_are_refused(shape):
    model = model_of(network_of((3,), (Dense, "logits", {"units": 2})))
    with pytest.raises(ExportError, match=r"the images are .*; expected: \[n, 3\]"):
        simulate(model, np.zeros(shape, np.float32))
