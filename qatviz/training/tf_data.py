"""Items of tf.data data sets as NumPy arrays."""

# A separate module, because the code that uses it does not import TensorFlow.

from contextlib import ExitStack
from typing import Any, Iterator

import tensorflow as tf


class TensorFlowItems:
    """Iterable over the items of a tf.data data set, with NumPy arrays in place of tensors; use as a context manager.

    ``len`` returns the number of items, and raises `TypeError` if it is not known. Without eager execution, items are
    read in a session of their own, in the graph in which the data set was made.
    """

    def __init__(self, dataset: Any):
        self._dataset = dataset
        self._stack = ExitStack()

    def __enter__(self) -> "TensorFlowItems":
        if not tf.executing_eagerly():
            self._stack.enter_context(self._dataset._variant_tensor.graph.as_default())
            self._session = self._stack.enter_context(tf.compat.v1.Session())
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.close()

    def __len__(self) -> int:
        count = self._value(tf.data.experimental.cardinality(self._dataset))
        if count < 0:  # infinite or unknown
            raise TypeError("the length of the data set is not known")
        return int(count)

    def __iter__(self) -> Iterator[Any]:
        if tf.executing_eagerly():
            for item in self._dataset:
                yield tf.nest.map_structure(self._value, item)
            return
        iterator = tf.compat.v1.data.make_initializable_iterator(self._dataset)
        element = iterator.get_next()
        self._session.run([tf.compat.v1.tables_initializer(), iterator.initializer])
        while True:
            try:
                item = self._session.run(element)
            except tf.errors.OutOfRangeError:
                return
            yield item

    def _value(self, tensor: Any) -> Any:
        return tensor.numpy() if tf.executing_eagerly() else self._session.run(tensor)
