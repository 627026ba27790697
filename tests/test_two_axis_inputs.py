"""Models whose input has two axes: images without an axis for their channel, and sequences of features."""

import itertools

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from exhaustive import tries
from shared_graphs import closed_pool, shared_graphs  # noqa: F401

import qatviz
from qatviz.export.formats import FORMATS
from qatviz.session.prepare import prepare
from qatviz.session.request import ForkRequest, ResumeRequest

layers = tf.keras.layers


@pytest.fixture(autouse=True)
def in_graph():
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)
        yield


def flattened():
    return [layers.Flatten(input_shape=(8, 8)), layers.Dense(6, activation="relu"), layers.Dense(3)]


def reshaped():
    first = layers.Reshape((8, 8, 1), input_shape=(8, 8))
    return [first, layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]


def sequence():
    """Return dense layers along the last axis, with batch norm."""
    first = layers.Dense(5, activation="relu", input_shape=(8, 8))
    return [
        first,
        layers.Dense(4),
        layers.BatchNormalization(momentum=0.8),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(3),
    ]


MODELS = {"flattened": flattened, "reshaped": reshaped, "sequence": sequence}


def shades(shape=(60, 8, 8), as_pixels=False):
    """Return examples of three classes: dark, medium, bright."""
    y = np.arange(60) % 3
    x = np.random.RandomState(0).randint(0, 60, (60, 8, 8)) + 60 * y[:, None, None]
    return (x.astype(np.uint8) if as_pixels else x / 255.0).reshape(shape), y


@pytest.mark.parametrize(
    "model, as_pixels",
    tries([("sequence", False), ("reshaped", True)], list(itertools.product(MODELS, [False, True]))),
)
def test_models_are_trained_evaluated_recorded_and_resumed(model, as_pixels, tmp_path):
    out = str(tmp_path / "run")
    keras = tf.keras.Sequential(MODELS[model]())
    x, y = shades(as_pixels=as_pixels)
    before = qatviz.train(keras, (x, y), out=out, steps=0, quiet=True)
    held_out = prepare(ForkRequest(directory=out)).run.spec.dataset
    predicted = keras.predict_on_batch(held_out.x_test * np.float32(held_out.pixel_scale)).argmax(axis=1)
    assert before.network.input_shape == held_out.input_shape == (8, 8)
    assert before.scores["float"] == pytest.approx(np.mean(predicted == held_out.y_test))
    trained = qatviz.train(keras, (x, y), steps=150, learning_rate=1e-2, quiet=True)
    assert trained.scores["quantized"] > 0.8
    resumed = prepare(ResumeRequest(directory=out, steps=3))
    resumed.run.discard()
    assert resumed.network.input_shape == (8, 8)


@pytest.mark.parametrize("shape", [(60, 8, 8, 1), (60, 8, 8)])
def test_examples_with_or_without_a_channel_axis_are_accepted(shape):
    assert qatviz.train(tf.keras.Sequential(flattened()), shades(shape), steps=1, quiet=True).outcome.step == 1


@pytest.mark.slow
@pytest.mark.parametrize("model", tries(["sequence"], list(MODELS)))
def test_models_are_exported_to_every_format(model, tmp_path):
    trained = qatviz.train(tf.keras.Sequential(MODELS[model]()), shades(), steps=20, learning_rate=1e-2, quiet=True)
    for name in sorted(FORMATS):
        written = trained.export(tmp_path / name / ("net" + FORMATS[name].suffix), name)
        assert written.report.as_expected and not written.report.faults, name
