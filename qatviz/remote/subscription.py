"""What one viewer of a run of a server receives: reports in order, and the part of the history that it lacks."""
# Apart from the hosted run, which is large.

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Collection, Deque, Dict, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.errors import message_of
from qatviz.protocol.events import ENDINGS, Corrected, Event, Paused
from qatviz.protocol.snapshots import STEP_MEASURES, Snapshot, StepRecord
from qatviz.remote import telemetry as t
from qatviz.remote.backfill import Part
from qatviz.remote.errors import TooLargeError
from qatviz.remote.frames import FROM_SERVER, encode
from qatviz.remote.handshake import Viewer
from qatviz.remote.histograms_in_view import SentHistograms
from qatviz.remote.link import Link
from qatviz.remote.pieces import LARGE_BYTES, LargeResults
from qatviz.telemetry.channel import Channel
from qatviz.telemetry.run_handle import RUNNING

if TYPE_CHECKING:
    from qatviz.remote.hosted_run import HostedRun

#: Largest size in bytes of the step records, and number of snapshots, that wait for a viewer; the oldest ones beyond it
#: are dropped.
_STEPS_BYTES, _SNAPSHOTS = 1 << 16, 2
#: Bounds of the number of step records that :data:`_STEPS_BYTES` amounts to.
_FEWEST_STEPS, _MOST_STEPS = 16, 2000
#: Largest size of the step records in one frame, in bytes.
_FRAME_BYTES = 1 << 15
#: Largest number of parts of the missing history that are read before they are sent.
_READ_AHEAD = 4
#: Largest number of events in one frame.
_MOST_EVENTS = 1000


class OneStep(NamedTuple):
    """Step record with its branch."""

    branch: int
    record: StepRecord


class Numbered(NamedTuple):
    """Event with its number, from 1, among those that the run has reported on this server.

    ``left`` is the end of the branch that the run leaves with the event; None if it leaves none.
    """

    number: int
    event: Event
    left: Optional[t.Tail] = None


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
        self._histograms = SentHistograms()
        self._is_newest_due = False  # whether the newest snapshot is to be sent, again if it was already
        self._large = LargeResults()
        self._pending: Deque[Any] = deque()
        self._too_large = 0  # number of reports that were dropped because the viewer accepts no frame of their size
        self._status: Dict[str, Any] = {}
        self._filling: Optional[Filling] = None
        self._has_ended = False
        self._is_slow_due = False  # whether the last frame was a report
        self._is_missing_due = False  # whether the last one of the others was a piece of a large result
        self._tail: Optional[t.Tail] = tail
        self._lock = threading.Lock()

    def show(self, histograms: bool, tensors: Optional[Collection[str]] = None) -> None:
        """Send snapshots with their histograms; or, if hidden, only their measures.

        ``tensors`` are the names of those in view, whose histograms are sent with each snapshot; None: all are. The
        newest snapshot is sent at once if there is more in view than before.
        """
        was_hidden, self.shows_histograms = not self.shows_histograms, histograms
        known = {tensor.name for tensor in self.run.book.plan.tensors}
        if self._histograms.show(None if tensors is None else known.intersection(tensors)) or was_hidden:
            self.send_newest()

    def send_newest(self) -> None:
        """Send the newest snapshot once no other report waits, also to a viewer that may have received it already."""
        self._is_newest_due = True
        self.link.notify()

    def fill(self, tail: t.Tail) -> None:
        """Send the part of the record after ``tail``, which the viewer's history lacks."""
        with self._lock:
            self._tail = tail
        self.link.notify()

    def next_frame(self) -> Optional[bytes]:
        """Return the next frame, encoded; None if there is nothing new: the feed of the viewer's connection.

        While a part of the history is missing or a large result waits, their frames alternate with new reports.
        """
        is_slow_due, self._is_slow_due = self._is_slow_due, False
        frame = self._next_slow() if is_slow_due else None
        if frame is None:
            frame = self._next_report()
            self._is_slow_due = frame is not None
        return frame or self._next_status() or self._next_slow()

    def _next_slow(self) -> Optional[bytes]:
        """Return the next frame of the missing history or of a large result, which alternate."""
        frame = self._next_missing() if self._is_missing_due else None
        self._is_missing_due = False
        if frame is None:
            piece = self._large.next_piece()
            self._is_missing_due = piece is not None
            frame = self._next_missing() if piece is None else self._encoded(piece)
        return frame

    def _next_report(self) -> Optional[bytes]:
        """Return a frame of the oldest reports that wait, if there are any that the viewer wants."""
        while True:
            if not self._pending:
                self._pending.extend(self.channel.drain())
            if not self._pending and not self._is_newest_due:
                return None
            try:
                part = self._next_part() if self._pending else self._newest_part()
                if part is not None:
                    return self._encoded(part)
            except TooLargeError:  # a snapshot or a result
                self._too_large += 1
                self._histograms.expire()  # a part of a snapshot is of no use without all histograms

    def _next_status(self) -> Optional[bytes]:
        """Return a frame with the state of the run if that has changed."""
        status = self.run.status
        if status == self._status:
            return None
        self._status = status
        return self._encoded((status, {}))

    def _encoded(self, part: Tuple[Dict[str, Any], Dict[str, np.ndarray]]) -> bytes:
        header, arrays = part
        dropped = self.channel.dropped + self.run.dropped + self._too_large + self._large.dropped
        return encode({**header, "run": self.id, "dropped": dropped}, arrays, FROM_SERVER)

    def _next_part(self) -> Optional[Tuple[Dict[str, Any], Dict[str, np.ndarray]]]:
        """Return header and arrays of a frame of the oldest items that wait.

        None if the viewer hides them, or they are a large result, which is sent in pieces.
        """
        first = self._pending.popleft()
        if isinstance(first, OneStep):
            records = [first.record]
            most = max(1, _FRAME_BYTES // max(1, first.record.values.nbytes))
            while self._pending and len(records) < most and self._continues(first.branch, records[-1]):
                records.append(self._pending.popleft().record)
            return t.steps_frame(first.branch, records)
        if isinstance(first, Numbered):
            found = [first]
            while len(found) < _MOST_EVENTS and self._pending and isinstance(self._pending[0], Numbered):
                found.append(self._pending.popleft())
            if any(getattr(item.event, "changes", ()) or isinstance(item.event, Corrected) for item in found):
                self._histograms.expire()
            if any(isinstance(item.event, (Paused, *ENDINGS)) for item in found):
                self._is_newest_due = True  # with all histograms: no further snapshots may follow
            return {"t": t.EVENTS, "first": first.number, "events": [_event_row(item) for item in found]}, {}
        if isinstance(first, Snapshot):
            return self._snapshot_part(first)
        if isinstance(first, t.SnapshotRow):
            return t.row_frame(first)
        header, arrays = t.result_frame(first)
        if sum(array.nbytes for array in arrays.values()) < LARGE_BYTES:
            return header, arrays
        self._large.put((header["kind"], getattr(first, "name", "")), header, arrays)
        return None

    def _continues(self, branch: int, record: StepRecord) -> bool:
        """Return whether the next item is the step after ``record`` on the branch, so that one frame can have both."""
        item = self._pending[0]
        return isinstance(item, OneStep) and item.branch == branch and item.record.step == record.step + 1

    def _snapshot_part(self, snapshot: Snapshot) -> Optional[Part]:
        if not self.shows_histograms:
            return None
        chosen = self._histograms.chosen(snapshot, self.run.run.state == RUNNING)
        return t.snapshot_frame(chosen, is_partial=chosen is not snapshot)

    def _newest_part(self) -> Optional[Part]:
        """Return header and arrays of a frame of the newest snapshot, unless the run has gone to another branch."""
        self._is_newest_due, newest = False, self.run.newest_on_branch
        part = None if newest is None else self._snapshot_part(newest)
        return None if part is None else (dict(part[0], again=True), part[1])

    def _next_missing(self) -> Optional[bytes]:
        """Return the next frame of the missing part of the history, if one has been read."""
        with self._lock:
            if self._tail is not None and not self._has_ended:
                if self._filling is not None:
                    self._filling.cancel()
                self._filling = Filling(self._missing(self._tail), self.link.notify)
            self._tail = None
            filling = self._filling
        part = None if filling is None else filling.take()
        if part is None or filling is None:
            return None
        try:
            return self._encoded(part)
        except TooLargeError as error:
            filling.cancel()
            return self._encoded(self._incomplete(error))

    def _missing(self, tail: t.Tail) -> Iterator[Part]:
        """Yield the missing part of the history; if the record is damaged, the reason at its end."""
        try:
            yield from self.run.missing(tail)
        except Exception as error:
            yield self._incomplete(error)

    def _incomplete(self, error: Exception) -> Part:
        return {**self.run.filled(), "problem": message_of(error)}, {}

    def end(self) -> None:
        """Read the record no further."""
        with self._lock:
            self._has_ended = True
            if self._filling is not None:
                self._filling.cancel()

    @property
    def is_reading(self) -> bool:
        """Whether the record is being read."""
        return self._filling is not None and self._filling.thread.is_alive()

    def join(self) -> None:
        """Wait, after :meth:`end`, until the record is no longer read."""
        if self._filling is not None:
            self._filling.thread.join()


def _event_row(item: Numbered) -> Dict[str, Any]:
    """Return the form of an event, with the end of the branch that the run leaves."""
    row = item.event.to_dict()
    return row if item.left is None else dict(row, left=list(item.left))


class Filling:
    """Parts of a history, read from the record on a thread of their own, since a slow disk must not delay pings.

    Parameters
    ----------
    parts : iterator of Part
    notify : callable ()
        Called on that thread when there is a part to take.
    """

    def __init__(self, parts: Iterator[Part], notify: Callable[[], None]):
        self._parts, self._notify = parts, notify
        self._changed = threading.Condition()
        self._ready: Deque[Part] = deque()
        self._is_cancelled = False
        self.thread = threading.Thread(target=self._read, name="qatviz-fill", daemon=True)
        self.thread.start()

    def take(self) -> Optional[Part]:
        """Return the next part; None if it has not been read yet, or there is none."""
        with self._changed:
            part = self._ready.popleft() if self._ready and not self._is_cancelled else None
            self._changed.notify_all()
            return part

    def cancel(self) -> None:
        """Read no further parts."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    def _read(self) -> None:
        for part in self._parts:
            with self._changed:
                self._changed.wait_for(lambda: self._is_cancelled or len(self._ready) < _READ_AHEAD)
                if self._is_cancelled:
                    return
                self._ready.append(part)
            self._notify()
