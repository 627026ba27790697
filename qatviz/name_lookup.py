"""Lookup of something by its name, its index or a pattern, and names that consist of a name and an index."""

import re
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

#: Longest pattern, in characters: longer than any name of a tensor.
LONGEST_PATTERN = 2000
#: What matches one character, as in fnmatch, or any number of them. A bracket that closes a set comes after its first
#: character: there is no set in "[]" and "[!]".
_TOKEN = re.compile(r"\*+|\[(?!!?\][^\]]*\Z)!?\]?[^\]]*\]|.", re.DOTALL)


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


def matches_pattern(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern with ``*``, ``?``, ``[abc]`` and ``[!abc]``, as in `fnmatch.fnmatchcase`.

    Parts between stars are found one after the other, so that the time is at most proportional to the product of both
    lengths: fnmatch's regular expressions take forever for some patterns of many stars, and a file may have any. A set
    that is no set, such as ``[b-a]``, matches nothing, and so does a pattern of more than `LONGEST_PATTERN` characters.

    >>> matches_pattern("conv1.weights", "conv*.w*"), matches_pattern("conv1.weights", "conv?.[!w]*")
    (True, False)
    """
    if len(pattern) > LONGEST_PATTERN:
        return False
    first, *others = _parts(pattern)
    if not others:
        return len(name) == first.length and _fits(name, first)
    last = others.pop()
    begin, end = first.length, len(name) - last.length
    if begin > end or not _fits(name[:begin], first) or not _fits(name[end:], last):
        return False
    for part in others:
        starts = range(begin, end - part.length + 1)
        start = next((start for start in starts if _fits(name[start : start + part.length], part)), None)
        if start is None:
            return False
        begin = start + part.length
    return True


class _Part(NamedTuple):
    """Part of a pattern without stars, and the number of characters that it matches."""

    text: str
    length: int


def _parts(pattern: str) -> List[_Part]:
    parts = [_Part("", 0)]
    for token in _TOKEN.findall(pattern):
        text, length = parts[-1]
        if token[0] == "*":
            parts.append(_Part("", 0))
        else:
            parts[-1] = _Part(text + token, length + 1)
    return parts


def _fits(text: str, part: _Part) -> bool:
    try:
        return fnmatchcase(text, part.text)
    except re.error:
        return False
