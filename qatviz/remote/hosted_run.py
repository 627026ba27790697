"""Run of a server: its reports are passed to all viewers, and one of them may send commands.

:class:`HostedRun` reads the run's channel on a thread of its own and puts each item into the channel of every
:class:`Subscription`; a subscription makes frames of them when its viewer's connection has room for one, so that a slow
viewer delays neither the run nor other viewers.
"""

import threading
import time
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

import numpy as np

from qatviz.errors import QatvizError, RunStateError
from qatviz.protocol.commands import HARMLESS, Command
from qatviz.protocol.events import Event
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import STEP_MEASURES, Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent
from qatviz.remote import telemetry as t
from qatviz.remote.backfill import missing_frames
from qatviz.remote.errors import TooLargeError
from qatviz.remote.frames import FROM_SERVER, encode
from qatviz.remote.handshake import Viewer
from qatviz.remote.link import Link
from qatviz.session.prepared import Prepared
from qatviz.session.recorded import read_past
from qatviz.telemetry.channel import Channel
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_handle import RECORDED

#: Largest size in bytes of the step records, and number of snapshots, that wait for a viewer; the oldest ones beyond it
#: are dropped.
_STEPS_BYTES, _SNAPSHOTS = 1 << 16, 2
#: Bounds of the number of step records that :data:`_STEPS_BYTES` amounts to.
_FEWEST_STEPS, _MOST_STEPS = 16, 2000
#: Largest size of the step records in one frame, in bytes.
_FRAME_BYTES = 1 << 15
#: Largest number of events in one frame.
_MOST_EVENTS = 1000
#: Longest time (s) between two checks of a run's state.
_POLL_S = 0.05
#: Number of recent commands whose repetition after a lost connection is recognized.
_REMEMBERED = 10_000
#: Longest time (s) to wait until all reports are written to the record. The writing thread of a connection waits, so it
#: must be much less than `link.SILENCE_S`, after which the viewer considers the connection lost.
_FLUSH_S = 3.0


class _Step(NamedTuple):
    """Step record with its branch."""

    branch: int
    record: StepRecord


class _Numbered(NamedTuple):
    """Event with its number, from 1, among those that the run has reported on this server."""

    number: int
    event: Event


class _Resent(NamedTuple):
    """Newest snapshot, sent to a viewer that may have received it already."""

    snapshot: Snapshot


class Subscription:
    """Reports of a run that one handle of a viewer has not received yet, in the order in which the run made them.

    Parameters
    ----------
    run : HostedRun
    id : str
        Id that the frames carry; the same on the next connection if one is lost.
    viewer : Viewer
    link : Link
    tail : telemetry.Tail
        End of the history that the viewer has.
    """

    def __init__(self, run: "HostedRun", id: str, viewer: Viewer, link: Link, tail: t.Tail):
        self.run, self.id, self.viewer, self.link = run, id, viewer, link
        steps = _STEPS_BYTES // (8 + 4 * len(STEP_MEASURES) * max(1, run.num_tensors))
        self.channel = Channel(max(_FEWEST_STEPS, min(steps, _MOST_STEPS)), _SNAPSHOTS)
        self.shows_histograms = True
        self._pending: Deque[Any] = deque()
        self._too_large = 0  # number of reports that were dropped because the viewer accepts no frame of their size
        self._status: Dict[str, Any] = {}
        self._missing: Optional[Iterator[Any]] = None
        self._is_missing_due = False  # whether the last frame was a report
        self._tail: Optional[t.Tail] = tail
        self._lock = threading.Lock()

    def show(self, histograms: bool) -> None:
        """Send snapshots with their histograms, the newest at once; or, if hidden, only their measures."""
        was_hidden, self.shows_histograms = not self.shows_histograms, histograms
        newest = self.run.newest
        if was_hidden and histograms and newest is not None:
            self.channel.put_snapshot(_Resent(newest))
            self.link.notify()

    def fill(self, tail: t.Tail) -> None:
        """Send the part of the record after ``tail``, which the viewer's history lacks."""
        with self._lock:
            self._tail = tail
        self.link.notify()

    def next_frame(self) -> Optional[bytes]:
        """Return the next frame, encoded; None if there is nothing new: the feed of the viewer's connection.

        While a part of the history is missing, its frames alternate with those of new reports.
        """
        is_missing_due, self._is_missing_due = self._is_missing_due, False
        frame = self._next_missing() if is_missing_due else None
        if frame is None:
            frame = self._next_report()
            self._is_missing_due = frame is not None
        return frame or self._next_status() or self._next_missing()

    def _next_report(self) -> Optional[bytes]:
        """Return a frame of the oldest reports that wait, if there are any that the viewer wants."""
        while True:
            if not self._pending:
                self._pending.extend(self.channel.drain())
            if not self._pending:
                return None
            part = self._next_part()
            if part is not None:
                try:
                    return self._encoded(part)
                except TooLargeError:  # a snapshot or a result
                    self._too_large += 1

    def _next_status(self) -> Optional[bytes]:
        """Return a frame with the state of the run if that has changed."""
        status = self.run.status
        if status == self._status:
            return None
        self._status = status
        return self._encoded((status, {}))

    def _encoded(self, part: Tuple[Dict[str, Any], Dict[str, np.ndarray]]) -> bytes:
        header, arrays = part
        dropped = self.channel.dropped + self.run.dropped + self._too_large
        return encode({**header, "run": self.id, "dropped": dropped}, arrays, FROM_SERVER)

    def _next_part(self) -> Optional[Tuple[Dict[str, Any], Dict[str, np.ndarray]]]:
        """Return header and arrays of a frame of the oldest items that wait; None if the viewer hides them."""
        first = self._pending.popleft()
        if isinstance(first, _Step):
            records = [first.record]
            most = max(1, _FRAME_BYTES // max(1, first.record.values.nbytes))
            while self._pending and len(records) < most and self._continues(first.branch, records[-1]):
                records.append(self._pending.popleft().record)
            return t.steps_frame(first.branch, records)
        if isinstance(first, _Numbered):
            found = [first]
            while len(found) < _MOST_EVENTS and self._pending and isinstance(self._pending[0], _Numbered):
                found.append(self._pending.popleft())
            return {"t": t.EVENTS, "first": first.number, "events": [item.event.to_dict() for item in found]}, {}
        if isinstance(first, (Snapshot, _Resent)):
            return self._snapshot_part(first)
        if isinstance(first, t.SnapshotRow):
            return t.row_frame(first)
        return t.result_frame(first)

    def _continues(self, branch: int, record: StepRecord) -> bool:
        """Return whether the next item is the step after ``record`` on the branch, so that one frame can have both."""
        item = self._pending[0]
        return isinstance(item, _Step) and item.branch == branch and item.record.step == record.step + 1

    def _snapshot_part(self, item: Union[Snapshot, _Resent]) -> Optional[Tuple[Dict[str, Any], Dict[str, np.ndarray]]]:
        if not self.shows_histograms:
            return None
        if isinstance(item, Snapshot):
            return t.snapshot_frame(item)
        header, arrays = t.snapshot_frame(item.snapshot)
        return dict(header, again=True), arrays

    def _next_missing(self) -> Optional[bytes]:
        """Return the next frame of the missing part of the history, if there is one."""
        with self._lock:
            tail, self._tail = self._tail, None
        if tail is not None:
            self._missing = self.run.missing(tail)
        if self._missing is None:
            return None
        try:
            return self._encoded(next(self._missing))
        except StopIteration:
            self._missing = None
        except QatvizError as error:  # the record is damaged; live data is sent on
            self._missing = None
            return self._encoded(({"t": t.FILLED, "step": self.run.last_step, "problem": str(error)}, {}))
        return None


class HostedRun:
    """Run of a server with its viewers.

    Parameters
    ----------
    id : str
        Unique on the server.
    prepared : Prepared

    Attributes
    ----------
    run : RunHandle
    num_tensors : int
        Number of quantized tensors of the run.
    book : SettingsBook
        Settings in effect, as of the last event.
    last_step : int
        Newest step that the run has reported on its newest branch.
    newest : Snapshot or None
        Newest snapshot.
    status : dict
        Header of the frame with the run's state, its viewers and the one that steers; replaced when it changes.
    began : bool
        Whether the run was started.
    idle_since : float
        Monotonic time at which the last viewer left, or the run was added or has ended, whichever was last.
    """

    def __init__(self, id: str, prepared: Prepared):
        self.id, self.prepared, self.run = id, prepared, prepared.run
        self.num_tensors = len(prepared.book.plan.tensors)
        self.book: SettingsBook = prepared.book
        self.last_step = self.run.step
        self._branch = self._first_branch()
        self._lock = threading.RLock()
        self._log: List[LoggedEvent] = []  # events that the run has reported on this server
        self._subscriptions: List[Subscription] = []
        self.newest: Optional[Snapshot] = prepared.snapshots[-1] if prepared.snapshots else None
        self._newest_step: Optional[_Step] = None
        self._newest_row = -1, -1  # branch and step of the newest snapshot
        self._steering: Optional[Viewer] = None
        self._asking: Optional[Viewer] = None
        self._known: Set[str] = set()  # ids of recent commands
        self._known_order: Deque[str] = deque()
        self.status: Dict[str, Any] = {}
        self.began = False
        self._quit = threading.Event()
        self.idle_since = time.monotonic()
        self._thread = threading.Thread(target=self._pass_on, name="qatviz-hosted-run", daemon=True)
        if self.run.state == RECORDED:
            self._distribute(self.run.drain())
        else:
            self._thread.start()

    @property
    def dropped(self) -> int:
        """Number of step records and snapshots that were dropped because this server did not read them in time."""
        return self.run.dropped

    @property
    def directory(self) -> str:
        """Directory of the record; empty if there is none."""
        return self.prepared.directory

    @property
    def is_training(self) -> bool:
        """Whether the run was started and has not ended, or its last reports are not passed on yet."""
        return self.began and (not self.run.wait(0) or self._thread.is_alive())

    @property
    def has_viewers(self) -> bool:
        with self._lock:
            return bool(self._subscriptions)

    def close(self) -> None:
        """End the thread; a run that was not started is discarded."""
        self._quit.set()
        if self._thread.ident is not None:
            self._thread.join()
        if not self.began:
            self.run.discard()

    def _first_branch(self) -> int:
        branch: int = getattr(getattr(self.run, "record", None), "branch", 0)
        return branch

    # Viewers

    def subscribe(self, id: str, viewer: Viewer, link: Link, received: int, tail: t.Tail) -> Subscription:
        """Return a new subscription, which gets the events after the first ``received`` ones and all later reports.

        It replaces a subscription of the viewer with the same ``id``, whose connection is lost.
        """
        with self._lock:
            viewer = viewer._replace(name=self._distinct_name(viewer))
            subscription = Subscription(self, id, viewer, link, tail)
            for known in [known for known in self._subscriptions if (known.viewer.id, known.id) == (viewer.id, id)]:
                known.link.remove_feed(known.next_frame)
                self._subscriptions.remove(known)
            for number, logged in enumerate(self._log[received:], received + 1):
                subscription.channel.put_event(_Numbered(number, logged.event))
            if self._newest_step is not None:
                subscription.channel.put(self._newest_step)
            if self.newest is not None:
                subscription.channel.put_snapshot(_Resent(self.newest))
            self._subscriptions.append(subscription)
            if self._steering is None:
                self._steering = viewer
            self._announce()
        link.add_feed(subscription.next_frame)
        return subscription

    def _distinct_name(self, viewer: Viewer) -> str:
        """Return the name of a viewer, with a number appended if another viewer of the run has the same name."""
        taken = {known.viewer.name for known in self._subscriptions if known.viewer.id != viewer.id}
        if self._steering is not None and self._steering.id != viewer.id:
            taken.add(self._steering.name)
        names = [viewer.name, *(f"{viewer.name} ({number})" for number in range(2, len(taken) + 2))]
        return next(name for name in names if name not in taken)

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription, because the viewer's connection has ended or the viewer has closed the run."""
        subscription.link.remove_feed(subscription.next_frame)
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                self.idle_since = time.monotonic()
                if self._asking is not None and not self._is_present(self._asking):
                    self._asking = None  # else the run could be handed over to nobody
                self._announce()

    def ask_to_steer(self, viewer: Viewer) -> None:
        """Ask the viewer that steers to hand over; if that has left, ``viewer`` steers at once."""
        with self._lock:
            if self._steering is None or not self._is_present(self._steering):
                self._steering, self._asking = viewer, None
            elif self._steering.id != viewer.id:
                self._asking = viewer
            self._announce()

    def answer(self, viewer: Viewer, hands_over: bool) -> None:
        """Hand over to the viewer that asks, or refuse; only the one that steers may."""
        with self._lock:
            if self._steering is not None and self._steering.id == viewer.id and self._asking is not None:
                if hands_over:
                    self._steering = self._asking
                self._asking = None
                self._announce()

    def _is_present(self, viewer: Viewer) -> bool:
        return any(known.viewer.id == viewer.id for known in self._subscriptions)

    def present(self) -> Tuple[Tuple[LoggedEvent, ...], SettingsBook, int, Tuple[Snapshot, ...]]:
        """Return the state from which a new viewer continues.

        Returns
        -------
        log : tuple of LoggedEvent
            All events so far.
        book : SettingsBook
            Settings in effect.
        received : int
            Number of the events, at the end of ``log``, that the run has reported on this server.
        snapshots : tuple of Snapshot
            Snapshots of the record, spread over the whole run; none if it is not recorded.
        """
        with self._lock:
            log = (*self.prepared.log, *self._log)
            book, received = self.book, len(self._log)
        return log, book, received, self._past_snapshots()

    def _past_snapshots(self) -> Tuple[Snapshot, ...]:
        if not self.directory:
            return ()
        self._flush()
        return read_past(RunRecord.read(self.directory), surviving_only=False)[1]

    def missing(self, tail: t.Tail) -> Iterator[Any]:
        """Yield the frames of the history after ``tail``, then one with the step up to which it is complete."""
        with self._lock:
            step = self.last_step
        if self.directory:
            self._flush()
            yield from missing_frames(RunRecord.read(self.directory), tail)
        yield {"t": t.FILLED, "step": step}, {}

    def _flush(self) -> None:
        """Wait until all reports are written to the record, at most :data:`_FLUSH_S`."""
        record = getattr(self.run, "record", None)
        if record is not None:
            record.flush(_FLUSH_S)

    # Commands

    def start(self) -> None:
        """Start the run, once."""
        with self._lock:
            if self.began:
                return
            self.began = True
        self.run.start()

    def send(self, viewer: Viewer, command: Command, id: str) -> None:
        """Send a command of a viewer to the run; ignore it if one of the same id was sent before.

        Raises
        ------
        RunStateError
            If another viewer steers, or the run has ended.
        """
        with self._lock:
            if id in self._known:
                return
            steers = self._steering is None or self._steering.id == viewer.id
            if self._steering is not None and not steers and not isinstance(command, HARMLESS):
                raise RunStateError(f"{self._steering.name} steers this run")
            self.run.send(command, id)
            self._known.add(id)
            self._known_order.append(id)
            if len(self._known_order) > _REMEMBERED:
                self._known.discard(self._known_order.popleft())

    # Reports

    def _pass_on(self) -> None:
        """Pass the reports of the run to all subscriptions, until the run has ended and everything is read."""
        while not self._quit.is_set():
            has_ended = self.began and self.run.wait(0)
            self.run.wait_for_news(_POLL_S)
            self._distribute(self.run.drain())
            if has_ended:
                self.idle_since = time.monotonic()
                return

    def _distribute(self, items: List[Any]) -> None:
        with self._lock:
            steps: List[_Step] = []
            for item in items:
                if isinstance(item, StepRecord):
                    steps.append(_Step(self._branch, item))
                    continue
                self._put_steps(steps)
                steps = []
                self._put(item)
            self._put_steps(steps)
            self._announce()

    def _put_steps(self, steps: List[_Step]) -> None:
        if not steps:
            return
        self._newest_step, self.last_step = steps[-1], steps[-1].record.step
        for subscription in self._subscriptions:
            subscription.channel.put_all(steps)
            subscription.link.notify()

    def _put(self, item: Any) -> None:
        if isinstance(item, Event):
            self._log.append(LoggedEvent(item, True, time.time()))
            changes = getattr(item, "changes", ())
            if changes:
                self.book, _ = self.book.change([(change.setting, change.new) for change in changes])
            if item.branch > self._branch:
                self._branch, self.last_step, self._newest_step = item.branch, item.step, None
        row: Optional[t.SnapshotRow] = None
        if isinstance(item, Snapshot):
            self.newest = item
            branch, step = self._newest_row
            row = t.SnapshotRow(*item.point, item.values, step if branch == item.branch else -1)
            self._newest_row = item.branch, item.step
        for subscription in self._subscriptions:
            channel = subscription.channel
            if isinstance(item, Event):
                channel.put_event(_Numbered(len(self._log), item))
            else:
                channel.put_snapshot(item)
            if row is not None:
                channel.put(row)  # bounded, as step records are: the viewer requests what it lacks
            subscription.link.notify()

    def _announce(self) -> None:
        """If the run's state, its viewers or the one that steers have changed, send them to all viewers."""
        status = {
            "t": t.STATUS,
            "state": self.run.state,
            "step": self.run.step,
            "viewers": [[known.viewer.id, known.viewer.name] for known in self._subscriptions],
            "steering": None if self._steering is None else list(self._steering),
            "asking": None if self._asking is None else list(self._asking),
        }
        if status != self.status:
            self.status = status
            for subscription in self._subscriptions:
                subscription.link.notify()
