"""Images of other sizes, modes and depths against Pillow and TensorFlow, and the notes on them."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps

from qatviz.data import data_notes, load
from qatviz.data_options import DATA_OPTIONS, DataOptions
from qatviz.errors import DataError, SettingError

NOISE = np.random.RandomState(3).randint(0, 256, (40, 60, 3)).astype(np.uint8)


def read(path, **options):
    """Return the data set, nearly all of it in the training part."""
    return load(str(path), validation_fraction=0.01, options=DataOptions(**options))


def images_of(dataset):
    return [image for part in (dataset.x_train, dataset.x_test) for image in part]


def contains(dataset, pixels):
    return any(np.array_equal(image, pixels) for image in images_of(dataset))


def texts(dataset):
    return [note.text for note in data_notes(dataset)]


@pytest.fixture
def folder(files):
    """Return a folder of four 10x8 images of one colour in two classes."""
    return files.folder(np.full((4, 10, 8, 3), 9, np.uint8), list("aabb"))


def reference(image, fit, size=(8, 10)):
    """Return an image in the size (width, height), as Pillow's own functions convert it."""
    if fit == "resize":
        return image.resize(size, Image.BILINEAR)
    return {"crop": ImageOps.fit, "pad": ImageOps.pad}[fit](image, size, Image.BILINEAR, **PADDED.get(fit, {}))


PADDED = {"pad": {"color": (255, 255, 255)}}


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_images_of_other_sizes_are_converted_as_pillow_does(files, folder, fit):
    files.image("folder/b/wide.png", NOISE)
    files.image("folder/b/grey.png", NOISE[..., 0].T)
    dataset = read(folder, image_size="10x8", fit=fit)
    assert dataset.input_shape == (10, 8, 3)
    assert contains(dataset, np.asarray(reference(Image.fromarray(NOISE), fit)))
    grey = Image.fromarray(np.ascontiguousarray(NOISE[..., 0].T)).convert("RGB")
    assert contains(dataset, np.asarray(reference(grey, fit)))
    assert sum(np.array_equal(image, np.full((10, 8, 3), 9)) for image in images_of(dataset)) == 4, "unchanged"
    effects = {"resize": "stretched to it", "crop": "scaled and cropped to it", "pad": "scaled and padded to it"}
    assert f"images of other sizes than 10x8: 2 of 6, {effects[fit]}" in texts(dataset)


def test_a_very_wide_image_keeps_a_row_when_it_is_padded(files, folder):
    files.image("folder/b/line.png", np.zeros((1, 900, 3), np.uint8))
    dataset = read(folder, image_size="10x8", fit="pad", background="#0a0b0c")
    line = np.broadcast_to(np.array([10, 11, 12], np.uint8), (10, 8, 3)).copy()
    line[4] = 0
    assert contains(dataset, line)


def test_padding_of_grey_images_is_in_colour_only_if_the_background_is(files):
    path = files.folder(np.full((4, 6, 5), 7, np.uint8), list("aabb"))
    assert read(path, image_size="8x5", fit="pad", background="grey").x_train[0, :, 0, 0].tolist() == [128] + [
        7
    ] * 6 + [128]
    coloured = read(path, image_size="8x5", fit="pad", background="#010203")
    assert coloured.x_train[0, 0, 0].tolist() == [1, 2, 3] and coloured.input_shape == (8, 5, 3)
    assert read(path, image_size="8x5", background="#010203").input_shape == (8, 5, 1), "nothing is padded"


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_grey_images_of_16_bits_keep_their_fractions(files, ending):
    values = np.array([[0, 1, 257], [300, 32768, 65535]], np.uint16)
    path = files.folder(np.full((4, 2, 3), 100, np.uint8), list("aabb"))
    if ending == "pgm":
        files.path("folder/b/deep.pgm").write_bytes(b"P5 3 2 65535\n" + values.astype(">u2").tobytes())
    else:
        files.image(f"folder/b/deep.{ending}", values)
    dataset = read(path)
    assert dataset.x_train.dtype == np.float32 and dataset.scaling == "unit" and dataset.assumed.scaling
    expected = (values / 257.0 / 255.0).astype(np.float32)
    assert any(np.allclose(image[..., 0], expected, rtol=1e-6, atol=0) for image in images_of(dataset))
    assert any(np.allclose(image, 100 / 255) for image in images_of(dataset))
    assert "images of 16 bits: 1 of 5, whose pixels are x / 257, with fractions" in texts(dataset)
    stored = load(path, 0.01, 0, None, "none")
    assert max(image.max() for image in images_of(stored)) == 255.0
    assert min(image.min() for image in images_of(load(path, 0.01, 0, None, "signed"))) == -1.0
    resized = read(path, image_size="4x6")
    assert resized.input_shape == (4, 6, 1) and resized.x_train.dtype == np.float32


def test_16_bits_that_repeat_8_bits_are_exactly_those(files):
    path = files.folder(np.full((4, 2, 2), 100, np.uint8), list("aabb"))
    files.image("folder/b/deep.png", np.full((2, 2), 77 * 257, np.uint16))
    dataset = read(path)
    assert dataset.x_train.dtype == np.uint8 and contains(dataset, np.full((2, 2, 1), 77))


def test_pixels_of_32_bits_are_refused(files, folder):
    Image.fromarray(np.full((10, 8), 70000, np.int32)).save(str(files.path("folder/b/deep.tif")))
    with pytest.raises(DataError, match="deep.tif: found pixels from 70000 to 70000; expected 8 or 16 bits"):
        read(folder)
    Image.fromarray(np.ones((10, 8), np.float32)).save(str(files.path("folder/b/deep.tif")))
    with pytest.raises(DataError, match="deep.tif: found an image with Pillow's mode 'F'; expected grey or colours"):
        read(folder)


def test_cmyk_is_converted_as_tensorflow_does(files):
    tf = pytest.importorskip("tensorflow")
    ink = np.random.RandomState(5).randint(0, 256, (8, 8, 4)).astype(np.uint8)
    path = files.folder(np.full((4, 8, 8, 3), 9, np.uint8), list("aabb"))
    target = files.path("folder/b/ink.jpg")
    Image.fromarray(np.kron(ink, np.ones((1, 1, 1), np.uint8)), "CMYK").save(str(target), quality=100)
    with tf.compat.v1.Graph().as_default(), tf.compat.v1.Session() as session:
        expected = session.run(
            tf.image.decode_jpeg(tf.constant(target.read_bytes()), channels=3, dct_method="INTEGER_ACCURATE")
        )
    dataset = read(path)
    closest = min(np.abs(image.astype(int) - expected).max() for image in images_of(dataset))
    assert closest <= 2
    assert "images in CMYK, YCbCr or HSV: 1 of 5, converted to RGB without their colour profiles" in texts(dataset)


def test_transparent_pixels_show_the_background(files, folder):
    pixels = np.zeros((10, 8, 4), np.uint8)
    pixels[:5] = (200, 100, 0, 255)
    pixels[5] = (200, 100, 0, 128)
    files.image("folder/b/clear.png", pixels)
    for name, background in (("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#102030", (16, 32, 48))):
        dataset = read(folder, background=name)
        expected = np.empty((10, 8, 3), np.uint8)
        expected[:5], expected[6:] = (200, 100, 0), background
        image = next(image for image in images_of(dataset) if tuple(image[0, 0]) == (200, 100, 0))
        np.testing.assert_array_equal(np.delete(image, 5, 0), np.delete(expected, 5, 0))
        blend = (np.array([200, 100, 0]) * 128 + np.array(background) * 127) / 255
        assert np.abs(image[5] - blend).max() <= 1
        assert f"images that are transparent: 1 of 5, with {name} behind them" in texts(dataset)


def test_transparent_grey_and_palette_images(files):
    path = files.folder(np.full((4, 6, 5), 7, np.uint8), list("aabb"))
    files.image("folder/a/clear.png", np.zeros((6, 5, 2), np.uint8), "LA")
    dataset = read(path)
    assert dataset.input_shape == (6, 5, 1) and contains(dataset, np.full((6, 5, 1), 255))
    palette = Image.fromarray(np.zeros((6, 5), np.uint8), "P")
    palette.putpalette([1, 2, 3])
    palette.save(str(files.path("folder/b/palette.png")), transparency=b"\x00\x80")
    dataset = read(path, background="black")
    assert dataset.input_shape == (6, 5, 3) and contains(dataset, np.zeros((6, 5, 3)))
    assert "images that are transparent: 2 of 6, with black behind them" in texts(dataset)


def test_the_first_frame_of_an_animation_is_read(files, folder):
    frames = [Image.fromarray(np.full((10, 8), value, np.uint8)) for value in (11, 200)]
    frames[0].save(str(files.path("folder/b/moving.gif")), save_all=True, append_images=frames[1:])
    dataset = read(folder)
    assert contains(dataset, np.full((10, 8, 3), 11)) and not contains(dataset, np.full((10, 8, 3), 200))
    assert "images with several frames: 1 of 5, of which the first is read" in texts(dataset)


def test_damaged_files_are_refused_or_skipped_counted_and_named(files, folder, png_bytes):
    files.path("folder/a/text.png").write_bytes(b"text")
    files.path("folder/a/cut.png").write_bytes(png_bytes(NOISE[:10, :8])[:-25])
    files.image("folder/a/zz.png", NOISE[:10, :8])
    with pytest.raises(DataError, match="text.png: cannot be read as an image.*; set unusable to skip") as caught:
        read(folder)
    assert caught.value.field == "unusable"
    dataset = read(folder, unusable="skip")
    assert len(images_of(dataset)) == 5 and contains(dataset, NOISE[:10, :8])
    _, label = next(pair for pair in zip(dataset.x_train, dataset.y_train) if np.array_equal(pair[0], NOISE[:10, :8]))
    assert label == 0, "labels stay with their images"
    (note,) = [note for note in data_notes(dataset) if "damaged" in note.text]
    assert note.is_mistake and note.text.startswith("skipped damaged files: 2 (") and "cut.png" in note.text
    for name in ("0000", "0001", "0002", "0003", "zz"):
        for kind in "ab":
            files.path(f"folder/{kind}/{name}.png").write_bytes(b"none")
    with pytest.raises(DataError, match="folder: found no image that can be read"):
        read(folder, unusable="skip")


@pytest.mark.parametrize("name, value", [("image_size", "64"), ("image_size", "0x5"), ("fit", "stretch")])
def test_options_that_are_not_allowed_are_refused_by_name(folder, name, value):
    with pytest.raises(SettingError) as caught:
        read(folder, **{name: value})
    assert caught.value.field == name and f"is {value!r}: expected {DATA_OPTIONS[name].allowed()}" in str(caught.value)


def test_options_of_other_formats_are_refused(files, digits):
    with pytest.raises(SettingError, match="fit applies to data of the formats .*folder.*, not to npz data") as caught:
        load(files.npz(x=digits[0], y=digits[1]), options=DataOptions(fit="crop"))
    assert caught.value.field == "fit"
    with pytest.raises(SettingError, match="image_size .*not to the data set mnist-5k"):
        load("mnist-5k", options=DataOptions(image_size="8x8"))


# Zip archives


def zipped(files, folder, name="data.zip", prefix="top/"):
    path = files.path(name)
    with zipfile.ZipFile(str(path), "w") as archive:
        for file in sorted((files.directory / folder).rglob("*")):
            if file.is_file():
                archive.write(str(file), prefix + str(file.relative_to(files.directory / folder)))
    return str(path)


@pytest.mark.parametrize("prefix", ["", "top/", "one/two/"])
def test_a_zip_archive_equals_its_folder(files, digits, prefix):
    x, y = digits
    files.folder(x[:30], y[:30], "folder/train")
    files.folder(x[30:], y[30:], "folder/valid")
    path = zipped(files, "folder", prefix=prefix)
    assert load(path).fingerprint == load(str(files.directory / "folder")).fingerprint
    assert load(path).name == "data"


def test_hidden_files_of_an_archive_are_not_read(files, digits):
    files.folder(*digits)
    path = zipped(files, "folder")
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("__MACOSX/top/0/._0000.png", "top/.DS_Store", "top/0/.hidden.png", "top/Thumbs.db"):
            archive.writestr(name, b"other")
    assert len(images_of(load(path))) == 40 and not [text for text in texts(load(path)) if "skipped" in text]


@pytest.mark.parametrize("name", ["../a/x.png", "/a/x.png", "a/../../x.png", "C:/a/x.png", "..\\a\\x.png"])
def test_paths_out_of_an_archive_are_refused(files, digits, png_bytes, name):
    files.folder(*digits)
    path = zipped(files, "folder")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, png_bytes(digits[0][0]))
    with pytest.raises(DataError, match="expected paths inside of the archive"):
        load(path)


def test_links_in_an_archive_are_not_followed(files, digits):
    files.folder(*digits)
    path = zipped(files, "folder")
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("top/0/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert len(images_of(load(path))) == 40
    assert "not followed: 1 link" in texts(load(path))


def test_an_archive_with_a_bomb_is_refused_by_its_declared_size(files, digits, monkeypatch):
    files.folder(*digits)
    monkeypatch.setattr("qatviz.data.file_tree.MAX_UNPACKED_BYTES", 2**20)
    path = zipped(files, "folder")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/1/bomb.png", bytes(2**21))
    with pytest.raises(DataError, match="bomb.png: found 2,097,152 bytes; expected at most 1,048,576"):
        load(path)
    assert len(images_of(read(path, unusable="skip"))) == 40


def test_damaged_archives_are_refused_and_damaged_members_skipped(files, digits, tmp_path):
    files.folder(*digits)
    zipped(files, "folder")
    content = files.path("data.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[:-30])
    with pytest.raises(DataError, match="cut.zip: cannot be read as a zip archive"):
        load(str(tmp_path / "cut.zip"))
    place = content.index(b"IDAT")
    (tmp_path / "bad.zip").write_bytes(content[:place] + b"XXXX" + content[place + 4 :])
    with pytest.raises(DataError, match=r"bad.zip: top/0/00\d\d.png: cannot be read as a file of a zip archive"):
        load(str(tmp_path / "bad.zip"))
    assert len(images_of(read(tmp_path / "bad.zip", unusable="skip"))) == 39


def test_a_zip_archive_of_arrays_is_still_one_of_arrays(files, digits):
    path = files.npz(x=digits[0], y=digits[1])
    files.path("data.npz").rename(files.path("arrays.zip"))
    assert load(path.replace("data.npz", "arrays.zip")).num_classes == 4
    with zipfile.ZipFile(str(files.path("empty.zip")), "w"):
        pass
    with pytest.raises(DataError, match=r"empty.zip: found 0 folders"):
        load(str(files.path("empty.zip")))


def test_an_encrypted_archive_is_refused(files, digits):
    files.folder(digits[0][:4], list("aabb"))
    zipped(files, "folder")
    data = bytearray(files.path("data.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(signature, place + 4)
    files.path("locked.zip").write_bytes(bytes(data))
    with pytest.raises(DataError, match="locked.zip: .*encrypted"):
        load(str(files.path("locked.zip")))


def test_pixels_do_not_depend_on_where_the_file_is(files, folder, png_bytes):
    """The reader gets a stream of an archive's member, whose images are those of the file."""
    files.image("folder/a/x.tif", NOISE[:10, :8])
    stream = io.BytesIO()
    Image.fromarray(NOISE[:10, :8]).save(stream, "WEBP", lossless=True)
    files.path("folder/b/y.webp").write_bytes(stream.getvalue())
    dataset = read(zipped(files, "folder"))
    assert sum(np.array_equal(image, NOISE[:10, :8]) for image in images_of(dataset)) == 2
