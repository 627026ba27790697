"""Batch norms wherever Keras allows them: folded into the layer before, or a depthwise 1×1 convolution of their own."""

import newer_onnxruntime
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import book_of, state_of
from keras_import_cases import functional, imported_exactly, lowered_output
from npz_evaluator import evaluate

from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes, run_op
from qatviz.export.newer_python import NewerPython
from qatviz.export.npz.format import arrays_of, description
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite.litert import XNNPACK, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model

layers = tf.keras.layers
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}


def body(x):
    """Batch norms first, before a convolution, after an Add, a Concat, pools, activations and layers with weights."""
    first = layers.BatchNormalization(name="first")(x)
    trunk = layers.Conv2D(6, 3, padding="same", activation="relu")(first)
    before = layers.BatchNormalization(name="before")(trunk)  # as in ResNetV2: between an activation and a convolution
    branch = layers.Conv2D(6, 3, padding="same")(layers.ReLU()(before))
    total = layers.BatchNormalization(name="after_add")(layers.Add()([trunk, branch]))
    joined = layers.Concatenate()([total, trunk])  # as in DenseNet
    dense = layers.Conv2D(4, 1, use_bias=False)(layers.ReLU()(layers.BatchNormalization(name="after_concat")(joined)))
    pooled = layers.BatchNormalization(name="after_pool")(layers.MaxPooling2D()(dense))
    deep = layers.BatchNormalization(name="after_depthwise")(layers.DepthwiseConv2D(3)(pooled))
    wide = layers.BatchNormalization(name="after_transposed")(layers.Conv2DTranspose(3, 2, 2)(deep))
    gate = layers.BatchNormalization(name="after_sigmoid")(layers.Activation("sigmoid")(wide))
    flat = layers.BatchNormalization(name="after_flatten")(layers.Flatten()(gate))
    return layers.Dense(4)(layers.BatchNormalization(name="after_dense")(layers.Dense(5)(flat)))


@pytest.fixture(scope="module")
def imported():
    return imported_exactly(functional(body, (8, 6, 3)), evaluate=lowered_output)


@pytest.fixture(scope="module")
def state(imported):
    return dict(state_of(imported.network), **imported.parameters)


@pytest.fixture(scope="module")
def model(imported, state):
    return integer_model(imported.network, book_of(imported.network, INT8), state)


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).standard_normal((12, 8, 6, 3)).astype(np.float32) * 2


def test_those_behind_layers_with_weights_are_folded(imported):
    own = {name.partition("/")[0] for name in (layer.name for layer in imported.network.layers) if "/scale" in name}
    assert own == {"first", "before", "after_add", "after_concat", "after_pool", "after_sigmoid", "after_flatten"}


def test_the_simulator_equals_the_evaluation_graph(imported, state, model, images):
    with EvaluationGraph(imported.network, book_of(imported.network, INT8), state) as graph:
        found = codes_of(graph.logits(images), model.logits)
    expected = run_codes(model, quantize_input(model, images), [model.output])[model.output]
    np.testing.assert_array_equal(found, expected)


def check(model, found, images):
    found = dict(found, input=quantize_input(model, images))
    for op in model.ops:
        different = np.abs(run_op(model, op, found) - found[op.output])
        assert different.max() <= 1 and np.mean(different == 0) >= 0.999, op.name


def test_litert(model, images):
    try:
        litert = find_litert()
    except LitertMissing as missing:
        pytest.skip(str(missing))
    with LitertRunner(litert, tflite_model(model, outputs=[op.output for op in model.ops]), XNNPACK) as runner:
        check(model, runner.run(quantize_input(model, images)), images)


def test_the_current_onnxruntime(model, images):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    with OnnxRunner(model, onnx_model(model, outputs=[op.output for op in model.ops]), NewerPython(*newer)) as runner:
        check(model, runner.run_images(images), images)


def test_compiled_c_and_the_description_alone(model, images):
    codes = quantize_input(model, images)
    expected = run_codes(model, codes, [tensor.name for tensor in model.tensors])
    for name, found in evaluate(description(model), arrays_of(model), images).items():
        np.testing.assert_array_equal(found, expected[name], name)
    try:
        compiler = find_compiler()
    except NoCompiler as missing:
        pytest.skip(str(missing))
    with CRunner(c_model(model, codes[:2], expected[model.output][:2]), compiler, layers=True) as runner:
        found = runner.run(codes)
    for name, result in found.items():
        np.testing.assert_array_equal(result, expected[name], name)
