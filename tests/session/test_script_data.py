"""Data that a script passes as objects: generators, Keras' sequences, tf.data data sets and data frames."""

import numpy as np
import pytest
import tensorflow as tf

import qatviz
from qatviz.errors import DataError, SettingError
from qatviz.session.prepare import prepare
from qatviz.session.request import NewRunRequest, ResumeRequest
from qatviz.session.script_data import dataset_of

X = np.random.RandomState(0).randint(0, 256, (40, 6, 6, 1)).astype(np.uint8)
Y = np.arange(40) % 4
ARRAYS = dataset_of((X, Y), NewRunRequest(data=None))


def batches(n=40, size=8):
    for start in range(0, n, size):
        yield X[start : min(start + size, n)], Y[start : min(start + size, n)]


class Batches(tf.keras.utils.Sequence):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def train(data, **options):
    return qatviz.train("mlp", data, steps=1, quiet=True, batch_size=8, **options)


def fingerprint(data, **options):
    return dataset_of(data, NewRunRequest(data=None), **options).fingerprint


@pytest.mark.parametrize("data", [batches, lambda: batches, Batches], ids=["generator", "function", "sequence"])
def test_iterables_of_batches_equal_arrays(data):
    assert fingerprint(data()) == ARRAYS.fingerprint


@pytest.mark.parametrize("is_batched", [True, False])
def test_tf_data_equals_arrays_in_the_graph_in_which_it_was_made(is_batched):
    with tf.Graph().as_default():
        dataset = tf.data.Dataset.from_tensor_slices((X, Y))
        dataset = dataset.batch(7) if is_batched else dataset
        other = tf.data.Dataset.from_tensor_slices((X[:9], Y[:9])).batch(2)
    assert fingerprint(dataset) == ARRAYS.fingerprint
    pair = dataset_of((dataset, other), NewRunRequest(data=None))
    assert (len(pair.x_train), len(pair.x_test)) == (40, 9)
    with tf.Graph().as_default():
        endless = tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(8)
    limited = dataset_of(endless, NewRunRequest(data=None), max_examples=16)
    assert len(limited.x_train) + len(limited.x_test) == 16


def test_tables_in_tf_data_are_initialized():
    with tf.Graph().as_default():
        values = tf.lookup.KeyValueTensorInitializer(tf.range(40, dtype=tf.int64), tf.constant(Y, tf.int64))
        table = tf.lookup.StaticHashTable(values, -1)
        numbers = tf.data.Dataset.range(40)
        dataset = tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices(X), numbers.map(table.lookup)))
        assert fingerprint(dataset) == ARRAYS.fingerprint


def test_a_run_of_a_generator_is_trained_recorded_and_resumed(tmp_path):
    trained = train((batches(), batches(16)), out=str(tmp_path / "run"), max_examples=24)
    texts = [notice.text for notice in trained.notices]
    assert "read 24 examples, the maximum that is set (max_examples)" in texts
    resumed = prepare(ResumeRequest(directory=str(tmp_path / "run"))).run
    resumed.discard()
    assert (len(resumed.spec.dataset.x_train), len(resumed.spec.dataset.x_test)) == (24, 16)


def test_progress_is_printed_every_few_seconds(monkeypatch, capsys):
    monkeypatch.setattr("qatviz.session.script_data.LINE_INTERVAL_S", 0.0)
    dataset_of(Batches(), NewRunRequest(data=None))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading the data: 8 of about 40 examples" and len(lines) == 5
    dataset_of(batches(), NewRunRequest(data=None), quiet=True)
    assert capsys.readouterr().err == ""


def test_an_error_of_a_generator_is_the_users_own():
    def broken():
        yield X[:8], Y[:8]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        train(broken())


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "8"])
def test_the_number_of_examples_is_checked(value):
    with pytest.raises(SettingError, match="max_examples is") as caught:
        train(batches(), max_examples=value)
    assert caught.value.field == "max_examples"


@pytest.mark.parametrize("data", [5, {"x": X}, (X, Y, X, Y), [X]])
def test_objects_of_other_types_are_refused(data):
    with pytest.raises(DataError, match="data is of the type .*; expected .*a data frame, a generator"):
        train(data)


def test_data_frames(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": np.arange(40) / 4, "b": ["x", "y"] * 20, "c": Y})
    trained = train(frame, targets="c", out=str(tmp_path / "run"))
    assert "texts are categories, each a feature of 0 and 1: b (2)" in [notice.text for notice in trained.notices]
    resumed = prepare(ResumeRequest(directory=str(tmp_path / "run"))).run
    resumed.discard()
    assert resumed.spec.dataset.input_shape == (3,)
    whole = dataset_of((frame[["a", "b"]], frame["c"]), NewRunRequest(data=None))
    assert whole.fingerprint == resumed.spec.dataset.fingerprint
    pair = ((frame[["a", "b"]], frame["c"]), (frame[["a", "b"]][:8], frame["c"][:8]))
    assert len(dataset_of(pair, NewRunRequest(data=None)).x_test) == 8
    assert len(dataset_of((frame[["a", "b"]], frame[["c"]]), NewRunRequest(data=None)).x_test) == 8
    with pytest.raises(SettingError, match="targets applies to data that is read from files"):
        train((frame[["a", "b"]], frame["c"]), targets="c")
