"""Weights and biases in a TFLite file: equal numbers in its own types; and refusals."""

import numpy as np
import pytest
from integer_cases import book_of, model_of, network_of, state_of

from qatviz.errors import ExportError
from qatviz.export.integers.lowering import integer_model
from qatviz.export.tflite.storage import remarks, storage_type
from qatviz.export.tflite.weights import bias_scale, stored_weights
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Conv2D, Dense, DepthwiseConv2D, Flatten, ReLU

INT8, UINT8 = np.dtype(np.int8), np.dtype(np.uint8)
#: Settings of weights, and the resulting kind of file.
WEIGHTS = [
    ({"symmetric": True, "narrow_range": True}, INT8),
    ({"symmetric": True, "per_channel": True}, INT8),
    ({"num_bits": 7}, INT8),
    ({"num_bits": 7, "per_channel": True}, INT8),
    ({"num_bits": 2, "symmetric": True, "narrow_range": True, "per_channel": True}, INT8),
    ({"num_bits": 3}, INT8),
    ({}, UINT8),
    ({"narrow_range": True}, UINT8),
]


def network():
    return network_of(
        (6, 6, 2),
        (Conv2D, "conv", {"filters": 4}),
        (ReLU, "relu", {}),
        (DepthwiseConv2D, "depthwise", {"depth_multiplier": 2}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 3}),
    )


def skewed(**settings):
    """Return weights with few negative values: their 8-bit codes do not fit int8 without a zero point."""
    net = network()
    arrays = state_of(net)
    for name in ("conv", "depthwise", "logits"):
        arrays[name + ".weights"] = np.abs(arrays[name + ".weights"]) - np.float32(0.05)
    return integer_model(net, book_of(net, settings), arrays)


@pytest.mark.parametrize("multiply", [False, True])
@pytest.mark.parametrize("settings, dtype", WEIGHTS)
def test_weights_and_biases_equal_the_models(settings, dtype, multiply):
    model = skewed(**settings)
    assert storage_type(model) == dtype
    for op in model.ops:
        if op.weights is None:
            continue
        for per_channel in {dtype == INT8, False} if not settings.get("per_channel") else {True}:
            stored = stored_weights(model, op, dtype, per_channel, multiply)
            assert stored.codes.dtype == dtype and stored.bias.dtype == np.int32
            assert stored.codes.shape == op.weights.codes.shape
            assert stored.scale.shape == stored.zero_point.shape
            assert stored.scale.shape == ((len(stored.bias),) if per_channel else (1,))
            if dtype == INT8:
                assert not stored.zero_point.any()
            out = len(op.weights.bias)
            codes, scale = stored.codes.reshape(-1, out).astype(np.int64), stored.scale.astype(np.float64)
            seen = op.weights.channel_scales.astype(np.float64)
            np.testing.assert_allclose(
                (codes - stored.zero_point) * scale, op.weights.centred.reshape(-1, out) * seen, rtol=3e-7
            )
            source = model.tensor(op.inputs[0])
            unit = bias_scale(source, stored.scale)
            assert unit.dtype == np.float32 and unit.shape == stored.scale.shape
            np.testing.assert_allclose(
                stored.bias * unit.astype(np.float64), op.weights.bias * source.scale * seen, rtol=5e-7
            )
            np.testing.assert_allclose(unit, np.float64(source.scale) * stored.scale, rtol=1e-6)


@pytest.mark.parametrize("settings, dtype", WEIGHTS)
def test_plain_codes_equal_the_models(settings, dtype):
    model = skewed(**settings)
    offset = 128 if dtype == UINT8 else 0
    for op in model.ops:
        if op.weights is not None:
            stored = stored_weights(model, op, dtype, bool(settings.get("per_channel")), False)
            if settings.get("symmetric") or dtype == UINT8:
                np.testing.assert_array_equal(stored.codes.astype(np.int32) - offset, op.weights.codes)
            assert set(np.unique(stored.bias)) == set(np.unique(op.weights.bias))


def test_multiplied_codes_use_eight_bits_and_no_accumulator_overflows():
    model = skewed(num_bits=3, symmetric=True, narrow_range=True, per_channel=True)
    for op in model.ops:
        if op.weights is not None:
            stored = stored_weights(model, op, INT8, True, True)
            out = len(stored.bias)
            largest = np.abs(stored.codes.reshape(-1, out).astype(np.int64)).max(axis=0)
            assert largest.min() > 63 and largest.max() <= 127
            reach = 255 * np.abs(stored.codes.reshape(-1, out).astype(np.int64)).sum(axis=0) + np.abs(stored.bias)
            assert reach.max() < 2**31


def test_a_multiplier_leaves_room_for_a_large_bias():
    net = network_of((4,), (Dense, "logits", {"units": 2}))
    weights = np.float32([[1e-4, 1], [1e-4, 1], [1e-4, -1], [-1e-4, 1]])
    model = model_of(
        net,
        {"num_bits": 2, "symmetric": True, "per_channel": True},
        ranges={"logits.activations": (-2e3, 2e3)},
        logits__weights=weights,
        logits__bias=[1e3, 0.0],
    )
    op = model.ops[0]
    assert op.accumulator_bits > 28
    stored = stored_weights(model, op, INT8, True, True)
    factor = int(np.abs(stored.codes[:, 0]).max()) // int(np.abs(op.weights.codes[:, 0]).max())
    assert 1 <= factor < 63
    np.testing.assert_array_equal(stored.bias.astype(np.int64)[0], op.weights.bias[0] * factor)


@pytest.mark.parametrize("per_channel", [True, False])
def test_channels_rounded_to_zero_are_zeros_with_a_usable_scale(per_channel):
    net = network_of((4,), (Dense, "logits", {"units": 2}))
    weights = np.random.RandomState(0).standard_normal((4, 2)) * [1e-33, 1 if per_channel else 1e-33]
    model = model_of(
        net, {"symmetric": True, "per_channel": per_channel}, logits__weights=weights, logits__bias=[0.0, 0.0]
    )
    stored = stored_weights(model, model.ops[0], INT8, per_channel, True)
    assert not stored.codes[:, 0].any() and stored.codes[:, 1].any() == per_channel
    assert 1e-6 < stored.scale[0] < 1e6 and bias_scale(model.tensor("input"), stored.scale)[0] > 1e-6


def test_only_the_code_minus_128_is_noted():
    assert not remarks(skewed(symmetric=True, narrow_range=True), INT8)
    net = network_of((2,), (Dense, "logits", {"units": 1}))
    model = model_of(net, {"symmetric": True}, logits__weights=[[-1.0], [0.5]])
    assert "logits.weights: has the code -128" in remarks(model, INT8)[0]
    assert "logits.weights.narrow_range=on" in remarks(model, INT8)[0]
    assert not any("-128" in note for note in remarks(model, UINT8))


# What TFLite can't hold


def refusal(model):
    with pytest.raises(ExportError) as refused:
        storage_type(model)
    return str(refused.value)


def test_more_than_eight_bits_are_refused():
    assert refusal(model_of(network(), {"num_bits": 9})).startswith("conv.weights: 9 bits; TFLite's int8 holds up to 8")
    net = network()
    book, _ = book_of(net).change([("depthwise.activations.num_bits", 10)])
    message = refusal(integer_model(net, book, state_of(net)))
    assert message.startswith("depthwise.activations: 10 bits; TFLite's int8 holds up to 8")
    assert "possible with depthwise.activations.num_bits=8" in message
    book, _ = book_of(net).change([("input.activations.num_bits", 16)])
    assert refusal(integer_model(net, book, state_of(net))).startswith("input.activations: 16 bits")


def test_a_zero_point_for_each_channel_of_eight_bits_is_refused():
    message = refusal(skewed(per_channel=True))
    assert message.startswith("conv.weights: 8 bits with a zero point for each channel")
    for possible in ("conv.weights.symmetric=on", "conv.weights.per_channel=off", "conv.weights.num_bits=7"):
        assert possible in message


def test_each_remedy_of_a_refusal_works():
    for way in ({"symmetric": True, "per_channel": True}, {}, {"num_bits": 7, "per_channel": True}):
        assert storage_type(skewed(**way)) in (INT8, UINT8)


def test_both_kinds_of_weights_in_one_file_are_refused():
    net = network()
    arrays = state_of(net)
    arrays["conv.weights"] = np.abs(arrays["conv.weights"])
    book, _ = book_of(net, {"symmetric": True, "per_channel": True}).change(
        [("conv.weights.symmetric", False), ("conv.weights.per_channel", False)]
    )
    message = refusal(integer_model(net, book, arrays))
    assert message.startswith("depthwise.weights: a scale for each channel, but conv.weights are 8-bit weights with")
    book, _ = book.change([("*.weights.per_channel", False)])
    assert storage_type(integer_model(net, book, arrays)) == UINT8


def test_an_add_of_three_tensors_is_refused():
    net = NetworkBuilder("sum", (3,))
    names = [net.add(Dense, name, inputs="input", units=2) for name in ("a", "b", "c")]
    net.add(Add, "sum", inputs=tuple(names))
    net.add(Dense, "logits", units=2)
    assert refusal(model_of(net.network())).startswith("layer 'sum': adds 3 tensors; TFLite's ADD takes 2")


def test_accumulators_that_would_overflow_are_refused():
    net = network_of((4,), (Dense, "logits", {"units": 2}))
    message = refusal(
        model_of(net, {"symmetric": True}, ranges={"logits.activations": (-1e-12, 1e-12)}, logits__bias=[0, 0])
    )
    assert "overflow" in message and "wider range of its output" in message
