"""Columns of numbers and texts as CSV (RFC 4180), for window and terminal."""

import csv
import io
import itertools
from typing import Any, Dict, List

import numpy as np

from qatviz.safe_text import escaped

#: First characters of a formula in a spreadsheet, where it may run programs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(table: Dict[str, Any]) -> str:
    """Return columns as CSV with a header row.

    Numbers are written with enough digits to read them back exactly. Shorter columns end in empty fields. A text that
    a spreadsheet would take for a formula follows an apostrophe; control characters are escaped.

    Parameters
    ----------
    table : dict of str to array_like
        One-dimensional columns by name.

    Raises
    ------
    ValueError
        If a column is not one-dimensional.
    """
    columns = [_texts(name, values) for name, values in table.items()]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table)
    writer.writerows(itertools.zip_longest(*columns, fillvalue=""))
    return text.getvalue()


def _texts(name: str, values: Any) -> List[str]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"column {name!r} has {array.ndim} dimensions, expected 1")
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        return [str(value) for value in array]  # the shortest text that is read back as the same float32
    return [_cell(value) for value in array.tolist()]


def _cell(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value) if isinstance(value, float) else str(value)
    text = escaped(value)
    return "'" + text if text.startswith(_FORMULA) else text
