"""Opening of a recorded run to show it, without continuing it."""

import os
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from qatviz.errors import RunStateError
from qatviz.network.graph import Network
from qatviz.protocol.commands import Command
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent
from qatviz.session.prepared import Prepared
from qatviz.telemetry.history import History
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import history_names, refill
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import reading
from qatviz.telemetry.run_handle import RECORDED, RunHandle
from qatviz.telemetry.score_series import recorded_metrics

#: Number of snapshots read for distributions over time.
SNAPSHOTS_READ = 60


class RecordedRun(RunHandle):
    """Handle of a recorded run that is shown, but neither trained nor changed."""

    state, step, dropped = RECORDED, 0, 0
    description: Mapping[str, Any] = {}

    def __init__(self, description: Mapping[str, Any], step: int, history: History, news: List[Any]):
        self.description, self.step, self.history = description, step, history
        self._news = news

    def drain(self) -> List[Any]:
        """Return the newest step and snapshot, once."""
        news, self._news = self._news, []
        return news

    def start(self) -> None:
        raise RunStateError("this run is only shown from its record: resume it first")

    def send(self, command: Command, id: str = "") -> str:
        raise RunStateError(
            f"{type(command).__name__}: a run opened from its record does not execute commands: resume it first"
        )

    def request_stop(self) -> None:
        """Do nothing: the run is not running."""

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        return True

    def discard(self) -> None:
        """Do nothing: its record was only read."""


def open_recorded(directory: str) -> Prepared:
    """Return the recorded run in ``directory``.

    Raises
    ------
    RecordError
    """
    reader = RunRecord.read(os.path.expanduser(directory))
    with reading(reader.path):  # checksums detect damage, not invalid content
        return _prepare(reader)


def _prepare(reader: RecordReader) -> Prepared:
    description = reader.description
    network = Network.from_dict(description["network"])
    title = f"{network.name} on {description['data_name']}"
    outcome = read_outcome(reader)
    book = outcome.book
    tensors = [tensor.name for tensor in book.plan.tensors]
    names: Dict[str, Sequence[str]] = dict(history_names(tensors, recorded_metrics(description)))
    history = History(names)
    refill(history, reader)
    log, snapshots = read_past(reader)
    news: List[Any] = []
    step = reader.last_step
    newest = reader.steps(step, step)
    if len(newest.steps):
        news.append(
            StepRecord(
                step,
                float(newest.seconds[-1]),
                float(newest.loss[-1]),
                float(newest.learning_rate[-1]),
                newest.values[-1],
                newest.losses[-1],
            )
        )
    if snapshots:
        news.append(snapshots[-1])
    return Prepared(
        RecordedRun(description, step, history, news),
        network,
        book,
        title,
        0.0,
        str(reader.directory),
        log,
        snapshots,
        outcome,
    )


def read_past(
    reader: RecordReader, surviving_only: bool = True
) -> Tuple[Tuple[LoggedEvent, ...], Tuple[Snapshot, ...]]:
    """Return the events of a record, and snapshots spread over the whole run, by branch and step.

    There are at most ``SNAPSHOTS_READ`` snapshots of the surviving timeline, the newest included; unless
    ``surviving_only``, also as many of abandoned branches, to which a resumed run can return.
    """
    log, _ = reader.log()
    snapshots = list(reader.iter_some_snapshots(SNAPSHOTS_READ, True))
    if not surviving_only:
        snapshots += reader.iter_some_snapshots(SNAPSHOTS_READ, False)
    return tuple(log), tuple(sorted(snapshots, key=lambda snapshot: snapshot.point[:2]))
