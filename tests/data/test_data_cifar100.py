"""CIFAR-100, and the binary versions, against TensorFlow's reader and NumPy."""

import io
import pickle
import tarfile

import numpy as np
import pytest
from tensorflow.python.keras.datasets.cifar import load_batch

from qatviz.data import load
from qatviz.data_options import DataOptions
from qatviz.errors import ChoiceNeeded, DataError

FINE, COARSE = [f"fine {index}" for index in range(5)], ["coarse a", "coarse b"]


@pytest.fixture
def python(files):
    """Return the directory of CIFAR-100 for Python with 6 training and 4 test images."""
    random = np.random.RandomState(9)
    for name, n in (("train", 6), ("test", 4)):
        content = {
            b"data": random.randint(0, 256, (n, 3072)).astype(np.uint8),
            b"fine_labels": [index % 5 for index in range(n)],
            b"coarse_labels": [index % 2 for index in range(n)],
            b"filenames": [b"x.png"] * n,
        }
        files.path("cifar-100-python", name).write_bytes(pickle.dumps(content, 2))
    meta = {b"fine_label_names": [n.encode() for n in FINE], b"coarse_label_names": [n.encode() for n in COARSE]}
    files.path("cifar-100-python/meta").write_bytes(pickle.dumps(meta, 2))
    return files.directory / "cifar-100-python"


@pytest.fixture
def binary(files, python):
    """Return the binary version of the same images."""
    for name in ("train", "test"):
        content = pickle.loads((python / name).read_bytes())
        columns = [np.array(content[key], np.uint8)[:, np.newaxis] for key in (b"coarse_labels", b"fine_labels")]
        rows = np.concatenate([*columns, content[b"data"]], axis=1)
        files.path("cifar-100-binary", name + ".bin").write_bytes(rows.tobytes())
    files.path("cifar-100-binary/fine_label_names.txt").write_text("\n".join(FINE).replace(" ", "_") + "\n")
    files.path("cifar-100-binary/coarse_label_names.txt").write_text("\n".join(COARSE).replace(" ", "_") + "\n")
    return files.directory / "cifar-100-binary"


def packed(folder, name):
    with tarfile.open(str(folder.parent / name), "w:gz") as archive:
        archive.add(str(folder), arcname=folder.name)
    return str(folder.parent / name)


@pytest.mark.parametrize("targets, key", [("", "fine_labels"), ("fine_labels",) * 2, ("coarse_labels",) * 2])
def test_images_and_labels_are_those_of_tensorflow(python, targets, key):
    expected = [load_batch(str(python / name), label_key=key) for name in ("train", "test")]
    dataset = load(str(python), options=DataOptions(targets=targets))
    for (images, labels), x, y in zip(expected, (dataset.x_train, dataset.x_test), (dataset.y_train, dataset.y_test)):
        np.testing.assert_array_equal(x, images.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(y, labels)
    assert dataset.class_names == tuple(FINE if key == "fine_labels" else COARSE)
    assert dataset.name == "cifar100" and dataset.choices == {"targets": ("fine_labels", "coarse_labels")}


@pytest.mark.parametrize("targets", ["", "coarse_labels"])
def test_all_versions_are_equivalent(python, binary, targets):
    options = DataOptions(targets=targets)
    paths = [str(python), str(binary), packed(python, "p.tar.gz"), packed(binary, "b.tgz")]
    first, *others = [load(path, options=options) for path in paths]
    for other in others:
        assert other.fingerprint == first.fingerprint
        assert [name.replace("_", " ") for name in other.class_names] == list(first.class_names)


def test_the_binary_version_of_cifar10(files, photographs):
    images, labels = photographs
    python = load(files.cifar(images, labels))
    for index in range(6):
        rows = np.c_[labels[index].astype(np.uint8), images[index].transpose(0, 3, 1, 2).reshape(4, -1)]
        name = f"data_batch_{index + 1}.bin" if index < 5 else "test_batch.bin"
        files.path("cifar-10-batches-bin", name).write_bytes(rows.astype(np.uint8).tobytes())
    binary = load(str(files.directory / "cifar-10-batches-bin"))
    assert binary.fingerprint == python.fingerprint and binary.class_names == python.class_names


def test_labels_that_do_not_exist_are_refused(python, files, photographs):
    for path in (str(python), files.cifar(*photographs)):
        with pytest.raises(DataError, match="found no 'superclass'; expected one of") as caught:
            load(path, options=DataOptions(targets="superclass"))
        assert caught.value.field == "targets" and not isinstance(caught.value, ChoiceNeeded)


def test_damaged_files_are_refused_by_name(python, binary):
    (binary / "train.bin").write_bytes(bytes(3000))
    with pytest.raises(DataError, match=r"train.bin: found 3,000 bytes; expected a multiple of 3,074"):
        load(str(binary))
    (binary / "train.bin").unlink()
    with pytest.raises(DataError, match="cifar-100-binary"):
        load(str(binary))
    (python / "meta").write_bytes(pickle.dumps({"fine_label_names": 5}, 2))
    with pytest.raises(DataError, match="meta: found no names of fine_labels"):
        load(str(python))
    (python / "meta").write_bytes(b"cos\nsystem\n(S'touch made'\ntR.")
    with pytest.raises(DataError, match="meta: .*os.system"):
        load(str(python))
    (python / "meta").write_bytes(bytes(2**17))
    with pytest.raises(DataError, match="meta: found 131,072 bytes"):
        load(str(python))


def test_an_archive_without_a_test_batch_names_it(python):
    content = io.BytesIO((python / "train").read_bytes())
    path = str(python.parent / "cut.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-100-python/train")
        member.size = len(content.getvalue())
        archive.addfile(member, content)
    with pytest.raises(DataError, match="cut.tar.gz: test is missing; expected train and test"):
        load(path)
