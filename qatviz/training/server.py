"""A TensorFlow server to run on, looked for before anything is sent there: a session would wait for it forever."""

import socket
from urllib.parse import urlsplit

from qatviz.errors import SettingError

#: Seconds in which a server must take a connection, and then make a session.
CONNECT_TIMEOUT_S, SESSION_TIMEOUT_S = 5.0, 10.0
#: Seconds after which a call is given up: a server that is gone must end the run, not hold it up forever.
CALL_TIMEOUT_S = 120.0
_EXPECTED = "expected grpc://HOST:PORT of a TensorFlow server"


def check_reachable(target: str, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """See that something takes connections at ``target``; needs no TensorFlow.

    Raises
    ------
    SettingError
        If ``target`` is not such as ``grpc://host:2222``, or nothing answers there within ``timeout_s`` seconds.
    """
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingError(f"session target {target!r}: {error}: {_EXPECTED}") from error
    if parts.scheme != "grpc" or not host or not port or parts.path or parts.query or parts.fragment or parts.username:
        raise SettingError(f"session target is {target!r}: {_EXPECTED}")
    try:
        socket.create_connection((host, port), timeout_s).close()
    except (OSError, UnicodeError) as error:
        raise SettingError(f"session target {target}: nothing answers there: {error}") from error
