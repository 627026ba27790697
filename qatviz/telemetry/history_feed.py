"""Input of the history of a run: recorded data first, then new data.

Reading back a long run takes seconds, on a separate thread, while TensorFlow starts and the first steps run. Those
steps are reported and recorded at once; only the history receives them later.
"""

import threading
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.protocol.branches import BranchPoint, BranchTree
from qatviz.protocol.events import Evaluated
from qatviz.telemetry.history import History
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import (
    SNAPSHOTS,
    append_evaluation,
    append_new,
    enter_branches,
    extend_steps,
    refill,
)

#: Time limit in seconds for reading back the record once the run has ended; the rest is not read.
READ_TIMEOUT_S = 2.0


class Recall(NamedTuple):
    """Request to read back ``record``: all branches of ``tree``, the newest up to ``step``."""

    record: RecordReader
    step: int
    tree: BranchTree


class HistoryFeed:
    """Writer of a history, used by one thread; its methods never wait for the record to be read back.

    Parameters
    ----------
    history : History
        History with the tracks of :func:`qatviz.telemetry.record.refill.history_names`.
    recall : Recall, optional
        Recorded data with which the history begins.
    on_failure : callable, optional
        Called on the reading thread with the exception if reading the record, or adding the items queued meanwhile,
        fails.
    """

    def __init__(
        self,
        history: History,
        recall: Optional[Recall] = None,
        on_failure: Callable[[Exception], None] = lambda error: None,
    ):
        self._history, self._on_failure = history, on_failure
        self._filling = threading.Lock()
        self._waiting: Optional[List[Tuple[Callable[..., None], Tuple[Any, ...]]]] = None if recall is None else []
        self._ending = threading.Event()
        self._thread = None
        if recall is not None:
            self._thread = threading.Thread(target=self._run, args=recall, name="qatviz-recall", daemon=True)
            self._thread.start()

    def add_steps(
        self, steps: np.ndarray, scalars: np.ndarray, values: np.ndarray, losses: Optional[np.ndarray] = None
    ) -> None:
        """Add steps; the arguments are those of :func:`qatviz.telemetry.record.refill.extend_steps`."""
        self._do(extend_steps, self._history, steps, scalars, values, losses)

    def add_snapshot(self, step: int, values: np.ndarray, position: int = 0) -> None:
        """Add the measures of a snapshot, ``[len(SNAPSHOT_MEASURES), T]``; ``position`` as in `History.append`."""
        self._do(append_new, self._history, SNAPSHOTS, step, values.reshape(-1), position)

    def add_evaluation(self, event: Evaluated) -> None:
        """Add the results of an evaluation."""
        self._do(append_evaluation, self._history, event)

    def rewind(self, parent: BranchPoint, branch: int) -> None:
        """Continue from ``parent`` on a new branch; see `History.rewind`."""
        self._do(self._history.rewind, parent, branch)

    def close(self) -> None:
        """Wait until all added items are in the history; reading back ends after at most :data:`READ_TIMEOUT_S`."""
        if self._thread is not None:
            self._thread.join(READ_TIMEOUT_S)
            self._ending.set()
            self._thread.join()

    def _do(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call ``function`` now, or after the record has been read back."""
        with self._filling:
            if self._waiting is not None:
                self._waiting.append((function, arguments))
                return
        function(*arguments)

    def _run(self, record: RecordReader, step: int, tree: BranchTree) -> None:
        self._guarded(refill, self._history, record, tree, step, lambda: not self._ending.is_set())
        self._guarded(enter_branches, self._history, tree, tree.newest)  # also if reading failed
        with self._filling:
            for function, arguments in self._waiting or ():
                self._guarded(function, *arguments)
            self._waiting = None

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call ``function``, and report an exception: a damaged record must not keep new data out of the history."""
        try:
            function(*arguments)
        except Exception as error:
            self._on_failure(error)
