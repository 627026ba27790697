"""Several outputs from the command line: options, data, outputs and reports have each of them."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from cli_calls import call, error_of

from qatviz.cli.parser import parse
from qatviz.cli.train_options import request_of
from qatviz.export.formats import FORMATS
from qatviz.session.sizes import size_at
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("heads")
    x = np.random.RandomState(0).standard_normal((240, 8)).astype(np.float32)
    np.savez(str(path / "data.npz"), x=x, y_kind=np.digitize(x[:, 0], [-0.4, 0.4]), y_size=x[:, 1:3] + 0.5)
    with tf.Graph().as_default(), tf.Session():
        given = tf.keras.layers.Input((8,))
        body = tf.keras.layers.Dense(12, activation="relu")(given)
        outputs = [tf.keras.layers.Dense(size, name=name)(body) for name, size in (("size", 2), ("kind", 3))]
        tf.keras.Model(given, outputs).save(str(path / "model.h5"))
    options = ("--steps", 40, "--batch-size", 16, "--loss", "size=huber", "--loss-weight", "kind=0.5")
    trained = call("train", "--model", path / "model.h5", "--data", path / "data.npz", *options, "--out", path / "run")
    assert trained.code == 0, trained.err
    (path / "printed.txt").write_text(trained.out, encoding="utf-8")
    return path


def rows_of(text, heading):
    """Return the cells of the first columns of the table after a heading, by output."""
    lines = text[text.index(heading) :].splitlines()[1:5]
    return {cells[0]: cells for cells in (line.split() for line in lines)}


def test_the_record_and_its_views_have_each_output(folder):
    found = call("show", folder / "run", "--json").json
    heads = {row["output"]: row for row in found["description"]["heads"]}
    assert heads["size"]["loss"] == "huber" and heads["kind"]["weight"] == 0.5
    assert found["metric"] == "rmse" and [row["output"] for row in found["further"]] == ["kind"]
    text = call("show", folder / "run").out
    assert "size: RMSE on held-out data" in text
    total, losses = found["held_out_loss"], found["losses"]
    assert total == pytest.approx(losses["size"] + 0.5 * losses["kind"], rel=1e-6)
    for printed, heading in ((text, "outputs\n"), ((folder / "printed.txt").read_text(), "held-out data\n")):
        table = rows_of(printed, heading)
        assert list(table) == ["output", "total", "size", "kind"], "the total is the first"
        assert table["output"][1:5] == ["loss", "metric", "float", "weights"]
        for name, loss in {"total": total, **losses}.items():
            assert float(table[name][1]) == pytest.approx(loss, rel=1e-3)
        assert table["size"][2] == "RMSE" and table["kind"][2] == "accuracy" and table["kind"][-1] == "%"
    assert call("report", folder / "run", "--out", folder / "report.html").code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Losses and metrics of the outputs after step 40" in page and ">total<" in page
    assert all(f">{title}<" in page for title in ("size: RMSE", "kind: Accuracy (%)", "Held-out loss"))
    assert "size: RMSE in float and quantized" in page
    assert "size: Huber loss × 1; kind: Cross-entropy × 0.5" in page


def test_a_run_is_resumed_with_its_heads(folder):
    again = call("train", "--resume", folder / "run", "--steps", 60)
    assert again.code == 0, again.err
    evaluated = call("evaluate", folder / "run", "--json").json
    assert evaluated["step"] == 60 and evaluated["further"][0]["output"] == "kind"
    assert set(evaluated["losses"]) == {"size", "kind"}
    assert list(rows_of(call("evaluate", folder / "run").out, "outputs\n")) == ["output", "total", "size", "kind"]
    assert "--loss" in error_of("train", "--resume", folder / "run", "--loss", "kind=mse")


def test_the_data_lists_its_outputs(folder):
    text = call("data", folder / "data.npz").out
    assert "output kind" in text and "output size" in text


def test_tasks_and_class_weights_are_stated_by_output(folder):
    model = ("train", "--model", folder / "model.h5", "--steps", 5, "--batch-size", 16, "--out", folder / "weighted")
    stated = ("--task", "size=regression", "--task", "kind=classification", "--class-weights", "kind=0=2,2=0.5")
    done = call(*model, "--data", folder / "data.npz", *stated)
    assert done.code == 0, done.err
    assert "whole numbers" not in done.err, "nothing is inferred"
    rows = call("show", folder / "weighted", "--json").json["description"]["heads"]
    assert [(row["output"], row["task"], row.get("class_weights")) for row in rows] == [
        ("size", "regression", None),
        ("kind", "classification", "0=2,2=0.5"),
    ]
    told = call("data", folder / "data.npz", "--task", "kind=regression", "--json").json
    assert {row["output"]: row["task"] for row in told["outputs"]} == {"kind": "regression", "size": "regression"}
    assert call("report", folder / "weighted", "--out", folder / "weighted.html").code == 0
    assert "kind: 0=2,2=0.5" in (folder / "weighted.html").read_text(encoding="utf-8")
    one = request_of(parse(["train", "--class-weights", "balanced", "--task", "classification"]))
    assert (one.class_weights, one.task, dict(one.heads)) == ("balanced", "classification", {})


def test_sizes_are_printed_without_an_export(folder):
    sizes = call("export", folder / "run", "--dry-run", "--json").json
    assert len(sizes) == len(FORMATS) and not any(row["refused"] for row in sizes)
    exported = call("export", folder / "run", "--format", "tflm", "--out", folder / "tflm")
    assert exported.code == 0, exported.err
    known = {row["format"]: row["bytes"] for row in sizes}
    assert known["tflm"] == next((folder / "tflm").glob("*.tflite")).stat().st_size
    for name in ("keras", "c", "onnx-float"):
        estimate = size_at(str(folder / "run"), "", read_outcome(RunRecord.read(folder / "run")).book, None, name, {})
        assert estimate.nbytes == pytest.approx(known[name], rel=0.05), name


def test_options_that_do_not_fit_are_refused(folder):
    model = ("train", "--model", folder / "model.h5", "--data", folder / "data.npz")
    assert "expected OUTPUT=VALUE" in error_of(*model, "--loss-weight", "0.5")
    assert "expected a number" in error_of(*model, "--loss-weight", "kind=x")
    for weights, message in (
        ("color=balanced", "error: --class-weights is stated for the output 'color': expected one of 'size', 'kind'"),
        ("balanced", "error: --class-weights is 'balanced', but the network has the outputs 'size', 'kind': state it"),
    ):
        answer = call(*model, "--class-weights", weights)
        assert answer.code == 2 and message in answer.err
    for choice, message in (
        ("color=mse", "error: --loss is stated for the output 'color': expected one of 'size', 'kind'"),
        ("size=cross_entropy", "output 'size': loss is 'cross_entropy', but the task is regression"),
        ("mse", "error: --loss is 'mse', but the network has the outputs 'size', 'kind': state it for each"),
    ):
        answer = call(*model, "--loss", choice)
        assert answer.code == 2 and message in answer.err
