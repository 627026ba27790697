"""A small network for electrocardiograms, of 1-D layers: trained, exported, and run by each runtime."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from trained_networks import REQUIRED, agreements, check_every_format, trained

pytestmark = pytest.mark.slow
layers = tf.keras.layers
#: Time in samples of a beat's waves P, Q, R, S, T; their widths and heights.
_WAVES = ((30, 6, 0.2), (45, 2, -0.2), (50, 3, 1.2), (55, 3, -0.3), (85, 10, 0.35))


def beats(count=400, length=128, seed=0):
    """Return electrocardiograms of one lead, float32 ``[count, length, 1]``, of four kinds, and their kinds.

    Normal; without a P wave; with a wide R wave; with an inverted T wave.
    """
    random = np.random.RandomState(seed)
    time, kinds = np.arange(length), np.arange(count) % 4
    found = []
    for kind in kinds:
        beat = random.normal(0, 0.05, length)
        shift = random.randint(-6, 7)
        for wave, (at, width, height) in enumerate(_WAVES):
            height = {(1, 0): 0.0, (3, 4): -height}.get((kind, wave), height) * random.uniform(0.8, 1.2)
            width = 3 * width if (kind, wave) == (2, 2) else width
            beat += height * np.exp(-(((time - at - shift) / width) ** 2) / 2)
        found.append(beat)
    return np.float32(found)[:, :, None], kinds.astype(np.int64)


def ecg_network():
    return tf.keras.Sequential(
        [
            layers.Conv1D(8, 7, strides=2, padding="same", use_bias=False, input_shape=(128, 1)),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.MaxPooling1D(2),
            layers.SeparableConv1D(16, 5, padding="same", activation="relu"),
            layers.ZeroPadding1D(2),
            layers.Conv1D(16, 3, padding="causal", dilation_rate=2, activation="relu"),
            layers.AveragePooling1D(2),
            layers.Dense(16, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(4, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def result():
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)
        return trained(ecg_network(), beats())


def test_current_runtimes_compute_the_codes_of_the_evaluation_graph(result, tmp_path):
    assert result.scores["quantized"] >= 0.95 and len(result.network.shapes["dense"]) == 3
    found = dict(agreements(result, tmp_path))
    assert {"onnx"} <= set(found)
    for name, agreement in found.items():
        assert agreement.reaches(REQUIRED), (name, agreement)


def test_every_format_holds_it(result, tmp_path):
    check_every_format(result, tmp_path)
