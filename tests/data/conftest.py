"""Writers of small data files in every format, independent of the readers."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

CIFAR_BATCHES = [f"data_batch_{index}" for index in range(1, 6)] + ["test_batch"]


class Files:
    """Writer of data files below one directory."""

    def __init__(self, directory):
        self.directory = directory

    def path(self, *parts):
        path = self.directory.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def idx(self, name, array, zipped=False):
        """Write an IDX file straight from its specification."""
        codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
        content = struct.pack(">BBBB", 0, 0, codes[array.dtype.str[1:]], array.ndim)
        content += struct.pack(f">{array.ndim}I", *array.shape)
        content += array.astype(array.dtype.newbyteorder(">")).tobytes()
        path = self.path(name)
        path.write_bytes(gzip.compress(content) if zipped else content)
        return str(path)

    def idx_set(self, x, y, prefix="train", zipped=False, folder="set"):
        ending = ".gz" if zipped else ""
        self.idx(f"{folder}/{prefix}-labels-idx1-ubyte{ending}", y.astype(np.uint8), zipped)
        return self.idx(f"{folder}/{prefix}-images-idx{x.ndim}-ubyte{ending}", x, zipped)

    def npz(self, name="data.npz", compressed=True, **arrays):
        path = self.path(name)
        (np.savez_compressed if compressed else np.savez)(str(path), **arrays)
        return str(path)

    def image(self, name, array, mode=None):
        path = self.path(name)
        Image.fromarray(array, mode).save(str(path))
        return str(path)

    def folder(self, images, labels, root="folder", ending="png"):
        """Write images into sub-folders named after their labels."""
        for index, (image, label) in enumerate(zip(images, labels)):
            self.image(f"{root}/{label}/{index:04d}.{ending}", image)
        return str(self.directory / root)

    def cifar(self, images, labels, root="cifar-10-batches-py", protocol=2):
        """Write the six batches; `images` is [6, n, 32, 32, 3], `labels` [6, n]."""
        for batch, batch_images, batch_labels in zip(CIFAR_BATCHES, images, labels):
            content = {
                b"batch_label": b"a batch",
                b"labels": [int(label) for label in batch_labels],
                b"data": batch_images.transpose(0, 3, 1, 2).reshape(len(batch_images), -1).copy(),
                b"filenames": [b"%d.png" % index for index in range(len(batch_labels))],
            }
            self.path(root, batch).write_bytes(pickle.dumps(content, protocol=protocol))
        return str(self.directory / root)

    def tar(self, name, folder):
        path = self.path(name)
        with tarfile.open(str(path), "w:gz") as archive:
            archive.add(folder, arcname="cifar-10-batches-py")
        return str(path)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


@pytest.fixture(scope="session")
def digits():
    """Return forty 6x5 grey images of four classes, ten each, in mixed order."""
    random = np.random.RandomState(7)
    return random.randint(0, 256, (40, 6, 5)).astype(np.uint8), random.permutation(np.arange(40) % 4).astype(np.uint8)


@pytest.fixture(scope="session")
def photographs():
    """Return six batches of four 32x32 RGB images with labels from 0 to 9."""
    random = np.random.RandomState(8)
    return random.randint(0, 256, (6, 4, 32, 32, 3)).astype(np.uint8), random.randint(0, 10, (6, 4))


@pytest.fixture
def png_bytes():
    """Return a function that encodes an array as a PNG file."""

    def encode(array):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, "PNG")
        return stream.getvalue()

    return encode
