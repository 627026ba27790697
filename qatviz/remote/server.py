"""Server of runs: it prepares, trains and analyses runs on this machine for viewers on any other.

Runs go on without viewers. :class:`Server` has the runs, and a :class:`Session` for each viewer that is connected; what
the viewers of one run receive is in :mod:`qatviz.remote.hosted_run`.
"""

import contextlib
import os
import threading
import time
import traceback
import uuid
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from qatviz.errors import QatvizError, RecordError, RunStateError, SettingError
from qatviz.export.progress import Progress
from qatviz.protocol import values
from qatviz.protocol.commands import Command
from qatviz.remote import telemetry as t
from qatviz.remote.address import candidates
from qatviz.remote.calls import SIGNATURES, arguments_of
from qatviz.remote.errors import FrameError, LinkError, TooLargeError, error_form
from qatviz.remote.exports import ExportedFiles
from qatviz.remote.forms import Arrays, form_of, value_of
from qatviz.remote.frames import FROM_SERVER, FROM_VIEWER, encode
from qatviz.remote.handshake import STRANGER_S, Viewer, admit, welcome, within
from qatviz.remote.hosted_run import HostedRun
from qatviz.remote.link import Link
from qatviz.remote.streams import Stream
from qatviz.remote.subscription import Subscription
from qatviz.session.folders import runs_folder
from qatviz.session.prepared import Notice, Prepared
from qatviz.session.recorded import RecordedRun
from qatviz.session.request import OpenRequest, RunRequest
from qatviz.session.workplace import LocalWorkplace, ModelChecks
from qatviz.telemetry.history import History
from qatviz.telemetry.run_handle import RunHandle

#: Seconds without viewers after which a run that was not started is dropped; one that has ended, as long after its end.
_UNUSED_S = 120.0
#: Largest number of calls in progress for one viewer, and of those that it has cancelled and that have not ended yet.
_MOST_CALLS, _MOST_CANCELLED = 32, 32
#: Largest number of peers that have not shown the token yet.
_MOST_STRANGERS = 64


class Server:
    """Runs of this machine, and the connections of the viewers that show them.

    Parameters
    ----------
    workplace : LocalWorkplace
        Prepares and evaluates the runs.
    host : str
        Name of the machine, which windows show.
    """

    def __init__(self, workplace: LocalWorkplace, host: str):
        self.workplace, self.host = workplace, host
        self.instance = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._runs: Dict[str, HostedRun] = {}
        self._sessions: List[Session] = []
        self._ended: List[Session] = []  # which may have calls in progress
        self._strangers: Dict[threading.Thread, Stream] = {}  # peers that are being greeted
        self._is_closed = False
        self._in_use_at = time.monotonic()  # last time at which there was a viewer, or a run trained

    def serve(self, stream: Stream, token: str = "") -> None:
        """Serve a peer on threads of its own; unless ``token`` is empty, only after the peer has shown it.

        The stream is closed if the server is closed, or too many peers have not shown their token yet.

        Raises
        ------
        RuntimeError
            If no thread can be started; the stream is closed.
        """
        thread = threading.Thread(target=self._greet, args=(stream, token), name="qatviz-session", daemon=True)
        is_admitted = False
        try:
            with self._lock:
                if not self._is_closed and len(self._strangers) < _MOST_STRANGERS:
                    thread.start()  # within the lock, which its end needs: `close` joins threads that were started
                    self._strangers[thread] = stream
                    is_admitted = True
        finally:
            if not is_admitted:
                stream.close()

    def _greet(self, stream: Stream, token: str) -> None:
        """Begin the session of a peer that shows the token; close the stream of any other."""
        try:
            self._begin(stream, token)
        finally:
            with self._lock:
                self._strangers.pop(threading.current_thread(), None)

    def _begin(self, stream: Stream, token: str) -> None:
        def greet() -> Viewer:
            admit(stream, token)
            return welcome(stream, self.instance, self.host)

        try:
            viewer: Viewer = within(stream, STRANGER_S, greet)
        except (QatvizError, OSError, EOFError):
            stream.close()
            return
        session = Session(self, stream, viewer)
        with self._lock:
            is_late = self._is_closed
            if not is_late:
                self._sessions.append(session)
        if is_late:
            stream.close()
        else:
            session.start()

    def remove(self, session: "Session") -> None:
        """Remove a session, whose connection has ended; :meth:`close` waits for its calls in progress."""
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
            self._ended = [known for known in self._ended if known.has_calls] + [session]
            self._in_use_at = time.monotonic()

    # Runs

    def add(self, prepared: Prepared) -> HostedRun:
        """Add a prepared run, with a new id; if the server is closed, discard the run and raise RunStateError."""
        hosted = HostedRun(uuid.uuid4().hex[:16], prepared)
        with self._lock:
            is_late = self._is_closed
            if not is_late:
                self._runs[hosted.id] = hosted
        if is_late:
            hosted.close()
            raise RunStateError("the server has ended")
        self._drop_unused()
        return hosted

    def run(self, id: str) -> HostedRun:
        """Return the run with this id; raise RunStateError if there is none, or it was dropped."""
        with self._lock:
            hosted = self._runs.get(id)
        if hosted is None:
            raise RunStateError("the program that trained this run has ended")
        return hosted

    def training(self) -> List[HostedRun]:
        """Return the runs that train, in the order in which they were added."""
        with self._lock:
            return [hosted for hosted in self._runs.values() if hosted.is_training]

    def handles(self) -> Dict[str, RunHandle]:
        """Return the handles of all runs by id."""
        with self._lock:
            return {id: hosted.run for id, hosted in self._runs.items()}

    def hosted_at(self, directory: str) -> Optional[HostedRun]:
        """Return the run that trains and is recorded to a directory; None if there is none."""
        path = os.path.realpath(directory)
        return next((run for run in self.training() if run.directory and os.path.realpath(run.directory) == path), None)

    def _drop_unused(self) -> None:
        """Close and forget the runs that have neither trained nor had a viewer for :data:`_UNUSED_S`."""
        now = time.monotonic()
        with self._lock:
            unused = [
                hosted
                for hosted in self._runs.values()
                if not hosted.is_training and not hosted.has_viewers and now - hosted.idle_since > _UNUSED_S
            ]
            for hosted in unused:
                del self._runs[hosted.id]
        for hosted in unused:
            hosted.close()

    # End

    def is_idle(self, seconds: float) -> bool:
        """Return whether there has been no viewer, and nothing has trained, for that number of seconds.

        It must be called regularly: it notes that a run trains, and drops unused runs with their locks and graphs.
        """
        self._drop_unused()
        is_training, now = bool(self.training()) or self.workplace.has_sweeps, time.monotonic()
        with self._lock:
            if self._sessions or is_training:
                self._in_use_at = now
            return now - self._in_use_at > seconds

    def close(self) -> None:
        """End all connections, stop all runs and sweeps, and wait until these have saved their states."""
        with self._lock:
            self._is_closed = True
            sessions, strangers = self._sessions + self._ended, dict(self._strangers)
        for stream in strangers.values():
            stream.close()
        for session in sessions:
            session.end()
        for thread in strangers:
            thread.join()
        with self._lock:
            runs, self._runs = list(self._runs.values()), {}
        for hosted in runs:
            if hosted.began:
                hosted.run.request_stop()
        for hosted in runs:
            if hosted.began:
                hosted.run.wait()
            hosted.close()
        self.workplace.close()


class Session:
    """Connection of one viewer: its frames are handled on the reading thread, its calls each on a thread of their own.

    Parameters
    ----------
    server : Server
    stream : Stream
        Stream on which the viewer was admitted.
    viewer : Viewer
    """

    def __init__(self, server: Server, stream: Stream, viewer: Viewer):
        self._server, self.viewer = server, viewer
        self._link = Link(stream, FROM_VIEWER, FROM_SERVER, self._on_frame, self._on_end, "server")
        self._lock = threading.Lock()
        self._subscriptions: Dict[str, Subscription] = {}  # by their ids
        self._calls: Dict[int, threading.Thread] = {}
        self._cancelled: Dict[int, threading.Event] = {}
        self._has_ended = False
        self._exports, self._checks = ExportedFiles(), ModelChecks()
        self._handlers = {
            "call": self._on_call,
            "cancel": self._on_cancel,
            "attach": self._on_attach,
            "detach": self._on_detach,
            "fill": self._on_fill,
            "command": self._on_command,
            "start": self._on_start,
            "view": self._on_view,
            "steer": self._on_steer,
            "answer": self._on_answer,
        }

    @property
    def has_calls(self) -> bool:
        """Whether calls are in progress."""
        with self._lock:
            return bool(self._calls)

    def start(self) -> None:
        """Begin to handle the viewer's frames."""
        self._link.start()

    def end(self) -> None:
        """End the connection, and wait until its threads and calls have ended."""
        self._link.end()
        self._link.join()
        with self._lock:
            calls = list(self._calls.values())
        for thread in calls:
            thread.join()
        self._exports.close()

    def _on_end(self, reason: str) -> None:
        with self._lock:
            self._has_ended = True
            subscriptions, self._subscriptions = list(self._subscriptions.values()), {}
            for cancelled in self._cancelled.values():
                cancelled.set()
        for subscription in subscriptions:
            subscription.run.unsubscribe(subscription)
        self._checks.cancel()
        self._exports.close()
        self._server.remove(self)

    def _on_frame(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        handler = self._handlers.get(str(header.get("t")))
        if handler is None:
            raise FrameError(f"a frame of the unknown kind {header.get('t')!r}")
        try:
            handler(header, arrays)
        except (ValueError, TypeError, KeyError) as error:
            raise FrameError(f"an invalid frame of the kind {header.get('t')!r}: {error}") from error

    # Runs

    def _on_attach(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        id = values.text(header["run"], "run")
        received = values.whole(header["received"], "number of events")
        subscribed, tail = values.name(header.get("subscription", id), "subscription"), t.tail_of(header["tail"])
        try:
            hosted = self._server.run(id)
        except RunStateError as error:
            self._link.send({"t": t.GONE, "run": subscribed, "message": str(error)})
            return
        subscription = hosted.subscribe(subscribed, self.viewer, self._link, received, tail)
        with self._lock:
            replaced = self._subscriptions.pop(subscribed, None)
            has_ended = self._has_ended  # on another thread, which did not see the subscription
            if not has_ended:
                self._subscriptions[subscribed] = subscription
        if has_ended:
            hosted.unsubscribe(subscription)
        if replaced is not None:
            replaced.run.unsubscribe(replaced)

    def _on_detach(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        with self._lock:
            subscription = self._subscriptions.pop(values.text(header["run"], "run"), None)
        if subscription is not None:
            subscription.run.unsubscribe(subscription)

    def _subscription(self, header: Dict[str, Any]) -> Optional[Subscription]:
        """Return the subscription that a frame names; None if it has ended since the frame was sent."""
        with self._lock:
            return self._subscriptions.get(values.text(header["run"], "run"))

    def _on_fill(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        tail, subscription = t.tail_of(header["tail"]), self._subscription(header)
        if subscription is not None:
            subscription.fill(tail)

    def _on_command(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        id, run = values.name(header["id"], "id"), values.text(header["run"], "run")
        command = value_of(Command, header["command"])
        try:
            self._server.run(run).send(self.viewer, command, id)
        except RunStateError as error:
            self._link.send({"t": t.REFUSED, "run": run, "id": id, "message": str(error)})
        else:
            self._link.send({"t": t.ACCEPTED, "run": run, "id": id})

    def _on_start(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        with contextlib.suppress(RunStateError):  # reported to the viewer when it attaches
            self._server.run(values.text(header["run"], "run")).start()

    def _on_view(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        histograms, subscription = values.boolean(header["histograms"], "histograms"), self._subscription(header)
        tensors = header.get("tensors")  # not in frames of older viewers
        if tensors is not None:
            tensors = [values.text(name, "name of a tensor") for name in values.sequence(tensors, "tensors")]
        if subscription is not None:
            subscription.show(histograms, tensors)

    def _on_steer(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        id, subscription = values.text(header.get("id", ""), "id"), self._subscription(header)
        if subscription is not None:
            subscription.run.ask_to_steer(subscription.viewer, id)
            self._accept(subscription, id)

    def _on_answer(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        hands_over, subscription = values.boolean(header["hands_over"], "hands_over"), self._subscription(header)
        id, asking = (values.text(header.get(name, ""), name) for name in ("id", "viewer"))
        if subscription is not None:
            subscription.run.answer(self.viewer, hands_over, asking, id)
            self._accept(subscription, id)

    def _accept(self, subscription: Subscription, id: str) -> None:
        if id:
            self._link.send({"t": t.ACCEPTED, "run": subscription.run.id, "id": id})

    # Calls

    def _on_call(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        number, name = values.whole(header["id"], "id"), values.text(header["name"], "name")
        cancelled = threading.Event()
        thread = threading.Thread(
            target=self._call,
            args=(number, name, header.get("arguments"), t.numbered(arrays), cancelled),
            name="qatviz-call",
            daemon=True,
        )
        with self._lock:
            if number in self._calls:
                raise FrameError(f"there is a call {number} already")
            wanted = sum(not known.is_set() for known in self._cancelled.values())
            has_room = wanted < _MOST_CALLS and len(self._calls) < _MOST_CALLS + _MOST_CANCELLED
            is_accepted = has_room and not self._has_ended
            if is_accepted:
                self._calls[number], self._cancelled[number] = thread, cancelled
        if is_accepted:
            thread.start()
            return
        refused = QatvizError(f"{name!r} is not executed: {_MOST_CALLS} calls of this window are in progress")
        with contextlib.suppress(LinkError):
            self._link.send_encoded(_error_frame(number, refused))

    def _on_cancel(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        with self._lock:
            cancelled = self._cancelled.get(values.whole(header["id"], "id"))
        if cancelled is not None:
            cancelled.set()

    def _call(self, number: int, name: str, rows: Any, arrays: List[np.ndarray], cancelled: threading.Event) -> None:
        """Execute a call, and send its result or error."""
        try:
            result, own = self._result(number, name, rows, arrays, cancelled)
            answer = encode({"t": "result", "id": number, "value": result}, t.named(own), FROM_SERVER)
        except TooLargeError as error:
            answer = _error_frame(number, QatvizError(f"the result of {name!r} can't be sent: {error}"))
        except Exception as error:  # the viewer shows it
            answer = _error_frame(number, error)
        with self._lock:
            self._calls.pop(number, None)
            self._cancelled.pop(number, None)
        with contextlib.suppress(LinkError):
            self._link.send_encoded(answer)

    def _result(
        self, number: int, name: str, rows: Any, arrays: List[np.ndarray], cancelled: threading.Event
    ) -> Tuple[Any, Arrays]:
        """Execute a call; return the form of its result, and its arrays."""
        progress = Progress(lambda what, done: self._report(number, what, done), cancelled.is_set)
        own: Arrays = []
        if name == "prepare":
            return self._prepare(rows, own), own
        if name == "open":
            return self._open(rows, own), own
        if name == "export":
            return self._exports.export(self._server.workplace, rows, progress), own
        if name == "read":
            return form_of(self._exports.read(rows), own), own
        if name == "forget":
            self._exports.forget(rows)
            return None, own
        # A new handle for each call, since the workplace keeps the evaluators of a handle.
        no_run = RecordedRun({}, 0, History({}), [])
        given = arguments_of(name, rows, arrays, self._server.handles(), no_run)
        signature = SIGNATURES[name]
        if signature.has_progress:
            given.append(progress)
        checks: Dict[str, Any] = {"check_model": self._checks.check, "cancel_checks": self._checks.cancel}
        return form_of((checks.get(name) or getattr(self._server.workplace, name))(*given), own), own

    def _report(self, number: int, what: str, fraction: float) -> None:
        with contextlib.suppress(LinkError):
            self._link.send({"t": "progress", "id": number, "what": what, "fraction": fraction})

    def _prepare(self, rows: Any, arrays: Arrays) -> Any:
        """Return the form of a prepared run; a request to open a run that trains here returns that run."""
        (row,) = values.sequence(rows, "arguments")
        request: RunRequest = value_of(RunRequest, row)
        hosted = self._server.hosted_at(request.directory) if isinstance(request, OpenRequest) else None
        notices: List[Notice] = []
        if hosted is None:
            hosted = self._server.add(self._server.workplace.prepare(request, notices.append))
        return prepared_form(hosted, notices, arrays)

    def _open(self, rows: Any, arrays: Arrays) -> Any:
        """Return the form of the run at a path or of a name; if empty, of the newest that trains (None without one)."""
        (run,) = values.sequence(rows, "arguments")
        if not values.name(run, "run"):
            training = self._server.training()
            return prepared_form(training[-1], [], arrays) if training else None
        folder = None
        with contextlib.suppress(SettingError):  # there is no home directory
            folder = runs_folder()
        paths = candidates(run, folder)
        found = next((path for path in paths if os.path.isdir(path)), None)
        if found is None:
            raise RecordError(f"there is no run {run!r}: none of the directories {', '.join(paths)} exists")
        return self._prepare([OpenRequest(found).to_dict()], arrays)


def _error_frame(number: int, error: Exception) -> bytes:
    """Return the answer to a call that has failed; an error in the program must be the one that is being handled."""
    return encode({"t": "error", "id": number, "error": error_form(error, traceback.format_exc())})


def prepared_form(hosted: HostedRun, notices: List[Notice], arrays: Arrays) -> Dict[str, Any]:
    """Return the form of a run of the server with the data that a viewer needs to show it; append to ``arrays``."""
    log, book, received, snapshots = hosted.present()
    prepared = hosted.prepared
    return {
        "run": hosted.id,
        "state": hosted.run.state,
        "step": hosted.run.step,
        "received": received,
        "description": dict(hosted.run.description),
        "network": form_of(prepared.network, arrays),
        "book": form_of(book, arrays),
        "title": prepared.title,
        "batches_per_epoch": prepared.batches_per_epoch,
        "directory": prepared.directory,
        "log": [form_of(logged, arrays) for logged in log],
        "snapshots": [form_of(snapshot, arrays) for snapshot in snapshots],
        "notices": [form_of(notice, arrays) for notice in notices],
        "tracks": {track: list(hosted.run.history.names(track)) for track in hosted.run.history.tracks},
    }
