"""Preparation of a new run: its specification, from model and data, and its record."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from qatviz import data
from qatviz.atomic_files import atomic_file
from qatviz.data import Dataset
from qatviz.data.data_input import arrays_of_inputs
from qatviz.data.masks import void_of
from qatviz.data_options import DataOptions
from qatviz.errors import RecordError, SettingError, about, require_tensorflow
from qatviz.network.plan import quantization_plan
from qatviz.network.replaced_relu6 import with_relu
from qatviz.number_format import shape_text
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.commands import Schedule, ScheduledCommand
from qatviz.protocol.run_spec import Placement, RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.session.changes import TimedChange, check_change
from qatviz.session.model_and_data import load_model_and_data
from qatviz.session.models import Model, folded_forward, with_norm_notes
from qatviz.session.own_code import read_functions, with_absolute_functions
from qatviz.session.prepared import Notice, Notify, Prepared, ignore
from qatviz.session.request import NewRunRequest, TrainingRequest
from qatviz.session.run_heads import head_fields
from qatviz.session.teachers import with_teacher, write_teacher
from qatviz.session.timed_corrections import TimedCorrection
from qatviz.settings import OPTIMIZER_SETTINGS, RunSettings, run_settings_for
from qatviz.task import REGRESSION, SEGMENTATION
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.own_files import DATA_FILE
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.tensorflow_presence import TRAINING
from qatviz.training.handle import Run
from qatviz.training.parameters import kept_layers
from qatviz.training.server import check_reachable
from qatviz.training.worker import workers_from_environment
from qatviz.worker_addresses import parse_workers

#: Size limit of the copy of a script's arrays in the record's directory.
DATA_FILE_BYTES = 2**30
#: Time (s) that workers of TF_CONFIG have to start: all tasks of such a cluster start at about the same time.
START_WAIT_S = 120.0
#: Name in the record of data that a script passed as arrays.
ARRAYS = "arrays of a script"


def begin(
    request: NewRunRequest,
    shown: bool = False,
    notify: Notify = ignore,
    model: Any = None,
    dataset: Optional[Dataset] = None,
    functions: Optional[Mapping[str, Any]] = None,
    teacher: Any = None,
) -> Prepared:
    """Prepare a new run; other parameters and errors are those of :func:`qatviz.session.prepare.prepare`.

    Parameters
    ----------
    model : tf.keras.Model, optional
        Model of the current thread and default graph, which replaces that of the request.
    dataset : Dataset, optional
        Data set that replaces that of the request.
    functions : mapping of str to callable, optional
        Losses and metrics that a script passes, by path and name.
    teacher : tf.keras.Model, optional
        Model that replaces the ``teacher_model`` of the request.
    """
    request.check()
    require_tensorflow(TRAINING)
    request = with_absolute_functions(request)
    placement = placement_of(request)
    chosen, loaded = load_model_and_data(request, model, dataset)
    if request.replace_relu6:
        chosen = chosen._replace(network=with_relu(chosen.network))
    if request.fold_forward:
        chosen = folded_forward(chosen)
    chosen = with_norm_notes(chosen)
    for note in chosen.notes:
        notify(Notice(note))
    for data_note in data.data_notes(loaded):
        notify(Notice(data_note.text, data_note.is_mistake))
    data_spec = ARRAYS if request.data is None or dataset is not None else absolute_source(request.data)
    data_file = ""
    is_copied = not loaded.streamed and _nbytes(loaded) <= DATA_FILE_BYTES
    if dataset is not None and request.out is not None and is_copied:
        data_spec = data_file = os.path.join(os.path.abspath(os.path.expanduser(request.out)), DATA_FILE)
    with about("network" if request.network is not None else "model"):
        spec = new_spec(
            chosen,
            loaded,
            data_spec,
            request.preset or DEFAULT_PRESET,
            request.weights,
            request.activations,
            request.run,
            request.quant_delay,
            batch_size=request.batch_size,
            optimizer=request.optimizer,
            **head_fields(request, chosen.network.output_names, chosen.is_logit),
            functions=read_functions(request, functions or {}, chosen.logit_outputs),
            seed=request.seed,
            steps=request.total_steps,
            placement=placement,
        )
    for text in settings_without_effect(spec):
        notify(Notice(text, True))
    with about("teacher_model"):
        spec = with_teacher(spec, request, teacher, notify)
    with about("changes"):
        for change in request.changes:
            if change.step is None:
                spec = replace(spec, book=check_change(spec.book, change))
        spec = replace(spec, schedule=schedule_of(request.changes, spec, notify))
    corrections = scheduled_corrections(request.corrections, 0, spec.steps, notify)
    spec = replace(spec, schedule=(*spec.schedule, *corrections))
    record = None
    if request.out is not None:
        with about("out"):
            record = new_record(
                spec,
                request.out,
                write_before=lambda _: _write_data(loaded, data_file) if data_file else None,
                validation_fraction=request.validation_fraction,
                **({} if dataset is not None else _recorded_options(request.data_options)),
            )
    return prepared_run(spec, record, Outcome(spec.book, spec.metric, placement.division), shown)


def settings_without_effect(spec: RunSpec) -> List[str]:
    """Return sentences about stated settings that can have no effect in the whole run, whatever is changed in it."""
    usual = run_settings_for(spec.optimizer, {})
    shape, inputs = spec.network.input_shape, spec.network.inputs
    unused = {
        name: f"the optimizer {spec.optimizer} does not use it"
        for names in OPTIMIZER_SETTINGS.values()
        for name in names
        if name not in OPTIMIZER_SETTINGS[spec.optimizer]
    }
    if len(inputs) == 1:
        examples = f"examples have the shape {shape_text(shape)}" if len(shape) > 1 else "examples are rows of features"
        unused.update(dict.fromkeys(usual.unused_augmentation(shape), examples))
    if all(head.task == REGRESSION for head in spec.dataset.heads):
        unused["label_smoothing"] = "there are no classes"
    found = [name for name in unused if getattr(spec.book.run, name) != getattr(usual, name)]
    return [f"{name} has no effect: {unused[name]}" for name in found]


def prepared_run(
    spec: RunSpec,
    record: Optional[RunRecord],
    outcome: Outcome,
    shown: bool,
    log: Tuple[LoggedEvent, ...] = (),
    snapshots: Tuple[Snapshot, ...] = (),
) -> Prepared:
    """Return the prepared run of a spec; ``outcome`` is its state so far."""
    return Prepared(
        Run(spec, record, recall=shown, low_priority=shown),
        spec.network,
        spec.start.book if spec.start is not None else spec.book,
        f"{spec.network.name} on {spec.dataset.name}",
        len(spec.dataset.x_train) / spec.batch_size,
        str(record.directory) if record is not None else "",
        log,
        snapshots,
        outcome,
    )


def placement_of(request: TrainingRequest) -> Placement:
    """Return the placement of a run's graph, after checking that its server, if any, is reachable."""
    if request.session_target:
        with about("session_target"):
            check_reachable(request.session_target)
    workers, wait_s = parse_workers(request.workers), 0.0
    if not workers and not request.session_target and request.replicas == 1:
        workers, wait_s = workers_from_environment(), START_WAIT_S
    for address in workers:
        with about("workers"):
            check_reachable(f"grpc://{address}", wait_s)
    return Placement(
        request.session_target,
        request.device,
        request.threads,
        request.threads,
        workers,
        request.replicas,
        request.towers,
        request.tower_moments,
        request.elastic,
    )


def schedule_of(changes: Sequence[TimedChange], spec: RunSpec, notify: Notify) -> Schedule:
    """Return the changes that have a step, as commands in the order of their steps.

    Each is checked on the settings after the previous ones. A change after the last step leads to a warning.

    Raises
    ------
    SettingError
        If a path matches no setting, or a value is not allowed.
    """
    book = spec.start.book if spec.start else spec.book
    schedule: List[ScheduledCommand] = []
    for step, change in sorted(
        ((change.step, change) for change in changes if change.step is not None), key=lambda pair: pair[0]
    ):
        book = check_change(book, change)
        if spec.steps is not None and step >= spec.steps:
            notify(Notice(f"change {change.text!r} never takes effect: the run ends after {spec.steps} steps", True))
        schedule.append(ScheduledCommand(step, change.command))
    return tuple(schedule)


def scheduled_corrections(
    corrections: Sequence[TimedCorrection], present: int, steps: Optional[int], notify: Notify
) -> List[ScheduledCommand]:
    """Return corrections as scheduled commands, by step.

    A correction after the last step leads to a warning.

    Parameters
    ----------
    corrections : sequence of TimedCorrection
    present : int
        Step from which the run continues, at which corrections without a step are made.
    steps : int or None
        Total steps of the run; None for no limit.
    notify : callable

    Raises
    ------
    SettingError
        If a correction has an earlier step than ``present``.
    """
    found = []
    for correction in corrections:
        step = present if correction.step is None else correction.step
        if step < present:
            raise SettingError.of_field("corrections", f"{correction.text!r}: the run continues from step {present}")
        if steps is not None and step > steps:
            notify(Notice(f"correction {correction.text!r} is never made: the run ends after {steps} steps", True))
        found.append(ScheduledCommand(step, correction.command))
    return sorted(found, key=lambda item: item.step)


def absolute_source(source: str) -> str:
    """Return a data set's name, or its absolute path, so that the run can be resumed from any directory."""
    names = [named.name.replace("_", "-") for named in data.NAMED_DATA]
    return source if source.replace("_", "-") in names else os.path.abspath(os.path.expanduser(source))


def new_record(
    spec: RunSpec, directory: str, write_before: Optional[Callable[[Path], None]] = None, **about_run: Any
) -> RunRecord:
    """Create the record of a new run.

    ``about_run`` is added to its description; for ``write_before``, see :meth:`RunRecord.create`.

    Raises
    ------
    RecordError
        If the directory can't be created, or contains a run.
    """
    description = dict(spec.description(), **about_run)
    path = os.path.expanduser(directory)

    def write(folder: Path) -> None:
        if write_before is not None:
            write_before(folder)
        write_teacher(folder, spec)

    return RunRecord.create(path, description, parameters=spec.parameters, write_before=write)


def _recorded_options(options: DataOptions) -> Dict[str, Any]:
    """Return the entry of a run's description for the options with which its data was read; none for defaults."""
    return {"data_options": options.given()} if options.given() else {}


def new_spec(
    model: Model,
    dataset: Dataset,
    data_spec: str,
    preset: str = DEFAULT_PRESET,
    weights: Optional[Mapping[str, Any]] = None,
    activations: Optional[Mapping[str, Any]] = None,
    run: RunSettings = RunSettings(),
    quant_delay: int = 0,
    **fields: Any,
) -> RunSpec:
    """Return the spec of a new run.

    Parameters
    ----------
    weights, activations : dict of str to object
        Settings of all weights and of all activations, in place of the preset's.
    quant_delay : int
        Training steps in float before quantization starts, to fine-tune a trained model.
    **fields
        Fields of :class:`qatviz.protocol.run_spec.RunSpec`.

    Raises
    ------
    QatvizError
        If a value is not allowed, or network and data do not match.
    """
    weight_settings, activation_settings = dict(weights or {}), dict(activations or {})
    if quant_delay:
        for given in (weight_settings, activation_settings):
            given.setdefault("quant_delay", quant_delay)
    plan = quantization_plan(model.network, [head.task == REGRESSION for head in dataset.heads])
    book, keras = SettingsBook.from_preset(plan, preset, weight_settings, activation_settings, run), model.keras
    if keras is not None:
        kept = kept_layers(plan, model.network, keras)
        keras = replace(keras, frozen=keras.frozen.difference(*kept.values()))
        if "trainable" not in weight_settings:
            book, _ = book.change((f"{tensor}.trainable", False) for tensor in kept)
    return RunSpec(model.network, dataset, data_spec, book, parameters=model.parameters, keras=keras, **fields)


def _nbytes(dataset: Dataset) -> int:
    return int(dataset.x_train.nbytes + dataset.x_test.nbytes)


def _write_data(dataset: Dataset, path: str) -> None:
    arrays: Dict[str, Any] = arrays_of_inputs(dataset)
    if not dataset.inputs:
        arrays = {"x_train": dataset.x_train, "x_test": dataset.x_test}
    for head in dataset.heads:
        end = f"_{head.output}" if dataset.further else ""
        arrays.update({"y_train" + end: head.y_train, "y_test" + end: head.y_test})
        arrays.update({"class_names" + end: np.array(head.class_names, str), "task" + end: np.array(head.task)})
        if head.w_train is not None:
            arrays["w_train" + end] = head.w_train
    if dataset.task == SEGMENTATION:
        arrays["ignored_label"] = np.array(void_of(dataset.y_train.dtype))
    try:
        with atomic_file(path) as file:
            np.savez(file, scaling=np.array(dataset.scaling), **arrays)
    except OSError as error:
        raise RecordError(f"{path}: the data of the run cannot be written: {error.strerror or error}") from error
