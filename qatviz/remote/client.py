"""Connection of a window to a server: it is made again when it is lost, and carries runs and calls."""

import contextlib
import getpass
import itertools
import socket
import threading
import uuid
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from qatviz.errors import QatvizError
from qatviz.export.progress import Cancelled, Progress
from qatviz.protocol import values
from qatviz.remote import telemetry as t
from qatviz.remote.address import connector, parse_address
from qatviz.remote.errors import FrameError, LinkError, error_of
from qatviz.remote.frames import FROM_SERVER
from qatviz.remote.handshake import LONGEST_NAME, VIEWER_S, Greeted, Viewer, greet, within
from qatviz.remote.link import Link
from qatviz.remote.remote_run import RemoteRun
from qatviz.remote.streams import Stream

#: Seconds before each attempt to connect again; the last one counts for all further ones.
_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
#: Seconds that the last frames, such as the command that starts a run, may take at the end.
_FLUSH_S = 2.0
#: Seconds between two looks at whether a call is still wanted.
_LOOK_S = 0.1
#: Seconds that a call on the window's thread may take.
QUICK_S = 15.0


class _Call:
    """Call in progress."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.done = threading.Event()
        self.result: Any = None
        self.arrays: List[np.ndarray] = []
        self.error: Optional[Exception] = None
        self.is_cancelled = False
        self._last = ("", 0.0)

    def report(self, what: str, fraction: float) -> None:
        self._last = what, fraction
        self.look()

    def look(self) -> None:
        """Note whether the call is still wanted, which its progress tells when it is reported."""
        try:
            self.progress.at(*self._last)
        except Cancelled:
            self.is_cancelled = True


class Client:
    """Connection to one server.

    Parameters
    ----------
    connect : callable () -> Stream
        Opens a stream; called again when the connection is lost. May raise LinkError.
    place : str
        Name of the machine, as the user has stated it.
    viewer : Viewer
        This window.
    token : str
        Token of a server that listens on a port; empty if a program there shows it.
    """

    def __init__(self, connect: Callable[[], Stream], place: str, viewer: Viewer, token: str = ""):
        self._connect, self._token = connect, token
        self.place, self.viewer = place, viewer
        self._lock = threading.Lock()
        self._link: Optional[Link] = None
        self._closed = threading.Event()
        self._runs: Dict[str, RemoteRun] = {}
        self._calls: Dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._threads: List[threading.Thread] = []
        self.host = place

    def open(self) -> None:
        """Connect.

        Raises
        ------
        LinkError
            If there is no server.
        """
        link, greeted = self._new_link()
        self.host = greeted.host
        self._begin(link)

    def close(self) -> None:
        """End the connection; its runs go on."""
        self._closed.set()
        with self._lock:
            link, threads = self._link, list(self._threads)
        if link is not None:
            link.flush(_FLUSH_S)
            link.end()
            link.join()
        for thread in threads:
            thread.join()

    def send(self, header: Mapping[str, Any]) -> None:
        """Send a frame if there is a connection: what a lost one needs again, the new one begins with."""
        with self._lock:
            link = self._link
        if link is not None:
            try:
                link.send(header)
            except LinkError:
                return

    def attach(self, run: RemoteRun) -> None:
        """Receive what a run reports."""
        with self._lock:
            self._runs[run.hosted_id] = run
            link = self._link
        if link is not None:
            _send_all(link, run.attach_frames())

    def detach(self, run: RemoteRun) -> None:
        """Receive nothing more of a run, which goes on."""
        with self._lock:
            known = self._runs.pop(run.hosted_id, None)
        if known is not None:
            self.send({"t": "detach", "run": run.hosted_id})

    def call(
        self,
        name: str,
        arguments: List[Any],
        arrays: List[np.ndarray],
        progress: Progress = Progress(),
        timeout_s: Optional[float] = None,
    ) -> Tuple[Any, List[np.ndarray]]:
        """Execute a call there, and return its result and arrays.

        Raises
        ------
        QatvizError
            The error there; LinkError if the connection is lost meanwhile.
        Cancelled
        """
        call, number = _Call(progress), next(self._numbers)
        with self._lock:
            link = self._link
            self._calls[number] = call
        try:
            if link is None:
                raise LinkError(f"there is no connection to {self.place}")
            link.send({"t": "call", "id": number, "name": name, "arguments": arguments}, t.named(arrays))
            self._await(call, link, number, timeout_s)
        finally:
            with self._lock:
                self._calls.pop(number, None)
        if call.error is not None:
            raise call.error
        return call.result, call.arrays

    def _await(self, call: _Call, link: Link, number: int, timeout_s: Optional[float]) -> None:
        waited = 0.0
        while not call.done.wait(_LOOK_S):
            waited += _LOOK_S
            call.look()
            if call.is_cancelled:
                link.send({"t": "cancel", "id": number})
                raise Cancelled("cancelled: nothing was written")
            if timeout_s is not None and waited >= timeout_s:
                raise LinkError(f"{self.place} has not answered for {timeout_s:g} s")

    # The connection

    def _new_link(self) -> Tuple[Link, Greeted]:
        stream = self._connect()
        try:
            greeted: Greeted = within(stream, VIEWER_S, lambda: greet(stream, self._token, self.viewer))
        except BaseException:
            stream.close()
            raise
        return Link(stream, FROM_SERVER, self._on_frame, self._on_end, "viewer"), greeted

    def _begin(self, link: Link) -> None:
        with self._lock:
            if self._closed.is_set():
                is_late = True
            else:
                is_late, self._link = False, link
            runs = list(self._runs.values())
        link.start()
        if is_late:
            link.end()
            return
        for run in runs:
            _send_all(link, run.attach_frames())
            run.lose("")

    def _on_end(self, reason: str) -> None:
        with self._lock:
            self._link = None
            calls, runs = list(self._calls.values()), list(self._runs.values())
            is_wanted = not self._closed.is_set()
            if is_wanted:
                self._threads = [known for known in self._threads if known.is_alive()]
                thread = threading.Thread(target=self._reconnect, name="qatviz-reconnect", daemon=True)
                self._threads.append(thread)
        for call in calls:
            call.error = LinkError(f"the connection to {self.place} is lost: {reason}")
            call.done.set()
        if is_wanted:
            for run in runs:
                run.lose(reason or "it has ended")
            thread.start()

    def _reconnect(self) -> None:
        """Connect again, as often as necessary."""
        for pause_s in _pauses():
            if self._closed.wait(pause_s):
                return
            try:
                link, _ = self._new_link()
            except LinkError as error:
                with self._lock:
                    runs = list(self._runs.values())
                for run in runs:
                    run.lose(str(error))
                continue
            self._begin(link)
            return

    def _on_frame(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        if "run" in header:
            with self._lock:
                run = self._runs.get(str(header["run"]))
            if run is not None:  # else it was left
                run.process(header, arrays)
            return
        with self._lock:
            call = self._calls.get(values.whole(header.get("id"), "id of a call"))
        if call is None:  # it was cancelled
            return
        kind = header.get("t")
        if kind == "progress":
            call.report(str(header.get("what")), values.number(header.get("fraction"), "fraction"))
        elif kind == "result":
            call.result, call.arrays = header.get("value"), t.numbered(arrays)
            call.done.set()
        elif kind == "error":
            call.error = error_of(header.get("error"))
            call.done.set()
        else:
            raise FrameError(f"a frame of the unknown kind {kind!r}")


def client_of(address: str, remote_command: str, token: str) -> Tuple[Client, str]:
    """Return a client for an address, not connected, and the run of the address, which may be empty.

    Raises
    ------
    SettingError
        If the address, or the command, is invalid.
    """
    parsed = parse_address(address)
    user = "someone"
    with contextlib.suppress(Exception):  # getpass raises whatever the system's functions do
        user = getpass.getuser()
    viewer = Viewer(uuid.uuid4().hex, f"{user}@{socket.gethostname() or 'a window'}"[:LONGEST_NAME])
    return Client(connector(parsed, remote_command), parsed.place, viewer, token), parsed.run


def _pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _send_all(link: Link, frames: List[Dict[str, Any]]) -> None:
    try:
        for frame in frames:
            link.send(frame)
    except QatvizError:  # the next connection sends them again
        return
