"""Each operation of a TFLite file, run in TensorFlow 1.15's interpreter, compared with the simulator."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tflite
from integer_cases import MEANS_BY_POWERS, MeansByPowers, means_of_four, model_of, network_of, simulate_tensors
from test_lowering_float import random_chain

from qatviz.export.integers.simulator import run_codes
from qatviz.export.proof.parity import compare_layers
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    KINDS,
    MOVES,
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleNearest,
    ZeroPad,
)

SETTINGS = {
    "int8": ({"symmetric": True, "narrow_range": True, "per_channel": True}, {}),
    "int8 per tensor": ({"symmetric": True, "narrow_range": True}, {"symmetric": True}),
    "uint8": ({"narrow_range": True}, {}),
    "uint8 of 5 bits": ({}, {"num_bits": 5}),
    "int4": ({"num_bits": 4, "symmetric": True, "per_channel": True}, {"num_bits": 6, "symmetric": True}),
    "affine 7 bits": ({"num_bits": 7, "per_channel": True}, {"narrow_range": True}),
    "ternary": ({"num_bits": 2, "symmetric": True, "narrow_range": True, "per_channel": True}, {"num_bits": 4}),
}
#: Kinds with tests of their own: TensorFlow 1.15's interpreter, or TFLite with int16, lacks integer kernels for some or
#: all of them.
TESTED_ALONE = {
    "Activation",
    "Average",
    "Conv2DTranspose",
    "Embedding",
    "GroupedConv2D",
    "MatMul",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "UpsampleBilinear",
}
#: Operations that copy or select input codes.
COPIES = ("MaxPool", "Concat", "Flatten", "Reshape", "ZeroPad", "ReLU", "ReLU6", *(kind.__name__ for kind in MOVES))


def everything():
    """Return a network with all layers that TFLite supports and various strides, paddings and dilations."""
    net = NetworkBuilder("everything", (12, 10, 2))
    net.add(ZeroPad, "pad", padding=((1, 0), (2, 1)))
    net.add(Conv2D, "conv", filters=6, kernel_size=(5, 3), strides=(2, 1), use_bias=False)
    net.add(BatchNorm, "bn")
    trunk = net.add(ReLU6, "relu6")
    net.add(Conv2D, "dilated", filters=6, kernel_size=3, dilation=2)
    net.add(Add, "sum", inputs=(trunk, net.last))
    summed = net.add(ReLU, "sum_relu")
    net.add(MaxPool, "max_pool", pool_size=3, strides=2, padding="SAME")
    left = net.add(DepthwiseConv2D, "depthwise", depth_multiplier=2, kernel_size=(3, 2), dilation=2)
    right = net.add(AveragePool, "average", inputs=summed, pool_size=2)
    right = net.add(Conv2D, "valid", filters=3, kernel_size=(1, 2), padding="VALID", inputs=right)
    right = net.add(ZeroPad, "widen", padding=((0, 1), (0, 2)))
    net.add(DepthwiseConv2D, "strided", inputs=summed, strides=2, padding="SAME", kernel_size=3)
    net.add(AveragePool, "average_same", pool_size=3, strides=1, padding="SAME")
    net.add(Concat, "join", inputs=(left, right, net.last), axis=-1)
    joined = net.add(ReLU6, "join_relu6")
    net.add(GlobalAveragePool, "means")
    one = net.add(Dense, "one", units=5)
    net.add(Slice, "slice", inputs=joined, start=(0, 1, 0), stop=(2, 3, 21))
    net.add(UpsampleNearest, "larger", size=(2, 1))
    net.add(Permute, "swapped", axes=(1, 2, 0))
    pieces = net.add(Flatten, "moved")
    net.add(Reshape, "reshape", inputs=joined, target_shape=(-1, 2, 21))
    net.add(Conv2D, "pointwise", filters=2, kernel_size=1)
    net.add(Flatten, "flatten")
    net.add(Dropout, "dropout")
    net.add(Dense, "hidden", units=7)
    other = net.add(ReLU, "hidden_relu")
    net.add(Dense, "of_moved", inputs=pieces, units=3)
    other = net.add(Concat, "pieces", inputs=(one, other, net.last))
    net.add(Dense, "logits", units=4)
    net.add(Softmax, "softmax")
    return net.network()


def images_for(model, count=48, seed=0):
    tensor = model.tensor(model.input)
    shape, random = (count, *tensor.shape), np.random.RandomState(seed)
    if tensor.ids:
        return random.randint(tensor.ids, size=shape).astype(np.float32)
    return random.standard_normal(shape).astype(np.float32) * 2


def all_outputs(model, **options):
    """Load the file with all tensors as outputs."""
    return TfliteRunner(tflite_model(model, outputs=[op.output for op in model.ops], **options))


def operations(content):
    """Return the names of a file's operations, in order."""
    names = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    return [
        names[model.OperatorCodes(graph.Operators(i).OpcodeIndex()).BuiltinCode()]
        for i in range(graph.OperatorsLength())
    ]


def check_layers(model):
    for layer in compare_layers(model, all_outputs(model).run, images_for(model)):
        assert layer.unexplained == 0 and layer.own.largest <= (0 if layer.kind in COPIES else 1), layer
        assert layer.own.identical >= 0.75, layer


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_kind_of_operation_equals_the_simulator(setting):
    check_layers(model_of(everything(), *SETTINGS[setting]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_chains_of_all_shapes_equal_the_simulator(setting, seed):
    check_layers(model_of(random_chain(seed), *SETTINGS[setting], seed=seed))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_multiplied_codes_make_double_rounding_kernels_more_exact(bits):
    model = model_of(everything(), {"num_bits": bits, "symmetric": True, "narrow_range": True, "per_channel": True})
    different = {}
    for multiply in (False, True):
        layers = compare_layers(model, all_outputs(model, multiply_codes=multiply).run, images_for(model))
        different[multiply] = sum(1 - layer.own.identical for layer in layers if model.op(layer.layer).weights)
        assert max(layer.own.largest for layer in layers) <= 1
    assert different[True] < different[False] / 2


#: Grid on which codes equal values: scale 1, zero point 0.
UNIT = (-128.0, 127.0)


@pytest.mark.parametrize("weights", [{"symmetric": True}, {}], ids=["int8", "uint8"])
@pytest.mark.parametrize("kind", [AveragePool, GlobalAveragePool])
def test_all_means_are_exact(kind, weights):
    net = NetworkBuilder("means", (2, 2, 1))
    net.add(kind, "pool")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    ranges = {"input.activations": UNIT, "pool.activations": UNIT}
    model = model_of(net.network(), weights, ranges=ranges, logits__weights=[[0.1, 1.0]])
    codes, means = means_of_four(kind)
    runner = all_outputs(model)
    assert tflite_model(model).dtype == (np.int8 if weights else np.uint8)
    np.testing.assert_array_equal(runner.run(codes)["pool"].reshape(-1), means)


@pytest.mark.parametrize("size, halvings", MEANS_BY_POWERS)
def test_means_with_power_of_two_scale_ratios_are_exact(size, halvings):
    case = MeansByPowers(size, halvings)
    np.testing.assert_array_equal(all_outputs(case.model).run(case.codes)["means"], case.expected)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_an_average_pool_is_one_operation_on_codes_that_tflite_rounds_away_from_zero(padding):
    """Between two others that change the type of its codes where 0 is another code."""
    network = network_of(
        (3, 3, 1),
        (AveragePool, "pool", {"pool_size": 2, "strides": 1, "padding": padding}),
        (Flatten, "flatten", {}),
        (Dense, "logits", {"units": 2}),
    )
    for weights, expected in (
        ({"symmetric": True}, ["AVERAGE_POOL_2D"]),
        ({}, ["QUANTIZE", "AVERAGE_POOL_2D", "QUANTIZE"]),
    ):
        file = tflite_model(model_of(network, weights))
        assert operations(file.content)[: len(expected)] == expected and not file.only_litert
        assert not [note for note in file.notes if not note.startswith("uint8: ")]
    wide = tflite_model(model_of(network, {"symmetric": True}, {"num_bits": 12}), int16=True)
    assert "AVERAGE_POOL_2D" in operations(wide.content) and "QUANTIZE" not in operations(wide.content)


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"symmetric": True}, ["FULLY_CONNECTED"]),
        ({}, ["FULLY_CONNECTED"]),
        ({"symmetric": True, "per_channel": True}, ["RESHAPE", "CONV_2D", "RESHAPE"]),
    ],
)
def test_a_dense_with_per_channel_scales_is_a_convolution(settings, expected):
    model = model_of(network_of((4,), (Dense, "logits", {"units": 2})), settings)
    assert operations(tflite_model(model).content) == expected


def test_operations_have_the_version_that_introduced_their_type():
    """Like those written by TensorFlow's converter."""
    versions = {"int8": {}, "uint8": {}}
    for setting in ("int8", "int8 per tensor", "uint8 of 5 bits"):
        file = tflite_model(model_of(everything(), *SETTINGS[setting]), softmax=True)
        model = tflite.Model.GetRootAsModel(file.content, 0)
        codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        versions[file.dtype.name].update((code.BuiltinCode(), code.Version()) for code in codes)
    # An average pool has int8 codes there, too.
    assert versions["uint8"].pop(tflite.BuiltinOperator.AVERAGE_POOL_2D) == 2
    assert set(versions["uint8"].values()) == {1}
    expected = {
        "CONV_2D": 3,
        "DEPTHWISE_CONV_2D": 3,
        "FULLY_CONNECTED": 4,
        "MAX_POOL_2D": 2,
        "AVERAGE_POOL_2D": 2,
        "ADD": 2,
        "PAD": 2,
        "CONCATENATION": 2,
        "SOFTMAX": 2,
        "RESHAPE": 1,
        "MAXIMUM": 2,
        "MINIMUM": 2,
        "TRANSPOSE": 2,
        "STRIDED_SLICE": 2,
        "RESIZE_NEAREST_NEIGHBOR": 2,
    }
    assert versions["int8"] == {getattr(tflite.BuiltinOperator, name): version for name, version in expected.items()}


# Clamps


def dense(activation=None, **settings):
    layers = [(Dense, "hidden", {"units": 5})] + ([(activation, "act", {})] if activation else [])
    return network_of((4,), *layers, (Dense, "logits", {"units": 2}))


@pytest.mark.parametrize(
    "activation, settings, expected",
    [
        (None, {}, []),
        (ReLU, {}, []),
        (ReLU, {"symmetric": True}, ["MAXIMUM"]),
        (ReLU6, {}, ["MINIMUM"]),
        (ReLU6, {"symmetric": True}, ["MAXIMUM", "MINIMUM"]),
    ],
)
def test_clamps_are_written_only_where_the_type_does_not_saturate(activation, settings, expected):
    model = model_of(dense(activation), {"symmetric": True}, settings)
    found = operations(tflite_model(model).content)
    assert found == ["FULLY_CONNECTED", *expected, "FULLY_CONNECTED"]


@pytest.mark.parametrize("weights", [{"symmetric": True}, {}], ids=["int8", "uint8"])
def test_codes_beyond_a_narrow_input_grid_are_clamped(weights):
    model = model_of(dense(), weights, {"num_bits": 4})
    runner = TfliteRunner(tflite_model(model, multiply_codes=False))
    beyond = np.int32([[-128, -9, 8, 127]])
    np.testing.assert_array_equal(runner.run(beyond)["logits"], runner.run(np.clip(beyond, -8, 7))["logits"])
    assert (runner.run(beyond)["logits"] != runner.run(np.int32([[0, 0, 0, 0]]))["logits"]).any()


def test_a_tensor_that_is_always_zero_stays_zero():
    model = model_of(dense(ReLU), {"symmetric": True}, ranges={"hidden.activations": (0.0, 0.0)})
    found = all_outputs(model).run(np.random.RandomState(0).randint(-128, 128, (9, 4)))
    assert set(np.unique(found["act"])) == {model.tensor("act").zero_point}


def test_the_tested_network_has_every_kind_of_operation():
    """All kinds of layers that a network may have, except those that are folded."""
    kinds = {op.kind for op in model_of(everything()).ops}
    assert kinds == set(KINDS) - {"BatchNorm", "Dropout", "Softmax", "ReLU"} - TESTED_ALONE
    assert "ReLU" in {layer.kind for layer in everything().layers}


# Outputs


def test_the_file_of_the_proof_equals_the_shipped_one():
    model = model_of(everything(), *SETTINGS["int4"])
    codes = np.random.RandomState(0).randint(-32, 32, (7, *model.tensor("input").shape))
    shipped = TfliteRunner(tflite_model(model)).run(codes)["logits"]
    np.testing.assert_array_equal(shipped, all_outputs(model).run(codes)["logits"])


def test_examples_do_not_depend_on_each_other():
    model = model_of(everything(), *SETTINGS["int8"])
    runner = TfliteRunner(tflite_model(model))
    codes = np.random.RandomState(0).randint(-128, 128, (5, *model.tensor("input").shape))
    together = runner.run(codes)["logits"]
    apart = np.concatenate([runner.run(codes[i : i + 1])["logits"] for i in range(5)])
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(runner.run(codes)["logits"], together)


@pytest.mark.parametrize("setting", ["int8", "uint8"])
def test_probabilities_are_the_softmax_of_the_logits(setting):
    model = model_of(everything(), *SETTINGS[setting])
    file = tflite_model(model, softmax=True)
    codes = np.random.RandomState(0).randint(-128, 128, (20, *model.tensor("input").shape))
    logits = TfliteRunner(tflite_model(model)).run(codes)["logits"]
    odds = np.exp((logits - logits.max(axis=1, keepdims=True)) * model.logits.scale)
    steps = TfliteRunner(file).run(codes)["softmax"]
    assert np.abs(steps - 256 * odds / odds.sum(axis=1, keepdims=True)).max() <= 2
    assert file.outputs == ("softmax",) and operations(file.content)[-1] == "SOFTMAX"


def test_tensors_of_the_file_have_the_models_names_and_grids():
    model = model_of(everything(), *SETTINGS["int4"])
    graph = tflite.Model.GetRootAsModel(tflite_model(model).content, 0).Subgraphs(0)
    found = {graph.Tensors(i).Name().decode(): graph.Tensors(i) for i in range(graph.TensorsLength())}
    assert len(found) == graph.TensorsLength()
    for tensor in model.tensors:
        grid = found[tensor.name].Quantization()
        assert grid.ScaleAsNumpy().tolist() == [tensor.scale]
        assert grid.ZeroPointAsNumpy().tolist() == [tensor.zero_point]
        assert found[tensor.name].ShapeAsNumpy().tolist() == [1, *list(tensor.shape)]
    assert {op.weights.name for op in model.ops if op.weights is not None} <= set(found)


def test_inputs_quantized_by_the_files_parameters_equal_the_models_codes():
    """With scale and zero point of the file's input, like a user would."""
    model = model_of(everything(), *SETTINGS["uint8"])
    interpreter = tf.lite.Interpreter(model_content=tflite_model(model).content)
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    images = images_for(model, 1)
    scale, zero = details["quantization"]
    interpreter.set_tensor(details["index"], np.clip(np.floor(images / scale + zero + 0.5), 0, 255).astype(np.uint8))
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).astype(np.int32) - 128
    expected = simulate_tensors(model, images, ["logits"])["logits"]
    assert np.abs(found - expected).max() <= 2
    other = run_codes(model, np.full((1, *images.shape[1:]), 127, np.int32), ["logits"])["logits"]
    assert np.abs(other - expected).max() > 2
