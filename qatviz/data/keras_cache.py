"""Data sets that tf.keras has already downloaded. Nothing is downloaded here, and TensorFlow is not imported."""

import os

from qatviz.data.cifar import load_cifar10
from qatviz.data.idx import load_idx
from qatviz.data.npz import load_npz
from qatviz.errors import DataError

_FASHION_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def cache_dir():
    """Return the directory in which tf.keras keeps its data sets, ``~/.keras/datasets``."""
    return os.path.join(os.path.expanduser("~"), ".keras", "datasets")


def load_mnist(validation_fraction=0.2, seed=0):
    """Load the 70,000 digits of MNIST from the Keras cache (``mnist.npz``); raise `DataError` if it is not there."""
    path = _cached("mnist", "mnist.npz")
    return load_npz(path, validation_fraction, seed, "mnist")


def load_fashion_mnist(validation_fraction=0.2, seed=0):
    """Load Fashion-MNIST from the Keras cache (``fashion-mnist``, four IDX files); raise `DataError` if not there."""
    # All four: the loader would take a download that was interrupted for a set without a test part.
    paths = [_cached("fashion_mnist", os.path.join("fashion-mnist", name)) for name in _FASHION_FILES]
    return load_idx(paths[0], validation_fraction, seed, "fashion_mnist", class_names=_FASHION_NAMES)


def load_cifar10_cache(validation_fraction=0.2, seed=0):
    """Load CIFAR-10 from the Keras cache (the directory, else the archive); raise `DataError` if it is not there."""
    # Later versions of Keras extract into a directory of its own; the archive alone will do.
    path = _cached(
        "cifar10",
        "cifar-10-batches-py",
        os.path.join("cifar-10-batches-py-target", "cifar-10-batches-py"),
        "cifar-10-batches-py.tar.gz",
    )
    return load_cifar10(path, validation_fraction, seed)


def _cached(name, *candidates):
    paths = [os.path.join(cache_dir(), candidate) for candidate in candidates]
    for path in paths:
        if os.path.exists(path):
            return path
    raise DataError(
        f"{name}: is not in the Keras cache: expected {' or '.join(paths)}. qatviz downloads nothing; this "
        "puts it there: "
        f'python -c "import tensorflow as tf; tf.keras.datasets.{name}.load_data()"'
    )
