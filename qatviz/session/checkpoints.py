"""Checkpoints of recorded runs: the state to continue from, the changes to repeat after it, and permanent copies."""

import filecmp
import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Tuple

from qatviz.atomic_files import atomic_file
from qatviz.errors import RecordError, about, require_tensorflow
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol import events
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import Schedule, ScheduledCommand
from qatviz.protocol.reasons import RestoreReason, SaveKind
from qatviz.protocol.run_spec import RunSpec, described_plan
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.own_code import recorded_functions
from qatviz.session.prepared import Notice, Notify, ignore
from qatviz.session.recorded_data import recorded_data
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.checkpoint_files import SUFFIX, CheckpointInfo
from qatviz.telemetry.record.own_files import CHECKPOINTS
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import reading
from qatviz.tensorflow_presence import EVALUATING
from qatviz.training.checkpointer import BEST, is_temporary

#: Prefix of the names of copies for exports.
KEPT = "kept-"


def starting_point(
    reader: RecordReader, book: SettingsBook, checkpoint: Optional[str] = None, notify: Notify = ignore
) -> Tuple[Optional[RunState], Schedule]:
    """Return the state to continue from, and the changes of settings and corrections to repeat.

    By default, this is the newest readable checkpoint on the surviving timeline. Later changes are repeated at their
    steps: the same changes on the same batches reproduce the run. After a named checkpoint, nothing is repeated.

    Parameters
    ----------
    reader : RecordReader
    book : SettingsBook
        Initial settings of the run.
    checkpoint : str, optional
    notify : callable
        Called with a warning for each checkpoint that can't be used.

    Returns
    -------
    RunState or None
        None if there is no checkpoint yet: the run starts again, on the same batches.
    tuple of ScheduledCommand

    Raises
    ------
    RecordError
        If the named checkpoint, or every checkpoint, cannot be read.
    """
    if checkpoint:
        return _load(reader, checkpoint, book.plan), ()
    state = _newest(reader, book.plan, notify)
    outcome = Outcome(book)
    outcome.update_from_record(reader)
    at = state.point if state else BranchPoint(0, 0, 0)
    since = outcome.commands_from(state.book if state else book, at)
    return state, tuple(ScheduledCommand(step, command) for step, command in since)  # type: ignore[arg-type]


def evaluable_state(
    directory: str, checkpoint: Optional[str] = None, data: Optional[str] = None, notify: Notify = ignore
) -> Tuple[RecordReader, RunSpec]:
    """Return :func:`recorded_state` for an evaluation; raise TensorFlowMissing at once if that is impossible here."""
    require_tensorflow(EVALUATING)
    return recorded_state(directory, checkpoint, data, notify)


def recorded_state(
    directory: str,
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
    notify: Notify = ignore,
    allow_code: bool = False,
) -> Tuple[RecordReader, RunSpec]:
    """Return the reader of a recorded run, and its spec with a state as ``start``; the record is only read.

    Parameters
    ----------
    checkpoint : str, optional
        By default the newest readable one.
    data : str, optional
        Current path of the data; by default the recorded path.
    allow_code : bool
        As in :class:`qatviz.session.request.ContinuationRequest`.

    Raises
    ------
    CodeRefused
        If losses or metrics of the run are functions of a file that the user has not allowed.
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint.
    DataError
        If its data can't be read.
    """
    with about("directory"):
        reader = RunRecord.read(os.path.expanduser(directory))
    description = reader.description
    with about("data"):
        dataset = recorded_data(description, data)
    spec = RunSpec.from_description(description, dataset, functions=recorded_functions(description, allow_code, notify))
    with about("checkpoint"):
        state, _ = starting_point(reader, spec.book, checkpoint, notify)
        if state is None:
            raise RecordError(f"{reader.directory}: has no checkpoint yet")
    return reader, replace(spec, start=state)


def rewind_record(record: RunRecord, spec: RunSpec, notify: Notify = ignore) -> Outcome:
    """Rewind a record to the start of ``spec``, record the plan from there, and return the run's state so far.

    ``notify`` is called with a warning if the steps before the start are not all recorded.

    Raises
    ------
    RecordError
        If the record can't be written or read.
    """
    start = spec.start
    book, (branch, step, position) = (start.book, start.point) if start else (spec.book, BranchPoint(0, 0, 0))
    before = Outcome(spec.book)
    before.update_from_record(record)
    # The step alone does not determine whether changes at this step are part of the checkpoint.
    restored = events.Restored(
        step,
        start.name if start else "start",
        RestoreReason.RESUMED,
        record.last_step,
        before.book.differences(book),
    )
    # In one transaction: the record must never be rewound without the plan to repeat the changes.
    reports = [restored, events.Planned(step, spec.steps, spec.schedule, spec.placement.division)]
    record.append_rewind(step, branch, reports, position)
    record.commit()
    outcome = Outcome(spec.book, spec.metric, BatchDivision.described(record.description))
    outcome.update_from_record(record)
    outcome.step, outcome.seconds = step, start.seconds if start else 0.0
    newest = record.steps(step, step)
    if len(newest.steps):
        outcome.loss = float(newest.loss[-1])
    elif step > record.description.get("forked_from", {"step": 0})["step"]:
        notify(Notice(f"step {step} and steps before it are not in the record, which could not be written then", True))
    return outcome


def _newest(reader: RecordReader, plan: QuantizationPlan, notify: Notify) -> Optional[RunState]:
    infos = reader.list_checkpoints()
    for info in infos:
        if info.error:
            notify(Notice(f"{info.error}; it is skipped", True))
    newest_branch = reader.branches().newest
    for info in reversed(infos):
        if info.branch > newest_branch:
            notify(Notice(f"checkpoint {info.name}: saved after the record had failed; name it to use it", True))
        if info.error or not reader.is_surviving(info.point):
            continue
        try:
            state = _load(reader, info.name, plan)
        except RecordError as error:
            notify(Notice(f"{error}; the previous one is used", True))
        else:
            if state.is_finite:
                return state
            notify(Notice(f"checkpoint {info.name}: has values that are not finite; the previous one is used", True))
    if infos:
        raise RecordError(f"{reader.directory}: none of its {len(infos)} checkpoints can be used")
    return None


def _load(reader: RecordReader, name: str, plan: QuantizationPlan) -> RunState:
    name = _best(reader) if name == BEST else name
    arrays, meta = reader.load_checkpoint(name)
    return RunState.from_checkpoint(name, arrays, meta, plan)


def _best(reader: RecordReader) -> str:
    """Return the name of the checkpoint of the best evaluation, if possible on the surviving timeline."""
    infos = [info for info in reader.list_checkpoints() if not info.error and info.reason.kind is SaveKind.BEST]
    surviving = [info for info in infos if reader.is_surviving(info.point)]
    if not infos:
        raise RecordError(f"{reader.directory}: has no best checkpoint; a run saves one if keep_best is on")
    return max(surviving or infos, key=lambda info: info.step).name


def readable_checkpoints(directory: str) -> List[CheckpointInfo]:
    """Return the readable checkpoints of a recorded run, by step, without copies of others.

    Raises
    ------
    RecordError
        If there is no run.
    """
    infos = [info for info in RunRecord.read(directory).list_checkpoints() if not info.error]
    names = {info.name for info in infos}
    return [info for info in infos if not (info.name.startswith(KEPT) and info.name[len(KEPT) :] in names)]


def state_of(directory: str, checkpoint: Optional[str] = None, notify: Notify = ignore) -> RunState:
    """Return a state of a recorded run, by default the newest readable one, without reading its data.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint.
    """
    with about("directory"):
        reader = RunRecord.read(os.path.expanduser(directory))
    with reading(reader.path):
        plan = described_plan(reader.description)
    with about("checkpoint"):
        state = _load(reader, checkpoint, plan) if checkpoint else _newest(reader, plan, notify)
        if state is None:
            raise RecordError(f"{reader.directory}: has no checkpoint yet")
    return state


def recorded_network(directory: str) -> Network:
    """Return the network of a recorded run.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    """
    with about("directory"):
        reader = RunRecord.read(os.path.expanduser(directory))
    with reading(reader.path):
        return Network.from_dict(reader.description["network"])


def settings_at(directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
    """Return the settings of a checkpoint, and its step.

    Raises
    ------
    RecordError
        If there is no such checkpoint, or it can't be read.
    """
    reader = RunRecord.read(directory)
    with reading(reader.path):
        plan = described_plan(reader.description)
    state = _load(reader, checkpoint, plan)
    return state.book, state.step


def keep_checkpoint(directory: str, checkpoint: str) -> str:
    """Keep a checkpoint permanently, so that an export can refer to it, and return the name under which it is kept.

    A run deletes its oldest automatic checkpoints; such a checkpoint is copied.

    Raises
    ------
    RecordError
        If there is no such checkpoint, or it can't be copied.
    """
    infos = [info for info in RunRecord.read(directory).list_checkpoints() if info.name == checkpoint]
    if infos and not is_temporary(infos[0]):
        return checkpoint
    folder = Path(directory) / CHECKPOINTS
    old = folder / (checkpoint + SUFFIX)
    try:
        for number in itertools.count(1):
            name = KEPT + checkpoint + (f".{number}" if number > 1 else "")
            new = folder / (name + SUFFIX)
            if not new.exists():
                _link(old, new)
            if filecmp.cmp(str(old), str(new)):  # otherwise, that copy is from an abandoned branch
                return name
    except OSError as error:
        raise RecordError(f"{old}: this checkpoint can't be copied: {error.strerror or error}") from error
    raise AssertionError("the numbers do not end")


def _link(old: Path, new: Path) -> None:
    try:
        os.link(str(old), str(new))  # uses no space
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        with open(str(old), "rb") as content, atomic_file(new) as file:
            shutil.copyfileobj(content, file)  # type: ignore[misc]
