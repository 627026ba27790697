"""Checks of examples that are ids: positions in the table of a network's Embedding."""

from typing import Dict, Mapping, MutableMapping
from weakref import WeakKeyDictionary

import numpy as np

from qatviz.data.data_input import parts_of
from qatviz.data.dataset import Dataset
from qatviz.data.streamed import Array, pieces
from qatviz.errors import DataError
from qatviz.scaling import UNSCALED, scalings_by_input

#: Numbers of ids that data sets were checked for: each further check would read all examples again.
_CHECKED: MutableMapping[Dataset, Dict[str, int]] = WeakKeyDictionary()


def check_ids(dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Check that the examples for inputs of ids are ids.

    Parameters
    ----------
    dataset : Dataset
        Fitted to the inputs of the network.
    counts : dict of str to int
        See :attr:`qatviz.network.Network.id_counts`.

    Raises
    ------
    DataError
        If the examples are scaled, or one is not an integer from 0 to the number of ids less 1.
    """
    if not counts or _CHECKED.get(dataset) == counts:
        return  # a pass over data in files would take minutes
    scalings = scalings_by_input(dataset.scaling)
    for name in counts:
        own = f" of input {name!r}" if dataset.inputs else ""
        scaling = scalings.get(name, dataset.scaling)
        if scaling != UNSCALED:
            raise DataError(
                f"{dataset.source}: the scaling{own} is {scaling!r}, but an Embedding takes ids, which are not scaled: "
                f"expected {UNSCALED!r}",
                "scaling",
            )
    for key in ("x_train", "x_test"):
        examples: Array = getattr(dataset, key)
        start = 0
        for rows in pieces(examples):
            parts: Dict[str, np.ndarray] = dict.fromkeys(counts, rows)
            if dataset.inputs:
                parts = {own.name: part for own, part in zip(dataset.inputs, parts_of(dataset.inputs, rows))}
            for name, count in counts.items():
                _check(parts[name], count, start, f"{dataset.source}: {key}", name if dataset.inputs else "")
            start += len(rows)
    _CHECKED[dataset] = dict(counts)


def _check(ids: np.ndarray, count: int, start: int, where: str, name: str) -> None:
    wrong = (ids < 0) | (ids >= count) | (ids != np.floor(ids))
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{where}{f' of input {name!r}' if name else ''} has {ids[place]:g} in example {start + place[0]:,}; "
            f"expected ids from 0 to {count - 1:,}, the rows of the Embedding's table"
        )
