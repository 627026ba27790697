"""Transposed convolutions: Keras', the evaluation graph's, and the codes of each format."""

import json

import newer_onnxruntime
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import model_of, network_of, simulate_tensors, state_of
from keras_import_cases import (
    assert_same,
    functional,
    images_for,
    imported_exactly,
    lowered_output,
    plain_output,
)
from npz_evaluator import evaluate

from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.integers.simulator import quantize_input, run_codes, run_op
from qatviz.export.keras.model import arrays_for_keras, keras_file, loaded
from qatviz.export.newer_python import NewerPython
from qatviz.export.npz.format import arrays_of, description
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.tflite.litert import XNNPACK, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.layers import BatchNorm, Conv2D, Conv2DTranspose, Dense, Flatten, ReLU

layers = tf.keras.layers
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}
SETTINGS = {
    "int8": (INT8, {}),
    "int8 per tensor": ({"symmetric": True}, {}),
    "affine": ({"num_bits": 7, "per_channel": True}, {"num_bits": 6}),
    "4 bits": ({"num_bits": 4, "symmetric": True, "per_channel": True}, {}),
}


def decoder():
    """Return a network of transposed convolutions with various kernels, strides and paddings."""
    return network_of(
        (4, 3, 3),
        (Conv2DTranspose, "same", {"filters": 6, "kernel_size": 3, "strides": 2, "use_bias": False}),
        (BatchNorm, "bn", {}),
        (ReLU, "relu", {}),
        (Conv2DTranspose, "valid", {"filters": 4, "kernel_size": (3, 2), "strides": (1, 2), "padding": "VALID"}),
        (Conv2DTranspose, "gaps", {"filters": 3, "kernel_size": 1, "strides": (2, 1), "padding": "VALID"}),
        (Conv2DTranspose, "even", {"filters": 2, "kernel_size": 4, "strides": 2}),
        (Conv2D, "conv", {"filters": 3, "kernel_size": 3, "strides": 2}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 4}),
    )


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).standard_normal((12, 4, 3, 3)).astype(np.float32) * 2


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 3, "strides": 2, "padding": "valid", "use_bias": False},
        {"kernel_size": (2, 5), "strides": (1, 3), "padding": "same"},
        {"kernel_size": 2, "strides": 3, "padding": "valid"},
        {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        {"kernel_size": (4, 3), "strides": 2, "padding": "valid", "output_padding": (0, 1)},
    ],
    ids=str,
)
def test_keras_layers_are_imported_exactly(settings):
    def body(x):
        x = layers.Conv2DTranspose(4, activation="relu", **settings)(x)
        return layers.Flatten()(layers.BatchNormalization()(layers.Conv2DTranspose(2, 2, use_bias=False)(x)))

    imported = imported_exactly(functional(body, (5, 4, 3)), evaluate=lowered_output)
    origin = keras_description(imported.network)
    content, _ = keras_file(origin, arrays_for_keras(imported.network, origin, imported.parameters))
    shown = images_for(imported.network)
    with loaded(content) as model:
        found = model.predict_on_batch(shown)
    assert_same(found, plain_output(imported, shown))
    shapes = convert(parse_model(json.loads(origin.config)), None).network.shapes
    assert list(shapes.values()) == list(imported.network.shapes.values())


def test_in_1d_it_is_held_on_an_image_of_height_1():
    """TensorFlow 1.15 has no such layer; later ones write this."""
    config = {"name": "up", "filters": 4, "kernel_size": [5], "strides": [2], "padding": "same", "activation": "relu"}
    model = {
        "class_name": "Sequential",
        "config": {
            "name": "decoder",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 6, 3], "name": "input"}},
                {"class_name": "Conv1DTranspose", "config": config},
                {"class_name": "Flatten", "config": {"name": "flat"}},
            ],
        },
    }
    kernel, bias = np.random.RandomState(0).standard_normal((5, 4, 3)).astype(np.float32), np.float32([1, -1, 0, 2])
    imported = convert(parse_model(model), {("up",): {"kernel": kernel, "bias": bias}})
    assert imported.network.shapes["up/relu"] == (1, 12, 4)
    shown = images_for(imported.network)
    with tf.Graph().as_default(), tf.Session() as session:
        size = (len(shown), 1, 12, 4)
        expected = tf.nn.conv2d_transpose(shown[:, None], kernel[None], size, (1, 2), "SAME") + bias
        expected = session.run(tf.nn.relu(expected)).reshape(len(shown), -1)
    assert_same(plain_output(imported, shown), expected)
    arrays = arrays_for_keras(imported.network, imported.origin, imported.parameters)
    np.testing.assert_array_equal(arrays["up.weights"].reshape(kernel.shape), kernel)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_simulator_equals_the_evaluation_graph(setting, images):
    from integer_cases import book_of

    from qatviz.export.proof.graph import EvaluationGraph
    from qatviz.export.proof.parity import codes_of

    network, (weights, activations) = decoder(), SETTINGS[setting]
    model, state = model_of(network, weights, activations), state_of(network)
    with EvaluationGraph(network, book_of(network, weights, activations), state) as graph:
        found = codes_of(graph.logits(images), model.logits)
    np.testing.assert_array_equal(found, simulate_tensors(model, images, ["logits"])["logits"])


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_description_alone_gives_the_codes(setting, images):
    model = model_of(decoder(), *SETTINGS[setting])
    found = evaluate(description(model), arrays_of(model), images)
    for name, codes in simulate_tensors(model, images).items():
        np.testing.assert_array_equal(found[name], codes, name)


@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "12 bits"])
@pytest.mark.always("int8", "4 bits", "12 bits")
def test_compiled_c(setting, images):
    try:
        compiler = find_compiler()
    except NoCompiler as missing:
        pytest.skip(str(missing))
    model = model_of(decoder(), *dict(SETTINGS, **{"12 bits": (INT8, {"num_bits": 12})})[setting])
    codes = quantize_input(model, images)
    expected = run_codes(model, codes, [tensor.name for tensor in model.tensors])
    pack = setting == "4 bits"
    with CRunner(c_model(model, codes[:2], expected["logits"][:2], pack), compiler, layers=True) as runner:
        found = runner.run(codes)
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, expected[name], name)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_onnx(setting, images):
    pytest.importorskip("onnxruntime")
    model = model_of(decoder(), *SETTINGS[setting])
    names, expected = [op.output for op in model.ops], simulate_tensors(model, images)
    with OnnxRunner(model, onnx_model(model, outputs=names)) as runner:
        found = runner.run_images(images)
    for name in names:
        different = np.abs(found[name] - expected[name])
        assert different.max() <= 1 and np.mean(different == 0) >= 0.999, name


@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "12 bits"])
def test_onnx_with_integers(setting, images):
    """With the option exact, each code is the simulator's."""
    pytest.importorskip("onnxruntime")
    model = model_of(decoder(), *dict(SETTINGS, **{"12 bits": (INT8, {"num_bits": 12})})[setting])
    names, expected = [op.output for op in model.ops], simulate_tensors(model, images)
    file = onnx_model(model, outputs=names, exact=True)
    assert file.exact and not any("not exact" in note for note in file.notes)
    with OnnxRunner(model, file) as runner:
        found = runner.run_images(images)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name], name)


@pytest.mark.parametrize("exact", [False, True])
def test_the_current_onnxruntime(exact, images):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    model = model_of(decoder(), INT8)
    names, expected = [op.output for op in model.ops], simulate_tensors(model, images)
    with OnnxRunner(model, onnx_model(model, outputs=names, exact=exact), NewerPython(*newer)) as runner:
        found = runner.run_images(images)
    for name in names:
        different = np.abs(found[name] - expected[name])
        assert different.max() <= (not exact) and np.mean(different == 0) >= 0.999, name


@pytest.mark.parametrize(
    "setting, option", [("int8", ""), ("int8 per tensor", ""), ("4 bits", ""), ("16 bits", "int16")]
)
def test_litert(setting, option, images):
    try:
        litert = find_litert()
    except LitertMissing as missing:
        pytest.skip(str(missing))
    settings = dict(SETTINGS, **{"16 bits": (INT8, {"num_bits": 16, "symmetric": True})})[setting]
    model = model_of(decoder(), *settings)
    file = tflite_model(model, outputs=[op.output for op in model.ops], int16=setting == "16 bits")
    assert file.only_litert and file.single and any("TRANSPOSE_CONV" in note for note in file.notes)
    codes = quantize_input(model, images)
    with LitertRunner(litert, file, XNNPACK) as runner:
        found = dict(runner.run(codes), input=codes)
    for op in model.ops:
        different = np.abs(run_op(model, op, found) - found[op.output])
        assert different.max() <= 1 and np.mean(different == 0) >= 0.999, op.name
