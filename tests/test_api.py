"""`qatviz.train` and `qatviz.launch` from a user's own script."""

import os
import re
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from shared_graphs import closed_pool, shared_graphs  # noqa: F401
from waiting import run_process

import qatviz
from qatviz import api
from qatviz import data as data_sets
from qatviz.api import DATA_FILE
from qatviz.errors import DataError, NetworkError, SettingError
from qatviz.session.prepared import Notice
from qatviz.telemetry.record.run_record import RunRecord

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Accuracy of a network that learned to separate bright images from dark ones: it reaches 1 soon; guessing gives 0.5.
LEARNT = 0.75


def squares(count=60, side=8):
    """Return images of two classes: bright and dark."""
    random = np.random.RandomState(0)
    y = np.arange(count) % 2
    x = random.randint(0, 80, (count, side, side, 1)) + 150 * y[:, None, None, None]
    return x.astype(np.uint8), y


def keras_model(units=2, end="softmax"):
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(4, 3, strides=2, activation="relu", input_shape=(8, 8, 1), name="eyes"),
            layers.Flatten(),
            layers.Dense(units, activation=end, name="verdict"),
        ]
    )


@pytest.fixture
def in_graph():
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)  # of four filters, too many may otherwise be dead from the start
        yield


def readme_script():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        scripts = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
    return next(script for script in scripts if "qatviz.launch" in script)


def test_a_model_is_trained_recorded_and_exported(tmp_path, in_graph):
    out = str(tmp_path / "run")
    trained = qatviz.train(
        keras_model(),
        squares(),
        out=out,
        quiet=True,
        steps=40,
        learning_rate=1e-2,
        batch_size=16,
        weights={"num_bits": 4},
        changes=["10:eyes.weights.num_bits=3", "eyes.weights.symmetric=off"],
    )
    assert trained.directory == out and trained.moment.step == 40
    assert next(layer.name for layer in trained.network.layers) == "eyes"
    assert trained.accuracy["quantized"] > LEARNT
    assert trained.moment.book.of("eyes.weights").num_bits == 3
    assert not trained.moment.book.of("eyes.weights").symmetric
    written = trained.export(tmp_path / "net.tflite")
    assert written.paths[0].exists() and not written.report.faults
    # The record stands alone: what the script had is beside it.
    description = RunRecord.read(out).description
    again = data_sets.load(description["data"])
    assert again.fingerprint == description["data_fingerprint"]
    assert os.path.basename(description["data"]) == DATA_FILE


def test_training_starts_with_the_weights_of_the_model_or_from_scratch(tmp_path, in_graph):
    model = keras_model()
    kernel = model.get_weights()[0]
    for from_scratch in (False, True):
        out = str(tmp_path / str(from_scratch))
        trained = qatviz.train(model, squares(), out=out, quiet=True, steps=0, from_scratch=from_scratch)
        assert np.array_equal(trained.moment.arrays["eyes.weights"], kernel) != from_scratch
        assert (RunRecord.read(out).initial_parameters() is None) == from_scratch


def test_quantization_can_start_after_a_delay(in_graph):
    trained = qatviz.train(keras_model(), squares(), quiet=True, steps=3, quant_delay=2)
    assert {s.quant_delay for s in trained.moment.book.quantizers} == {2} and trained.directory is None


def test_one_hot_labels_are_classes(in_graph):
    x, y = squares()
    trained = qatviz.train(
        keras_model(),
        ((x, np.eye(2)[y]), (x, np.eye(2, dtype=np.float32)[y])),
        quiet=True,
        steps=30,
        learning_rate=1e-2,
    )
    assert trained.accuracy["float"] > LEARNT


def test_a_model_with_a_linear_output_learns_regression(tmp_path, in_graph):
    x, y = squares()
    y = x.astype(np.float32).mean(axis=(1, 2, 3)) / 100
    model = keras_model(1, "linear")
    found = tf.keras.backend.get_session().run(model.output, {model.input: x[48:] / np.float32(255)})
    expected = np.sqrt(np.mean((found[:, 0] - y[48:]) ** 2))
    data = ((x[:48], y[:48]), (x[48:], y[48:]))
    before = qatviz.train(model, data, quiet=True, steps=0)
    assert before.scores["float"] == pytest.approx(expected, rel=1e-4) and before.accuracy == {}
    out = str(tmp_path / "run")
    trained = qatviz.train(model, data, out=out, quiet=True, steps=150, learning_rate=3e-3, batch_size=16)
    assert trained.outcome.metric.name == "rmse" and trained.scores["quantized"] < 0.5 * y.std()
    assert trained.outcome.to_dict()["rmse"] == trained.scores
    report = trained.export(tmp_path / "net.tflite").report
    # The last digits of trained weights depend on the processor: of the file's outputs, some may be a code off.
    assert report.scores["file"] == pytest.approx(trained.scores["quantized"], rel=0.2) and not report.faults
    again = data_sets.load(RunRecord.read(out).description["data"])
    assert again.task == "regression" and again.fingerprint == RunRecord.read(out).description["data_fingerprint"]


def test_a_model_that_ends_in_a_softmax_is_refused_for_regression(in_graph):
    x, y = squares()
    with pytest.raises(
        NetworkError, match="'verdict.*' is a Softmax, whose outputs lie between 0 and 1.*end the network without it"
    ):
        qatviz.train(keras_model(), (x, np.stack([y + 0.5, y - 0.25], axis=1)), quiet=True, steps=1)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"steps": -1}, SettingError, "steps is -1"),
        ({"stepz": 5}, SettingError, "there is no option 'stepz'; there are activations, allow_code"),
        ({"data": 7}, DataError, r"data is of the type int; expected \(x, y\)"),
        ({"changes": ["5:nose.weights.num_bits=3"]}, SettingError, "nose"),
        ({"weights": {"num_bits": 0}}, SettingError, "num_bits"),
        ({"model": "lenot"}, NetworkError, "lenot"),
        ({"model": "missing.h5"}, NetworkError, "missing.h5"),
        ({"model": 5}, NetworkError, "the model's class is builtins.int"),
        ({"data": (np.zeros((5, 8, 8, 1)), np.zeros(4))}, DataError, "y_train"),
        ({"task": "ranking"}, DataError, "the task is 'ranking'"),
        (
            {"task": "classification", "data": data_sets.from_arrays("a", "b", squares(), task="regression")},
            DataError,
            "b: the task is 'classification', but that of the data set is 'regression'",
        ),
    ],
)
def test_invalid_arguments_are_refused_before_the_run_is_created(arguments, error, message, tmp_path):
    with pytest.raises(error, match=message):
        qatviz.train(
            **dict({"model": "mlp", "data": squares(), "quiet": True, "out": str(tmp_path / "run")}, **arguments)
        )
    assert not (tmp_path / "run").exists()


def test_unknown_attributes_of_the_package_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'lunch'"):
        getattr(qatviz, "lunch")  # noqa: B009 (as a script would)


#: Runs a script, and closes the window of it after some steps.
DRIVER = """
import sys
from PyQt5 import QtCore
from qatviz.app import main
real = main.Application.open_window
def open_window(self):
    window = real(self)
    timer = QtCore.QTimer(window, interval=20)
    def look():
        if window.model.step >= 5:
            timer.stop()
            print("shown:", window.windowTitle(), flush=True)
            window.close()
    timer.timeout.connect(look)
    timer.start()
    return window
main.Application.open_window = open_window
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"))
print("bits:", trained.moment.book.of("conv2d.weights").num_bits, "steps:", trained.moment.step)
"""


def test_the_readme_s_script_opens_the_window_and_exports(tmp_path):
    script = readme_script()
    assert len(script.strip().splitlines()) <= 12
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "assets").symlink_to(os.path.join(ROOT, "assets"))  # the script is run in a checkout
    environ = dict(
        os.environ,
        QT_QPA_PLATFORM="offscreen",
        PYTHONPATH=ROOT,
        QATVIZ_RUNS=str(tmp_path / "runs"),
        XDG_CONFIG_HOME=str(tmp_path),
    )
    done = run_process([sys.executable, "driver.py", "script.py"], cwd=str(tmp_path), env=environ, text=True)
    assert done.returncode == 0, done.stderr
    assert "shown: " in done.stdout and "sequential" in done.stdout and "bits: 4" in done.stdout
    assert (tmp_path / "digits.tflite").exists() and (tmp_path / "digits.tflite.parity.txt").exists()
    assert len(os.listdir(str(tmp_path / "runs"))) == 1


def test_notices_do_not_control_the_terminal(capsys):
    api.print_notice(Notice("no examples of a\x1b[31mb", True))
    assert capsys.readouterr().err == "warning: no examples of a\\x1b[31mb\n"
