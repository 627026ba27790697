"""PNG images of 16 bits in each colour, written by TensorFlow and from the specification, are read in full."""

import struct
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image, ImageOps

from qatviz.data import data_notes, load
from qatviz.data_options import DataOptions
from qatviz.errors import DataError

COLORS = np.random.RandomState(4).randint(0, 65536, (9, 14, 3)).astype(np.uint16)
CLEAR = np.concatenate([COLORS, np.random.RandomState(5).randint(0, 65536, (9, 14, 1)).astype(np.uint16)], axis=2)
#: First row and column, and steps, of the seven passes of an interlaced image.
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def by_tensorflow(pixels):
    """Return a PNG file of 16 bits, with the filters that libpng chooses."""
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(tf.raw_ops.EncodePng(image=tf.constant(pixels)))


def by_specification(pixels, is_interlaced=False, transparent=None):
    """Return a PNG file of 16 bits without filters, perhaps with a colour that is transparent."""
    height, width, channels = pixels.shape
    parts = [pixels[top::down, left::right] for top, left, down, right in PASSES] if is_interlaced else [pixels]
    rows = (row for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, is_interlaced)
    chunks = [(b"IHDR", header)]
    chunks += [] if transparent is None else [(b"tRNS", np.array(transparent, ">u2").tobytes())]
    chunks.append((b"IDAT", zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows))))
    chunks.append((b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


WRITERS = {
    "tensorflow": by_tensorflow,
    "plain": by_specification,
    "interlaced": lambda pixels: by_specification(pixels, is_interlaced=True),
}


@pytest.fixture
def loaded(files):
    """Return a function that loads a file beside four grey images of 8 bits, and returns its pixels and the notes."""

    def loaded(content, **options):
        path = files.folder(np.full((4, 9, 14), 100, np.uint8), list("aabb"))
        files.path("folder/b/deep.png").write_bytes(content)
        dataset = load(path, 0.01, scaling="none", options=DataOptions(**options))
        images = [image for part in (dataset.x_train, dataset.x_test) for image in part]
        (deep,) = [image for image in images if not (image[3, 3] == 100).all()]
        assert dataset.x_train.dtype == np.float32 and len(images) == 5
        return deep, [note.text for note in data_notes(dataset)]

    return loaded


@pytest.mark.parametrize("writer", WRITERS)
def test_all_bits_are_read(loaded, writer):
    pixels, notes = loaded(WRITERS[writer](COLORS))
    np.testing.assert_array_equal(pixels, COLORS.astype(np.float32) / np.float32(257))
    assert "images of 16 bits: 1 of 5, whose pixels are x / 257, with fractions" in notes


@pytest.mark.parametrize("writer", WRITERS)
def test_transparent_images_show_the_background(loaded, writer):
    pixels, notes = loaded(WRITERS[writer](CLEAR), background="#102030")
    opacity = CLEAR[..., 3:] / 65535
    expected = CLEAR[..., :3] / 257 * opacity + np.array([16, 32, 48]) * (1 - opacity)
    np.testing.assert_allclose(pixels, expected, atol=1e-4)
    assert "images that are transparent: 1 of 5, with #102030 behind them" in notes


def test_opaque_images_with_an_opacity_are_exact(loaded):
    opaque = np.concatenate([COLORS, np.full((9, 14, 1), 65535, np.uint16)], axis=2)
    pixels, notes = loaded(by_tensorflow(opaque), background="#102030")
    np.testing.assert_array_equal(pixels, COLORS.astype(np.float32) / np.float32(257))
    assert not [note for note in notes if "transparent" in note]


def test_a_transparent_colour_is_compared_with_all_bits(loaded):
    pixels = COLORS.copy()
    pixels[:4] = 1000, 2000, 3000
    pixels[4:6] = 1000, 2000, 3001
    found, _ = loaded(by_specification(pixels, transparent=(1000, 2000, 3000)), background="#102030")
    np.testing.assert_array_equal(found[:4], np.broadcast_to(np.float32([16, 32, 48]), (4, 14, 3)))
    np.testing.assert_array_equal(found[4:], pixels[4:].astype(np.float32) / np.float32(257))


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_images_of_other_sizes_are_those_of_8_bits_with_fractions(loaded, fit):
    """Colours of 16 bits that repeat 8 bits give the image of 8 bits, whose pixels are rounded."""
    eight = (COLORS >> 8).astype(np.uint8)
    deep, notes = loaded(by_tensorflow(eight.astype(np.uint16) * 257), image_size="6x6", fit=fit, background="#102030")
    shallow = Image.fromarray(eight)
    if fit == "pad":
        expected = ImageOps.pad(shallow, (6, 6), Image.BILINEAR, color=(16, 32, 48))
    else:
        expected = {"resize": Image.Image.resize, "crop": ImageOps.fit}[fit](shallow, (6, 6), Image.BILINEAR)
    assert np.abs(deep - np.asarray(expected)).max() <= 1
    assert any("images of other sizes than 6x6" in note for note in notes)


def test_damaged_images_are_named(loaded):
    with pytest.raises(DataError, match="deep.png: cannot be read as an image"):
        loaded(by_tensorflow(COLORS)[:-200])
