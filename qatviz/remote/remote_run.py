"""Handle of a run on another machine, with the interface of a run in this process."""

import contextlib
import threading
from collections import OrderedDict
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from qatviz.errors import RunStateError, message_of
from qatviz.protocol import events, values
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import HARMLESS, Command, Stop, new_id
from qatviz.protocol.events import event_from
from qatviz.protocol.reasons import RecordPart
from qatviz.protocol.timeline import LoggedEvent
from qatviz.remote import telemetry as t
from qatviz.remote.errors import FrameError, LinkError
from qatviz.remote.frames import FROM_VIEWER, encode
from qatviz.remote.histograms_in_view import ReceivedHistograms
from qatviz.remote.history_mirror import HistoryMirror, NewBranch
from qatviz.remote.pieces import ResultAssembly
from qatviz.telemetry.history import History
from qatviz.telemetry.run_handle import (
    BUILDING,
    FAILED,
    FINISHED,
    NEW,
    PAUSED,
    RECORDED,
    RUNNING,
    STOPPED,
    ChannelHandle,
    Connection,
)

if TYPE_CHECKING:
    from qatviz.remote.client import Client

_ENDS = (FINISHED, STOPPED, FAILED)
#: Events after which a run has ended, or trains.
_TURNS = (*events.ENDINGS, events.Started, events.Restored)
#: View of a window that has not yet told what is in view.
_ALL_IN_VIEW = {"histograms": True}
_STATES = (NEW, BUILDING, RUNNING, PAUSED, *_ENDS, RECORDED)


class Reopened(NamedTuple):
    """Run that the server no longer had, opened again from its record.

    Attributes
    ----------
    hosted_id : str
        Its new id on the server.
    state : str
        :data:`RECORDED`; another one if the run was resumed meanwhile and trains.
    received : int
        Number of the events, at the end of ``log``, that the run has reported on the server since it was opened.
    log : sequence of LoggedEvent
        All events of the record.
    """

    hosted_id: str
    state: str
    received: int
    log: Sequence[LoggedEvent]


class RemoteRun(ChannelHandle):
    """Handle of a run of a server.

    A command that is sent while the connection is lost reaches the run when the connection is restored. No report is
    missing then: events continue after the last one received, and the history is filled from the record.

    Parameters
    ----------
    client : qatviz.remote.client.Client
    id : str
        Id of the run on the server.
    state : str
        Present state of the run.
    step : int
        Number of training steps complete.
    description : mapping of str to object
        As :attr:`description`.
    tracks : dict of str to sequence of str
        Names of the series of its history, by track.
    tensors : int
        Number of its quantized tensors.
    received : int
        Number of the events that the run has reported on the server and the viewer has received already.
    num_recorded : int
        Number of the events in the record of the run that the viewer has received already.
    reopen : callable () -> Reopened, optional
        Opens the run from its record, for a server that no longer has it; None if it is not recorded.

    Raises
    ------
    FrameError
        If there is no such state.

    Attributes
    ----------
    hosted_id : str
        Id of the run on the server.
    subscription : str
        Id of this handle's subscription: the id of the run, or, of a further handle of the client, another one.
    problem : str
        Reason why there is no connection at present; empty if there is one. The client sets it.
    """

    def __init__(
        self,
        client: "Client",
        id: str,
        state: str,
        step: int,
        description: Mapping[str, Any],
        tracks: Dict[str, Sequence[str]],
        tensors: int,
        received: int,
        num_recorded: int = 0,
        reopen: Optional[Callable[[], Reopened]] = None,
    ):
        if state not in _STATES:
            raise FrameError(f"a run in the unknown state {state!r}")
        super().__init__(state, step)
        self._client, self.hosted_id, self.subscription = client, id, id
        self._description, self._tensors = description, tensors
        self.history = History(tracks)
        self._mirror = HistoryMirror(self.history, self._request_missing)
        self._lock = threading.RLock()
        self._received, self._dropped_there = received, 0  # numbers of events, and of reports dropped on the server
        self._num_recorded, self._reopen = num_recorded, reopen
        self._shows_record = False  # the run has ended, and was reopened from its record
        self._trains_again = False  # another window has resumed it
        self._record_problem = ""  # reason why the missing part of the history was not complete the last time
        self._is_complete = self._has_left = False  # whether the history of an ended run is complete; whether left
        self._seen: Tuple[int, int] = (-1, -1)  # branch and step of the newest step record
        self._assembly = ResultAssembly()
        # Frames to which the server replies, by id, in the order in which they were sent; those of commands with these.
        self._unanswered: OrderedDict[str, Tuple[Dict[str, Any], Optional[Command]]] = OrderedDict()
        self._origin, self._number = new_id(), 0
        self._view: Dict[str, Any] = _ALL_IN_VIEW
        self._histograms = ReceivedHistograms()
        self._has_last_event, self._ending_state = False, ""
        self._is_started = state != NEW
        self.problem = ""
        self._viewers: Tuple[Tuple[str, str], ...] = ()
        self._steering: Optional[Tuple[str, str]] = None
        self._asking: Optional[Tuple[str, str]] = None
        if state in _ENDS or state == RECORDED:
            self._ended.set()

    # As a run in this process

    @property
    def description(self) -> Mapping[str, Any]:
        return self._description

    @property
    def dropped(self) -> int:
        return self._dropped_there + super().dropped

    @property
    def connection(self) -> Connection:  # type: ignore[override]
        own = self._client.viewer.id
        steering, asking, viewers = self._steering, self._asking, self._viewers
        return Connection(
            self._client.place,
            self.problem,
            tuple(name for _, name in viewers) if len(viewers) > 1 else (),
            "" if steering is None or steering[0] == own else steering[1],
            "" if asking is None or asking[0] == own else asking[1],
            asking is not None and asking[0] == own,
        )

    def start(self) -> None:
        with self._lock:
            if self._is_started:
                raise RunStateError(f"the run is {self._state}: it can be started once")
            self._is_started, self._state = True, BUILDING
        self._client.send({"t": "start", "run": self.hosted_id})

    def send(self, command: Command, id: str = "") -> str:
        if not isinstance(command, Command):
            raise RunStateError(f"{command!r} is not a command of qatviz.protocol.commands")
        with self._lock:
            if self._ended.is_set():
                raise RunStateError(f"{type(command).__name__}: the run has ended")
            steers = self.connection.steers
            if steers and not isinstance(command, HARMLESS):
                raise RunStateError(f"{steers} steers this run")
            id = id or self._next_id()
            frame = {"t": "command", "run": self.hosted_id, "id": id, "command": command.to_dict()}
            encode(frame, limits=FROM_VIEWER)  # raises TooLargeError even if there is no connection
            self._send_until_answered(frame, command)
        return id

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._origin}-{self._number}"

    def _send_until_answered(self, frame: Dict[str, Any], command: Optional[Command] = None) -> None:
        """Send a frame, on each new connection again until the server has replied; the caller holds the lock."""
        self._unanswered[frame["id"]] = frame, command
        self._client.send(frame)  # within the lock: frames keep their order

    def request_stop(self) -> None:
        if not self.connection.steers:
            with contextlib.suppress(RunStateError):  # it has ended
                self.send(Stop())

    def discard(self) -> None:
        self.leave()

    def leave(self) -> None:
        self._has_left = True
        self._client.detach(self)
        self._ended.set()

    def show_histograms(self, tensors: Optional[Iterable[str]]) -> None:
        view: Dict[str, Any] = {"histograms": tensors is not None}
        if tensors is not None:
            view["tensors"] = sorted(set(tensors))
        with self._lock:
            if view == self._view:
                return
            self._view = view
        self._client.send(self._view_frame())

    def ask_to_steer(self) -> None:
        with self._lock:
            self._send_until_answered({"t": "steer", "run": self.subscription, "id": self._next_id()})

    def answer(self, hands_over: bool) -> None:
        with self._lock:
            if self._asking is not None:
                frame = {"t": "answer", "run": self.subscription, "id": self._next_id(), "viewer": self._asking[0]}
                self._send_until_answered({**frame, "hands_over": hands_over})

    @property
    def has_unanswered(self) -> bool:
        """Whether the server has yet to reply to a command, a request to steer or an answer to one that was sent."""
        with self._lock:
            return bool(self._unanswered)

    # The connection, on the client's threads

    def attach_frames(self) -> List[Dict[str, Any]]:
        """Return the frames that a new connection begins with."""
        with self._lock:
            self._is_complete |= self._ended.is_set() and not self._mirror.is_filling
            self._mirror.expect_filling()
            begin: Dict[str, Any] = {"t": "attach", "run": self.hosted_id, "received": self._received}
            begin.update(tail=list(self._mirror.tail), subscription=self.subscription)
            frames = [begin]
            if self._view != _ALL_IN_VIEW:
                frames.append(self._view_frame())
            if self._is_started and self._state == BUILDING:  # the request to start may have been lost
                frames.append({"t": "start", "run": self.hosted_id})
            frames += [frame for frame, _ in self._unanswered.values()]
            return frames

    def process(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        """Process a frame of the run.

        Raises
        ------
        FrameError
            If it is invalid.
        """
        handler = self._HANDLERS.get(str(header.get("t")))
        if handler is None:
            raise FrameError(f"a frame of the unknown kind {header.get('t')!r}")
        try:
            with self._lock:
                self._dropped_there = values.whole(header.get("dropped", self._dropped_there), "dropped")
                handler(self, header, arrays)
        except (ValueError, TypeError, KeyError) as error:
            raise FrameError(f"an invalid frame of the kind {header.get('t')!r}: {error}") from error

    def _on_steps(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        rows = t.steps_of(header, arrays, self._tensors)
        if header.get("fills"):
            self._mirror.fill(rows)
            return
        if self._trains_again:
            return
        self._mirror.put(rows)
        new = [record for record in rows.records() if (rows.branch, record.step) > self._seen]
        if new:
            self._seen = rows.branch, new[-1].step
            self._step = new[-1].step
            self._channel.put_all(new)

    def _on_events(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        first = values.whole(header["first"], "number of an event", 1)
        if first > self._received + 1:
            raise FrameError(f"events {self._received + 1} to {first - 1} are missing")
        for number, row in enumerate(values.sequence(header["events"], "events"), first):
            if number <= self._received:
                continue
            event = event_from(values.mapping(row, "event"))
            left = None if row.get("left") is None else t.tail_of(row["left"])
            self._received = number
            if self._shows_record:  # resumed by another window: this one shows the run up to its end
                continue
            self._num_recorded += event.branch >= 0
            self._mirror.put_event(event, left)
            self._channel.put_event(event)
            if isinstance(event, events.ENDINGS):
                self._has_last_event = True
        self._end_if_complete()

    def _on_snapshot(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        snapshot = t.snapshot_of(header, arrays, self._tensors)
        completed = self._histograms.completed(snapshot, not header.get("partial"), bool(header.get("again")))
        if completed is not None:
            self._channel.put_snapshot(completed)

    def _on_row(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        row = t.row_of(header, arrays, self._tensors)
        (self._mirror.fill if header.get("fills") else self._mirror.put)(row)

    def _on_result(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        self._channel.put_snapshot(t.result_of(header, arrays))

    def _on_piece(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        result = self._assembly.add(header, arrays)
        if result is not None:
            self._on_result(*result)

    def _on_branch(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        row = header["parent"]
        parent = None
        if row is not None:
            branch, step, position = values.sequence(row, "parent")
            parent = BranchPoint(
                values.whole(branch, "branch"), values.step(step), values.optional_whole(position, "position")
            )
        self._mirror.fill(NewBranch(values.whole(header["branch"], "branch"), parent))
        for item in values.sequence(header["events"], "events"):
            found = event_from(values.mapping(item, "event"))
            if isinstance(found, events.Evaluated):
                self._mirror.fill(found)

    def _on_filled(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        branch = values.optional_whole(header.get("branch"), "branch")
        self._mirror.end_filling(values.whole(header["step"], "step", -1), branch)
        problem = values.text(header.get("problem", ""), "problem")
        if problem and problem != self._record_problem:
            message = f"the record on {self._client.place} can't be read: {problem}"
            self._channel.put_event(events.RecordFailed(self._step, message, RecordPart.TELEMETRY))
        self._record_problem = problem
        if self._trains_again:
            self._client.detach(self)

    def _on_status(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        state = header["state"]
        if self._trains_again:
            return
        if state not in _STATES:
            raise values.refusal("state", state, ", ".join(_STATES))
        self._viewers = tuple(_viewer(row) for row in values.sequence(header["viewers"], "viewers"))
        self._steering, self._asking = _viewer_or_none(header["steering"]), _viewer_or_none(header["asking"])
        self._step = values.step(header["step"])
        if state in _ENDS and not self._ended.is_set():
            self._ending_state = state
            self._end_if_complete()
        elif not (state == NEW and self._is_started) and not self._ended.is_set():
            self._state = state

    def _on_accepted(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        self._unanswered.pop(values.text(header["id"], "id"), None)

    def _on_refused(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        id, message = values.text(header["id"], "id"), values.text(header["message"], "message")
        _, command = self._unanswered.pop(id, ({}, None))
        if command is not None:
            self._channel.put_event(events.CommandRejected(self._step, id, command, message))

    def _on_gone(self, header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> None:
        """Complete a run that the server no longer has from its record; one without a record has failed."""
        message = values.text(header["message"], "message")
        if self._is_complete:
            return
        if self._reopen is not None:
            self._client.run_in_background(lambda: self._show_record(message), "qatviz-reopen")
        elif not self._ended.is_set():
            self._fail(message)

    def _fail(self, message: str) -> None:
        """End the run as failed, as it has no recorded ending."""
        self._channel.put_event(events.Failed(self._step, message, "", explained=True))
        self._state = FAILED
        self._ended.set()

    def _show_record(self, message: str) -> None:
        """Reopen the run, and end it as its record says; ``message`` is the reason if the record has no ending."""
        assert self._reopen is not None, "a run without a record is not reopened"
        found = None
        try:
            found = self._reopen()
        except LinkError:  # the next connection begins with `attach_frames` again
            return
        except Exception as error:  # the record is damaged or was deleted
            message = f"{message}, and its record can't be read: {message_of(error)}"
        with self._lock:
            if self._has_left:
                return
            if found is None:
                if not self._ended.is_set():
                    self._fail(message)
                return
            self.hosted_id, self._received, self._shows_record = found.hosted_id, found.received, True
            self._trains_again = found.state != RECORDED
            if not self._ended.is_set():
                self._end_as_recorded([logged.event for logged in found.log], message)
            frames = self.attach_frames()
        for frame in frames:
            self._client.send(frame)

    def _end_as_recorded(self, log: List[events.Event], message: str) -> None:
        """Report the recorded events that are new, and end; the next filling completes the history."""
        if self._trains_again:  # up to the end that preceded
            ends = [number for number, event in enumerate(log, 1) if isinstance(event, events.ENDINGS)]
            log = log[: ends[-1]] if ends else []
        for event in log[self._num_recorded :]:
            self._channel.put_event(event)
            self._step = event.step
        answered = {getattr(event, "id", "") for event in log}
        for id, (_, command) in self._unanswered.items():
            if command is not None and id not in answered:
                self._channel.put_event(events.CommandRejected(self._step, id, command, "the run has ended"))
        self._unanswered.clear()
        ending = next((event for event in reversed(log) if isinstance(event, _TURNS)), None)
        if isinstance(ending, events.ENDINGS):
            self._state = ending.kind.lower()
            self._ended.set()
        else:
            self._fail(message)

    _HANDLERS: ClassVar[Dict[str, Callable[..., None]]] = {
        t.STEPS: _on_steps,
        t.EVENTS: _on_events,
        t.SNAPSHOT: _on_snapshot,
        t.ROW: _on_row,
        t.RESULT: _on_result,
        t.PIECE: _on_piece,
        t.BRANCH: _on_branch,
        t.FILLED: _on_filled,
        t.STATUS: _on_status,
        t.ACCEPTED: _on_accepted,
        t.REFUSED: _on_refused,
        t.GONE: _on_gone,
    }

    def _end_if_complete(self) -> None:
        """End the run once its last event and its final state are known: then its record is complete."""
        if self._has_last_event and self._ending_state:
            self._state = self._ending_state
            self._ended.set()

    def _request_missing(self, tail: t.Tail) -> None:
        self._client.send({"t": "fill", "run": self.subscription, "tail": list(tail)})

    def _view_frame(self) -> Dict[str, Any]:
        return {"t": "view", "run": self.subscription, **self._view}


def _viewer(row: Any) -> Tuple[str, str]:
    id, name = values.sequence(row, "viewer")
    return values.text(id, "id of a viewer"), values.text(name, "name of a viewer")


def _viewer_or_none(row: Any) -> Optional[Tuple[str, str]]:
    return None if row is None else _viewer(row)
