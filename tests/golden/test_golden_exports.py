"""Exports of the stored runs keep their bytes; see make_golden.py for intended changes."""

import golden_cases
import pytest
from golden_compare import expect_none, file_differences

STORED = golden_cases.load(golden_cases.EXPORTS)


def test_every_format_is_exported():
    assert sorted(STORED) == sorted(golden_cases.CASES)
    formats = {case.format for case in golden_cases.CASES.values()} - {golden_cases.TENSORBOARD}
    assert formats == {
        "tflite",
        "tflite-fakequant",
        "tflm",
        "onnx",
        "onnx-float",
        "c",
        "npz",
        "savedmodel",
        "frozen",
        "keras",
        "encodings",
    }


@pytest.mark.parametrize("name", sorted(STORED))
def test_an_export_keeps_its_bytes(name, program, exported_records, tmp_path):
    if golden_cases.CASES[name].format.startswith("onnx"):
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package)
    found = golden_cases.export(program, exported_records, golden_cases.CASES[name], tmp_path)
    lines = file_differences(STORED[name], found, golden_cases.TEXTS, tmp_path)
    expect_none(lines, f"the export {name} has changed:")
