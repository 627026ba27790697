"""Arrays that describe a data set in an archive: names of classes, the task, and the scaling of the examples."""

from dataclasses import replace
from typing import Mapping

import numpy as np

from qatviz.data.dataset import Dataset
from qatviz.errors import DataError, SettingError
from qatviz.scaling import check_scaling


def check_names(array: np.ndarray, where: str) -> None:
    """Raise a `DataError` if an array is not a list of strings."""
    if array.dtype.kind != "U" or array.ndim != 1:
        raise DataError(f"{where}: found {array.dtype} of shape {list(array.shape)}; expected a list of strings")


def string_in(array: np.ndarray, where: str) -> str:
    """Return the string in an array of one element; raise a `DataError` if it is another array."""
    if array.dtype.kind != "U" or array.size != 1:
        raise DataError(f"{where}: found {array.dtype} of shape {list(array.shape)}; expected a string")
    return str(array.reshape(-1)[0])


def in_stated_scaling(dataset: Dataset, arrays: Mapping[str, np.ndarray], source: str) -> Dataset:
    """Return a data set in the scaling that the array "scaling" of its archive states, if there is one.

    Integers are converted to that scaling; floating-point examples have it already.

    Parameters
    ----------
    dataset : Dataset
    arrays : mapping of str to ndarray
        Arrays of the archive.
    source : str
        Name of the archive in messages.

    Raises
    ------
    DataError
        If there is no such scaling, or the examples can't have it.
    """
    if "scaling" not in arrays:
        return dataset
    scaling = string_in(arrays["scaling"], f"{source}: scaling")
    try:
        check_scaling(scaling)
    except SettingError as error:
        raise DataError(f"{source}: {error}") from error
    if dataset.assumed.integers:
        return dataset.with_scaling(scaling)
    return replace(dataset, scaling=scaling, assumed=dataset.assumed._replace(scaling=False))
