"""Inferences about data, and decisions of the model: the same, with the same notes, in every interface."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import qatviz
from qatviz import data as data_sets
from qatviz.cli import main
from qatviz.data import checks
from qatviz.errors import NetworkError, RecordError
from qatviz.metric import RMSE
from qatviz.scaling import scaling_of
from qatviz.session.begin import begin
from qatviz.session.inspection import inspect_data
from qatviz.session.model_info import DataQuestion, fit_note, mismatch_reason
from qatviz.session.prepare import prepare
from qatviz.session.request import NewRunRequest, ResumeRequest
from qatviz.settings import RunSettings
from qatviz.task import REGRESSION

layers = tf.keras.layers
QUICK = RunSettings(evaluation_interval=0, snapshot_interval=3600.0)


@pytest.fixture(autouse=True)
def in_graph():
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)
        yield


def sums():
    """Return rows of six small integers, and whether the first two exceed the next two."""
    x = np.random.RandomState(3).randint(0, 12, (600, 6))
    return x, (x[:, 0] + x[:, 1] > x[:, 2] + x[:, 3]).astype(np.int64)


def comparing_model():
    """Return a model with weights that compare such rows without an error."""
    model = tf.keras.Sequential([layers.Dense(2, activation="relu", input_shape=(6,)), layers.Dense(2)])
    difference = np.float32([1, 1, -1, -1, 0, 0])
    model.set_weights(
        [np.stack([difference, -difference], axis=1), np.zeros(2), np.float32([[0, 1], [1, 0]]), np.float32([0.5, 0])]
    )
    return model


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int16])
def test_integer_rows_are_fed_as_they_are(dtype, capsys):
    x, y = sums()
    trained = qatviz.train(comparing_model(), (x.astype(dtype), y), steps=0)
    assert trained.scores["float"] == 1.0 and trained.scores["quantized"] > 0.95
    said = capsys.readouterr().err
    assert (
        f"features, not scaled ({np.dtype(dtype).name} rows from 0 to 11); if they are pixels, set the scaling" in said
    )


def images(tmp_path):
    random = np.random.RandomState(0)
    y = np.arange(60) % 3
    x = (random.randint(0, 60, (60, 8, 8)) + 60 * y[:, None, None]).astype(np.uint8)
    np.savez(str(tmp_path / "shades.npz"), x=x, y=y)
    return str(tmp_path / "shades.npz"), (x, y)


def noted(text):
    return re.findall(r"^(?:qatviz: )?(?:note|warning): (.*)$", text, re.MULTILINE)


def test_every_door_gives_the_same_notes(tmp_path, capsys):
    path, arrays = images(tmp_path)
    notes = data_sets.describe(data_sets.load(path))["notes"]
    assert [note.split()[0:3] for note in notes] == [
        ["examples", "are", "pixels,"],
        ["the", "labels", "are"],
        ["no", "test", "part"],
    ]
    assert main(["data", path]) == 0
    assert noted(capsys.readouterr().out) == notes
    assert main(["train", "--network", "mlp", "--data", path, "--steps", "1"]) == 0
    assert noted(capsys.readouterr().err) == notes
    qatviz.train("mlp", arrays, steps=1)
    assert noted(capsys.readouterr().err) == notes
    trained = qatviz.train("mlp", arrays, steps=1, quiet=True)
    assert capsys.readouterr().err == ""
    assert [notice.text for notice in trained.notices] == notes
    assert list(inspect_data(DataQuestion(path)).notes[: len(notes)]) == notes
    found = []
    prepare(NewRunRequest(network="mlp", data=path), notify=found.append).run.discard()
    assert [notice.text for notice in found] == notes and not any(notice.is_warning for notice in found)


def test_likely_mistakes_are_warnings_at_every_door(tmp_path, capsys):
    path = str(tmp_path / "same.npz")
    np.savez(path, x_train=np.ones((40, 6)), y_train=np.arange(40) % 2, x_test=np.ones((9, 6)), y_test=np.arange(9) % 2)
    mistake = "all training examples are identical"
    assert main(["data", path]) == 0
    assert f"\nwarning: {mistake}\n" in capsys.readouterr().out
    assert main(["train", "--network", "mlp", "--data", path, "--steps", "1", "--quiet"]) == 0
    assert f"qatviz: warning: {mistake}\n" == capsys.readouterr().err, "it is not a note, which --quiet omits"
    assert inspect_data(DataQuestion(path)).mistakes == (mistake,)
    assert mistake not in inspect_data(DataQuestion(path)).notes
    found = []
    prepare(NewRunRequest(network="mlp", data=path), notify=found.append).run.discard()
    assert [notice.text for notice in found if notice.is_warning] == [mistake] and len(found) > 1


def whole_numbers(tmp_path):
    x = np.random.RandomState(16).rand(400, 6)
    y = np.floor(64 * x[:, 0] + 32 * x[:, 1])
    np.savez(str(tmp_path / "ages.npz"), x=x, y=y)
    return str(tmp_path / "ages.npz"), (x, y)


def regressor(units=1):
    return tf.keras.Sequential([layers.Dense(8, activation="relu", input_shape=(6,)), layers.Dense(units)])


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_whole_numbers_are_targets_for_a_network_with_one_output(tmp_path, dtype, capsys):
    _, (x, y) = whole_numbers(tmp_path)
    out = str(tmp_path / "run")
    trained = qatviz.train(regressor(), (x, y.astype(dtype)), out=out, steps=2)
    assert trained.outcome.metric is RMSE and trained.scores["float"] > 1
    assert "the network has a single output" in capsys.readouterr().err
    prepare(ResumeRequest(directory=out)).run.discard()


def test_the_inferred_task_holds_for_files_resumed_runs_and_the_window(tmp_path):
    path, _ = whole_numbers(tmp_path)
    regressor().save(str(tmp_path / "model.h5"))
    out, found = str(tmp_path / "run"), []
    request = NewRunRequest(network=None, model=str(tmp_path / "model.h5"), data=path, out=out, steps=1, run=QUICK)
    prepared = begin(request, notify=found.append)
    spec = prepared.run.spec
    prepared.run.discard()
    assert spec.dataset.task == REGRESSION and any("a single output" in notice.text for notice in found)
    assert sorted(np.concatenate([spec.dataset.y_train, spec.dataset.y_test])[:, 0]) == sorted(np.load(path)["y"])
    info = inspect_data(DataQuestion(path))
    assert mismatch_reason(spec.network, info) == "" and "a single output" in fit_note(spec.network, info)
    trained = qatviz.train(str(tmp_path / "model.h5"), path, out=str(tmp_path / "other"), steps=1, quiet=True)
    assert trained.outcome.metric is RMSE
    prepare(ResumeRequest(directory=str(tmp_path / "other"))).run.discard()


def test_an_undecidable_task_is_refused_with_the_name_of_the_option(tmp_path):
    _, (x, y) = whole_numbers(tmp_path)
    with pytest.raises(NetworkError, match="task classification was inferred from the labels; set it to regression"):
        qatviz.train(regressor(2), (x, y), steps=0)
    one_hot = np.eye(2)[(y > 40) * 1]
    with pytest.raises(NetworkError, match="has 2 classes: .*set it to regression"):
        qatviz.train(regressor(3), (x, one_hot), steps=0)
    with pytest.raises(
        NetworkError, match="outputs 2 numbers, but .* has 1 number to predict: .*set it to classification"
    ):
        qatviz.train(regressor(2), (x, y + 0.5), steps=0)
    with pytest.raises(NetworkError, match="has 9. classes: choose other data, or a model with 9. outputs$"):
        qatviz.train(regressor(), (x, y), steps=0, task="classification")


@pytest.mark.parametrize("task", [None, "classification"])
def test_labels_may_lack_the_last_classes_of_a_network(task, tmp_path):
    _, (x, _) = whole_numbers(tmp_path)
    path, out, found = str(tmp_path / "part.npz"), str(tmp_path / "run"), []
    np.savez(path, x=x, y=np.arange(len(x)) % 3)
    regressor(5).save(str(tmp_path / "model.h5"))
    request = NewRunRequest(network=None, model=str(tmp_path / "model.h5"), data=path, out=out, task=task, run=QUICK)
    prepared = begin(request, notify=found.append)
    network, classes = prepared.run.spec.network, prepared.run.spec.dataset.num_classes
    prepared.run.discard()
    assert classes == 5
    (note,) = [notice for notice in found if "no train examples" in notice.text]
    assert note.is_warning and "for 2 of 5 classes: 3, 4" in note.text
    assert mismatch_reason(network, inspect_data(DataQuestion(path, task=task))) == ""
    qatviz.train(str(tmp_path / "model.h5"), path, out=str(tmp_path / "other"), steps=1, quiet=True, task=task)
    prepared = prepare(ResumeRequest(directory=str(tmp_path / "other"), steps=6))
    assert prepared.run.spec.dataset.num_classes == 5
    prepared.run.discard()
    with pytest.raises(NetworkError, match="outputs 2 numbers, but .* has 3 classes"):
        qatviz.train(regressor(2), path, steps=0, task=task)


def test_records_of_runs_that_took_all_integers_for_pixels_are_resumed(tmp_path, monkeypatch):
    """Versions before 0.2 did so."""
    x, y = sums()
    np.savez(str(tmp_path / "rows.npz"), x=x, y=y)
    out = str(tmp_path / "run")
    with monkeypatch.context() as before:
        before.setattr(checks, "are_pixels", lambda array: array.dtype.kind in "iu")
        qatviz.train("mlp", str(tmp_path / "rows.npz"), out=out, steps=2, quiet=True)
    prepared = prepare(ResumeRequest(directory=out))
    prepared.run.discard()
    assert prepared.run.spec.dataset.pixel_scale == 1 / 255
    assert data_sets.load(str(tmp_path / "rows.npz")).pixel_scale == 1
    np.savez(str(tmp_path / "rows.npz"), x=x + 1, y=y)
    with pytest.raises(RecordError, match="the data is not that of the run"):
        prepare(ResumeRequest(directory=out))
    assert json.loads(json.dumps(data_sets.describe(prepared.run.spec.dataset)))["pixel_scale"] == 1 / 255


def test_pixels_are_not_scaled_twice_for_a_model_that_scales_its_input(tmp_path):
    """`x / 127.5 - 1` in the model: the oracle is what Keras computes of the same bytes."""
    pixels = np.random.RandomState(0).randint(0, 256, (60, 4, 4, 3)).astype(np.uint8)
    np.savez(str(tmp_path / "images.npz"), x=pixels, y=np.arange(60) % 3)
    image = layers.Input((4, 4, 3))
    model = tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(image / 127.5 - 1.0)))
    found = []
    request = NewRunRequest(network=None, data=str(tmp_path / "images.npz"), out=str(tmp_path / "run"), run=QUICK)
    prepared = begin(request, notify=found.append, model=model)
    spec = prepared.run.spec
    prepared.run.discard()
    assert spec.dataset.scaling == "none" and spec.dataset.x_train.max() == pixels.max()
    assert any("scales its input itself" in notice.text for notice in found)
    resumed = prepare(ResumeRequest(directory=str(tmp_path / "run"))).run
    assert resumed.spec.dataset.scaling == "none"
    resumed.discard()
    stated = begin(replace(request, scaling="unit", out=None), model=model).run
    assert stated.spec.dataset.scaling == "unit"
    stated.discard()


@pytest.mark.parametrize(
    "make_x", [lambda random: random.rand(40, 8, 8, 3) * 250, lambda random: random.randint(0, 250, (40, 192))]
)
def test_no_scaling_is_advised_for_a_model_that_scales_its_input(make_x):
    x = make_x(np.random.RandomState(0))
    image = layers.Input(x.shape[1:])
    model = tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(image / 255.0)))
    found = []
    request = NewRunRequest(steps=1, run=QUICK)
    data = data_sets.from_arrays("arrays", "a test", (x, np.arange(40) % 3), validation_fraction=0.3)
    assert any("set the scaling" in note.text for note in data_sets.data_notes(data))
    prepared = begin(request, False, found.append, model, data)
    prepared.run.discard()
    assert prepared.run.spec.dataset.scaling == "none"
    assert not any("set the scaling" in notice.text for notice in found)


def test_the_sigmoid_of_a_binary_classifier_is_left_to_the_loss(tmp_path):
    random = np.random.RandomState(0)
    x = random.standard_normal((400, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0.4).astype(int)
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [layers.Dense(8, activation="relu", input_shape=(6,)), layers.Dense(1, activation="sigmoid", name="out")]
    )
    predicted = tf.keras.backend.get_session().run(model.output, {model.input: x})[:, 0]
    out = str(tmp_path / "run")
    trained = qatviz.train(model, ((x, y), (x, y)), out=out, steps=0, quiet=True)
    assert trained.outcome.evaluations[-1]["float"] == pytest.approx(np.mean((predicted > 0.5) == y))
    prepared = prepare(ResumeRequest(directory=out))
    spec = prepared.run.spec
    prepared.run.discard()
    assert spec.loss == "binary_cross_entropy" and spec.network.output == "out" and spec.network.output_shape == (1,)
    assert any("left to the loss: outputs are logits" in notice.text for notice in trained.notices)
    model.save(str(tmp_path / "model.h5"))
    exported = tmp_path / "exported.h5"
    trained.export(str(exported), "keras")
    with tf.Graph().as_default(), tf.Session():
        again = tf.keras.models.load_model(str(exported))
        found = tf.keras.backend.get_session().run(again.output, {again.input: x})[:, 0]
    np.testing.assert_allclose(found, predicted, rtol=0.2, atol=0.05)  # of quantized weights


@pytest.mark.parametrize("source", ["named", "arrays"])
@pytest.mark.parametrize("scaling", ["unit", "signed", "none"])
@pytest.mark.always("unit-arrays", "signed-named", "none-arrays")
def test_pixels_are_fed_as_a_trained_model_is_most_accurate(scaling, source):
    """Case r3b: a model trained on x / 127.5 - 1, or on 0 to 255, given images of bytes."""
    data = data_sets.load("mnist-5k")
    model = tf.keras.Sequential(
        [
            layers.Flatten(input_shape=(28, 28, 1)),
            layers.Dense(16, use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = data.x_train[:1500].astype(np.float32), data.y_train[:1500]
    model.fit(scaling_of(scaling).apply(x), y, epochs=3, batch_size=32, verbose=0, shuffle=False)
    found = []
    given = None
    if source == "arrays":
        given = data_sets.from_arrays("images", "arrays", (data.x_train, data.y_train), (data.x_test, data.y_test))
    request = NewRunRequest(network=None, data=None if given else "mnist-5k")
    prepared = begin(request, notify=found.append, model=model, dataset=given)
    prepared.run.discard()
    assert prepared.run.spec.dataset.scaling == scaling
    said = [notice.text for notice in found if "is most accurate with pixels" in notice.text]
    assert len(said) == (scaling != "unit"), found
    stated = begin(replace(request, scaling="signed"), model=model, dataset=given).run
    assert stated.spec.dataset.scaling == "signed"
    stated.discard()
