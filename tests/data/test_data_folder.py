"""Folders of images against Pillow, and errors that name the file."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from qatviz.data import data_notes, load
from qatviz.data_options import DataOptions
from qatviz.errors import DataError


@pytest.mark.parametrize("ending", ["png", "bmp", "pgm", "tif", "PNG"])
def test_grey_images_of_lossless_formats(files, digits, ending):
    x, y = digits
    dataset = load(files.folder(x, y, ending=ending))
    assert dataset.input_shape == (6, 5, 1) and dataset.x_train.dtype == np.uint8
    assert dataset.class_names == ("0", "1", "2", "3") and dataset.name == "folder"
    read = [
        (int(label), image.tobytes())
        for images, labels in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test))
        for image, label in zip(images, labels)
    ]
    assert sorted(read) == sorted((int(label), image.tobytes()) for image, label in zip(x, y))
    assert np.bincount(dataset.y_test).tolist() == [2] * 4


def test_colour_images_and_jpeg(files):
    x = np.zeros((8, 16, 8, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    dataset = load(files.folder(x, ["cat", "dog"] * 4, ending="jpg"), validation_fraction=0.5)
    assert dataset.input_shape == (16, 8, 3) and dataset.class_names == ("cat", "dog")
    assert np.abs(dataset.x_train.astype(int) - x[:4]).max() <= 3


@pytest.mark.parametrize("test_level", ["test", "val", "validation", "Test"])
def test_train_and_test_levels(files, digits, test_level):
    x, y = digits
    files.folder(x[:30], y[:30], "folder/train")
    files.folder(x[30:], y[30:], "folder/" + test_level)
    dataset = load(str(files.directory / "folder"))
    assert len(dataset.x_train) == 30 and len(dataset.x_test) == 10
    order = np.argsort(y[30:], kind="stable")
    np.testing.assert_array_equal(dataset.x_test[..., 0], x[30:][order])
    np.testing.assert_array_equal(dataset.y_test, y[30:][order])


def test_test_is_preferred_to_validation(files, digits):
    x, y = digits
    files.folder(x, y, "folder/train")
    files.folder(x[:9], y[:9], "folder/val")
    files.folder(x[:7], y[:7], "folder/test")
    assert len(load(str(files.directory / "folder")).x_test) == 7


def test_train_alone_is_split_and_train_may_be_a_class(files, digits):
    x, y = digits
    files.folder(x, y, "alone/train")
    assert len(load(str(files.directory / "alone")).x_test) == 8
    assert load(files.folder(x[:20], ["bus", "train"] * 10)).class_names == ("bus", "train")


def test_numbered_classes_are_in_the_order_of_their_numbers(files):
    path = files.folder(np.zeros((36, 4, 4), np.uint8), np.arange(36) % 12)
    assert load(path).class_names == tuple(str(number) for number in range(12))


def test_other_files_and_hidden_ones_are_ignored(files, digits):
    path = files.folder(*digits)
    for name in ("README.txt", "0/notes.txt", "1/.hidden.png", ".git/config", ".cache/x.png"):
        files.path("folder", name).write_text("text")
    assert load(path).num_classes == 4
    assert len(load(path).x_train) + len(load(path).x_test) == 40


def test_grey_and_palette_images_among_colour_images_become_rgb(files):
    path = files.folder(np.full((6, 4, 4, 3), 9, np.uint8), list("aabbcc"))
    files.image("folder/a/grey.png", np.full((4, 4), 77, np.uint8))
    palette = Image.fromarray(np.full((4, 4), 1, np.uint8), "P")
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(str(files.path("folder/b/palette.png")))
    files.image("folder/c/opaque.png", np.full((4, 4, 4), 255, np.uint8))
    dataset = load(path, validation_fraction=0.01)
    pixels = {tuple(image[0, 0]) for images in (dataset.x_train, dataset.x_test) for image in images}
    assert pixels == {(9, 9, 9), (77, 77, 77), (10, 20, 30), (255, 255, 255)}


def test_bilevel_images_are_black_and_white(files):
    path = files.folder(np.zeros((4, 4, 4), np.uint8), list("aabb"))
    Image.fromarray(np.full((4, 4), 255, np.uint8)).convert("1").save(str(files.path("folder/a/white.png")))
    dataset = load(path, validation_fraction=0.01)
    assert dataset.input_shape == (4, 4, 1)
    assert {dataset.x_train.max(), dataset.x_test.max()} == {0, 255}


def test_the_first_two_images_of_different_size_are_named(files, digits):
    path = files.folder(*digits)
    files.image("folder/2/wide.png", np.zeros((6, 9), np.uint8))
    with pytest.raises(DataError) as caught:
        load(path)
    assert caught.match(r"wide.png has 6x9 pixels, but .*00\d\d.png has 6x5; expected images of the same size")
    assert caught.match(r"such as 6x5 \(2 sizes found") and caught.value.field == "image_size"


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_files_other_than_images_are_refused(files, digits, content):
    path = files.folder(*digits)
    files.path("folder/3/bad.png").write_bytes(content)
    with pytest.raises(DataError, match="bad.png: cannot be read as an image"):
        load(path)


def test_a_truncated_image_is_refused(files, digits, png_bytes):
    path = files.folder(*digits)
    whole = png_bytes(digits[0][0])
    files.path("folder/3/cut.png").write_bytes(whole[: len(whole) - 25])
    with pytest.raises(DataError, match="cut.png: cannot be read as an image"):
        load(path)


def test_an_image_that_claims_to_be_huge_is_refused(files, monkeypatch):
    path = files.folder(np.zeros((8, 40, 40), np.uint8), list("aabbaabb"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="0000.png: .*exceeds limit"):
        load(path)
    monkeypatch.undo()
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 7000)
    assert load(path).streamed == ("x_train", "x_test")
    archive = shutil.make_archive(path, "zip", path)
    with pytest.raises(DataError, match="8 images of 40x40 pixels needs 12,800 bytes of memory; available: 7,000"):
        load(archive)
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 6000)
    with pytest.raises(DataError, match="0000.png: decoding 40x40 pixels needs 6,400 bytes of memory"):
        load(path)


def test_empty_and_single_folders_are_refused(files, digits):
    x, y = digits
    with pytest.raises(DataError, match=r"found 1 folders \(only\); expected at least two, one per class"):
        load(files.folder(x, ["only"] * 40, "single"))
    path = files.folder(x, y, "empty")
    files.path("empty/4/notes.txt").write_text("text")
    with pytest.raises(
        DataError, match="4: found no images; expected files with the extensions .png.*; set unusable to"
    ):
        load(path)


def test_test_classes_must_be_among_those_for_training(files, digits):
    x, y = digits
    files.folder(x, y, "folder/train")
    files.folder(x[:3], ["0", "1", "9"], "folder/test")
    with pytest.raises(DataError, match="test: found the class '9'; expected 0, 1, 2, 3, the classes for training"):
        load(str(files.directory / "folder"))
    files.folder(x, y, "other/train")
    files.path("other/test/note").write_text("no folders here")
    with pytest.raises(DataError, match="test: found no class folders; expected at least one of 0, 1, 2, 3"):
        load(str(files.directory / "other"))


def test_the_error_without_pillow_names_pillow(files, digits, monkeypatch):
    path = files.folder(*digits)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="require Pillow, which is not installed: pip install Pillow"):
        load(path)


# Parts


@pytest.mark.parametrize(
    "train, held_out",
    [
        ("train", "valid"),
        ("Training", "Validation"),
        ("train", "dev"),
        ("seg_train", "seg_test"),
        ("images-train", "images-val"),
        ("TRAIN_SET", "TESTING_SET"),
    ],
)
@pytest.mark.parametrize("around", ["", "data/set/"])
def test_usual_spellings_of_parts_at_any_depth(files, digits, train, held_out, around):
    x, y = digits
    files.folder(x[:30], y[:30], f"folder/{around}{train}")
    files.folder(x[30:], y[30:], f"folder/{around}{held_out}/{held_out}")
    dataset = load(str(files.directory / "folder"))
    assert (len(dataset.x_train), len(dataset.x_test)) == (30, 10) and dataset.num_classes == 4


@pytest.mark.parametrize("held_out, number", [("auto", 7), ("test", 7), ("validation", 9)])
def test_the_part_that_is_not_used_is_named_with_its_number_of_images(files, digits, held_out, number):
    x, y = digits
    for part, examples in (("train", slice(0, 40)), ("valid", slice(0, 9)), ("test", slice(0, 7))):
        files.folder(x[examples], y[examples], "folder/" + part)
    dataset = load(str(files.directory / "folder"), options=DataOptions(held_out=held_out))
    assert len(dataset.x_test) == number
    other = "test" if held_out == "validation" else "valid"
    assert f"skipped folders: 1 ({other}), with {16 - number} images" in [note.text for note in data_notes(dataset)]


def test_a_held_out_part_that_is_missing_is_refused(files, digits):
    files.folder(*digits, "folder/train")
    files.folder(*digits, "folder/test")
    with pytest.raises(DataError, match="found no validation part to hold out") as caught:
        load(str(files.directory / "folder"), options=DataOptions(held_out="validation"))
    assert caught.value.field == "held_out"


def test_class_folders_without_parts_cannot_hold_out_a_part(files, digits):
    path = files.folder(*digits)
    with pytest.raises(DataError, match="folder: found no test part to hold out") as caught:
        load(path, options=DataOptions(held_out="test"))
    assert caught.value.field == "held_out"
    assert len(load(path, options=DataOptions(held_out="split")).x_test) == 8


def test_a_test_part_without_labels_is_not_held_out(files, digits):
    x, y = digits
    files.folder(x[:30], y[:30], "folder/train")
    files.folder(x[30:], y[30:], "folder/val")
    files.image("folder/test/unknown.png", x[0])
    dataset = load(str(files.directory / "folder"))
    assert len(dataset.x_test) == 10
    assert "skipped folders: 1 (test), with 1 image" in [note.text for note in data_notes(dataset)]


def test_two_folders_for_one_part_are_refused_unless_one_has_its_name(files, digits):
    x, y = digits
    for part in ("train", "test_a", "test_b"):
        files.folder(x[:30], y[:30], "folder/" + part)
    with pytest.raises(DataError, match="found the folders test_a, test_b for the same part"):
        load(str(files.directory / "folder"))
    files.folder(x, y, "folder/test")
    assert len(load(str(files.directory / "folder")).x_test) == 40


def test_images_in_subfolders_of_a_class_belong_to_it_and_other_files_are_counted(files, digits):
    x, y = digits
    path = files.folder(x, y)
    files.image("folder/1/more/deep/0.png", x[0])
    for name in ("0/notes.txt", "1/more/list.txt", "2/labels"):
        files.path("folder", name).write_text("text")
    dataset = load(path)
    assert np.bincount(np.r_[dataset.y_train, dataset.y_test]).tolist() == [10, 11, 10, 10]
    assert "skipped files that are not images: 3 (2 .txt, 1 no extension)" in [n.text for n in data_notes(dataset)]


def test_links_to_folders_below_a_class_are_counted(files, digits, tmp_path):
    path = files.folder(*digits)
    (tmp_path / "elsewhere").mkdir()
    files.image("elsewhere/x.png", digits[0][0])
    files.path("folder/1/link").symlink_to(tmp_path / "elsewhere")
    dataset = load(path)
    assert len(dataset.x_train) + len(dataset.x_test) == 40
    assert "not followed: 1 link" in [note.text for note in data_notes(dataset)]


def test_classes_that_cannot_be_used_are_skipped_and_named_on_request(files, digits):
    x, y = digits
    files.folder(x, y, "folder/train")
    files.folder(x[:9], [*map(str, y[:8]), "9"], "folder/test")
    files.path("folder/train/empty/notes.txt").write_text("text")
    dataset = load(str(files.directory / "folder"), options=DataOptions(unusable="skip"))
    assert dataset.class_names == ("0", "1", "2", "3") and len(dataset.x_test) == 8
    notes = data_notes(dataset)
    assert "skipped classes without images: 1 (empty)" in [note.text for note in notes if note.is_mistake]
    assert "skipped classes without training images: 1 (9), with 1 image" in [note.text for note in notes]
