"""Metric of a run's task for outputs of files, simulator and graphs, in NumPy."""

from typing import Mapping

import numpy as np

from qatviz.export.integers.model import IntegerTensor
from qatviz.metric import ACCURACY, RMSE, Metric
from qatviz.number_format import share_text


def metric_for(labels: np.ndarray) -> Metric:
    """Return the metric for labels: classes are int32 ``[n]``, numbers to predict float32 ``[n, outputs]``."""
    return RMSE if labels.ndim == 2 else ACCURACY


def score(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the metric of real outputs ``[n, outputs]``; among equal logits, the first counts."""
    if metric_for(labels) is ACCURACY:
        return ACCURACY.of_mean(float(np.mean(outputs.argmax(axis=1) == labels)))
    return RMSE.of_mean(float(np.mean(np.square(outputs.astype(np.float64) - labels))))


def score_codes(codes: np.ndarray, tensor: IntegerTensor, labels: np.ndarray) -> float:
    """Return the metric of integer codes on the tensor's grid."""
    return score((codes.astype(np.float64) - tensor.zero_point) * np.float64(tensor.scale), labels)


def scores_in_words(metric: Metric, scores: Mapping[str, float]) -> str:
    """Return a text such as ``accuracy: float 97.12 %, evaluation graph 97.02 %``; 100.00 % means all."""
    return "{}: {}".format(
        metric.title,
        ", ".join(
            f"{name} {share_text(value) if metric is ACCURACY else metric.text(value, 2)}"
            for name, value in scores.items()
        ),
    )
