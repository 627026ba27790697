"""Layers that select, order or repeat elements, beyond what Keras has layers for: each format has the same codes."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import book_of, model_of, network_of, simulate_tensors, state_of
from keras_import_cases import fresh_keras, functional, imported_exactly, plain_output
from npz_evaluator import evaluate
from test_tflite_lowering import all_outputs

from qatviz.errors import ExportError
from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.fake_quant.export import FakeQuantRunner
from qatviz.export.fake_quant.lowering import fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.integers.simulator import quantize_input, run_codes, run_op
from qatviz.export.keras.model import arrays_for_keras, keras_file, loaded
from qatviz.export.npz.format import arrays_of, description
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.tflite.litert import LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.graph import NetworkBuilder
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.convert import ImportedModel
from qatviz.network.layers import Concat, Conv2D, Dense, Flatten, Permute, Reshape, Slice, UpsampleNearest

layers = tf.keras.layers
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}


def moves():
    """Return a network of moves of tensors of one to five axes."""
    net = NetworkBuilder("moves", (6, 5, 4))
    net.add(Conv2D, "conv", filters=6)
    left = net.add(Slice, "left", start=(0, 0, 0), stop=(6, 5, 4), strides=(1, 1, 3))
    right = net.add(Slice, "right", inputs="conv", start=(0, 1, 2), stop=(6, 5, 4), strides=(2, 3, 1))
    net.add(UpsampleNearest, "larger", size=(2, 3))
    net.add(Slice, "smaller", start=(0, 1, 0), stop=(6, 6, 2))
    joined = net.add(Concat, "join", inputs=(left, net.last))
    net.add(Reshape, "split", target_shape=(6, 5, 2, 2))
    net.add(Permute, "four_axes", axes=(3, 1, 0, 2))
    net.add(Slice, "thin", start=(0, 0, 1, 0), stop=(2, 4, 6, 2), strides=(1, 2, 1, 1))
    one = net.add(Flatten, "one")
    net.add(Reshape, "five_axes", inputs="conv", target_shape=(3, 2, 5, 2, 3))
    net.add(Permute, "reversed", axes=(4, 3, 2, 1, 0))
    net.add(Slice, "parts", start=(1, 0, 1, 0, 1), stop=(3, 2, 4, 1, 3), strides=(1, 1, 2, 1, 1))
    net.add(Permute, "halves_swapped", axes=(3, 4, 0, 1, 2))
    five = net.add(Flatten, "five")
    net.add(Permute, "turned", inputs=joined, axes=(1, 0, 2))
    net.add(Reshape, "matrix", target_shape=(30, 4))
    net.add(Permute, "transposed", axes=(1, 0))
    net.add(Slice, "few", start=(1, 0), stop=(4, 30), strides=(2, 7))
    net.add(Flatten, "two")
    net.add(Slice, "last", start=(2,), stop=(10,), strides=(3,))
    assert right == "right"
    net.add(Concat, "pieces", inputs=(one, five, net.last))
    net.add(Dense, "logits", units=3)
    return net.network()


@pytest.fixture(scope="module")
def model():
    return model_of(moves(), INT8)


@pytest.fixture(scope="module")
def images(model):
    return np.random.RandomState(0).standard_normal((20, 6, 5, 4)).astype(np.float32) * 2


@pytest.fixture(scope="module")
def simulated(model, images):
    return simulate_tensors(model, images)


def check(model, found, expected):
    """Every code but those of sums is the simulator's."""
    for op in model.ops:
        codes = np.asarray(found[op.output], np.int64)
        largest = np.abs(codes.reshape(expected[op.output].shape) - expected[op.output]).max()
        assert largest <= (op.kind in ("Conv2D", "Dense")), op.name


def test_tensorflow_lite(images):
    """In TensorFlow 1.15's interpreter, each operation from the codes of its own inputs."""
    model = model_of(moves(), INT8)
    assert not tflite_model(model).only_litert
    codes = quantize_input(model, images)
    found = dict(all_outputs(model).run(codes), input=codes)
    for op in model.ops[1:-1]:
        np.testing.assert_array_equal(found[op.output], run_op(model, op, found), op.name)


@pytest.mark.parametrize("option", [{}, {"int16": True}])
def test_litert(option, images):
    try:
        litert = find_litert()
    except LitertMissing as missing:
        pytest.skip(str(missing))
    wide = {"num_bits": 16, "symmetric": True} if option else {}
    model = model_of(moves(), INT8, wide)
    file = tflite_model(model, outputs=[op.output for op in model.ops], **option)
    with LitertRunner(litert, file) as runner:
        check(model, runner.run(quantize_input(model, images)), simulate_tensors(model, images))


@pytest.mark.parametrize("options", [{}, {"storage": "int8"}, {"exact": True}, {"layout": "nchw"}], ids=str)
def test_onnx(options, model, images, simulated):
    pytest.importorskip("onnxruntime")
    names = [op.output for op in model.ops]
    with OnnxRunner(model, onnx_model(model, outputs=names, **options)) as runner:
        found = runner.run_images(images)
    check(model, {name: found[name] for name in names}, simulated)


@pytest.mark.parametrize("activations", [{}, {"num_bits": 12}], ids=str)
@pytest.mark.always("{}")
def test_compiled_c(activations, images):
    try:
        compiler = find_compiler()
    except NoCompiler as missing:
        pytest.skip(str(missing))
    model = model_of(moves(), INT8, activations)
    codes = quantize_input(model, images)
    expected = run_codes(model, codes, [tensor.name for tensor in model.tensors])
    with CRunner(c_model(model, codes[:2], expected["logits"][:2]), compiler, layers=True) as runner:
        found = runner.run(codes)
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, expected[name], name)


def test_the_description_alone(model, images, simulated):
    found = evaluate(description(model), arrays_of(model), images)
    for name, codes in simulated.items():
        np.testing.assert_array_equal(found[name], codes, name)


def test_a_file_of_floats(images):
    """In TFLite's float form, moves of values."""
    network = moves()
    names = [layer.name for layer in network.layers]
    fake = fake_quant_model(network, book_of(network), state_of(network), quantized=False)
    found = dict(FakeQuantRunner(fake_quant_file(fake, outputs=names)).values(images, names), input=images)
    compared = 0
    for layer in network.layers:
        x = found[layer.inputs[0]]
        if isinstance(layer, Slice):
            expected = x[(slice(None), *layer.slices)]
        elif isinstance(layer, Permute):
            expected = x.transpose((0, *(axis + 1 for axis in layer.axes)))
        else:
            continue
        np.testing.assert_array_equal(found[layer.name], expected, layer.name)
        compared += 1
    assert compared == 12


def test_keras_computes_the_same_outputs(images):
    network = moves()
    origin, state = keras_description(network), state_of(network)
    with loaded(keras_file(origin, arrays_for_keras(network, origin, state))[0]) as keras:
        found = keras.predict_on_batch(images)
    parameters = {name: state[name] for name in origin.arrays}
    expected = plain_output(ImportedModel(network, parameters, (), origin), images)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_layers_of_keras():
    def body(x):
        x = layers.Cropping2D(((1, 0), (2, 1)))(x)
        y = layers.UpSampling2D((2, 3))(layers.Permute((2, 1, 3))(x))
        return layers.concatenate([layers.Flatten()(z) for z in (x, y)])

    imported_exactly(functional(body))

    def sequence(x):
        x = layers.UpSampling1D(3)(layers.Cropping1D((2, 1))(layers.Conv1D(4, 3)(x)))
        y = layers.Permute((2, 1))(x)
        z = layers.RepeatVector(5)(layers.GlobalMaxPooling1D()(x))
        return layers.concatenate([layers.Flatten()(a) for a in (x, y, layers.Conv1D(2, 3)(z))])

    imported = imported_exactly(functional(sequence, (12, 3)))
    origin = keras_description(imported.network)
    with fresh_keras():
        kinds = [type(layer).__name__ for layer in tf.keras.models.model_from_json(origin.config).layers]
    assert {"Cropping1D", "UpSampling1D", "Permute"} <= set(kinds)


def test_more_axes_than_the_c_runtime_has_are_refused():
    turned = (Permute, "turned", {"axes": (6, 5, 4, 3, 2, 1, 0)})
    network = network_of((2, 3, 2, 3, 2, 3, 2), turned, (Flatten, "flat", {}), (Dense, "logits", {"units": 2}))
    model = model_of(network, INT8)
    with pytest.raises(ExportError, match="turned.*7 axes.*6"):
        c_model(model, np.zeros((1, 2, 3, 2, 3, 2, 3, 2)), np.zeros((1, 2)))
