"""Checkpoints to disk on a thread of their own, and how many of them are kept."""

import re
import threading
from collections import deque
from typing import Callable, Deque, Optional

from qatviz.errors import RecordError
from qatviz.protocol.events import CheckpointSaved, Event, RecordFailed
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.moments import Moment

#: Prefixes of the names of checkpoints that are kept automatically, and how many of each stay on disk.
AUTOMATIC, BEFORE_CHANGE, FINAL = "auto", "before", "final"
KEPT_ON_DISK = {AUTOMATIC: 3, BEFORE_CHANGE: 10, FINAL: 1}
#: Unwritten checkpoints of one prefix that may wait; of more, the oldest are dropped (they are still in memory).
_WAITING = 2
_AUTOMATIC_NAME = re.compile(r"([a-z]+)-\d{8,}(-\d+)?")


def checkpoint_name(prefix: str, step: int, sequence: int = 0) -> str:
    """Names sort by step: ``auto-00001200``."""
    return f"{prefix}-{step:08d}" + (f"-{sequence}" if sequence else "")


class Checkpointer:
    """Writes moments to the record of a run; without a record it does nothing.

    ``announce`` is called with an event for each checkpoint, on the writing thread.
    """

    def __init__(self, record: Optional[RunRecord], announce: Callable[[Event], None]):
        self._record, self._announce = record, announce
        self._waiting: Deque[Moment] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = None
        if record is not None:
            self._thread = threading.Thread(target=self._run, name="qatviz-checkpoints", daemon=True)
            self._thread.start()

    def save(self, moment: Moment) -> None:
        """Write ``moment`` soon."""
        if self._thread is None:
            return
        with self._changed:
            same = [
                m for m in self._waiting if _prefix(m.name) == _prefix(moment.name) and _prefix(m.name) in KEPT_ON_DISK
            ]
            for oldest in same[: max(0, len(same) - _WAITING + 1)]:
                self._waiting.remove(oldest)
            self._waiting.append(moment)
            self._changed.notify_all()

    def close(self) -> None:
        """Write what waits, and end."""
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
                moment = self._waiting.popleft()
            self._write(moment)

    def _write(self, moment: Moment) -> None:
        try:
            self._record.save_checkpoint(moment.name, moment.arrays, moment.meta())
            self._prune(_prefix(moment.name))
        except RecordError as error:
            self._announce(RecordFailed(moment.step, str(error)))
        else:
            self._announce(CheckpointSaved(moment.step, moment.name, moment.reason))

    def _prune(self, prefix: str) -> None:
        if prefix not in KEPT_ON_DISK:
            return
        known = [info for info in self._record.list_checkpoints() if _prefix(info.name) == prefix]
        known.sort(key=lambda info: info.created)
        for info in known[: -KEPT_ON_DISK[prefix]]:
            self._record.delete_checkpoint(info.name)


def _prefix(name: str) -> str:
    """The prefix of an automatic name; of any other name (which the user chose) nothing."""
    match = _AUTOMATIC_NAME.fullmatch(name)
    return match.group(1) if match else ""
