"""Lookup of something by its name or by its index, and names that consist of both."""

from typing import Any, Dict, Mapping, Optional, Sequence, Union


def index_of(key: str, names: Sequence[str]) -> Optional[int]:
    """Return the index of a name or, if there is no such name, the index that it states; None if there is neither.

    >>> index_of("dog", ["cat", "dog"]), index_of("0", ["cat", "dog"]), index_of("0", ["1", "0"])
    (1, 0, 1)
    """
    if key in names:
        return names.index(key)
    return int(key) if key.isascii() and key.isdecimal() and int(key) < len(names) else None


def by_name(values: Union[Mapping[Any, Any], Sequence[Any]]) -> Dict[str, Any]:
    """Return values by name; those of a sequence have their indices as names.

    >>> by_name({"digit": 0.5}), by_name(["mse", None])
    ({'digit': 0.5}, {'0': 'mse', '1': None})
    """
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    return {str(name): value for name, value in pairs}


def numbered(name: str, index: int) -> str:
    """Return the name of one of several arrays of the same kind; the first has the plain name.

    >>> numbered("labels", 0), numbered("labels", 1)
    ('labels', 'labels_1')
    """
    return f"{name}_{index}" if index else name
