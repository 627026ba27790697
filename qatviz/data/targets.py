"""Labels and targets: inference of the task, and conversion to the form that `Dataset` requires."""

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.checks import convert_to_float32
from qatviz.data.masks import are_masks, mask_counts
from qatviz.errors import DataError
from qatviz.number_format import names_text
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

#: Largest number of axes of one example's targets: those of an image.
_MAX_AXES = 3
#: Largest number of classes, labels or targets of an example. The largest class index determines the size of the last
#: layer; 5,000,000 is a mistake (an identifier, a pixel).
MAX_CLASSES = 10000
# Ends of messages.
_REGRESSION_HINT = "; for regression targets, set the task to regression"
_LABELS_HINT = f"; for several labels of an example, set the task to {MULTILABEL}"
#: Longer decimal numbers are names, such as identifiers; no class index has as many digits.
_MAX_DIGITS = 9
#: Tolerance for sums of probabilities in float32 or printed with few decimals.
_SUM_TOLERANCE = 1e-3


def infer_task(array: Any) -> str:
    """Infer the task from labels, an array of shape [N] or [N, ...].

    - Segmentation: images that :func:`qatviz.data.masks.are_masks` recognizes.
    - Regression: several other numbers in more than one axis for each example, such as images, and floating-point
      numbers that are not all whole.
    - Multi-label classification: rows of 0 and 1, some of which have several ones.
    - Classification: all others, such as integers, whole numbers, strings and one-hot rows, but also rows of
      probabilities that sum to 1 (soft labels), which :func:`convert_labels` then refuses.

    Returns
    -------
    str
        One of :data:`qatviz.task.TASKS`.
    """
    array = np.asarray(array)
    if array.ndim == 2 and array.dtype.kind in "iufb" and array.size and _are_answers(array).all():
        return MULTILABEL if (np.count_nonzero(array, axis=1) > 1).any() else CLASSIFICATION
    if array.ndim > 2 and array.dtype.kind in "iufb" and array.size > len(array):
        return SEGMENTATION if are_masks(array) else REGRESSION
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or array.size == 0:
        return CLASSIFICATION
    finite = array[np.isfinite(array)]
    if (finite == np.floor(finite)).all():
        return CLASSIFICATION
    could_be_rows = array.ndim == 2 and array.shape[1] > 1 and finite.size == array.size and finite.min() >= 0
    if could_be_rows and (np.abs(array.sum(axis=1, dtype=np.float64) - 1.0) <= _SUM_TOLERANCE).all():
        return CLASSIFICATION
    return REGRESSION


def has_strings(labels: Any) -> bool:
    """Return whether labels are names of classes: strings, in an array of strings or of Python objects."""
    array = np.asarray(labels)
    is_object = array.dtype.kind == "O" and all(isinstance(label, str) for label in array.flat)
    return array.size > 0 and (array.dtype.kind == "U" or is_object)


def indices_of_names(
    parts: Sequence[Tuple[Any, str]], class_names: Optional[Sequence[str]]
) -> Tuple[Optional[Sequence[str]], List[np.ndarray]]:
    """Return the names of the classes, and the labels of each part as indices into them.

    If all labels are decimal numbers, such as "7", these are the indices, and there are no names (None).

    Parameters
    ----------
    parts : sequence of (ndarray, str)
        Labels of the training part and of the test part, if there is one, and their names in messages.
    class_names : sequence of str, optional
        Names in the order of the indices; by default, those in the training part, in alphabetical order.

    Returns
    -------
    names : sequence of str or None
    indices : list of ndarray of int64
        In the shapes of the labels.

    Raises
    ------
    DataError
        If labels are not strings, or not among the names.
    """
    arrays = [np.asarray(labels) for labels, _ in parts]
    for array, (_, where) in zip(arrays, parts):
        if not has_strings(array):
            raise DataError(f"{where}: found dtype {array.dtype}; expected strings as in {parts[0][1]}")
    if class_names is None and all(_is_number(label) for array in arrays for label in array.flat):
        return None, [array.astype(str).astype(np.int64) for array in arrays]
    names = sorted(set(map(str, arrays[0].flat))) if class_names is None else list(class_names)
    index = {name: number for number, name in enumerate(names)}
    for array, (_, where) in zip(arrays, parts):
        for label in array.flat:
            if label not in index:
                known = names_text(list(map(repr, names)))
                raise DataError(f"{where}: found label {str(label)!r}; expected one of {known}")
    return names, [np.array([index[label] for label in array.flat], np.int64).reshape(array.shape) for array in arrays]


def _is_number(label: str) -> bool:
    """Return whether a label is a number that can be a class index."""
    return label.isascii() and label.isdecimal() and len(label) <= _MAX_DIGITS


def convert_targets(array: Any, n_examples: int, where: str) -> np.ndarray:
    """Convert regression targets to the form that `Dataset` requires.

    Parameters
    ----------
    array : ndarray
        Shape [N], [N, outputs], or more axes for images; any numeric type.
    n_examples : int
        Expected length N.
    where : str
        Name in messages: file and key.

    Returns
    -------
    ndarray of float32
        Shape [N, outputs]; that of the images is unchanged.

    Raises
    ------
    DataError
        If shape, dtype or values are not allowed.
    """
    shape = f"[N] or [N, outputs] with 1 to {MAX_CLASSES} regression targets"
    array = np.asarray(array)
    if 2 < array.ndim <= 1 + _MAX_AXES and array.size:
        _check_form(array, n_examples, where, "image", "numbers")
        return convert_to_float32(array, where)
    array = _checked_array(array, n_examples, where, "row", "numbers", shape, MAX_CLASSES)
    return convert_to_float32(array.reshape(n_examples, -1), where)


def columns_of(targets: np.ndarray) -> np.ndarray:
    """Return regression targets as columns, one for each output; those of images as a single one.

    >>> columns_of(np.zeros((5, 2))).shape, columns_of(np.zeros((5, 4, 4, 1))).shape
    ((5, 2), (80, 1))
    """
    return targets if targets.ndim == 2 else targets.reshape(-1, 1)


def _are_answers(array: np.ndarray) -> np.ndarray:
    """Return for each value of an array of numbers whether it is 0 or 1."""
    return np.asarray((array == 0) | (array == 1))


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of examples of each class, or with each label, int64 ``[classes]``.

    ``labels`` are int32 ``[N]`` class indices, or ``[N, classes]`` rows of 0 and 1; or masks, whose pixels are counted.
    """
    if labels.ndim == 3:
        return mask_counts(labels, classes)
    counts = np.bincount(labels, minlength=classes) if labels.ndim == 1 else labels.sum(axis=0)
    return np.asarray(counts, np.int64)


def convert_label_rows(array: Any, n_examples: int, where: str) -> np.ndarray:
    """Convert several labels for each example to the form that `Dataset` requires.

    Parameters
    ----------
    array : ndarray
        Shape [N, labels] (or [N] for a single label) of a numeric type: 1 where an example has the label, otherwise 0.
    n_examples, where
        See `convert_targets`.

    Returns
    -------
    ndarray of int32, shape [N, labels]

    Raises
    ------
    DataError
        If shape, dtype or values are not allowed.
    """
    shape = f"[N, labels] rows of 0 and 1, with at most {MAX_CLASSES} labels"
    array = _checked_array(array, n_examples, where, "row", "0 and 1 of a numeric type", shape, MAX_CLASSES)
    array = array.reshape(n_examples, -1)
    wrong = ~_are_answers(array).all(axis=1)
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{where}: found row {np.array2string(array[index], threshold=8)} in example {index}; expected rows of 0 "
            f"and 1, one for each label{_REGRESSION_HINT}"
        )
    return np.ascontiguousarray(array, np.int32)


def convert_labels(array: Any, n_examples: int, where: str) -> Tuple[np.ndarray, Optional[int]]:
    """Convert labels to class indices.

    Parameters
    ----------
    array : ndarray
        Whole numbers of any numeric type, shape [N] or [N, 1], or one-hot rows [N, classes].
    n_examples, where
        See `convert_targets`.

    Returns
    -------
    labels : ndarray of int32, shape [N]
    num_classes : int or None
        Number of columns of one-hot rows; None for class indices.

    Raises
    ------
    DataError
        If shape, dtype or values are not allowed.
    """
    array = _checked_array(
        array,
        n_examples,
        where,
        "label",
        "class indices or one-hot rows of a numeric type, or strings",
        "[N] class indices or [N, classes] one-hot rows",
    )
    num_classes = None
    if array.ndim == 2 and array.shape[1] > 1:
        _check_one_hot(array, where)
        num_classes = array.shape[1]
        array = array.argmax(axis=1)
    array = array.reshape(-1)
    # Comparisons with NaN are false, so that NaN is refused; some versions of NumPy warn.
    with np.errstate(invalid="ignore"):
        wrong = ~((array >= 0) & (array < MAX_CLASSES))
        if array.dtype.kind == "f":
            wrong |= array != np.floor(array)
    if wrong.any():
        index = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{where}: found label {array[index].item()!r} in example {index}; expected class indices from 0 to "
            f"{MAX_CLASSES - 1}{_REGRESSION_HINT}"
        )
    return array.astype(np.int32), num_classes


def _check_one_hot(array: np.ndarray, where: str) -> None:
    """Raise a `DataError` if rows (``[N, classes]``) are not one-hot, or there are too many classes."""
    if array.shape[1] > MAX_CLASSES:
        raise DataError(f"{where}: found {array.shape[1]} columns; expected at most {MAX_CLASSES} classes")
    right = _are_answers(array).all(axis=1) & (np.count_nonzero(array, axis=1) == 1)
    if not right.all():
        index = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{where}: found row {np.array2string(array[index], threshold=8)} in example {index}; expected one-hot "
            f"rows (a single 1, else 0), or class indices of shape [N]"
            f"{_LABELS_HINT if _are_answers(array).all() else _REGRESSION_HINT}"
        )


def _checked_array(
    array: Any, n_examples: int, where: str, item: str, values: str, shape: str, max_columns: Optional[int] = None
) -> np.ndarray:
    """Return an array of numbers of shape [N] or [N, 1 to `max_columns`]; raise a `DataError` for any other.

    `item` (the noun for the label of one example), `values` (allowed dtypes) and `shape` (allowed shapes) are texts of
    messages.
    """
    array = np.asarray(array)
    if array.dtype.kind in "iufb" and (
        array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= (max_columns or array.shape[1]))
    ):
        raise DataError(f"{where}: found shape {list(array.shape)}; expected {shape}")
    _check_form(array, n_examples, where, item, values)
    return array


def _check_form(array: np.ndarray, n_examples: int, where: str, item: str, values: str) -> None:
    """Raise a `DataError` if an array has a dtype that is not numeric, or another length than `n_examples`."""
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: found dtype {array.dtype}; expected {values}")
    if len(array) != n_examples:
        raise DataError(
            f"{where}: found {len(array)} {item}s for {n_examples} examples; expected one {item} per example"
        )
