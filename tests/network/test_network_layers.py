"""Settings of layers: normal forms, and errors that name the layer, the setting and the value."""

import dataclasses
import json

import numpy as np
import pytest

from qatviz.errors import NetworkError
from qatviz.network import (
    KINDS,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    GroupedConv2D,
    MatMul,
    MaxPool,
    Multiply,
    Permute,
    Reshape,
    Slice,
    Softmax,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Average, Maximum, Minimum, Subtract
from qatviz.network.layers import layer_from_dict

IMAGE = (8, 6, 3)

EXAMPLES = [
    Conv2D("stem/conv-1", "input", 4, (3, 5), (2, 1), "VALID", (1, 1), False),
    DepthwiseConv2D("a", "input", 5, dilation=2, depth_multiplier=2),
    Dense("b", ["input"], 7),
    BatchNorm("c", "b", momentum=0.9, epsilon=1e-5),
    MaxPool("d", "input", 3),
    AveragePool("e", "input", (2, 1), 1, "SAME"),
    GlobalAveragePool("f", "input"),
    Add("g", ("a", "b")),
    Concat("h", ("a", "b", "a"), axis=0),
    Flatten("i", "input"),
    Reshape("j", "input", (-1, 2)),
    ZeroPad("k", "input", ((0, 1), (2, 3))),
    Dropout("l", "input", 0.25, (2, 0)),
    Softmax("m", "input"),
    KINDS["ReLU"]("n", "input"),
    KINDS["ReLU6"]("o", "input"),
    Slice("p", "input", (0, 1, 0), (8, 6, 3), (2, 1, 1)),
    Permute("q", "input", (2, 0, 1)),
    UpsampleNearest("r", "input", (2, 3)),
    Activation("s", "input", "leaky_relu", 0.2),
    Conv2DTranspose("t", "input", 4, (3, 2), 2, "VALID", (0, 1), False),
    Multiply("u", ("input", "a")),
    UpsampleBilinear("v", "input", (2, 3)),
    Subtract("z", ("input", "a")),
    Average("w", ("input", "a")),
    Maximum("x", ("input", "a")),
    Minimum("y", ("input", "a")),
    MatMul("B", ("input", "a"), True, 0.5),
    Embedding("C", "input", 10, 4),
    GroupedConv2D("A", "input", 6, (3, 5), (2, 1), "VALID", (1, 1), False, groups=3),
]


def test_the_examples_cover_every_kind():
    assert {layer.kind for layer in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("layer", EXAMPLES, ids=lambda layer: layer.kind)
def test_a_layer_round_trips_through_json(layer):
    again = layer_from_dict(json.loads(json.dumps(layer.to_dict())))
    assert again == layer and type(again) is type(layer) and hash(again) == hash(layer)


@pytest.mark.parametrize("layer", EXAMPLES, ids=lambda layer: layer.kind)
def test_a_layer_cannot_be_changed(layer):
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.name = "other"


def test_settings_are_normalized():
    conv = Conv2D("conv", "input", np.int64(4), kernel_size=5, strides=[2, 2], padding="same")
    assert conv == Conv2D("conv", ("input",), 4, (5, 5), (2, 2), "SAME")
    assert type(conv.filters) is int
    assert MaxPool("pool", "input", 3).strides == (3, 3)
    assert ZeroPad("pad", "input", 2).padding == ((2, 2), (2, 2))
    assert ZeroPad("pad", "input", (1, 2)).padding == ((1, 1), (2, 2))
    assert ZeroPad("pad", "input", ((1, 2), (3, 4))).padding == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    "kind, settings, setting",
    [
        (Conv2D, {"filters": 0}, "filters"),
        (Conv2D, {"filters": 2.0}, "filters"),
        (Conv2D, {"filters": True}, "filters"),
        (Conv2D, {"filters": 1, "kernel_size": (3, 3, 3)}, "kernel_size"),
        (Conv2D, {"filters": 1, "kernel_size": "3"}, "kernel_size"),
        (Conv2D, {"filters": 1, "kernel_size": None}, "kernel_size"),
        (Conv2D, {"filters": 1, "strides": 0}, "strides"),
        (Conv2D, {"filters": 1, "padding": "CAUSAL"}, "padding"),
        (Conv2D, {"filters": 1, "padding": ["SAME"]}, "padding"),
        (Conv2D, {"filters": 1, "dilation": (1, -1)}, "dilation"),
        (Conv2D, {"filters": 1, "strides": 2, "dilation": 2}, "dilation"),
        (Conv2D, {"filters": 1, "use_bias": 1}, "use_bias"),
        (DepthwiseConv2D, {"strides": (1, 2)}, "strides"),
        (DepthwiseConv2D, {"strides": 2, "dilation": 2}, "dilation"),
        (DepthwiseConv2D, {"depth_multiplier": -1}, "depth_multiplier"),
        (Dense, {"units": "10"}, "units"),
        (Activation, {"function": "relu7"}, "function"),
        (Activation, {"function": "elu", "slope": float("inf")}, "slope"),
        (Activation, {"function": "sigmoid", "slope": 0.5}, "slope"),
        (Activation, {"function": "clip"}, "threshold"),
        (MatMul, {"factor": 0.0, "inputs": ("input", "input")}, "factor"),
        (Activation, {"function": "linear", "maximum": 2.0}, "maximum"),
        (BatchNorm, {"momentum": 1.5}, "momentum"),
        (BatchNorm, {"momentum": float("nan")}, "momentum"),
        (BatchNorm, {"epsilon": 0}, "epsilon"),
        (BatchNorm, {"epsilon": "0.1"}, "epsilon"),
        (Dropout, {"rate": 1}, "rate"),
        (Dropout, {"rate": 10**400}, "rate"),
        (Dropout, {"rate": None}, "rate"),
        (Dropout, {"shared_axes": (0, 0)}, "shared_axes"),
        (Dropout, {"shared_axes": (-1,)}, "shared_axes"),
        (MaxPool, {"pool_size": 0}, "pool_size"),
        (AveragePool, {"strides": (0, 1)}, "strides"),
        (Reshape, {"target_shape": ()}, "target_shape"),
        (Reshape, {"target_shape": 12}, "target_shape"),
        (Reshape, {"target_shape": (-1, -1)}, "target_shape"),
        (Reshape, {"target_shape": (-2, 3)}, "target_shape"),
        (ZeroPad, {"padding": -1}, "padding"),
        (Slice, {"start": (0, -1, 0), "stop": (2, 2, 2)}, "start"),
        (Slice, {"start": (0, 0, 0), "stop": (2, 2)}, "stop"),
        (Slice, {"start": (0,), "stop": (2,), "strides": (0,)}, "strides"),
        (Permute, {"axes": (1, "a")}, "axes"),
        (UpsampleNearest, {"size": 0}, "size"),
        (UpsampleBilinear, {"size": (2, 0)}, "size"),
        (GroupedConv2D, {"filters": 4, "groups": 3}, "groups"),
        (Conv2DTranspose, {"filters": 1, "strides": 2, "output_padding": 2}, "output_padding"),
        (ZeroPad, {"padding": ((1, 1),)}, "padding"),
        (ZeroPad, {"padding": ((1, 1, 1), (1, 1))}, "padding"),
        (Concat, {"axis": 0.5, "inputs": ("a", "b")}, "axis"),
        (Concat, {"inputs": ("a",)}, "inputs"),
        (Add, {"inputs": ("a",)}, "inputs"),
        (Flatten, {"inputs": ("a", "b")}, "inputs"),
        (Flatten, {"inputs": ()}, "inputs"),
        (Flatten, {"inputs": (1,)}, "inputs"),
        (Flatten, {"inputs": None}, "inputs"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused_by_name(kind, settings, setting):
    with pytest.raises(NetworkError) as caught:
        kind(**dict({"name": "culprit", "inputs": ("input",)}, **settings))
    message = str(caught.value)
    assert message.startswith(f"layer 'culprit': {setting} is ") and "; allowed: " in message


def test_a_negative_axis_that_is_too_large_is_refused_with_the_lower_end():
    with pytest.raises(NetworkError, match="axis is -2147483648; allowed: an integer from -2147483647 to 2147483647"):
        Concat("culprit", ("a", "b"), axis=-(2**31))


@pytest.mark.parametrize("name", ["input", "", "a.b", "*", "1st", "a b", "a\n", "-a", "é", None, 3])
def test_a_name_that_settings_cannot_address_is_refused(name):
    with pytest.raises(NetworkError, match="Flatten: name is") as caught:
        Flatten(name, "input")
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["a", "_a", "block_1/conv-2", "A0", "inputs", "Input"])
def test_common_keras_names_are_allowed(name):
    assert Flatten(name, "input").name == name


@pytest.mark.parametrize(
    "layer, shapes, found",
    [
        (Conv2D("culprit", "x", 1), [(4,)], "(4,)"),
        (Conv2D("culprit", "x", 1, kernel_size=(3, 9), padding="VALID"), [IMAGE], "(8, 6, 3)"),
        (Conv2D("culprit", "x", 1, kernel_size=3, dilation=3, padding="VALID"), [IMAGE], "(8, 6, 3)"),
        (DepthwiseConv2D("culprit", "x"), [(4, 4)], "(4, 4)"),
        (MaxPool("culprit", "x", 7), [IMAGE], "(8, 6, 3)"),
        (GlobalAveragePool("culprit", "x"), [(4,)], "(4,)"),
        (ZeroPad("culprit", "x"), [(4,)], "(4,)"),
        (UpsampleNearest("culprit", "x"), [(4,)], "(4,)"),
        (UpsampleBilinear("culprit", "x"), [(4,)], "(4,)"),
        (Slice("culprit", "x", (0,), (5,)), [(4,)], "(5,)"),
        (Slice("culprit", "x", (2, 0), (2, 1)), [(4, 4)], "(2, 1)"),
        (Slice("culprit", "x", (0,), (1,)), [(4, 4)], "(0,)"),
        (Permute("culprit", "x", (0, 0)), [(4, 4)], "(0, 0)"),
        (Dense("culprit", "x", 2), [IMAGE], "(8, 6, 3)"),
        (Reshape("culprit", "x", (5, 5)), [IMAGE], "(5, 5)"),
        (Reshape("culprit", "x", (-1, 5)), [IMAGE], "(-1, 5)"),
        (Reshape("culprit", "x", (-1, 1000)), [IMAGE], "(-1, 1000)"),
        (Add("culprit", ("x", "y")), [IMAGE, (8, 6, 2)], "((8, 6, 3), (8, 6, 2))"),
        (Add("culprit", ("x", "y", "z")), [IMAGE, IMAGE, (1, 1, 3)], "((8, 6, 3), (8, 6, 3), (1, 1, 3))"),
        (Subtract("culprit", ("x", "y")), [IMAGE, (3,)], "((8, 6, 3), (3,))"),
        (Concat("culprit", ("x", "y")), [IMAGE, (8, 5, 3)], "((8, 6, 3), (8, 5, 3))"),
        (Concat("culprit", ("x", "y"), axis=0), [(2, 3), (2, 3, 1)], "((2, 3), (2, 3, 1))"),
        (Concat("culprit", ("x", "y"), axis=3), [IMAGE, IMAGE], "3"),
        (Concat("culprit", ("x", "y"), axis=-4), [IMAGE, IMAGE], "-4"),
        (Add("culprit", ("x", "y")), [IMAGE], "((8, 6, 3),)"),
        (MatMul("culprit", ("x", "y")), [(4, 3), (4, 3)], "((4, 3), (4, 3))"),
        (MatMul("culprit", ("x", "y"), True), [(2, 4, 3), (3, 4, 3)], "((2, 4, 3), (3, 4, 3))"),
        (MatMul("culprit", ("x", "y")), [(4,), (4,)], "((4,), (4,))"),
        (Flatten("culprit", "x"), [IMAGE, IMAGE], "((8, 6, 3), (8, 6, 3))"),
    ],
)
def test_an_input_shape_that_does_not_fit_is_refused_by_the_layers_name(layer, shapes, found):
    with pytest.raises(NetworkError) as caught:
        layer.output_shape(shapes)
    message = str(caught.value)
    assert message.startswith("layer 'culprit': ") and f" is {found}; allowed: " in message


@pytest.mark.parametrize(
    "record, part",
    [
        ({"name": "culprit", "inputs": ["input"]}, "kind"),
        ({"kind": "LSTM", "name": "culprit", "inputs": ["input"]}, "'LSTM'"),
        ({"kind": ["Dense"], "name": "culprit", "inputs": ["input"]}, "['Dense']"),
        ({"kind": "Dense", "name": "culprit", "inputs": ["input"]}, "units is missing"),
        ({"kind": "Flatten", "name": "culprit"}, "inputs is missing"),
        ({"kind": "Flatten", "name": "culprit", "inputs": ["input"], "colour": 1}, "'colour'"),
        ({"kind": "Dense", "name": "culprit", "inputs": ["input"], "units": -1}, "-1"),
        ("culprit", "kind"),
    ],
)
def test_an_invalid_layer_record_is_refused(record, part):
    with pytest.raises(NetworkError, match="culprit") as caught:
        layer_from_dict(record)
    assert part in str(caught.value)
