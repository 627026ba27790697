"""Arrays of several inputs or outputs of a network in data: by name, or in the network's order."""

import re
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np

#: Parts of data that follow the x or y in names of arrays, so that they are no names of inputs or outputs.
_PART = r"(?:train|test|val|valid|validation)(?:_|$)"


def are_several(arrays: Any, num_examples: int) -> bool:
    """Return whether these are arrays of several inputs or outputs: by name, or a sequence with a row per example each.

    A sequence of as many arrays as there are examples is treated as a single array.
    """
    if isinstance(arrays, Mapping):
        return True
    return (
        isinstance(arrays, (tuple, list))
        and len(arrays) > 1
        and len(arrays) != num_examples
        and all(np.ndim(each) > 0 and len(each) == num_examples for each in arrays)
    )


def arrays_in(keys: Sequence[str], begin: str) -> Dict[str, str]:
    """Return the keys of an archive that begin with ``begin`` and ``_``, by the name of the input or output after that.

    ``begin`` is x or x_train for examples, y or y_train for targets.

    >>> arrays_in(["y_kind", "y_box", "y_train", "y_test_box", "x"], "y")
    {'kind': 'y_kind', 'box': 'y_box'}
    """
    pattern = re.compile(f"{begin}_(.+)" if "_" in begin else f"{begin}_(?!{_PART})(.+)")
    found = ((pattern.fullmatch(key), key) for key in keys)
    return {match.group(1): key for match, key in found if match}


def names_in_network(own: Sequence[str], names: Sequence[str]) -> Optional[Dict[str, str]]:
    """Return the name in a network for each name in data; None if these are not those of the network.

    Names in data are the network's, in any order, or all are indices in the network's order.

    >>> names_in_network(["1", "0"], ["left", "right"])
    {'0': 'left', '1': 'right'}
    """
    numbers = [str(index) for index in range(len(names))]
    known = dict(zip(numbers if set(own) == set(numbers) else names, names))
    return known if set(own) == set(known) else None


def listed(names: Sequence[str]) -> str:
    """Return names for a message."""
    return ", ".join(map(repr, names)) or "none"
