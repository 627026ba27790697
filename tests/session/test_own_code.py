"""Losses and metrics of the user's Python files: results equal Keras', consent, records, resume, errors."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import dataset

import qatviz
from qatviz.cli import main
from qatviz.data import from_arrays
from qatviz.errors import CodeRefused, RunStateError, SettingError
from qatviz.metric import METRICS, metric_for
from qatviz.own_functions import OwnFunction, is_function
from qatviz.session.own_code import ALLOWED_VARIABLE
from qatviz.session.prepare import prepare
from qatviz.session.request import ForkRequest, NewRunRequest, ResumeRequest, RunRequest
from qatviz.task import REGRESSION
from qatviz.telemetry.record.refill import recorded_metric
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.own_functions import own_objective

QUIET = {"quiet": True, "evaluation_interval": 0, "batch_size": 16}
SCRIPT = """
import tensorflow as tf

def focal(y_true, y_pred):
    probabilities = tf.nn.softmax(y_pred)
    right = tf.reduce_sum(y_true * probabilities, axis=-1)
    return -tf.square(1 - right) * tf.math.log(right + 1e-7)

def total(y_true, y_pred):
    return tf.reduce_mean(focal(y_true, y_pred))

def hits(y_true, y_pred):
    return tf.keras.metrics.categorical_accuracy(y_true, y_pred)

def absolute_error(y_true, y_pred):
    return tf.keras.losses.mean_absolute_error(y_true, y_pred)

def constant(y_true, y_pred):
    return tf.constant(1.0)

def broken(y_true, y_pred):
    raise ValueError("no such thing")

def integers(y_true, y_pred):
    return tf.argmax(y_pred, axis=-1)

NUMBER = 3
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv(ALLOWED_VARIABLE, str(tmp_path / "user" / "allowed.txt"))
    path = tmp_path / "mine.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return str(path)


@pytest.fixture
def npz(tmp_path):
    data = dataset()
    path = str(tmp_path / "data.npz")
    np.savez(path, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    return path


def model(activation=None, outputs=3):
    tf.keras.backend.clear_session()
    tf.set_random_seed(1)  # of the initial weights: few filters may all be dead from the start
    layers = [tf.keras.layers.Dense(8, "relu", input_shape=(6,)), tf.keras.layers.Dense(outputs, activation)]
    return tf.keras.Sequential(layers)


@pytest.mark.parametrize("function", ["focal", "total"])
def test_a_loss_of_a_file_trains_as_keras_does(script, function):
    data, steps, rate = dataset(), 15, 0.1
    keras = model()
    weights = [w.copy() for w in keras.get_weights()]
    more = {"loss": f"{script}:{function}", "allow_code": True, "optimizer": "sgd", "learning_rate": rate}
    trained = qatviz.train(keras, data, steps=steps, preset="float", **more, **QUIET)
    names = {}
    exec(SCRIPT, names)
    reference = model()
    reference.set_weights(weights)
    reference.compile(tf.keras.optimizers.SGD(rate), names[function])
    batches = qatviz.data.BatchSchedule(len(data.x_train), 16, 0)
    one_hot = np.eye(3, dtype=np.float32)[data.y_train]
    for indices in map(batches.indices, range(steps)):
        reference.train_on_batch(data.x_train[indices], one_hot[indices])
    kernels = [array for name, array in sorted(trained.final_state.arrays.items()) if name.endswith(".weights")]
    expected = [w for w in reference.get_weights() if w.ndim == 2]
    for found in kernels:
        assert any(found.shape == w.shape and np.allclose(found, w, rtol=1e-3, atol=1e-5) for w in expected)


def test_a_metric_is_the_mean_over_all_held_out_examples_in_each_mode(script):
    data = dataset()
    trained = qatviz.train(
        model(), data, steps=60, learning_rate=0.02, metric=f"{script}:hits", allow_code=True, **QUIET
    )
    assert trained.outcome.metric.name == "own:hits" and trained.outcome.metric.title == "hits"
    (accuracy,) = trained.outcome.further
    assert accuracy.metric == "accuracy"
    for mode, value in trained.scores.items():
        assert value == pytest.approx(accuracy.scores[mode], abs=1e-6), mode
    assert 0.5 < trained.scores["float"] <= 1


def test_probabilities_are_given_where_the_model_ends_with_them(tmp_path):
    seen = {}

    def looks(y_true, y_pred):
        seen["true"], seen["pred"] = y_true, y_pred
        return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)

    data = dataset(classes=2)
    for activation, outputs, kind in (("softmax", 2, "Softmax"), ("sigmoid", 1, "Sigmoid"), (None, 2, "Identity")):
        qatviz.train(model(activation, outputs), data, steps=1, loss=looks, **QUIET)
        assert seen["pred"].op.type == kind and seen["true"].dtype == tf.float32
        assert seen["true"].shape.as_list()[1:] == seen["pred"].shape.as_list()[1:] == [outputs]


def test_masks_are_one_hot_rows_without_those_that_are_ignored():
    x = np.random.RandomState(0).rand(40, 4, 4, 1).astype(np.float32)
    y = (x[..., 0] > 0.5).astype(np.uint8)
    y[:, 0] = 255

    def soft_dice(y_true, y_pred):
        y_pred = tf.nn.softmax(y_pred) * tf.reduce_sum(y_true, axis=-1, keepdims=True)
        axes = [1, 2, 3]
        return 2 * tf.reduce_sum(y_true * y_pred, axes) / tf.reduce_sum(y_true + y_pred, axes)

    def dice_loss(y_true, y_pred):
        return 1 - soft_dice(y_true, y_pred)

    tf.keras.backend.clear_session()
    tf.set_random_seed(1)  # of the initial weights: few filters may all be dead from the start
    layers = [tf.keras.layers.Conv2D(4, 1, activation="relu", input_shape=(4, 4, 1)), tf.keras.layers.Conv2D(2, 1)]
    more = {"loss": dice_loss, "metric": soft_dice, "learning_rate": 0.02, **QUIET}
    trained = qatviz.train(tf.keras.Sequential(layers), (x, y), steps=200, **more)
    assert [each.metric for each in trained.outcome.further] == ["mean_iou", "pixel_accuracy"]
    assert trained.scores["float"] > 0.8 and trained.outcome.further[0].scores["float"] > 0.8


def test_a_loss_is_differentiated_once_to_verify_that_it_has_a_gradient(monkeypatch):
    gradients, calls = tf.gradients, []
    monkeypatch.setattr(tf, "gradients", lambda *given: calls.append(given) or gradients(*given))
    with tf.Graph().as_default():
        outputs, labels = tf.placeholder(tf.float32, [4, 2]), tf.placeholder(tf.float32, [4, 2])
        objective = own_objective(OwnFunction("/mine.py:squared", "", lambda y, x: tf.square(y - x)), REGRESSION)
        for _ in range(3):
            objective.loss(outputs, labels)
        assert len(calls) == 1
        objective = own_objective(OwnFunction("/mine.py:constant", "", lambda y, x: tf.constant(1.0)), REGRESSION)
        for _ in range(2):
            with pytest.raises(SettingError, match="function 'constant' of /mine.py: its result has no gradient"):
                objective.loss(outputs, labels)


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"loss": "{}:broken"}, "loss: function 'broken' of .*mine.py failed: ValueError: no such thing"),
        ({"metric": "{}:broken"}, "metric: function 'broken' of .*mine.py failed: ValueError: no such thing"),
        ({"loss": "{}:constant"}, "function 'constant' of .*mine.py: its result has no gradient"),
        ({"metric": "{}:integers"}, "function 'integers' of .*mine.py: found a result of int64"),
        ({"loss": "{}:absent"}, "loss: .*mine.py: function 'absent' does not exist; found: absolute_error, broken"),
        ({"loss": "{}:NUMBER"}, "function 'NUMBER' does not exist"),
        ({"loss": "elsewhere.py:f"}, "elsewhere.py: no such file; expected PATH.py:FUNCTION"),
        ({"loss": "focal"}, "loss is 'focal': expected one of auto, .*, or PATH.py:FUNCTION"),
    ],
)
def test_errors_name_the_function(script, choice, message):
    chosen = {name: value.format(script) for name, value in choice.items()}
    with pytest.raises((SettingError, RunStateError), match=message):
        qatviz.train(model(), dataset(), steps=1, allow_code=True, **chosen, **QUIET)


def test_a_file_that_fails_is_named(tmp_path, script):
    path = tmp_path / "bad.py"
    path.write_text("raise RuntimeError('on purpose')", encoding="utf-8")
    with pytest.raises(SettingError, match="bad.py failed: RuntimeError: on purpose"):
        qatviz.train(model(), dataset(), steps=1, loss=f"{path}:f", allow_code=True, **QUIET)


def test_no_code_runs_without_consent(script, npz, tmp_path):
    marker = tmp_path / "ran"
    with open(script, "a", encoding="utf-8") as file:
        file.write(f"open({str(marker)!r}, 'w').close()\n")
    request = NewRunRequest(network="mlp", data=npz, loss=f"{script}:focal", steps=1)
    with pytest.raises(CodeRefused, match="mine.py is a Python program, which must run to compute the loss") as error:
        prepare(request)
    assert error.value.field == "loss" and not marker.exists()
    assert RunRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_resume_and_fork_ask_again_only_if_the_file_changed(script, npz, tmp_path, capsys):
    out = str(tmp_path / "run")
    options = ["--network", "mlp", "--data", npz, "--batch-size", "16", "--evaluation-interval", "0", "--quiet"]
    arguments = [
        "train",
        *options,
        "--steps",
        "3",
        "--out",
        out,
        "--loss",
        f"{script}:focal",
        "--metric",
        f"{script}:hits",
    ]
    assert main(arguments) != 0 and "--allow-code" in capsys.readouterr().err.replace("allow_code", "--allow-code")
    assert main([*arguments, "--allow-code"]) == 0
    description = RunRecord.read(out).description
    assert description["loss"] == f"{script}:focal" and description["metric"] == f"{script}:hits"
    assert set(description["functions"]["digests"]) == {f"{script}:focal", f"{script}:hits"}
    assert recorded_metric(description).title == "hits"
    assert main(["train", "--resume", out, "--steps", "5", "--quiet"]) == 0
    assert main(["evaluate", out, "--json"]) == 0
    assert "own:hits" in json.loads(capsys.readouterr().out.splitlines()[-1])
    with open(script, "a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    with pytest.raises(CodeRefused, match="mine.py has changed since the run, and is a Python program"):
        prepare(ResumeRequest(directory=out))
    with pytest.raises(CodeRefused, match="has changed since the run"):
        prepare(ForkRequest(directory=out))
    notices = []
    prepared = prepare(ResumeRequest(directory=out, allow_code=True), notify=notices.append)
    prepared.run.discard()
    assert any("has changed since the run was recorded" in notice.text for notice in notices)
    os.remove(script)
    with pytest.raises(SettingError, match="mine.py: no such file"):
        prepare(ResumeRequest(directory=out))
    assert main(["show", out]) == 0  # a record is read without its code


def test_names_tell_whether_higher_is_better():
    assert METRICS["own:dice"].higher_is_better and not METRICS["own:HausdorffDistance"].higher_is_better
    assert METRICS["/a/b.py:absolute_error"].name == "own:absolute_error"
    assert metric_for("b.py:dice", "regression", 0) == METRICS["own:dice"]
    assert is_function("a b.py:f1") and not is_function("b.py:1f") and not is_function("b.py")
    with pytest.raises(KeyError):
        METRICS["dice"]


def test_regression_targets_and_labels_are_given_as_they_are(script):
    random = np.random.RandomState(0)
    x = random.standard_normal((80, 6)).astype(np.float32)
    data = from_arrays("numbers", "a test", (x[:60], x[:60, :3]), (x[60:], x[60:, :3]))
    trained = qatviz.train(model(), data, steps=60, metric=f"{script}:absolute_error", allow_code=True, **QUIET)
    assert not trained.outcome.metric.higher_is_better and trained.outcome.further[0].metric == "rmse"
    assert 0 < trained.scores["quantized"] < trained.outcome.further[0].scores["quantized"]
