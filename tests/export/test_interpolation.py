"""Upsampling with linear interpolation: Keras', the evaluation graph's, and the codes of each format."""

import json

import newer_onnxruntime
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from integer_cases import book_of, model_of, network_of, simulate_tensors, state_of
from keras_import_cases import assert_same, functional, images_for, imported_exactly, lowered_output, plain_output
from npz_evaluator import evaluate

from qatviz.errors import ExportError
from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.fake_quant.lowering import fake_quant_file
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.formats import FORMATS
from qatviz.export.graphs.lowering import inference_graph
from qatviz.export.integers.simulator import dequantize, quantize_input, run_codes, run_op
from qatviz.export.keras.model import arrays_for_keras, keras_file, loaded
from qatviz.export.newer_python import NewerPython
from qatviz.export.npz.format import arrays_of, description, to_files
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.onnx_float.lowering import float_file
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import codes_of
from qatviz.export.tflite import limits
from qatviz.export.tflite.litert import XNNPACK, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.graph import Network
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import ImportedModel, convert
from qatviz.network.layers import Conv2D, Dense, Flatten, Reshape, UpsampleBilinear

layers = tf.keras.layers
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}
WIDE = {"num_bits": 16, "symmetric": True}
#: Agreement of float arithmetic, in which fifths are not rounded to parts of 2,048, so that other results are ties.
SIMULATED = 0.99
SETTINGS = {"int8": (INT8, {}), "6 bits": (INT8, {"num_bits": 6}), "narrow": (INT8, {"narrow_range": True})}


def enlarged():
    """Return a network that enlarges by powers of two, for which there are ties, and by others."""
    return network_of(
        (3, 4, 3),
        (Conv2D, "conv", {"filters": 4}),
        (UpsampleBilinear, "twice", {"size": 2}),
        (UpsampleBilinear, "thrice", {"size": (1, 3)}),
        (Conv2D, "thin", {"filters": 3, "strides": 4}),
        (UpsampleBilinear, "mixed", {"size": (4, 5)}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 4}),
    )


@pytest.fixture(scope="module")
def images():
    return np.random.RandomState(0).standard_normal((16, 3, 4, 3)).astype(np.float32) * 2


def model_for(setting):
    return model_of(enlarged(), *dict(SETTINGS, **{"16 bits": (INT8, WIDE)})[setting])


@pytest.mark.parametrize("size", [2, 3, (1, 4), (5, 2)], ids=str)
def test_keras_layers_are_imported_exactly(size):
    def body(x):
        return layers.Flatten()(layers.UpSampling2D(size, interpolation="bilinear")(layers.Conv2D(4, 3)(x)))

    imported = imported_exactly(functional(body, (5, 4, 3)), evaluate=lowered_output)
    origin = keras_description(imported.network)
    shown = images_for(imported.network)
    with loaded(keras_file(origin, arrays_for_keras(imported.network, origin, imported.parameters))[0]) as model:
        assert_same(model.predict_on_batch(shown), plain_output(imported, shown))
    assert convert(parse_model(json.loads(origin.config)), None).network.shapes == imported.network.shapes


def test_sequences_are_enlarged_as_images_in_keras():
    """Keras has no UpSampling1D with interpolation."""
    network = network_of(
        (6, 3),
        (Reshape, "image", {"target_shape": (1, 6, 3)}),
        (UpsampleBilinear, "longer", {"size": (1, 2)}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 2}),
    )
    kinds = [layer["class_name"] for layer in json.loads(keras_description(network).config)["config"]["layers"]]
    assert "UpSampling2D" in kinds


def test_others_than_linear_interpolation_are_refused():
    config = {"name": "up", "size": [2, 2], "interpolation": "bicubic"}
    given = {"batch_input_shape": [None, 6, 6, 3], "name": "input"}
    model = [{"class_name": "InputLayer", "config": given}, {"class_name": "UpSampling2D", "config": config}]
    record = {"class_name": "Sequential", "config": {"name": "m", "layers": model}}
    with pytest.raises(Exception, match="up.*interpolation.*bicubic.*'nearest' or 'bilinear'"):
        convert(parse_model(record), None)


@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "16 bits"])
def test_the_simulator_equals_the_evaluation_graph(setting, images):
    network, settings = enlarged(), dict(SETTINGS, **{"16 bits": (INT8, WIDE)})[setting]
    model, state = model_of(network, *settings), state_of(network)
    with EvaluationGraph(network, book_of(network, *settings), state) as graph:
        found = codes_of(graph.logits(images), model.logits)
    np.testing.assert_array_equal(found, simulate_tensors(model, images, ["logits"])["logits"])


@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "16 bits"])
def test_the_description_alone_gives_the_codes(setting, images, tmp_path):
    model = model_for(setting)
    found = evaluate(description(model), arrays_of(model), images)
    for name, codes in simulate_tensors(model, images).items():
        np.testing.assert_array_equal(found[name], codes, name)
    archive, text = to_files(model)
    (tmp_path / "model.npz").write_bytes(archive)
    (tmp_path / "model.json").write_bytes(text)
    read = load_integer_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(simulate_tensors(read, images)["mixed"], found["mixed"])
    other = json.loads(text.decode())
    other.pop("checksum")
    next(op for op in other["operations"] if op["output"] == "mixed")["position_unit"] = 512
    (tmp_path / "model.json").write_text(json.dumps(other))
    with pytest.raises(ExportError, match="mixed.*position_unit"):
        load_integer_model(tmp_path / "model.npz")


@pytest.mark.parametrize("setting", [*sorted(SETTINGS), "16 bits"])
@pytest.mark.always("int8", "6 bits")
def test_compiled_c(setting, images):
    try:
        compiler = find_compiler()
    except NoCompiler as missing:
        pytest.skip(str(missing))
    model = model_for(setting)
    codes = quantize_input(model, images)
    expected = run_codes(model, codes, [tensor.name for tensor in model.tensors])
    with CRunner(c_model(model, codes[:2], expected["logits"][:2]), compiler, layers=True) as runner:
        found = runner.run(codes)
    for name, codes in found.items():
        np.testing.assert_array_equal(codes, expected[name], name)


def check_onnx(model, images, newer=None, **options):
    names = [op.output for op in model.ops]
    with OnnxRunner(model, onnx_model(model, outputs=names, **options), newer) as runner:
        found = dict(runner.run_images(images), input=quantize_input(model, images))
    for op in model.ops:
        different = np.abs(run_op(model, op, found) - found[op.output])
        assert different.max() <= (op.kind in ("Conv2D", "Dense") and not options.get("exact")), op.name


@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("options", [{}, {"exact": True}, {"storage": "int8"}], ids=str)
def test_onnx(options, setting, images):
    pytest.importorskip("onnxruntime")
    check_onnx(model_for(setting), images, **options)


@pytest.mark.parametrize("opset", ["13", "21"])
def test_the_current_onnxruntime(opset, images):
    newer = newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)
    check_onnx(model_for("int8"), images, NewerPython(*newer), opset=opset)


def test_onnx_with_16_bits(images):
    pytest.importorskip("onnxruntime")
    model = model_for("16 bits")
    names, expected = [op.output for op in model.ops], simulate_tensors(model, images)
    with OnnxRunner(model, onnx_model(model, outputs=names, exact=True)) as runner:
        found = runner.run_images(images)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name], name)


def test_onnx_in_float(images):
    session = pytest.importorskip("onnxruntime").InferenceSession
    network = enlarged()
    fake = fake_quant_model(network, book_of(network), state_of(network), quantized=False)
    file = float_file(fake, outputs=["thrice", "mixed"])
    found = session(file.content, providers=["CPUExecutionProvider"]).run(None, {"input": images})
    for name, values in zip(file.outputs, found):
        assert_same(values.transpose(0, 2, 3, 1), float_values(network, images, name))


def float_values(network, images, name):
    """Return the values of a layer in float: those of the layers up to it as a network."""
    kept = network.layers[: [layer.name for layer in network.layers].index(name) + 1]
    short = Network("short", network.input_shape, kept)
    state = state_of(network)
    parameters = {key: state[key] for key in short.all_parameter_shapes()}
    return plain_output(ImportedModel(short, parameters, (), None), images)


@pytest.mark.parametrize("setting", sorted(SETTINGS))
@pytest.mark.parametrize("exact", [False, True])
def test_graphs_of_tensorflow(setting, exact, images):
    network = enlarged()
    fake = fake_quant_model(network, book_of(network, *SETTINGS[setting]), state_of(network))
    made, model = inference_graph(fake, {}, exact=exact), model_for(setting)
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(made.definition, name="")
        found = session.run({op.output: made.tensors[op.output] for op in model.ops}, {made.tensors["input"]: images})
    codes = {op.output: codes_of(found[op.output], model.tensor(op.output)) for op in model.ops}
    for op in model.ops[1:]:
        if op.kind == "UpsampleBilinear":
            different = np.abs(run_op(model, op, codes) - codes[op.output])
            assert different.max() <= (not exact) and np.mean(different == 0) >= (1 if exact else SIMULATED), op.name


def test_a_simulating_file_in_tensorflow_lite(images):
    """TensorFlow 1.15's interpreter, whose RESIZE_BILINEAR has no centers of pixels, computes the same values."""
    network = enlarged()
    fake = fake_quant_model(network, book_of(network, INT8), state_of(network))
    model = model_for("int8")
    interpreter = tf.lite.Interpreter(
        model_content=fake_quant_file(fake, outputs=[op.output for op in model.ops]).content
    )
    interpreter.allocate_tensors()
    found = {}
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        for op, detail in zip(model.ops, interpreter.get_output_details()):
            found.setdefault(op.output, []).append(interpreter.get_tensor(detail["index"]))
    codes = {name: codes_of(np.concatenate(parts), model.tensor(name)) for name, parts in found.items()}
    for op in model.ops[1:]:
        different = np.abs(run_op(model, op, codes) - codes[op.output])
        assert different.max() <= 1 and np.mean(different == 0) >= SIMULATED, op.name


@pytest.mark.parametrize("setting, option", [("int8", ""), ("6 bits", ""), ("narrow", ""), ("16 bits", "int16")])
def test_litert(setting, option, images):
    try:
        litert = find_litert()
    except LitertMissing as missing:
        pytest.skip(str(missing))
    model = model_for(setting)
    file = tflite_model(model, outputs=[op.output for op in model.ops], int16=bool(option))
    assert file.only_litert and any("RESIZE_BILINEAR" in note for note in file.notes)
    codes = quantize_input(model, images)
    with LitertRunner(litert, file, XNNPACK) as runner:
        found = dict(runner.run(codes), input=codes)
    for op in model.ops:
        different = np.abs(run_op(model, op, found) - found[op.output])
        assert different.max() <= (op.kind in ("Conv2D", "Dense")), op.name
        assert np.mean(different == 0) >= 0.999, op.name


def test_tflite_micro_has_no_kernel_for_int16():
    network = enlarged()
    options = FORMATS["tflm"].with_defaults({"int16": True})
    found = limits.tflm(network, book_of(network, INT8, WIDE), None, options)
    assert sorted(str(refusal).partition(";")[0].split("'")[1] for refusal in found) == ["mixed", "thrice", "twice"]
    assert "RESIZE_BILINEAR" in str(found[0]) and not limits.tflm(network, book_of(network, INT8), None, options)


def test_values_are_those_of_tensorflow(images):
    """The dequantized codes are within half a step, and the error of the weights, of TensorFlow's values."""
    model = model_for("int8")
    codes = simulate_tensors(model, images)
    for op in model.ops:
        if op.kind == "UpsampleBilinear":
            source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
            with tf.Graph().as_default(), tf.Session() as session:
                given = tf.constant(dequantize(source, codes[source.name]))
                expected = session.run(
                    tf.keras.backend.resize_images(given, *op.layer.size, "channels_last", "bilinear")
                )
            error = np.abs(dequantize(output, codes[output.name]) - expected).max() / output.scale
            assert error <= 0.5 + 2 * 255 / 2**12, op.name
