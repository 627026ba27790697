"""ONNX export as a whole: files, refusals and notes."""

import os
import sys
from functools import partial

import numpy as np
import pytest
from export_cases import INT8, NETWORK, STATE, export_as, proof_record
from integer_cases import book_of, model_of, network_of

from qatviz.errors import ExportError
from qatviz.export.integers.lowering import integer_model
from qatviz.export.onnx import limits as onnx_limits
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx.runtime import OnnxRunner
from qatviz.export.onnx.storage import Storage
from qatviz.network.layers import Dense, Flatten

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

export = partial(export_as, "onnx")


def names(directory):
    return sorted(os.listdir(str(directory)))


def outputs_of(path, images):
    """Return the outputs of a file, run like in a user's program."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


@pytest.mark.parametrize(
    "weights, storage",
    [(INT8, "uint8"), (INT8, "int8"), ({"per_channel": True}, "uint8"), ({"num_bits": 4}, "int8")],
    ids=str,
)
def test_an_export_is_a_file_with_proof_and_golden_vectors(weights, storage, tmp_path, dataset):
    written = export(tmp_path / "new" / "net.onnx", dataset, weights, metadata={"step": 3}, storage=storage)
    assert names(tmp_path / "new") == [
        "net.onnx",
        "net.onnx.README.md",
        "net.onnx.check.py",
        "net.onnx.golden.npz",
        "net.onnx.parity.json",
        "net.onnx.parity.txt",
    ]
    report = written.report
    assert proof_record(tmp_path / "new" / "net.onnx.parity.json") == report.to_record()
    assert report.about["format"] == "ONNX " + storage and report.about["runtime"].startswith("onnxruntime 1.")
    assert report.examples == 60 and not report.faults and report.as_expected and report.reached == (0.995, 1, 1.0)
    assert report.outputs["file to evaluation graph"].largest <= 1
    assert ("ORT_ENABLE_BASIC" in report.to_text()) == (storage == "int8") and "the input:" not in report.to_text()
    with np.load(str(tmp_path / "new" / "net.onnx.golden.npz")) as golden:
        values = outputs_of(written.paths[0], golden["images"])
        codes = np.round(values / golden["logits_scale"]) + golden["logits_zero_point"]
        np.testing.assert_array_equal(codes, golden["file_output"])


@pytest.mark.parametrize("off, is_fault", [(0, False), (1, False), (2, True)])
def test_tensors_of_more_than_8_bits_are_proven(off, is_fault, tmp_path, dataset, monkeypatch):
    """In float, where long sums have errors that may change a code by one."""
    run = OnnxRunner.run

    def run_off(self, codes):
        found = run(self, codes)
        found["logits"][0, 0] += off
        return found

    monkeypatch.setattr(OnnxRunner, "run", run_off)
    report = export(tmp_path / "net.onnx", dataset, {"num_bits": 16}, activations={"num_bits": 16}).report
    assert bool(report.faults) == is_fault and report.reached.largest == 3
    remedy = "the option exact computes in integers, with weights of up to 8 bits"
    text = f"note: of 9 to 16 bits, and so rounded in float ({remedy}): input.activations, conv.activations"
    assert text in report.to_text()


def test_the_file_outputs_probabilities_and_the_proof_compares_logits(tmp_path, dataset):
    plain, softmax = (export(tmp_path / name, dataset, softmax=name == "b.onnx") for name in ("a.onnx", "b.onnx"))
    assert plain.report.outputs == softmax.report.outputs and plain.report.layers == softmax.report.layers
    images = dataset.x_test[:5] / np.float32(255)
    np.testing.assert_allclose(outputs_of(softmax.paths[0], images).sum(axis=1), 1, rtol=1e-6)


def test_the_layout_affects_only_the_input(tmp_path, dataset):
    plain, turned = (export(tmp_path / layout, dataset, layout=layout) for layout in ("nhwc", "nchw"))
    assert plain.report.outputs == turned.report.outputs
    images = dataset.x_test[:5] / np.float32(255)
    np.testing.assert_array_equal(
        outputs_of(plain.paths[0], images), outputs_of(turned.paths[0], images.transpose(0, 3, 1, 2))
    )


def test_differently_rounded_inputs_are_noted(tmp_path, dataset, monkeypatch):
    run = OnnxRunner.run_images
    monkeypatch.setattr(
        OnnxRunner,
        "run_images",
        lambda self, images: {name: codes + (name == "input") for name, codes in run(self, images).items()},
    )
    report = export(tmp_path / "net.onnx", dataset).report
    assert "the input: 2,048 of 2,048 codes of the first 32 images differ from the run's" in report.to_text()


# Refusals


def test_an_exact_file_requires_uint8(tmp_path, dataset):
    report = export(tmp_path / "net.onnx", dataset, exact=True).report
    assert report.about["format"] == "ONNX uint8, exact"
    assert {found.identical for found in report.outputs.values()} == {1.0}
    with pytest.raises(ExportError, match="codes are int8, but .* for uint8 only; possible with .* storage=uint8"):
        export(tmp_path / "other.onnx", dataset, exact=True, storage="int8")
    with pytest.raises(ExportError, match="codes are int8"):
        onnx_model(integer_model(NETWORK, book_of(NETWORK, INT8), STATE), exact=True, storage="int8")


@pytest.mark.parametrize("opset", ["13", "21"])
def test_an_exact_file_with_wide_activations_is_exact(opset, tmp_path, dataset):
    report = export(tmp_path / "net.onnx", dataset, INT8, {"num_bits": 12}, exact=True, opset=opset).report
    text = report.to_text()
    assert report.about["format"] == "ONNX uint8, exact" and "rounded in float" not in text and "not exact" not in text
    assert {found.identical for found in getattr(report, "outputs", {}).values()} <= {1.0}


@pytest.mark.parametrize(
    "weights, activations, named",
    [
        (dict(INT8, num_bits=9), {}, "conv, logits"),
        ({"per_channel": True}, {}, "conv, logits"),
    ],
    ids=["wide weights", "zero points by channel"],
)
def test_a_file_that_computes_in_float_is_not_called_exact(weights, activations, named, tmp_path, dataset):
    report = export(tmp_path / "net.onnx", dataset, weights, activations, exact=True).report
    assert report.about["format"] == "ONNX uint8"
    assert f"note: not exact, because they are computed in float: {named}" in report.to_text()
    plain = export(tmp_path / "plain.onnx", dataset, weights, activations).report
    assert "not exact" not in plain.to_text()


def test_accumulators_beyond_32_bits_are_refused():
    net = network_of((300, 300, 1), (Flatten, "flatten", {}), (Dense, "logits", {"units": 1}))
    model = model_of(
        net,
        {"symmetric": True},
        logits__weights=np.ones((90000, 1)),
        ranges={"input.activations": (0.0, 1.0), "logits.activations": (0.0, 90000.0)},
    )
    with pytest.raises(
        ExportError, match="layer 'logits': its accumulator needs up to 33 bits; .* have 32; possible with"
    ):
        onnx_model(model)


@pytest.mark.parametrize("package", onnx_limits.PACKAGES)
def test_missing_packages_are_refused_with_the_command_to_install_them(package, tmp_path, dataset, monkeypatch):
    monkeypatch.setattr(onnx_limits, "find_spec", lambda name: None if name == package else name)
    hint = f'exports to ONNX need {package}, which .*; possible after: pip install "qatviz.onnx."'
    with pytest.raises(ExportError, match=hint):
        export(tmp_path / "net.onnx", dataset)
    # Installed, but broken.
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=hint):
        export(tmp_path / "net.onnx", dataset)
    assert names(tmp_path) == []


def test_errors_of_the_runtime_are_export_errors():
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE)
    file = onnx_model(model)
    with pytest.raises(ExportError, match="onnxruntime 1.*: refuses the file: .*"):
        OnnxRunner(model, file._replace(content=file.content[:200]))
    with pytest.raises(ExportError, match="refuses the file: .*images"):
        OnnxRunner(model, file).run_images(np.zeros((1, 7, 7, 1), np.float32))


# Storage


@pytest.mark.parametrize("storage", ["uint8", "int8"])
@pytest.mark.parametrize(
    "settings",
    [INT8, {}, {"per_channel": True}, {"num_bits": 7, "per_channel": True}, {"num_bits": 2, "symmetric": True}],
    ids=str,
)
def test_stored_weights_equal_the_models(storage, settings):
    model = model_of(NETWORK, settings)
    for op in (op for op in model.ops if op.weights is not None):
        stored = Storage(storage).weights(model, op)
        real = (stored.codes.astype(np.int32) - stored.zero_point) * stored.scale
        real = real if stored.channel_scales is None else real * stored.channel_scales
        expected = op.weights.centred * op.weights.scale
        np.testing.assert_array_equal(real.astype(np.float32), expected.astype(np.float32))
        assert stored.codes.dtype == stored.zero_point.dtype == np.dtype(storage) and stored.bias.dtype == np.int32
        np.testing.assert_allclose(stored.bias_scale, model.tensor(op.inputs[0]).scale * op.weights.scale, rtol=1e-6)


# Progress
