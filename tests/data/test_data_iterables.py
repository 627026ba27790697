"""Generators and other iterables of examples: their forms, their ends and their bounds."""

import numpy as np
import pytest

from qatviz.data.iterables import collect, is_iterable_of_examples
from qatviz.errors import DataError

X = np.arange(48, dtype=np.float32).reshape(12, 2, 2)
Y = np.arange(12) % 3


class Batches:
    """Sequence of batches, as keras.utils.Sequence is one; iterating over it does not end."""

    def __init__(self, size=5):
        self.size = size

    def __len__(self):
        return (len(X) + self.size - 1) // self.size

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return X[rows], Y[rows]


class Endless:
    """Iterable with a length that starts again, as Keras' flow() does, which has a dtype, too."""

    dtype = "float32"

    def __len__(self):
        return 3

    def __iter__(self):
        while True:
            yield from (Batches()[index] for index in range(3))


def batches():
    yield from (Batches()[index] for index in range(3))


SOURCES = {
    "generator": batches,
    "function": lambda: batches,
    "sequence": Batches,
    "examples": lambda: zip(X, Y),
    "lists": lambda: iter([[x.tolist(), int(y)] for x, y in zip(X, Y)]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_all_forms_give_the_same_examples(source):
    data = SOURCES[source]()
    assert is_iterable_of_examples(data)
    found = collect(data, "data")
    np.testing.assert_array_equal(found.examples, X)
    np.testing.assert_array_equal(found.labels, Y)
    assert found.notes == []


def test_an_iterable_with_a_length_ends_with_it():
    assert is_iterable_of_examples(Endless())
    np.testing.assert_array_equal(collect(Endless(), "data").examples, X)


def test_arrays_and_plain_sequences_are_no_iterables_of_examples():
    for data in (X, [1, 2], (X, Y), {"x": X}, "abc", np.float32(1)):
        assert not is_iterable_of_examples(data)


def test_the_same_array_yielded_again_is_copied():
    def yields_one_array():
        x = np.zeros((1, 3))
        for index in range(4):
            x[:] = index
            yield x, np.array([index % 2])

    assert collect(yields_one_array(), "data").examples[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "x, y, n",
    [
        (np.zeros((4, 4, 1)), np.zeros((4, 4, 1)), 1),
        (np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 4, 1)), 2),
        (np.zeros(5), 1.5, 1),
        (np.zeros(5), np.zeros(5), 1),
        (np.zeros((5, 3)), np.zeros(5), 5),
        (np.zeros((28, 28)), np.eye(10)[3], 1),
        (np.zeros((28, 28, 3)), np.array(4), 1),
    ],
)
def test_single_examples_and_batches_are_told_apart_by_their_shapes(x, y, n):
    found = collect(iter([(x, y)]), "data")
    assert len(found.examples) == len(found.labels) == n


def test_the_number_of_examples_can_be_limited():
    found = collect(batches(), "data", max_examples=7)
    np.testing.assert_array_equal(found.examples, X[:7])
    assert [note.text for note in found.notes] == ["read 7 examples, the maximum that is set (max_examples)"]


def test_endless_data_is_read_up_to_a_bound_and_said_so(monkeypatch):
    monkeypatch.setattr("qatviz.data.iterables.ENDLESS_BYTES", 2**20)

    def endless():
        while True:
            yield np.zeros((100, 1000), np.float32), np.zeros(100)

    found = collect(endless(), "data")
    assert len(found.examples) == 300
    (note,) = found.notes
    assert note.is_mistake and note.text.startswith(
        "read 300 examples, the first 1.05 MB of data without a known length"
    )


def test_data_of_a_known_length_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 100)
    with pytest.raises(DataError, match="data: 5 examples need 120 bytes of memory; available for them: 50") as caught:
        collect(Batches(), "data")
    assert caught.value.field == "max_examples"


def test_progress_is_told_with_the_total_where_it_is_known():
    told = []
    collect(Batches(), "data", progress=lambda count, total: told.append((count, total)))
    assert told == [(5, 15), (10, 15), (12, 12)]
    told.clear()
    collect(batches(), "data", progress=lambda count, total: told.append((count, total)))
    assert told == [(5, None), (10, None), (12, None)]


@pytest.mark.parametrize(
    "items, words",
    [
        ([], "data: found no examples"),
        ([np.zeros((2, 2))], "item 0: found a value of the type ndarray; expected two"),
        ([(X, Y, Y, Y)], "item 0: found 4 values; expected two: examples and labels, or three"),
        ([(X, Y), (X[..., :1], Y)], r"item 1: found examples of shape \[2, 1\]; expected \[2, 2\]"),
        ([("text", 1)], "item 0: found examples of dtype <U4"),
        ([(np.array([{}]), 1)], "item 0: found examples of dtype object"),
    ],
)
def test_items_of_another_form_are_refused(items, words):
    with pytest.raises(DataError, match=words):
        collect(iter(items), "data")


KINDS, BOXES, WEIGHTS = np.arange(12) % 3, X.reshape(12, 4)[:, :2] + 0.5, np.arange(12) / 10


def several(form, size):
    """Yield batches, or single examples for a size of 0, with the targets of two outputs in a form."""
    for start in range(0, 12, size or 1):
        rows = slice(start, start + size) if size else start
        kinds, boxes, weights = KINDS[rows], BOXES[rows], WEIGHTS[rows]
        if form == "names":
            yield X[rows], {"kind": kinds, "box": boxes}, {"box": weights}
        elif form == "lists":
            yield X[rows], [kinds, boxes], weights
        else:
            yield X[rows], (kinds, boxes)


@pytest.mark.parametrize("size", [0, 5])
@pytest.mark.parametrize("form", ["names", "lists", "tuples"])
def test_items_have_targets_of_several_outputs(form, size):
    if form == "lists" and not size:
        pytest.skip("a list in an item of one example is one target")
    found = collect(several(form, size), "data")
    names = ("kind", "box") if form == "names" else ("0", "1")
    np.testing.assert_array_equal(found.examples, X)
    assert list(found.labels) == list(names)
    np.testing.assert_array_equal(found.labels[names[0]], KINDS)
    np.testing.assert_array_equal(found.labels[names[1]], BOXES)
    if form == "names":
        assert list(found.weights) == ["box"]
        np.testing.assert_array_equal(found.weights["box"], WEIGHTS)
    elif form == "lists":
        np.testing.assert_array_equal(found.weights, WEIGHTS)
    else:
        assert found.weights is None


def test_items_of_one_output_have_weights():
    found = collect(iter([(X[:5], Y[:5], WEIGHTS[:5]), (X[5:], Y[5:], WEIGHTS[5:])]), "data", max_examples=7)
    np.testing.assert_array_equal(found.labels, Y[:7])
    np.testing.assert_array_equal(found.weights, WEIGHTS[:7])


@pytest.mark.parametrize(
    "items, message",
    [
        (
            [(X, {"a": Y}), (X, {"b": Y})],
            "item 1: found examples, labels of output 'b'; expected examples, labels of ou",
        ),
        ([(X, {"a": Y, "b": Y[:4]})], "found 12 examples, but 4 labels of output 'b'; expected the same number"),
        ([(X, {"a": Y}), (X, {"a": BOXES})], r"item 1: found labels of output 'a' of shape \[2\]; expected \[\]"),
        ([(X, Y, WEIGHTS), (X, Y)], "item 1: found examples, labels; expected examples, labels, weights as in item 0"),
    ],
)
def test_items_that_differ_are_refused(items, message):
    with pytest.raises(DataError, match=message):
        collect(iter(items), "data")
