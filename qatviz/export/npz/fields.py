"""Access to fields of a JSON description that may be damaged.

Each function returns a value of the expected type, or raises an :class:`ExportError` that names the field.
"""

import json
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from qatviz.errors import ExportError

#: Number of characters of a value that a message shows.
_SHOWN = 80


def parsed(text: bytes, where: str) -> Dict[str, Any]:
    """Return the JSON object in a text; raise :class:`ExportError` if there is none."""
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{where}: is not JSON: {str(error) or type(error).__name__}") from error
    return mapping(found, where)


def mapping(value: Any, where: str) -> Dict[str, Any]:
    """Return a value that is an object."""
    if not isinstance(value, dict):
        raise refused(value, where, "an object")
    return value


def field(record: Dict[str, Any], name: str, where: str) -> Any:
    """Return an entry of an object."""
    if name not in record:
        raise ExportError(f"{where}: {name} is missing")
    return record[name]


def items(record: Dict[str, Any], name: str, where: str) -> List[Any]:
    """Return an entry that is a list."""
    value = field(record, name, where)
    if not isinstance(value, list):
        raise refused(value, f"{where}: {name}", "a list")
    return value


def text(record: Dict[str, Any], name: str, where: str) -> str:
    """Return an entry that is a string."""
    value = field(record, name, where)
    if not isinstance(value, str):
        raise refused(value, f"{where}: {name}", "a string")
    return value


def texts(record: Dict[str, Any], name: str, where: str) -> Tuple[str, ...]:
    """Return an entry that is a list of strings."""
    values = items(record, name, where)
    if not all(isinstance(value, str) for value in values):
        raise refused(values, f"{where}: {name}", "strings")
    return tuple(values)


def optional_text(record: Dict[str, Any], name: str, where: str) -> Optional[str]:
    """Return an entry that is a string or null."""
    return None if field(record, name, where) is None else text(record, name, where)


def flag(record: Dict[str, Any], name: str, where: str) -> bool:
    """Return an entry that is true or false."""
    value = field(record, name, where)
    if not isinstance(value, bool):
        raise refused(value, f"{where}: {name}", "true or false")
    return value


def integer(record: Dict[str, Any], name: str, where: str, low: int, high: int) -> int:
    """Return an entry that is a whole number from ``low`` to ``high``."""
    return whole(field(record, name, where), f"{where}: {name}", low, high)


def integers(record: Dict[str, Any], name: str, where: str, low: int, high: int) -> Tuple[int, ...]:
    """Return an entry that is a list of whole numbers from ``low`` to ``high``."""
    return tuple(whole(value, f"{where}: {name}", low, high) for value in items(record, name, where))


def whole(value: Any, where: str, low: int, high: int) -> int:
    """Return a value that is a whole number from ``low`` to ``high``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise refused(value, where, f"a whole number from {low} to {high}")
    return value


def scale(record: Dict[str, Any], name: str, where: str) -> float:
    """Return an entry that is a float32's value above 0."""
    value = field(record, name, where)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < np.finfo(np.float32).max or float(np.float32(value)) != value:
        raise refused(value, f"{where}: {name}", "a float32 above 0")
    return float(value)


def refused(value: Any, where: str, expected: str) -> ExportError:
    """Return the error for a value; the caller raises it."""
    found = repr(value)
    return ExportError(f"{where} is {found if len(found) <= _SHOWN else found[:_SHOWN] + '...'}: expected {expected}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
