"""The preview of augmentation shows what training steps do."""

import numpy as np
import pytest
from PIL import Image

from qatviz.cli import main
from qatviz.data import from_arrays
from qatviz.data.augmentation import augment
from qatviz.presentation.augmented import SHOWN, contact_sheet, pictures_of
from qatviz.presentation.mask_pictures import class_colors
from qatviz.presentation.previews import augmentable, data_info
from qatviz.settings import RunSettings

RANDOM = np.random.RandomState(0)
X = RANDOM.randint(0, 256, (40, 6, 8, 3)).astype(np.uint8)
ALL = RunSettings(augment_shift=0.2, augment_flip="both", augment_rotation=20.0, augment_noise=0.1, augment_mixup=0.4)


def data(x=X, y=None):
    labels = np.arange(len(x)) % 3 if y is None else y
    return from_arrays("name", "a test", (x, labels), (x[:5], labels[:5]))


def test_pictures_are_those_of_the_batch_of_a_training_step():
    shown = data_info(data()).augmentable
    assert len(shown.examples) == SHOWN and shown.examples.max() <= 1
    before, after = pictures_of(shown, ALL, 7, 3)
    expected = augment(shown.examples, np.arange(SHOWN), ALL, 7, 3).examples
    low, high = shown.examples.min(), shown.examples.max()
    for pictures, values in ((before, shown.examples), (after, expected)):
        scaled = np.clip((values.astype(np.float64) - low) * (255.0 / (high - low)), 0, 255)
        np.testing.assert_array_equal(pictures, np.floor(scaled + 0.5).astype(np.uint8))
    assert (before != after).any()
    again = pictures_of(shown, ALL, 7, 3)[1]
    np.testing.assert_array_equal(after, again)
    assert (after != pictures_of(shown, ALL, 7, 4)[1]).any() and (after != pictures_of(shown, ALL, 8, 3)[1]).any()


def test_masks_are_beside_their_examples_and_move_with_them():
    masks = RANDOM.randint(0, 3, (40, 6, 8))
    shown = augmentable(data(y=masks))
    settings = RunSettings(augment_flip="horizontal", augment_shift=0.3)
    after = pictures_of(shown, settings, 0, 0)[1]
    moved = augment(shown.examples, shown.masks, settings, 0, 0).targets
    assert (moved != shown.masks).any()
    np.testing.assert_array_equal(after[:, :, -8:], class_colors(3)[moved])


@pytest.mark.parametrize("shape, size", [((13,), (1, 13)), ((5, 4), (5, 4)), ((6, 8, 1), (6, 8))])
def test_examples_of_every_shape_have_pictures(shape, size):
    x = RANDOM.standard_normal((40, *shape)).astype(np.float32)
    rows = pictures_of(augmentable(data(x)), RunSettings(augment_noise=0.2), 0, 0)
    assert all(row.shape == (SHOWN, *size, 3) for row in rows) and (rows[0] != rows[1]).any()
    assert contact_sheet(rows).dtype == np.uint8


def test_the_command_line_writes_a_picture(tmp_path, capsys):
    path, picture = str(tmp_path / "data.npz"), str(tmp_path / "augmented.png")
    np.savez(path, x=X, y=np.arange(40) % 3)
    assert main(["data", path, "--augment", picture, "--augment-flip", "vertical", "--augment-shift", "0.1"]) == 0
    assert f"augmented  8 examples, before and after: {picture}" in capsys.readouterr().out
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.mode == "RGB" and image.width > 8 * 8 and image.height > 2 * 6
    assert main(["data", path, "--augment", str(tmp_path / "no" / "folder.png")]) != 0
    assert "folder.png: the picture can't be written: No such file or directory" in capsys.readouterr().err
