"""Worker: a TensorFlow server whose devices compute a part of each batch of a run on another machine.

TensorFlow's protocol has no authentication: whoever can connect can run any operation, including those that read and
write files. On Linux, a worker is therefore reachable from its own machine only, unless another host is chosen.
"""

import ctypes
import json
import os
import socket
import struct
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from qatviz.errors import SettingError

#: Address by which only processes of the same machine connect; and the one of all network interfaces.
LOOPBACK, ALL_INTERFACES = "127.0.0.1", "0.0.0.0"
#: Job of the server until a session names it otherwise.
_BOOT_JOB = "qatviz"
#: Socket option and offset of Linux (asm-generic/socket.h, linux/filter.h).
_SO_ATTACH_FILTER, _NETWORK_HEADER = 26, 0xFFF00000
#: Classic BPF instructions: loads of a byte and a word, comparisons, a shift, and the result.
_LOAD_BYTE, _LOAD_WORD, _JUMP_EQUAL, _SHIFT_RIGHT, _RETURN = 0x30, 0x20, 0x15, 0x74, 0x06
_EXPECTED_TF_CONFIG = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


class ClusterTask(NamedTuple):
    """Cluster of the variable TF_CONFIG.

    Attributes
    ----------
    workers : tuple of str
        Addresses ``host:port`` of all tasks that compute: the chief's (or master's) first, then the workers'.
    own : str
        Address of this process among them; empty if it is none of them.
    """

    workers: Tuple[str, ...]
    own: str


def cluster_from_environment() -> Optional[ClusterTask]:
    """Return the cluster of TF_CONFIG; None without that variable.

    Raises
    ------
    SettingError
        If it does not have the form that TensorFlow documents, or names no workers.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        config: Dict[str, Any] = json.loads(text)
        cluster, task = config["cluster"], config.get("task", {})
        jobs = {job: _addresses(cluster[job]) for job in ("chief", "master", "worker") if job in cluster}
        own = ""
        if task.get("type") in jobs:
            own = jobs[task["type"]][int(task.get("index", 0))]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise SettingError(f"TF_CONFIG is {text!r}: expected {_EXPECTED_TF_CONFIG}") from error
    workers = tuple(address for addresses in jobs.values() for address in addresses)
    if not workers:
        raise SettingError(f"TF_CONFIG names no workers: expected {_EXPECTED_TF_CONFIG}")
    return ClusterTask(workers, own)


def workers_from_environment() -> Tuple[str, ...]:
    """Return the workers of TF_CONFIG, and start a worker in this process if it is one of them.

    The result is empty without that variable.

    Raises
    ------
    SettingError
        As :func:`cluster_from_environment` and :func:`start_worker`.
    """
    cluster = cluster_from_environment()
    if cluster is None:
        return ()
    if cluster.own:
        start_worker(int(cluster.own.rpartition(":")[2]), ALL_INTERFACES)
    return cluster.workers


def _addresses(tasks: Any) -> List[str]:
    """Return the addresses of a job's tasks, a list or a dict by index."""
    return [str(tasks[key]) for key in sorted(tasks, key=int)] if isinstance(tasks, dict) else [str(t) for t in tasks]


def start_worker(port: int, host: str = LOOPBACK, threads: int = 0) -> Any:
    """Start a TensorFlow server (``tf.train.Server``) in this process and return it; it ends with the process.

    Parameters
    ----------
    port : int
        TCP port; 0: any free one.
    host : str
        `LOOPBACK`, which has an effect only if :func:`can_restrict`, or `ALL_INTERFACES`.
    threads : int
        Number of threads that compute one operation (intra-op); 0: one for each core. The number of operations that
        run at the same time (inter-op) is always that of the cores.

    Raises
    ------
    SettingError
        If the port is in use.
    """
    import tensorflow.compat.v1 as tf

    from qatviz.training.lowering import python_calls  # noqa: F401  # functions that evaluations of a run call here

    tf.logging.set_verbosity(tf.logging.ERROR)
    config = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=0)
    try:
        # No session uses this address: each session names its own cluster.
        server = tf.train.Server({_BOOT_JOB: [f"localhost:{port}"]}, job_name=_BOOT_JOB, config=config, start=False)
    except tf.errors.OpError as error:
        raise SettingError(f"port {port}: a worker can't be started there: {error.message}") from error
    if host == LOOPBACK:
        restrict_to_loopback(port_of(server.target))
    server.start()
    return server


def port_of(target: str) -> int:
    """Return the port of a session target ``grpc://host:port``."""
    return int(target.rsplit(":", 1)[1])


def can_restrict() -> bool:
    """Return whether this system can hide a server from other machines."""
    return sys.platform.startswith("linux")


def restrict_to_loopback(port: int) -> None:
    """Make the listening sockets of this process at ``port`` drop packets to other addresses than loopback's.

    TensorFlow 1.15 listens on all interfaces, whatever the address in its configuration. A filter of the socket, which
    the sockets of its connections inherit, drops packets from elsewhere (socket(7), SO_ATTACH_FILTER). Nothing happens
    on systems other than Linux, see :func:`can_restrict`.
    """
    if not can_restrict():
        return
    program = _loopback_filter()
    buffer = ctypes.create_string_buffer(program)
    description = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    for name in os.listdir("/proc/self/fd"):
        try:
            own = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # not a socket, or closed meanwhile
            continue
        with own:
            try:
                is_server = own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and own.getsockname()[1] == port
            except (OSError, IndexError, TypeError):  # a socket of another family
                continue
            if is_server:
                own.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, description)


def _loopback_filter() -> bytes:
    """Return a classic BPF program that accepts packets to 127.0.0.0/8 and ::1 only."""

    def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("@HBBI", code, if_true, if_false, value)

    def header(offset: int) -> int:
        return _NETWORK_HEADER + offset

    return b"".join(
        [
            instruction(_LOAD_BYTE, header(0)),
            instruction(_SHIFT_RIGHT, 4),
            instruction(_JUMP_EQUAL, 6, 2, 0),  # IPv6: skip two
            instruction(_LOAD_BYTE, header(16)),  # first byte of the destination
            instruction(_JUMP_EQUAL, 127, 8, 9),
            instruction(_LOAD_WORD, header(24)),
            instruction(_JUMP_EQUAL, 0, 0, 7),
            instruction(_LOAD_WORD, header(28)),
            instruction(_JUMP_EQUAL, 0, 0, 5),
            instruction(_LOAD_WORD, header(32)),
            instruction(_JUMP_EQUAL, 0, 0, 3),
            instruction(_LOAD_WORD, header(36)),
            instruction(_JUMP_EQUAL, 1, 0, 1),
            instruction(_RETURN, 0xFFFFFFFF),
            instruction(_RETURN, 0),
        ]
    )
