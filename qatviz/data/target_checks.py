"""Checks of labels, masks and targets in the form that `Dataset` requires, by task."""

# Apart from the data set, which would be too long with them.

from typing import Callable, Dict, Tuple

import numpy as np

from qatviz.data.masks import void_of
from qatviz.errors import DataError
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION


def _check_labels(where: str, count: int, labels: np.ndarray, class_names: Tuple[str, ...]) -> None:
    """Raise a `DataError` unless these are class indices of ``count`` examples."""
    if labels.dtype != np.int32 or labels.shape != (count,) or labels.size == 0:
        raise DataError(
            f"{where} is {labels.dtype} of shape {labels.shape}; expected int32 of shape [{count}], not empty"
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"{where} has labels from {labels.min()} to {labels.max()}; expected 0 to "
            f"{len(class_names) - 1}, as there are {len(class_names)} class names"
        )


def _check_label_rows(where: str, count: int, labels: np.ndarray, class_names: Tuple[str, ...]) -> None:
    """Raise a `DataError` unless these are rows of labels of ``count`` examples."""
    shape = (count, len(class_names))
    if labels.dtype != np.int32 or labels.shape != shape or labels.size == 0:
        raise DataError(
            f"{where} is {labels.dtype} of shape {labels.shape}; expected int32 of shape {list(shape)}, not empty"
        )
    if labels.min() < 0 or labels.max() > 1:
        raise DataError(f"{where} has values from {labels.min()} to {labels.max()}; expected 0 and 1")


def _check_masks(where: str, count: int, masks: np.ndarray, class_names: Tuple[str, ...]) -> None:
    """Raise a `DataError` unless these are masks of ``count`` examples."""
    if masks.dtype not in (np.uint8, np.int32) or masks.ndim != 3 or len(masks) != count or masks.size == 0:
        raise DataError(
            f"{where} is {masks.dtype} of shape {masks.shape}; expected uint8 or int32 of shape "
            f"[{count}, height, width], not empty"
        )
    wrong = masks[(masks < 0) | (masks >= len(class_names)) & (masks != void_of(masks.dtype))]
    if wrong.size:
        raise DataError(
            f"{where} has the label {wrong[0]}; expected 0 to {len(class_names) - 1}, as "
            f"there are {len(class_names)} class names, or {void_of(masks.dtype)} for pixels that are ignored"
        )


def _check_targets(where: str, count: int, targets: np.ndarray, class_names: Tuple[str, ...]) -> None:
    """Raise a `DataError` unless these are regression targets of ``count`` examples."""
    is_known_shape = targets.ndim in (2, 3, 4) and len(targets) == count and targets.size > 0
    if targets.dtype != np.float32 or not is_known_shape:
        raise DataError(
            f"{where} is {targets.dtype} of shape {targets.shape}; expected float32 of "
            f"shape [{count}, outputs] or of images, not empty"
        )
    if not np.isfinite(targets).all():
        raise DataError(f"{where} has values that are not finite; expected none")
    if class_names:
        raise DataError(f"{where}: found class names {list(class_names)} for regression; expected none")


#: Checks by task: functions of the name for messages, the number of examples, their targets and the names of classes.
CHECKS: Dict[str, Callable[[str, int, np.ndarray, Tuple[str, ...]], None]] = {
    CLASSIFICATION: _check_labels,
    MULTILABEL: _check_label_rows,
    SEGMENTATION: _check_masks,
    REGRESSION: _check_targets,
}
