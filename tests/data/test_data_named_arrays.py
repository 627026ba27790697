"""The choice of arrays by their names or by options, in .npz archives and among .npy files."""

import os

import numpy as np
import pytest

from qatviz.data import data_notes, load
from qatviz.data_options import DataOptions
from qatviz.errors import ChoiceNeeded, DataError


def arrays_of(names, digits):
    """Return arrays by name: images for the first of each pair, labels for the second, in parts of 30, 6 and 4."""
    x, y = digits
    parts = np.split(np.arange(40), [30, 36])
    return {
        name: array[rows]
        for pair, rows in zip(zip(names[::2], names[1::2]), parts)
        for name, array in zip(pair, (x, y))
    }


def texts(dataset):
    return [note.text for note in data_notes(dataset)]


@pytest.fixture(params=["npz", "npy"])
def write(request, files):
    """Return a function that writes arrays to an archive, or to files in a directory."""

    def write(**arrays):
        if request.param == "npz":
            return files.npz(**arrays)
        for name, array in arrays.items():
            np.save(str(files.path("arrays", name + ".npy")), array)
        return str(files.directory / "arrays")

    return write


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_val", "y_val"),
        ("train_images", "train_labels", "val_images", "val_labels"),
        ("X_train", "Y_train", "X_valid", "Y_valid"),
        ("trainX", "trainy", "testX", "testy"),
        ("xtrain", "ytrain", "xtest", "ytest"),
        ("training data", "training targets", "testing data", "testing targets"),
        ("images", "labels", "test_images", "test_labels"),
    ],
)
def test_usual_names_of_parts(write, digits, names):
    dataset = load(write(**arrays_of(names, digits)))
    np.testing.assert_array_equal(dataset.x_train[..., 0], digits[0][:30])
    np.testing.assert_array_equal(dataset.x_test[..., 0], digits[0][30:36])
    np.testing.assert_array_equal(np.r_[dataset.y_train, dataset.y_test], digits[1][:36])
    assert not [text for text in texts(dataset) if "skipped" in text or "chosen at random" in text]


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("data", "target"), ("X", "y"), ("features", "targets"), ("images", "masks")]
)
def test_usual_names_of_a_single_part(write, digits, names):
    dataset = load(write(**dict(zip(names, digits))))
    assert (len(dataset.x_train), len(dataset.x_test)) == (32, 8)


@pytest.mark.parametrize(
    "held_out, number, unused", [("auto", 4, "val"), ("test", 4, "val"), ("validation", 6, "test")]
)
def test_the_part_that_is_not_used_is_noted(write, digits, held_out, number, unused):
    path = write(**arrays_of(("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"), digits))
    dataset = load(path, options=DataOptions(held_out=held_out))
    assert len(dataset.x_test) == number
    (note,) = [text for text in texts(dataset) if "skipped arrays: 2 (" in text]
    assert f"x_{unused}" in note and f"y_{unused}" in note
    split = load(path, options=DataOptions(held_out="split"))
    assert (len(split.x_train), len(split.x_test)) == (24, 6)
    assert any("skipped arrays: 4 (" in text for text in texts(split))


def test_a_part_that_is_missing_cannot_be_held_out(write, digits):
    with pytest.raises(DataError, match="found no validation part to hold out") as caught:
        load(write(x=digits[0], y=digits[1]), options=DataOptions(held_out="validation"))
    assert caught.value.field == "held_out"


def test_any_two_arrays_can_be_named(write, digits):
    path = write(pictures=digits[0], answers=digits[1], other=np.zeros(3))
    with pytest.raises(ChoiceNeeded, match="no data set: the file has .*; expected x, y or x_train") as caught:
        load(path)
    assert caught.value.field == "features"
    assert {role: sorted(names) for role, names in caught.value.choices.items()} == {
        role: ["answers", "other", "pictures"] for role in ("features", "targets")
    }
    dataset = load(path, options=DataOptions(features="pictures", targets="answers"))
    assert dataset.fingerprint == load(write(x=digits[0], y=digits[1])).fingerprint
    assert "skipped arrays: 1 (other)" in texts(dataset)
    assert sorted(dataset.choices["targets"]) == ["answers", "other", "pictures"]


@pytest.mark.parametrize(
    "given, field, words",
    [
        ({"features": "pictures"}, "targets", "targets is missing: the file has"),
        ({"targets": "answers"}, "features", "features is missing: the file has"),
        ({"features": "nothing", "targets": "answers"}, "features", "features is 'nothing', but the file has"),
    ],
)
def test_the_array_that_is_missing_is_asked_for(write, digits, given, field, words):
    with pytest.raises(ChoiceNeeded, match=words) as caught:
        load(write(pictures=digits[0], answers=digits[1]), options=DataOptions(**given))
    assert caught.value.field == field


def test_arrays_of_other_names_beside_a_data_set_do_not_matter(write, digits):
    """As before the usual names were known: an archive that could be loaded still gives the same data."""
    x, y = digits
    alone = load(write(x_train=x, y_train=y))
    more = load(write(x_train=x, y_train=y, labels=np.arange(3), images=x[:2], x_val=x[:2], label_names=np.arange(4)))
    assert more.fingerprint == alone.fingerprint


def test_an_npy_file_is_the_first_of_its_pair(files, digits):
    for name, array in zip(("x_train", "y_train", "spectra", "kinds"), (*digits, *digits)):
        np.save(str(files.path("arrays", name + ".npy")), array)
    folder = str(files.directory / "arrays")
    whole = load(folder)
    assert load(os.path.join(folder, "x_train.npy")).fingerprint == whole.fingerprint
    named = load(os.path.join(folder, "spectra.npy"), options=DataOptions(targets="kinds"))
    assert named.fingerprint == whole.fingerprint and named.name == "arrays"
    with pytest.raises(ChoiceNeeded, match="targets is missing"):
        load(os.path.join(folder, "spectra.npy"))


def arrays_and_memory(files, monkeypatch, n_bytes, **arrays):
    """Write .npy files; return the data set in memory, and the one with this limit of the memory."""
    for name, array in arrays.items():
        np.save(str(files.path("arrays", name + ".npy")), array)
    in_memory = load(str(files.directory / "arrays"))
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", n_bytes)
    return in_memory, load(str(files.directory / "arrays"))


def test_examples_in_npy_files_larger_than_memory_are_read_when_they_are_used(files, digits, monkeypatch):
    rows = np.random.RandomState(0).standard_normal((40, 7)).astype(np.float32)
    for x in (digits[0], rows):
        in_memory, streamed = arrays_and_memory(files, monkeypatch, 1000, x=x, y=digits[1])
        monkeypatch.undo()
        assert in_memory.streamed == () and streamed.streamed == ("x_train", "x_test")
        for name in ("x_train", "y_train", "x_test", "y_test"):
            np.testing.assert_array_equal(getattr(streamed, name)[:], getattr(in_memory, name))
        assert streamed.fingerprint == in_memory.fingerprint and streamed.scaling == in_memory.scaling
        assert (streamed.x_train.min(), streamed.x_train.max()) == (x.min(), x.max())
        assert texts(streamed)[0].startswith("examples are read when they are used, as together they are larger")
        assert set(texts(in_memory)) < set(texts(streamed))


def test_parts_in_npy_files_larger_than_memory_stay_parts(files, digits, monkeypatch):
    in_memory, streamed = arrays_and_memory(
        files, monkeypatch, 1000, **arrays_of(("x_train", "y_train", "x_test", "y_test"), digits)
    )
    assert (len(streamed.x_train), len(streamed.x_test)) == (30, 6)
    assert streamed.fingerprint == in_memory.fingerprint


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda x: x.astype(np.float64),
            r"arrays: x: found float64 of shape \[40, 6, 5, 1\], larger than memory; expected",
        ),
        (lambda x: np.minimum(x, 1), "x: found uint8 of shape .*; expected .* other than masks of 0 and 1"),
        (lambda x: x.reshape(40, -1), "x: found uint8 of shape .*; expected float32, or uint8 images"),
        (
            lambda x: np.asfortranarray(x),
            "x.npy: found .*; expected numbers in C order .*, as it does not fit in memory",
        ),
        (lambda x: np.where(x == x.max(), np.nan, x).astype(np.float32), "x: found values that are not finite"),
    ],
)
def test_arrays_larger_than_memory_of_other_forms_are_refused(files, digits, monkeypatch, change, words):
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 1000)
    np.save(str(files.path("arrays/x.npy")), change(digits[0]))
    np.save(str(files.path("arrays/y.npy")), digits[1])
    with pytest.raises(DataError, match=words):
        load(str(files.directory / "arrays"))


def test_an_archive_larger_than_memory_names_the_way_out(files, digits, monkeypatch):
    path = files.npz(x=digits[0], y=digits[1])
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 1000)
    with pytest.raises(
        DataError, match="available: 1,000; larger data is read while a run trains on it if it is .*npy"
    ):
        load(path)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "expected an .npy array"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(128), "found dtype"),
    ],
)
def test_hostile_npy_files_are_refused(files, digits, content, words):
    np.save(str(files.path("arrays/y.npy")), digits[1])
    files.path("arrays/x.npy").write_bytes(content)
    with pytest.raises(DataError, match="x.npy.*" + words):
        load(str(files.directory / "arrays"))


def test_a_pickle_in_an_npy_file_is_not_loaded(files, digits):
    class Boom:
        def __reduce__(self):
            return os.mkdir, (str(files.directory / "made"),)

    np.save(str(files.path("arrays/y.npy")), digits[1])
    np.save(str(files.path("arrays/x.npy")), np.array([Boom()] * 40))
    with pytest.raises(DataError, match="pickled objects are not supported"):
        load(str(files.directory / "arrays"))
    assert not (files.directory / "made").exists()


def test_a_pipe_among_npy_files_is_refused_unread(files, digits):
    np.save(str(files.path("arrays/y.npy")), digits[1])
    os.mkfifo(str(files.path("arrays/x.npy")))
    with pytest.raises(DataError, match="x.npy: not a regular file"):
        load(str(files.directory / "arrays"))
    with pytest.raises(DataError, match="found a pipe"):
        load(str(files.directory / "arrays" / "x.npy"))
