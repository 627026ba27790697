"""Data sets in the cache of tf.keras. Nothing is downloaded, and TensorFlow is not imported."""

import os

from qatviz.data.arrays import load_npz
from qatviz.data.cifar import load_cifar
from qatviz.data.dataset import Dataset
from qatviz.data.idx import load_idx
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


def cache_dir() -> str:
    """Return the directory in which tf.keras stores data sets, ``~/.keras/datasets``."""
    return os.path.join(os.path.expanduser("~"), ".keras", "datasets")


def load_mnist(validation_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load MNIST from the Keras cache (``mnist.npz``); raise a `DataError` if it is not there."""
    path = _cached_path("mnist", "mnist.npz")
    return load_npz(path, validation_fraction, seed, "mnist")


def load_fashion_mnist(validation_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load Fashion-MNIST from the Keras cache (four IDX files); raise a `DataError` if it is not there."""
    # Require all four files: the loader would accept an incomplete download as a data set without a test part.
    paths = [_cached_path("fashion_mnist", os.path.join("fashion-mnist", name)) for name in _FASHION_FILES]
    return load_idx(paths[0], validation_fraction, seed, "fashion_mnist", class_names=_FASHION_NAMES)


def load_cifar10_cache(validation_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load CIFAR-10 from the Keras cache (directory or archive); raise a `DataError` if it is not there."""
    # Later versions of Keras extract into an additional directory.
    path = _cached_path(
        "cifar10",
        "cifar-10-batches-py",
        os.path.join("cifar-10-batches-py-target", "cifar-10-batches-py"),
        "cifar-10-batches-py.tar.gz",
    )
    return load_cifar(path, validation_fraction, seed)


def _cached_path(name: str, *candidates: str) -> str:
    """Return the first path in the cache that exists; a `DataError` names the function that downloads data ``name``."""
    paths = [os.path.join(cache_dir(), candidate) for candidate in candidates]
    for path in paths:
        if os.path.exists(path):
            return path
    raise DataError(
        f"{name}: not in the Keras cache; expected {' or '.join(paths)}. qatviz does not download data; this "
        f'command does: python -c "import tensorflow as tf; tf.keras.datasets.{name}.load_data()"'
    )
