"""Session of a graph, in this process or on a TensorFlow server."""

# Apart from the graph of a run, because it knows servers and devices, but no network.

import socket

import tensorflow.compat.v1 as tf

from qatviz.errors import SettingError
from qatviz.protocol.run_spec import Placement
from qatviz.training.server import CALL_TIMEOUT_S, SESSION_TIMEOUT_S, check_reachable
from qatviz.training.towers import JOB


def open_session(graph: tf.Graph, placement: Placement) -> tf.Session:
    """Return a session of a finalized graph."""
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


def open_local_session(graph: tf.Graph, placement: Placement) -> tf.Session:
    """Return a session of a finalized graph in this process, with the numbers of threads of a run's placement.

    It is for graphs beside that of the run, wherever that is: on a server, sessions share variables by name.
    """
    threads = placement.intra_op_threads, placement.inter_op_threads
    return open_session(graph, Placement(intra_op_threads=threads[0], inter_op_threads=threads[1]))


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
