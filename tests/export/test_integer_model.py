"""Contents of an integer model, and states without one."""

import subprocess
import sys

import numpy as np
import pytest
from integer_cases import book_of, model_of, network_of, simulate, simulate_tensors, state_of
from test_lowering_float import all_layers_network

from qatviz.errors import ExportError
from qatviz.export.integers.biases import fit_scales
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import dequantize, quantize_input
from qatviz.network.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    ReLU,
    ReLU6,
    Softmax,
)
from qatviz.quant.affine import choose_grid, quantize
from qatviz.quant.affine import dequantize as dequantize_grid
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT

CHAIN = (
    (Conv2D, "conv", {"filters": 4, "use_bias": False}),
    (BatchNorm, "conv_bn", {}),
    (ReLU6, "conv_relu6", {}),
    (DepthwiseConv2D, "depthwise", {"depth_multiplier": 2}),
    (ReLU, "depthwise_relu", {}),
    (GlobalAveragePool, "pool", {}),
    (Dropout, "dropout", {}),
    (Dense, "logits", {"units": 3}),
    (Softmax, "softmax", {}),
)


def chain():
    return network_of((6, 6, 2), *CHAIN)


def dense(units=3, inputs=4, **settings):
    return network_of((inputs,), (Dense, "logits", dict({"units": units}, **settings)))


def test_layers_keep_their_names():
    model = model_of(chain())
    assert [op.name for op in model.ops] == ["conv", "depthwise", "pool", "logits"]
    assert [op.layers for op in model.ops][:2] == [("conv", "conv_bn", "conv_relu6"), ("depthwise", "depthwise_relu")]
    assert [tensor.name for tensor in model.tensors] == ["input", "conv_relu6", "depthwise_relu", "pool", "logits"]
    assert model.op("conv_bn") is model.op("conv_relu6") is model.ops[0]
    assert (model.input, model.output, model.softmax) == ("input", "logits", "softmax")
    assert model.tensor("dropout") is model.tensor("pool") and model.ops[3].inputs == ("pool",)


@pytest.mark.parametrize("what, names", [("tensor", "input, conv_relu6"), ("op", "conv, depthwise")])
def test_an_unknown_name_is_refused_with_a_list_of_the_known_ones(what, names):
    model = model_of(chain())
    with pytest.raises(ExportError, match="'elsewhere'; there are " + names):
        getattr(model, what)("elsewhere")


@pytest.mark.parametrize(
    "weights, activations, codes, biases, outputs",
    [
        ({"num_bits": 8}, {"num_bits": 8}, np.int8, np.int32, np.int8),
        ({"num_bits": 9}, {"num_bits": 8}, np.int16, np.int64, np.int8),
        ({"num_bits": 2}, {"num_bits": 9}, np.int8, np.int64, np.int16),
    ],
)
def test_codes_are_stored_in_the_smallest_type_that_holds_them(weights, activations, codes, biases, outputs):
    model = model_of(chain(), weights, activations)
    for op in model.ops:
        assert model.tensor(op.output).dtype == outputs
        if op.weights is not None:
            assert op.weights.codes.dtype == codes and op.weights.bias.dtype == biases
            low, high = op.weights.bounds
            assert low <= op.weights.codes.min() and op.weights.codes.max() <= high


def test_the_arrays_of_a_model_are_read_only():
    for op in model_of(chain(), {"per_channel": True}).ops:
        arrays = list(op.requantization) + (
            [op.weights.codes, op.weights.scale, op.weights.zero_point, op.weights.bias] if op.weights else []
        )
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    "settings", [{"symmetric": True}, {"num_bits": 3}, {"power_of_two": True, "narrow_range": True}]
)
def test_weights_are_folded_and_quantized_on_the_grid_of_their_range(settings, per_channel):
    network = chain()
    arrays = state_of(network)
    model = integer_model(network, book_of(network, dict(settings, per_channel=per_channel)), arrays)
    factor = arrays["conv_bn.gamma"] / np.sqrt(arrays["conv_bn.moving_variance"] + 1e-3)
    folded = arrays["conv.weights"] * factor
    by_channel = folded.reshape(-1, 4 if per_channel else 1)
    grid = choose_grid(by_channel.min(0), by_channel.max(0), **settings)
    found = model.ops[0].weights
    np.testing.assert_allclose(found.scale, grid.scale if per_channel else grid.scale[0], rtol=1e-6)
    np.testing.assert_array_equal(found.zero_point, grid.zero_point if per_channel else grid.zero_point[0])
    np.testing.assert_allclose(
        found.centred * found.channel_scales,
        dequantize_grid(quantize(by_channel, grid), grid).reshape(folded.shape),
        rtol=1e-5,
    )
    bias = arrays["conv_bn.beta"] - factor * arrays["conv_bn.moving_mean"]
    units = found.channel_scales * model.tensor("input").scale
    assert np.all(np.abs(found.bias * units - bias) <= units / 2 + np.abs(bias) * 1e-6)


def test_depthwise_channels_are_ordered_input_channel_first():
    network = network_of(
        (4, 4, 3),
        (DepthwiseConv2D, "depthwise", {"depth_multiplier": 2}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 2}),
    )
    weights = np.random.RandomState(0).standard_normal((3, 3, 3, 2)) * np.array([[1, 2], [3, 4], [5, 6]])
    op = model_of(network, {"per_channel": True, "symmetric": True}, depthwise__weights=weights).ops[0]
    np.testing.assert_allclose(op.weights.scale.reshape(3, 2) * 127, np.abs(weights).max(axis=(0, 1)), rtol=0.02)
    np.testing.assert_allclose(op.weights.centred * op.weights.scale.reshape(3, 2), weights, atol=6 * 4 / 255)


@pytest.mark.parametrize("held", ["percentile", "mse", "learned", "frozen"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_held_ranges_are_used_instead_of_the_weights_own(held, per_channel):
    network = dense(units=2)
    arrays = state_of(network)
    arrays["held_min"][:], arrays["held_max"][:] = -1, 3
    arrays["held_channel_min"][:], arrays["held_channel_max"][:] = (-1, -2), (3, 6)
    book = book_of(network, {"range_method": held, "per_channel": per_channel})
    expected = np.float32([4 / 255, 8 / 255]) if per_channel else np.float32(4 / 255)
    np.testing.assert_allclose(integer_model(network, book, arrays).ops[0].weights.scale, expected, rtol=1e-6)


def test_freezing_ranges_freezes_those_of_weights_too():
    network = dense()
    arrays = state_of(network)
    arrays["held_min"][:], arrays["held_max"][:] = -1, 3
    model = integer_model(network, book_of(network, freeze_ranges=True), arrays)
    assert model.ops[0].weights.scale == pytest.approx(4 / 255, rel=4e-5)


def test_clamps_are_the_bounds_of_grid_and_activation():
    model = model_of(chain(), ranges={"conv.activations": (-3.0, 9.1), "depthwise.activations": (-3.0, 3.0)})
    sixth, positive = model.tensor("conv_relu6"), model.tensor("depthwise_relu")
    low, high = model.op("conv").clamp
    assert low == sixth.zero_point > -128
    assert high == sixth.zero_point + int(6 / sixth.scale + 0.5) < 127
    assert model.op("depthwise").clamp == (positive.zero_point, 127)
    assert model.op("logits").clamp == (-128, 127)


def test_odd_padding_is_at_the_end_as_in_tensorflow():
    network = network_of(
        (5, 8, 1),
        (Conv2D, "conv", {"filters": 1, "kernel_size": (2, 5), "strides": (1, 2)}),
        (Conv2D, "dilated", {"filters": 1, "kernel_size": 3, "dilation": 2}),
        (Conv2D, "valid", {"filters": 1, "kernel_size": 2, "padding": "VALID"}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 2}),
    )
    ops = model_of(network).ops
    assert [op.pads for op in ops] == [((0, 1), (1, 2)), ((2, 2), (2, 2)), ((0, 0), (0, 0)), None, None]


@pytest.mark.parametrize("seed", range(3))
def test_no_accumulator_exceeds_its_declared_bits(seed):
    """The largest sums come from edge codes with the signs of the weights."""
    network = dense(inputs=50)
    model = model_of(network, seed=seed)
    op, source = model.ops[0], model.tensor("input")
    centred = op.weights.centred.astype(np.int64)
    low, high = np.array(source.bounds) - source.zero_point
    largest = np.where(centred > 0, high, low) * centred
    smallest = np.where(centred > 0, low, high) * centred
    sums = np.concatenate([largest.sum(axis=0), smallest.sum(axis=0)]) + np.tile(op.weights.bias, 2)
    assert np.abs(sums).max() < 2 ** (op.accumulator_bits - 1) <= 4 * np.abs(sums).max()


# States without an integer form


@pytest.mark.parametrize(
    "path, message",
    [
        (
            "conv.weights.enabled",
            "layer 'conv': its weights are left in float .conv.weights.enabled is off.*conv.weights.enabled=on",
        ),
        ("depthwise.activations.enabled", "layer 'depthwise': its activations are left in float"),
        ("input.activations.enabled", "the network's input is left in float"),
    ],
)
def test_a_tensor_left_in_float_is_refused(path, message):
    network = chain()
    book, _ = book_of(network).change([(path, False)])
    with pytest.raises(ExportError, match=message):
        integer_model(network, book, state_of(network))


def test_a_tensor_whose_quantization_is_delayed_is_refused():
    network = chain()
    book, _ = book_of(network).change([("pool.activations.quant_delay", 100)])
    message = "layer 'pool'.*until step 100 .pool.activations.quant_delay., and this is step 99"
    with pytest.raises(ExportError, match=message):
        integer_model(network, book, state_of(network), step=99)
    assert integer_model(network, book, state_of(network), step=100).ops
    assert integer_model(network, book, state_of(network)).ops


def test_a_state_without_observed_ranges_is_refused():
    network = chain()
    with pytest.raises(ExportError, match="no values have been observed yet; possible after the first step"):
        integer_model(network, book_of(network), state_of(network, {"input.activations": (0.0, 0.0)}))


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("conv.weights", None, "layer 'conv': the state has nothing for conv.weights"),
        (
            "conv_bn.gamma",
            np.zeros(5, np.float32),
            r"layer 'conv_bn': the state has float32 \(5,\) for .*expected: float32 \(4,\)",
        ),
        ("logits.bias", np.zeros(3), "layer 'logits': the state has float64"),
        ("range_min", np.zeros(9, np.float32), r"network 'chain': the state has float32 \(9,\) for range_min"),
        (
            "logits.bias",
            np.float32([0, np.nan, np.inf]),
            "layer 'logits': logits.bias has 2 values that are not finite",
        ),
        ("range_max", np.float32([1, 1, np.inf, 1, 1]), "network 'chain': range_max has 1 values"),
    ],
)
def test_a_state_of_another_network_is_refused(name, value, message):
    network = chain()
    arrays = {key: array for key, array in dict(state_of(network), **{name: value}).items() if array is not None}
    with pytest.raises(ExportError, match=message):
        integer_model(network, book_of(network), arrays)


def test_accumulators_that_are_too_wide_are_refused():
    network = dense(inputs=2**14)
    weights = {"num_bits": 16, "symmetric": True}
    with pytest.raises(
        ExportError, match="layer 'logits': its accumulator needs up to 46 bits; allowed: 45; possible with"
    ):
        model_of(network, weights, {"num_bits": 16}, logits__weights=np.ones((2**14, 3)))


# Channels without weights, and with biases that are too large for their grid


@pytest.mark.parametrize("per_channel", [False, True])
def test_channels_with_zero_weights_output_their_bias(per_channel):
    weights = np.random.RandomState(0).standard_normal((4, 3)) * [0, per_channel, 0]
    bias = [1.5, -0.5, 0.0]
    model = model_of(
        dense(),
        {"per_channel": per_channel},
        ranges={"logits.activations": (-2.0, 2.0)},
        logits__weights=weights,
        logits__bias=bias,
    )
    found = dequantize(model.logits, simulate(model, np.zeros((1, 4), np.float32)))[0]
    np.testing.assert_allclose(found, bias, atol=model.logits.scale / 2)
    assert model.ops[0].weights.channel_scales.min() > 0 and not model.notes


@pytest.mark.parametrize("tiny", [1e-12, 1e-22, 1e-30])
def test_a_channel_whose_bias_exceeds_its_grid_gets_a_coarser_scale(tiny):
    weights = np.random.RandomState(0).standard_normal((4, 3)) * [1, tiny, 1]
    bias = [0.1, 1.5, -0.5]
    images = np.random.RandomState(1).uniform(-2, 2, (20, 4)).astype(np.float32)
    model = model_of(
        dense(),
        {"per_channel": True},
        ranges={"logits.activations": (-12.0, 12.0)},
        logits__weights=weights,
        logits__bias=bias,
    )
    assert len(model.notes) == 1 and "logits.weights: the scale of channel 1 is raised" in model.notes[0]
    assert np.abs(model.ops[0].weights.bias).max() <= 2**30
    np.testing.assert_allclose(dequantize(model.logits, simulate(model, images)), images @ weights + bias, atol=0.15)


def test_a_bias_beyond_a_per_tensor_grid_is_clipped_if_harmless_or_refused():
    weights = np.random.RandomState(0).standard_normal((4, 3)) * 1e-6
    bias = [0.0, -1e3, 1e3]
    narrow = model_of(dense(), ranges={"logits.activations": (-1e-3, 1e-3)}, logits__weights=weights, logits__bias=bias)
    np.testing.assert_array_equal(narrow.ops[0].weights.bias, [0, -(2**30), 2**30])
    assert simulate(narrow, np.zeros((1, 4), np.float32))[0].tolist()[1:] == [-128, 127]
    with pytest.raises(ExportError, match="layer .logits.: the bias -1000 of channel 1 .*weights.per_channel=on"):
        model_of(dense(), ranges={"logits.activations": (-2e3, 2e3)}, logits__weights=weights, logits__bias=bias)


def test_scales_at_which_biases_fit_are_unchanged():
    grid = choose_grid(np.float32([-1, -2]), np.float32([1, 2]), symmetric=True)
    fitted, _, notes = fit_scales(np.float32([1e3, -1e3]), grid, 0.01, 2**30)
    assert fitted.scale.tobytes() == grid.scale.tobytes() and notes == []


def test_a_tensor_that_was_always_zero_stays_zero():
    network = network_of(
        (4,), (Dense, "dense", {"units": 5}), (ReLU, "dense_relu", {}), (Dense, "logits", {"units": 2})
    )
    model = model_of(network, ranges={"dense.activations": (0.0, 0.0)})
    assert model.tensor("dense_relu").scale == 1.0
    found = simulate_tensors(model, np.random.RandomState(0).standard_normal((9, 4)).astype(np.float32))
    np.testing.assert_array_equal(found["dense_relu"], model.tensor("dense_relu").zero_point)
    assert len(np.unique(found["logits"], axis=0)) == 1


def test_every_kind_of_layer_has_an_integer_form():
    network = all_layers_network()
    model = model_of(network)
    covered = {name for op in model.ops for name in op.layers} | set(model.aliases) | {model.softmax}
    assert covered == {layer.name for layer in network.layers}


@pytest.mark.parametrize("size", [7, 32])
@pytest.mark.parametrize("bits", [8, 16])
def test_accumulators_of_means_fit_32_bits(bits, size):
    network = network_of((size, size, 1), (GlobalAveragePool, "pool", {}), (Dense, "logits", {"units": 1}))
    model = model_of(network, activations={"num_bits": bits}, ranges={"input.activations": (0.0, 1.0)})
    op, source = model.ops[0], model.tensor("input")
    images = np.stack([np.full((size, size, 1), value, np.float32) for value in (0, 1)])
    centred = quantize_input(model, images).astype(np.int64) - source.zero_point
    sums = MEAN_WEIGHT * centred.sum(axis=(1, 2)) + MEAN_BIAS
    assert sums.max() == MEAN_WEIGHT * size**2 * (2**bits - 1) + MEAN_BIAS, "the case is not the largest"
    assert sums.max() < 2 ** (op.accumulator_bits - 1) <= 2**31
    found = simulate_tensors(model, images, ["pool"])["pool"]
    np.testing.assert_allclose(dequantize(model.tensor("pool"), found), [[0], [1]], atol=model.tensor("pool").scale)


def test_the_integer_model_does_not_import_tensorflow():
    program = (
        "import sys, qatviz.export.integers.lowering, qatviz.export.integers.simulator; sys.exit('tensorflow' "
        "in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
