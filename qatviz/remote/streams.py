"""Streams of bytes in both directions: a socket, or the standard streams of a process, such as the user's ssh."""

import abc
import contextlib
import os
import socket
import subprocess
import threading
from typing import Any, Dict, List, Optional

from qatviz.remote.errors import LinkError

#: Seconds that a process may take to end by itself after its input is closed.
_ENDING_S = 1.0
#: Largest number of bytes of a process' messages that are kept.
_KEPT = 4096


class Stream(abc.ABC):
    """Connection to a peer; one thread reads, another writes, any thread closes."""

    @abc.abstractmethod
    def read(self, length: int) -> bytes:
        """Block until there are bytes, and return at most ``length``; none at the end."""

    @abc.abstractmethod
    def write(self, data: bytes) -> None:
        """Write all bytes, which may block.

        Raises
        ------
        OSError
            If the stream is closed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection; blocked calls return."""

    def complaint(self) -> str:
        """Return what a program at the other end has printed about the reason of the end; empty if nothing."""
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
    """Stream over standard input and output of a process that is started.

    Parameters
    ----------
    command : list of str
        Program and arguments; no shell interprets them here.
    environment : dict, optional
        Variables in addition to those of this process.

    Raises
    ------
    LinkError
        If it can't be started.
    """

    def __init__(self, command: List[str], environment: Optional[Dict[str, str]] = None):
        options: Dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            # A session of its own: Ctrl-C in the terminal of the window must not end it before the window.
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
        self._listener.join(_ENDING_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def complaint(self) -> str:
        self._listener.join(_ENDING_S)
        return self._messages.decode("utf-8", "replace").strip()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        while True:
            try:
                part = self._process.stderr.read(_KEPT)
            except (OSError, ValueError):
                return
            if not part:
                return
            self._messages = (self._messages + part)[-_KEPT:]


def connect_tcp(host: str, port: int, timeout_s: float) -> SocketStream:
    """Return a stream to a server that listens on a port.

    Raises
    ------
    LinkError
        If there is none.
    """
    try:
        connected = socket.create_connection((host, port), timeout_s)
    except OSError as error:
        raise LinkError(f"{host}:{port} can't be reached: {error.strerror or error}") from error
    connected.settimeout(None)
    return SocketStream(connected)
