"""Exports of the stored runs have the bytes that they always had; see make_golden.py."""

import golden_cases
import pytest

STORED = golden_cases.load(golden_cases.EXPORTS)


def test_what_is_stored_is_what_is_exported_here():
    assert sorted(STORED) == sorted(golden_cases.CASES)
    formats = {case.format for case in golden_cases.CASES.values()}
    assert formats == {"tflite", "tflite-fakequant", "onnx", "c", "npz", "savedmodel", "frozen", "keras", "encodings"}


@pytest.mark.parametrize("name", sorted(STORED))
def test_an_export_has_the_bytes_that_it_always_had(name, program, exported_records, tmp_path):
    if golden_cases.CASES[name].format == "onnx":
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package)
    found = golden_cases.export(program, exported_records, golden_cases.CASES[name], tmp_path)
    told = golden_cases.differences(STORED[name], found, tmp_path)
    assert not told, "\n".join([f"{name} is another export than it was:", *told])
