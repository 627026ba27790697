"""Images as targets: an autoencoder trains, and its error is that of all pixels."""

import math

import numpy as np
import pytest
import tensorflow as tf

import qatviz
from qatviz.data import from_arrays
from qatviz.data.notes import data_notes
from qatviz.errors import DataError, NetworkError
from qatviz.presentation.previews import data_info
from qatviz.protocol.run_spec import RunSpec

LAYERS, QUIET = tf.keras.layers, {"quiet": True, "evaluation_interval": 0}


def pictures(n=300):
    rows, columns = np.mgrid[:8, :8]
    random = np.random.RandomState(0)
    waves = np.sin(rows * random.rand(n, 1, 1) + columns * random.rand(n, 1, 1))
    return np.round(255 * (0.5 + 0.5 * waves[..., np.newaxis])).astype(np.uint8)


def autoencoder():
    return tf.keras.Sequential(
        [
            LAYERS.Conv2D(8, 3, padding="same", activation="relu", input_shape=(8, 8, 1)),
            LAYERS.Conv2D(1, 3, padding="same"),
        ]
    )


def test_an_autoencoder_learns_its_own_input():
    x = pictures()
    trained = qatviz.train(autoencoder(), (x, x), steps=150, batch_size=32, learning_rate=0.01, **QUIET)
    scores = trained.outcome.evaluations[-1]
    assert scores["quantized"] < 0.5 * np.std(x / 255.0)
    assert 0 < abs(scores["quantized"] - scores["float"]) < 0.05
    assert not trained.outcome.outputs  # a table of 64 pixels helps nobody


def test_the_metric_is_the_error_of_all_pixels():
    x = pictures().astype(np.float32) / 255
    y = np.concatenate([x, 1 - x], axis=3)[..., :1] * 0.5
    model = autoencoder()
    predicted = tf.keras.backend.get_session().run(model.output, {model.input: x[200:]})
    expected = math.sqrt(np.mean((predicted - y[200:]) ** 2))
    trained = qatviz.train(model, ((x[:200], y[:200]), (x[200:], y[200:])), steps=0, **QUIET)
    assert trained.outcome.evaluations[-1]["float"] == pytest.approx(expected, rel=1e-5)


def test_uint8_images_are_scaled_as_the_examples():
    x = pictures()
    data = from_arrays("pictures", "a test", (x, x), (x[:9], x[:9]))
    assert data.output_shape == (8, 8, 1) and data.y_train.dtype == np.float32
    np.testing.assert_allclose(data.y_train, x / 255.0, rtol=1e-6)
    for scaling, expected in (("signed", x / 127.5 - 1.0), ("none", x * 1.0)):
        np.testing.assert_allclose(data.with_scaling(scaling).y_train, expected, rtol=1e-5, atol=1e-6)
    texts = [note.text for note in data_notes(data)]
    assert "targets are pixels, scaled by 1/255 as the examples are (uint8 images)" in texts
    assert "targets of 8×8×1" in data_info(data).describe()


def test_masks_as_numbers_and_images_without_an_axis_of_channels_are_kept():
    x = pictures()
    mask = (x[..., 0] > 99).astype(np.uint8)
    data = from_arrays("pictures", "a test", (x, mask), (x[:9], mask[:9]), task="regression")
    assert data.output_shape == (8, 8)
    assert sorted(np.unique(data.y_train)) == [0.0, 1.0]
    trained = qatviz.train(autoencoder(), (x, mask), steps=2, task="regression", **QUIET)
    assert trained.outcome.evaluations[-1]["float"] > 0


def test_images_for_training_decide_that_targets_are_pixels():
    """Also if those of the test part are nearly black, so that they could be masks of 0 and 1."""
    x = pictures()
    data = from_arrays("pictures", "a test", (x, x), (x[:9], np.minimum(x[:9], 1)))
    assert data.assumed.target_pixels
    np.testing.assert_allclose(data.y_train, x / 255, rtol=1e-6)
    np.testing.assert_allclose(data.y_test, np.minimum(x[:9], 1) / 255, rtol=1e-6)


def test_images_of_another_size_are_refused():
    x = pictures()
    with pytest.raises(NetworkError, match="outputs 8×8×1, but .* has targets of 4×4×1: choose other data, or a model"):
        qatviz.train(autoencoder(), (x, x[:, ::2, ::2]), steps=0, **QUIET)
    with pytest.raises(NetworkError, match="outputs 8×8×1 for each example, but .* has 3 numbers to predict"):
        qatviz.train(autoencoder(), (x, np.random.RandomState(0).rand(300, 3)), steps=0, **QUIET)
    with pytest.raises(DataError, match=r"found shape \[N, 4, 8, 1\]; expected \[N, 8, 8, 1\] as in"):
        from_arrays("pictures", "a test", (x, x), (x, x[:, :4]))


def test_a_run_on_images_is_resumed(tmp_path):
    x = pictures()
    out = str(tmp_path / "run")
    qatviz.train(autoencoder(), (x, x), out=out, steps=3, **QUIET)
    from qatviz.session.prepare import prepare
    from qatviz.session.request import ResumeRequest

    prepared = prepare(ResumeRequest(directory=out))
    assert isinstance(prepared.run.spec, RunSpec) and prepared.run.spec.dataset.output_shape == (8, 8, 1)
    prepared.run.discard()
