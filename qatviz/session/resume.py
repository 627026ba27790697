"""Continuation of a recorded run from a checkpoint: resume it in its own record, or fork a second run."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, List, Tuple

from qatviz.errors import RecordError, SettingError, about, require_tensorflow
from qatviz.network.graph import Network
from qatviz.network.replaced_relu6 import with_relu
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, ScheduledCommand, SettingsCommand
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.begin import (
    absolute_source,
    new_record,
    placement_of,
    prepared_run,
    schedule_of,
    scheduled_corrections,
)
from qatviz.session.changes import check_change
from qatviz.session.checkpoints import rewind_record, starting_point
from qatviz.session.own_code import recorded_functions
from qatviz.session.prepared import Notify, Prepared, ignore
from qatviz.session.recorded import read_past
from qatviz.session.recorded_data import recorded_data
from qatviz.session.request import (
    DEFAULT_DATA,
    ContinuationRequest,
    ForkRequest,
    ResumeRequest,
)
from qatviz.session.teachers import recorded_teacher
from qatviz.settings import KINDS, RUN
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import reading
from qatviz.tensorflow_presence import TRAINING

#: Entries of a run's description that say how its data was read, which a fork shares.
_KEPT = ("validation_fraction", "data_options")


def resume(request: ResumeRequest, shown: bool = False, notify: Notify = ignore) -> Prepared:
    """Prepare a recorded run to continue in its own directory; its record is open for writing and rewound.

    Parameters and errors are those of :func:`qatviz.session.prepare.prepare`.
    """
    request.check()
    if request.replace_relu6:
        raise SettingError.of_field("replace_relu6", "can't change in a resumed run: fork it instead")
    require_tensorflow(TRAINING)
    with about("directory"):
        record = RunRecord.open(os.path.expanduser(request.directory))
    try:
        spec = _continued_spec(record, request, notify)
        outcome = rewind_record(record, spec, notify)
        log, snapshots = read_past(record, surviving_only=False) if shown else ((), ())
        return prepared_run(spec, record, outcome, shown, log, snapshots)
    except BaseException:
        record.close()
        raise


def fork(request: ForkRequest, shown: bool = False, notify: Notify = ignore) -> Prepared:
    """Prepare a second run that starts from a checkpoint of a recorded run; that run is not changed.

    Parameters and errors are those of :func:`qatviz.session.prepare.prepare`.
    """
    request.check()
    require_tensorflow(TRAINING)
    with about("directory"):
        reader = RunRecord.read(os.path.expanduser(request.directory))
    spec = _continued_spec(reader, request, notify)
    if spec.start is None:
        raise RecordError(f"{request.directory}: has no checkpoint to fork from yet", "directory")
    start = replace(spec.start, branch=0, position=0, best=None)  # the best state is the other run's
    schedule = tuple(item for item in spec.schedule if item.step >= start.step)
    seed = spec.seed if request.seed is None else request.seed
    spec = replace(spec, start=start, book=start.book, schedule=schedule, seed=seed)
    record = None
    if request.out is not None:
        kept = {key: reader.description[key] for key in _KEPT if key in reader.description}
        origin = {
            "run_id": reader.description["run_id"],
            "directory": str(reader.directory),
            "checkpoint": start.name,
            "step": start.step,
        }
        with about("out"):
            reason = SaveReason(SaveKind.FORK, note=origin["directory"])
            meta = replace(start, reason=reason).meta()

            def write_start(directory: Path) -> None:
                CheckpointFiles(directory).save(f"start-{start.step:08d}", start.arrays, meta)

            record = new_record(spec, request.out, write_start, forked_from=origin, **kept)
    outcome = Outcome(start.book, spec.metric, spec.placement.division)
    outcome.step, outcome.seconds = start.step, start.seconds
    return prepared_run(spec, record, outcome, shown)


def _continued_spec(reader: RecordReader, request: ContinuationRequest, notify: Notify) -> RunSpec:
    """Return the spec of a continued run.

    Its schedule has the recorded changes, those to repeat, the immediate ones of the request, and its later ones.
    Changes at the same step take effect in this order.
    """
    description = reader.description
    if request.replace_relu6:
        description = dict(description, network=with_relu(Network.from_dict(description["network"])).to_dict())
    source = description.get("data", DEFAULT_DATA) if request.data is None else request.data
    placement = placement_of(request)
    with about("directory"), reading(reader.path):  # checksums detect damage, not invalid content
        with about("data"):
            dataset = recorded_data(description, source)
        plan = reader.plan()
        spec = RunSpec.from_description(
            description,
            dataset,
            data_spec=absolute_source(source),
            placement=placement,
            parameters=reader.initial_parameters(),
            teacher=recorded_teacher(reader),
            functions=recorded_functions(description, request.allow_code, notify),
            **plan._asdict(),
        )
        with about("checkpoint"):
            start, replay = starting_point(reader, spec.book, request.checkpoint, notify)
    steps = spec.steps if request.steps is None else request.total_steps
    step = start.step if start else 0
    if steps is not None and steps < step:
        raise SettingError.of_field(
            "steps", f"is {steps}: expected at least {step}, the number of steps done, or an earlier checkpoint"
        )
    # A named checkpoint abandons all that came after it, including scheduled changes at its own step.
    schedule = tuple(item for item in spec.schedule if item.step > step) if request.checkpoint else spec.schedule
    spec = replace(spec, start=start, steps=steps, schedule=schedule)
    with about("changes"):
        at_once = tuple(
            ScheduledCommand(step, command)
            for command in _immediate_commands(request, start.book if start else spec.book)
        )
        for change in request.changes:
            if change.step is not None and change.step < step:
                raise SettingError.of_field("changes", f"{change.text!r}: the run continues from step {step}")
        later = schedule_of(request.changes, spec, notify)
    corrections = tuple(scheduled_corrections(request.corrections, step, spec.steps, notify))
    return replace(spec, schedule=spec.schedule + replay + at_once + later + corrections)


def _immediate_commands(request: ContinuationRequest, book: SettingsBook) -> List[SettingsCommand]:
    """Return the changes of settings to apply when the run continues."""
    commands: List[SettingsCommand] = []
    if request.preset is not None:
        commands.append(ApplyPreset(request.preset))
        book, _ = book.with_preset(request.preset)
    assignments: List[Tuple[str, Any]] = []
    for kind in KINDS:
        assignments += [(f"*.{kind}.{name}", value) for name, value in getattr(request, kind).items()]
    assignments += [(f"{RUN}.{name}", value) for name, value in request.run.items()]
    for change in request.changes:
        if change.step is None:
            check_change(book, change)
            assignments += change.assignments
    if assignments:
        book.change(assignments)
        commands.append(ChangeSettings(tuple(assignments)))
    return commands
