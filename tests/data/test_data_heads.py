"""Targets of several outputs: conversion, split, matching with a network's outputs, archives, summary and errors."""

import numpy as np
import pytest

from qatviz.data import data_notes, describe, format_description, load
from qatviz.data.heads import for_outputs, from_heads
from qatviz.data.several import are_several
from qatviz.data.store import write_store
from qatviz.data_options import DataOptions
from qatviz.errors import ChoiceNeeded, DataError

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


def test_weights_are_those_of_an_output_or_of_all():
    w, rows = np.arange(20) / 10, np.arange(20) + 0.5
    for weights, expected in (
        (w, (w, w)),
        ({"box": w}, (None, w)),
        ({"1": w}, (None, w)),
        ([w, None], (w, None)),
        (w.tolist(), (w, w)),
    ):
        for head, own in zip(build(test=(X, TARGETS), weights=weights).heads, expected):
            assert (head.w_train is None) == (own is None)
            assert own is None or np.array_equal(head.w_train, own.astype(np.float32))
    split = build({"digit": DIGIT, "row": rows}, weights={"digit": w})
    np.testing.assert_array_equal(split.w_train, (w[split.heads[1].y_train[:, 0].astype(int)]).astype(np.float32))
    fitted = for_outputs(build(weights={"digit": w}), ("box", "digit"), ((2,), (3,)))
    assert fitted.w_train is None and fitted.further[0].w_train is not None
    prints = [build(weights=weights).fingerprint for weights in (None, {"digit": w}, {"box": w})]
    assert len(set(prints)) == 3 and fitted.fingerprint == prints[1]
    assert any(
        note.text.startswith("output 'box': training examples have weights")
        for note in data_notes(build(weights={"box": w}))
    )
    with pytest.raises(DataError, match="found weights of the output 'car'; expected those of 'digit', 'box'"):
        build(weights={"car": w})
    with pytest.raises(DataError, match="w_train of output 'box': .*expected a number for each of 20 examples"):
        build(weights={"box": w[:3]})


def test_an_archive_has_weights_of_outputs(files):
    w = np.arange(20) / 10
    one = load(files.npz(x=X, y_digit=DIGIT, y_box=BOX, w_train_box=w))
    assert {head.output: head.w_train is None for head in one.heads} == {"digit": True, "box": False}
    both = load(files.npz("both.npz", x=X, y_digit=DIGIT, y_box=BOX, w_train=w))
    assert all(len(head.w_train) == 16 for head in both.heads)
    mixed = load(files.npz("mixed.npz", x=X, y_digit=DIGIT, y_box=BOX, w_train=w, w_train_box=np.ones(20), z=w))
    assert not np.all(mixed.heads[0].w_train == 1) and np.all(mixed.heads[1].w_train == 1)
    assert [note.text for note in mixed.notes] == ["skipped arrays: 1 (z)"]


def test_a_store_has_every_output(tmp_path):
    dataset = build(test=(X[:4], {"box": BOX[:4], "digit": DIGIT[:4]}), weights={"box": np.arange(20) / 10})
    write_store(dataset, str(tmp_path / "store"))
    found = load(str(tmp_path / "store"))
    assert found.fingerprint == dataset.fingerprint and found.streamed == ("x_train", "x_test")
    for head, own in zip(dataset.heads, found.heads):
        assert (own.output, own.task, own.class_names) == (head.output, head.task, head.class_names)
        np.testing.assert_array_equal(own.y_test, head.y_test)
    assert found.w_train is None and found.further[0].w_train is not None
    about = tmp_path / "store" / "store.json"
    about.write_text(about.read_text().replace('"digit"', '"box"'))
    with pytest.raises(DataError, match="outputs is .*; expected output, task and class_names of each"):
        load(str(tmp_path / "store"))


def table():
    """Return the columns of a table with targets of two outputs."""
    return {"a": X[:, 0], "b": X[:, 1], "kind": np.array(["cat", "dog", "car"])[DIGIT], "x": BOX[:, 0], "y": BOX[:, 1]}


@pytest.mark.parametrize("targets", ["kind=kind;box=x,y", "kind = kind; box = x,y"])
def test_columns_are_targets_of_outputs(targets, tmp_path):
    columns = table()
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    found = load(str(tmp_path / "rows.csv"), options=DataOptions(targets=targets))
    kind, box = found.heads
    assert (kind.output, kind.class_names, box.output, box.task) == ("kind", ("car", "cat", "dog"), "box", "regression")
    assert found.input_shape == (2,) and box.output_shape == (2,)
    rows = {tuple(np.float32(x).tolist()): label for x, label in zip(X[:, :2], columns["kind"])}
    for x, label in zip(found.x_test, kind.y_test):
        assert rows[tuple(x.tolist())] == kind.class_names[label]
    as_numbers = load(
        str(tmp_path / "rows.csv"), options=DataOptions(targets="box=x;other=y"), tasks={"other": "regression"}
    )
    assert [head.task for head in as_numbers.heads] == ["regression", "regression"]
    with pytest.raises(ChoiceNeeded, match="targets: found no column 'z'"):
        load(str(tmp_path / "rows.csv"), options=DataOptions(targets="kind=kind;box=z"))


def test_paths_with_braces_are_named_as_they_are(tmp_path):
    np.savez(str(tmp_path / "a{0}{b}.npz"), x=X, y_digit=DIGIT[:3], y_box=BOX)
    with pytest.raises(DataError) as no:
        load(str(tmp_path / "a{0}{b}.npz"))
    assert "a{0}{b}.npz: y_digit: found 3 rows" in str(no.value)


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
    assert are_several([DIGIT, BOX], 20) and are_several({"a": DIGIT}, 20)
    assert not are_several(DIGIT, 20) and not are_several(DIGIT.tolist(), 20)
    assert not are_several([DIGIT, BOX[:3]], 20) and not are_several([[1, 0], [0, 1]], 2)


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
