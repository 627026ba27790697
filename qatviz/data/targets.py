"""Labels: class indices, rows of labels or regression targets, converted to the form that `Dataset` requires."""

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.checks import convert_to_float32
from qatviz.errors import DataError
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION

#: Largest number of axes of one example's targets: those of an image.
_MAX_AXES = 3
# The largest label determines the size of the last layer; 5,000,000 is a mistake (an identifier, a pixel).
MAX_CLASSES = 10000
_REGRESSION_HINT = "; for regression targets, set the task to regression"
_LABELS_HINT = f"; for several labels of an example, set the task to {MULTILABEL}"
#: Longer decimal numbers are names, such as identifiers; no class index has as many digits.
_MAX_DIGITS = 9
#: Tolerance for sums of probabilities in float32 or printed with few decimals.
_SUM_TOLERANCE = 1e-3


def infer_task(array: Any) -> str:
    """Infer the task from labels.

    Floating-point labels of shape [N] or [N, outputs], not all of them whole numbers, are regression targets, and so
    are labels of more axes, such as images. Rows of 0 and 1 that are not one-hot, some of which have several ones, are
    several labels for each example. All other labels are classes: integers, whole numbers and one-hot rows, but also
    rows of probabilities that sum to 1 (soft labels), which :func:`convert_labels` then refuses.

    Returns
    -------
    str
        One of :data:`qatviz.task.TASKS`.
    """
    array = np.asarray(array)
    if array.ndim == 2 and array.dtype.kind in "iufb" and array.size and _are_answers(array):
        return MULTILABEL if (np.count_nonzero(array, axis=1) > 1).any() else CLASSIFICATION
    if array.ndim > 2 and array.dtype.kind in "iufb" and array.size > len(array):
        return REGRESSION
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

    Decimal numbers, such as "7", stand for themselves, without names.

    Parameters
    ----------
    parts : sequence of (ndarray, str)
        Labels of the training part and of the test part, if there is one, and their names in messages.
    class_names : sequence of str, optional
        Names in the order of the indices; by default, those in the training part, in alphabetical order.

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
    names = sorted(set(arrays[0].flat)) if class_names is None else list(class_names)
    index = {name: number for number, name in enumerate(names)}
    for array, (_, where) in zip(arrays, parts):
        for label in array.flat:
            if label not in index:
                known = ", ".join(map(repr, names[:5])) + (", ..." if names[5:] else "")
                raise DataError(f"{where}: found label {str(label)!r}; expected one of {known}")
    return names, [np.array([index[label] for label in array.flat], np.int64).reshape(array.shape) for array in arrays]


def _is_number(label: str) -> bool:
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
    ndarray of float32, shape [N, outputs], or that of the images

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


def are_pixels(labels: Any) -> bool:
    """Return whether labels are uint8 images: more than a mask of 0 and 1."""
    array = np.asarray(labels)
    return array.dtype == np.uint8 and array.ndim > 2 and array.size > 0 and int(array.max()) > 1


def columns_of(targets: np.ndarray) -> np.ndarray:
    """Return regression targets as columns, one for each output; those of images as a single one.

    >>> columns_of(np.zeros((5, 2))).shape, columns_of(np.zeros((5, 4, 4, 1))).shape
    ((5, 2), (80, 1))
    """
    return targets if targets.ndim == 2 else targets.reshape(-1, 1)


def _are_answers(array: np.ndarray) -> bool:
    """Return whether all values are 0 or 1."""
    return bool(((array == 0) | (array == 1)).all())


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of examples of each class, or with each label, int64 ``[classes]``."""
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
    wrong = ~((array == 0) | (array == 1)).all(axis=1)
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
    if array.shape[1] > MAX_CLASSES:
        raise DataError(f"{where}: found {array.shape[1]} columns; expected at most {MAX_CLASSES} classes")
    right = ((array == 0) | (array == 1)).all(axis=1) & (np.count_nonzero(array, axis=1) == 1)
    if not right.all():
        index = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{where}: found row {np.array2string(array[index], threshold=8)} in example {index}; expected one-hot "
            f"rows (a single 1, else 0), or class indices of shape [N]"
            f"{_LABELS_HINT if _are_answers(array) else _REGRESSION_HINT}"
        )


def _checked_array(
    array: Any, n_examples: int, where: str, item: str, values: str, shape: str, max_columns: Optional[int] = None
) -> np.ndarray:
    """Return an array of shape [N] or [N, 1 to `max_columns`] and numeric dtype; raise a `DataError` for any other.

    `item` (the label of an example), `values` (allowed dtypes) and `shape` (allowed shapes) describe it in messages.
    """
    array = np.asarray(array)
    if array.dtype.kind in "iufb" and (
        array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= (max_columns or array.shape[1]))
    ):
        raise DataError(f"{where}: found shape {list(array.shape)}; expected {shape}")
    _check_form(array, n_examples, where, item, values)
    return array


def _check_form(array: np.ndarray, n_examples: int, where: str, item: str, values: str) -> None:
    """Raise a `DataError` for a dtype that is not numeric, and another length."""
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: found dtype {array.dtype}; expected {values}")
    if len(array) != n_examples:
        raise DataError(
            f"{where}: found {len(array)} {item}s for {n_examples} examples; expected one {item} per example"
        )
