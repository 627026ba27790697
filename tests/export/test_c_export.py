"""The export to C as a whole: its proof, with a compiler and without; its names, and its memory."""

import ast
import contextlib
import json
import os
import subprocess
from functools import partial

import numpy as np
import pytest
from export_cases import export_as, proof_record
from hypothesis import given, settings
from hypothesis import strategies as st
from test_c_model import compiler, dense, source_of  # noqa: F401  (one is a fixture)

from qatviz.errors import ExportError
from qatviz.export.c import export as c_export
from qatviz.export.c.arena import ALIGNMENT, Buffer, plan_arena
from qatviz.export.c.lowering import softmax_constants
from qatviz.export.c.names import comment, stem, string, unique_stems
from qatviz.export.c.operations import SUFFIXES
from qatviz.export.c.runner import Compiler, CRunner, NoCompiler, find_compiler
from qatviz.export.integers.simulator import run_codes
from qatviz.export.progress import Cancelled

FILES = [
    "Makefile",
    "README.md",
    "chain.c",
    "chain.h",
    "check.py",
    "golden.h",
    "golden.npz",
    "main.c",
    "parity.json",
    "parity.txt",
    "qatviz_nn.c",
    "qatviz_nn.h",
    "qatviz_nn_cmsis.h",
    "qatviz_nn_cortex_m.h",
    "qatviz_nn_vectors.h",
]


export = partial(export_as, "c")


# The proof


@pytest.fixture(scope="module")
def exported(compiler, tmp_path_factory, dataset):
    return export(tmp_path_factory.mktemp("c") / "out", dataset, metadata={"step": 3})


def test_an_export_is_a_directory_whose_compiled_program_was_run(compiler, exported):
    written, path = exported, exported.paths[0]
    assert sorted(os.listdir(str(path))) == FILES
    assert {item.name for item in written.paths[1:]} == set(FILES)
    report = written.report
    assert report.about["runtime"] == compiler.version and report.about["step"] == 3
    assert report.outputs["file to simulator"] == (1.0, 0, 1.0) and report.as_expected and not report.faults
    assert all(layer.own == layer.whole == (1.0, 0, None) for layer in report.layers) and len(report.layers) == 4
    assert proof_record(path / "parity.json") == report.to_record()
    assert (path / "parity.txt").read_text().rstrip() == report.to_text()
    assert "step: 3" in (path / "chain.h").read_text()
    assert str(report.nbytes["file"]) + " bytes of constants" in (path / "README.md").read_text()


@pytest.mark.usefixtures("quick_c")
def test_per_channel_zero_points_and_packed_weights_are_exported(compiler, tmp_path, dataset):
    """Per-channel zero points, and two weights per byte."""
    report = export(tmp_path / "out", dataset, {"num_bits": 4, "per_channel": True}, pack_int4=True).report
    assert report.outputs["file to simulator"] == (1.0, 0, 1.0)
    assert report.outputs["file to evaluation graph"].identical >= 0.995


def test_golden_vectors_equal_the_outputs_of_the_program(compiler, exported, tmp_path):
    path, program = exported.paths[0], str(tmp_path / "run")
    subprocess.run([*compiler.command, "-o", program, "main.c", "chain.c", "qatviz_nn.c"], cwd=str(path), check=True)
    with np.load(str(path / "golden.npz")) as golden:
        done = subprocess.run([program, "--run"], input=golden["input"].tobytes(), stdout=subprocess.PIPE, check=True)
        found = np.frombuffer(done.stdout, np.int8).reshape(golden["file_output"].shape)
        np.testing.assert_array_equal(found, golden["file_output"])
        np.testing.assert_array_equal(found, golden["simulator_output"])


@pytest.mark.usefixtures("quick_c")
def test_a_program_that_fails_its_self_test_is_not_exported(compiler, tmp_path, dataset, monkeypatch):
    def zeros(model, codes, names):
        return {model.output: np.zeros((len(codes), 4), int)}

    monkeypatch.setattr(c_export, "run_codes", zeros)
    with pytest.raises(ExportError, match="0 of 16 golden outputs"):
        export(tmp_path / "out", dataset)
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.usefixtures("quick_c")
def test_a_failed_export_keeps_the_earlier_one(exported, dataset, monkeypatch):
    path = exported.paths[0]
    before = {name: (path / name).read_bytes() for name in FILES}

    def full(number):
        raise OSError(28, "No space left on device", "disk")

    monkeypatch.setattr(os, "fsync", full)
    for weights, reason in (({"enabled": False}, "left in float"), ({"num_bits": 4}, "No space left")):
        with pytest.raises(ExportError, match=reason):
            export(path, dataset, weights)
        assert {name: (path / name).read_bytes() for name in FILES} == before
        assert os.listdir(str(path.parent)) == ["out"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a shell script as a compiler")
def test_cancelling_kills_the_compiler_and_its_children(tmp_path):
    """The children of the compiler hold a pipe, which ends once all of them are dead."""
    os.mkfifo(str(tmp_path / "pipe"))
    script = tmp_path / "slow-cc"
    script.write_text('#!/bin/sh\n(echo started; exec sleep 1000) > "$(dirname "$0")/pipe" & wait\n')
    script.chmod(0o755)
    pipe = os.open(str(tmp_path / "pipe"), os.O_RDONLY | os.O_NONBLOCK)

    def check():
        with contextlib.suppress(BlockingIOError):
            if os.read(pipe, 100):
                raise Cancelled("enough")

    with pytest.raises(Cancelled):
        CRunner(source_of(dense()), Compiler((str(script),), "slow"), check=check)
    os.set_blocking(pipe, True)
    assert os.read(pipe, 100) == b""
    os.close(pipe)


def test_a_slow_program_receives_all_of_its_input(compiler, tmp_path, monkeypatch):
    """More than a pipe buffers, and despite polling."""
    from qatviz.export.c import runner as c_runner

    model = dense()
    codes = np.random.RandomState(0).randint(-8, 8, (60000, 4)).astype(np.int32)
    with CRunner(source_of(model), compiler) as runner:
        monkeypatch.setattr(c_runner, "_CHECK_INTERVAL", 0.001)
        found = runner.run(codes)["logits"]
    np.testing.assert_array_equal(found, run_codes(model, codes, ["logits"])["logits"])


# Without a compiler


def test_without_a_compiler_the_export_is_written_and_marked_as_not_run(tmp_path, dataset, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    path = tmp_path / "out"
    report = export(path, dataset, metadata={"run": "r1"}).report
    text, record = (path / "parity.txt").read_text(), json.loads((path / "parity.json").read_text())
    assert sorted(os.listdir(str(path))) == FILES
    reason = "no C compiler: cc is not on the PATH, gcc is not on the PATH, clang is not on the PATH"
    assert record["not_run"] == reason and "NOT RUN: " + reason in text and "make test" in text
    assert record["about"]["run"] == "r1" and list(record["outputs"]) == ["simulator to evaluation graph"]
    assert "file" not in record["accuracy"] and record["layers"] == [] and "file to" not in text
    assert not report.faults and report.as_expected
    with np.load(str(path / "golden.npz")) as golden:
        assert "file_output" not in golden and len(golden["simulator_output"]) == 16


@pytest.mark.parametrize(
    "cc, reason",
    [
        ("no-such-compiler -m32", "CC names one, but no-such-compiler is not on the PATH"),
        ("false", r"CC names one, but false does not work \(false failed \(1\)"),
        ("cc '", "CC names one, but cc ' does not work"),
    ],
)
def test_a_broken_compiler_counts_as_missing(cc, reason):
    if os.name == "nt":
        pytest.skip("there is no false")
    with pytest.raises(NoCompiler, match=reason):
        find_compiler({"CC": cc, "PATH": os.environ["PATH"]})


def test_cc_may_contain_flags(compiler):
    found = find_compiler(dict(os.environ, CC=" ".join(compiler.command) + " -DQATVIZ"))
    assert found == ((*compiler.command, "-DQATVIZ"), compiler.version)


# Memory

BUFFERS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6), st.integers(0, 4)), max_size=12).map(
    lambda entries: [
        Buffer(str(index), nbytes, first, first + more) for index, (nbytes, first, more) in enumerate(entries)
    ]
)


@settings(max_examples=200, deadline=None)
@given(BUFFERS)
def test_buffers_with_overlapping_lifetimes_do_not_overlap_in_memory(buffers):
    arena = plan_arena(buffers)
    for one in buffers:
        start = arena.offsets[one.name]
        assert start % ALIGNMENT == 0 and start >= 0 and start + one.nbytes <= arena.nbytes
        for other in buffers:
            if other is not one and one.first <= other.last and other.first <= one.last:
                begin = arena.offsets[other.name]
                assert begin + other.nbytes <= start or start + one.nbytes <= begin
    live = [sum(b.nbytes for b in buffers if b.first <= step <= b.last) for step in range(12)]
    assert max(live) <= arena.nbytes <= sum(-(-b.nbytes // ALIGNMENT) * ALIGNMENT for b in buffers)


def test_a_chain_needs_the_memory_of_its_two_largest_neighbours():
    for seed in range(50):
        sizes = (4 * np.random.RandomState(seed).randint(1, 20, 1 + seed // 3)).tolist()
        chain = [Buffer(str(index), size, index, index + 1) for index, size in enumerate(sizes)]
        assert plan_arena(chain).nbytes == max(map(sum, zip(sizes, [*sizes[1:], 0])))


# Names


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), max_size=12))
def test_identifiers_are_valid_and_unique(names):
    stems = list(unique_stems(names, SUFFIXES))
    found = [name + suffix for name in stems for suffix in SUFFIXES]
    assert len(set(found)) == len(found) and len(stems) == len(names)
    # C99 guarantees 63 significant characters for internal identifiers.
    assert all(name.isidentifier() and name.isascii() if hasattr(name, "isascii") else True for name in found)
    assert all(name[0].isalpha() and len(name) <= 63 for name in found)


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_comments_and_strings_escape_any_text(text):
    for made in (comment(text), string(text), stem(text)):
        assert all(" " <= char <= "~" for char in made) and "??" not in made
    assert "*/" not in comment(text) and "/*" not in comment(text) and "\\" not in comment(text)
    assert ast.literal_eval("b" + string(text)) == text.encode("utf-8", "replace")  # Python has the same escapes


# The softmax


@settings(max_examples=100, deadline=None)
@given(st.floats(2.0**-20, 64.0))
def test_softmax_constants_equal_those_of_tflites_kernels(scale):
    found = softmax_constants(scale)
    assert 2**30 <= found.multiplier < 2**31
    factor = found.multiplier * 2.0 ** (found.shift - 31)
    assert factor == pytest.approx(min(scale * 2.0**26, 2.0**31 - 1), rel=1e-9)
    # Smaller differences have an exponential below exp(-31).
    assert found.diff_min <= 0 and abs(found.diff_min * factor) <= 31 * 2.0**26 * (1 + 1e-6)
