"""Damaged files are read or refused with a `DataError`; no other exception is raised."""

import gzip
import os
import tarfile

import numpy as np
import pytest
from file_damage import damaged_copies

from qatviz.data import Dataset, load
from qatviz.errors import DataError

N_MUTATIONS = 200


def outcomes(path, damaged_file, seed=0):
    """Load each damaged copy of one file; return the numbers of copies that were refused and read."""
    with open(damaged_file, "rb") as stream:
        content = stream.read()
    refused = read = 0
    for damaged in damaged_copies(content, seed, N_MUTATIONS, 64, b"\x00\x01\x7f\x80\xff"):
        with open(damaged_file, "wb") as stream:
            stream.write(damaged)
        try:
            dataset = load(path)
        except DataError as error:
            assert os.path.basename(path) in str(error) or os.path.basename(damaged_file) in str(error)
            refused += 1
        else:
            assert isinstance(dataset, Dataset)
            read += 1
    return refused, read


@pytest.mark.parametrize("compressed", [False, True])
def test_npz(files, digits, compressed):
    path = files.npz(compressed=compressed, x=digits[0], y=digits[1], class_names=np.array(list("abcd")))
    refused, read = outcomes(path, path)
    # Checksums cover the contents: in the copies that are read, the damage is in unused bytes.
    assert refused > 0.6 * N_MUTATIONS and read > 0


@pytest.mark.parametrize("damaged", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx(files, digits, zipped, damaged):
    path = files.idx_set(*digits, zipped=zipped)
    refused, read = outcomes(path, path.replace("images-idx3", damaged))
    # Plain IDX has no checksum, so that a changed pixel is not detected; gzip has one.
    assert refused > (0.6 if zipped else 0.3) * N_MUTATIONS and read > 0


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tif", "pgm"])
def test_folder(files, ending):
    images = np.random.RandomState(0).randint(0, 256, (6, 9, 7)).astype(np.uint8)
    path = files.folder(images, list("aabbcc"), ending=ending)
    refused, read = outcomes(path, str(files.path("folder/b/0002." + ending)))
    assert refused > 0 and read > 0


def test_cifar(files, photographs):
    path = files.cifar(photographs[0][:, :1, :, :, :], photographs[1][:, :1])
    refused, read = outcomes(path, str(files.path("cifar-10-batches-py/data_batch_1")))
    assert refused > 0 and read > 0


def test_cifar_archive(files, photographs):
    path = files.tar("cifar.tar.gz", files.cifar(photographs[0][:, :1, :, :, :], photographs[1][:, :1]))
    refused, _ = outcomes(path, path)
    assert refused > 0.6 * N_MUTATIONS


def test_cifar_archive_with_a_damaged_directory(files, photographs):
    """Damage below gzip's checksum reaches the parser of the tar format."""
    path = files.tar("cifar.tar.gz", files.cifar(photographs[0][:, :1, :, :, :], photographs[1][:, :1]))
    with gzip.open(path) as stream:
        content = stream.read()
    places = []
    with tarfile.open(path) as archive:
        places = [member.offset for member in archive]
    refused = 0
    random = np.random.RandomState(1)
    for _ in range(N_MUTATIONS):
        damaged = bytearray(content)
        damaged[random.choice(places) + random.randint(512)] ^= 1 << random.randint(8)
        with gzip.open(path, "wb", compresslevel=1) as stream:
            stream.write(damaged)
        try:
            load(path)
        except DataError:
            refused += 1
    assert refused > 0.5 * N_MUTATIONS
