"""Two-way streams of bytes to a peer: a socket, or standard input and output of a process, such as the user's ssh."""

import abc
import contextlib
import os
import socket
import subprocess
import threading
from typing import Any, Dict, List, Optional

from qatviz.remote.errors import LinkError

#: Longest time (s) to wait for the last messages of a process that has ended.
_LAST_MESSAGES_S = 1.0
#: Number of the last bytes that are kept of the standard error of a process.
_KEPT_BYTES = 4096


class Stream(abc.ABC):
    """Two-way stream of bytes to a peer.

    One thread may read and another one write at the same time; any thread may close it.
    """

    @abc.abstractmethod
    def read(self, length: int) -> bytes:
        """Block until bytes arrive, and return at most ``length`` of them; no bytes once the stream has ended."""

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Write all bytes; block until the peer, or a buffer on the way, has taken them.

        Raises
        ------
        OSError
            If the stream has ended.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the stream; calls that block return or raise. A stream may be closed several times."""

    def last_messages(self) -> str:
        """Return the end of the standard error of the program that provides the stream; empty if there is none.

        Once the stream has ended, it states the reason, such as a message of ssh.
        """
        return ""


class SocketStream(Stream):
    """Stream over a connected socket."""

    def __init__(self, connected: socket.socket):
        self._socket = connected
        with contextlib.suppress(OSError):  # not a TCP socket
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, length: int) -> bytes:
        try:
            return self._socket.recv(length)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class ProcessStream(Stream):
    """Stream over standard input and output of a process, which is started here and killed by :meth:`close`.

    Parameters
    ----------
    command : list of str
        Program and arguments; no shell interprets them here.
    environment : dict, optional
        Variables in addition to those of this process.

    Raises
    ------
    LinkError
        If the program can't be started.
    """

    def __init__(self, command: List[str], environment: Optional[Dict[str, str]] = None):
        options: Dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            # In a session of its own: Ctrl-C in the window's terminal must not end ssh before the window ends.
            self._process = subprocess.Popen(
                command, bufsize=0, env=dict(os.environ, **(environment or {})), start_new_session=True, **options
            )
        except OSError as error:
            raise LinkError(f"{command[0]} can't be started: {error.strerror or error}") from error
        self._messages = b""
        self._listener = threading.Thread(target=self._listen, name="qatviz-link-messages", daemon=True)
        self._listener.start()
        self._closing = threading.Lock()
        self._is_closed = False

    def read(self, length: int) -> bytes:
        assert self._process.stdout is not None
        try:
            return self._process.stdout.read(length) or b""
        except (OSError, ValueError):  # closed meanwhile
            return b""

    def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(data)
        while view:
            try:
                view = view[self._process.stdin.write(view) :]
            except ValueError as error:
                raise OSError("the stream is closed") from error

    def close(self) -> None:
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        process = self._process
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        self._listener.join(_LAST_MESSAGES_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def last_messages(self) -> str:
        self._listener.join(_LAST_MESSAGES_S)
        return self._messages.decode("utf-8", "replace").strip()

    def _listen(self) -> None:
        """Read standard error up to its end."""
        assert self._process.stderr is not None
        while True:
            try:
                part = self._process.stderr.read(_KEPT_BYTES)
            except (OSError, ValueError):
                return
            if not part:
                return
            self._messages = (self._messages + part)[-_KEPT_BYTES:]


def connect_tcp(host: str, port: int, timeout_s: float) -> SocketStream:
    """Return a stream to a program that listens on a port, to which it connects within ``timeout_s`` seconds.

    Raises
    ------
    LinkError
        If no connection can be made.
    """
    try:
        connected = socket.create_connection((host, port), timeout_s)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name such as "a..b", which no host can have
        reason = error.strerror if isinstance(error, OSError) else None
        raise LinkError(f"{host}:{port} can't be reached: {reason or error}") from error
    connected.settimeout(None)
    return SocketStream(connected)
