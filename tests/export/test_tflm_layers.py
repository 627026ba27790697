"""Layers in TFLite Micro: each computes the simulator's codes of its own inputs, or next ones where it rounds twice.

Every kind of layer is exported with every kind of settings; what is not refused beforehand must run. TFLite Micro is
that of tflite-micro; without it, these tests are skipped.
"""

import numpy as np
import pytest
from integer_cases import book_of, network_of, state_of
from parity_cases import calibrated, digits
from test_activations import CASES, functions_network, most_slow
from test_elementwise import combined_network
from test_grouped_convolutions import grouped
from test_inner_softmax import attention
from test_interpolation import enlarged
from test_matmul import products_network
from test_moves import moves
from test_multiply import squeeze_and_excite
from test_tflite_lowering import everything, images_for
from test_transposed_convolutions import decoder

from qatviz.errors import Advice
from qatviz.export.formats import TFLM
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import _KERNELS, dequantize, quantize_input, run_codes, run_op
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.tflite.export import litert_found
from qatviz.export.tflite.files import tflm_files
from qatviz.export.tflite.litert import LitertRunner
from qatviz.export.tflm.runtime import MicroMissing, MicroRunner, find_micro
from qatviz.export.tflm.sources import arena_bound, operators
from qatviz.network.activations import FUNCTIONS, Activation
from qatviz.network.elementwise import Add, Multiply
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    AveragePool,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    MaxPool,
    Permute,
    ReLU,
    Reshape,
    Slice,
)
from qatviz.protocol.settings_book import SettingsBook

#: 1-D layers are those of an image of one row.
SEQUENCE = network_of(
    (1, 64, 2),
    (Conv2D, "conv", {"filters": 8, "kernel_size": (1, 5), "strides": (1, 2)}),
    (ReLU, "relu", {}),
    (MaxPool, "pool", {"pool_size": (1, 2)}),
    (DepthwiseConv2D, "depthwise", {"kernel_size": (1, 3), "dilation": (1, 2)}),
    (AveragePool, "average", {"pool_size": (1, 3), "strides": 1, "padding": "SAME"}),
    (Flatten, "flat", {}),
    (Dense, "logits", {"units": 4}),
)


def many_axes():
    """Return a network of tensors with five axes, one of which joins twelve."""
    net = NetworkBuilder("axes", (6, 5, 4))
    net.add(Conv2D, "conv", filters=12)
    five = net.add(Reshape, "five", target_shape=(6, 5, 2, 3, 2))
    net.add(Permute, "turned", axes=(4, 2, 0, 3, 1))
    net.add(Slice, "some", start=(0, 1, 1, 0, 1), stop=(2, 2, 6, 3, 5), strides=(1, 1, 2, 2, 3))
    some = net.add(Flatten, "flat_some")
    swapped = net.add(Permute, "swapped", inputs=five, axes=(2, 3, 4, 0, 1))
    function = net.add(Activation, "function", function="gelu")
    total = net.add(Add, "sum", inputs=(function, swapped))
    one = net.add(Slice, "one", inputs=swapped, start=(1, 0, 1, 2, 0), stop=(2, 3, 2, 3, 5))
    net.add(Multiply, "repeated", inputs=(total, one))
    net.add(Concat, "twelve", inputs=(function, total) * 6, axis=1)
    net.add(Flatten, "flat")
    net.add(Concat, "end", inputs=(some, net.last, net.add(Flatten, "flat_repeated", inputs="repeated")))
    net.add(Dense, "logits", units=3)
    return net.network()


NETWORKS = {
    "everything": everything,
    "functions": lambda: functions_network(CASES),
    "moves": moves,
    "many axes": many_axes,
    "product": squeeze_and_excite,
    "sums and extremes": combined_network,
    "grouped": grouped,
    "transposed": decoder,
    "interpolated": enlarged,
    "softmax": attention,
    "sequence": lambda: SEQUENCE,
    "matrices": products_network,
}
SYMMETRIC = {"symmetric": True, "narrow_range": True, "per_channel": True}
FOUR_BITS = dict(SYMMETRIC, num_bits=4)
#: Settings of weights and of activations, options of the format.
SETTINGS = {
    "int8": (SYMMETRIC, {}, {}),
    "5 bits": (SYMMETRIC, {"num_bits": 5, "narrow_range": True}, {}),
    "double rounding": (dict(SYMMETRIC, per_channel=False), {"symmetric": True}, {"double_rounding": True}),
    "int4": (FOUR_BITS, {}, {"int4": True}),
    "int4 per tensor": (dict(FOUR_BITS, per_channel=False), {}, {"int4": True}),
    "4 bits, plain codes": (FOUR_BITS, {}, {"plain_codes": True}),
    "int16 of 9 bits": (SYMMETRIC, {"num_bits": 9}, {"int16": True}),
    "int16 of 12 bits": (SYMMETRIC, {"num_bits": 12}, {"int16": True}),
    "int16 of 16 bits": (SYMMETRIC, {"num_bits": 16, "symmetric": True}, {"int16": True}),
    "uint8": ({}, {}, {}),
}
#: Networks that are refused, with a part of the reason: by settings, or by networks, whose settings are listed.
REFUSED = {
    "uint8": (NETWORKS, "require a uint8 file, for which TFLite Micro has no kernels|multiplies uint8 codes"),
    "5 bits": (("softmax",), "TFLite's SOFTMAX has 8-bit probabilities"),
    "double rounding": (("softmax",), "TFLite's SOFTMAX has 8-bit probabilities"),
    **{
        name: (("softmax", "interpolated"), "of int16 codes|activations are int16|SOFTMAX has 8-bit")
        for name in SETTINGS
        if "int16" in name
    },
}


@pytest.fixture(scope="module")
def micro():
    try:
        return find_micro()
    except MicroMissing as missing:
        pytest.skip(str(missing))


def test_the_networks_have_every_kind_of_layer_and_every_function():
    layers = [layer for network in NETWORKS.values() for layer in network().layers]
    assert {layer.kind for layer in layers} >= set(_KERNELS) - {"Embedding"}  # in test_embedding
    assert {layer.function for layer in layers if isinstance(layer, Activation)} == set(FUNCTIONS)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_tflite_micro_has_no_kernel_for_is_refused_with_a_remedy(name, setting):
    network, (weights, activations, options) = NETWORKS[name](), SETTINGS[setting]
    refused, reason = REFUSED.get(setting, ((), ""))
    found = TFLM.refusals(network, book_of(network, weights, activations), None, TFLM.with_defaults(options))
    assert bool(found) == (name in refused), found
    for refusal in found:
        assert any(part in str(refusal) for part in reason.split("|")), refusal
        assert "; possible with" in str(refusal) and refusal.remedies


@pytest.mark.parametrize("setting", most_slow([name for name in SETTINGS if name != "uint8"]))
@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_is_computed_by_tflite_micro(name, setting, micro):
    network, (weights, activations, options) = NETWORKS[name](), SETTINGS[setting]
    if name in REFUSED.get(setting, ((), ""))[0]:
        pytest.skip("refused")
    model = integer_model(network, book_of(network, weights, activations), state_of(network))
    file = tflm_files(model, TFLM.with_defaults(options)).layers
    assert operators(file.content)
    codes = quantize_input(model, images_for(model, 8))
    with MicroRunner(micro, file, 2 * arena_bound(file.content)) as runner:
        found = dict(runner.run(codes), **{model.input: codes})
    for op in model.ops:
        expected = run_op(model, op, found)
        difference = np.abs(np.asarray(found[op.output], np.int64).reshape(expected.shape) - expected)
        # Sums, products, a softmax, interpolation and LEAKY_RELU's two slopes are rounded twice; all else is exact.
        rounds_twice = op.requantization is not None or op.kind in ("Softmax", "UpsampleBilinear")
        rounds_twice = rounds_twice or getattr(op.layer, "function", "") == "leaky_relu"
        assert difference.max() <= rounds_twice and np.mean(difference > 0) < 0.5, (op.name, np.mean(difference > 0))
        if setting.startswith("int16"):
            # All int16 kernels round once, but for sums that repeat a tensor.
            assert np.mean(difference > 0) < 0.001, (op.name, np.mean(difference > 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, activations, softmax",
    [("dscnn", {"num_bits": 12}, False), ("lenet", {"num_bits": 16, "symmetric": True}, True)],
)
def test_networks_of_int16_codes_are_exact_in_tflite_micro(name, activations, softmax, micro):
    case = calibrated(name)
    model = case.model(SettingsBook.from_preset(case.plan, "tflite-int8", activations=activations))
    files = tflm_files(model, TFLM.with_defaults({"int16": True, "softmax": softmax}))
    codes = quantize_input(model, digits(case.network.input_shape, 24))
    expected = run_codes(model, codes, [model.output])[model.output]
    arena = 2 * arena_bound(files.shipped.content)
    with MicroRunner(micro, files.logits, arena) as runner:
        np.testing.assert_array_equal(runner.run(codes)[model.output], expected)
    if softmax:
        with MicroRunner(micro, files.shipped, arena) as runner:
            found = runner.run(codes)["softmax"]
        exact = softmax_of(dequantize(model.logits, expected).astype(np.float64))
        # The kernel interpolates in tables of 513 entries, as LiteRT's does.
        assert np.abs(found / 2**15 - exact).max() < 256 / 2**15
        with LitertRunner(litert_found() or pytest.skip("there is no LiteRT"), files.shipped) as runner:
            np.testing.assert_array_equal(found, runner.run(codes)["softmax"])


def test_tensors_of_more_axes_than_tflite_micro_has_are_refused():
    network = network_of(
        (4, 4, 4),
        (Reshape, "six", {"target_shape": (2, 2, 2, 2, 2, 2)}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 2}),
    )
    (refusal,) = TFLM.refusals(network, book_of(network, SYMMETRIC), None, TFLM.with_defaults())
    assert str(refusal).startswith("tensor 'six' has 6 axes") and isinstance(refusal.remedies[0], Advice)


def test_a_file_says_where_tflite_micro_needs_other_operations():
    """The file for LiteRT has tables of int16; that for TFLite Micro has them as float32."""
    from qatviz.export.tflite.lowering import tflite_model

    network = functions_network({"gelu": {}, "tanh": {}})
    model = integer_model(network, book_of(network, *SETTINGS["int16 of 16 bits"][:2]), state_of(network))
    phone, board = (tflite_model(model, int16=True, micro=micro) for micro in (False, True))
    notes = [[note for note in file.notes if "TFLite Micro has none" in note] for file in (phone, board)]
    assert len(notes[0]) == 1 and notes[0][0].startswith("gelu: ") and not notes[1]
    assert len(board.content) - len(phone.content) == pytest.approx(2 * 2**16, abs=500)
    assert "TANH" in operators(board.content) and "GATHER" in operators(board.content)
