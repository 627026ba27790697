"""Weights of the training examples in the loss."""

# A module of its own, because the data set does not depend on the settings of a run, as these weights do.

from typing import Any, Optional

import numpy as np

from qatviz.class_weights import weights_of_classes
from qatviz.data.dataset import Dataset
from qatviz.errors import DataError


def convert_weights(array: Any, n_examples: int, where: str) -> np.ndarray:
    """Return weights of examples in the form that `Dataset` requires, float32 ``[n_examples]``.

    Parameters
    ----------
    array : ndarray
        Shape [N] or [N, 1], any numeric type.
    n_examples : int
        Expected length N.
    where : str
        Name in messages: file and key.

    Raises
    ------
    DataError
        If they are not finite numbers of at least 0, one for each example, or all are 0.
    """
    weights = np.asarray(array)
    if weights.dtype.kind not in "iufb" or weights.shape not in ((n_examples,), (n_examples, 1)):
        raise DataError(
            f"{where}: found {weights.dtype} of shape {list(weights.shape)}; expected a number for each of "
            f"{n_examples:,} examples"
        )
    weights = weights.reshape(-1).astype(np.float32)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise DataError(f"{where}: expected finite weights of at least 0, and one above 0")
    return weights


def example_weights(dataset: Dataset, class_weights: str = "") -> Optional[np.ndarray]:
    """Return the weight of each training example, float32 ``[N]``: that in the data times that of its class.

    They are those of the first output; data of further ones is in :attr:`Dataset.heads`. None if the data has no
    weights and none are set for classes, so that all are 1.

    Parameters
    ----------
    dataset : Dataset
    class_weights : str
        In the form of :func:`qatviz.class_weights.parse_class_weights`.

    Raises
    ------
    SettingError
        If the class weights do not fit the data.
    """
    labels = dataset.y_train
    names = dataset.class_names if labels.ndim == 1 else ()
    counts = np.bincount(labels, minlength=len(names)).tolist() if names else []
    weights = weights_of_classes(class_weights, names, counts)
    if weights is None:
        return dataset.w_train
    by_class = np.array(weights, np.float32)[labels]
    return by_class if dataset.w_train is None else by_class * dataset.w_train
