"""Several outputs from the command line: options, data, outputs and reports have each of them."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from cli_calls import call, error_of


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
    return path


def test_the_record_and_its_views_have_each_output(folder):
    found = call("show", folder / "run", "--json").json
    heads = {row["output"]: row for row in found["description"]["heads"]}
    assert heads["size"]["loss"] == "huber" and heads["kind"]["weight"] == 0.5
    assert found["metric"] == "rmse" and [row["output"] for row in found["further"]] == ["kind"]
    text = call("show", folder / "run").out
    assert "size: RMSE on held-out data" in text and "kind: accuracy" in text
    assert call("report", folder / "run", "--out", folder / "report.html").code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert ">kind: accuracy<" in page and "size: RMSE in float and quantized" in page
    assert "size: Huber loss × 1; kind: Cross-entropy × 0.5" in page


def test_a_run_is_resumed_with_its_heads(folder):
    again = call("train", "--resume", folder / "run", "--steps", 60)
    assert again.code == 0, again.err
    evaluated = call("evaluate", folder / "run", "--json").json
    assert evaluated["step"] == 60 and evaluated["further"][0]["output"] == "kind"
    assert "--loss" in error_of("train", "--resume", folder / "run", "--loss", "kind=mse")


def test_the_data_lists_its_outputs(folder):
    text = call("data", folder / "data.npz").out
    assert "output kind" in text and "output size" in text


def test_options_that_do_not_fit_are_refused(folder):
    model = ("train", "--model", folder / "model.h5", "--data", folder / "data.npz")
    assert "expected OUTPUT=VALUE" in error_of(*model, "--loss-weight", "0.5")
    assert "expected a number" in error_of(*model, "--loss-weight", "kind=x")
    for choice, message in (
        ("color=mse", "error: --loss is stated for the output 'color': expected one of 'size', 'kind'"),
        ("size=cross_entropy", "output 'size': loss is 'cross_entropy', but the task is regression"),
        ("mse", "error: --loss is 'mse', but the network has the outputs 'size', 'kind': state it for each"),
    ):
        answer = call(*model, "--loss", choice)
        assert answer.code == 2 and message in answer.err
