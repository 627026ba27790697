"""Data that a script passes as objects: arrays, data frames, generators and tf.data data sets."""

import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from qatviz.data import Dataset
from qatviz.data.dataset import Note
from qatviz.data.frames import is_frame, table_of_frame
from qatviz.data.heads import from_targets
from qatviz.data.input_items import InputItems
from qatviz.data.inputs import from_inputs
from qatviz.data.iterables import Collected, CountCallback, collect, is_iterable_of_examples
from qatviz.data.several import are_several
from qatviz.data.table import dataset_of_tables, features_of
from qatviz.data_options import DataOptions
from qatviz.errors import DataError, SettingError
from qatviz.heads import stated_tasks
from qatviz.number_format import names_text
from qatviz.session.begin import ARRAYS
from qatviz.session.progress import LINE_INTERVAL_S
from qatviz.session.request import NewRunRequest
from qatviz.terminal import print_line

_NAME = "arrays"
_EXPECTED = (
    "(x, y), (x, y, weights), ((x, y), (x_test, y_test)), a data frame, a generator or a tf.data data set of (x, y) or "
    "(x, y, weights), a pair of them for training and testing, a Dataset, a name or a path"
)


def dataset_of(data: Any, request: NewRunRequest, max_examples: Optional[int] = None, quiet: bool = False) -> Dataset:
    """Return the data set of objects that a script passes.

    Parameters
    ----------
    data : object
        Arrays, data frames, iterables of examples, or a pair of them for training and testing; see
        :func:`qatviz.train`.
    request : NewRunRequest
        Its task, validation fraction and data options are used.
    max_examples : int, optional
        Number of examples that are read from each iterable at most.
    quiet : bool
        If True, no progress is printed.

    Raises
    ------
    DataError
        If it is no data set.
    SettingError
        If `max_examples` is not allowed.
    """
    if isinstance(data, Dataset):
        return data
    is_count = isinstance(max_examples, int) and not isinstance(max_examples, bool) and max_examples > 0
    if max_examples is not None and not is_count:
        raise SettingError.of_field("max_examples", f"is {max_examples!r}: expected a whole number of at least 1")
    fraction, task = request.validation_fraction, request.task
    data, weights = _without_weights(data)
    parts = _parts(data)
    if uses_options(data):
        tables = [table_of_frame(frame, f"frame {index}", request.data_options) for index, frame in enumerate(parts)]
        tasks = stated_tasks(request.heads)
        return dataset_of_tables(_NAME, ARRAYS, tables, request.data_options, fraction, 0, task, tasks)
    notes: List[Note] = []
    arrays: List[Tuple[Any, Any]] = []
    if all(map(_is_stream, parts)):
        for number, part in enumerate(parts):
            found = _collected(part, "data" if len(parts) == 1 else f"data[{number}]", max_examples, quiet)
            arrays.append((found.examples, found.labels))
            weights = found.weights if not number else weights
            notes += found.notes
        if any(map(_has_several_inputs, arrays)):
            return _of_several_inputs(arrays, request, weights, notes)
    elif len(parts) == 2:
        pairs = parts if all(map(_is_pair, parts)) else [data]
        if any(map(_has_several_inputs, pairs)):
            return _of_several_inputs(pairs, request, weights)
        arrays, notes = _arrays(pairs)
    else:
        raise DataError(f"data is of the type {type(data).__name__}; expected {_EXPECTED}")
    return from_targets(
        _NAME,
        ARRAYS,
        arrays[0],
        arrays[1] if len(arrays) > 1 else None,
        validation_fraction=fraction,
        task=task,
        tasks=stated_tasks(request.heads),
        notes=notes,
        weights=weights,
        ignored_label=request.data_options.ignored_label,
    )


def uses_options(data: Any) -> bool:
    """Return whether the options that decide how data is read apply to it: to a frame, or two with the same columns."""
    parts = _parts(data)
    return all(map(is_frame, parts)) and len({tuple(map(str, part.columns)) for part in parts}) == 1


def _parts(data: Any) -> List[Any]:
    return list(data) if _is_pair(data) else [data]


def _without_weights(data: Any) -> Tuple[Any, Any]:
    """Return the data without the weights of training examples in ``(x, y, w)`` or ``((x, y, w), test)``, and these."""
    if isinstance(data, tuple) and len(data) == 3:
        return data[:2], data[2]
    if _is_pair(data) and isinstance(data[0], tuple) and len(data[0]) == 3:
        return (data[0][:2], data[1]), data[0][2]
    return data, None


def _is_stream(data: Any) -> bool:
    return _is_tf_data(data) or is_iterable_of_examples(data)


def _is_tf_data(data: Any) -> bool:
    return type(data).__module__.startswith("tensorflow") and hasattr(data, "_variant_tensor")


def _collected(data: Any, name: str, max_examples: Optional[int], quiet: bool) -> Collected:
    progress = _printed_progress(quiet)
    if not _is_tf_data(data):
        return _read(data, name, max_examples, progress)
    from qatviz.training.tf_data import TensorFlowItems  # TensorFlow is loaded already: the data is one of its objects

    with TensorFlowItems(data) as items:
        return _read(items, name, max_examples, progress)


def _read(data: Any, name: str, max_examples: Optional[int], progress: CountCallback) -> Collected:
    items = InputItems(data, name)
    found = collect(items, name, max_examples, progress)
    return found._replace(examples=items.examples(found.examples))


def _printed_progress(quiet: bool) -> CountCallback:
    """Return a function that prints the progress every few seconds, or nothing if ``quiet``."""
    shown = time.monotonic()

    def show(count: int, total: Optional[int]) -> None:
        nonlocal shown
        if not quiet and time.monotonic() - shown >= LINE_INTERVAL_S:
            shown = time.monotonic()
            print_line(
                f"reading the data: {count:,}{'' if total is None else f' of about {total:,}'} examples", "stderr"
            )

    return show


def _is_pair(part: Any) -> bool:
    return isinstance(part, (tuple, list)) and len(part) == 2


def _has_several_inputs(pair: Any) -> bool:
    if not _is_pair(pair) or not isinstance(pair[0], (Mapping, tuple, list)):
        return False
    targets = next(iter(pair[1].values()), ()) if isinstance(pair[1], Mapping) else pair[1]
    # Rows of one array, or arrays of several outputs.
    counts = {len(targets), *(len(part) for part in targets[:1] if np.ndim(part) > 0)}
    return any(are_several(pair[0], count) for count in counts)


def _of_several_inputs(
    pairs: Sequence[Any], request: NewRunRequest, weights: Any, notes: Sequence[Note] = ()
) -> Dataset:
    """Return the data set of pairs of examples of several inputs and targets."""
    pairs, converted = _without_frames(pairs)
    test = pairs[1] if len(pairs) > 1 else None
    return from_inputs(
        _NAME,
        ARRAYS,
        pairs[0],
        test,
        validation_fraction=request.validation_fraction,
        task=request.task,
        notes=[*notes, *converted],
        weights=weights,
        tasks=stated_tasks(request.heads),
    )


def _without_frames(pairs: Sequence[Any]) -> Tuple[List[Tuple[Any, Any]], List[Note]]:
    """Return pairs with arrays in place of frames among the examples of several inputs, and notes on them."""
    examples: List[Dict[Any, Any]] = [dict(x) if isinstance(x, Mapping) else dict(enumerate(x)) for x, _ in pairs]
    notes: List[Note] = []
    for name in examples[0]:
        frames = [own[name] for own in examples if is_frame(own.get(name))]
        if len(frames) == len(examples):
            arrays, found = _features(frames, f"input {str(name)!r}")
            notes += found
            for own, array in zip(examples, arrays):
                own[name] = array
    return list(zip(examples, (y for _, y in pairs))), notes


def _features(frames: Sequence[Any], where: str) -> Tuple[List[np.ndarray], List[Note]]:
    """Return the features in all columns of a frame, or of two with the same columns, and notes on them."""
    # No row is skipped: the labels would no longer be those of the rows.
    tables = [table_of_frame(frame, f"{where} {index}", DataOptions()) for index, frame in enumerate(frames)]
    for table in tables[1:]:
        if table.names != tables[0].names:
            raise DataError(
                f"{table.where}: found the columns {names_text(table.names)}; expected "
                f"{names_text(tables[0].names)} as in {tables[0].where}"
            )
    return features_of(tables, range(len(tables[0].names)))


def _arrays(pairs: Sequence[Any]) -> Tuple[List[Tuple[Any, Any]], List[Note]]:
    """Return the arrays of pairs of examples and targets, and notes on the conversion of frames.

    Targets of several outputs stay a dict, or a sequence.
    """
    for pair in pairs:
        if not _is_pair(pair):
            raise DataError(
                f"data has a part of the type {type(pair).__name__}; expected two arrays: examples and targets"
            )
    labels = [y if are_several(y, _number_of_examples(x)) else np.asarray(y) for x, y in pairs]
    if not all(is_frame(x) for x, _ in pairs):
        return [(np.asarray(x), y) for (x, _), y in zip(pairs, labels)], []
    features, notes = _features([x for x, _ in pairs], "frame")
    return list(zip(features, labels)), notes


def _number_of_examples(x: Any) -> int:
    if is_frame(x):
        return int(x.shape[0])
    return len(x) if np.ndim(x) > 0 else 0
