"""Generators, Keras' sequences and other iterables of examples, read into memory up to a limit."""

from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.checks import memory_limit
from qatviz.data.dataset import Note
from qatviz.data.several import are_several
from qatviz.errors import DataError
from qatviz.name_lookup import by_name
from qatviz.number_format import bytes_text

#: Bytes of examples and labels that are read from an iterable without a length, which may be endless.
ENDLESS_BYTES = 2**30

#: Function that is called with the number of examples so far, and with an estimate of their total, or None.
CountCallback = Callable[[int, Optional[int]], None]


#: Kinds of arrays in an item, and names of outputs, which are empty if there is only one.
_EXAMPLES, _LABELS, _WEIGHTS = "examples", "labels", "weights"
_Key = Tuple[str, str]


class Collected(NamedTuple):
    """Content of an iterable.

    Attributes
    ----------
    examples : ndarray, shape [N, ...]
    labels : ndarray, shape [N, ...], or dict of str to ndarray
        By name of the output, or by its index, if items have targets of several.
    notes : list of Note
        On what was not read.
    weights : ndarray, shape [N], or dict of str to ndarray, optional
        Weights of the examples in the loss.
    """

    examples: np.ndarray
    labels: Union[np.ndarray, Dict[str, np.ndarray]]
    notes: List[Note]
    weights: Union[np.ndarray, Dict[str, np.ndarray], None] = None


def is_iterable_of_examples(data: Any) -> bool:
    """Return whether an object yields examples one by one or in batches, so that `collect` can read it.

    Arrays, lists, tuples and dicts do not.
    """
    if isinstance(data, (tuple, list, dict, str, bytes)) or hasattr(data, "shape"):
        return False
    return hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__")) or callable(data)


def collect(
    data: Any, where: str, max_examples: Optional[int] = None, progress: CountCallback = lambda count, total: None
) -> Collected:
    """Read an iterable whose items have examples, labels and perhaps weights, for one example or for a batch.

    For several outputs, labels and weights are arrays by name, or in order.

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
    source = iterable_of(data)
    length = length_of(source)
    limit = memory_limit() // 2 if length is not None or max_examples is not None else ENDLESS_BYTES
    collected: Dict[_Key, List[np.ndarray]] = {}
    count, n_bytes, notes = 0, 0, []
    for number, item in enumerate(items_of(source, length)):
        batch = _batch(item, f"{where}: item {number}", collected)
        if collected:
            _check_same_form(batch, collected, f"{where}: item {number}")
        size = len(batch[_EXAMPLES, ""])
        if max_examples is not None:
            size = min(size, max_examples - count)
        for key, found in batch.items():
            # Copies: a generator may yield the same array again, with other values.
            collected.setdefault(key, []).append(np.array(found[:size]))
            n_bytes += found[:size].nbytes
        count += size
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
    arrays = {key: np.concatenate(parts) for key, parts in collected.items()}
    labels, weights = (_of_kind(arrays, kind) for kind in (_LABELS, _WEIGHTS))
    assert labels is not None, "each item has labels"
    return Collected(arrays[_EXAMPLES, ""], labels, notes, weights)


def _check_same_form(batch: Mapping[_Key, np.ndarray], known: Mapping[_Key, List[np.ndarray]], where: str) -> None:
    """Raise a `DataError` unless an item has the same arrays as the items before, in the same shapes."""
    if set(batch) != set(known):
        raise DataError(f"{where}: found {_listed(batch)}; expected {_listed(known)} as in item 0")
    for key, found in batch.items():
        expected = known[key][0].shape[1:]
        if found.shape[1:] != expected:
            raise DataError(
                f"{where}: found {_listed([key])} of shape {list(found.shape[1:])}; expected {list(expected)} as in "
                "item 0"
            )


def _of_kind(arrays: Mapping[_Key, np.ndarray], kind: str) -> Union[np.ndarray, Dict[str, np.ndarray], None]:
    """Return the arrays of a kind by name of the output, or that of a single output; None if there are none."""
    found = {output: array for (own, output), array in arrays.items() if own == kind}
    return found.get("", found) if found else None


def _listed(keys: Iterable[_Key]) -> str:
    return ", ".join(f"{kind} of output {output!r}" if output else kind for kind, output in keys)


def iterable_of(data: Any) -> Any:
    """Return an iterable, or the one that a function returns."""
    is_function = callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__")
    return data() if is_function else data  # an iterable or a sequence may be callable, too


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


def _batch(item: Any, where: str, known: Iterable[_Key]) -> Dict[_Key, np.ndarray]:
    """Return the examples, labels and weights of an item, ``[n, ...]``; ``n`` is 1 for an item of one example.

    ``known`` are the arrays of earlier items, if there are any.
    """
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        found = (
            f"{len(item)} values" if isinstance(item, (tuple, list)) else f"a value of the type {type(item).__name__}"
        )
        raise DataError(f"{where}: found {found}; expected two: examples and labels, or three: their weights, too")
    x = np.asarray(item[0])
    if x.dtype.kind not in "iufb" or x.ndim == 0:
        raise DataError(f"{where}: found examples of dtype {x.dtype} and shape {list(x.shape)}; expected numbers")
    labels = _by_output(item[1], len(x), _LABELS, known)
    weights = {} if len(item) == 2 or item[2] is None else _by_output(item[2], len(x), _WEIGHTS, known)
    arrays = {(_EXAMPLES, ""): x, **labels, **weights}
    is_single = x.ndim == 1 or any(array.ndim == 0 for array in labels.values())
    if is_single or all(_is_single(x.shape, own.shape) or _is_mask_of(x, own) for own in labels.values()):
        return {key: array[np.newaxis] for key, array in arrays.items()}
    for key, array in arrays.items():
        if array.ndim == 0 or len(array) != len(x):
            number = str(len(array)) if array.ndim else "no"
            raise DataError(
                f"{where}: found {len(x)} examples, but {number} {_listed([key])}; expected the same number"
            )
    return arrays


def _by_output(given: Any, num_examples: int, kind: str, known: Iterable[_Key]) -> Dict[_Key, np.ndarray]:
    """Return arrays of a kind by name or index of the output; a single array has no name.

    The first item decides whether they are of several outputs: the last batch can have as many examples as outputs.
    """
    before = [output for own, output in known if own == kind]
    if not (any(before) if before else _are_several(given, num_examples)):
        return {(kind, ""): np.asarray(given)}
    return {(kind, output): np.asarray(array) for output, array in by_name(given).items()}


def _are_several(given: Any, num_examples: int) -> bool:
    """Return whether arrays of an item are of several outputs.

    These are a dict, a sequence of arrays with a row per example, or, of a single example, a tuple of arrays of
    different shapes.
    """
    is_tuple = isinstance(given, tuple) and len({np.shape(each) for each in given}) > 1
    return is_tuple or are_several(given, num_examples)


def _is_mask_of(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether an item is an image and its mask of class indices, not a batch of sequences and one-hot rows."""
    is_image = x.ndim == 3 and x.shape[:2] == y.shape and y.dtype.kind in "iub"
    return is_image and not (np.count_nonzero(y, axis=1) == 1).all()


def _is_single(x: Sequence[int], y: Sequence[int]) -> bool:
    """Return whether the shapes of examples and labels in an item are those of one example, not of a batch.

    Two arrays of three axes are one image and the image that is its target: batches of them have four axes.
    """
    return len(x) == 1 or len(y) == 0 or x[0] != y[0] or (len(x) == len(y) == 3)
