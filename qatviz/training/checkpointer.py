"""Writing of checkpoints on a separate thread, and deletion of old automatic ones."""

import threading
from collections import deque
from typing import Callable, Deque, List, Optional

from qatviz.errors import RecordError
from qatviz.memory import memory_shortage
from qatviz.protocol.events import CheckpointSaved, Event, RecordFailed
from qatviz.protocol.reasons import RecordPart, SaveKind
from qatviz.protocol.run_state import RunState
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
from qatviz.telemetry.record.run_record import RunRecord

#: Prefixes of the names of checkpoints that are saved without a command, by their occasion.
AUTOMATIC, BEFORE_CHANGE, FINAL, BEST = "auto", "before", "final", "best"
PREFIXES = {
    SaveKind.AUTOMATIC: AUTOMATIC,
    SaveKind.BEFORE_CHANGE: BEFORE_CHANGE,
    SaveKind.END: FINAL,
    SaveKind.BEST: BEST,
}
#: Number of automatic checkpoints of each kind that stay on disk.
#: Of the best ones, more than the newest: a rewind can make an older one the best again.
KEPT_ON_DISK = {SaveKind.AUTOMATIC: 3, SaveKind.BEFORE_CHANGE: 10, SaveKind.END: 1, SaveKind.BEST: 3}
#: Largest number of pending checkpoints of one kind. Of automatic ones, the oldest are dropped (their states are still
#: in memory); the run waits until there is room for a requested one.
_WAITING = 2


def checkpoint_name(prefix: str, step: int, number: int = 0) -> str:
    """Return the name of a checkpoint such as ``auto-00001200``, or ``before-00001200-3``; names sort by step."""
    return f"{prefix}-{step:08d}" + (f"-{number}" if number else "")


def is_temporary(info: CheckpointInfo) -> bool:
    """Return whether a checkpoint was saved automatically, and will be deleted when there are newer ones of its kind.

    A copy under another name is not temporary.
    """
    prefix = PREFIXES.get(info.reason.kind)
    return prefix is not None and info.name.startswith(checkpoint_name(prefix, info.step))


class Checkpointer:
    """Writer of states to the record of a run; does nothing without a record.

    Parameters
    ----------
    record : RunRecord, optional
    make_durable : callable
        Called on the writing thread before each checkpoint is written; returns once the telemetry up to it is durable,
        or can't be written. A run that is resumed from the checkpoint would otherwise lack the steps before it.
    announce : callable
        Called on that thread with an event for each checkpoint and the state that it contains.
    """

    def __init__(
        self,
        record: Optional[RunRecord],
        make_durable: Callable[[], object],
        announce: Callable[[Event, RunState], None],
    ):
        self._make_durable, self._announce = make_durable, announce
        self._waiting: Deque[RunState] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._next_automatic = 0.0
        self._thread: Optional[threading.Thread] = None
        if record is not None:
            self._thread = threading.Thread(target=self._run, args=(record,), name="qatviz-checkpoints", daemon=True)
            self._thread.start()

    def is_due(self, now: float) -> bool:
        """Return whether an automatic checkpoint is due; ``now`` is in seconds of any clock."""
        return now >= self._next_automatic

    def restart_interval(self, now: float, interval_s: float) -> None:
        """Schedule the next automatic checkpoint after ``interval_s`` seconds."""
        self._next_automatic = now + interval_s

    def shorten_interval(self, now: float, interval_s: float) -> None:
        """Schedule the next automatic checkpoint after at most ``interval_s`` seconds."""
        self._next_automatic = min(self._next_automatic, now + interval_s)

    def save(self, state: RunState) -> None:
        """Queue ``state`` for writing, in place of a pending one of the same name; see `_WAITING` for the limits."""
        if self._thread is None:
            return
        with self._changed:
            kind = state.reason.kind
            for waiting in [waiting for waiting in self._waiting if waiting.name == state.name]:
                self._waiting.remove(waiting)
            if kind in KEPT_ON_DISK:
                same = self._waiting_of(kind)
                for oldest in same[: max(0, len(same) - _WAITING + 1)]:
                    self._waiting.remove(oldest)
            else:
                self._changed.wait_for(lambda: len(self._waiting_of(kind)) < _WAITING)
            self._waiting.append(state)
            self._changed.notify_all()

    def close(self) -> None:
        """Write all pending states and end the thread."""
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self, record: RunRecord) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
                if not self._waiting:
                    return
                state = self._waiting.popleft()
                self._changed.notify_all()
            self._write(record, state)

    def _waiting_of(self, kind: SaveKind) -> List[RunState]:
        return [state for state in self._waiting if state.reason.kind is kind]

    def _write(self, record: RunRecord, state: RunState) -> None:
        self._make_durable()  # if it fails, the run reports that, and the checkpoint is needed even more
        try:
            record.save_checkpoint(state.name, state.arrays, state.meta())
            self._announce(CheckpointSaved(state.step, state.name, state.reason), state)
            _prune(record, state.reason.kind)
        except RecordError as error:
            self._fail(state, str(error))
        except Exception as error:  # else the thread would end, and later states would be lost in silence
            reason = memory_shortage(error) or str(error) or type(error).__name__
            self._fail(state, f"checkpoint {state.name} was not written: {reason}")

    def _fail(self, state: RunState, message: str) -> None:
        self._announce(RecordFailed(state.step, message, RecordPart.CHECKPOINT), state)


def _prune(record: RunRecord, kind: SaveKind) -> None:
    """Delete the oldest automatic checkpoints of a kind, beyond the number in :data:`KEPT_ON_DISK`."""
    if kind not in KEPT_ON_DISK:
        return
    known = [info for info in record.list_checkpoints() if info.reason.kind is kind and is_temporary(info)]
    known.sort(key=lambda info: info.created)
    for info in known[: -KEPT_ON_DISK[kind]]:
        record.delete_checkpoint(info.name)
