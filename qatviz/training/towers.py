"""Towers: copies of the training step on several devices, each for a part of the batch.

One graph has all of them (in-graph replication), and one session call runs them, so that each setting takes effect on
all towers at the same training step. State and optimizer are on the device of the first tower. Values that are sent to
another device are packed into few tensors, because each tensor is a message between machines.
"""

import itertools
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.errors import SettingError
from qatviz.network.layer import element_count
from qatviz.protocol.run_spec import Placement
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.settings import WEIGHTS
from qatviz.training.lowering.batch_norm import Moments, Number
from qatviz.training.lowering.training import BatchPart

#: Job of the workers in the session's cluster.
JOB = "worker"
#: Largest number of values of a message with parameters or gradients: 4 MB of float32. With several messages, the first
#: are sent while others are still computed.
LARGEST_MESSAGE = 2**20
_RECEIVED_GRADIENT = "QatvizReceivedGradient"


class Tower(NamedTuple):
    """Place of a tower, and the examples of the batch that it gets.

    Attributes
    ----------
    device : str
        Device that computes.
    data_device : str
        Device with the training data: the CPU of the tower's task.
    start, stop : int
        The first of its examples in the batch, and the one after the last.
    """

    device: str
    data_device: str
    start: int
    stop: int


def devices_of(placement: Placement, replica_kind: str = "cpu") -> List[Tuple[str, str]]:
    """Return the device of each worker or replica, and the device with its training data.

    ``replica_kind`` is the type of the devices of ``placement.replicas``.
    """
    if placement.workers:
        tasks = [f"/job:{JOB}/task:{index}" for index in range(len(placement.workers))]
        return [(task + (placement.device or ""), task + "/cpu:0") for task in tasks]
    return [(f"/{replica_kind}:{index}", "/cpu:0") for index in range(max(placement.replicas, 1))]


def towers_of(placement: Placement, batch_size: int, replica_kind: str = "cpu") -> List[Tower]:
    """Return the towers of a run, in the order of their examples.

    Sizes of parts differ by at most one example. More towers than devices are distributed over these in turn.

    Raises
    ------
    SettingError
        If there are more towers than examples in a batch.
    """
    number = placement.num_towers
    if number > batch_size:
        raise SettingError(f"a batch of {batch_size} examples can't be split over {number} workers or replicas")
    devices = devices_of(placement, replica_kind)
    ends = [batch_size * index // number for index in range(number + 1)]
    return [Tower(*devices[index % len(devices)], ends[index], ends[index + 1]) for index in range(number)]


def have_own_processors(towers: Sequence[Tower]) -> bool:
    """Return whether the towers' devices compute at the same time, as workers and GPUs do.

    The CPU devices of one task share its processors.
    """
    return not any(tower.device.startswith("/cpu:") for tower in towers)


def check_settings(book: SettingsBook, placement: Placement) -> None:
    """Check that towers train with the settings ``book`` as one device does.

    The EWGS factor of weights multiplies the magnitude of a gradient: magnitudes of the gradients of parts do not add
    up to that of the batch.

    Raises
    ------
    SettingError
        For EWGS of weights on several towers.
    """
    for group, members in enumerate(book.plan.groups):
        tensor, scaling = book.plan.tensors[members[0]], book.quantizers[group].gradient_scaling
        if placement.num_towers > 1 and tensor.kind == WEIGHTS and scaling > 0:
            raise SettingError.of_field(
                f"{tensor.name}.gradient_scaling",
                f"is {scaling:g}: expected 0 for weights in a run on several workers or replicas",
            )


class Packed:
    """Values of variables as few vectors, by which they are sent to other devices.

    Parameters
    ----------
    values : dict of str to tf.Tensor
        Values of known shapes.

    Attributes
    ----------
    vectors : list of tf.Tensor
        One-dimensional tensors of the values' types.
    """

    def __init__(self, values: Dict[str, tf.Tensor]):
        self._shapes = {name: value.shape.as_list() for name, value in values.items()}
        self._names: List[List[str]] = []
        filling: Dict[tf.DType, Tuple[int, int]] = {}  # of each type: the vector that is filled, and its size
        for name, value in values.items():
            size = element_count(tuple(self._shapes[name]))
            vector, used = filling.get(value.dtype, (-1, 0))
            if vector < 0 or used + size > LARGEST_MESSAGE:
                vector, used = len(self._names), 0
                self._names.append([])
            self._names[vector].append(name)
            filling[value.dtype] = vector, used + size
        self.vectors = [joined([values[name] for name in names]) for names in self._names]

    def received(self) -> List[tf.Tensor]:
        """Return copies of the vectors on the current device."""
        return [tf.identity(vector) for vector in self.vectors]

    def unpacked(self, vectors: Sequence[tf.Tensor]) -> Dict[str, tf.Tensor]:
        """Return the values by name from ``vectors`` with the same structure."""
        values = {}
        for names, vector in zip(self._names, vectors):
            sizes = [element_count(tuple(self._shapes[name])) for name in names]
            parts = tf.split(vector, sizes) if len(names) > 1 else [vector]
            values.update({name: tf.reshape(part, self._shapes[name]) for name, part in zip(names, parts)})
        return values


class SentLevels:
    """Frozen levels of weights, which are sent to other devices only while any weight may be frozen.

    Parameters
    ----------
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    """

    def __init__(self, state: Dict[str, tf.Tensor]):
        levels = state[FROZEN_LEVELS]
        self._shape = levels.shape
        self._sent = tf.cond(state["any_freezes"], lambda: tf.identity(levels), lambda: tf.zeros([0], levels.dtype))

    def received(self) -> Dict[str, tf.Tensor]:
        """Return the array of frozen levels by name, on the current device.

        It is empty, and nothing reads it, while no weight may be frozen.
        """
        levels = tf.identity(self._sent)
        levels.set_shape(self._shape)
        return {FROZEN_LEVELS: levels}


def joined(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return all elements of tensors of one type as a vector."""
    flat = [tf.reshape(tensor, [-1]) for tensor in tensors]
    return tf.concat(flat, 0) if len(flat) > 1 else flat[0]


class Exchange:
    """Moments of whole batches, for batch norms of towers that are built one after the other.

    A batch norm of one tower needs the moments of the same layer in all towers, including towers that are not built
    yet. Until :meth:`connect`, an operation stands in for the combined moments; that method replaces its input.

    Parameters
    ----------
    towers : sequence of Tower
    """

    def __init__(self, towers: Sequence[Tower]):
        self._towers = towers
        self._local: List[List[tf.Tensor]] = []  # by batch norm, then by tower
        self._counts: List[List[np.float32]] = []
        self._results: List[List[tf.Operation]] = []

    def moments_for(self, tower: int) -> Moments:
        """Return the function of the moments of the whole batch, which a tower's batch norms call in layer order."""
        order = itertools.count()

        def moments(mean: tf.Tensor, variance: tf.Tensor, count: Number) -> Tuple[tf.Tensor, tf.Tensor, Number]:
            position = next(order)
            if tower == 0:
                self._local.append([])
                self._counts.append([])
                self._results.append([])
            local = tf.stack([mean, variance])
            result = tf.identity(local, "moments")
            self._local[position].append(local)
            self._counts[position].append(np.float32(count))
            self._results[position].append(result.op)
            mean, variance = tf.unstack(result, num=2)
            inner = np.float32(count) / np.float32(self._towers[tower].stop - self._towers[tower].start)
            return mean, variance, inner * np.float32(self._towers[-1].stop)

        return moments

    def connect(self) -> None:
        """Give all batch norms the moments of the whole batch."""
        with tf.device(self._towers[0].device), tf.name_scope("moments"):
            for local, counts, results in zip(self._local, self._counts, self._results):
                combined = combined_moments(local, counts)
                for operation in results:
                    # TensorFlow adds gradients of the same device first, so that the order of summation would depend on
                    # the towers' devices. The gradient of this operation moves each of them to this device first.
                    with tf.get_default_graph().gradient_override_map({"Identity": _RECEIVED_GRADIENT}):
                        sent = tf.identity(combined)
                    operation._update_input(0, sent)


def combined_moments(parts: Sequence[tf.Tensor], counts: Sequence[np.float32]) -> tf.Tensor:
    """Return mean and unbiased variance of the union of parts, ``[2, channels]``.

    Parameters
    ----------
    parts : sequence of tf.Tensor
        Mean and unbiased variance of each part, ``[2, channels]``.
    counts : sequence of float
        Number of values of each part.

    Notes
    -----
    ``(n - 1) variance = sum (n_k - 1) variance_k + sum n_k (mean_k - mean)**2`` (Chan, Golub and LeVeque 1979), which
    has no cancellation, unlike a difference of mean squares.
    """
    number = np.sum(counts, dtype=np.float64)
    means, variances = zip(*[tf.unstack(part, num=2) for part in parts])
    mean = tf.add_n([own * np.float32(count / number) for own, count in zip(means, counts)])
    terms = [own * np.float32(max(count - 1, 0) / max(number - 1, 1)) for own, count in zip(variances, counts)]
    terms += [tf.square(own - mean) * np.float32(count / max(number - 1, 1)) for own, count in zip(means, counts)]
    return tf.stack([mean, tf.add_n(terms)])


def parts_of(towers: Sequence[Tower], exchange: Exchange, tower_moments: bool) -> List[BatchPart]:
    """Return the part of the batch of each tower; with ``tower_moments``, batch norms use those of the part."""
    size = towers[-1].stop
    return [
        BatchPart(tower.start, tower.stop, size, None if tower_moments else exchange.moments_for(index))
        for index, tower in enumerate(towers)
    ]


@tf.RegisterGradient(_RECEIVED_GRADIENT)  # type: ignore[misc]  # untyped decorator
def _received(_: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """Return the gradient as the output of an operation on the device of the forward operation."""
    return tf.identity(gradient)
