"""Queue from the training thread to its readers: bounded for telemetry, lossless for events."""

import threading
from collections import deque
from operator import itemgetter
from typing import Any, Deque, List, Sequence, Tuple

#: Largest number of unread snapshots: two seconds' worth at the default interval.
DEFAULT_SNAPSHOT_CAPACITY = 8

Queue = Deque[Tuple[int, Any]]
_NUMBER = itemgetter(0)


class _Bounded:
    """A queue that drops its oldest items when full, and counts them."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self.queue: Queue = deque()
        self.dropped = 0

    def make_room(self) -> None:
        if len(self.queue) == self._capacity:
            self.queue.popleft()
            self.dropped += 1

    def drain(self) -> Queue:
        taken, self.queue = self.queue, deque()
        return taken


class Channel:
    """Queue between threads that never blocks the writer.

    Telemetry is bounded: if the reader is too slow, the oldest records are dropped and counted. Snapshots, which are
    rare and large, have a separate bound, so that step records never displace one. Events are never dropped. Any
    number of threads may write and read.

    Parameters
    ----------
    capacity : int
        Largest number of unread step records, at least 1.
    snapshot_capacity : int
        Largest number of unread snapshots, at least 1.

    Raises
    ------
    ValueError
        If a capacity is less than 1.
    """

    def __init__(self, capacity: int, snapshot_capacity: int = DEFAULT_SNAPSHOT_CAPACITY):
        for name, number in (("capacity", capacity), ("snapshot capacity", snapshot_capacity)):
            if number < 1:
                raise ValueError(f"{name} of a channel is {number}, expected at least 1")
        self._arrived = threading.Condition()
        self._steps = _Bounded(capacity)
        self._snapshots = _Bounded(snapshot_capacity)
        self._events: Queue = deque()
        self._sequence = 0

    @property
    def dropped(self) -> int:
        """Number of step records and snapshots dropped so far."""
        with self._arrived:
            return self._steps.dropped + self._snapshots.dropped

    def put(self, record: Any) -> None:
        """Add a step record; if the channel is full, drop the oldest one."""
        with self._arrived:
            self._steps.make_room()
            self._append(self._steps.queue, record)

    def put_all(self, records: Sequence[Any]) -> None:
        """Add several step records at once, which costs less than adding each."""
        with self._arrived:
            for record in records:
                self._steps.make_room()
                self._append(self._steps.queue, record)

    def put_snapshot(self, record: Any) -> None:
        """Add a snapshot or the tensor values sent with it; if ``snapshot_capacity`` is reached, drop the oldest."""
        with self._arrived:
            self._snapshots.make_room()
            self._append(self._snapshots.queue, record)

    def put_event(self, event: Any) -> None:
        """Append an event, or anything else that must never be dropped."""
        with self._arrived:
            self._append(self._events, event)

    def drain(self) -> List[Any]:
        """Return all unread items in order of arrival, without blocking."""
        with self._arrived:
            waiting = [*self._steps.drain(), *self._snapshots.drain(), *self._events]
            self._events = deque()
        waiting.sort(key=_NUMBER)  # three sorted runs, which Timsort merges in linear time
        return [item for _, item in waiting]

    def wait(self, timeout_s: float) -> bool:
        """Block until there is an unread item; return False if none arrived within ``timeout_s`` seconds."""
        with self._arrived:
            return self._arrived.wait_for(
                lambda: bool(self._steps.queue or self._snapshots.queue or self._events), timeout_s
            )

    def _append(self, queue: Queue, item: Any) -> None:
        queue.append((self._sequence, item))
        self._sequence += 1
        self._arrived.notify_all()
