"""Runs on ids: examples that are positions in the table of an Embedding."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import qatviz
from qatviz.data import ids
from qatviz.data.streamed import pieces
from qatviz.errors import QatvizError
from qatviz.telemetry.record.run_record import RunRecord

layers = tf.keras.layers
LENGTH, IDS = 8, 40


@pytest.fixture(autouse=True)
def in_graph():
    with tf.Graph().as_default(), tf.Session().as_default():
        tf.set_random_seed(0)
        yield


def reviews(count=600, dtype=np.int64):
    """Return ids, and whether more of them are in the upper half than in the lower one."""
    found = np.random.RandomState(0).randint(0, IDS, (count, LENGTH))
    return found.astype(dtype), ((found >= IDS // 2).sum(axis=1) > LENGTH // 2).astype(np.int64)


def model(shape=(LENGTH,)):
    return tf.keras.Sequential(
        [layers.Embedding(IDS, 4, input_shape=shape), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    )


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_ids_of_any_type_are_fed_as_they_are(dtype, tmp_path):
    out = str(tmp_path / "run")
    augmentation = {"augment_noise": 0.5, "augment_mixup": 0.2}  # without effect on ids
    options = {"optimizer": "adam", "learning_rate": 0.02, **augmentation}
    trained = qatviz.train(model(), reviews(dtype=dtype), steps=300, out=out, quiet=True, **options)
    assert RunRecord.read(out).description["scaling"] == "none"
    assert trained.scores["quantized"] > 0.9


def test_other_numbers_are_refused():
    examples, labels = reviews()
    for place, value, shown in ((17, IDS, "40"), (3, -1, "-1")):
        wrong = examples.copy()
        wrong[place, 2] = value
        with pytest.raises(QatvizError, match=f"has {shown} in example .*; expected ids from 0 to 39"):
            qatviz.train(model(), (wrong, labels), steps=1)
    with pytest.raises(QatvizError, match="has 0.5 in example"):
        qatviz.train(model(), (examples.astype(np.float32) + np.float32(0.5), labels), steps=1)


def test_examples_are_checked_once(monkeypatch):
    passes = []
    monkeypatch.setattr(ids, "pieces", lambda examples: passes.append(len(examples)) or pieces(examples))
    qatviz.train(model(), reviews(), steps=2, weights={"num_bits": 4})
    assert len(passes) == 2 and sum(passes) == 600, "the training part and the part that is held out"


def test_ids_are_not_scaled():
    with pytest.raises(QatvizError, match="the scaling is 'unit', but an Embedding takes ids"):
        qatviz.train(model(), reviews(), steps=1, scaling="unit")


def test_an_unknown_length_is_that_of_the_data():
    trained = qatviz.train(model((None,)), reviews(), steps=2, quiet=True)
    assert trained.network.input_shape == (LENGTH,) and trained.network.id_counts == {"input": IDS}
