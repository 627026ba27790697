"""Generators, Keras' sequences and other iterables of examples, read into memory up to a limit."""

from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.checks import memory_limit
from qatviz.data.dataset import Note
from qatviz.errors import DataError
from qatviz.number_format import bytes_text

#: Bytes of examples and labels that are read from an iterable without a length, which may be endless.
ENDLESS_BYTES = 2**30

#: Function that is called with the number of examples so far, and with an estimate of their total, or None.
Progress = Callable[[int, Optional[int]], None]


class Collected(NamedTuple):
    """Examples ``[N, ...]`` and labels ``[N, ...]`` of an iterable, and notes on what was not read."""

    examples: np.ndarray
    labels: np.ndarray
    notes: List[Note]


def is_iterable_of_examples(data: Any) -> bool:
    """Return whether an object yields examples one by one or in batches, so that `collect` can read it.

    Arrays, lists, tuples and dicts do not.
    """
    if isinstance(data, (tuple, list, dict, str, bytes)) or hasattr(data, "shape"):
        return False
    return hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__")) or callable(data)


def collect(
    data: Any, where: str, max_examples: Optional[int] = None, progress: Progress = lambda count, total: None
) -> Collected:
    """Read an iterable whose items are pairs of examples and labels, for one example or for a batch.

    Parameters
    ----------
    data : iterable, or function that returns one
        It is read once: if it has a length, as Keras' sequences have, which start again after it, up to the length;
        otherwise up to its end, but at most `ENDLESS_BYTES`, unless `max_examples` is given.
    where : str
        Its name in messages.
    max_examples : int, optional
        Largest number of examples to read.
    progress : callable
        Called after each item.

    Raises
    ------
    DataError
        If items have another form, their shapes differ, there are none, or they do not fit in memory.
    """
    # An iterable or a sequence may be callable, too.
    source = data() if callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__") else data
    length = length_of(source)
    limit = memory_limit() // 2 if length is not None or max_examples is not None else ENDLESS_BYTES
    examples: List[np.ndarray] = []
    labels: List[np.ndarray] = []
    count, n_bytes, notes = 0, 0, []
    for number, item in enumerate(items_of(source, length)):
        x, y = _batch(item, f"{where}: item {number}")
        for found, before in ((x, examples), (y, labels)):
            _check_shape(found, before, f"{where}: item {number}")
        if max_examples is not None and count + len(x) >= max_examples:
            x, y = x[: max_examples - count], y[: max_examples - count]
        # Copies: a generator may yield the same array again, with other values.
        examples.append(np.array(x))
        labels.append(np.array(y))
        count, n_bytes = count + len(x), n_bytes + x.nbytes + y.nbytes
        progress(count, None if length is None else max(1, length * count // (number + 1)))
        if max_examples is not None and count >= max_examples:
            notes.append(Note(f"read {count:,} examples, the maximum that is set (max_examples)"))
            break
        if n_bytes > limit:
            if length is not None or max_examples is not None:
                raise DataError(
                    f"{where}: {count:,} examples need {n_bytes:,} bytes of memory; available for them: {limit:,}; set "
                    "max_examples",
                    "max_examples",
                )
            notes.append(
                Note(
                    f"read {count:,} examples, the first {bytes_text(limit)} of data without a known length; "
                    "max_examples decides otherwise",
                    True,
                )
            )
            break
    if not count:
        raise DataError(f"{where}: found no examples; expected pairs of examples and labels")
    return Collected(np.concatenate(examples), np.concatenate(labels), notes)


def length_of(source: Any) -> Optional[int]:
    """Return the number of items of an iterable; None if it is not known."""
    try:
        return len(source)
    except TypeError:
        return None


def items_of(source: Any, length: Optional[int]) -> Iterator[Any]:
    """Yield the items of an iterable, at most ``length`` of them."""
    if length is not None and hasattr(source, "__getitem__"):
        yield from (source[index] for index in range(length))
        return
    iterator: Iterable[Any] = iter(source)
    for number, item in enumerate(iterator):
        if number == length:
            return
        yield item


def _check_shape(found: np.ndarray, before: Sequence[np.ndarray], where: str) -> None:
    """Raise a `DataError` if examples or labels have another shape than those of the items before."""
    if before and found.shape[1:] != before[0].shape[1:]:
        raise DataError(
            f"{where}: found examples or labels of shape {list(found.shape[1:])}; expected "
            f"{list(before[0].shape[1:])} as in item 0"
        )


def _batch(item: Any, where: str) -> Tuple[np.ndarray, np.ndarray]:
    """Return the examples ``[n, ...]`` and labels ``[n, ...]`` of an item; ``n`` is 1 for an item of one example."""
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        found = (
            f"{len(item)} values" if isinstance(item, (tuple, list)) else f"a value of the type {type(item).__name__}"
        )
        raise DataError(f"{where}: found {found}; expected two: examples and labels")
    x, y = (np.asarray(part) for part in item)
    if x.dtype.kind not in "iufb" or x.ndim == 0:
        raise DataError(f"{where}: found examples of dtype {x.dtype} and shape {list(x.shape)}; expected numbers")
    if _is_single(x.shape, y.shape):
        x, y = x[np.newaxis], y[np.newaxis]
    if len(x) != len(y):
        raise DataError(f"{where}: found {len(x)} examples, but {len(y)} labels; expected the same number")
    return x, y


def _is_single(x: Sequence[int], y: Sequence[int]) -> bool:
    """Return whether the shapes of examples and labels in an item are those of one example, not of a batch.

    Two arrays of three axes are one image and the image that is its target: batches of them have four axes.
    """
    return len(x) == 1 or len(y) == 0 or x[0] != y[0] or (len(x) == len(y) == 3)
