"""Data with several inputs: arrays by name or in order, archives, folders, scalings of each."""

import json

import numpy as np
import pytest

from qatviz.data import data_notes, describe, format_description, load, write_store
from qatviz.data.data_input import parts_of
from qatviz.data.inputs import for_inputs, from_inputs
from qatviz.errors import DataError, SettingError
from qatviz.scaling import UNIT, UNSCALED

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 256, (40, 4, 5, 3)).astype(np.uint8)
OTHERS = RANDOM.randint(0, 256, (40, 4, 5)).astype(np.uint8)
NUMBERS = RANDOM.standard_normal((40, 2)).astype(np.float32)
LABELS = np.arange(40) % 2
SHAPES = (("image", (4, 5, 3)), ("number", (2,)))


def mixed(**changes):
    return from_inputs("mixed", "a test", ({"number": NUMBERS, "image": IMAGES}, LABELS), **changes)


def rows_of(dataset, labels=LABELS):
    """Return the values of each input, training and test part together, in the order of the given examples."""
    parts = [parts_of(dataset.inputs, x) for x in (dataset.x_train, dataset.x_test)]
    return {each.name: np.concatenate(own) for each, own in zip(dataset.inputs, map(list, zip(*parts)))}


def test_examples_are_rows_with_all_values():
    dataset = mixed()
    assert [each.name for each in dataset.inputs] == ["image", "number"]
    assert dataset.x_train.dtype == np.float32 and dataset.input_shape == (62,)
    found = rows_of(dataset)
    assert found["image"].dtype == np.uint8 and found["image"].shape[1:] == (4, 5, 3)
    for name, given in (("image", IMAGES), ("number", NUMBERS)):
        assert sorted(map(bytes, found[name])) == sorted(map(bytes, given)), name
    # Each row has the values of the same example.
    for row in dataset.x_train:
        at = np.flatnonzero((row[60:] == NUMBERS).all(axis=1))[0]
        np.testing.assert_array_equal(row[:60], IMAGES[at].ravel() * np.float32(1 / 255))


def test_bytes_stay_bytes():
    dataset = from_inputs("images", "a test", ([IMAGES, OTHERS], LABELS))
    assert [each.name for each in dataset.inputs] == ["0", "1"] and dataset.x_train.dtype == np.uint8
    assert dataset.pixel_scale == 1 / 255 and dataset.scaling == "0=unit;1=unit"


def test_a_network_decides_on_names_order_and_shapes():
    dataset = from_inputs("images", "a test", ({"b": OTHERS, "a": IMAGES}, LABELS))
    fitted = for_inputs(dataset, (("b", (4, 5)), ("a", (4, 5, 3))))
    assert [each[:2] for each in fitted.inputs] == [("b", (4, 5)), ("a", (4, 5, 3))]
    assert fitted.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(fitted.x_test, np.roll(dataset.x_test, 20, axis=1))
    by_number = for_inputs(
        from_inputs("images", "a test", ((OTHERS, IMAGES), LABELS)),
        fitted.inputs and [each[:2] for each in fitted.inputs],
    )
    np.testing.assert_array_equal(by_number.x_train, fitted.x_train)


@pytest.mark.parametrize(
    "inputs, said",
    [
        ((("input", (62,)),), "the network has one input"),
        ((("image", (4, 5, 3)), ("age", (2,))), "expected the same names"),
        ((("image", (4, 5, 3)), ("number", (3,))), r"the shape \[2\] for the input 'number'"),
    ],
)
def test_networks_with_other_inputs(inputs, said):
    with pytest.raises(DataError, match=said):
        for_inputs(mixed(), inputs)


def test_scalings_are_of_each_input():
    dataset = mixed()
    assert dataset.scaling == "image=unit;number=none"
    stated = dataset.with_scaling("image=signed")
    assert [each.scaling for each in stated.inputs] == ["signed", UNSCALED] and not stated.assumed.scaling
    found, before = rows_of(stated), rows_of(dataset)
    np.testing.assert_allclose(found["image"], before["image"] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(found["number"], before["number"])
    standard = rows_of(dataset.with_scaling("number=standard"))["number"][: len(dataset.x_train)]
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(axis=0), 1, atol=1e-4)
    raw = dataset.with_scaling(UNSCALED)
    np.testing.assert_array_equal(rows_of(raw)["image"], before["image"].astype(np.float32))
    with pytest.raises(DataError, match="no input 'age'"):
        dataset.with_scaling("age=unit")
    with pytest.raises(SettingError, match="each input once"):
        dataset.with_scaling("image=unit;image=none")
    with pytest.raises(DataError, match="input 'number'.*pixels from 0 to 255"):
        dataset.with_scaling(UNIT)


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_archives_and_folders(is_split, kind, tmp_path):
    arrays = {"x_image": IMAGES, "x_number": NUMBERS, "y": LABELS}
    if is_split:
        arrays = {
            f"{key[0]}_{part}{key[1:]}": array[rows]
            for key, array in arrays.items()
            for part, rows in (("train", slice(30)), ("test", slice(30, None)))
        }
    path = tmp_path / "data.npz"
    if kind == "npz":
        np.savez(str(path), **arrays)
    else:
        path = tmp_path
        for name, array in arrays.items():
            np.save(str(path / f"{name}.npy"), array)
    dataset = load(str(path))
    assert [each[:2] for each in dataset.inputs] == list(SHAPES)
    assert len(dataset.x_test) == (10 if is_split else 8)
    assert sorted(map(bytes, rows_of(dataset)["image"])) == sorted(map(bytes, IMAGES))
    other = load(str(path), scaling="image=none;number=standard")
    assert other.inputs[0].scaling == UNSCALED
    text = format_description(describe(dataset))
    assert "input image 4x5x3 uint8, fed to the network as x / 255" in text
    assert "input number 2 float32, fed to the network as x" in text
    assert any("'image' pixels scaled by 1/255" in note.text for note in data_notes(dataset))


def test_archives_with_several_inputs_and_outputs(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(str(path), x_image=IMAGES, x_number=NUMBERS, y_class=LABELS, y_sum=NUMBERS.sum(axis=1))
    dataset = load(str(path))
    assert [head.output for head in dataset.heads] == ["class", "sum"]
    assert [head.task for head in dataset.heads] == ["classification", "regression"]
    assert all(head.inputs == dataset.inputs for head in dataset.heads)


def test_descriptions_of_targets_in_archives_with_several_inputs_and_outputs(tmp_path):
    path = tmp_path / "data.npz"
    weights = np.linspace(0.1, 4, 40)
    np.savez(
        str(path),
        x_image=IMAGES,
        x_number=NUMBERS,
        y_class=LABELS,
        y_sum=NUMBERS.sum(axis=1),
        class_names_class=np.array(["a", "b", "c"]),
        w_train=np.ones(40),
        w_train_sum=weights,
        other=LABELS,
    )
    dataset = load(str(path))
    first, second = dataset.heads
    assert first.class_names == ("a", "b", "c") and np.all(first.w_train == 1)
    assert set(second.w_train) < set(weights.astype(np.float32)) and len(set(second.w_train)) == 32
    assert [note.text for note in dataset.notes] == ["skipped arrays: 1 (other)"]


def test_a_stated_task_takes_precedence_over_those_in_an_archive(tmp_path):
    path = tmp_path / "data.npz"
    task = np.array("regression")
    np.savez(str(path), x_image=IMAGES, x_number=NUMBERS, y_class=LABELS, y_odd=LABELS % 2, task_odd=task)
    assert [head.task for head in load(str(path)).heads] == ["classification", "regression"]
    assert [head.task for head in load(str(path), task="classification").heads] == ["classification"] * 2


def test_stated_scalings_of_archives(tmp_path):
    path = tmp_path / "data.npz"
    scaling = np.array("image=unit;number=12/3;rows=unit")
    np.savez(str(path), x_image=IMAGES, x_number=NUMBERS, x_rows=IMAGES[:, 0, :, 0], y=LABELS, scaling=scaling)
    dataset = load(str(path))
    assert dataset.scaling == str(scaling) and not dataset.assumed.scaling
    # Integers are scaled so, numbers have been.
    assert [each.is_bytes for each in dataset.inputs] == [True, False, True]
    assert sorted(map(bytes, rows_of(dataset)["number"])) == sorted(map(bytes, NUMBERS))


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"x_number": NUMBERS[:30]}, "30 examples, but 40"),
        ({"y": None}, "without y"),
        ({"x_test_image": IMAGES}, "no x_test_number"),
        ({"x_a=b": NUMBERS}, "none of the characters"),
        ({"x_number": np.array(["a"] * 40)}, "x_number.*expected numbers"),
    ],
)
def test_incomplete_archives(changed, said, tmp_path):
    arrays = {"x_image": IMAGES, "x_number": NUMBERS, "y": LABELS, **changed}
    path = tmp_path / "data.npz"
    np.savez(str(path), **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=said):
        load(str(path))


def test_the_fingerprint_depends_on_the_values_of_each_input():
    first = mixed().fingerprint
    assert mixed().fingerprint == first
    other = from_inputs("mixed", "a test", ({"number": NUMBERS + 1, "image": IMAGES}, LABELS))
    assert other.fingerprint != first


def test_a_store_keeps_the_inputs(tmp_path):
    dataset = mixed().with_scaling("number=standard")
    write_store(dataset, str(tmp_path / "store"))
    stored = load(str(tmp_path / "store"))
    assert stored.inputs == dataset.inputs and stored.scaling == dataset.scaling and stored.streamed
    assert stored.fingerprint == dataset.fingerprint
    order = [(each.name, each.shape) for each in dataset.inputs[::-1]]
    fitted, expected = for_inputs(stored, order), for_inputs(dataset, order)
    np.testing.assert_array_equal(fitted.x_train[[3, 1]], expected.x_train[[3, 1]])
    np.testing.assert_array_equal(fitted.x_test[:], expected.x_test)
    with pytest.raises(DataError, match="stored for"):
        stored.with_scaling("image=none")
    path = tmp_path / "store" / "store.json"
    record = json.loads(path.read_text("utf-8"))
    for damage in ("image", [["image"]], [["image", [0], "unit", True]], [["image", [1], "half", True]]):
        path.write_text(json.dumps(dict(record, inputs=damage)), "utf-8")
        with pytest.raises(DataError, match="inputs is"):
            load(str(tmp_path / "store"))
