"""The way from the training thread to its readers: bounded for telemetry, lossless for events."""

import threading
from collections import deque
from typing import Any, Deque, List, Tuple

from qatviz.telemetry.events import Event


class Channel:
    """A queue between threads that never makes the trainer wait.

    Telemetry (step records, snapshots) is bounded: where the reader is too slow, the oldest records go and are
    counted. Events always arrive. Any number of threads may write and read.

    Parameters
    ----------
    capacity : int
        Telemetry records held at most; at least 1.

    Raises
    ------
    ValueError
        If ``capacity`` is less than 1.
    """

    def __init__(self, capacity: int):
        if capacity < 1:
            raise ValueError(f"capacity of a channel is {capacity}, expected at least 1")
        self.capacity = capacity
        self._arrived = threading.Condition()
        self._telemetry: Deque[Tuple[int, Any]] = deque()
        self._events: Deque[Tuple[int, Event]] = deque()
        self._sequence = 0
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Telemetry records that were dropped since the channel was made."""
        with self._arrived:
            return self._dropped

    def put(self, record: Any) -> None:
        """Add a telemetry record; where ``capacity`` records wait already, the oldest of them is dropped."""
        with self._arrived:
            if len(self._telemetry) == self.capacity:
                self._telemetry.popleft()
                self._dropped += 1
            self._append(self._telemetry, record)

    def put_event(self, event: Event) -> None:
        """Add an event, which is never dropped."""
        with self._arrived:
            self._append(self._events, event)

    def drain(self) -> List[Any]:
        """All that waits, in order of arrival; at once, and empty where nothing waits."""
        with self._arrived:
            telemetry, self._telemetry = self._telemetry, deque()
            events, self._events = self._events, deque()
        waiting = [*telemetry, *events]
        if telemetry and events:
            waiting.sort(key=lambda numbered: numbered[0])
        return [item for _, item in waiting]

    def wait(self, timeout_s: float) -> bool:
        """Block until something waits; False if nothing came within ``timeout_s`` seconds."""
        with self._arrived:
            return self._arrived.wait_for(lambda: bool(self._telemetry or self._events), timeout_s)

    def _append(self, queue: Deque[Tuple[int, Any]], item: Any) -> None:
        queue.append((self._sequence, item))
        self._sequence += 1
        self._arrived.notify_all()
