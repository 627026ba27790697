"""The U-Net of public_models learns the masks of discs among squares, and its export has their mean IoU."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras
from public_models import unet

import qatviz

SIDE = 64


def discs(count, seed):
    """Return noisy pictures of discs and squares of the same sizes and brightness, and the masks of the discs."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x = 0.3 * random.rand(count, SIDE, SIDE)
    y = np.zeros((count, SIDE, SIDE), np.uint8)
    for index in range(count):
        for is_disc in (False, True):
            row, column, radius = random.randint(12, SIDE - 12), random.randint(12, SIDE - 12), random.randint(7, 12)
            away = (rows - row) ** 2 + (columns - column) ** 2
            inside = away <= radius**2 if is_disc else np.maximum(abs(rows - row), abs(columns - column)) <= radius
            x[index] += 0.5 * inside
            y[index] = inside if is_disc else y[index]
    # The outline of a disc belongs to neither class, as in PASCAL VOC.
    edge = (y != np.roll(y, 1, axis=1)) | (y != np.roll(y, 1, axis=2))
    return x[..., np.newaxis].astype(np.float32), np.where(edge, 255, y).astype(np.uint8)


@pytest.mark.slow
def test_the_unet_learns_masks(tmp_path):
    train, test = discs(160, 0), discs(40, 1)
    with fresh_keras():
        tf.set_random_seed(0)  # of the initial weights
        model = unet(SIDE, normalized=True)
        trained = qatviz.train(
            model, (train, test), steps=150, batch_size=8, learning_rate=2e-3, quiet=True, evaluation_interval=0
        )
    assert trained.outcome.metric.name == "mean_iou" and trained.outcome.to_dict()["further"]
    assert trained.scores["quantized"] > 0.8, trained.scores
    # A network that finds no disc has the IoU of the background, and 0.
    background = (test[1] == 0).sum() / (test[1] != 255).sum()
    assert trained.scores["quantized"] > background / 2 + 0.25
    written = trained.export(tmp_path / "unet.tflite", examples=8)
    assert not written.report.faults and written.report.metric.name == "mean_iou"
    scores = written.report.scores
    assert abs(scores["file"] - scores["evaluation graph"]) < 0.01
