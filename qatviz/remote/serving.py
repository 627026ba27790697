"""The one server of runs of a user: its port, its token in a file, and relays of standard streams to it.

The server listens on a port of this machine, and requires a token that only the user can read. The program that ssh
starts relays its standard streams to the server, which it starts if there is none. So runs continue when a connection
is lost, and all connections see the same runs.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from qatviz.atomic_files import write_private_file
from qatviz.errors import QatvizError, RecordError, SettingError
from qatviz.protocol import values
from qatviz.remote.address import LARGEST_PORT, port_of
from qatviz.remote.errors import LinkError
from qatviz.remote.frames import encode, read_exactly
from qatviz.remote.handshake import GREETING, within
from qatviz.remote.server import Server
from qatviz.remote.streams import SocketStream, connect_tcp
from qatviz.session.folders import user_folder
from qatviz.session.workplace import LocalWorkplace
from qatviz.telemetry.record.run_lock import RunLock

LOOPBACK = "127.0.0.1"
#: Seconds without viewers and without training after which a server that a relay has started ends.
IDLE_S = 300.0
#: Seconds that the start of a server may take, and seconds between two attempts to connect to it.
_START_S, _PAUSE_S = 60.0, 0.1
#: Seconds within which a server on this machine must accept a connection, and within which it must greet.
_CONNECT_S = 5.0
#: Seconds before connections are accepted again after an error, such as too many open files.
_ACCEPT_PAUSE_S = 0.5
#: Number of random bytes in a token.
_TOKEN_BYTES = 24
#: Largest number of bytes that a relay reads at once.
_PIECE = 1 << 16
_STATE_FILE, _TOKEN_FILE, _LOG_FILE = "server.json", "token", "server.log"
#: File mode: readable and writable by the user only.
_PRIVATE = 0o600


class Running(NamedTuple):
    """Address and process id of a server that runs."""

    host: str
    port: int
    pid: int


def server_folder() -> Path:
    """Return the user's private folder for the server's files; create it if it does not exist.

    Raises
    ------
    SettingError
        If the user has no home directory, or the folder can't be created.
    """
    folder = user_folder()
    if folder is None:
        raise SettingError("there is no home directory for the files of the server")
    path = Path(folder) / "server"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise SettingError(f"{path}: can't be created: {error.strerror or error}") from error
    return path


def token_of(folder: Path) -> Tuple[str, bool]:
    """Return the token in the file of a folder, and whether it is new: without a valid file, one is written.

    Raises
    ------
    QatvizError
        If the file can't be written.
    """
    path = folder / _TOKEN_FILE
    with contextlib.suppress(OSError, UnicodeDecodeError):  # a damaged file is replaced
        token = path.read_text(encoding="ascii").strip()
        if len(token) >= _TOKEN_BYTES:
            path.chmod(_PRIVATE)
            return token, False
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    _write_private(path, token + "\n")
    return token, True


def parse_listen(text: str) -> Tuple[str, int]:
    """Return host and port of ``HOST:PORT``; port 0 lets the system choose one.

    Raises
    ------
    SettingError
        If the text has another form.
    """
    host, _, digits = text.strip().rpartition(":")
    host, port = host.strip("[]"), port_of(digits)
    if not host or port is None:
        raise SettingError.of_field("listen", f"is {text!r}: expected HOST:PORT, such as {LOOPBACK}:7077")
    return host, port


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine can reach a server that listens on ``host``."""
    return host == "localhost" or host == "::1" or host.startswith("127.")


class Listener:
    """The one server of the user, listening on a port.

    Parameters
    ----------
    workplace : LocalWorkplace
    host : str
        Name or IP address to listen on.
    port : int
        0 lets the system choose one.

    Attributes
    ----------
    server : Server
    port : int
        Port on which it listens.
    token : str
    is_new_token : bool
        Whether the token was generated at this start.

    Raises
    ------
    SettingError
        If a server runs already, or the address can't be used.
    QatvizError
        If a file of the server can't be written.
    """

    def __init__(self, workplace: LocalWorkplace, host: str, port: int):
        self.folder = server_folder()
        self._lock = _server_lock(self.folder)
        try:
            self.token, self.is_new_token = token_of(self.folder)
            self._socket = _listening_socket(host, port)
        except BaseException:
            self._lock.release()
            raise
        self.host, self.port = host, int(self._socket.getsockname()[1])
        try:
            state = {"host": host, "port": self.port, "pid": os.getpid()}
            _write_private(self.folder / _STATE_FILE, json.dumps(state) + "\n")
        except BaseException:
            self._socket.close()
            self._lock.release()
            raise
        self.server = Server(workplace, socket.gethostname() or "this machine")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="qatviz-listener", daemon=True)
        self._thread.start()

    @property
    def token_file(self) -> Path:
        """Path of the file with the token."""
        return self.folder / _TOKEN_FILE

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connected, _ = self._socket.accept()
                self.server.serve(SocketStream(connected), self.token)
            except (OSError, RuntimeError):  # closed, or out of file descriptors or threads, which others may free
                self._closing.wait(_ACCEPT_PAUSE_S)

    def close(self) -> None:
        """Listen no longer, end all connections, stop all runs, and wait until they have saved their states."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        self.server.close()
        with contextlib.suppress(OSError):
            (self.folder / _STATE_FILE).unlink()
        self._lock.release()


def _server_lock(folder: Path) -> RunLock:
    """Return the lock that the user's server holds, acquired; SettingError if another server holds it."""
    for is_last in (False, True):
        try:
            return RunLock(folder)
        except RecordError as error:
            running = running_server(folder)
            if is_last or running is not None:
                where = f" on {running.host}:{running.port}" if running is not None else ""
                raise SettingError(f"a server of this user runs already{where}") from error
        time.sleep(_PAUSE_S)  # a relay holds the lock for a moment while it deletes a stale file
    raise AssertionError("the last attempt returns or raises")


def _listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; SettingError if that can't be used."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(16)
    except OSError as error:
        listening.close()
        raise SettingError.of_field("listen", f"is {host}:{port}: {error.strerror or error}") from error
    return listening


def running_server(folder: Path) -> Optional[Running]:
    """Return the server whose file is in a folder; None if there is none, or the file is damaged.

    The file of a server that was killed is still there.
    """
    try:
        row = values.mapping(json.loads((folder / _STATE_FILE).read_text(encoding="utf-8")), "server")
        host = values.name(row["host"], "host")
        return Running(host, values.whole(row["port"], "port", 1, LARGEST_PORT), values.whole(row["pid"], "pid", 1))
    except (OSError, ValueError, KeyError):
        return None


def relay_standard_streams(start: Callable[[Path], "subprocess.Popen[bytes]"]) -> None:
    """Relay standard input and output to the user's server, until either end is closed.

    Parameters
    ----------
    start : callable (Path) -> Popen
        Starts a server whose files are in a folder, and returns its process.

    Raises
    ------
    LinkError
        If the server can't be reached.
    SettingError
        As :func:`server_folder`.
    """
    output = os.dup(1)
    os.dup2(2, 1)  # text that a library prints goes to standard error: only frames go to ``output``
    stream = _connected(server_folder(), start)
    os.write(output, GREETING)
    ended = threading.Event()

    def to_server() -> None:
        with contextlib.suppress(OSError):
            while True:
                part = os.read(0, _PIECE)
                if not part:
                    break
                stream.write(part)
        ended.set()
        stream.close()

    def to_viewer() -> None:
        with contextlib.suppress(OSError):
            while True:
                part = stream.read(_PIECE)
                if not part:
                    break
                _write_all(output, part)
        ended.set()

    for target in (to_server, to_viewer):
        threading.Thread(target=target, name="qatviz-relay", daemon=True).start()
    ended.wait()
    stream.close()


def _connected(folder: Path, start: Callable[[Path], "subprocess.Popen[bytes]"]) -> SocketStream:
    """Return a stream to the server, to which the token was sent; start the server if there is none."""
    _remove_stale_state(folder)
    deadline, process = time.monotonic() + _START_S, None
    while True:
        running = running_server(folder)
        if running is not None:
            with contextlib.suppress(QatvizError, OSError, EOFError):
                return _admitted(running, folder)
        if process is None:
            process = start(folder)
        elif process.poll() not in (None, 0):
            raise LinkError(f"the server has ended during its start: {_last_line(folder / _LOG_FILE)}")
        if time.monotonic() > deadline:
            raise LinkError(f"the server has not started within {_START_S:g} s: see {folder / _LOG_FILE}")
        time.sleep(_PAUSE_S)


def _remove_stale_state(folder: Path) -> None:
    """Delete the file of a server that was killed.

    Its port may belong to another program by now, even of another user, which must not see the token.
    """
    try:
        lock = RunLock(folder)
    except RecordError:  # a server holds it
        return
    with contextlib.suppress(OSError):
        (folder / _STATE_FILE).unlink()
    lock.release()


def _admitted(running: Running, folder: Path) -> SocketStream:
    """Return a stream to a running server, to which the token was sent.

    Raises
    ------
    QatvizError, OSError, EOFError
        If no server answers there.
    """
    stream = connect_tcp(_reachable(running.host), running.port, _CONNECT_S)
    try:
        greeting = within(stream, _CONNECT_S, lambda: read_exactly(stream.read, len(GREETING)))
        if greeting != GREETING:
            raise LinkError(f"{running.host}:{running.port} is not a server of qatviz")
        stream.write(encode({"t": "token", "token": token_of(folder)[0]}))
    except BaseException:
        stream.close()
        raise
    return stream


def start_background_server(folder: Path) -> "subprocess.Popen[bytes]":
    """Start a server that outlives this process, and ends when it is idle."""
    log = os.open(str(folder / _LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    options: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    if os.name == "nt":
        options["creationflags"] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    else:
        options["start_new_session"] = True  # the end of ssh's session must not end it
    command: List[str] = [sys.executable, "-m", "qatviz", "serve", "--listen", f"{LOOPBACK}:0", "--until-idle"]
    try:
        return subprocess.Popen(command, **options)
    finally:
        os.close(log)


def _reachable(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on ``host``."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)


def _last_line(path: Path) -> str:
    """Return the last line of a log file; if it has none, a reference to the file."""
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "see " + str(path)


def _write_private(path: Path, text: str) -> None:
    """Write or replace a file that only the user can read; QatvizError if it can't be written."""
    try:
        write_private_file(path, text.encode("utf-8"))
    except OSError as error:
        raise QatvizError(f"{path}: can't be written: {error.strerror or error}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
