"""Layers that are not trainable in Keras: neither their weights nor their statistics change in training."""

import numpy as np
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras

import qatviz
from qatviz.network.keras_import import KerasOrigin, import_model
from qatviz.session.prepare import prepare
from qatviz.session.request import ResumeRequest

layers = tf.keras.layers


def model_with_frozen_base():
    """Return a model whose base, with a batch norm in it, is frozen, and whose head is trained."""
    base = tf.keras.Sequential(
        [
            layers.Conv2D(4, 3, use_bias=False, input_shape=(8, 8, 1), name="conv"),
            layers.BatchNormalization(momentum=0.5, name="bn"),
            layers.ReLU(name="relu"),
        ],
        name="base",
    )
    base.trainable = False
    head = [layers.BatchNormalization(momentum=0.5, name="own"), layers.Flatten(), layers.Dense(3, name="logits")]
    return tf.keras.Sequential([base, layers.Conv2D(3, 3, name="last", use_bias=False), *head])


def shades():
    y = np.arange(60) % 3
    x = np.random.RandomState(0).uniform(0, 0.3, (60, 8, 8, 1)) + 0.3 * y[:, None, None, None]
    return x.astype(np.float32), y


def test_the_import_names_what_is_frozen():
    with fresh_keras():
        imported = import_model(model_with_frozen_base())
    frozen = {"conv.weights", *(f"bn.{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance"))}
    assert imported.origin.frozen == frozen
    assert any("not trainable" in note and "'conv'" in note for note in imported.notes)
    assert KerasOrigin.from_dict(imported.origin.to_dict()) == imported.origin
    assert "frozen" not in KerasOrigin(None, {}).to_dict()


def test_frozen_parameters_and_statistics_keep_their_values(tmp_path):
    with fresh_keras():
        model = model_with_frozen_base()
        before = import_model(model).parameters
        result = qatviz.train(model, shades(), steps=20, learning_rate=1e-2, out=str(tmp_path / "run"), quiet=True)
    found = result.final_state.arrays
    changed = {name for name, value in before.items() if not np.array_equal(value, found[name])}
    assert changed == {
        "last.weights",
        "logits.weights",
        "logits.bias",
        *(f"own.{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")),
    }
    resumed = prepare(ResumeRequest(directory=str(tmp_path / "run"), steps=23))
    assert not resumed.run.spec.book.of("conv.weights").trainable and resumed.run.spec.book.of("last.weights").trainable
    assert not resumed.run.spec.fixed
    resumed.run.discard()


def test_from_scratch_everything_is_trained():
    with fresh_keras():
        model = model_with_frozen_base()
        result = qatviz.train(model, shades(), steps=3, from_scratch=True, quiet=True)
        start = qatviz.train(model, shades(), steps=0, from_scratch=True, quiet=True)
    for name in ("conv.weights", "bn.moving_mean"):
        assert not np.array_equal(result.final_state.arrays[name], start.final_state.arrays[name]), name
