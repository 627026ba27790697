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
    """Session in this process whose callables prepare feeds and fetches once.

    The callables of ``tf.Session`` prepare them in each call, which takes 0.2 ms for a training step.
    """

    def make_callable(self, fetches: Any, feed_list: Sequence[tf.Tensor] = ()) -> Callable[..., Any]:
        """Return a function that runs ``fetches`` with its arguments as the values of ``feed_list``.

        Its results are nested as ``fetches`` are: an array for each tensor, None for each operation. The function is
        prepared at its first call. The errors that it raises name the failed operation only in their message: their
        ``op`` is None.
        """
        return _LocalCallable(self, fetches, feed_list)


class _LocalCallable:
    """Function that :meth:`LocalSession.make_callable` returns."""

    def __init__(self, session: LocalSession, fetches: Any, feeds: Sequence[tf.Tensor]):
        self._session = session
        self._dtypes = [feed.dtype.as_numpy_dtype for feed in feeds]
        flat = tf.nest.flatten(fetches)
        names: List[str] = [item.name for item in flat if isinstance(item, tf.Tensor)]
        self._fetched = list(dict.fromkeys(names))  # TensorFlow refuses a tensor that is fetched twice
        place = {name: index for index, name in enumerate(self._fetched)}
        # Nested as the fetches: index of each among those fetched; None for an operation.
        self._places = tf.nest.map_structure(
            lambda item: place[item.name] if isinstance(item, tf.Tensor) else None, fetches
        )
        self._targets = list(dict.fromkeys(item.name for item in flat if not isinstance(item, tf.Tensor)))
        self._feeds = [feed.name for feed in feeds]
        self._run: Optional[Callable[..., List[np.ndarray]]] = None

    def __call__(self, *values: Any) -> Any:
        if self._run is None:
            options = CallableOptions(feed=self._feeds, fetch=self._fetched, target=self._targets)
            self._run = self._session._make_callable_from_options(options)
        found = self._run(*[np.asarray(value, dtype) for value, dtype in zip(values, self._dtypes)])
        return _packed(self._places, found)


def _packed(places: Any, found: List[np.ndarray]) -> Any:
    """Return ``places`` (an index, None, or a list, tuple or dict of these) with the results in place of indices.

    ``tf.nest`` takes 0.06 ms for those of a training step.
    """
    if places is None:
        return None
    if isinstance(places, int):
        return found[places]
    if isinstance(places, dict):
        return {name: _packed(own, found) for name, own in places.items()}
    items = [_packed(own, found) for own in places]
    return type(places)(*items) if hasattr(places, "_fields") else type(places)(items)


def open_session(graph: tf.Graph, placement: Placement) -> tf.Session:
    """Return a session of ``graph`` where ``placement`` says: in this process, or on a TensorFlow server."""
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
    """Return the target ``grpc://host:port`` of a placement's session; empty for a session in this process."""
    return placement.target or (f"grpc://{placement.workers[0]}" if placement.workers else "")


def replica_kind(placement: Placement) -> str:
    """Return the type of the devices for replicas: "gpu" if this process has enough of them, else "cpu"."""
    if placement.replicas < 2:
        return "cpu"
    return "gpu" if len(tf.config.experimental.list_physical_devices("GPU")) >= placement.replicas else "cpu"


def check_server(target: str) -> None:
    """Raise SettingError unless the TensorFlow server at ``target`` runs a session within `SESSION_TIMEOUT_S`."""
    check_reachable(target)
    try:
        _run_constant(target, SESSION_TIMEOUT_S)
    except tf.errors.OpError as error:
        raise SettingError(
            f"session target {target}: no TensorFlow server answers there, or not all of its workers are up: "
            f"{error.message}"
        ) from error


def answers(address: str, timeout_s: float) -> bool:
    """Return whether a TensorFlow server at ``address`` (``host:port``) runs a session within ``timeout_s`` seconds."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        _run_constant(f"grpc://{address}", timeout_s)
    except (OSError, tf.errors.OpError):
        return False
    return True


def _run_constant(target: str, timeout_s: float) -> None:
    """Run a constant in a session at ``target``; ``tf.errors.OpError`` if that takes over ``timeout_s`` seconds."""
    graph = tf.Graph()
    with graph.as_default():
        constant = tf.constant(0)
    config = tf.ConfigProto(operation_timeout_in_ms=int(timeout_s * 1000))
    with tf.Session(target, graph=graph, config=config) as session:
        session.run(constant)


def device_types(session: tf.Session) -> str:
    """Return the types of a session's devices, for display: ``CPU, GPU``."""
    kinds = [device.device_type for device in session.list_devices() if not device.device_type.startswith("XLA")]
    return ", ".join(kinds)
