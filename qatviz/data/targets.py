"""Numbers to predict: whether labels are such, and their final form."""

import numpy as np

from qatviz.data.checks import MAX_CLASSES, check_finite
from qatviz.errors import DataError
from qatviz.metric import CLASSIFICATION, REGRESSION

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
    if array.ndim == 2 and array.shape[1] > 1 and finite.size == array.size and finite.min() >= 0:
        if (np.abs(array.sum(axis=1, dtype=np.float64) - 1.0) <= _SUM_TOLERANCE).all():
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
    array = np.asarray(array)
    if array.dtype.kind not in "iufb":
        raise DataError("{}: found dtype {}: expected numbers to predict".format(where, array.dtype))
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MAX_CLASSES):
        raise DataError("{}: found shape {}: expected [N] or [N, outputs] with 1 to {} numbers to predict".format(
            where, list(array.shape), MAX_CLASSES))
    if len(array) != n_examples:
        raise DataError("{}: found {} rows for {} examples: expected one an example".format(
            where, len(array), n_examples))
    with np.errstate(over="ignore"):
        targets = np.ascontiguousarray(array.reshape(n_examples, -1), dtype=np.float32)
    check_finite(targets, array.reshape(n_examples, -1), where)
    return targets
