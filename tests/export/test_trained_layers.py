"""Networks of recurrent layers, of attention and of two inputs: trained, exported, and run by each runtime."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from trained_networks import REQUIRED, agreements, trained

pytestmark = pytest.mark.slow
layers = tf.keras.layers
LENGTH, FEATURES = 5, 3


def bumps(count=400, seed=0):
    """Return noisy sequences, float32 ``[count, LENGTH, FEATURES]``, with a bump before or after a dip, and which."""
    random = np.random.RandomState(seed)
    x, kinds = 0.3 * random.standard_normal((count, LENGTH, FEATURES)), np.arange(count) % 2
    first, last = np.array([random.choice(LENGTH, 2, replace=False) for _ in range(count)]).T
    first, last = np.minimum(first, last), np.maximum(first, last)
    x[np.arange(count), np.where(kinds, first, last), 0] += 2
    x[np.arange(count), np.where(kinds, last, first), 0] -= 2
    return x.astype(np.float32), kinds


def spots_with_rows(count=400, seed=0):
    """Return two inputs, images with a bright half and rows with a sign, and the four combinations of these."""
    random = np.random.RandomState(seed)
    kinds = np.arange(count) % 4
    images, rows = random.uniform(0, 0.6, (count, 8, 8, 1)), 0.3 * random.standard_normal((count, 3))
    images[kinds // 2 == 0, :, :4] += 0.4
    images[kinds // 2 == 1, :, 4:] += 0.4
    rows[:, 1] += np.where(kinds % 2, 1, -1)
    return {"image": images.astype(np.float32), "row": rows.astype(np.float32)}, kinds


def recurrent():
    return tf.keras.Sequential(
        [
            layers.LSTM(8, return_sequences=True, recurrent_activation="sigmoid", input_shape=(LENGTH, FEATURES)),
            layers.Bidirectional(layers.GRU(6, reset_after=True, recurrent_activation="sigmoid")),
            layers.Dense(2, activation="softmax"),
        ]
    )


def attention():
    tokens = layers.Input((LENGTH, FEATURES))
    net = layers.Dense(8)(tokens)
    query, key, value = (layers.Dense(8)(layers.LayerNormalization()(net)) for _ in range(3))
    net = layers.Add()([net, layers.Attention()([query, value, key])])
    net = layers.Dense(16, activation="relu")(layers.Flatten()(layers.LayerNormalization()(net)))
    return tf.keras.Model(tokens, layers.Dense(2, activation="softmax")(net))


def two_inputs():
    image, row = layers.Input((8, 8, 1), name="image"), layers.Input((3,), name="row")
    net = layers.Conv2D(4, 3, strides=2, activation="relu")(image)
    net = layers.Concatenate()([layers.Flatten()(net), layers.Dense(4, activation="relu")(row)])
    return tf.keras.Model([image, row], layers.Dense(4, activation="softmax")(net))


CASES = {"recurrent": (recurrent, bumps), "attention": (attention, bumps), "two inputs": (two_inputs, spots_with_rows)}


@pytest.mark.parametrize("name", CASES)
def test_current_runtimes_choose_the_classes_of_the_evaluation_graph(name, tmp_path):
    build, examples = CASES[name]
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)
        result = trained(build(), examples())
    assert result.scores["quantized"] >= 0.9, result.scores
    found = dict(agreements(result, tmp_path))
    assert {"onnx"} <= set(found)
    for runtime, agreement in found.items():
        assert agreement.reaches(REQUIRED), (runtime, agreement)
