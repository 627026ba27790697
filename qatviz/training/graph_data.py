"""Data set in the graph of a run: arrays in memory are variables, those that are read from files are fed."""

import copy
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.data.example_weights import example_weights
from qatviz.data.read_ahead import ReadAhead
from qatviz.name_lookup import numbered
from qatviz.training.tower_data import TowerData
from qatviz.training.towers import Tower
from qatviz.training.variables import Loader, StateVariable

TRAIN, TEST = "train", "test"
#: Name of the variable with the weights of the training examples, which exists if an output has any.
_WEIGHTS = "weights"


class GraphData:
    """Data set in a graph.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int
        Number of examples of a training step.
    class_weights : sequence of str
        Texts of each output, in the form of :func:`qatviz.class_weights.parse_class_weights`.
    """

    def __init__(self, dataset: Dataset, batch_size: int, class_weights: Sequence[str] = ("",)):
        self.num_held_out = len(dataset.x_test)
        self._dataset, self._batch_size, self._class_weights = dataset, batch_size, class_weights
        self._loaded = dataset
        self._variables = {
            name: StateVariable("data_" + name, array.dtype, array.shape)
            for name, array in self._arrays_in_memory(dataset).items()
        }
        self._loader = Loader(self._variables, self._variables)
        self._feeds: Dict[str, tf.Tensor] = {}
        self._rows: Optional[slice] = None
        self._tower_data: Optional[TowerData] = None
        self._readers: Dict[str, ReadAhead] = {}

    @property
    def is_streamed(self) -> bool:
        """True if a part of the data is not in memory."""
        return bool(self._dataset.streamed)

    def examples(self, part: str, indices: tf.Tensor) -> tf.Tensor:
        """Return examples as fed to the network, float32 ``[n] + input shape``; ``indices`` is int32 ``[n]``."""
        stored = tf.cast(self._stored("x_" + part, indices), tf.float32)
        scale = self._dataset.pixel_scale
        return stored * scale if scale != 1.0 else stored

    def labels(self, part: str, indices: tf.Tensor) -> List[tf.Tensor]:
        """Return the labels or targets of examples for each output, ``[n, ...]`` in the dtypes of the data set."""
        return [self._stored(_targets(part, index), indices) for index in range(len(self._dataset.heads))]

    def weights(self, indices: tf.Tensor) -> List[Optional[tf.Tensor]]:
        """Return the weights of training examples in the loss of each output, float32 ``[n]``; None if all are 1."""
        names = [numbered(_WEIGHTS, index) for index in range(len(self._dataset.heads))]
        return [self._stored(name, indices) if name in self._variables else None for name in names]

    def copied_to(self, towers: Sequence[Tower]) -> List[Dict[str, StateVariable]]:
        """Return the variables with the arrays that each tower needs; :meth:`load` sets them, too."""
        originals = {name: own for name, own in self._variables.items() if not name.startswith("y_test")}
        self._tower_data = TowerData(towers, originals)
        return self._tower_data.variables

    def part(self, variables: Dict[str, StateVariable], rows: slice) -> "GraphData":
        """Return the same data for a part of each batch: its ``rows``.

        ``variables`` have the arrays, an item of the result of :meth:`copied_to`.
        """
        part = copy.copy(self)
        part._variables, part._rows = {**self._variables, **variables}, rows
        return part

    def feeds(self, part: str) -> List[tf.Tensor]:
        """Return the placeholders of the values that :meth:`values` returns."""
        return [feed for name, feed in self._feeds.items() if name.endswith(part)]

    def values(self, part: str, indices: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Return the rows ``indices`` (int32 ``[n]``) of the arrays of a part that are fed, in order of :meth:`feeds`.

        Raises
        ------
        DataError
            If they can't be read.
        """
        return tuple(self._readers[name].read(indices) for name in self._feeds if name.endswith(part))

    def batch(self, indices: np.ndarray) -> Tuple[np.ndarray, List[np.ndarray]]:
        """Return training examples as fed to the network, and their labels or targets for each output.

        They are rows of the data set that was loaded last.

        Parameters
        ----------
        indices : np.ndarray
            int32 ``[n]``.

        Returns
        -------
        tuple of np.ndarray and of list of np.ndarray
            float32 ``[n] + input shape``; ``[n, ...]`` in the dtypes of the data set.

        Raises
        ------
        DataError
            If they can't be read.
        """
        stored, labels = (
            self._readers[name].read(indices) if name in self._readers else getattr(self._loaded, name)[indices]
            for name in ("x_" + TRAIN, "y_" + TRAIN)
        )
        further = [head.y_train[indices] for head in self._loaded.further]
        return self._dataset.as_fed(stored), [labels, *further]

    @property
    def batches_ahead(self) -> int:
        """Number of training batches that are read ahead, see :meth:`expect`; 0 if all data is in memory."""
        return max([reader.batches for name, reader in self._readers.items() if name.endswith(TRAIN)], default=0)

    def expect(self, batches: Sequence[np.ndarray]) -> None:
        """Begin to read the examples of the next training steps, whose indices are ``batches`` (int32 ``[batch]``)."""
        for name, reader in self._readers.items():
            if name.endswith(TRAIN):
                reader.expect(batches)

    def load(self, session: tf.Session, dataset: Dataset) -> None:
        """Copy the arrays in memory into the session's variables, and prepare to read the others.

        ``dataset`` is that of the graph, or has arrays of the same shapes and dtypes.
        """
        self.close()
        self._loaded = dataset
        arrays = self._arrays_in_memory(dataset)
        self._loader(session, arrays)
        if self._tower_data is not None:
            self._tower_data.load(session, arrays)
        self._readers = {name: ReadAhead(getattr(dataset, name), self._batch_size) for name in dataset.streamed}

    def close(self) -> None:
        """Stop reading ahead."""
        for reader in self._readers.values():
            reader.close()

    def _arrays_in_memory(self, dataset: Dataset) -> Dict[str, np.ndarray]:
        names = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in dataset.streamed]
        arrays = {name: getattr(dataset, name) for name in names}
        for index, head in enumerate(dataset.further, 1):
            arrays.update({_targets(TRAIN, index): head.y_train, _targets(TEST, index): head.y_test})
        for index, (head, class_weights) in enumerate(zip(dataset.heads, self._class_weights)):
            weights = example_weights(head, class_weights)
            if weights is not None:
                arrays[numbered(_WEIGHTS, index)] = weights
        return arrays

    def _stored(self, name: str, indices: tf.Tensor) -> tf.Tensor:
        """Return rows of an array: gathered from its variable, or fed if it is read from files."""
        if name in self._variables:
            return self._variables[name].gather(indices)
        array = getattr(self._dataset, name)
        if self._rows is not None and name in self._feeds:
            return self._feeds[name][self._rows]
        number = self._batch_size if name.endswith(TRAIN) else None
        self._feeds[name] = tf.placeholder(array.dtype, [number, *array.shape[1:]], "data_" + name)
        return self._feeds[name] if self._rows is None else self._feeds[name][self._rows]


def _targets(part: str, index: int) -> str:
    """Return the name of the targets of an output in the part "train" or "test": ``y_train``, ``y_train_1``, ..."""
    return numbered(f"y_{part}", index)
