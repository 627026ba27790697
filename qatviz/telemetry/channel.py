"""The way from the training thread to its readers: bounded for telemetry, lossless for events."""

import threading
from collections import deque
from operator import itemgetter
from typing import Any, Deque, List, Sequence, Tuple

from qatviz.protocol.events import Event

#: Snapshots that wait for a reader at most: at the default interval, two seconds.
DEFAULT_SNAPSHOT_CAPACITY = 8

Queue = Deque[Tuple[int, Any]]
_NUMBER = itemgetter(0)


class _Bounded:
    """A queue that forgets its oldest items, and how many it forgot."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self.queue: Queue = deque()
        self.dropped = 0

    def make_room(self) -> None:
        if len(self.queue) == self._capacity:
            self.queue.popleft()
            self.dropped += 1

    def take_all(self) -> Queue:
        taken, self.queue = self.queue, deque()
        return taken


class Channel:
    """A queue between threads that never makes the trainer wait.

    Telemetry is bounded: where the reader is too slow, the oldest records go and are counted. Snapshots, which are rare
    and large, have a bound of their own, so that no number of steps drives one out. Events always arrive. Any number of
    threads may write and read.

    Parameters
    ----------
    capacity : int
        Step records held at most; at least 1.
    snapshot_capacity : int
        Snapshots held at most; at least 1.

    Raises
    ------
    ValueError
        If a capacity is less than 1.
    """

    def __init__(self, capacity: int, snapshot_capacity: int = DEFAULT_SNAPSHOT_CAPACITY):
        for what, number in (("capacity", capacity), ("snapshot capacity", snapshot_capacity)):
            if number < 1:
                raise ValueError(f"{what} of a channel is {number}, expected at least 1")
        self._arrived = threading.Condition()
        self._steps = _Bounded(capacity)
        self._snapshots = _Bounded(snapshot_capacity)
        self._events: Queue = deque()
        self._sequence = 0

    @property
    def dropped(self) -> int:
        """Step records and snapshots that were dropped since the channel was made."""
        with self._arrived:
            return self._steps.dropped + self._snapshots.dropped

    @property
    def dropped_snapshots(self) -> int:
        """Of these, the snapshots."""
        with self._arrived:
            return self._snapshots.dropped

    def put(self, record: Any) -> None:
        """Add a step record; where ``capacity`` of them wait already, the oldest is dropped."""
        with self._arrived:
            self._steps.make_room()
            self._append(self._steps.queue, record)

    def put_all(self, records: Sequence[Any]) -> None:
        """As :meth:`put` of each, at less cost."""
        with self._arrived:
            for record in records:
                self._steps.make_room()
                self._append(self._steps.queue, record)

    def put_snapshot(self, record: Any) -> None:
        """Add a snapshot, or what belongs to one; where ``snapshot_capacity`` of them wait already, the oldest is
        dropped.
        """
        with self._arrived:
            self._snapshots.make_room()
            self._append(self._snapshots.queue, record)

    def put_event(self, event: Event) -> None:
        """Add an event, which is never dropped."""
        with self._arrived:
            self._append(self._events, event)

    def drain(self) -> List[Any]:
        """All that waits, in order of arrival; at once, and empty where nothing waits."""
        with self._arrived:
            waiting = [*self._steps.take_all(), *self._snapshots.take_all(), *self._events]
            self._events = deque()
        waiting.sort(key=_NUMBER)  # three runs in order, which it only has to merge
        return [item for _, item in waiting]

    def wait(self, timeout_s: float) -> bool:
        """Block until something waits; False if nothing came within ``timeout_s`` seconds."""
        with self._arrived:
            return self._arrived.wait_for(
                lambda: bool(self._steps.queue or self._snapshots.queue or self._events), timeout_s
            )

    def _append(self, queue: Queue, item: Any) -> None:
        queue.append((self._sequence, item))
        self._sequence += 1
        self._arrived.notify_all()
