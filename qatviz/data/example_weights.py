"""Weights of the training examples in the loss."""

# Apart from the data set, which does not depend on a run's settings.

from typing import Optional

import numpy as np

from qatviz.class_weights import weights_of_classes
from qatviz.data.dataset import Dataset


def example_weights(dataset: Dataset, class_weights: str = "") -> Optional[np.ndarray]:
    """Return the weight of each training example, float32 ``[N]``; None if all are 1 because none is set.

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
    return None if weights is None else np.array(weights, np.float32)[labels]
