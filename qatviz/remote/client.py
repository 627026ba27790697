"""Connection of a window to a server, for reports of runs and calls; it is restored after a loss."""

import contextlib
import getpass
import itertools
import socket
import threading
import time
import uuid
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import numpy as np

from qatviz.export.progress import Cancelled, Progress
from qatviz.protocol import values
from qatviz.remote import telemetry as t
from qatviz.remote.address import connector, parse_address
from qatviz.remote.errors import FrameError, LinkError, TooLargeError, error_of
from qatviz.remote.frames import FROM_SERVER, FROM_VIEWER
from qatviz.remote.handshake import LONGEST_NAME, VIEWER_S, Viewer, greet, within
from qatviz.remote.link import Link
from qatviz.remote.remote_run import RemoteRun
from qatviz.remote.streams import Stream

#: Seconds before each attempt to connect again; the last number applies to all further attempts.
_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
#: Seconds after which a connection is considered stable: only then do the pauses start again from the shortest, so that
#: a server that ends each connection at once is not flooded.
_STABLE_S = 10.0
#: Seconds that :meth:`Client.close` waits for the last frames, such as the request to start a run, to be written; and
#: for an attempt to connect to end.
_FLUSH_S = 2.0
#: Seconds between two checks whether the user has cancelled a call.
_POLL_S = 0.1
#: Seconds that a call on the window's thread may take: the window does not respond meanwhile.
QUICK_S = 15.0


class _Call:
    """Call in progress; :attr:`done` is set once there is a result or an error."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.done = threading.Event()
        self.result: Any = None
        self.arrays: List[np.ndarray] = []
        self.error: Optional[Exception] = None

    def report(self, what: str, fraction: float) -> None:
        """Report progress; an error of the callback fails the call, not the connection."""
        try:
            self.progress.at(what, fraction)
        except Cancelled:  # the thread that waits for the call notices it, too
            return
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End with an error."""
        self.error = error
        self.done.set()


class Client:
    """Connection to one server. Its methods may be called from any thread.

    Parameters
    ----------
    connect : callable () -> Stream
        Opens a stream; called again when the connection is lost. May raise LinkError.
    place : str
        Name of the machine, as the user has stated it.
    viewer : Viewer
        Id and name of this program, which the server and other viewers see.
    token : str
        Token of a server that listens on a port; empty if a relay there sends it.
    """

    def __init__(self, connect: Callable[[], Stream], place: str, viewer: Viewer, token: str = ""):
        self._connect, self._token = connect, token
        self.place, self.viewer = place, viewer
        self._lock = threading.Lock()
        self._link: Optional[Link] = None
        self._connecting: Optional[Stream] = None  # stream on which a server is being greeted
        self._connected_at = 0.0  # monotonic time
        self._attempts = 0  # number of attempts to connect again since the last stable connection
        self._closed = threading.Event()  # set when no further connection is wanted
        self._runs: Dict[str, RemoteRun] = {}  # by the id of their subscription
        self._calls: Dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._threads: List[threading.Thread] = []

    def open(self) -> None:
        """Connect.

        Raises
        ------
        LinkError
            If no server answers.
        """
        self._begin(self._new_link())

    def abort_connecting(self) -> None:
        """Abort an attempt to connect that is in progress, and make no further ones; an open connection stays open.

        Without this, an attempt lasts until ssh or the network gives up, at most :data:`.handshake.VIEWER_S`. One to
        open a TCP connection is not aborted, but what it opens is closed.
        """
        self._closed.set()
        with self._lock:
            stream = self._connecting
        if stream is not None:
            stream.close()

    def close(self) -> None:
        """End the connection, and make no further one; the runs on the server continue."""
        self.abort_connecting()
        with self._lock:
            link, threads = self._link, list(self._threads)
        if link is not None:
            link.flush(_FLUSH_S)
            link.end()
            link.join()
        for thread in threads:
            thread.join(_FLUSH_S)  # a thread that opens a TCP connection closes it later

    def send(self, header: Mapping[str, Any]) -> None:
        """Send a frame if there is a connection, without waiting.

        A new connection begins with :meth:`RemoteRun.attach_frames`, which repeat what matters of the frames that were
        lost: commands, requests to steer and answers to them, and requests for data.
        """
        with self._lock:
            link = self._link
        if link is not None:
            try:
                link.send(header)
            except LinkError:
                return

    def attach(self, run: RemoteRun) -> None:
        """Subscribe a handle to the reports of its run; several handles of one run have a subscription each."""
        with self._lock:
            if run.hosted_id in self._runs:
                run.subscription = f"{run.hosted_id}-{uuid.uuid4().hex[:8]}"
            self._runs[run.subscription] = run
            link = self._link
        if link is not None:
            _send_all(link, run.attach_frames())

    def run_in_background(self, target: Callable[[], None], name: str) -> None:
        """Call a function on a thread of the given name, unless the client is closed; :meth:`close` waits for it."""
        with self._lock:
            if not self._closed.is_set():
                self._start_thread(target, name)

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        """Start a thread. The caller holds the lock: :meth:`close` joins threads that were started."""
        self._threads = [known for known in self._threads if known.is_alive()]
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def detach(self, run: RemoteRun) -> None:
        """End the subscription of a handle; the run continues."""
        with self._lock:
            known = self._runs.pop(run.subscription, None)
        if known is not None:
            self.send({"t": "detach", "run": run.subscription})

    def call(
        self,
        name: str,
        arguments: List[Any],
        arrays: List[np.ndarray],
        progress: Progress = Progress(),
        timeout_s: Optional[float] = None,
    ) -> Tuple[Any, List[np.ndarray]]:
        """Execute a call on the server, and return the form of its result and the arrays of the result.

        Parameters
        ----------
        name : str
            Name of a method of the workplace, or of a call of :mod:`qatviz.remote.server`.
        arguments : list
            JSON-able forms of the arguments, see :mod:`qatviz.remote.forms`.
        arrays : list of np.ndarray
            Arrays of the arguments.
        progress : Progress
            Receives the progress of the call, and cancels it.
        timeout_s : float, optional
            Longest time to wait for the answer, in seconds; by default unlimited.

        Raises
        ------
        QatvizError
            If the call raises it on the server; LinkError if the connection is lost meanwhile, or there is no answer
            in time; TooLargeError if the arguments are too large for a frame.
        RemoteFailure
            If an error in the program on the server fails the call.
        Cancelled
        """
        call, number = _Call(progress), next(self._numbers)
        with self._lock:
            link = self._link
            if link is not None:
                self._calls[number] = call
        if link is None:
            raise LinkError(f"there is no connection to {self.place}")
        try:
            try:
                link.send({"t": "call", "id": number, "name": name, "arguments": arguments}, t.named(arrays))
            except LinkError as error:
                raise self._lost(str(error)) from error
            except TooLargeError as error:
                raise TooLargeError(f"the arguments of {name!r} can't be sent to {self.place}: {error}") from error
            self._await(call, link, number, timeout_s)
        finally:
            with self._lock:
                self._calls.pop(number, None)
        if call.error is not None:
            raise call.error
        return call.result, call.arrays

    def _await(self, call: _Call, link: Link, number: int, timeout_s: Optional[float]) -> None:
        """Wait for the end of a call; raise Cancelled, or LinkError after ``timeout_s`` seconds."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not call.done.wait(_POLL_S):
            try:
                call.progress.check()
                if deadline is not None and time.monotonic() >= deadline:
                    raise LinkError(f"{self.place} has not answered for {timeout_s:g} s")
            except (Cancelled, LinkError):
                with contextlib.suppress(LinkError):  # the end of a connection cancels its calls
                    link.send({"t": "cancel", "id": number})
                raise

    def _lost(self, reason: str) -> LinkError:
        return LinkError(f"the connection to {self.place} is lost: {reason or 'it was closed'}")

    # The connection

    def _new_link(self) -> Link:
        """Return a new connection, whose server has answered the greeting; it is not started.

        Raises
        ------
        LinkError
            If no server answers, or the client is closed.
        """
        stream = self._connect()
        with self._lock:
            self._connecting = stream
        try:
            if self._closed.is_set():  # before `close` could see the stream
                raise LinkError(f"the connection to {self.place} was closed")
            within(stream, VIEWER_S, lambda: greet(stream, self._token, self.viewer))
        except BaseException:
            stream.close()
            raise
        finally:
            with self._lock:
                self._connecting = None
        return Link(stream, FROM_SERVER, FROM_VIEWER, self._on_frame, self._on_end, "viewer")

    def _begin(self, link: Link) -> None:
        """Start a connection, and attach all runs to it."""
        with self._lock:
            is_late = self._closed.is_set()
            if not is_late:
                self._link, self._connected_at = link, time.monotonic()
            runs = list(self._runs.values())
        link.start()
        if is_late:
            link.end()
            return
        for run in runs:
            _send_all(link, run.attach_frames())
        with self._lock:
            if self._link is link:  # else it is lost again already
                for run in runs:
                    run.problem = ""

    def _on_end(self, reason: str) -> None:
        """Fail all calls, and connect again unless the client is closed."""
        with self._lock:
            self._link = None
            calls = list(self._calls.values())
            is_wanted = not self._closed.is_set()
            if is_wanted:
                for run in self._runs.values():
                    run.problem = reason or "it has ended"
                if time.monotonic() - self._connected_at > _STABLE_S:
                    self._attempts = 0
                self._start_thread(self._reconnect, "qatviz-reconnect")
        for call in calls:
            call.fail(self._lost(reason))

    def _reconnect(self) -> None:
        """Try to connect until it succeeds or the client is closed."""
        while True:
            pause_s = _PAUSES_S[min(self._attempts, len(_PAUSES_S) - 1)]
            self._attempts += 1
            if self._closed.wait(pause_s):
                return
            try:
                link = self._new_link()
            except LinkError as error:
                with self._lock:
                    for run in self._runs.values():
                        run.problem = str(error)
                continue
            self._begin(link)
            return

    def _on_frame(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        try:
            self._process(header, arrays)
        except ValueError as error:
            raise FrameError(f"an invalid frame of the kind {header.get('t')!r}: {error}") from error

    def _process(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        """Process a frame of the server; raise FrameError or ValueError if it is invalid."""
        if "run" in header:
            id, kind = str(header["run"]), header.get("t")
            with self._lock:  # most frames name a subscription, some the run, which may have several handles
                runs = [
                    run
                    for key, run in self._runs.items()
                    if key == id or (kind in t.OF_ALL_HANDLES and run.hosted_id == id)
                ]
            for run in runs:  # none if the subscription was ended meanwhile
                run.process(header, arrays)
            return
        with self._lock:
            call = self._calls.get(values.whole(header.get("id"), "id of a call"))
        if call is not None:  # else it was cancelled
            _process_answer(call, header, arrays)


def _process_answer(call: _Call, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
    """Process a frame of a call.

    Raises
    ------
    FrameError, ValueError
        If it is invalid.
    """
    kind = header.get("t")
    if kind == "progress":
        call.report(str(header.get("what")), values.number(header.get("fraction"), "fraction"))
    elif kind == "result":
        call.result, call.arrays = header.get("value"), t.numbered(arrays)
        call.done.set()
    elif kind == "error":
        call.fail(error_of(header.get("error")))
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
    with contextlib.suppress(Exception):  # without a name, getpass raises whatever the system's functions do
        user = getpass.getuser()
    viewer = Viewer(uuid.uuid4().hex, f"{user}@{socket.gethostname() or 'a window'}"[:LONGEST_NAME])
    return Client(connector(parsed, remote_command), parsed.place, viewer, token), parsed.run


def _send_all(link: Link, frames: List[Dict[str, Any]]) -> None:
    with contextlib.suppress(LinkError):  # the next connection begins with them
        for frame in frames:
            link.send(frame)
