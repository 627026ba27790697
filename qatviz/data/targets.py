"""What is to be learned: whether labels are classes or numbers to predict, and the final form of both."""

import numpy as np

from qatviz.data.checks import as_float32
from qatviz.errors import DataError
from qatviz.metric import CLASSIFICATION, REGRESSION

# A label such as 5,000,000 is a mistake (an identifier, a pixel), not a class: it would size the last layer.
MAX_CLASSES = 10000
_OR_REGRESSION = " for classes; for numbers to predict, give the task: regression"
#: Rows of shares add up to 1 to within so much, as float32 or printed with few decimals.
_SUM_TOLERANCE = 1e-3

TASK_HELP = "labels of whole numbers or one-hot rows are classes, other floating-point numbers are to be predicted"


def task_of(array):
    """Tell from labels what there is to learn.

    Floating-point numbers, [N] or [N, outputs], of which some are not whole are numbers to predict. All else are
    classes, or a mistake in them: integers, numbers that are whole, one-hot rows, and rows of shares that add up to 1
    (which would be distributions over classes, and are not supported).

    Returns
    -------
    str
        ``"regression"`` or ``"classification"``.
    """
    array = np.asarray(array)
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or array.size == 0:
        return CLASSIFICATION
    finite = array[np.isfinite(array)]
    if (finite == np.floor(finite)).all():
        return CLASSIFICATION
    could_be_rows = array.ndim == 2 and array.shape[1] > 1 and finite.size == array.size and finite.min() >= 0
    if could_be_rows and (np.abs(array.sum(axis=1, dtype=np.float64) - 1.0) <= _SUM_TOLERANCE).all():
        return CLASSIFICATION
    return REGRESSION


def as_targets(array, n_examples, where):
    """Return numbers to predict in the form that `Dataset` holds.

    Parameters
    ----------
    array : ndarray
        [N] or [N, outputs] of any numeric type.
    n_examples : int
        How many there must be.
    where : str
        File and key, for messages.

    Returns
    -------
    ndarray of float32, shape [N, outputs]

    Raises
    ------
    DataError
        If shape, dtype or values do not fit.
    """
    array = _one_an_example(
        array,
        n_examples,
        where,
        "row",
        "numbers to predict",
        f"[N] or [N, outputs] with 1 to {MAX_CLASSES} numbers to predict",
        MAX_CLASSES,
    )
    return as_float32(array.reshape(n_examples, -1), where)


def as_labels(array, n_examples, where):
    """Return labels as class indices.

    Parameters
    ----------
    array : ndarray
        [N] or [N, 1] whole numbers of any numeric type, or one-hot rows [N, classes].
    n_examples : int
        How many there must be.
    where : str
        File and key, for messages.

    Returns
    -------
    labels : ndarray of int32, shape [N]
    num_classes : int or None
        The width of one-hot rows, None for class indices.

    Raises
    ------
    DataError
        If shape, dtype or range do not fit.
    """
    array = _one_an_example(
        array,
        n_examples,
        where,
        "label",
        "class indices or one-hot rows of a numeric type",
        "[N] class indices or [N, classes] one-hot rows",
    )
    num_classes = None
    if array.ndim == 2 and array.shape[1] > 1:
        _check_one_hot(array, where)
        num_classes = array.shape[1]
        array = array.argmax(axis=1)
    array = array.reshape(-1)
    # A comparison with NaN is false (and warns, in some versions of NumPy), so that it is refused as well.
    with np.errstate(invalid="ignore"):
        wrong = ~((array >= 0) & (array < MAX_CLASSES))
        if array.dtype.kind == "f":
            wrong |= array != np.floor(array)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{where}: found label {array[place].item()!r} in example {place}: expected whole numbers from 0 "
            f"to {MAX_CLASSES - 1}{_OR_REGRESSION}"
        )
    return array.astype(np.int32), num_classes


def _check_one_hot(array, where):
    if array.shape[1] > MAX_CLASSES:
        raise DataError(f"{where}: found {array.shape[1]} columns: expected at most {MAX_CLASSES} classes")
    right = ((array == 0) | (array == 1)).all(axis=1) & (np.count_nonzero(array, axis=1) == 1)
    if not right.all():
        place = int(np.flatnonzero(~right)[0])
        raise DataError(
            f"{where}: found row {np.array2string(array[place], threshold=8)} in example {place}: expected "
            "one-hot rows (a single 1, else 0), or shape [N] for "
            f"class indices{_OR_REGRESSION[len(' for classes') :]}"
        )


def _one_an_example(array, n_examples, where, one, values, shape, most=None):
    """Return `array`, [N] or [N, 1 to `most`] of a numeric type; raise `DataError` if it is not that."""
    array = np.asarray(array)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: found dtype {array.dtype}: expected {values}")
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= (most or array.shape[1])):
        raise DataError(f"{where}: found shape {list(array.shape)}: expected {shape}")
    if len(array) != n_examples:
        raise DataError(f"{where}: found {len(array)} {one}s for {n_examples} examples: expected one {one} an example")
    return array
