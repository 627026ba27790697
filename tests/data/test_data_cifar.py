"""CIFAR-10 batches, whose pickles are not run, and the Keras cache."""

import io
import os
import pickle
import pickletools

import numpy as np
import pytest

from qatviz.data import load
from qatviz.data.pickles import read_pickled_arrays
from qatviz.errors import DataError


@pytest.fixture
def keras(files, monkeypatch):
    """Return the files of a Keras cache in a temporary home directory."""
    monkeypatch.setenv("HOME", str(files.directory))
    monkeypatch.setenv("USERPROFILE", str(files.directory))
    files.directory = files.directory / ".keras" / "datasets"
    return files


def read(content):
    return read_pickled_arrays("file", io.BytesIO(content), len(content))


def test_the_directory_and_the_archive_are_equivalent(files, photographs):
    images, labels = photographs
    directory = files.cifar(images, labels)
    archive = files.tar("cifar-10-python.tar.gz", directory)
    for path in (directory, archive):
        dataset = load(path)
        np.testing.assert_array_equal(dataset.x_train, images[:5].reshape(20, 32, 32, 3))
        np.testing.assert_array_equal(dataset.y_train, labels[:5].reshape(-1))
        np.testing.assert_array_equal(dataset.x_test, images[5])
        np.testing.assert_array_equal(dataset.y_test, labels[5])
        assert dataset.class_names[:2] == ("airplane", "automobile") and dataset.num_classes == 10
    assert load(archive).fingerprint == load(directory).fingerprint


@pytest.mark.parametrize("protocol", range(5))
def test_every_protocol_of_pickles_is_read(photographs, protocol):
    data = photographs[0][0].reshape(4, -1)
    for array in (data, np.asfortranarray(data)):
        content = read(pickle.dumps({b"data": array, "labels": [1, 2, 3, 4]}, protocol=protocol))
        np.testing.assert_array_equal(content["data"], data)
        assert content["labels"] == [1, 2, 3, 4]


def test_a_batch_as_python_2_wrote_it():
    """The distributed files have protocol 2 with str instead of bytes."""
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
        b"K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06abcdeftb"
        b"U\x06labelsq\x08]q\t(K\x06K\teu."
    )
    pickletools.dis(content, out=io.StringIO())
    batch = read(content)
    np.testing.assert_array_equal(batch["data"], [[97, 98, 99], [100, 101, 102]])
    assert batch["labels"] == [6, 9]


class Boom:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call",
    [
        (os.mkdir, "made"),
        (eval, "open('made', 'w')"),
        (exec, "open('made', 'w')"),
        (getattr, {}, "pop"),
        (np.load, "x"),
        (np.dtype, "O"),
        (pickle.loads, b"N."),
    ],
)
def test_nothing_that_a_pickle_names_is_called(tmp_path, monkeypatch, protocol, call):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="^file: "):
        read(pickle.dumps({"data": Boom(*call)}, protocol=protocol))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"N",
        b"N.",
        b"].garbage",
        b"cos\nsystem\n(S'touch made'\ntR.",
        b"(S'touch made'\nios\nsystem\n.",
        # A state on a name, an array class called, an object made from a name, absurd memo places and lengths.
        b"cnumpy\nndarray\n}b.",
        b"cnumpy\nndarray\n)R.",
        b"cnumpy\nndarray\n)\x81.",
        b"(cnumpy\ndtype\no.",
        b"}r\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"T\xff\xff\xff\x7f.",
        b"\x82\x01.",
        b"P1\n.",
        b"(" * 5000 + b"t" * 4999,
    ],
)
def test_crafted_pickles_are_refused_without_effect(content):
    if content == b"}r\xff\xff\xff\xff.":
        # Valid, if odd; the point is that it takes no memory.
        assert read(content) == {}
        return
    with pytest.raises(DataError, match="^file: (cannot be read as a pickled batch|found a pickled)"):
        read(content)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"data": None}, r"data_batch_2: data: found NoneType; expected uint8 of shape \[N, 3072\]"),
        ({"data": np.zeros((4, 3071), np.uint8)}, r"data: found shape \[4, 3071\]; expected uint8"),
        ({"data": np.zeros((4, 3072), np.float32)}, "found a pickled array of dtype .*f4.*; expected uint8"),
        ({"labels": [1, 2, 3]}, "labels: found a list of 3 values; expected a list of 4 integers"),
        ({"labels": (1, 2, 3, 4)}, "labels: found tuple"),
        ({"labels": [1, 2, 3, "4"]}, "labels: found a list of 4 values; expected a list of 4 integers"),
        ({"labels": [1, 2, 3, 10]}, "y_train: found label 10 in example 7; expected 0 to 9"),
    ],
)
def test_batches_with_unexpected_content_are_refused(files, photographs, change, message):
    directory = files.cifar(*photographs)
    content = {"data": np.zeros((4, 3072), np.uint8), "labels": [1, 2, 3, 4]}
    content.update(change)
    files.path("cifar-10-batches-py/data_batch_2").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=message):
        load(directory)


def test_a_missing_batch_is_named(files, photographs):
    directory = files.cifar(*photographs)
    files.path("cifar-10-batches-py/data_batch_4").unlink()
    with pytest.raises(DataError, match="cifar-10-batches-py: data_batch_4 is missing; expected data_batch_1"):
        load(directory)


def test_damaged_archives_are_refused(files, photographs):
    path = files.path("cifar.tar.gz")
    files.tar(path.name, files.cifar(*photographs))
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2], whole[:-6]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cifar.tar.gz"):
            load(str(path))


def test_an_oversized_batch_is_refused(files, photographs, monkeypatch):
    directory = files.cifar(*photographs)
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 1000)
    with pytest.raises(DataError, match="data_batch_1: loading it needs .* available: 1,000"):
        load(directory)


@pytest.mark.parametrize("cached_as", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py", "tar"])
def test_cifar10_from_the_keras_cache(keras, photographs, cached_as):
    if cached_as == "tar":
        keras.tar("cifar-10-batches-py.tar.gz", keras.cifar(*photographs, root="../elsewhere"))
    else:
        keras.cifar(*photographs, root=cached_as)
    dataset = load("cifar10")
    assert dataset.name == "cifar10" and dataset.input_shape == (32, 32, 3)
    np.testing.assert_array_equal(dataset.x_test, photographs[0][5])


def test_mnist_from_the_keras_cache(keras, digits):
    x, y = digits
    path = keras.npz("mnist.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    dataset = load("mnist")
    assert (dataset.name, dataset.source, len(dataset.x_test)) == ("mnist", path, 8)


@pytest.mark.parametrize("spec", ["fashion_mnist", "fashion-mnist"])
def test_fashion_mnist_from_the_keras_cache(keras, digits, spec):
    x, y = digits
    keras.idx_set(x, y, "train", True, "fashion-mnist")
    with pytest.raises(DataError, match="fashion-mnist.t10k-images-idx3-ubyte.gz"):
        load(spec)
    keras.idx_set(x[:8], y[:8], "t10k", True, "fashion-mnist")
    dataset = load(spec)
    assert (dataset.name, len(dataset.x_test), dataset.num_classes) == ("fashion_mnist", 8, 10)
    assert dataset.class_names[1] == "Trouser"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_the_error_for_missing_data_names_path_and_download_command(keras, name):
    with pytest.raises(DataError) as caught:
        load(name)
    assert str(keras.directory) in str(caught.value)
    assert f"tf.keras.datasets.{name}.load_data()" in str(caught.value)
