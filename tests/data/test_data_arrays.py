"""Conversion of arrays to a data set, and the errors of invalid arrays."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qatviz.data import Dataset, from_arrays
from qatviz.data.checks import convert_examples, read_exactly
from qatviz.data.targets import convert_labels
from qatviz.errors import DataError

X = np.arange(4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2, 1)
Y = np.array([0, 1, 0, 1], dtype=np.int32)


def build(x=X, y=Y, test=None, **more):
    return from_arrays("name", "file.npz", (x, y), test, **more)


def final(**changes):
    values = {
        "name": "n",
        "x_train": X,
        "y_train": Y,
        "x_test": X,
        "y_test": Y,
        "class_names": ("a", "b"),
        "source": "s",
    }
    values.update(changes)
    return Dataset(**values)


@pytest.mark.parametrize(
    "dtype, expected, scale",
    [
        (np.uint8, np.uint8, 1 / 255),
        (np.int64, np.float32, 1),
        (">i2", np.float32, 1),
        (np.float16, np.float32, 1),
        (np.float64, np.float32, 1),
        (">f4", np.float32, 1),
        (np.bool_, np.float32, 1),
    ],
)
def test_examples_keep_their_values_in_the_final_dtype(dtype, expected, scale):
    dataset = build(X.astype(dtype), test=(X.astype(dtype), Y))
    assert dataset.x_train.dtype == expected and dataset.x_train.dtype.isnative
    np.testing.assert_array_equal(dataset.x_train, X.astype(dtype))
    assert dataset.pixel_scale == scale


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int8])
def test_rows_of_integers_are_features_not_pixels(dtype):
    rows = X.astype(dtype).reshape(4, 6)
    dataset = build(rows)
    assert dataset.x_train.dtype == np.float32 and dataset.pixel_scale == 1 and dataset.assumed.integers
    assert sorted(np.concatenate([dataset.x_train, dataset.x_test])[:, 0]) == sorted(rows[:, 0])


def test_a_test_part_of_another_integer_type_has_the_scaling_of_the_training_part():
    dataset = build(test=(X.astype(np.int64), Y))
    assert dataset.x_test.dtype == np.uint8 and dataset.scaling == "unit"
    with pytest.raises(DataError, match=r"x_test: found int64 values from 250 to 273; expected integers from 0 to 255"):
        build(test=(X.astype(np.int64) + 250, Y))


@pytest.mark.parametrize(
    "shape, input_shape",
    [
        ((4, 6), (6,)),
        ((4, 3, 2), (3, 2, 1)),
        ((4, 1, 2, 3), (1, 2, 3)),
    ],
)
def test_shapes(shape, input_shape):
    assert build(X.reshape(shape)).input_shape == input_shape


@pytest.mark.parametrize(
    "shape, fitted, fits",
    [
        ((4, 3, 2), (3, 2), True),
        ((4, 3, 2, 1), (3, 2), True),
        ((4, 6), (6, 1), True),
        ((4, 3, 2), (3, 2, 1), True),
        ((4, 3, 2), (2, 3), False),
        ((4, 3, 2), (6,), False),
        ((4, 1, 2, 3), (1, 2), False),
    ],
)
def test_examples_with_or_without_an_axis_of_one_channel(shape, fitted, fits):
    dataset = build(X.reshape(shape))
    other = dataset.with_input_shape(fitted)
    assert (other.input_shape == fitted) == fits and other.fingerprint == dataset.fingerprint
    assert other.x_train.tobytes() == dataset.x_train.tobytes() and not other.x_train.flags.writeable
    assert other.with_input_shape(dataset.input_shape).input_shape == dataset.input_shape


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 0, 1],
        [[0], [1], [0], [1]],
        [0.0, 1.0, 0.0, 1.0],
        [False, True, False, True],
        [[1, 0], [0, 1], [1, 0], [0, 1]],
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
    ],
)
def test_labels_of_every_form_become_class_indices(labels):
    dataset = build(test=(X, labels), y=np.array(labels))
    np.testing.assert_array_equal(dataset.y_train, Y)
    assert dataset.y_train.dtype == dataset.y_test.dtype == np.int32
    assert dataset.num_classes == 2 and dataset.class_names == ("0", "1")


@given(labels=hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(0, 9)), extra=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_one_hot_rows_become_class_indices(labels, extra):
    width = max(labels.max() + 1 + extra, 2)
    indices, n_classes = convert_labels(np.eye(width)[labels], labels.size, "file")
    np.testing.assert_array_equal(indices, labels)
    assert n_classes == width


def test_classes_come_from_names_or_one_hot_width_or_the_largest_label():
    assert build().num_classes == 2
    assert build(class_names=["a", "b", "c"]).num_classes == 3
    assert build(y=np.eye(5)[Y]).num_classes == 5


def test_without_a_test_part_one_is_held_out_with_its_labels():
    x = np.arange(100, dtype=np.uint8).reshape(100, 1)
    dataset = build(x, np.arange(100) % 5, validation_fraction=0.3, seed=4)
    assert len(dataset.x_test) == 30
    for images, labels in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        np.testing.assert_array_equal(images[:, 0] % 5, labels)
    assert build(x, np.arange(100) % 5, validation_fraction=0.3, seed=4).fingerprint == dataset.fingerprint
    assert build(x, np.arange(100) % 5, validation_fraction=0.3, seed=5).fingerprint != dataset.fingerprint


@pytest.mark.parametrize(
    "x, message",
    [
        (X.reshape(-1), r"x_train: found shape \[24\]; expected \[N, height"),
        (X[np.newaxis], r"found shape \[1, 4, 3, 2, 1\]"),
        (X[:0], r"found shape \[0, 3, 2, 1\], which is empty"),
        (X[:, :0], r"found shape \[4, 0, 2, 1\], which is empty"),
        (X.astype(np.complex64), "found dtype complex64"),
        (X.astype("U3"), "found dtype <U3"),
        (X.astype(object), "found dtype object"),
        (np.where(X == 13, np.nan, 1.0), "found nan in example 2; expected finite"),
        (np.where(X == 23, -np.inf, 1.0), "found -inf in example 3"),
        (np.where(X == 0, 1e300, 1.0), r"found 1e\+300 in example 0"),
    ],
)
def test_examples_that_do_not_fit_are_refused(x, message):
    with pytest.raises(DataError, match="^file.npz: x_train: found.*expected") as caught:
        build(x)
    caught.match(message)
    with pytest.raises(DataError, match="^file.npz: x_test: "):
        build(test=(x, Y))


@pytest.mark.parametrize(
    "y, message",
    [
        (Y[:3], "found 3 labels for 4 examples"),
        (Y.reshape(2, 2), "found 2 labels for 4 examples"),
        (Y.reshape(4, 1, 1), r"found shape \[4, 1, 1\]"),
        (np.int32(3), r"found shape \[\]"),
        (np.zeros((4, 0)), r"found shape \[4, 0\]"),
        (np.array([b"a", b"b", b"a", b"b"]), r"found dtype \|S1"),
        (np.array([0, 1, None, 1]), "found dtype object"),
        (np.array([0, -1, 0, 1]), "found label -1 in example 1; expected class indices from 0 to"),
        (np.array([0, 1, 0, 10000]), "found label 10000 in example 3"),
        (np.array([0, 1, np.nan, 1]), "found label nan in example 2"),
        (np.array([np.inf, 1, 0, 1]), "found label inf in example 0"),
        (np.array([[1, 0], [0.5, 0.5], [0, 1], [0, 1]]), r"found row \[0.5 0.5\] in example 1; expected one-hot"),
        (np.array([[1, 0], [0, 0], [0, 1], [0, 1]]), r"found row \[0 0\] in example 1"),
        (np.array([[1, 0], [0.3, 0.7], [0, 1], [0, 1]]), r"found row \[0.3 0.7\] in example 1"),
        (np.array([[1, 0], [np.nan, 1], [0, 1], [0, 1]]), r"found row \[nan  ?1.\] in example 1"),
        (np.zeros((4, 10001)), "found 10001 columns"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, message):
    with pytest.raises(DataError, match="^file.npz: y_train: found.*expected") as caught:
        build(y=y)
    caught.match(message)
    with pytest.raises(DataError, match="^file.npz: y_test: "):
        build(test=(X, y))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y": np.zeros(4, int)}, "y_train: found the single class 0; expected at least two"),
        ({"y": np.full(4, 3)}, "y_train: found the single class 3"),
        ({"class_names": ["a"]}, "y_train: found label 1 in example 1; expected 0 to 0"),
        ({"class_names": ["a", "a"]}, "found class names .* with a duplicate"),
        ({"class_names": ["a", "b", "c"], "y": np.eye(2)[Y]}, "found 3 class names for rows of 2 classes or labels"),
        ({"test": (X, [0, 1, 2, 1])}, "y_test: found label 2 in example 2; expected 0 to 1"),
        (
            {"test": (X, np.eye(3)[Y])},
            "y_test: found one-hot rows of 3 classes; expected 2 classes as in file.npz: y_train",
        ),
        (
            {"test": (X[:, :2], Y)},
            r"x_test: found uint8 examples of shape \[2, 2, 1\]; expected uint8 of shape \[3, 2",
        ),
        ({"test": (X / 255, Y)}, "x_test: found float32 examples .* expected uint8"),
        ({"y": [0, 1, 2, 3]}, "y_train: found 4 examples in 4 classes; expected a class with two examples"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(DataError, match="^file.npz: ?") as caught:
        build(**changes)
    caught.match(message)


def test_a_data_set_is_frozen_and_read_only_but_the_callers_array_is_not():
    mine = X.copy()
    dataset = final(x_train=mine)
    for name in ("x_train", "y_train", "x_test", "y_test"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(dataset, name)[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"
    assert mine.flags.writeable


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_train": X.astype(np.float64)}, "x_train is float64"),
        ({"x_test": X[..., 0, 0, None, None, None]}, r"x_test is uint8 of shape \(4, 3, 1, 1, 1\)"),
        ({"y_train": Y.astype(np.int64)}, "y_train is int64"),
        ({"y_test": Y[:3]}, r"y_test is int32 of shape \(3,\); expected int32 of shape \[4\]"),
        ({"x_test": X[:0], "y_test": Y[:0]}, "y_test is int32 .* not empty"),
        ({"class_names": ("a",)}, "y_train has labels from 0 to 1; expected 0 to 0"),
        ({"y_train": Y - 1}, "y_train has labels from -1 to 0"),
        ({"x_test": X[:, :2]}, r"x_train has uint8 \(4, 3, 2, 1\) but x_test uint8 \(4, 2, 2, 1\)"),
        ({"x_test": X.astype(np.float32)}, "x_train has uint8 .* but x_test float32"),
    ],
)
def test_the_class_refuses_arrays_that_are_not_in_final_form(changes, message):
    with pytest.raises(DataError, match=message):
        final(**changes)


def test_the_fingerprint_depends_on_the_contents():
    base = final()
    assert base.fingerprint == "2142603e9b929e4f827cb918c2497e00"
    assert final(name="other", source="elsewhere", class_names=("c", "d")).fingerprint == base.fingerprint
    changed = X.copy()
    changed[3, 2, 1, 0] += 1
    others = [
        final(x_train=changed),
        final(x_test=changed),
        final(y_train=Y[::-1]),
        final(y_test=Y[::-1]),
        final(class_names=("a", "b", "c")),
        final(x_train=X.reshape(4, 6), x_test=X.reshape(4, 6)),
        final(x_train=X.astype(np.float32), x_test=X.astype(np.float32)),
    ]
    assert len({dataset.fingerprint for dataset in [*others, base]}) == len(others) + 1


def test_the_fingerprint_of_large_parts_covers_evenly_spaced_examples(monkeypatch):
    monkeypatch.setattr("qatviz.data.dataset._FINGERPRINT_BYTES", 2 * X[0].nbytes)
    seen, unseen = X.copy(), X.copy()
    seen[2] += 1
    unseen[1] += 1
    base = final().fingerprint
    assert final(x_train=unseen).fingerprint == base
    assert final(x_train=seen).fingerprint != base


def test_a_declared_size_is_not_allocated():
    class Stream:
        """Ends after ten bytes, and allocates what it is asked for like Python's buffered streams."""

        largest = 0
        parts = iter((b"67890", b"12345"))

        def read(self, n_bytes):
            self.largest = max(self.largest, n_bytes)
            return next(self.parts, b"")

    stream = Stream()
    with pytest.raises(DataError, match=r"file: the array ends after 10 bytes; expected 100,000,000"):
        read_exactly(stream, (10**8,), np.dtype(np.uint8), "file", "the array")
    assert stream.largest <= 2**20


def test_holding_out_a_part_needs_memory_for_the_copy(monkeypatch):
    monkeypatch.setattr("qatviz.data.checks._available_bytes", lambda: X.nbytes - 1)
    with pytest.raises(DataError, match="file.npz: y_train: holding out a part of the examples needs 24 bytes"):
        build()
    assert len(build(test=(X, Y)).x_train) == 4


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(code) for code in ("u1", "i4", "f4", "f8", "?", "U2", "c8")]),
        hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_array_is_converted_or_refused(array):
    try:
        examples = convert_examples(array, "file")
    except DataError:
        return
    assert examples.dtype in (np.uint8, np.float32) and examples.ndim in (2, 4) and examples.size
    assert np.isfinite(examples).all() and examples.flags.c_contiguous
    np.testing.assert_array_equal(examples.reshape(array.shape), array.astype(examples.dtype))
