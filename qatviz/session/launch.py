"""From options to a run: a new one, one that goes on, or a second one from a checkpoint."""

import argparse
import math
import os
import re
from dataclasses import fields, replace
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from qatviz import data
from qatviz.cli.assignments import TimedChange, check_change, parse_change, parse_kind
from qatviz.cli.messages import complain, say
from qatviz.errors import RecordError, SettingError, did_you_mean
from qatviz.network import zoo
from qatviz.presets import DEFAULT_PRESET, PRESETS
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, Command
from qatviz.protocol.run_spec import Placement, RunSpec
from qatviz.protocol.schedule import planned
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session import resuming
from qatviz.session.beginning import Model, file_model, new_record, new_spec, zoo_model
from qatviz.settings import ACTIVATIONS, KINDS, OPTIMIZERS, RUN, RUN_SETTINGS, WEIGHTS, RunSettings
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import reading
from qatviz.training.server import check_reachable

NETWORK, DATA, VALIDATION_FRACTION = "lenet", "mnist-5k", 0.2
#: The number of steps of a run without an end; argparse takes None for an option that was not given.
UNTIL_STOPPED = math.inf
#: Options that a run which goes on has already decided.
_DECIDED = (
    "network",
    "model",
    "model_weights",
    "quant_delay",
    "batch_size",
    "optimizer",
    "seed",
    "validation_fraction",
    "task",
)
#: Options that say more of ``--model``.
_OF_MODELS = ("model_weights", "allow_code", "from_scratch")
#: How TensorFlow names devices; where it is wrong, it says so only once the graph is being built.
_DEVICE = re.compile(r"(/(job:\w+|(replica|task):\d+|(device:)?[A-Za-z]\w*:(\d+|\*)))+")


class Launch(NamedTuple):
    """A run about to start: ``outcome`` knows what came before."""

    spec: RunSpec
    record: Optional[RunRecord]
    outcome: Outcome


def default(field: str) -> Any:
    """The default of a field of `RunSpec`."""
    return next(f.default for f in fields(RunSpec) if f.name == field)


def prepare(options: argparse.Namespace) -> Launch:
    """What ``options`` ask for, checked; its record is open.

    Raises
    ------
    QatvizError
    """
    if options.resume and (options.fork or options.out):
        raise SettingError(f"--resume goes on in its own directory: leave out {'--fork' if options.fork else '--out'}")
    if options.checkpoint and not options.resume:
        raise SettingError("--checkpoint goes with --resume; a fork names it as --fork DIR@CHECKPOINT")
    if options.resume or options.fork:
        for name in _DECIDED:
            if getattr(options, name) is not None:
                raise SettingError(
                    f"--{name.replace('_', '-')}: a run that goes on keeps what it began with: leave it out, "
                    "or start a new "
                    "run"
                )
        return _resume(options) if options.resume else _fork(options)
    return _begin(options)


def _begin(options: argparse.Namespace) -> Launch:
    changes = _requested(options)
    fraction = VALIDATION_FRACTION if options.validation_fraction is None else options.validation_fraction
    dataset = data.load(options.data or DATA, fraction, task=options.task)
    _check_choice("--optimizer", options.optimizer or default("optimizer"), OPTIMIZERS)
    model = _model(options, dataset)
    for note in model.notes:
        say("note: " + note)
    preset = options.preset or DEFAULT_PRESET
    _check_choice("--preset", preset, PRESETS)
    given = {
        field: getattr(options, field)
        for field in ("batch_size", "optimizer", "seed", "steps", "quant_delay")
        if getattr(options, field) is not None
    }
    spec = new_spec(
        model,
        dataset,
        _lasting(options.data or DATA),
        preset,
        parse_kind(options.weights, WEIGHTS),
        parse_kind(options.activations, ACTIVATIONS),
        RunSettings(**_run_settings(options)),
        placement=_placement(options),
        **dict(given, steps=_steps(given.get("steps", default("steps")))),
    )
    for change in changes:
        if change.step is None:
            spec = replace(spec, book=check_change(spec.book, change))
    spec = replace(spec, schedule=_schedule(changes, spec))
    record = new_record(spec, options.out, validation_fraction=fraction) if options.out else None
    return Launch(spec, record, Outcome(spec.book, spec.metric))


def _model(options: argparse.Namespace, dataset: data.Dataset) -> Model:
    """What is to be trained, of the zoo or of a file."""
    if options.model is None:
        for name in _OF_MODELS:
            if getattr(options, name):
                raise SettingError(f"--{name.replace('_', '-')}: goes with --model")
        name = options.network or NETWORK
        _check_choice("--network", name, zoo.NETWORKS)
        return zoo_model(name, dataset)
    if options.network is not None:
        raise SettingError("--network and --model: expected one of them")
    return file_model(options.model, dataset, options.model_weights, options.allow_code, options.from_scratch)


def _resume(options: argparse.Namespace) -> Launch:
    record = RunRecord.open(options.resume)
    try:
        spec = _continued(record, options, options.checkpoint)
        return Launch(spec, record, resuming.set_back(record, spec))
    except BaseException:
        record.close()
        raise


def _fork(options: argparse.Namespace) -> Launch:
    directory, _, checkpoint = options.fork.partition("@")
    if os.path.exists(options.fork):  # a directory may have an @ in its name
        directory, checkpoint = options.fork, ""
    reader = RunRecord.read(directory)
    spec = _continued(reader, options, checkpoint or None)
    if spec.start is None:
        raise RecordError(f"{directory}: has no checkpoint yet: there is nothing to fork")
    start = replace(spec.start, branch=0)
    spec = replace(
        spec, start=start, book=start.book, schedule=tuple(item for item in spec.schedule if item[0] >= start.step)
    )
    record = None
    if options.out:
        kept = {key: reader.description[key] for key in ("validation_fraction",) if key in reader.description}
        origin = {
            "run_id": reader.description["run_id"],
            "directory": str(reader.directory),
            "checkpoint": start.name,
            "step": start.step,
        }
        record = new_record(spec, options.out, forked_from=origin, **kept)
        record.save_checkpoint(
            f"start-{start.step:08d}", start.arrays, dict(start.meta(), reason=f"fork of {origin['directory']}")
        )
    outcome = Outcome(start.book, spec.metric)
    outcome.step, outcome.seconds = start.step, start.seconds
    return Launch(spec, record, outcome)


def _continued(reader: RecordReader, options: argparse.Namespace, checkpoint: Optional[str]) -> RunSpec:
    """The spec of a run that goes on from a checkpoint; what is to change at once begins its schedule."""
    changes = _requested(options)
    description = reader.description
    source = options.data or description.get("data", DATA)
    placement = _placement(options)
    with reading(reader.path):  # checksums tell damage, not what somebody has written there
        dataset = data.load(
            source, description.get("validation_fraction", VALIDATION_FRACTION), task=description.get("task")
        )
        plan = planned(reader)
        spec = RunSpec.from_description(
            description,
            dataset,
            data_spec=_lasting(source),
            placement=placement,
            parameters=reader.initial_parameters(),
            **plan._asdict(),
        )
        start, replay = resuming.starting_point(reader, spec.book, checkpoint)
    steps = spec.steps if options.steps is None else _steps(options.steps)
    step = start.step if start else 0
    if steps is not None and steps < step:
        raise SettingError(
            f"--steps: {steps} are fewer than the {step} that are done: ask for more, or go on from an earlier "
            "checkpoint"
        )
    # Going back to a named checkpoint leaves behind what came after it, scheduled changes at that very step included.
    schedule = tuple(item for item in spec.schedule if item[0] > step) if checkpoint else spec.schedule
    spec = replace(spec, start=start, steps=steps, schedule=schedule)
    at_once = tuple((step, command) for command in _at_once(options, changes, start.book if start else spec.book))
    for change in changes:
        if change.step is not None and change.step < step:
            raise SettingError(f"--set {change.text!r}: the run goes on from step {step}")
    return replace(spec, schedule=spec.schedule + replay + at_once + _schedule(changes, spec))


def _at_once(options: argparse.Namespace, changes: List[TimedChange], book: SettingsBook) -> List[Command]:
    """Commands for a run that goes on: everything that is a setting can be changed."""
    commands: List[Command] = []
    if options.preset:
        _check_choice("--preset", options.preset, PRESETS)
        commands.append(ApplyPreset(options.preset))
        book, _ = book.with_preset(options.preset)
    assignments: List[Tuple[str, Any]] = []
    for kind in KINDS:
        assignments += [(f"*.{kind}.{name}", value) for name, value in parse_kind(getattr(options, kind), kind).items()]
    assignments += [(f"{RUN}.{name}", value) for name, value in _run_settings(options).items()]
    for change in changes:
        if change.step is None:
            check_change(book, change)
            assignments += change.assignments
    if assignments:
        book.change(assignments)
        commands.append(ChangeSettings(tuple(assignments)))
    return commands


def _requested(options: argparse.Namespace) -> List[TimedChange]:
    return [parse_change(text) for text in options.set]


def _run_settings(options: argparse.Namespace) -> Dict[str, Any]:
    return {name: getattr(options, name) for name in RUN_SETTINGS if getattr(options, name) is not None}


def _schedule(changes: List[TimedChange], spec: RunSpec) -> tuple:
    """Changes for the steps to come, checked one after the other."""
    timed = sorted((change for change in changes if change.step is not None), key=lambda change: change.step)
    book = spec.start.book if spec.start else spec.book
    for change in timed:
        book = check_change(book, change)
        if spec.steps is not None and change.step >= spec.steps:
            complain(f"note: --set {change.text!r} never takes effect: the run ends after {spec.steps} steps")
    return tuple((change.step, ChangeSettings(change.assignments)) for change in timed)


def _placement(options: argparse.Namespace) -> Placement:
    if options.threads < 0:
        raise SettingError(f"--threads is {options.threads}: expected a whole number of at least 0")
    if options.device and not _DEVICE.fullmatch(options.device):
        raise SettingError(
            f"--device is {options.device!r}: expected such as /cpu:0, /gpu:0 or /job:worker/task:0/device:GPU:1"
        )
    if options.session_target:
        check_reachable(options.session_target)
    return Placement(options.session_target, options.device, options.threads, options.threads)


def _steps(steps: Union[int, float]) -> Optional[int]:
    return None if steps == UNTIL_STOPPED else steps


def _lasting(source: str) -> str:
    """How the record names the data, so that a run can go on from elsewhere: a path in full."""
    path = os.path.expanduser(source)
    names = [named.name.replace("_", "-") for named in data.NAMED_DATA]
    return source if source.replace("_", "-") in names else os.path.abspath(path)


def _check_choice(option: str, word: str, known: Any) -> None:
    if word not in known:
        raise SettingError(f"{option} is {word!r}: expected one of {', '.join(known)}.{did_you_mean(word, known)}")
