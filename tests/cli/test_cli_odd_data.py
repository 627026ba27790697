"""Training that diverges, and data at the edge of what can be learned: a clear message, or a right result."""

import itertools
import math

import numpy as np
import pytest
from cli_calls import call
from exhaustive import tries
from tensorflow_needed import needs_tensorflow

from qatviz.export.formats import FORMATS
from qatviz.settings import OPTIMIZERS
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow

QUIET = ["--network", "mlp", "--quiet", "--json"]
STEPS = 12
CHANCE = np.random.RandomState(0)
X = CHANCE.rand(60, 6, 6, 1).astype(np.float32)
Y = np.arange(60) % 3


def write(path, x=X, y=Y, **arrays):
    arrays.update({name: array for name, array in (("x", x), ("y", y)) if array is not None})
    np.savez(str(path), **arrays)
    return path


def assert_right(answer, steps=STEPS):
    """Check that a run has ended with finite numbers."""
    assert answer.code == 0 and "Traceback" not in answer.err, answer.err
    assert answer.json["step"] == steps and math.isfinite(answer.json["loss"])
    assert all(0 <= accuracy <= 1 for accuracy in answer.json["accuracy"].values())


def assert_usable(run, tmp_path, formats, refusal=None):
    """Check that report, table and exports of a run are made; an export may be refused with the text ``refusal``."""
    assert call("show", run).code == 0
    assert call("report", run, "--out", tmp_path / "r.html").code == 0
    for form in formats:
        out = tmp_path / f"export-{form}"
        answer = call("export", run, "--format", form, "--out", out, "--verify", 8)
        is_refused = refusal is not None and answer.code == 2 and refusal in answer.err
        assert (answer.code == 0 or is_refused) and "Traceback" not in answer.err, (form, answer.err)


def train(run, data, *options, steps=STEPS):
    return call("train", "--data", data, *QUIET, "--steps", steps, "--out", run, *options)


ODD = {
    "constant": ({"x": np.full_like(X, 0.25)}, []),
    "all zeros": ({"x": np.zeros_like(X)}, []),
    "constant column": ({"x": np.concatenate([X[:, :3], np.ones_like(X[:, :3])], 1)}, []),
    "tiny values": ({"x": X * np.float32(1e-38)}, []),
    "large values": ({"x": X * np.float32(1e30)}, ["--learning-rate", "1e-30"]),
    "batch 1": ({}, ["--batch-size", "1"]),
    "batch larger than the data": ({}, ["--batch-size", "100"]),
    "one held-out example": (
        {"x": None, "y": None, "x_train": X[:2], "y_train": Y[:2], "x_test": X[:1], "y_test": Y[:1]},
        ["--batch-size", "1"],
    ),
    "2 bits": ({}, ["--weights", "num_bits=2", "--activations", "num_bits=2"]),
    "2 bits symmetric per channel": (
        {},
        ["--weights", "num_bits=2,symmetric=on,per_channel=on", "--activations", "num_bits=2,symmetric=on"],
    ),
    "no training": ({}, ["--learning-rate", "0"]),
}


@pytest.mark.parametrize("name", tries(["all zeros", "one held-out example", "2 bits"], [*ODD]))
def test_data_and_settings_at_the_edge(tmp_path, name):
    arrays, options = ODD[name]
    run = tmp_path / "run"
    answer = train(run, write(tmp_path / "d.npz", **arrays), *options)
    if name in ("large values", "no training") and answer.code:
        assert "qatviz: error: " in answer.err and "Traceback" not in answer.err
        return
    assert_right(answer)
    formats = tries(["c"] if name == "2 bits" else ["tflite"], [*FORMATS])
    if name in ("all zeros", "tiny values"):
        answer = call("export", run, "--out", tmp_path / "x.tflite")
        assert answer.code == 2 and "its range is 0 to 0, because all values so far were 0" in answer.err
        formats = []
    assert_usable(run, tmp_path, formats)


@pytest.mark.parametrize("name", ["batch 1", "batch larger than the data", "constant column"])
def test_batches_and_columns_at_the_edge_without_exports(tmp_path, name):
    arrays, options = ODD[name]
    answer = train(tmp_path / "run", write(tmp_path / "d.npz", **arrays), *options)
    assert_right(answer)
    assert call("report", tmp_path / "run").code == 0


def test_a_single_class_is_refused(tmp_path):
    answer = train(tmp_path / "run", write(tmp_path / "d.npz", y=np.zeros(60, int)))
    assert answer.code == 2 and "y: found the single class 0; expected at least two classes" in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_column_without_numbers_is_refused(tmp_path, value):
    x = X.reshape(60, 36).copy()
    x[:, 7] = value
    answer = train(tmp_path / "run", write(tmp_path / "d.npz", x=x))
    assert answer.code == 2 and f"found {value!r} in example 0" in answer.err and len(answer.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


DIVERGENT = list(itertools.product(OPTIMIZERS, ["100", "10"], ["tflite-int8", "float", "ternary"]))


@pytest.mark.parametrize(
    "optimizer, rate, preset", tries([("sgd", "100", "tflite-int8"), ("sgd", "100", "float")], DIVERGENT)
)
def test_training_that_diverges(tmp_path, optimizer, rate, preset):
    """It stops with the last good state and a hint, or goes on with whatever it learns; the record is usable."""
    run = tmp_path / "run"
    data = write(tmp_path / "d.npz", X * 1000)
    options = ["--optimizer", optimizer, "--learning-rate", rate, "--preset", preset]
    answer = train(run, data, *options, steps=60)
    assert "Traceback" not in answer.err
    assert answer.code in (0, 1), answer.err
    if answer.code:
        (line,) = answer.err.splitlines()
        assert "A lower learning rate may help" in line and f"--resume {run} --learning-rate" in line
    result = answer.json
    assert result["step"] <= 60 and (answer.code or result["step"] == 60)
    formats = [] if preset == "float" else tries(["npz"], ["npz", "tflite", "c", "onnx"])
    assert_usable(run, tmp_path, formats, refusal="are safe from overflow in TFLite")
    assert np.isfinite(RunRecord.read(run).steps().loss).all()
    again = call("train", "--resume", run, "--learning-rate", "1e-5", "--steps", result["step"] + 5, "--quiet")
    assert again.code in (0, 1) and "Traceback" not in again.err


def test_a_learning_rate_without_any_sense_is_refused(tmp_path):
    answer = train(tmp_path / "run", write(tmp_path / "d.npz"), "--learning-rate", "1e6")
    assert answer.code == 2 and "--learning-rate is 1000000.0: expected a number from 0 to 100" in answer.err
    assert not (tmp_path / "run").exists()
