"""Several labels for each example: inference of the task, conversion, split, notes, summary and errors."""

import numpy as np
import pytest

from qatviz.data import Dataset, data_notes, describe, format_description, from_arrays, load
from qatviz.data.targets import infer_task
from qatviz.errors import DataError
from qatviz.presentation.previews import data_info

X = np.linspace(-1, 1, 60).reshape(20, 3)
ROWS = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]] * 5)
ONE_HOT = np.eye(3, dtype=int)[np.arange(20) % 3]


def build(y=ROWS, test=None, **more):
    return from_arrays("name", "file.npz", (X, y), test, **more)


@pytest.mark.parametrize("dtype", [int, np.uint8, bool, np.float32])
def test_rows_with_several_ones_are_labels(dtype):
    dataset = build(ROWS.astype(dtype), (X[:4], ROWS[:4].astype(dtype)))
    assert dataset.task == "multilabel" and dataset.class_names == ("0", "1", "2")
    assert dataset.output_shape == (3,) and dataset.num_outputs == 3
    assert dataset.y_train.dtype == np.int32 and not dataset.y_train.flags.writeable
    np.testing.assert_array_equal(dataset.y_train, ROWS)
    np.testing.assert_array_equal(dataset.y_test, ROWS[:4])
    assert "rows of 0 and 1 with several ones, so that an example has any of 3 labels" in str(data_notes(dataset))


def test_one_hot_rows_are_classes_unless_the_task_is_stated():
    assert infer_task(ONE_HOT) == "classification"
    stated = build(ONE_HOT, (X, ONE_HOT), task="multilabel")
    np.testing.assert_array_equal(stated.y_train, ONE_HOT)
    assert not any("several ones" in note.text for note in data_notes(stated))
    single = build(ROWS[:, 0], task="multilabel")
    assert single.y_train.shape[1:] == (1,) and single.output_shape == (1,)


def test_names_are_those_of_the_labels(files):
    path = files.npz(x=X, y=ROWS, class_names=np.array(["cat", "dog", "car"]))
    dataset = load(path)
    assert dataset.task == "multilabel" and dataset.class_names == ("cat", "dog", "car")
    stated = load(files.npz("b.npz", x=X, y=ONE_HOT, task=np.array("multilabel")))
    assert stated.task == "multilabel" and stated.num_classes == 3


def test_the_split_is_at_random_and_repeatable():
    one, other = build(), build()
    assert one.fingerprint == other.fingerprint and len(one.x_test) == 4
    rows = np.concatenate([one.y_train, one.y_test])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, ROWS))


def test_labels_that_never_or_always_apply_are_noted():
    rows = ROWS.copy()
    rows[:, 1], rows[:, 2] = 0, 1
    notes = data_notes(build(rows, (X, ROWS)))
    assert [note.text for note in notes if note.is_mistake] == [
        "2 of 3 labels are the same in all train examples: 1, 2"
    ]


def test_the_summary_counts_the_examples_with_each_label():
    summary = describe(build(test=(X[:4], ROWS[:4]), class_names=["cat", "dog", "car"]))
    assert summary["task"] == "multilabel" and summary["targets"] == []
    assert summary["classes"][0] == {"name": "cat", "train": 10, "test": 2}
    text = format_description(summary)
    assert "label     train      test" in text and "class" not in text


def test_the_preview_names_the_labels_of_each_example():
    info = data_info(build(test=(X[:4], ROWS[:4]), class_names=["cat", "dog", "car"]))
    assert info.captions[:4] == ("cat, car", "none", "dog", "cat, dog, car")
    assert info.groups == ("cat", "dog", "car") and info.train_counts.tolist() == [10, 10, 10]
    assert "3 labels, 20 training + 4 test examples" in info.describe()


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"y": ROWS * 0.5, "task": "multilabel"},
            r"y_train: found row \[0.5 0.  0.5\] in example 0; expected rows of 0",
        ),
        ({"y": ROWS * 2, "task": "multilabel"}, r"found row \[2 0 2\] in example 0"),
        ({"y": ROWS[:4], "task": "multilabel"}, "found 4 rows for 20 examples; expected one row per example"),
        ({"y": np.zeros((20, 2, 2)), "task": "multilabel"}, r"found shape \[20, 2, 2\]; expected \[N, labels\] rows"),
        ({"test": (X, ONE_HOT[:, :2]), "task": "multilabel"}, "found 2 labels for each example; expected 3 as in"),
        ({"class_names": ["a", "b"]}, "found 2 class names for rows of 3 classes or labels"),
        (
            {"y": ROWS, "task": "classification"},
            r"found row \[1 0 1\] in example 0; expected one-hot .*for several labels .* set the task to multilabel",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        build(**changes)


def test_a_data_set_checks_its_rows():
    def made(y):
        return Dataset(
            "n", X.astype(np.float32), y, X.astype(np.float32), ROWS.astype(np.int32), tuple("abc"), "s", task
        )

    task = "multilabel"
    made(ROWS.astype(np.int32))
    for wrong in (ROWS, ROWS[:, :2].astype(np.int32), 2 * ROWS.astype(np.int32)):
        with pytest.raises(DataError, match="y_train"):
            made(wrong)
