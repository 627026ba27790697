"""Data frames of pandas, and of libraries with the same interface, as tables; pandas is not imported."""

import numbers
from typing import Any, Dict, List, Tuple

import numpy as np

from qatviz.data.class_folders import skipped_notes
from qatviz.data.table import Table, narrowed
from qatviz.data_options import SKIP, SKIPPING, DataOptions
from qatviz.errors import DataError


def is_frame(data: Any) -> bool:
    """Return whether an object is a data frame, by its attributes."""
    return all(hasattr(data, name) for name in ("columns", "iloc", "shape")) and len(data.shape) == 2


def table_of_frame(frame: Any, where: str, options: DataOptions) -> Table:
    """Return a data frame as a table, whose columns are numbers, or texts, which are categories.

    Missing values (NaN, None, NA) are refused by the name of their row, or their rows are skipped and counted.

    Parameters
    ----------
    frame : data frame
    where : str
        Its name in messages.
    options : DataOptions
        `unusable` of them is used.

    Raises
    ------
    DataError
        If a column has infinite values or those of other types, a value is missing and is not skipped, or no row is
        left.
    """
    names = tuple(str(name) for name in frame.columns)
    n_rows = int(frame.shape[0])
    if not n_rows or not names:
        raise DataError(f"{where}: found a frame of shape {list(frame.shape)}; expected at least one row and column")
    columns = [_column(frame.iloc[:, index], names[index], where) for index in range(len(names))]
    keeps = np.ones(n_rows, bool)
    for name, (_, is_missing) in zip(names, columns):
        if is_missing.any() and options.unusable != SKIP:
            row = _row_name(frame.index[int(np.flatnonzero(is_missing)[0])])
            raise DataError(
                f"{where}: row {row}: found a missing value in column {name!r}; expected none; {SKIPPING}",
                "unusable",
            )
        keeps &= ~is_missing
    if not keeps.any():
        raise DataError(f"{where}: found a missing value in every row; expected rows without one")
    numeric = [index for index, (values, _) in enumerate(columns) if values.dtype != object]
    matrix = (
        np.stack([columns[index][0][keeps] for index in numeric], axis=1) if numeric else np.empty((keeps.sum(), 0))
    )
    texts: Dict[int, np.ndarray] = {
        index: values[keeps] for index, (values, _) in enumerate(columns) if values.dtype == object
    }
    skipped = [_row_name(row) for row in frame.index[~keeps]]
    notes = skipped_notes("rows with missing values", skipped, is_mistake=True)
    return Table(where, names, narrowed(matrix), tuple(numeric), texts, tuple(notes))


def _row_name(name: Any) -> str:
    """Return the text of a row's name in the frame's index, as Python writes it: NumPy 2 would add its own types."""
    return repr(name.item() if isinstance(name, np.generic) else name)


def _column(column: Any, name: str, where: str) -> Tuple[np.ndarray, np.ndarray]:
    """Return the values of a column, numbers or str objects ``[N]``, and which of them are missing, bool ``[N]``."""
    values = np.asarray(column)
    if values.dtype.kind in "iub":
        return values, np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        infinite = np.isinf(values)
        if infinite.any():
            raise DataError(f"{where}: column {name!r}: found an infinite value; expected finite numbers")
        return values, np.isnan(values)
    if values.dtype.kind not in "OUS":
        raise DataError(f"{where}: column {name!r}: found values of the type {values.dtype}; expected numbers or texts")
    items: List[Any] = values.tolist()
    missing = np.array([_is_missing(item) for item in items])
    present = [item for item, is_missing in zip(items, missing) if not is_missing]
    if present and all(isinstance(item, numbers.Real) for item in present):
        found = np.array([0.0 if is_missing else float(item) for item, is_missing in zip(items, missing)])
        return found, missing
    if not all(isinstance(item, str) for item in present):
        other = next(type(item).__name__ for item in present if not isinstance(item, str))
        raise DataError(f"{where}: column {name!r}: found values of the type {other}; expected numbers or texts")
    return np.array(["" if is_missing else item for item, is_missing in zip(items, missing)], dtype=object), missing


def _is_missing(item: Any) -> bool:
    """Return whether a value is None, NaN, or pandas's NaT or NA."""
    return item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item)
