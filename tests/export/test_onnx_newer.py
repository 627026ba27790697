"""ONNX files in a current onnxruntime.

It needs a newer Python than TensorFlow 1.15 does: the first one found that has ``onnxruntime`` installed, or the one
that QATVIZ_ONNXRUNTIME_PYTHON names. Without one, these tests are skipped.
"""

import os
import shutil
import subprocess

import numpy as np
import pytest
from integer_cases import model_of
from test_lowering_float import random_chain
from test_onnx_lowering import FORMS, SETTINGS, WIDE
from test_tflite_lowering import everything, images_for

from qatviz.export.integers.simulator import simulate_tensors
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.proof.parity import codes_of

pytest.importorskip("onnx")

CANDIDATES = [os.environ.get("QATVIZ_ONNXRUNTIME_PYTHON")] + [
    shutil.which("python3.{}".format(minor)) for minor in range(14, 8, -1)] + [shutil.which("python3")]
#: Runs files on an array: names of the array and of the directory, levels of optimization, one for each file.
PROGRAM = """
import sys
import numpy as np
import onnxruntime
images = np.load(sys.argv[1])
for i, level in enumerate(sys.argv[2:]):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession("{}.onnx".format(i), options, providers=["CPUExecutionProvider"])
    np.savez("{}.npz".format(i), *session.run(None, {session.get_inputs()[0].name: images}))
"""
LEVELS = {"uint8": "ORT_ENABLE_ALL", "int8": "ORT_ENABLE_BASIC"}


@pytest.fixture(scope="session")
def python():
    """The newer Python."""
    for path in filter(None, CANDIDATES):
        found = subprocess.run([path, "-c", "import onnxruntime, sys; assert sys.version_info > (3, 8)"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if found.returncode == 0:
            return path
    return pytest.skip("there is no newer Python with onnxruntime; QATVIZ_ONNXRUNTIME_PYTHON can name one")


@pytest.fixture
def put_out(python, tmp_path):
    """What files of one form put out for images."""
    def run(images, *files):
        if files[0].layout == "nchw":
            images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        np.save(str(tmp_path / "images.npy"), images)
        for i, file in enumerate(files):
            (tmp_path / "{}.onnx".format(i)).write_bytes(file.content)
        levels = [LEVELS[file.storage.name] for file in files]
        subprocess.run([python, "-c", PROGRAM, "images.npy"] + levels, check=True, cwd=str(tmp_path),
                       stderr=subprocess.DEVNULL)
        found = []
        for i in range(len(files)):
            with np.load(str(tmp_path / "{}.npz".format(i))) as arrays:
                found.append([arrays["arr_{}".format(j)] for j in range(len(arrays.files))])
        return found
    return run


def check(found, expected, name):
    different = np.abs(found - expected[name])
    assert np.mean(different == 0) >= 0.98 and different.max() <= 1, name


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_operation_and_the_logits_are_the_simulators(setting, form, put_out):
    model = model_of(everything(), *SETTINGS[setting])
    images = images_for(model, 24)
    expected = simulate_tensors(model, images)
    layers = onnx_model(model, outputs=[tensor.name for tensor in model.tensors], **FORMS[form])
    tensors, (logits,) = put_out(images, layers, onnx_model(model, **FORMS[form]))
    for name, found in zip(layers.outputs, tensors):
        codes = found.astype(np.int32) - layers.storage.offset
        check(codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes, expected, name)
    check(codes_of(logits, model.logits), expected, "logits")


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["8 bits", "asymmetric, 7 bits", "powers of two"])
def test_exact_files_have_every_code(setting, put_out):
    model = model_of(everything(), *SETTINGS[setting])
    images = images_for(model, 24)
    expected = simulate_tensors(model, images)
    layers = onnx_model(model, exact=True, outputs=[tensor.name for tensor in model.tensors])
    tensors, (logits,) = put_out(images, layers, onnx_model(model, exact=True))
    for name, found in zip(layers.outputs, tensors):
        codes = found.astype(np.int32) - layers.storage.offset
        np.testing.assert_array_equal(codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes, expected[name])
    np.testing.assert_array_equal(codes_of(logits, model.logits), expected["logits"])


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["8 bits", "asymmetric per channel", "powers of two",
                                     "4-bit weights, 12-bit activations"])
def test_so_are_those_of_deep_chains(setting, put_out):
    model = model_of(random_chain(4), *dict(SETTINGS, **WIDE)[setting])
    images = images_for(model, 32)
    (logits,), = put_out(images, onnx_model(model))
    check(codes_of(logits, model.logits), simulate_tensors(model, images, ["logits"]), "logits")
