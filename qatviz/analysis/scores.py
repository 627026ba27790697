"""Metrics of held-out examples that are no means over them, in NumPy: what evaluations and proofs of exports share."""

from typing import Tuple

import numpy as np

#: Smallest distance of two differences of logits, relative to the largest logit: more than float32's own error, and
#: less than the quantization step of 16 bits.
_RESOLUTION = 2.0**-20


def area_under_curve(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """Return the area under the ROC curve.

    It is the Mann-Whitney statistic: the fraction of pairs of a positive and a negative example in which the positive
    one has the higher score; equal scores count half. The trapezoids of Keras' ``AUC``, below the curve with all
    thresholds, have this area.

    Parameters
    ----------
    scores : np.ndarray
        float ``[n]``.
    is_positive : np.ndarray
        bool ``[n]``.

    Returns
    -------
    float
        NaN if a class is missing, or a score is NaN.

    Examples
    --------
    >>> area_under_curve(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    0.875
    """
    positives = int(np.count_nonzero(is_positive))
    pairs = positives * (len(scores) - positives)
    if not pairs or np.isnan(scores).any():
        return float("nan")
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # mean rank of equal scores, counted from 1
    return float((ranks[which[is_positive]].sum() - positives * (positives + 1) / 2) / pairs)


def mean_iou(confusion: np.ndarray) -> Tuple[float, Tuple[float, ...]]:
    """Return the mean intersection over union of the classes, and that of each class, as tf.keras.metrics.MeanIoU.

    The mean is over the classes that are in the labels or in the predictions; that of others is NaN.

    Parameters
    ----------
    confusion : np.ndarray
        ``[classes, classes]``: number of pixels by class (row) and predicted class.

    Examples
    --------
    >>> mean_iou(np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]))[0]  # (3/4 + 2/3) / 2
    0.7083333333333333
    """
    both = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    values = np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan"), tuple(map(float, values))


def score_of_class_1(logits: np.ndarray) -> np.ndarray:
    """Return the single logit, or the rank of the difference of two, float64 ``[n]``; NaN if a difference is.

    Differences of quantized logits that are equal but for float32's own error become equal scores. To round them to a
    grid would part two that are next to the middle between its points.
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    difference = logits[:, 1] - logits[:, 0]
    if np.isnan(difference).any():
        return difference
    order = np.argsort(difference)
    steps = np.diff(difference[order], prepend=difference[order[:1]])
    scores = np.empty(len(order))
    scores[order] = np.cumsum(steps > np.abs(logits).max() * _RESOLUTION)
    return scores
