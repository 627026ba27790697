"""Inputs of data for networks with several: what a row of examples consists of, and conversions of its parts."""

from dataclasses import replace
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.data.checks import check_memory
from qatviz.data.streamed import Array, Statistics, StreamedArray, is_streamed, statistics_of
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
        Name of the network's input; or its index, if the data has no names.
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


def packed(parts: Sequence[Array], source: str) -> Array:
    """Return rows with the values of several inputs, which are streamed if a part is.

    They are uint8 if those of all inputs are. If only some are, these are multiplied by 1/255 here instead of in the
    graph, and the rows are float32.

    Parameters
    ----------
    parts : sequence of ndarray or StreamedArray
        uint8 or float32 ``[n] + shape`` for each input.
    source : str
        Origin of the data, for messages.
    """
    if any(map(is_streamed, parts)):
        return _Packed(parts)
    size = sum(part.size for part in parts)
    check_memory(source, size * _packed_type(parts).itemsize, "joining its inputs")
    return _joined([part[:] for part in parts])


def _packed_type(parts: Sequence[Array]) -> np.dtype:
    return np.dtype(np.uint8 if all(part.dtype == np.uint8 for part in parts) else np.float32)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    widths = [int(np.prod(part.shape[1:])) for part in parts]
    rows, start = np.empty((len(parts[0]), sum(widths)), _packed_type(parts)), 0
    for part, width in zip(parts, widths):
        place = rows[:, start : start + width]
        place[...] = part.reshape((len(part), width))
        if part.dtype != rows.dtype:
            place *= _BYTE_SCALE
        start += width
    return rows


class _Packed(StreamedArray):
    """Rows with the values of several inputs, which are read when they are used."""

    def __init__(self, parts: Sequence[Array]):
        sizes = [part.size for part in parts]
        super().__init__((len(parts[0]), sum(sizes) // len(parts[0])), _packed_type(parts))
        self._parts = parts
        known = [statistics_of(part) for part in parts]
        scales = [1.0 if part.dtype == self.dtype else float(_BYTE_SCALE) for part in parts]
        self.state(
            Statistics(
                min(own.low * scale for own, scale in zip(known, scales)),
                max(own.high * scale for own, scale in zip(known, scales)),
                sum(own.mean * scale * size for own, scale, size in zip(known, scales, sizes)) / sum(sizes),
            )
        )

    def read(self, rows: np.ndarray) -> np.ndarray:
        return _joined([part[rows] for part in self._parts])

    def read_rows(self, start: int, stop: int) -> np.ndarray:
        return _joined([part[start:stop] for part in self._parts])


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


def data_inputs(names: Sequence[str], parts: Sequence[Array], scalings: Sequence[str]) -> Tuple[DataInput, ...]:
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
        As for :meth:`qatviz.data.Dataset.with_scaling`.
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
