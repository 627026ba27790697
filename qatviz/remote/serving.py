"""The server of runs of one user of a machine: its port, its token in a file, and relays of standard streams to it.

There is one server for each user. It listens on a port of this machine, and requires a token that only the user can
read. A program that is started by ssh relays its standard streams to the server, which it starts if there is none: so
runs go on when the connection is lost, and all connections see the same runs.
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
from qatviz.remote.errors import LinkError
from qatviz.remote.frames import encode, read_exactly
from qatviz.remote.handshake import GREETING
from qatviz.remote.server import Server
from qatviz.remote.streams import SocketStream, connect_tcp
from qatviz.session.folders import user_folder
from qatviz.session.workplace import Workplace
from qatviz.telemetry.record.run_lock import RunLock

LOOPBACK = "127.0.0.1"
#: Seconds after which a server that was started by a relay ends without viewers and runs in training.
IDLE_S = 300.0
#: Seconds that the start of a server may take, and between two looks at it.
_START_S, _LOOK_S = 60.0, 0.1
_CONNECT_S = 5.0
_TOKEN_BYTES = 24
_PIECE = 1 << 16
_STATE_FILE, _TOKEN_FILE, _LOG_FILE = "server.json", "token", "server.log"
_PRIVATE = 0o600


class Running(NamedTuple):
    """Server that runs: where it listens, and its process."""

    host: str
    port: int
    pid: int


def server_folder() -> Path:
    """Return the user's private folder for the server's files, which is made if it does not exist.

    Raises
    ------
    SettingError
        If the user has no home directory, or the folder can't be made.
    """
    folder = user_folder()
    if folder is None:
        raise SettingError("there is no home directory for the files of the server")
    path = Path(folder) / "server"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise SettingError(f"{path}: can't be made: {error.strerror or error}") from error
    return path


def token_of(folder: Path) -> Tuple[str, bool]:
    """Return the token in the file of a folder, and whether it was made now."""
    path = folder / _TOKEN_FILE
    with contextlib.suppress(OSError):
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
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or not host.strip("[]"):
        raise SettingError.of_field("listen", f"is {text!r}: expected HOST:PORT, such as {LOOPBACK}:7077")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine can reach a server on that address."""
    return host == "localhost" or host == "::1" or host.startswith("127.")


class Listener:
    """The one server of the user, listening on a port.

    Parameters
    ----------
    workplace : Workplace
    host, port
        Address to listen on.

    Attributes
    ----------
    port : int
    token : str
    is_new_token : bool
        Whether the token was made now.

    Raises
    ------
    SettingError
        If a server runs already, or the address can't be used.
    """

    def __init__(self, workplace: Workplace, host: str, port: int):
        self.folder = server_folder()
        try:
            self._lock = RunLock(self.folder)
        except RecordError as error:
            running = running_server(self.folder)
            where = f" on {running.host}:{running.port}" if running is not None else ""
            raise SettingError(f"a server of this user runs already{where}") from error
        try:
            self.token, self.is_new_token = token_of(self.folder)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(16)
            self.host, self.port = host, int(self._socket.getsockname()[1])
            state = {"host": host, "port": self.port, "pid": os.getpid()}
            _write_private(self.folder / _STATE_FILE, json.dumps(state) + "\n")
        except OSError as error:
            self._lock.release()
            raise SettingError.of_field("listen", f"is {host}:{port}: {error.strerror or error}") from error
        self.server = Server(workplace, socket.gethostname() or "this machine")
        self._thread = threading.Thread(target=self._accept, name="qatviz-listener", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._socket.accept()
            except OSError:  # closed
                return
            self.server.serve(SocketStream(connected), self.token)

    def close(self) -> None:
        """Listen no longer, end all connections, stop all runs, and wait until they have saved their states."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        self.server.close()
        with contextlib.suppress(OSError):
            (self.folder / _STATE_FILE).unlink()
        self._lock.release()


def running_server(folder: Path) -> Optional[Running]:
    """Return the server whose file is in a folder; None if there is none, or it is damaged."""
    try:
        row = values.mapping(json.loads((folder / _STATE_FILE).read_text(encoding="utf-8")), "server")
        host = values.name(row["host"], "host")
        return Running(host, values.whole(row["port"], "port", 1, 65535), values.whole(row["pid"], "pid", 1))
    except (OSError, ValueError, KeyError):
        return None


def relay_standard_streams(start: Callable[[Path], "subprocess.Popen[bytes]"]) -> None:
    """Connect standard input and output with the user's server, until either end is closed.

    Parameters
    ----------
    start : callable (folder)
        Starts a server.

    Raises
    ------
    LinkError
        If the server can't be reached.
    """
    output = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get among the frames
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
    """Return a stream to the server that has seen the token; the server is started if there is none."""
    deadline, process = time.monotonic() + _START_S, None
    while True:
        running = running_server(folder)
        if running is not None:
            with contextlib.suppress(LinkError, OSError, EOFError):
                stream = connect_tcp(_reachable(running.host), running.port, _CONNECT_S)
                if read_exactly(stream.read, len(GREETING)) == GREETING:
                    stream.write(encode({"t": "token", "token": token_of(folder)[0]}))
                    return stream
        if process is None:
            process = start(folder)
        elif process.poll() not in (None, 0):
            raise LinkError(f"the server has ended at its start: {_last_line(folder / _LOG_FILE)}")
        if time.monotonic() > deadline:
            raise LinkError(f"the server has not started within {_START_S:g} s; its messages: {folder / _LOG_FILE}")
        time.sleep(_LOOK_S)


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
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if lines:
            return lines[-1]
    return "see " + str(path)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only the user can read, in place of any other."""
    try:
        write_private_file(path, text.encode("utf-8"))
    except OSError as error:
        raise QatvizError(f"{path}: can't be written: {error.strerror or error}") from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
