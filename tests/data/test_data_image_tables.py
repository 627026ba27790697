"""Images with a table of their labels or targets beside them, in a folder or a zip archive."""

import csv
import zipfile

import numpy as np
import pytest

from qatviz.data import data_notes, load
from qatviz.data_options import DataOptions
from qatviz.errors import ChoiceNeeded, DataError, SettingError

KINDS = ["cat", "dog", "emu", "cat"]


@pytest.fixture
def table(files, digits):
    """Return a function that writes forty images and a table of them, and returns their folder."""

    def write(rows, name="labels.csv", images="images/{:03d}.png", root="set"):
        for index, image in enumerate(digits[0]):
            files.image(f"{root}/{images.format(index)}", image)
        with open(str(files.path(root, name)), "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows(rows)
        return str(files.directory / root)

    return write


def texts(dataset):
    return [note.text for note in data_notes(dataset)]


def pairs_of(dataset):
    """Return pixels and name or targets of all examples, sorted."""
    found = []
    for x, y in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        for image, label in zip(x, y):
            answer = dataset.class_names[label] if dataset.class_names else tuple(label.tolist())
            found.append((image.tobytes(), answer))
    return sorted(found)


@pytest.mark.parametrize("images", ["images/{:03d}.png", "{:03d}.png", "deep/er/{:03d}.png"])
@pytest.mark.parametrize("named", ["{:03d}.png", "{:03d}", "PATH", "./PATH"])
@pytest.mark.parametrize("header", [["image", "label"], None])
def test_names_of_any_form_find_their_images(table, digits, images, named, header):
    rows = [[named.replace("PATH", images).format(index), KINDS[index % 4]] for index in range(40)]
    dataset = load(table([header] * (header is not None) + rows, images=images))
    expected = sorted((image.tobytes(), KINDS[index % 4]) for index, image in enumerate(digits[0]))
    assert pairs_of(dataset) == expected and dataset.class_names == ("cat", "dog", "emu")
    assert not [text for text in texts(dataset) if "skipped" in text]


def test_numbers_are_classes_and_fractions_targets(table, digits):
    rows = [["file", "label", "age", "size"]] + [[f"{i:03d}.png", i % 3, i / 7, -i] for i in range(40)]
    path = table(rows)
    assert load(path).num_classes == 3 and load(path).choices == {"targets": ("label", "age", "size")}
    dataset = load(path, options=DataOptions(targets="age,size"))
    assert dataset.task == "regression"
    expected = sorted((x.tobytes(), (float(np.float32(i / 7)), float(-i))) for i, x in enumerate(digits[0]))
    assert pairs_of(dataset) == expected
    assert load(path, task="regression").num_outputs == 1


def test_a_column_that_says_the_part_splits_the_data(table):
    parts = ["train", "train", "val", "test"]
    rows = [["split", "name", "label"]] + [[parts[i // 10], f"{i:03d}", i % 2] for i in range(40)]
    path = table(rows)
    dataset = load(path)
    assert (len(dataset.x_train), len(dataset.x_test)) == (20, 10)
    assert "skipped parts with labels: 1 (validation (10))" in texts(dataset)
    assert len(load(path, options=DataOptions(held_out="split")).x_test) == 4
    with pytest.raises(DataError, match="found no validation part"):
        load(table(rows[:21], root="other"), options=DataOptions(held_out="validation"))


def test_a_table_that_is_too_large_is_refused(table, monkeypatch):
    path = table([["image", "label"]] + [[f"{i:03d}.png", i % 2] for i in range(40)])
    monkeypatch.setattr("qatviz.data.csv_file.MAX_TEXTS_BYTES", 100)
    with pytest.raises(DataError, match=r"labels.csv: found \d+ bytes; expected a table of at most 100"):
        load(path)


def test_folders_of_parts_split_the_data(files, table, digits):
    rows = [["image", "label"]] + [[f"train/{i:03d}.png", i % 2] for i in range(40)]
    path = table(rows, images="train/{:03d}.png")
    for index in range(4):
        files.image(f"set/test/t{index}.png", digits[0][index])
    dataset = load(path)
    assert len(dataset.x_train) + len(dataset.x_test) == 40
    assert "skipped images that the table does not have: 4" in texts(dataset)
    table([*rows, *([f"test/t{i}.png", i % 2] for i in range(4))], images="train/{:03d}.png")
    assert len(load(path).x_test) == 4


def test_a_table_for_each_part(files, table):
    path = table([["image", "label"]] + [[f"{i:03d}", i % 2] for i in range(30)], name="train.csv")
    table([["image", "label"]] + [[f"{i:03d}", i % 2] for i in range(30, 40)], name="test.csv")
    dataset = load(path)
    assert (len(dataset.x_train), len(dataset.x_test)) == (30, 10)
    table([["image"]] + [[f"{i:03d}"] for i in range(30, 40)], name="test.csv")
    with pytest.raises(DataError, match="test.csv: found no rows of several columns"):
        load(path)


def test_a_column_that_nothing_tells_is_asked_for(table):
    path = table([["image", "a", "b"]] + [[f"{i:03d}", i % 2, i % 3] for i in range(40)])
    with pytest.raises(ChoiceNeeded, match="do not tell which has the labels: found a, b; expected") as caught:
        load(path)
    assert caught.value.field == "targets" and caught.value.choices == {"targets": ("a", "b")}
    assert load(path, options=DataOptions(targets="b")).num_classes == 3
    with pytest.raises(ChoiceNeeded, match="found no column 'c'"):
        load(path, options=DataOptions(targets="c"))


@pytest.mark.parametrize(
    "row, words",
    [
        (["missing.png", "1"], "line 6: found no image of this folder for 'missing.png'"),
        (["../../secret.png", "1"], "line 6: found no image of this folder for '../../secret.png'"),
        (["/etc/passwd", "1"], "line 6: found no image of this folder for '/etc/passwd'"),
        (["005.png", " "], "line 6: found no label for '005.png'"),
        (["005.png"], "line 6: found no image of this folder for '005.png'"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_by_line_or_skipped(files, table, digits, row, words):
    files.image("secret.png", digits[0][0])
    rows = [["image", "label"]] + [[f"{i:03d}.png", i % 2] for i in range(40)]
    path = table([*rows[:5], row, *rows[5:]])
    with pytest.raises(DataError, match=words) as caught:
        load(path)
    assert caught.value.field == "unusable"
    dataset = load(path, options=DataOptions(unusable="skip"))
    assert len(dataset.x_train) + len(dataset.x_test) == 40
    assert any(text.startswith("skipped rows: 1 (line 6: ") for text in texts(dataset))


def test_names_that_two_images_have_need_their_folder(files, table, digits):
    rows = [["image", "label"]] + [[f"{i:03d}.png", i % 2] for i in range(40)]
    path = table(rows, images="one/{:03d}.png")
    files.image("set/one/two/005.png", digits[0][0])
    with pytest.raises(DataError, match="found no image of this folder for '005.png'"):
        load(path)


def test_class_folders_do_not_need_the_table_beside_them(files, digits):
    path = files.folder(*digits)
    before = load(path).fingerprint
    files.path("folder/classes.csv").write_text("name,label\na,1\nb,2\n")
    assert load(path).fingerprint == before
    with pytest.raises(SettingError, match="targets applies to images with a table of labels, not to class folders"):
        load(path, options=DataOptions(targets="label"))


def test_a_zip_archive_of_images_and_their_table(table, files):
    path = table([["image", "label"]] + [[f"{i:03d}", KINDS[i % 4]] for i in range(40)])
    with zipfile.ZipFile(str(files.path("set.zip")), "w") as archive:
        for file in sorted((files.directory / "set").rglob("*.*")):
            archive.write(str(file), "top/" + str(file.relative_to(files.directory / "set")))
    assert load(str(files.path("set.zip"))).fingerprint == load(path).fingerprint


def test_a_table_that_names_no_image_is_refused(table):
    with pytest.raises(DataError, match="labels.csv: found no names of the images in this folder, such as 'b'"):
        load(table([["x", "y"], ["a", "1"], ["b", "2"]]))
