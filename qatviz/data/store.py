"""Stores: directories with the arrays of a data set as .npy files, from which training reads the batches in use.

The data may be larger than memory. A store consists of ``store.json`` (name, task, class names, scaling, statistics of
the examples) and the arrays ``x_train.npy``, ``y_train.npy``, ``x_test.npy`` and ``y_test.npy``, and ``w_train.npy`` if
there are weights, in the form that `Dataset` requires. Arrays of further outputs are ``y_train_1.npy`` and so on.
"""

import json
import math
import os
from typing import Any, BinaryIO, Callable, Dict, Iterator, Optional, Tuple

import numpy as np

from qatviz.atomic_files import AnyPath, atomic_directory
from qatviz.data.build import name_from_path
from qatviz.data.checks import check_memory, read_json
from qatviz.data.data_input import DataInput
from qatviz.data.dataset import Dataset
from qatviz.data.example_weights import convert_weights
from qatviz.data.heads import with_heads
from qatviz.data.streamed import Array, Statistics, StoredArray, pieces, statistics_of_pieces
from qatviz.errors import DataError, SettingError
from qatviz.name_lookup import numbered
from qatviz.scaling import SCALINGS, check_scaling
from qatviz.task import TASKS

#: Called with the fraction that is done, 0..1. An exception that it raises cancels the work.
FractionCallback = Callable[[float], None]

_EXAMPLES, _TARGETS = ("x_train", "x_test"), ("y_train", "y_test")
#: Array that a store has if the training examples have weights.
_WEIGHTS = "w_train"
_DESCRIPTION = "store.json"
_FORMAT, _VERSION = "qatviz-data", 1
#: Largest description, which has the names of all classes.
_MAX_DESCRIPTION_BYTES = 16 * 2**20


def write_store(dataset: Dataset, path: AnyPath, progress: FractionCallback = lambda fraction: None) -> None:
    """Write a data set as a store, a new directory; if the work is interrupted, there is none.

    The examples are read and written in pieces, so that those of `dataset` may be streamed.

    Parameters
    ----------
    dataset : Dataset
    path : str or path-like
    progress : callable

    Raises
    ------
    DataError
        If ``path`` exists, or can't be written, or the examples can't be read.
    """
    if os.path.lexists(path):
        raise DataError(f"{os.fspath(path)}: exists already; expected a new directory for the store")
    arrays: Dict[str, Array] = {name: getattr(dataset, name) for name in _EXAMPLES}
    for index, head in enumerate(dataset.heads):
        arrays.update((numbered(name, index), getattr(head, name)) for name in _TARGETS)
        if head.w_train is not None:
            arrays[numbered(_WEIGHTS, index)] = head.w_train
    total = sum(array.nbytes for array in arrays.values())
    done = 0
    statistics: Dict[str, Statistics] = {}

    def written(array: Array, file: BinaryIO) -> Iterator[np.ndarray]:
        """Write the pieces of an array, and yield them."""
        nonlocal done
        for piece in pieces(array):
            file.write(memoryview(np.ascontiguousarray(piece).reshape(-1)).cast("B"))
            yield piece
            done += piece.nbytes
            progress(done / total)

    try:
        with atomic_directory(path) as directory:
            for name, array in arrays.items():
                with open(str(directory / (name + ".npy")), "xb") as file:
                    header = {"descr": array.dtype.str, "fortran_order": False, "shape": tuple(array.shape)}
                    np.lib.format.write_array_header_1_0(file, header)
                    statistics[name] = statistics_of_pieces(written(array, file))
            description = {
                "format": _FORMAT,
                "version": _VERSION,
                "name": dataset.name,
                "task": dataset.task,
                "class_names": list(dataset.class_names),
                "scaling": dataset.scaling,
                **({"inputs": [[*each] for each in dataset.inputs]} if dataset.inputs else {}),
                "statistics": {name: list(found) for name, found in statistics.items() if name.startswith("x")},
            }
            if dataset.further:
                description["outputs"] = [
                    {"output": head.output, "task": head.task, "class_names": list(head.class_names)}
                    for head in dataset.heads
                ]
            (directory / _DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: the store cannot be written: {error.strerror or error}") from error


def is_store(path: str) -> bool:
    """Return whether a path is a directory with the description of a store."""
    return os.path.isfile(os.path.join(path, _DESCRIPTION))


def load_store(path: str, validation_fraction: float = 0.2, seed: int = 0, task: Optional[str] = None) -> Dataset:
    """Load a store: its labels, and arrays that read its examples when they are used.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        Not used, since a store has a test part; all loaders have these parameters.
    task : str, optional
        Expected task.

    Raises
    ------
    DataError
        If a file is missing or damaged, the arrays are not those of a data set, the labels do not fit in memory, or
        ``task`` is not that of the store.
    """
    description = _description(os.path.join(path, _DESCRIPTION))
    if task not in (None, description["task"]):
        raise DataError(f"{path}: the task is {task!r}, but that of the store is {description['task']!r}", "task")
    x_train, x_test = examples = [StoredArray(os.path.join(path, name + ".npy")) for name in _EXAMPLES]
    for name, values in description["statistics"].items():
        examples[_EXAMPLES.index(name)].state(Statistics(*values))
    inputs = tuple(
        DataInput(name, tuple(shape), scaling, is_bytes)
        for name, shape, scaling, is_bytes in description.get("inputs", ())
    )
    heads = []
    for index, about in enumerate(description.get("outputs", [description])):
        y_train, y_test = (StoredArray(os.path.join(path, numbered(name, index) + ".npy")) for name in _TARGETS)
        weights_path = os.path.join(path, numbered(_WEIGHTS, index) + ".npy")
        weights = StoredArray(weights_path) if os.path.isfile(weights_path) else None
        in_memory = [array for array in (y_train, y_test, weights) if array is not None]
        check_memory(path, sum(array.nbytes for array in in_memory), "loading its labels")
        head = Dataset(
            name=description["name"] or name_from_path(path),
            x_train=x_train,
            y_train=y_train[:],
            x_test=x_test,
            y_test=y_test[:],
            class_names=tuple(about["class_names"]),
            source=path,
            task=about["task"],
            scaling=description["scaling"],
            output=about.get("output", ""),
            inputs=inputs,
            w_train=None if weights is None else convert_weights(weights[:], len(x_train), weights_path),
        )
        heads.append(head)
    return with_heads(heads)


def _description(path: str) -> Dict[str, Any]:
    """Return the checked content of the description of a store."""
    found = read_json(path, "the description of a store", _MAX_DESCRIPTION_BYTES)
    if not isinstance(found, dict) or found.get("format") != _FORMAT or found.get("version") != _VERSION:
        raise DataError(f"{path}: expected a store of data in version {_VERSION} of its format")
    checks: Dict[str, Tuple[Callable[[Any], bool], str]] = {
        "name": (_is_text, "a string"),
        "task": (lambda value: value in TASKS, f"one of {', '.join(TASKS)}"),
        "class_names": (_are_texts, "a list of strings"),
        "scaling": (_is_scaling, f"one of {', '.join(SCALINGS)}, or numbers"),
        "statistics": (_are_statistics, "smallest value, largest value and mean of x_train and of x_test"),
        "inputs": (_are_inputs, "name, shape, scaling, and whether it is of bytes, of each of several inputs"),
    }
    if "outputs" in found:
        checks["outputs"] = (_are_outputs, "output, task and class_names of each of several outputs")
    for key, (is_allowed, what) in checks.items():
        if not is_allowed(found.get(key)):
            raise DataError(f"{path}: {key} is {repr(found.get(key))[:100]}; expected {what}")
    return found


def _is_scaling(value: Any) -> bool:
    """Return whether a value is a scaling that a data set can have."""
    try:
        check_scaling(value)
    except SettingError:
        return False
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_inputs(value: Any) -> bool:
    """Return whether a value, which only stores of several inputs have, is a list with a row for each of them."""
    return value is None or (
        isinstance(value, list)
        and all(
            isinstance(row, list)
            and len(row) == len(DataInput._fields)
            and _is_text(row[0])
            and isinstance(row[1], list)
            and all(type(size) is int and 0 < size < 2**31 for size in row[1])
            and _is_scaling(row[2])
            and isinstance(row[3], bool)
            for row in value
        )
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_outputs(value: Any) -> bool:
    """Return whether a value is a list of what a store states on several outputs with different names."""
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(row, dict) and _is_text(row.get("output")) for row in value)
        and len({row["output"] for row in value}) == len(value)
        and all(row.get("task") in TASKS and _are_texts(row.get("class_names")) for row in value)
    )


def _are_statistics(value: Any) -> bool:
    """Return whether a value is a dict of the statistics of examples, which are finite, the smallest value first."""
    return isinstance(value, dict) and all(
        name in ("x_train", "x_test")
        and isinstance(found, list)
        and len(found) == len(Statistics._fields)
        and all(type(number) in (int, float) and math.isfinite(number) for number in found)
        and found[0] <= found[1]
        for name, found in value.items()
    )
