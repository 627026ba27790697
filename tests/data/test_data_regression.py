"""Regression targets: inference of the task, conversion, split, summary and errors."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qatviz.data import Dataset, data_notes, describe, format_description, from_arrays, load
from qatviz.data.split import random_split
from qatviz.data.targets import convert_targets, infer_task
from qatviz.errors import DataError, SettingError

X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = np.round(np.sin(7 * X[:, 0]), 6) + 0.25
INDICES = np.arange(20) % 4
ONE_HOT = np.eye(4)[INDICES]


def build(y=Y, test=None, x=X, **more):
    return from_arrays("name", "file.npz", (x, y), test, **more)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(20,), (20, 1), (10, 2)])
def test_fractions_are_regression_targets_and_keep_their_values(dtype, shape):
    y = Y.astype(dtype).reshape(shape)
    dataset = build(y, (X[:5], y[:5]), X[: len(y)])
    assert dataset.task == "regression" and dataset.num_outputs == y.size // len(y)
    assert (dataset.num_classes, dataset.class_names) == (0, ())
    for targets, expected in ((dataset.y_train, y), (dataset.y_test, y[:5])):
        assert targets.dtype == np.float32 and targets.dtype.isnative and not targets.flags.writeable
        np.testing.assert_array_equal(targets, expected.reshape(len(expected), -1).astype(np.float32))


@pytest.mark.parametrize(
    "y",
    [
        INDICES,
        INDICES.astype(np.float32),
        INDICES[:, None],
        INDICES % 2 == 0,
        ONE_HOT,
        ONE_HOT.astype(int),
        ONE_HOT.astype(np.float16),
    ],
)
def test_whole_numbers_and_one_hot_rows_are_classes_by_default(y):
    dataset = build(y)
    assert dataset.task == "classification" and dataset.y_train.dtype == np.int32
    assert dataset.num_outputs == dataset.num_classes == len(np.unique(y.reshape(20, -1), axis=0))
    assert build(y, task="classification").fingerprint == dataset.fingerprint
    told = build(y, task="regression")
    assert told.task == "regression" and told.num_outputs == y.size // 20
    assert sorted(np.concatenate([told.y_train, told.y_test]).sum(axis=1)) == sorted(y.reshape(20, -1).sum(axis=1))


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(code) for code in ("f2", "f4", "f8")]),
        hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=5),
    )
)
@settings(max_examples=200, deadline=None)
def test_inferred_regression_targets_are_float_and_not_whole(y):
    if infer_task(y) == "regression":
        finite = y[np.isfinite(y)]
        assert (finite != np.round(finite)).any()
        if np.isfinite(y).all() and float(np.abs(y).max()) < 1e38:
            np.testing.assert_array_equal(convert_targets(y, len(y), "y"), y.reshape(len(y), -1).astype(np.float32))


@pytest.mark.parametrize(
    "y, message",
    [
        (np.array([[0.5, 0.5], [0.3, 0.7]] * 10), r"found row \[0.5 0.5\] in example 0; expected one-hot rows"),
        (
            np.arange(20) * 1e5,
            "found label 100000.0 in example 1; .*for regression targets, set the task to regression",
        ),
        (np.where(np.arange(20) == 3, np.nan, Y), "found nan in example 3; expected finite"),
        (np.where(np.arange(20) == 4, 1e300, Y), r"found 1e\+300 in example 4; expected finite"),
        (np.where(np.arange(20) == 4, -np.inf, Y), "found -inf in example 4; expected finite"),
        (Y[:19], "found 19 rows for 20 examples; expected one row per example"),
    ],
)
def test_labels_for_neither_task_are_refused(y, message):
    with pytest.raises(DataError, match="^file.npz: y_train: " + message):
        build(y)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"y": np.zeros((20, 2, 2, 2, 1)), "task": "regression"},
            r"y_train: found shape \[20, 2, 2, 2, 1\]; expected \[N",
        ),
        ({"y": np.zeros((20, 0)), "task": "regression"}, r"y_train: found shape \[20, 0\]"),
        ({"y": np.array(["a"] * 20), "task": "regression"}, "y_train: found dtype <U1; expected numbers"),
        ({"y": np.full(20, 0.5)}, r"y_train: found the same targets in all examples \(\[0.5\]\)"),
        (
            {"test": (X, np.stack([Y, Y], axis=1))},
            r"y_test: found shape \[N, 2\]; expected \[N, 1\] as in file.npz: y_tr",
        ),
        ({"class_names": ["a", "b"], "task": "regression"}, "found class names for regression; expected none"),
        ({"x": X[:1], "y": Y[:1] * [[1, 2]], "task": "regression"}, "y_train: found the same targets"),
        ({"test": (X, Y), "y": INDICES}, "y_test: found label -0.4.* in example 0"),
        ({"task": "ranking"}, "the task is 'ranking': expected classification, multilabel, segmentation or regression"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match="^(file.npz: )?" + message):
        build(**changes)


def test_class_names_imply_classification():
    with pytest.raises(DataError, match="y_train: found label .* in example 0; expected class indices"):
        build(class_names=["a", "b"])


@given(count=st.integers(2, 200), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**70))
@settings(max_examples=200, deadline=None)
def test_a_random_split_is_disjoint_complete_and_of_the_requested_size(count, fraction, seed):
    train, test = random_split(count, fraction, seed)
    assert sorted(np.concatenate([train, test])) == list(range(count))
    assert train.size >= 1 and (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    assert test.size == min(max(int(np.floor(count * fraction + 0.5)), 1), count - 1)
    again = random_split(count, fraction, seed)
    assert (again[0] == train).all() and (again[1] == test).all()


def test_a_random_split_depends_on_the_seed_and_never_changes():
    assert random_split(20, 0.25, 3)[1].tolist() == [7, 8, 14, 16, 17]
    assert len({tuple(random_split(100, 0.2, seed)[1]) for seed in range(20)}) == 20
    with pytest.raises(DataError, match="found 1 examples; expected at least two"):
        random_split(1, 0.5)
    for fraction in (0.0, 1.0, -1.0):
        with pytest.raises(SettingError, match="held-out fraction"):
            random_split(10, fraction)


def test_examples_keep_their_targets_when_a_part_is_held_out():
    dataset = build(X[:, :2].copy(), validation_fraction=0.3)
    assert len(dataset.x_test) == 6
    for examples, targets in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        np.testing.assert_array_equal(examples[:, :2], targets)


def test_the_fingerprint_covers_all_targets(monkeypatch):
    monkeypatch.setattr("qatviz.data.dataset._FINGERPRINT_BYTES", 16)
    test = (X, Y)
    base = build(test=test).fingerprint
    for index in range(20):
        changed = Y.copy()
        changed[index] += 1e-3
        assert build(changed, test).fingerprint != base and build(test=(X, changed)).fingerprint != base
    assert build(test=test).fingerprint == base


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"y_test": Y.astype(np.float32)},
            r"y_test is float32 of shape \(20,\); expected float32 of shape \[20, outp",
        ),
        ({"y_test": INDICES.astype(np.int32)}, "y_test is int32"),
        ({"y_test": np.full((20, 1), np.nan, np.float32)}, "y_test has values that are not finite"),
        (
            {"y_test": np.zeros((20, 2), np.float32)},
            "the targets of an example have the shape .1,. in y_train but .2,. in",
        ),
        ({"class_names": ("a",)}, r"found class names \['a'\] for regression"),
        ({"task": "x"}, "the task is 'x'"),
    ],
)
def test_the_class_refuses_arrays_that_are_not_in_final_form(changes, message):
    x, y = X.astype(np.float32), Y.astype(np.float32)[:, None]
    values = dict(
        {
            "name": "n",
            "x_train": x,
            "y_train": y,
            "x_test": x,
            "y_test": y,
            "class_names": (),
            "source": "s",
            "task": "regression",
        },
        **changes,
    )
    with pytest.raises(DataError, match=message):
        Dataset(**values)


@pytest.mark.parametrize("keys", [("x", "y"), ("x_train", "y_train")])
def test_an_npz_archive_is_read_back(files, keys):
    dataset = load(files.npz(**dict(zip(keys, (X, Y)))))
    expected = build()
    assert dataset.task == "regression" and dataset.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(dataset.y_test, expected.y_test)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64, np.bool_])
def test_one_hot_rows_in_an_archive_become_class_indices(files, dtype):
    dataset = load(files.npz(x_train=X, y_train=ONE_HOT.astype(dtype), x_test=X[:8], y_test=ONE_HOT[:8].astype(dtype)))
    assert dataset.task == "classification" and dataset.num_outputs == 4
    np.testing.assert_array_equal(dataset.y_train, INDICES)
    assert dataset.fingerprint == build(INDICES, (X[:8], INDICES[:8])).fingerprint


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_task_of_an_npz_archive_is_the_default(files, task):
    path = files.npz(x=X, y=INDICES, task=task)
    assert load(path).task == task
    assert load(path, task="regression").task == "regression"
    assert load(files.npz("list.npz", x=X, y=INDICES, task=[task])).task == task


@pytest.mark.parametrize(
    "task, message",
    [
        ("detection", "the task is 'detection'"),
        (1, "data.npz: task: found int64 of shape .*expected a string"),
        (["regression", "regression"], r"task: found <U10 of shape \[2\]"),
    ],
)
def test_an_unknown_task_is_refused(files, task, message):
    with pytest.raises(DataError, match=message):
        load(files.npz(x=X, y=Y, task=task))


def test_idx_files_may_have_regression_targets(files, digits):
    x, y = digits
    path = files.idx("set/train-images-idx3-ubyte", x)
    files.idx("set/train-labels-idx1-ubyte", np.linspace(0, 1, 40).astype(np.float32))
    assert load(path).task == "regression" and load(path).num_outputs == 1
    files.idx("set/train-labels-idx1-ubyte", y)
    assert load(path).num_classes == 4 and load(path, task="regression").num_outputs == 1


def test_data_with_classes_only_is_refused_for_regression(files, digits):
    folder = files.folder(digits[0], digits[1])
    for source in (folder, "mnist-5k"):
        with pytest.raises(
            DataError, match="the task is 'regression', but the data has classes; expected .*'classification'"
        ):
            load(source, task="regression")
    assert load(folder, task="classification").num_classes == 4
    with pytest.raises(DataError, match="the task is 'x'"):
        load(folder, task="x")


def test_the_summary_agrees_with_numpy_and_is_json():
    y = np.stack([Y, 100 * Y + 3], axis=1)
    dataset = build(y)
    summary = describe(dataset)
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["task"], summary["num_classes"], summary["classes"]) == ("regression", 0, [])
    for index, entry in enumerate(summary["targets"]):
        for part, targets in (("train", dataset.y_train), ("test", dataset.y_test)):
            column = targets[:, index].astype(np.float64)
            assert entry[part] == pytest.approx(
                {"min": column.min(), "max": column.max(), "mean": column.mean(), "std": column.std()}
            )
    lines = format_description(summary).split("\n")
    assert "targets    2 per example" in lines
    start = lines.index("targets    2 per example")
    assert [len(line) for line in lines[start + 1 : start + 4]] == [68] * 3
    shown = [float(cell) for cell in lines[start + 3].split()]
    assert shown[:5] == pytest.approx([1, *list(summary["targets"][1]["train"].values())], rel=1e-4)
    assert describe(build(INDICES))["targets"] == [] and describe(build(INDICES))["task"] == "classification"


def test_a_long_list_of_outputs_is_cut_off():
    lines = format_description(describe(build(X[:, :1] * np.arange(1, 51)))).split("\n")
    assert "and 30 more" in lines and len(lines) < 30


@pytest.mark.parametrize(
    "y, note",
    [
        (Y * 1e4, r"the largest absolute target is 1.25e\+04, while outputs"),
        (Y * 1e-4, "the largest absolute target is 0.000125"),
        (np.stack([Y, np.full(20, 2.0)], axis=1), "all training examples have the same target for output 1"),
        (Y + 10, r"targets of output 0 are between 9.\d+ and 11.\d+, far from 0, which .* about 4\d of 256 codes"),
        (np.stack([Y, -10 - Y], axis=1), "targets of output 1 are between -11"),
        (Y, None),
        (np.abs(Y), None),
    ],
)
def test_likely_mistakes_are_noted(y, note):
    mistakes = [found.text for found in data_notes(build(y)) if found.is_mistake]
    assert not mistakes if note is None else re.match(note, mistakes[0])


def test_classes_with_few_examples_may_be_targets():
    x = np.random.RandomState(0).rand(120, 3)
    notes = describe(build(np.arange(120.0) // 2, (x, np.arange(120.0) // 2), x))["notes"]
    assert notes[:1] == [
        "60 classes for 120 examples: if the labels are regression targets, set the task to regression"
    ]
