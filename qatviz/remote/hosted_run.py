"""Run of a server: its reports are passed to all viewers, and one of them may send commands.

:class:`HostedRun` reads the run's channel on a thread of its own and puts each item into the channel of every
:class:`.Subscription`, which makes frames of them when its viewer's connection has room for one: a slow viewer delays
neither the run nor other viewers.
"""

import threading
import time
import traceback
from collections import deque
from typing import Any, Deque, Dict, Iterator, List, Optional, Set, Tuple

from qatviz.errors import RunStateError, message_of
from qatviz.protocol.branches import UNPLACED
from qatviz.protocol.commands import HARMLESS, Command
from qatviz.protocol.events import Event, RecordFailed
from qatviz.protocol.reasons import RecordPart
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent
from qatviz.remote import telemetry as t
from qatviz.remote.backfill import missing_frames
from qatviz.remote.handshake import Viewer
from qatviz.remote.link import Link
from qatviz.remote.subscription import Numbered, OneStep, Subscription
from qatviz.session.prepared import Prepared
from qatviz.session.recorded import read_past
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_handle import RECORDED

#: Longest time (s) between two checks of a run's state.
_POLL_S = 0.05
#: Number of recent commands whose repetition after a lost connection is recognized.
_REMEMBERED = 10_000
#: Longest time (s) to wait until all reports are written to the record.
_FLUSH_S = 3.0


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
        self._left: Dict[int, t.Tail] = {}  # ends of the branches that the run has left, by the number of the event
        self._subscriptions: List[Subscription] = []
        self._ended: List[Subscription] = []  # which may still read the record
        self.newest: Optional[Snapshot] = prepared.snapshots[-1] if prepared.snapshots else None
        self._newest_step: Optional[OneStep] = None
        self._newest_row = -1, -1  # branch and step of the newest snapshot
        self._steering: Optional[Viewer] = None
        self._asking: Optional[Viewer] = None
        self._known: Set[str] = set()  # ids of recent commands
        self._known_order: Deque[str] = deque()
        self.status: Dict[str, Any] = {}
        self.began = False
        self._has_failed = False  # whether a report could not be processed
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
        with self._lock:
            ended = list(self._ended)
        for subscription in ended:
            subscription.join()
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
                self._end(known)
            for number, logged in enumerate(self._log[received:], received + 1):
                subscription.channel.put_event(Numbered(number, logged.event, self._left.get(number)))
            if self._newest_step is not None:
                subscription.channel.put(self._newest_step)
            subscription.send_newest()
            self._subscriptions.append(subscription)
            if self._steering is None:
                self._steering = viewer
            self._announce()
        link.add_feed(subscription.next_frame)
        return subscription

    @property
    def newest_on_branch(self) -> Optional[Snapshot]:
        """The newest snapshot, if it is one of the present branch."""
        newest = self.newest
        return newest if newest is not None and newest.branch in (self._branch, UNPLACED) else None

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
                self._end(subscription)
                self.idle_since = time.monotonic()
                if self._asking is not None and not self._is_present(self._asking):
                    self._asking = None  # else the run could be handed over to nobody
                self._announce()

    def _end(self, subscription: Subscription) -> None:
        subscription.end()
        self._subscriptions.remove(subscription)
        self._ended = [known for known in self._ended if known.is_reading] + [subscription]

    def ask_to_steer(self, viewer: Viewer, id: str = "") -> None:
        """Ask the viewer that steers to hand over; if that has left, ``viewer`` steers at once.

        A request whose ``id`` was received before is ignored, as that of a command is; an empty one is never.
        """
        with self._lock:
            if self._is_repeated(id):
                return
            if self._steering is None or not self._is_present(self._steering):
                self._steering, self._asking = viewer, None
            elif self._steering.id != viewer.id:
                self._asking = viewer
            self._announce()

    def answer(self, viewer: Viewer, hands_over: bool, asking: str = "", id: str = "") -> None:
        """Hand over to the viewer that asks, or refuse; only the one that steers may.

        An answer to another viewer than the one of the id ``asking``, unless that is empty, is ignored; ``id`` is as
        that of :meth:`ask_to_steer`.
        """
        with self._lock:
            if self._is_repeated(id) or self._steering is None or self._steering.id != viewer.id:
                return
            if self._asking is not None and asking in ("", self._asking.id):
                if hands_over:
                    self._steering = self._asking
                self._asking = None
                self._announce()

    def _is_repeated(self, id: str) -> bool:
        """Return whether a frame with this id was received before, and remember the id."""
        if id in self._known:
            return True
        if id:
            self._remember(id)
        return False

    def _remember(self, id: str) -> None:
        self._known.add(id)
        self._known_order.append(id)
        if len(self._known_order) > _REMEMBERED:
            self._known.discard(self._known_order.popleft())

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
        filled = self.filled()
        if self.directory:
            self._flush()
            yield from missing_frames(RunRecord.read(self.directory), tail)
        yield filled, {}

    def filled(self) -> Dict[str, Any]:
        """Return the header of the last frame of a missing part, which is complete up to the newest report."""
        with self._lock:
            return {"t": t.FILLED, "branch": self._branch, "step": self.last_step}

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
            self._remember(id)

    # Reports

    def _pass_on(self) -> None:
        """Pass the reports of the run to all subscriptions, until the run has ended and everything is read."""
        while not self._quit.is_set():
            has_ended = self.began and self.run.wait(0)
            try:
                self.run.wait_for_news(_POLL_S)
                self._distribute(self.run.drain())
            except Exception as error:
                self._report_failure(error)
                self._quit.wait(_POLL_S)
            if has_ended:
                self.idle_since = time.monotonic()
                return

    def _distribute(self, items: List[Any]) -> None:
        with self._lock:
            steps: List[OneStep] = []
            for item in items:
                if isinstance(item, StepRecord):
                    steps.append(OneStep(self._branch, item))
                    continue
                self._put_steps(steps)
                steps = []
                try:
                    self._put(item)
                except Exception as error:  # later reports, such as the end of the run, must arrive
                    self._report_failure(error)
            self._put_steps(steps)
            self._announce()

    def _report_failure(self, error: Exception) -> None:
        """Report to the viewers, once, that a report of the run is lost; the program's log has each traceback."""
        traceback.print_exc()
        with self._lock:
            if not self._has_failed:
                self._has_failed = True
                message = f"a report of the run can't be processed: {message_of(error)}"
                self._put(RecordFailed(self.last_step, message, RecordPart.TELEMETRY))

    def _put_steps(self, steps: List[OneStep]) -> None:
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
                snapshot = self._newest_row[1] if self._newest_row[0] == self._branch else -1
                self._left[len(self._log)] = t.Tail(self._branch, self.last_step, snapshot)
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
                channel.put_event(Numbered(len(self._log), item, self._left.get(len(self._log))))
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
