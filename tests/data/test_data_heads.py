"""Targets of several outputs: conversion, split, matching with a network's outputs, archives, summary and errors."""

import numpy as np
import pytest

from qatviz.data import data_notes, describe, format_description, load
from qatviz.data.heads import are_of_several_outputs, for_outputs, from_heads
from qatviz.errors import DataError

X = np.linspace(-1, 1, 60).reshape(20, 3).astype(np.float32)
DIGIT, BOX = np.arange(20) % 3, np.stack([X[:, 0], X[:, 1] ** 2], axis=1)
TARGETS = {"digit": DIGIT, "box": BOX}


def build(targets=TARGETS, test=None, **more):
    return from_heads("name", "file.npz", (X, targets), test, **more)


def test_each_output_has_its_task_and_the_same_examples():
    dataset = build(test=(X[:4], {"box": BOX[:4], "digit": DIGIT[:4]}))
    digit, box = dataset.heads
    assert (digit.output, digit.task, box.output, box.task) == ("digit", "classification", "box", "regression")
    assert box.x_train is not None and np.shares_memory(box.x_train, dataset.x_train)
    np.testing.assert_array_equal(box.y_train, BOX.astype(np.float32))
    np.testing.assert_array_equal(digit.y_test, DIGIT[:4])


def test_examples_are_held_out_for_all_outputs_alike():
    dataset = build({"digit": DIGIT, "row": np.arange(20) + 0.5})
    digit, row = dataset.heads
    for part in ("train", "test"):
        rows = getattr(row, "y_" + part)[:, 0].astype(int)
        np.testing.assert_array_equal(getattr(dataset, "x_" + part), X[rows])
        np.testing.assert_array_equal(getattr(digit, "y_" + part), DIGIT[rows])
    assert len(dataset.x_test) == 4 and dataset.assumed.held_out == 0.2


def test_targets_get_the_order_and_names_of_the_outputs():
    by_name = for_outputs(build(), ("box", "digit"), ((2,), (3,)))
    assert [head.output for head in by_name.heads] == ["box", "digit"]
    assert by_name.fingerprint == build().fingerprint
    in_order = for_outputs(build([DIGIT, BOX]), ("a", "b"), ((3,), (2,)))
    assert [(head.output, head.task) for head in in_order.heads] == [("a", "classification"), ("b", "regression")]
    assert build([DIGIT, BOX]).fingerprint == build().fingerprint != build({"a": DIGIT, "b": 2 * BOX}).fingerprint
    with pytest.raises(DataError, match="has targets of 'digit', 'box', but the network has the outputs 'a', 'b'"):
        for_outputs(build(), ("a", "b"), ((3,), (2,)))
    with pytest.raises(DataError, match="targets of the outputs 'digit', 'box', but the network has the output 'a'"):
        for_outputs(build(), ("a",), ((3,),))


def test_scaling_applies_to_all_outputs():
    pixels = np.arange(20 * 16).reshape(20, 4, 4).astype(np.uint8)
    dataset = from_heads("n", "s", (pixels, {"digit": DIGIT, "image": pixels}))
    signed = dataset.with_scaling("signed")
    assert signed.heads[1].x_train.min() < 0 and signed.heads[1].scaling == "signed"
    assert signed.heads[1].y_train.min() < 0 <= dataset.heads[1].y_train.min()


def test_an_archive_has_the_targets_by_name(files):
    names = np.array(["cat", "dog", "car"])
    dataset = load(files.npz(x=X, y_digit=DIGIT, y_box=BOX, class_names_digit=names, other=X))
    assert {head.output for head in dataset.heads} == {"digit", "box"}
    digit = next(head for head in dataset.heads if head.output == "digit")
    assert digit.class_names == tuple(names)
    parts = {"y_train_digit": DIGIT, "y_train_box": BOX, "y_test_digit": DIGIT[:4], "y_test_box": BOX[:4]}
    both = load(files.npz("b.npz", x_train=X, x_test=X[:4], task_digit=np.array("regression"), **parts))
    assert sorted(head.task for head in both.heads) == ["regression", "regression"] and len(both.x_test) == 4
    assert load(files.directory / "b.npz", tasks={"digit": "classification"}).fingerprint != both.fingerprint
    with pytest.raises(DataError, match="found x_test without y_test_box"):
        load(files.npz("c.npz", x_train=X, x_test=X[:4], y_train_digit=DIGIT, y_train_box=BOX, y_test_digit=DIGIT[:4]))


def test_notes_and_summary_name_the_outputs():
    dataset = build(test=(X[:4], {"digit": DIGIT[:4], "box": BOX[:4]}))
    texts = [note.text for note in data_notes(dataset)]
    assert any(text.startswith("output 'digit': the labels are whole numbers") for text in texts)
    assert any(text.startswith("output 'box': ") for text in texts)
    summary = describe(dataset)
    assert [row["output"] for row in summary["outputs"]] == ["digit", "box"] and summary["task"] == "classification"
    text = format_description(summary)
    assert text.index("output digit") < text.index("class     train") < text.index("output box") < text.index("targets")


def test_sequences_of_arrays_are_several_outputs_unless_they_could_be_one():
    assert are_of_several_outputs([DIGIT, BOX], 20) and are_of_several_outputs({"a": DIGIT}, 20)
    assert not are_of_several_outputs(DIGIT, 20) and not are_of_several_outputs(DIGIT.tolist(), 20)
    assert not are_of_several_outputs([DIGIT, BOX[:3]], 20) and not are_of_several_outputs([[1, 0], [0, 1]], 2)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"targets": {"digit": DIGIT[:3], "box": BOX}}, "y_train of output 'digit': found 3 rows for 20 examples"),
        ({"targets": {}}, "found no targets"),
        ({"test": (X, {"digit": DIGIT})}, "found test targets of 'digit'; expected 'digit', 'box'"),
        ({"targets": {"digit": DIGIT, "box": BOX * np.nan}}, "y_train of output 'box': found row"),
        ({"tasks": {"digit": "ranking"}}, "the task is 'ranking'"),
    ],
)
def test_targets_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        build(**changes)
