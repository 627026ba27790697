"""Training data in the memory of each task that computes a part of the batches: sent once, before the first step."""

# Apart from graph_data.py, because it knows tasks and messages between them.

from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.training.towers import Tower
from qatviz.training.variables import StateVariable

#: Largest number of bytes of one message with training data.
CHUNK_BYTES = 16 * 2**20


class TowerData:
    """Copies of variables on the devices of towers, one for each task.

    Parameters
    ----------
    towers : sequence of Tower
    originals : dict of str to StateVariable
        Variables on the device of the first tower.

    Attributes
    ----------
    variables : list of dict of str to StateVariable
        Variables of each tower; towers of one task have the same ones.
    """

    def __init__(self, towers: Sequence[Tower], originals: Dict[str, StateVariable]):
        by_device = {towers[0].data_device: originals}
        self._copies: List[Tuple[str, Dict[str, StateVariable]]] = []
        for tower in towers:
            device = tower.data_device
            if device not in by_device:
                with tf.device(device):
                    by_device[device] = {
                        name: StateVariable(name, own.dtype, own.shape, is_fed=False) for name, own in originals.items()
                    }
                self._copies.append((device, by_device[device]))
        self.variables = [by_device[tower.data_device] for tower in towers]
        self._first: Dict[str, tf.Tensor] = {}
        self._chunk: Dict[str, tf.Tensor] = {}
        self._clear: List[tf.Operation] = []
        self._write: Dict[str, tf.Operation] = {}
        for name, own in originals.items() if self._copies else ():
            self._first[name] = tf.placeholder(tf.int32, [], "first")
            self._chunk[name] = tf.placeholder(own.dtype, (None, *own.shape[1:]), "chunk")
            writes = []
            for device, copies in self._copies:
                with tf.device(device):
                    self._clear.append(copies[name].assign(tf.zeros(own.shape, own.dtype)))
                    writes.append(_written(copies[name], self._first[name], self._chunk[name]))
            self._write[name] = tf.group(*writes)

    def load(self, session: tf.Session, arrays: Mapping[str, np.ndarray]) -> None:
        """Send arrays to the tasks that have copies: from here to the first task once, from there to the others."""
        if not self._copies:
            return
        session.run(self._clear)
        for name, write in self._write.items():
            array = arrays[name]
            rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
            for first in range(0, len(array), rows):
                session.run(write, {self._first[name]: first, self._chunk[name]: array[first : first + rows]})


def _written(variable: StateVariable, first: tf.Tensor, rows: tf.Tensor) -> tf.Operation:
    """Return the operation that sets the rows of a variable from ``first`` on."""
    received = tf.identity(rows)
    indices = first + tf.range(tf.shape(received)[0])
    return tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=indices, updates=received)
