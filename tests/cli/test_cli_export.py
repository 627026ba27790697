"""``qatviz export``: from a recorded run to a file and its proof."""

import json
import os
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from cli_calls import ROOT, call, error_of, write_data
from waiting import run_process

from qatviz.export.formats import FORMATS
from qatviz.session import checkpoints

STEPS = 8


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    """A recorded run whose second half has weights of 4 bits."""
    directory = tmp_path_factory.mktemp("runs") / "a"
    answer = call(
        "train",
        "--network",
        "lenet",
        "--data",
        data,
        "--steps",
        STEPS,
        "--batch-size",
        8,
        "--out",
        directory,
        "--set",
        "4:*.weights.num_bits=4",
        "--quiet",
    )
    assert answer.code == 0, answer.err
    return directory


def codes_in(path):
    """Return the number of different codes in the weights of a file's last layer."""
    interpreter = tf.lite.Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    weights = next(d for d in interpreter.get_tensor_details() if d["name"] == "logits.weights")
    return len(np.unique(interpreter.get_tensor(weights["index"])))


def test_a_run_is_exported_to_a_file_with_its_proof(run, tmp_path):
    answer = call("export", run, "--format", "tflite", "--out", tmp_path / "net.tflite")
    assert answer.code == 0, answer.err
    assert sorted(os.listdir(str(tmp_path))) == [
        "net.tflite",
        "net.tflite.README.md",
        "net.tflite.check.py",
        "net.tflite.golden.npz",
        "net.tflite.parity.json",
        "net.tflite.parity.txt",
    ]
    assert (tmp_path / "net.tflite.parity.txt").read_text().strip() in answer.out
    assert "TFLite int8 of lenet" in answer.out and str(tmp_path / "net.tflite") in answer.out
    assert f"step {STEPS}" in answer.err
    record = json.loads((tmp_path / "net.tflite.parity.json").read_text())
    assert record["about"]["step"] == STEPS and record["examples"] == 40
    # Weights that a test trains are other ones on each processor. How close exports come is tested on stored ones; here
    # 97 % are identical, and of another network's outputs a few are.
    assert record["outputs"]["file to evaluation graph"]["identical"] > 0.5 and record["faults"] == []


def test_a_named_checkpoint_is_exported(run, tmp_path):
    checkpoint = next(info["name"] for info in call("show", run, "--json").json["checkpoints"] if info["step"] == 4)
    for name, options in (("before", ["--checkpoint", checkpoint]), ("after", [])):
        answer = call("export", run, "--out", tmp_path / name, "--plain-codes", "--verify", 3, *options)
        assert answer.code == 0, answer.err
    assert codes_in(tmp_path / "before") > 15 >= codes_in(tmp_path / "after")


def test_json_output_is_the_proof_on_one_line(run, tmp_path):
    answer = call("export", run, "--out", tmp_path / "net.tflite", "--json", "--verify", 5, "--softmax")
    assert answer.code == 0 and len(answer.out.splitlines()) == 1
    record = answer.json
    files = record.pop("files")
    assert files[0] == str(tmp_path / "net.tflite") and all(os.path.exists(path) for path in files)
    assert record == json.loads((tmp_path / "net.tflite.parity.json").read_text())
    assert (record["examples"], record["layer_examples"]) == (5, 2)


def test_a_faulty_file_exits_with_1_and_names_the_fault(run, tmp_path, monkeypatch):
    from qatviz.export.tflite import export as tflite

    class Broken(tflite.TfliteRunner):
        def run(self, codes):
            return {name: values + 3 * (name == "pool1") for name, values in super().run(codes).items()}

    monkeypatch.setattr(tflite, "TfliteRunner", Broken)
    answer = call("export", run, "--out", tmp_path / "net.tflite", "--verify", 5)
    assert answer.code == 1
    assert "error: layer 'pool1': alone" in answer.err and "WRONG: layer 'pool1'" in answer.out


def test_a_new_path_of_the_data_can_be_given(run, data, tmp_path):
    moved = tmp_path / "moved.npz"
    moved.write_bytes(data.read_bytes())
    assert call("export", run, "--out", tmp_path / "net.tflite", "--data", moved, "--verify", 2).code == 0
    other = write_data(tmp_path / "other.npz", poisoned=0)
    assert "the data is not that of the run" in error_of("export", run, "--out", tmp_path / "x.tflite", "--data", other)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--verify", "0"), "--verify is 0"),
        (("--checkpoint", "nowhere"), "nowhere"),
        (("--format", "onnxx"), "tflite"),
    ],
)
def test_wrong_arguments_are_refused(run, arguments, message, tmp_path):
    assert message in error_of("export", run, "--out", tmp_path / "net.tflite", *arguments)
    assert os.listdir(str(tmp_path)) == []


def test_a_directory_without_a_run_is_refused(tmp_path):
    error_of("export", tmp_path / "nowhere", "--out", tmp_path / "net.tflite")
    assert "--out" in error_of("export", tmp_path)
    assert os.listdir(str(tmp_path)) == []


def test_settings_that_tflite_cannot_hold_are_refused_with_remedies(data, tmp_path):
    call(
        "train",
        "--network",
        "mlp",
        "--data",
        data,
        "--steps",
        1,
        "--batch-size",
        8,
        "--out",
        tmp_path / "run",
        "--weights",
        "num_bits=9",
        "--quiet",
    )
    answer = call("export", tmp_path / "run", "--out", tmp_path / "net.tflite")
    assert answer.code == 2 and "possible with dense1.weights.num_bits=8" in answer.err
    assert os.listdir(str(tmp_path)) == ["run"]


def test_a_run_without_a_checkpoint_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "starting_point", lambda *_: (None, ()))
    assert "has no checkpoint yet" in error_of("export", run, "--out", tmp_path / "net.tflite")


def test_an_export_as_savedmodel_prints_no_warning_of_tensorflow(run, tmp_path):
    """In a process of its own: TensorFlow warns once."""
    command = [sys.executable, "-m", "qatviz", "export", run, "--format", "savedmodel", "--out", tmp_path / "saved"]
    ended = run_process([*map(str, command), "--verify", "4"], cwd=ROOT, universal_newlines=True, check=True)
    assert [line.split()[0] for line in ended.stderr.splitlines()] == ["exporting"]


def test_a_dry_run_lists_the_sizes_of_all_formats_and_writes_nothing(run, tmp_path):
    before = sorted(run.rglob("*"))
    answer = call("export", run, "--dry-run")
    assert answer.code == 0, answer.err
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line.split() and line.split()[0] in FORMATS}
    assert list(rows) == list(FORMATS)
    for name, switches in (("tflite", "--int4 --int4-all"), ("c", "--pack-int4"), ("onnx", "--opset 21")):
        assert f"({switches})" in rows[name], "the weights have 4 bits"
    assert "in 8-bit storage save nothing" in answer.out
    assert sorted(run.rglob("*")) == before and os.listdir(str(tmp_path)) == []


def test_a_dry_run_of_a_format_gives_the_size_that_the_export_has(run, tmp_path):
    given = ("--format", "tflite", "--int4", "--softmax")
    (found,) = call("export", run, "--dry-run", "--json", *given).json
    assert call("export", run, *given, "--verify", 2, "--out", tmp_path / "net.tflite").code == 0
    assert found["bytes"] == (tmp_path / "net.tflite").stat().st_size < found["without_packing"]
    text = call("export", run, "--dry-run", *given).out
    assert "(not packed)" in text and "note: " not in text
    assert "note: Weights of up to 4 bits" in call("export", run, "--dry-run", "--format", "tflite").out


def test_an_option_of_a_format_needs_the_format_in_a_dry_run(run):
    assert "expected --format" in error_of("export", run, "--dry-run", "--int4")


def test_a_format_that_refuses_the_settings_is_listed_with_the_reason(data, tmp_path):
    wide = ("--weights", "num_bits=9", "--quiet", "--out", tmp_path / "run")
    call("train", "--network", "mlp", "--data", data, "--steps", 1, "--batch-size", 8, *wide)
    rows = {row["format"]: row for row in call("export", tmp_path / "run", "--dry-run", "--json").json}
    assert rows["tflite"]["bytes"] is None and "possible with dense1.weights.num_bits=8" in rows["tflite"]["refused"]
    assert rows["c"]["bytes"] > 0 and rows["c"]["refused"] is None
    assert "possible with dense1.weights.num_bits=8" in call("export", tmp_path / "run", "--dry-run").out
