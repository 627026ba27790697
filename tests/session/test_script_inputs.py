"""Examples of several inputs that a script passes: arrays, generators, Keras' sequences and tf.data data sets."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.data.data_input import parts_of
from qatviz.errors import DataError
from qatviz.session.request import NewRunRequest
from qatviz.session.script_data import dataset_of

COUNT = 40
IMAGES = np.random.RandomState(0).randint(0, 256, (COUNT, 4, 5, 3)).astype(np.uint8)
NUMBERS = np.random.RandomState(1).standard_normal((COUNT, 2)).astype(np.float32)
LABELS = np.arange(COUNT) % 4
BATCHES = [slice(start, start + 16) for start in range(0, COUNT, 16)]


def by_name(rows):
    return {"image": IMAGES[rows], "number": NUMBERS[rows]}


class Batches:
    """A sequence as Keras' are: it starts again behind its end."""

    def __len__(self):
        return len(BATCHES)

    def __getitem__(self, index):
        rows = BATCHES[index % len(BATCHES)]
        return by_name(rows), LABELS[rows]


def singles():
    for row in range(COUNT):
        yield (IMAGES[row], NUMBERS[row]), LABELS[row]


def tf_data(inputs):
    return tf.data.Dataset.from_tensor_slices((inputs, LABELS)).batch(7)


SOURCES = {
    "arrays by name": lambda: (by_name(slice(None)), LABELS),
    "a tuple of arrays": lambda: ((IMAGES, NUMBERS), LABELS),
    "a list of arrays": lambda: ([IMAGES, NUMBERS], LABELS),
    "batches": Batches,
    "a generator of batches": lambda: ((by_name(rows), LABELS[rows]) for rows in BATCHES),
    "single examples": singles,
    "tf.data by name": lambda: tf_data(by_name(slice(None))),
    "tf.data of tuples": lambda: tf_data((IMAGES, NUMBERS)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_all_forms_give_the_examples_of_each_input(source):
    with tf.Graph().as_default():
        dataset = dataset_of(source(), NewRunRequest(data=None), quiet=True)
    assert [each.shape for each in dataset.inputs] == [(4, 5, 3), (2,)]
    assert [each.is_bytes for each in dataset.inputs] == [True, False]
    images, numbers = parts_of(dataset.inputs, np.concatenate([dataset.x_train, dataset.x_test]))
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    assert len(images) == COUNT
    for image, row, label in zip(images, numbers, labels):
        at = np.flatnonzero((row == NUMBERS).all(axis=1))[0]
        assert (image == IMAGES[at]).all() and label == LABELS[at]


def test_training_and_test_parts():
    parts = [(by_name(rows), LABELS[rows]) for rows in (slice(30), slice(30, None))]
    for pair in (tuple(parts), (iter(parts[:1]), iter(parts[1:]))):
        dataset = dataset_of(pair, NewRunRequest(data=None), quiet=True)
        assert len(dataset.x_train) == 30 and len(dataset.x_test) == 10
        np.testing.assert_array_equal(dataset.y_test, LABELS[30:])


def test_weights_and_several_outputs():
    weights = np.linspace(1, 2, COUNT)
    assert dataset_of((by_name(slice(None)), LABELS, weights), NewRunRequest(data=None)).w_train.max() <= 2
    targets = {"kind": LABELS, "sum": NUMBERS.sum(axis=1)}
    dataset = dataset_of((by_name(slice(None)), targets), NewRunRequest(data=None))
    assert [head.task for head in dataset.heads] == ["classification", "regression"] and len(dataset.inputs) == 2


@pytest.mark.parametrize(
    "second, said",
    [
        (({"image": IMAGES[:4]}, LABELS[:4]), "item 1: found 'image'.*expected 'image'.*'number'"),
        (({"image": IMAGES[:4, :3], "number": NUMBERS[:4]}, LABELS[:4]), r"item 1: found 'image' uint8 \[3, 5, 3\]"),
    ],
)
def test_items_that_differ(second, said):
    items = [(by_name(slice(4)), LABELS[:4]), second]
    with pytest.raises(DataError, match=said):
        dataset_of(iter(items), NewRunRequest(data=None), quiet=True)


class Frame:
    """Stand-in for a data frame of pandas, as far as qatviz.data.frames uses it."""

    def __init__(self, **columns):
        self._values, self.columns = [np.asarray(values) for values in columns.values()], list(columns)
        self.shape, self.index, self.iloc = (len(self._values[0]), len(columns)), np.arange(COUNT), self

    def __getitem__(self, key):
        return self._values[key[1]]


def test_frames_are_features_of_their_input():
    colours = np.array(["red", "blue"], object)[LABELS % 2]
    numbers = Frame(a=NUMBERS[:, 0], b=NUMBERS[:, 1], colour=colours)
    swapped = Frame(a=NUMBERS[:, 1], b=NUMBERS[:, 0], colour=colours)
    train, test = ({"image": IMAGES, "number": each} for each in (numbers, swapped))
    dataset = dataset_of(((train, LABELS), (test, LABELS)), NewRunRequest(data=None), quiet=True)
    assert [each[:2] for each in dataset.inputs] == [("image", (4, 5, 3)), ("number", (4,))]
    red = LABELS % 2 == 0
    for rows, first in ((dataset.x_train, NUMBERS), (dataset.x_test, NUMBERS[:, ::-1])):
        np.testing.assert_array_equal(parts_of(dataset.inputs, rows)[1], np.column_stack([first, ~red, red]))
    assert [note.text for note in dataset.notes] == [
        "texts are categories, each a feature of 0 and 1: colour (2)",
    ]
    other = {"image": IMAGES, "number": Frame(a=NUMBERS[:, 0], c=NUMBERS[:, 1])}
    with pytest.raises(DataError, match=r"input 'number' 1: found the columns a, c; expected a, b, colour as in input"):
        dataset_of(((train, LABELS), (other, LABELS)), NewRunRequest(data=None), quiet=True)


def test_frames_of_pandas_in_order():
    frame = pytest.importorskip("pandas").DataFrame
    left, right = frame({"a": NUMBERS[:, 0]}), frame({"b": NUMBERS[:, 1], "c": NUMBERS[:, 0]})
    dataset = dataset_of(((left, right), LABELS), NewRunRequest(data=None), quiet=True)
    assert [each.shape for each in dataset.inputs] == [(1,), (2,)]
