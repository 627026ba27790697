"""Photographs with an EXIF orientation are trained as viewers show them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from qatviz.data import data_notes, load

UPRIGHT = np.random.RandomState(6).randint(0, 256, (6, 10, 3)).astype(np.uint8)
#: The stored pixels of an upright image, from the places of the first row and column that EXIF 2.3 has for each
#: orientation: top and left, top and right, bottom and right, bottom and left, left and top, right and top, …
STORED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
}
SAVED = {
    "png": lambda image, path, tags: image.save(path, exif=tags),
    "webp": lambda image, path, tags: image.save(path, exif=tags, lossless=True),
    "tif": lambda image, path, tags: image.save(path, tiffinfo={0x0112: tags[0x0112]}),
    "jpg": lambda image, path, tags: image.save(path, exif=tags, quality=90),
}


def tags(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.fixture
def photo(files):
    """Return a function that saves an image, stored in an orientation, beside four images of one colour."""
    files.folder(np.full((4, 6, 10, 3), 9, np.uint8), list("aabb"))

    def photo(orientation, ending, pixels=UPRIGHT):
        path = files.path(f"folder/b/photo.{ending}")
        stored = np.ascontiguousarray(STORED[orientation](pixels))
        SAVED[ending](Image.fromarray(stored), str(path), tags(orientation))
        return path

    return photo


def seen(path):
    """Return the pixels of the photograph, and the notes on its folder."""
    dataset = load(str(path.parent.parent), validation_fraction=0.01)
    images = [image for part in (dataset.x_train[:], dataset.x_test[:]) for image in part]
    (found,) = [image for image in images if image.min() != image.max()]
    return found, [note.text for note in data_notes(dataset)]


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_images_are_turned_upright(photo, orientation, ending):
    pixels, notes = seen(photo(orientation, ending))
    np.testing.assert_array_equal(pixels, UPRIGHT)
    assert ("images with an EXIF orientation: 1 of 5, turned upright" in notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", STORED)
def test_photographs_are_turned_as_pillow_does(photo, orientation):
    path = photo(orientation, "jpg")
    with Image.open(str(path)) as image:
        np.testing.assert_array_equal(seen(path)[0], np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("orientation", STORED)
def test_grey_images_of_16_bits_are_turned_too(photo, orientation):
    deep = UPRIGHT[..., 0].astype(np.uint16) * 256 + 3
    pixels, _ = seen(photo(orientation, "png", deep))
    np.testing.assert_allclose(pixels[..., 0], deep / 257 / 255, rtol=1e-6)


def test_images_that_are_read_when_they_are_used_are_turned(photo, monkeypatch):
    path = photo(6, "png")
    monkeypatch.setattr("qatviz.data.images.memory_limit", lambda: 100)
    pixels, notes = seen(path)
    np.testing.assert_array_equal(pixels, UPRIGHT)
    assert any("examples are read when they are used" in note for note in notes)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0no tags", b"Exif\0\0II*\0\xff\xff\xff\xff", tags(9).tobytes(), tags(0).tobytes()]
)
def test_damaged_or_unknown_metadata_has_no_effect(photo, exif):
    path = photo(1, "jpg")
    before = seen(path)[0]
    stream = io.BytesIO()
    Image.fromarray(UPRIGHT).save(stream, "JPEG", quality=90, exif=exif)
    path.write_bytes(stream.getvalue())
    pixels, notes = seen(path)
    np.testing.assert_array_equal(pixels, before)
    assert not [note for note in notes if "orientation" in note]
