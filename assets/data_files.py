"""Files of bundled data: a fixed split of images and labels, the same bytes for the same input and zlib."""

import io
import os
import sys
import zipfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from qatviz.data.split import stratified_split  # noqa: E402 (the checkout's own, installed or not)

SEED = 0
TEST_FRACTION = 0.2


def write_split(path, images, labels, **more):
    """Write a stratified split of ``images`` and int32 ``labels``, both parts in a shuffled order, and more arrays."""
    train, test = stratified_split(labels, TEST_FRACTION, SEED)
    random = np.random.RandomState(SEED)
    train, test = random.permutation(train), random.permutation(test)
    write_npz(
        path,
        {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test], **more},
    )
    print(f"{path}: {train.size} training and {test.size} test examples, {os.path.getsize(path):,} bytes")


def write_npz(path, arrays):
    """Write a compressed .npz archive with fixed time stamps."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, stream.getvalue(), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
