"""Folders for TFLite Micro: sources, operators, arena and golden vectors, in tflite-micro and by a C++ compiler.

The headers in tflm_stubs/ stand in for TFLite Micro's where sources are compiled.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tflite
from export_cases import INT8, NETWORK, STATE, export_as
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.source import ExportSource
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflm import runtime
from qatviz.export.tflm.runtime import MicroMissing, MicroRunner, find_micro
from qatviz.export.tflm.sources import arena_bound, operators
from qatviz.network.layers import AveragePool, Dense, Flatten

STUBS = Path(__file__).resolve().parent / "tflm_stubs"
#: Name of the network in its files.
NAME = "chain"
INT4 = {"num_bits": 4, "symmetric": True, "narrow_range": True}
#: Settings of weights and activations, options of the format, and type of the codes.
KINDS = {
    "int8": (INT8, None, {}, np.int8),
    "softmax": (INT8, None, {"softmax": True}, np.int8),
    "5 bits": (INT8, {"num_bits": 5}, {}, np.int8),
    "int4": (INT4, None, {"int4": True}, np.int8),
    "int16": (INT8, {"num_bits": 12}, {"int16": True}, np.int16),
    "double rounding": (INT8, None, {"double_rounding": True}, np.int8),
}


@pytest.fixture(scope="module")
def micro():
    try:
        return find_micro()
    except MicroMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def compiler():
    """Command of a C++ compiler."""
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if shutil.which(name):
            return name
    pytest.skip("there is no C++ compiler")


@pytest.fixture
def without_micro(monkeypatch):
    monkeypatch.setenv(runtime.VARIABLE, "/nowhere/python")


def exported(kind, folder, dataset):
    """Export one of :data:`KINDS`; return its folder and its golden vectors."""
    weights, activations, options, _ = KINDS[kind]
    written = export_as("tflm", folder / "net", dataset, weights, activations, examples=16, **options)
    with np.load(str(folder / "net" / "golden.npz")) as arrays:
        return written, folder / "net", {name: arrays[name] for name in arrays.files}


def constant(folder, header, name):
    """Return a number of a header."""
    text = (folder / f"{NAME}_{header}.h").read_text()
    return int(re.search(rf"constexpr \S+ {name} = (\d+);", text).group(1))


def array_of(folder, unit, name, dtype):
    """Return the numbers of the definitions of an array in a source file."""
    text = (folder / f"{NAME}_{unit}.cc").read_text()
    found = re.findall(rf"{name}\S* = {{(.*?)}};", text, re.DOTALL)
    return [np.array(re.findall(r"-?\d+", numbers), np.int64).astype(dtype) for numbers in found]


# Contents


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_model_operators_and_golden_vectors_are_those_of_the_file(kind, tmp_path, dataset, without_micro):
    dtype = KINDS[kind][3]
    written, folder, golden = exported(kind, tmp_path, dataset)
    content = (folder / f"{NAME}.tflite").read_bytes()
    (model,) = array_of(folder, "model", "kModel", np.uint8)
    assert model.tobytes() == content
    file = tflite.Model.GetRootAsModel(content, 0)
    graph = file.Subgraphs(0)
    used = {
        file.OperatorCodes(graph.Operators(index).OpcodeIndex()).BuiltinCode()
        for index in range(graph.OperatorsLength())
    }
    assert {getattr(tflite.BuiltinOperator, name) for name in operators(content)} == used
    header = (folder / f"{NAME}_model.h").read_text()
    added = re.findall(r"operators\.Add(\w+)\(\)", header)
    assert len(set(added)) == len(added) == len(used) == int(re.search(r"OpResolver<(\d+)>", header).group(1))
    # TFLite Micro's methods are named as the operators, without their underscores.
    spelled = sorted(name.replace("_", "").lower() for name in operators(content))
    assert sorted(name.lower() for name in added) == spelled
    (given,) = array_of(folder, "golden", "kGoldenInput", dtype)
    np.testing.assert_array_equal(given, golden["file_input"].reshape(-1))
    outputs = array_of(folder, "golden", "kGoldenOutput", dtype)
    expected = [golden[name] for name in ("litert_output", "double_rounding_output") if name in golden]
    if kind == "int4":
        # LiteRT's kernels of INT4 convolutions round twice.
        assert np.abs(outputs[0].reshape(expected[0].shape) - golden["simulator_output"]).max() <= 1
        expected[0] = outputs[0]
    assert len(expected) == (1 if dtype == np.int16 else 2)
    expected = expected[-1:] if all(map(np.array_equal, expected, expected[1:])) else expected
    assert len(outputs) == len(expected)
    for found, values in zip(outputs, expected):
        np.testing.assert_array_equal(found, values.reshape(-1))
    assert constant(folder, "model", "kArenaBytes") == arena_bound(content)
    assert "computed, not measured" in header and "computed, not measured" in (folder / "README.md").read_text()
    assert any("computed, not measured" in note for note in written.report.notes)


def test_settings_that_need_uint8_are_refused_with_the_reason(tmp_path, dataset):
    with pytest.raises(
        ExportError, match="conv.weights: 8 bits with a zero point require a uint8 file, for which"
    ) as no:
        export_as("tflm", tmp_path / "net", dataset, {})
    assert not (tmp_path / "net").exists()
    assert all(refusal.remedies for refusal in no.value.refusals)
    for remedy in ({"symmetric": True}, {"num_bits": 7}):
        assert not FORMATS["tflm"].limits(NETWORK, book_of(NETWORK, remedy), None, FORMATS["tflm"].with_defaults())


# Sources, compiled


def build(compiler, folder, golden, arena, *flags):
    """Compile the test application with the stand-ins; return its path."""
    sizes = {
        "STUB_INPUT_BYTES": golden["file_input"][0].nbytes,
        "STUB_OUTPUT_BYTES": golden["litert_output"][0].nbytes,
        "STUB_ARENA_BYTES": arena,
    }
    subprocess.run(
        [
            compiler,
            *("-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-rtti", "-fno-exceptions", "-I", str(STUBS)),
            *(f"-D{name}={size}" for name, size in sizes.items()),
            *(*flags, "-o", "application", "main.cc", f"{NAME}_model.cc", f"{NAME}_golden.cc"),
        ],
        cwd=str(folder),
        check=True,
    )
    return str(folder / "application")


def returned(program, folder, outputs):
    """Return the exit code of the application for outputs of the stand-in, which records its inputs."""
    (folder / "found.bin").write_bytes(outputs.tobytes())
    (folder / "given.bin").write_bytes(b"")
    return subprocess.run([program], cwd=str(folder), stdout=subprocess.DEVNULL, check=False).returncode


@pytest.mark.parametrize("kind", ["int8", "int16", "softmax"])
def test_the_application_compiles_and_accepts_only_the_golden_outputs(kind, tmp_path, dataset, compiler, without_micro):
    _, folder, golden = exported(kind, tmp_path, dataset)
    arena = constant(folder, "model", "kArenaBytes")
    once = golden["litert_output"]
    twice = golden.get("double_rounding_output", once)
    for flags, outputs in (((), twice), (("-DTFLITE_SINGLE_ROUNDING=1",), once)):
        program = build(compiler, folder, golden, arena, *flags)
        assert returned(program, folder, outputs) == 0
        assert (folder / "given.bin").read_bytes() == golden["file_input"].tobytes()
        other = outputs.copy()
        other[-1, -1] ^= 4
        assert returned(program, folder, other) == 1
        assert returned(program, folder, outputs[:-1]) == 1
    assert returned(build(compiler, folder, golden, arena + 1), folder, twice) == 1


def test_the_model_has_no_metadata_and_no_signature(tmp_path, dataset, without_micro):
    """A board reads neither; the file for phones, of the same operations, has both."""
    _, folder, _ = exported("int8", tmp_path, dataset)
    phone = export_as("tflite", tmp_path / "phone.tflite", dataset, examples=4).paths[0].read_bytes()
    board = (folder / f"{NAME}.tflite").read_bytes()
    models = [tflite.Model.GetRootAsModel(content, 0) for content in (board, phone)]
    assert [(model.MetadataLength(), model.SignatureDefsLength()) for model in models] == [(0, 0), (2, 1)]
    assert [zipfile.is_zipfile(io.BytesIO(content)) for content in (board, phone)] == [False, True]
    graphs = [model.Subgraphs(0) for model in models]
    assert len({(graph.OperatorsLength(), graph.TensorsLength()) for graph in graphs}) == 1
    assert len(phone) - len(board) > 500


def bright_means(path):
    """Export a network whose sums of means overflow in TensorFlow 1.15's interpreter; return the report."""
    network = network_of(
        (17, 17, 1),
        (AveragePool, "pool", {"pool_size": 17, "padding": "VALID"}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 4}),
    )
    images, labels = np.full((20, 17, 17, 1), 250, np.uint8), np.arange(20) % 4
    data = from_arrays("bright", "a test", (images, labels), (images, labels))
    state = state_of(network, {"input.activations": (0.0, 1.0)})
    return FORMATS["tflm"].export(ExportSource(network, book_of(network, INT8), state, data), path / "net").report


def test_outputs_that_are_not_known_are_not_compared(tmp_path, without_micro):
    report = bright_means(tmp_path)
    header = (tmp_path / "net" / f"{NAME}_golden.h").read_text()
    assert "double_rounding_output" not in report.golden
    readme = (tmp_path / "net" / "README.md").read_text()
    assert "expected for `litert_output` (kernels that round twice, as those of LiteRT without XNNPACK" in readme
    assert "Otherwise, not known without tflite-micro, and not compared." in header
    assert re.findall(r"kGoldenLeastEqual = (\d+)", header) == [str(report.golden["litert_output"].size), "0"]


# tflite-micro


def test_outputs_of_tflite_micro_are_golden_where_there_are_no_others(tmp_path, micro):
    report = bright_means(tmp_path)
    header = (tmp_path / "net" / f"{NAME}_golden.h").read_text()
    size = report.golden["litert_output"].size
    assert f"Otherwise, those of {micro.name}." in header
    assert re.findall(r"kGoldenLeastEqual = (\d+)", header) == [str(size), str(size)]
    assert "double_rounding_output: 100.00 % equal" in checked(micro, tmp_path / "net")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_tflite_micro_reproduces_the_golden_vectors_in_the_measured_arena(kind, tmp_path, dataset, micro):
    weights, activations, options, dtype = KINDS[kind]
    written, folder, golden = exported(kind, tmp_path, dataset)
    assert written.report.about["runtime"] == micro.name and not written.report.faults
    arena, values = constant(folder, "model", "kArenaBytes"), dict(options)
    model = integer_model(NETWORK, book_of(NETWORK, weights, activations), STATE)
    file = tflite_model(model, int4_all=values.get("int4", False), **values)
    assert file.dtype == dtype
    file = file._replace(content=(folder / f"{NAME}.tflite").read_bytes())
    codes = golden["input"].astype(np.int32)
    with MicroRunner(micro, file, arena) as runner:
        found = file.to_file(runner.run(codes)[file.outputs[0]], file.outputs[0])
    np.testing.assert_array_equal(found, golden.get("double_rounding_output", golden["litert_output"]))
    assert constant(folder, "golden", "kGoldenLeastEqual") == found.size
    with MicroRunner(micro, file, arena - runtime.ARENA_UNIT) as runner, pytest.raises(ExportError):
        runner.run(codes)
    assert arena <= arena_bound(file.content)


def checked(micro, folder):
    """Return what the check program of a folder prints in TFLite Micro, where it succeeds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [micro.python, str(folder / "check.py")], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 0 and "in TFLite Micro, 16 examples" in done.stdout, done.stdout
    return done.stdout


def test_the_check_program_runs_in_tflite_micro(tmp_path, dataset, micro):
    _, folder, _ = exported("int8", tmp_path, dataset)
    assert "double_rounding_output: 100.00 % equal" in checked(micro, folder)


def test_an_arena_that_cannot_be_measured_is_computed(tmp_path, dataset, monkeypatch):
    """The package is there but fails."""
    monkeypatch.setenv(runtime.VARIABLE, sys.executable)
    with pytest.raises(
        MicroMissing, match=f"{runtime.VARIABLE} is .*, which is not a Python with the package tflite-m"
    ):
        find_micro()
    file = tflite_model(integer_model(NETWORK, book_of(NETWORK, INT8), STATE))
    assert runtime.Micro(sys.executable, "9").smallest_arena(file, 10**6) is None
