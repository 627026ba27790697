"""Make animals.npz from the 10,000 silhouettes that the PyPI package animal-mnist ships as pickled arrays.

Usage, from the top of the repository:

    python assets/make_animals.py PATH/TO/site-packages/animal_mnist/data/Animal_MNIST

The input is images [10000, 28, 28] (uint8) and labels (int64), sorted by animal, 1,000 of each. Images that occur again
are left out, so that none is in both parts. The output holds x_train [N, 28, 28, 1] and x_test (uint8), y_train and
y_test (int32), class_names: a stratified split, 20 % in the test part, both parts in a shuffled order.
"""

import argparse
import gzip
import os
import pickle

import numpy as np
from data_files import HERE, write_split

CLASS_NAMES = ("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra")
IMAGES, LABELS = "animal_data_version_3.gz", "animal_label_version_3.gz"
#: All that a pickled array refers to: nothing else in a file is run.
_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): np.core.multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reader of pickled arrays that refuses everything else."""

    def find_class(self, module, name):
        """Return what a pickled array refers to."""
        if (module, name) not in _ARRAYS:
            raise SystemExit(f"the file refers to {module}.{name}: expected nothing but an array")
        return _ARRAYS[module, name]


def read_array(path):
    """Return the array in a compressed pickle."""
    with gzip.open(path, "rb") as stream:
        return ArrayUnpickler(stream).load()


def main():
    """Convert the files in the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help=f"folder of animal-mnist with {IMAGES} and {LABELS}")
    parser.add_argument("--out", default=os.path.join(HERE, "animals.npz"))
    arguments = parser.parse_args()
    images, labels = (read_array(os.path.join(arguments.folder, name)) for name in (IMAGES, LABELS))
    if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or set(labels.tolist()) != set(range(len(CLASS_NAMES))):
        raise SystemExit(f"found images {images.shape} of {images.dtype}: expected uint8 [N, 28, 28] of 10 classes")
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    kept = np.sort(first)
    write_split(
        arguments.out, images[kept][..., np.newaxis], labels[kept].astype(np.int32), class_names=np.array(CLASS_NAMES)
    )


if __name__ == "__main__":
    main()
