"""Session of a graph, in this process or on a TensorFlow server."""

# Apart from the graph of a run, because it knows servers and devices, but no network.

import socket
from typing import Any, Callable, List, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions

from qatviz.errors import SettingError
from qatviz.protocol.run_spec import Placement
from qatviz.training.server import CALL_TIMEOUT_S, SESSION_TIMEOUT_S, check_reachable
from qatviz.training.towers import JOB


class LocalSession(tf.Session):  # type: ignore[misc]  # untyped base
    """Session in this process with fast callables.

    Those of ``tf.Session`` prepare feeds and fetches anew in each call, which takes 0.2 ms for a training step.
    """

    def make_callable(self, fetches: Any, feed_list: Sequence[tf.Tensor] = ()) -> Callable[..., Any]:
        """Return a function of values for ``feed_list`` that returns what ``fetches``, nested as they are, yield.

        It is prepared at its first call. An operation yields None. Its errors do not know their operation, but their
        message names it.
        """
        return _LocalCallable(self, fetches, feed_list)


class _LocalCallable:
    """Callable of a :class:`LocalSession`."""

    def __init__(self, session: LocalSession, fetches: Any, feeds: Sequence[tf.Tensor]):
        self._session, self._fetches = session, fetches
        self._dtypes = [feed.dtype.as_numpy_dtype for feed in feeds]
        flat = tf.nest.flatten(fetches)
        names: List[str] = [item.name for item in flat if isinstance(item, tf.Tensor)]
        self._order = list(dict.fromkeys(names))  # TensorFlow refuses a tensor that is fetched twice
        self._places = [self._order.index(item.name) if isinstance(item, tf.Tensor) else None for item in flat]
        self._targets = list(dict.fromkeys(item.name for item in flat if not isinstance(item, tf.Tensor)))
        self._feeds = [feed.name for feed in feeds]
        self._run: Optional[Callable[..., List[np.ndarray]]] = None

    def __call__(self, *values: Any) -> Any:
        if self._run is None:
            options = CallableOptions(feed=self._feeds, fetch=self._order, target=self._targets)
            self._run = self._session._make_callable_from_options(options)
        found = self._run(*[np.asarray(value, dtype) for value, dtype in zip(values, self._dtypes)])
        flat = [None if place is None else found[place] for place in self._places]
        return tf.nest.pack_sequence_as(self._fetches, flat)


def open_session(graph: tf.Graph, placement: Placement) -> tf.Session:
    """Return a session of a graph."""
    config = tf.ConfigProto(
        intra_op_parallelism_threads=placement.intra_op_threads,
        inter_op_parallelism_threads=placement.inter_op_threads,
        allow_soft_placement=True,
    )
    if placement.workers:
        job = config.cluster_def.job.add(name=JOB)
        for index, address in enumerate(placement.workers):
            job.tasks[index] = address
    elif placement.replicas > 1:
        config.device_count["CPU"] = placement.replicas
    # The graph rewriter delays the start, without a measurable effect on the speed of steps.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    target = session_target(placement)
    if target:
        config.operation_timeout_in_ms = int(CALL_TIMEOUT_S * 1000)
        return tf.Session(target, graph=graph, config=config)
    return LocalSession(graph=graph, config=config)


def session_target(placement: Placement) -> str:
    """Return the target of a placement's session; empty: this process."""
    return placement.target or (f"grpc://{placement.workers[0]}" if placement.workers else "")


def replica_kind(placement: Placement) -> str:
    """Return the type of the devices for replicas: "gpu" if this process has enough of them, else "cpu"."""
    if placement.replicas < 2:
        return "cpu"
    return "gpu" if len(tf.config.experimental.list_physical_devices("GPU")) >= placement.replicas else "cpu"


def check_server(target: str) -> None:
    """Raise SettingError unless a TensorFlow server at ``target`` creates a session within the time limit."""
    check_reachable(target)
    try:
        _run_anything(target, SESSION_TIMEOUT_S)
    except tf.errors.OpError as error:
        raise SettingError(
            f"session target {target}: no TensorFlow server answers there, or not all of its workers are up: "
            f"{error.message}"
        ) from error


def answers(address: str, timeout_s: float) -> bool:
    """Return whether a TensorFlow server at ``host:port`` creates a session within the time limit."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        _run_anything(f"grpc://{address}", timeout_s)
    except (OSError, tf.errors.OpError):
        return False
    return True


def _run_anything(target: str, timeout_s: float) -> None:
    graph = tf.Graph()
    with graph.as_default():
        anything = tf.constant(0)
    config = tf.ConfigProto(operation_timeout_in_ms=int(timeout_s * 1000))
    with tf.Session(target, graph=graph, config=config) as session:
        session.run(anything)


def device_types(session: tf.Session) -> str:
    """Return the types of a session's devices, for display."""
    kinds = [device.device_type for device in session.list_devices() if not device.device_type.startswith("XLA")]
    return ", ".join(kinds)
