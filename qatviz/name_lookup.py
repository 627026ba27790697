"""Lookup of something by its name or by its number."""

from typing import Optional, Sequence


def index_of(key: str, names: Sequence[str]) -> Optional[int]:
    """Return the index of a name or, if there is no such name, the index that it states; None if there is neither.

    >>> index_of("dog", ["cat", "dog"]), index_of("0", ["cat", "dog"]), index_of("0", ["1", "0"])
    (1, 0, 1)
    """
    if key in names:
        return names.index(key)
    return int(key) if key.isascii() and key.isdecimal() and int(key) < len(names) else None
