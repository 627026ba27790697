"""Masks: inference, conversion, pixels that are ignored, folders of images and masks, notes, summary and preview."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from qatviz.data import Dataset, data_notes, describe, format_description, from_arrays, load
from qatviz.data.masks import void_of
from qatviz.data.registry import options_for
from qatviz.data.targets import class_counts, infer_task
from qatviz.data_options import DataOptions
from qatviz.errors import DataError, SettingError
from qatviz.presentation.mask_pictures import class_colors
from qatviz.presentation.previews import data_info

RANDOM = np.random.RandomState(5)
X = RANDOM.randint(0, 256, (20, 6, 8, 3)).astype(np.uint8)
MASKS = RANDOM.randint(0, 4, (20, 6, 8))
WITH_VOID = np.where(RANDOM.rand(20, 6, 8) < 0.2, 255, MASKS)


def build(y=MASKS, test=None, **more):
    return from_arrays("name", "file.npz", (X, y), test or (X[:4], y[:4]), **more)


def texts(dataset):
    return [note.text for note in data_notes(dataset)]


@pytest.mark.parametrize(
    "masks",
    [
        MASKS,
        MASKS[..., np.newaxis].astype(np.uint8),
        MASKS.astype(np.int16),
        np.eye(4)[MASKS],
        np.eye(4, dtype=np.float32)[MASKS],
        np.eye(4, dtype=bool)[MASKS],
    ],
)
def test_integer_and_one_hot_masks_are_the_same_classes(masks):
    dataset = build(masks)
    assert dataset.task == "segmentation" and dataset.class_names == ("0", "1", "2", "3")
    assert dataset.output_shape == (6, 8, 4) and dataset.y_train.dtype == np.uint8
    assert not dataset.y_train.flags.writeable
    np.testing.assert_array_equal(dataset.y_train, MASKS)
    assert dataset.fingerprint == build().fingerprint
    assert any("the labels are masks, so that each pixel has one of 4 classes" in text for text in texts(dataset))


@pytest.mark.parametrize(
    "labels, task",
    [
        (MASKS, "segmentation"),
        ((MASKS > 1), "segmentation"),
        ((MASKS > 1).astype(np.float32)[..., np.newaxis], "segmentation"),
        ((255 * (MASKS > 1)).astype(np.uint8), "segmentation"),
        (MASKS.astype(np.float32), "regression"),
        (X[..., :1], "regression"),
        (X, "regression"),
        (MASKS - 1, "regression"),
        (X / 255.0, "regression"),
        (MASKS + 80, "regression"),
    ],
)
def test_images_of_few_whole_numbers_are_masks(labels, task):
    assert infer_task(labels) == task


def test_the_task_can_be_stated():
    assert build(task="regression").y_train.dtype == np.float32
    assert build((MASKS * 30).astype(np.float32), task="segmentation").num_classes == 91


def test_the_label_255_is_ignored_unless_it_is_a_class():
    dataset = build(WITH_VOID)
    assert dataset.num_classes == 4 and dataset.assumed.ignored_label == 255
    np.testing.assert_array_equal(dataset.y_train, WITH_VOID)
    share = f"{100 * (WITH_VOID == 255).mean():.2f} %"
    assert f"{share} of the pixels of the training masks are ignored, which have the label 255" in texts(dataset)
    every = build(WITH_VOID, ignored_label="none", task="segmentation")
    assert every.num_classes == 256 and every.y_train.dtype == np.int32
    other = build(MASKS, ignored_label="0")
    assert other.num_classes == 4 and (other.y_train == 255).sum() == (MASKS == 0).sum()
    assert class_counts(other.y_train, 4).tolist() == [0, *np.bincount(MASKS.ravel())[1:]]


def test_black_and_white_is_background_and_foreground():
    dataset = build((255 * (MASKS > 1)).astype(np.uint8))
    np.testing.assert_array_equal(dataset.y_train, MASKS > 1)
    assert dataset.num_classes == 2 and dataset.assumed.ignored_label is None
    assert "masks have the labels 0 and 255, which are the classes 0 and 1" in texts(dataset)


def test_many_classes_need_more_than_a_byte():
    masks = np.where(MASKS == 3, 700, MASKS)
    dataset = build(np.where(MASKS == 2, 65535, masks), task="segmentation", ignored_label="65535")
    assert dataset.num_classes == 701 and dataset.y_train.dtype == np.int32
    assert (dataset.y_train == void_of(np.int32)).sum() == (MASKS == 2).sum()


def test_names_are_those_of_the_classes():
    dataset = build(WITH_VOID, class_names=["sky", "road", "car", "dog", "cat"])
    assert dataset.output_shape == (6, 8, 5) and dataset.assumed.ignored_label == 255
    assert "no pixels of 1 of 5 classes in the train masks: cat" in texts(dataset)
    summary = describe(dataset)
    assert summary["classes"][1] == {
        "name": "road",
        "train": int((WITH_VOID == 1).sum()),
        "test": int((WITH_VOID[:4] == 1).sum()),
    }
    assert "pixels of     train      test" in format_description(summary)


@pytest.mark.parametrize(
    "masks, more, message",
    [
        (MASKS, {"ignored_label": "none", "class_names": ["a", "b"]}, "found the label 3 in a mask; expected 0 to 1"),
        (MASKS[:5], {}, "found 5 masks for 20 examples"),
        (np.zeros((20, 6, 8), int), {}, "found the single class 0 in all masks"),
        (MASKS - 1, {}, "found the label -1 in a mask; expected whole numbers from 0"),
        (MASKS + 0.5, {}, r"found the label \d.5 in a mask"),
        (np.where(MASKS > 2, np.nan, MASKS), {}, "found the label nan in a mask"),
        (np.zeros((20, 6, 8, 3)), {}, r"found \[0. 0. 0.\] for a pixel; expected one-hot rows"),
        (MASKS.reshape(20, -1), {}, r"found shape \[20, 48\]; expected masks of the shape"),
        (MASKS.astype(complex), {}, "found dtype complex128; expected masks of a numeric type"),
    ],
)
def test_unusable_masks_are_refused(masks, more, message):
    with pytest.raises(DataError, match=message):
        from_arrays("name", "file.npz", (X, masks), None, task="segmentation", **more)


def test_a_data_set_has_masks_in_their_final_form():
    about = ("name", X, MASKS.astype(np.uint8), X, MASKS.astype(np.uint8), ("a", "b", "c", "d"), "a test")
    assert Dataset(*about, task="segmentation").num_outputs == 4
    with pytest.raises(DataError, match="y_train has the label 3; expected 0 to 2"):
        Dataset(*about[:5], ("a", "b", "c"), "a test", task="segmentation")
    with pytest.raises(DataError, match="y_train is int64 of shape"):
        Dataset(*about[:2], MASKS, X, MASKS, about[5], "a test", task="segmentation")


def test_archives_state_what_is_ignored(files):
    path = files.npz(x=X, y=WITH_VOID.astype(np.uint8))
    assert load(path).assumed.ignored_label == 255
    assert "ignored_label" in options_for(load(path), path)
    one = load(path, options=DataOptions(ignored_label="1"), task="segmentation")
    assert one.num_classes == 256 and one.assumed.ignored_label == 1
    assert load(files.npz("b.npz", x=X, y=WITH_VOID.astype(np.uint8), ignored_label=255)).num_classes == 4
    with pytest.raises(DataError, match="ignored_label is '-3': expected a label from 0"):
        load(files.npz("c.npz", x=X, y=WITH_VOID, ignored_label=-3))
    assert "ignored_label" not in options_for(load(files.npz("d.npz", x=X, y=np.arange(20) % 3)), path)
    with pytest.raises(SettingError, match="ignored_label is 'sky'"):
        load(path, options=DataOptions(ignored_label="sky"))


# Folders


def palette_png(path, mask):
    """Write a mask as an image with a palette, whose colours are not the labels."""
    image = Image.fromarray(mask.astype(np.uint8), "P")
    image.putpalette([(37 * index + 11) % 256 for index in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(str(path))


def write_folder(files, root="set", images="images/{}.png", masks="masks/{}.png", n=20, write=palette_png):
    for index in range(n):
        files.image(f"{root}/{images.format(f'{index:03d}')}", X[index])
        write(files.path(root, masks.format(f"{index:03d}")), WITH_VOID[index])
    return str(files.directory / root)


def examples_of(dataset):
    """Return the bytes of all pairs of an image and its mask, sorted."""
    parts = ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test))
    return sorted((x.tobytes(), np.asarray(y, np.uint8).tobytes()) for part in parts for x, y in zip(*part))


EXPECTED = sorted((x.tobytes(), y.astype(np.uint8).tobytes()) for x, y in zip(X, WITH_VOID))


@pytest.mark.parametrize(
    "images, masks",
    [
        ("images/{}.png", "masks/{}.png"),
        ("JPEGImages/{}.bmp", "SegmentationClass/{}.png"),
        ("all/deep/imgs/a/{}.png", "all/deep/labels/a/{}.png"),
    ],
)
def test_masks_have_the_names_of_their_images(files, images, masks):
    dataset = load(write_folder(files, images=images, masks=masks))
    assert dataset.task == "segmentation" and dataset.num_classes == 4 and dataset.output_shape == (6, 8, 4)
    assert examples_of(dataset) == EXPECTED
    assert len(dataset.x_test) == 4 and not [text for text in texts(dataset) if "skipped" in text]


def test_grey_black_and_white_and_colourless_images_are_masks(files):
    def grey(path, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8)).save(str(path))

    def colourless(path, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(mask.astype(np.uint8)[..., np.newaxis], 3, axis=2)).save(str(path))

    for root, write in (("grey", grey), ("rgb", colourless)):
        assert examples_of(load(write_folder(files, root, write=write))) == EXPECTED

    def two_values(path, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask == 1).save(str(path))

    dataset = load(write_folder(files, "bw", write=two_values))
    assert dataset.num_classes == 2
    assert sum(map(int, (dataset.y_train.sum(), dataset.y_test.sum()))) == (WITH_VOID == 1).sum()


@pytest.mark.parametrize(
    "images, masks",
    [
        ("{}/images/{{}}.png", "{}/masks/{{}}.png"),
        ("images/{}/{{}}.png", "masks/{}/{{}}.png"),
        ("{}_images/{{}}.png", "{}_masks/{{}}.png"),
    ],
)
def test_parts_are_found_around_in_and_beside_the_folders(files, images, masks):
    for part, numbers in (("training", range(12)), ("val", range(12, 16)), ("test", range(16, 20))):
        for index in numbers:
            files.image("set/" + images.format(part).format(index), X[index])
            palette_png(files.path("set", masks.format(part).format(index)), WITH_VOID[index])
    path = str(files.directory / "set")
    dataset = load(path)
    assert len(dataset.x_train) == 12 and len(dataset.x_test) == 4
    order = sorted(range(16, 20), key=str)
    np.testing.assert_array_equal(dataset.y_test, WITH_VOID[order])
    assert any("skipped parts: 1 (validation)" in text for text in texts(dataset))
    validation = load(path, options=DataOptions(held_out="validation"))
    np.testing.assert_array_equal(validation.x_test, X[12:16])
    assert len(load(path, options=DataOptions(held_out="split")).x_test) == round(0.2 * 12)


def test_zip_archives_are_read_like_folders(files):
    root = write_folder(files)
    path = files.path("set.zip")
    with zipfile.ZipFile(str(path), "w") as archive:
        for file in sorted((files.directory / "set").rglob("*.png")):
            archive.write(str(file), str(file.relative_to(files.directory)))
    assert load(str(path)).fingerprint == load(root).fingerprint


def test_what_has_no_partner_is_skipped_and_counted(files):
    root = write_folder(files, n=18)
    files.image("set/images/a.png", X[0])
    files.image("set/images/b.png", X[1])
    palette_png(files.path("set", "masks", "c.png"), MASKS[2])
    dataset = load(root)
    assert len(dataset.x_train) + len(dataset.x_test) == 18
    mistakes = [note.text for note in data_notes(dataset) if note.is_mistake]
    assert "skipped images without a mask: 2 (a.png, b.png)" in mistakes
    assert "skipped masks without an image: 1 (c.png)" in mistakes


def test_a_file_names_the_classes(files):
    root = write_folder(files)
    files.path("set/classes.txt").write_text("sky\nroad\ncar\ndog\n", encoding="utf-8")
    assert load(root).class_names == ("sky", "road", "car", "dog")
    files.path("set/classes.txt").write_text("sky\n", encoding="utf-8")
    with pytest.raises(DataError, match="classes.txt: found 1 names; expected those of at least two classes"):
        load(root)


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_masks_are_converted_as_images_are(files, fit):
    """Images whose red is the label of their mask keep it, whatever their size is."""
    for index, size in enumerate([(12, 16), (6, 8), (18, 16), (6, 20), (9, 9)]):
        mask = np.kron(RANDOM.randint(0, 3, (3, 2)), np.ones((-(-size[0] // 3), -(-size[1] // 2)), int))[
            : size[0], : size[1]
        ]
        image = np.stack([80 * mask, 0 * mask, 0 * mask], axis=2)
        files.image(f"set/images/{index}.png", image.astype(np.uint8))
        palette_png(files.path("set", "masks", f"{index}.png"), mask)
    dataset = load(str(files.directory / "set"), options=DataOptions(image_size="24x32", fit=fit, background="white"))
    for images, masks in ((dataset.x_train, dataset.y_train), (dataset.x_test, dataset.y_test)):
        ignored = masks == 255
        assert (images[ignored] == 255).all()
        nearest = np.round(images[..., 0] / 80.0)
        # Between two labels, interpolated pixels may be nearer to the other one.
        assert (nearest == masks)[~ignored].mean() > 0.85
        assert ignored.any() == (fit == "pad")
    assert any("masks of other sizes than 24x32: 5 of 5, as the images" in text for text in texts(dataset))


def test_colours_other_sizes_and_damage_are_refused_or_skipped(files):
    root = write_folder(files)
    files.image("set/masks/003.png", X[3])
    with pytest.raises(DataError, match="003.png: found a mask in colours; expected an image with a palette, or grey"):
        load(root)
    palette_png(files.path("set", "masks", "004.png"), MASKS[4, :3])
    files.path("set", "masks", "005.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    dataset = load(root, options=DataOptions(unusable="skip"))
    assert len(dataset.x_train) + len(dataset.x_test) == 17
    assert examples_of(dataset) == sorted(
        (X[i].tobytes(), WITH_VOID[i].astype(np.uint8).tobytes()) for i in range(20) if i not in (3, 4, 5)
    )
    assert any(text.startswith("skipped images with a damaged mask: 3") for text in texts(dataset))
    palette_png(files.path("set", "masks", "003.png"), MASKS[3])
    with pytest.raises(DataError, match="found a mask of 3×8 pixels for an image of 6×8; expected the same size"):
        load(root)


def test_class_folders_stay_classes(files, digits):
    root = files.folder(digits[0], digits[1])
    assert load(root).task == "classification"
    with pytest.raises(DataError, match="the task is 'segmentation'"):
        load(root, task="segmentation")


def test_the_preview_shows_each_example_beside_its_mask():
    info = data_info(build(WITH_VOID, class_names=["sky", "road", "car", "dog"]))
    assert info.kind == "rgb" and info.samples.shape == (20, 6, 2 * 8 + 2, 3)
    np.testing.assert_array_equal(info.samples[:, :, :8], X)
    colors = class_colors(4)
    for label in range(4):
        np.testing.assert_array_equal(
            info.samples[:, :, 10:][label == WITH_VOID], [colors[label]] * (label == WITH_VOID).sum()
        )
    assert (info.samples[:, :, 10:][WITH_VOID == 255] == (224, 224, 192)).all()
    assert "masks of 6×8 with 4 classes, 20 training + 4 test examples" in info.describe()
    counts = np.bincount(WITH_VOID[0][WITH_VOID[0] < 4], minlength=4)
    assert info.captions[0].split(",")[0] == info.groups[int(counts.argmax())]
    assert info.train_counts.tolist() == [int((label == WITH_VOID).sum()) for label in range(4)]


def test_colors_of_classes_are_those_of_pascal_voc():
    assert class_colors(22)[[1, 2, 3, 15, 20, 21]].tolist() == [
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [128, 64, 128],
    ]
