"""Going on with a recorded run: where from, and what is to be done again."""

from typing import Optional, Tuple

from qatviz.cli.messages import complain
from qatviz.errors import RecordError
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.protocol.schedule import Schedule, to_rows
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord


def starting_point(
    reader: RecordReader, book: SettingsBook, checkpoint: Optional[str] = None
) -> Tuple[Optional[RunState], Schedule]:
    """The moment to go on from, and the changes of settings to make again. ``book`` is what the run began with.

    Without a name it is the newest checkpoint on the surviving timeline that can be read; those that can't are named on
    stderr. What was changed after it is made again at its steps: the same changes on the same batches lead to where
    the run was. A named checkpoint is gone back to as it is.

    Returns
    -------
    RunState or None
        None where there is no checkpoint yet: the run begins anew, on the same batches.
    tuple of (int, ChangeSettings)

    Raises
    ------
    RecordError
        If none of the checkpoints can be read, or not the named one.
    """
    if checkpoint:
        return _load(reader, checkpoint, book.plan), ()
    moment = _newest(reader, book.plan)
    outcome = Outcome(book)
    outcome.take_record(reader)
    since = outcome.changes_from(moment.book, moment.step) if moment else outcome.changes_from(book)
    return moment, tuple((step, ChangeSettings(tuple((c.setting, c.new) for c in changes))) for step, changes in since)


def set_back(record: RunRecord, spec: RunSpec) -> Outcome:
    """Set a record back to where ``spec`` starts and note what is planned from there; what it tells of the run so far.

    Raises
    ------
    RecordError
        If the record can't be written or read.
    """
    start = spec.start
    step, book, branch = (start.step, start.book, start.branch) if start else (0, spec.book, 0)
    before = Outcome(spec.book)
    before.take_record(record)
    # By the step alone the record can't tell whether changes at that very step are part of the checkpoint.
    restored = events.Restored(
        step, start.name if start else "start", "resumed", record.last_step, before.book.differences(book)
    )
    # Together: what is set back is told by the plan as what is to be done again, or else it is not set back.
    record.append_rewind(step, branch, [restored, events.Planned(step, spec.steps, to_rows(spec.schedule))])
    if not record.flush():
        raise record.failure or RecordError(f"{record.path}: could not be written: the disk does not answer")
    outcome = Outcome(spec.book, spec.metric)
    outcome.take_record(record)
    outcome.step, outcome.seconds = step, start.seconds if start else 0.0
    newest = record.steps(step, step)
    if len(newest.steps):
        outcome.loss = float(newest.loss[-1])
    return outcome


def _newest(reader: RecordReader, plan: QuantizationPlan) -> Optional[RunState]:
    infos = reader.list_checkpoints()
    for info in infos:
        if info.error:
            complain(f"warning: {info.error}; it is left out")
    for info in reversed(infos):
        if info.error or not reader.is_surviving(info.step, info.branch):
            continue
        try:
            moment = _load(reader, info.name, plan)
        except RecordError as error:
            complain(f"warning: {error}; the one before it is taken")
        else:
            if moment.is_finite:
                return moment
            complain(f"warning: checkpoint {info.name}: holds values that are not finite; the one before it is taken")
    if infos:
        raise RecordError(f"{reader.directory}: none of its {len(infos)} checkpoints can be used")
    return None


def _load(reader: RecordReader, name: str, plan: QuantizationPlan) -> RunState:
    arrays, meta = reader.load_checkpoint(name)
    return RunState.from_checkpoint(name, arrays, meta, plan)
