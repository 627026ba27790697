"""Convolutions of groups of channels: Keras', the evaluation graph's, and the codes of each format."""

import json

import newer_onnxruntime
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import book_of, model_of, network_of, simulate_tensors, state_of
from npz_evaluator import evaluate

from qatviz.errors import NetworkError
from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.fake_quant.lowering import fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.integers.simulator import quantize_input, run_codes, run_op
from qatviz.export.newer_python import NewerPython
from qatviz.export.npz.format import arrays_of, description
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.onnx_float.lowering import float_file
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite.litert import XNNPACK, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.layers import BatchNorm, Conv2D, Dense, Flatten, GroupedConv2D, ReLU

INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}
SETTINGS = {
    "int8": (INT8, {}),
    "int8 per tensor": ({"symmetric": True}, {}),
    "affine": ({"num_bits": 7, "per_channel": True}, {"num_bits": 6}),
    "4 bits": ({"num_bits": 4, "symmetric": True, "per_channel": True}, {}),
}
WIDE = {"16 bits": (INT8, {"num_bits": 16, "symmetric": True})}


def grouped():
    """Return a network of grouped convolutions with various kernels, strides, paddings and numbers of groups."""
    return network_of(
        (7, 6, 4),
        (GroupedConv2D, "two", {"filters": 6, "kernel_size": 3, "groups": 2, "use_bias": False}),
        (BatchNorm, "bn", {}),
        (ReLU, "relu", {}),
        (
            GroupedConv2D,
            "strided",
            {"filters": 12, "kernel_size": (3, 2), "groups": 3, "strides": 2, "padding": "VALID"},
        ),
        (GroupedConv2D, "pointwise", {"filters": 4, "kernel_size": 1, "groups": 4}),
        (GroupedConv2D, "dilated", {"filters": 8, "kernel_size": 3, "groups": 2, "dilation": 2}),
        (Conv2D, "conv", {"filters": 3}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 4}),
    )


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).standard_normal((12, 7, 6, 4)).astype(np.float32) * 2


def reference(images, weights, groups, **options):
    """Return TensorFlow's convolution with the weights of all groups in one kernel, which is 0 outside of them."""
    taken, made = weights.shape[2], weights.shape[3] // groups
    kernel = np.zeros((*weights.shape[:2], taken * groups, weights.shape[3]), np.float32)
    for group in range(groups):
        own = slice(group * made, (group + 1) * made)
        kernel[:, :, group * taken : (group + 1) * taken, own] = weights[..., own]
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(tf.nn.conv2d(images, kernel, **options))


def test_keras_layers_are_imported(images):
    """The Keras of TensorFlow 1.15 has none; later ones write this."""
    conv = {"name": "conv", "filters": 6, "kernel_size": [3, 3], "strides": [2, 1], "padding": "same", "groups": 2}
    model = {
        "class_name": "Sequential",
        "config": {
            "name": "groups",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 7, 6, 4], "name": "input"}},
                {"class_name": "Conv2D", "config": dict(conv, activation="linear", use_bias=False)},
                {"class_name": "Flatten", "config": {"name": "flat"}},
            ],
        },
    }
    kernel = np.random.RandomState(0).standard_normal((3, 3, 2, 6)).astype(np.float32)
    imported = convert(parse_model(model), {("conv",): {"kernel": kernel}})
    assert isinstance(imported.network.layer("conv"), GroupedConv2D)
    from keras_import_cases import assert_same, lowered_output

    expected = reference(images, kernel, 2, strides=(2, 1), padding="SAME")
    assert_same(lowered_output(imported, images), expected.reshape(len(images), -1))
    with pytest.raises(NetworkError, match="conv.*groups"):
        keras_description(imported.network)
    model["config"]["layers"][1]["config"]["groups"] = 3
    with pytest.raises(NetworkError, match="conv.*groups is 3.*4 channels"):
        convert(parse_model(json.loads(json.dumps(model))), None)


@pytest.mark.parametrize("setting", [*sorted(SETTINGS), *WIDE])
def test_the_simulator_equals_the_evaluation_graph(setting, images):
    network, settings = grouped(), dict(SETTINGS, **WIDE)[setting]
    model, state = model_of(network, *settings), state_of(network)
    with EvaluationGraph(network, book_of(network, *settings), state) as graph:
        found = codes_of(graph.logits(images), model.logits)
    np.testing.assert_array_equal(found, simulate_tensors(model, images, ["logits"])["logits"])


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_description_alone_gives_the_codes(setting, images):
    model = model_of(grouped(), *SETTINGS[setting])
    found = evaluate(description(model), arrays_of(model), images)
    for name, codes in simulate_tensors(model, images).items():
        np.testing.assert_array_equal(found[name], codes, name)


@pytest.mark.parametrize("setting", ["int8", "4 bits", "affine", *WIDE])
@pytest.mark.always("int8", "4 bits")
def test_compiled_c(setting, images):
    try:
        compiler = find_compiler()
    except NoCompiler as missing:
        pytest.skip(str(missing))
    model = model_of(grouped(), *dict(SETTINGS, **WIDE)[setting])
    codes = quantize_input(model, images)
    expected = run_codes(model, codes, [tensor.name for tensor in model.tensors])
    pack = setting == "4 bits"
    with CRunner(c_model(model, codes[:2], expected["logits"][:2], pack), compiler, layers=True) as runner:
        found = runner.run(codes)
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, expected[name], name)


def check(model, found, images, exact=False):
    found = dict(found, input=quantize_input(model, images))
    for op in model.ops:
        different = np.abs(run_op(model, op, found) - found[op.output])
        assert different.max() <= (not exact) and np.mean(different == 0) >= 0.999, op.name


@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("exact", [False, True])
def test_onnx(exact, setting, images):
    pytest.importorskip("onnxruntime")
    model = model_of(grouped(), *SETTINGS[setting])
    file = onnx_model(model, outputs=[op.output for op in model.ops], exact=exact)
    with OnnxRunner(model, file) as runner:
        check(model, runner.run_images(images), images, exact)
    assert file.exact == exact


def test_the_current_onnxruntime(images):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    model = model_of(grouped(), INT8)
    with OnnxRunner(model, onnx_model(model, outputs=[op.output for op in model.ops]), NewerPython(*newer)) as runner:
        check(model, runner.run_images(images), images)


@pytest.mark.parametrize("setting", ["int8", "int8 per tensor", "4 bits", *WIDE])
def test_litert(setting, images):
    try:
        litert = find_litert()
    except LitertMissing as missing:
        pytest.skip(str(missing))
    model = model_of(grouped(), *dict(SETTINGS, **WIDE)[setting])
    options = {"int16": setting in WIDE, "int4": setting == "4 bits"}
    file = tflite_model(model, outputs=[op.output for op in model.ops], **options)
    assert file.only_litert and any("groups" in note for note in file.notes)
    with LitertRunner(litert, file, XNNPACK) as runner:
        check(model, runner.run(quantize_input(model, images)), images)


def test_files_of_floats(images):
    """The simulating TFLite file, the graph and the ONNX file in float compute the same values."""
    network = grouped()
    state = state_of(network)
    fake = fake_quant_model(network, book_of(network), state, quantized=False)
    made = inference_graph(fake, {})
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(made.definition, name="")
        expected = session.run(made.tensors["logits"], {made.tensors["input"]: images})
        first = session.run(made.tensors["strided"], {made.tensors["relu"]: images[:, :, :, [0, 1, 2, 3, 0, 1]]})
    own = {name: state["strided." + name] for name in ("weights", "bias")}
    shown = images[:, :, :, [0, 1, 2, 3, 0, 1]]
    by_zeros = reference(shown, own["weights"], 3, strides=2, padding="VALID") + own["bias"]
    np.testing.assert_allclose(first, by_zeros, rtol=1e-4, atol=1e-5)
    interpreter = tf.lite.Interpreter(model_content=fake_quant_file(fake).content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    session = pytest.importorskip("onnxruntime").InferenceSession
    (found,) = session(float_file(fake).content, providers=["CPUExecutionProvider"]).run(None, {"input": images})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
