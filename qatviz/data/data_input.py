"""Inputs of data for networks with several: what a row of examples consists of, and conversions of its parts."""

from dataclasses import replace
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.data.checks import check_memory
from qatviz.data.streamed import Array, StreamedArray
from qatviz.errors import DataError
from qatviz.inputs import input_parts
from qatviz.scaling import UNIT, joined_scalings, scalings_by_input

if TYPE_CHECKING:
    from qatviz.data.dataset import Dataset

_BYTE_SCALE = np.float32(1.0 / 255.0)


class DataInput(NamedTuple):
    """Input of a network in a data set with several.

    Attributes
    ----------
    name : str
        Name of the network's input; or its number, if the data has no names.
    shape : tuple of int
        Shape of one example.
    scaling : str
        Scaling of its values, in a form of :mod:`qatviz.scaling`.
    is_bytes : bool
        True for pixels of uint8 that are fed as ``x / 255``.
    """

    name: str
    shape: Tuple[int, ...]
    scaling: str
    is_bytes: bool = False


def scaling_text(inputs: Sequence[DataInput]) -> str:
    """Return the scalings of all inputs as one text."""
    return joined_scalings({each.name: each.scaling for each in inputs})


def packed(parts: Sequence[np.ndarray], source: str) -> np.ndarray:
    """Return rows with the values of several inputs.

    They are uint8 if those of all inputs are. If only some are, these are multiplied by 1/255 here instead of in the
    graph, and the rows are float32.

    Parameters
    ----------
    parts : sequence of ndarray
        uint8 or float32 ``[n] + shape`` for each input.
    source : str
        Origin of the data, for messages.
    """
    size = sum(part.size for part in parts)
    are_bytes = all(part.dtype == np.uint8 for part in parts)
    check_memory(source, size * (1 if are_bytes else 4), "joining its inputs")
    rows = np.empty((len(parts[0]), size // max(len(parts[0]), 1)), np.uint8 if are_bytes else np.float32)
    start = 0
    for part in parts:
        values = part.reshape((len(part), -1))
        place = rows[:, start : start + values.shape[1]]
        place[...] = values
        if not are_bytes and part.dtype == np.uint8:
            place *= _BYTE_SCALE
        start += values.shape[1]
    return rows


def parts_of(inputs: Sequence[DataInput], rows: np.ndarray) -> List[np.ndarray]:
    """Return the values of each input, uint8 or float32 ``[n] + shape``; the inverse of :func:`packed`."""
    found = []
    for place, own in zip(input_parts([each[:2] for each in inputs]), inputs):
        values = rows[:, place.start : place.stop].reshape((len(rows), *place.shape))
        if own.is_bytes and rows.dtype != np.uint8:
            values = np.rint(values / _BYTE_SCALE).astype(np.uint8)
        found.append(values)
    return found


def in_order(inputs: Sequence[DataInput], names: Sequence[str], rows: Array) -> Array:
    """Return rows with the inputs in the order of ``names``."""
    if [each.name for each in inputs] == list(names):
        return rows
    places = {part.name: part for part in input_parts([each[:2] for each in inputs])}
    columns = np.concatenate([np.arange(places[name].start, places[name].stop) for name in names])
    if isinstance(rows, StreamedArray):
        return rows.columns(columns)
    check_memory("data", rows.nbytes, "reordering its inputs")
    return np.ascontiguousarray(rows[:, columns])


def data_inputs(names: Sequence[str], parts: Sequence[np.ndarray], scalings: Sequence[str]) -> Tuple[DataInput, ...]:
    """Return the inputs for their values, uint8 or float32 ``[n] + shape``."""
    return tuple(
        DataInput(name, tuple(part.shape[1:]), scaling, part.dtype == np.uint8 and scaling == UNIT)
        for name, part, scaling in zip(names, parts, scalings)
    )


def arrays_of_inputs(dataset: "Dataset") -> Dict[str, np.ndarray]:
    """Return the examples of each input under the names of an archive, such as ``x_train_left``."""
    rows = {"x_train": dataset.x_train[:], "x_test": dataset.x_test[:]}
    return {
        f"{key}_{each.name}": part
        for key, own in rows.items()
        for each, part in zip(dataset.inputs, parts_of(dataset.inputs, own))
    }


def with_input_scalings(dataset: "Dataset", scaling: str) -> "Dataset":
    """Return the same data with stated scalings of some of several inputs, or with one for all.

    Raises
    ------
    SettingError, DataError
        As of :meth:`qatviz.data.Dataset.with_scaling`.
    """
    inputs, source = dataset.inputs, dataset.source
    names = [each.name for each in inputs]
    wanted = scalings_by_input(scaling) or dict.fromkeys(names, scaling)
    if all(name.isdecimal() for name in names) and len(wanted) == len(names):  # of the network's inputs, in order
        wanted = dict(zip(names, wanted.values()))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        known = ", ".join(map(repr, names)) or "one without a name"
        raise DataError(f"{source}: found no input {unknown[0]!r} to scale; its inputs are {known}", "scaling")
    stated = dataset.assumed._replace(scaling=False)
    changed = [name for name, own in zip(names, inputs) if wanted.get(name, own.scaling) != own.scaling]
    if not changed:
        return replace(dataset, assumed=stated)
    if dataset.streamed:
        raise DataError(
            f"{source}: the scaling of {changed[0]!r} is {wanted[changed[0]]!r}, but the examples are stored for "
            f"{dataset.scaling!r} and read during the run: expected that",
            "scaling",
        )
    values = zip(*(parts_of(inputs, rows) for rows in (dataset.x_train[:], dataset.x_test[:])))
    parts = []
    for own, (x_train, x_test) in zip(inputs, values):
        where = f"{source}: input {own.name!r}"
        part = replace(dataset, source=where, x_train=x_train, x_test=x_test, scaling=own.scaling, inputs=())
        parts.append(part.with_scaling(wanted[own.name]) if own.name in changed else part)
    return replace(
        dataset,
        x_train=packed([part.x_train[:] for part in parts], source),
        x_test=packed([part.x_test[:] for part in parts], source),
        inputs=data_inputs(names, [part.x_train[:] for part in parts], [part.scaling for part in parts]),
        assumed=stated,
    )
