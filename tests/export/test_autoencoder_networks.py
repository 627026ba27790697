"""A small denoising autoencoder with transposed convolutions: trained on images, exported, and run by each runtime."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from trained_networks import REQUIRED, agreements, check_every_format, trained

pytestmark = pytest.mark.slow
layers = tf.keras.layers


def spots(count=240, size=16, seed=0):
    """Return noisy images of one spot each, float32 ``[count, size, size, 1]``, and the same without noise."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:size, :size]
    centers, widths = random.uniform(3, size - 3, (count, 2, 1, 1)), random.uniform(1, 3, (count, 1, 1))
    clean = np.exp(-((rows - centers[:, 0]) ** 2 + (columns - centers[:, 1]) ** 2) / (2 * widths**2))[..., None]
    return np.float32(clean + random.normal(0, 0.2, clean.shape)), np.float32(clean)


def autoencoder():
    same = {"padding": "same"}
    return tf.keras.Sequential(
        [
            layers.Conv2D(8, 3, strides=2, activation="relu", input_shape=(16, 16, 1), **same),
            layers.Conv2D(16, 3, strides=2, use_bias=False, **same),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2DTranspose(8, 3, strides=2, use_bias=False, **same),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2DTranspose(8, 3, strides=2, activation="relu", **same),
            layers.Conv2D(1, 3, **same),
        ]
    )


@pytest.fixture(scope="module")
def result():
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)
        return trained(autoencoder(), spots())


def test_current_runtimes_compute_the_codes_of_the_evaluation_graph(result, tmp_path):
    noise = np.sqrt(np.mean((spots()[0] - spots()[1]) ** 2))
    assert result.scores["quantized"] < noise / 3
    found = dict(agreements(result, tmp_path))
    assert {"onnx"} <= set(found)
    for name, agreement in found.items():
        assert agreement.reaches(REQUIRED), (name, agreement)


def test_every_format_holds_it(result, tmp_path):
    check_every_format(result, tmp_path)
