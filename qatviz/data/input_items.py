"""Items of generators, Keras' sequences and tf.data data sets with examples of several inputs, as rows."""

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.data.iterables import items_of, iterable_of, length_of
from qatviz.errors import DataError
from qatviz.inputs import split_examples
from qatviz.name_lookup import by_name


class _Part(NamedTuple):
    """Values of an input in an item: name, shape of one example, and type."""

    name: str
    shape: Tuple[int, ...]
    dtype: np.dtype


class InputItems:
    """Iterable whose items have rows with the values of all inputs, in place of arrays by name or a tuple of arrays.

    Other items stay as they are. It has a length if ``source`` has one.

    Parameters
    ----------
    source : iterable, or function that returns one
        Pairs of examples and labels, and perhaps more, each of one example or of a batch.
    where : str
        Its name in messages.
    """

    def __init__(self, source: Any, where: str):
        self._source, self._where = iterable_of(source), where
        self._parts: Optional[List[_Part]] = None

    def __len__(self) -> int:
        length = length_of(self._source)
        if length is None:
            raise TypeError("its length is not known")
        return length

    def __iter__(self) -> Iterator[Any]:
        for number, item in enumerate(items_of(self._source, length_of(self._source))):
            yield self._with_rows(item, f"{self._where}: item {number}")

    def examples(self, rows: np.ndarray) -> Any:
        """Return the arrays of each input by name, ``[n] + shape``, or ``rows`` if there are not several inputs."""
        if self._parts is None:
            return rows
        found = split_examples([part[:2] for part in self._parts], rows)
        return {part.name: found[part.name].astype(part.dtype) for part in self._parts}

    def _with_rows(self, item: Any, where: str) -> Any:
        if not isinstance(item, (tuple, list)) or len(item) < 2 or not _are_several(item[0], self._parts is not None):
            return item
        arrays: Dict[str, np.ndarray] = {name: np.asarray(array) for name, array in by_name(item[0]).items()}
        count = _count(item[1])
        is_batch = count is not None and all(array.ndim and len(array) == count for array in arrays.values())
        parts = [
            _Part(name, tuple(array.shape[1:] if is_batch else array.shape), array.dtype)
            for name, array in arrays.items()
        ]
        if self._parts is None:
            self._parts = parts
        if sorted(parts) != sorted(self._parts):
            raise DataError(f"{where}: found {_listed(parts)}; expected {_listed(self._parts)} as in item 0")
        size = (count,) if is_batch else ()
        ordered = [arrays[part.name].reshape((*size, -1)) for part in self._parts]
        return (np.concatenate(ordered, axis=-1), *item[1:])


def _are_several(examples: Any, known: bool) -> bool:
    """Return whether the examples of an item are of several inputs; a tuple of arrays is, if it is not one array."""
    if isinstance(examples, Mapping):
        return True
    is_tuple = isinstance(examples, tuple) and len(examples) > 1
    return is_tuple and (known or all(hasattr(each, "shape") for each in examples))


def _count(labels: Any) -> Optional[int]:
    """Return the number of labels in a batch, of one output or of the first of several; None for a single label."""
    first = next(iter(labels.values()), 0) if isinstance(labels, Mapping) else labels
    if isinstance(first, tuple) and first and np.ndim(first[0]) > 0:
        first = first[0]
    return len(first) if np.ndim(first) > 0 else None


def _listed(parts: List[_Part]) -> str:
    return ", ".join(f"{part.name!r} {part.dtype} {list(part.shape)}" for part in parts)
