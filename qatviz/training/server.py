"""Check that a TensorFlow server is reachable; without it, a session would wait forever."""

import socket
import time
from urllib.parse import urlsplit

from qatviz.errors import SettingError

#: Time limits in seconds for connecting to a server, and for creating a session.
CONNECT_TIMEOUT_S, SESSION_TIMEOUT_S = 5.0, 10.0
#: Time limit of a call in seconds: a server that has died must end the run rather than block it forever.
CALL_TIMEOUT_S = 120.0
_RETRY_S = 0.5
_EXPECTED = "expected grpc://HOST:PORT of a TensorFlow server"


def check_reachable(target: str, wait_s: float = 0.0) -> None:
    """Verify that a server accepts connections at ``target`` within ``wait_s`` seconds; needs no TensorFlow.

    Raises
    ------
    SettingError
        If ``target`` is not of the form ``grpc://host:2222``, or nothing answers within `CONNECT_TIMEOUT_S`.
    """
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingError(f"session target {target!r}: {error}: {_EXPECTED}") from error
    if parts.scheme != "grpc" or not host or not port or parts.path or parts.query or parts.fragment or parts.username:
        raise SettingError(f"session target is {target!r}: {_EXPECTED}")
    deadline = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((host, port), CONNECT_TIMEOUT_S).close()
            return
        except (OSError, UnicodeError) as error:
            if time.monotonic() >= deadline:
                raise SettingError(f"session target {target}: nothing answers there: {error}") from error
        time.sleep(_RETRY_S)
