"""ONNX files in a current onnxruntime.

Without a newer Python that has it (see :mod:`newer_onnxruntime`), these tests are skipped.
"""

import newer_onnxruntime
import numpy as np
import pytest
from integer_cases import model_of, simulate_tensors
from test_lowering_float import random_chain
from test_onnx_lowering import FORMS, SETTINGS, WIDE
from test_tflite_lowering import everything, images_for

from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.proof.parity import codes_of

pytest.importorskip("onnx")


@pytest.fixture(scope="session")
def newer():
    """Return the newer Python."""
    return newer_onnxruntime.find() or pytest.skip(newer_onnxruntime.MISSING)


@pytest.fixture
def outputs_of(newer, tmp_path):
    """Return a function that runs files on images."""
    return lambda images, *files: newer_onnxruntime.run_files(newer, tmp_path, images, *files)


def check(found, expected, name):
    different = np.abs(found - expected[name])
    assert np.mean(different == 0) >= 0.98 and different.max() <= 1, name


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_operation_and_the_logits_equal_the_simulators(setting, form, outputs_of):
    model = model_of(everything(), *SETTINGS[setting])
    images = images_for(model, 24)
    expected = simulate_tensors(model, images)
    layers = onnx_model(model, outputs=[tensor.name for tensor in model.tensors], **FORMS[form])
    tensors, (logits,) = outputs_of(images, layers, onnx_model(model, **FORMS[form]))
    for name, found in zip(layers.outputs, tensors):
        codes = found.astype(np.int32) - layers.storage.offset
        check(codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes, expected, name)
    check(codes_of(logits, model.logits), expected, "logits")


@pytest.mark.slow
@pytest.mark.parametrize("opset", ["13", "19", "21"])
@pytest.mark.parametrize("setting", ["16-bit activations", "4-bit weights, 12-bit activations"])
def test_logits_of_exact_files_with_codes_of_two_bytes_equal_the_simulators(setting, opset, outputs_of):
    model = model_of(everything(), *WIDE[setting])
    images = images_for(model, 24)
    file = onnx_model(model, exact=True, opset=opset)
    ((logits,),) = outputs_of(images, file)
    np.testing.assert_array_equal(codes_of(logits, model.logits), simulate_tensors(model, images, ["logits"])["logits"])
    assert file.exact


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["8 bits", "asymmetric, 7 bits", "powers of two"])
def test_every_code_of_exact_files_equals_the_simulators(setting, outputs_of):
    model = model_of(everything(), *SETTINGS[setting])
    images = images_for(model, 24)
    expected = simulate_tensors(model, images)
    layers = onnx_model(model, exact=True, outputs=[tensor.name for tensor in model.tensors])
    tensors, (logits,) = outputs_of(images, layers, onnx_model(model, exact=True))
    for name, found in zip(layers.outputs, tensors):
        codes = found.astype(np.int32) - layers.storage.offset
        np.testing.assert_array_equal(codes.transpose(0, 2, 3, 1) if codes.ndim == 4 else codes, expected[name])
    np.testing.assert_array_equal(codes_of(logits, model.logits), expected["logits"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["8 bits", "asymmetric per channel", "powers of two", "4-bit weights, 12-bit activations"]
)
def test_exact_files_of_deep_chains_equal_the_simulator(setting, outputs_of):
    model = model_of(random_chain(4), *dict(SETTINGS, **WIDE)[setting])
    images = images_for(model, 32)
    ((logits,),) = outputs_of(images, onnx_model(model))
    check(codes_of(logits, model.logits), simulate_tensors(model, images, ["logits"]), "logits")
