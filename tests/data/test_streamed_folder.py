"""Folders of images that are larger than memory are read image by image."""

import os

import numpy as np
import pytest
from PIL import Image

from qatviz.data import describe, load, write_store
from qatviz.data_options import DataOptions
from qatviz.errors import DataError

SIZES = (6, 5), (7, 9)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two classes of images of several sizes and modes, and a damaged one."""
    random = np.random.RandomState(0)
    for index in range(60):
        directory = tmp_path / "images" / f"class{index % 2}"
        directory.mkdir(parents=True, exist_ok=True)
        pixels = random.randint(0, 256, (*SIZES[index % 3 == 0], 3)).astype(np.uint8)
        Image.fromarray(pixels).convert("L" if index % 5 == 0 else "RGB").save(str(directory / f"{index}.png"))
    (tmp_path / "images" / "class1" / "damaged.png").write_bytes(b"\x89PNG")
    return str(tmp_path / "images")


OPTIONS = DataOptions(image_size="6x5", unusable="skip")


@pytest.fixture
def both(folder, monkeypatch):
    """Return the data set in memory, and the one that is read when it is used."""
    in_memory = load(folder, options=OPTIONS)
    monkeypatch.setattr("qatviz.data.images.memory_limit", lambda: 1000)
    return in_memory, load(folder, options=OPTIONS)


def test_the_images_are_those_of_a_folder_in_memory(both):
    in_memory, streamed = both
    assert in_memory.streamed == () and streamed.streamed == ("x_train", "x_test")
    for name in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(streamed, name)[:], getattr(in_memory, name))
    assert streamed.fingerprint == in_memory.fingerprint
    notes = describe(streamed)["notes"]
    assert any("examples are read when they are used" in note for note in notes)
    assert any("skipped damaged files: 1" in note for note in notes)


def test_no_pass_over_all_images_is_made_to_load_them(folder, monkeypatch):
    monkeypatch.setattr("qatviz.data.images.memory_limit", lambda: 1000)
    monkeypatch.setattr("qatviz.data.streamed.SAMPLE_ROWS", 8)
    decoded = []
    convert = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda image, *rest: decoded.append(image) or convert(image, *rest))
    loaded = load(folder, options=OPTIONS)
    assert 0 < len(decoded) < 20
    assert 0 <= loaded.x_train.min() < loaded.x_train.max() <= 255


def test_a_store_of_them_is_that_of_the_images_in_memory(both, tmp_path):
    for index, dataset in enumerate(both):
        write_store(dataset, tmp_path / str(index))
    for name in ("x_train", "x_test", "y_train", "y_test"):
        one, other = ((tmp_path / str(index) / (name + ".npy")).read_bytes() for index in (0, 1))
        assert one == other


def test_images_of_16_bits_are_those_of_a_folder_in_memory(folder, monkeypatch):
    deep = np.random.RandomState(1).randint(0, 65536, (6, 5)).astype(np.uint16)
    Image.fromarray(deep).save(os.path.join(folder, "class0", "deep.png"))
    in_memory = load(folder, options=OPTIONS, scaling="signed")
    monkeypatch.setattr("qatviz.data.images.memory_limit", lambda: 1000)
    streamed = load(folder, options=OPTIONS, scaling="signed")
    assert streamed.streamed == ("x_train", "x_test") and streamed.x_train.dtype == np.float32
    np.testing.assert_array_equal(streamed.x_train[:], in_memory.x_train)
    assert streamed.fingerprint == in_memory.fingerprint
    assert load(folder, options=OPTIONS).scaling == "unit"


def test_an_image_that_vanishes_is_named(both, folder):
    _, streamed = both
    for name in os.listdir(os.path.join(folder, "class0")):
        os.remove(os.path.join(folder, "class0", name))
    with pytest.raises(DataError, match=r"class0.*\.png"):
        streamed.x_train[:]
