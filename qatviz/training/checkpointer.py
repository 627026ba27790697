"""Writes checkpoints to disk on a thread of its own, and deletes old automatic ones."""

import re
import threading
from collections import deque
from typing import Callable, Deque, Optional

from qatviz.errors import RecordError
from qatviz.protocol.events import CheckpointSaved, Event, RecordFailed
from qatviz.protocol.run_state import RunState
from qatviz.telemetry.record.run_record import RunRecord

#: Prefixes of the names of checkpoints that are saved automatically, and the number of each that stay on disk.
AUTOMATIC, BEFORE_CHANGE, FINAL = "auto", "before", "final"
KEPT_ON_DISK = {AUTOMATIC: 3, BEFORE_CHANGE: 10, FINAL: 1}
#: Largest number of unwritten checkpoints of one prefix that wait; the oldest are dropped (they are still in memory).
_WAITING = 2
_AUTOMATIC_NAME = re.compile(r"([a-z]+)-\d{8,}(-\d+)?")


def checkpoint_name(prefix: str, step: int, sequence: int = 0) -> str:
    """Return the name of a checkpoint such as ``auto-00001200``; names sort by step."""
    return f"{prefix}-{step:08d}" + (f"-{sequence}" if sequence else "")


class Checkpointer:
    """Writes states to the record of a run; without a record it does nothing.

    ``announce`` is called with an event for each checkpoint and the state that it holds, on the writing thread.
    """

    def __init__(self, record: Optional[RunRecord], announce: Callable[[Event, RunState], None]):
        self._record, self._announce = record, announce
        self._waiting: Deque[RunState] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._next_automatic = 0.0
        self._thread: Optional[threading.Thread] = None
        if record is not None:
            self._thread = threading.Thread(target=self._run, name="qatviz-checkpoints", daemon=True)
            self._thread.start()

    def is_due(self, now: float) -> bool:
        """Whether it is time for another automatic checkpoint; ``now`` in seconds of any clock."""
        return now >= self._next_automatic

    def restart_interval(self, now: float, interval_s: float) -> None:
        """Let the next automatic checkpoint be due after ``interval_s`` seconds."""
        self._next_automatic = now + interval_s

    def shorten_interval(self, now: float, interval_s: float) -> None:
        """Let the next automatic checkpoint be due after ``interval_s`` seconds, unless it is sooner."""
        self._next_automatic = min(self._next_automatic, now + interval_s)

    def save(self, state: RunState) -> None:
        """Write ``state`` soon."""
        if self._thread is None:
            return
        with self._changed:
            same = [
                m for m in self._waiting if _prefix(m.name) == _prefix(state.name) and _prefix(m.name) in KEPT_ON_DISK
            ]
            for oldest in same[: max(0, len(same) - _WAITING + 1)]:
                self._waiting.remove(oldest)
            self._waiting.append(state)
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                state = self._waiting.popleft()
            self._write(state)

    def _write(self, state: RunState) -> None:
        try:
            self._record.save_checkpoint(state.name, state.arrays, state.meta())
            self._prune(_prefix(state.name))
        except RecordError as error:
            self._announce(RecordFailed(state.step, str(error)), state)
        else:
            self._announce(CheckpointSaved(state.step, state.name, state.reason), state)

    def _prune(self, prefix: str) -> None:
        if prefix not in KEPT_ON_DISK:
            return
        known = [info for info in self._record.list_checkpoints() if _prefix(info.name) == prefix]
        known.sort(key=lambda info: info.created)
        for info in known[: -KEPT_ON_DISK[prefix]]:
            self._record.delete_checkpoint(info.name)


def _prefix(name: str) -> str:
    """Return the prefix of an automatic name; an empty text for any other name, which the user chose."""
    match = _AUTOMATIC_NAME.fullmatch(name)
    return match.group(1) if match else ""
