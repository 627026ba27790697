"""Preparation of a new run: load its data and model, check that they match, and create its record."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz import data
from qatviz.atomic_files import atomic_file
from qatviz.data import Dataset
from qatviz.data.data_input import arrays_of_inputs
from qatviz.data.dataset import is_regression_by_network
from qatviz.data.heads import for_outputs, with_heads
from qatviz.data.inputs import for_inputs
from qatviz.data.masks import void_of
from qatviz.data_options import DataOptions
from qatviz.errors import DataError, NetworkError, RecordError, SettingError, about
from qatviz.heads import stated_tasks
from qatviz.network import zoo
from qatviz.network.activations import Activation
from qatviz.network.graph import Network
from qatviz.network.keras_import import (
    ImportedModel,
    KerasOrigin,
    import_model,
    in_known_shape,
    load_model,
)
from qatviz.network.plan import quantization_plan
from qatviz.number_format import percent_text
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.commands import Schedule, ScheduledCommand
from qatviz.protocol.run_spec import Placement, RunSpec
from qatviz.protocol.run_state import Arrays
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.scaling import SCALINGS, UNIT, UNSCALED, joined_scalings
from qatviz.session.changes import TimedChange, check_change
from qatviz.session.own_code import read_functions, with_absolute_functions
from qatviz.session.prepared import Notice, Notify, Prepared, ignore
from qatviz.session.request import NewRunRequest, TrainingRequest
from qatviz.session.run_heads import check_tasks, head_fields
from qatviz.session.scaling_choice import best_scaling
from qatviz.settings import RunSettings
from qatviz.task import CLASSIFICATION, REGRESSION, SEGMENTATION
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.own_files import DATA_FILE
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import Run
from qatviz.training.parameters import kept_layers
from qatviz.training.server import check_reachable

#: Size limit of the copy of a script's arrays in the record's directory.
DATA_FILE_BYTES = 2**30
#: Name in the record of data that a script passed as arrays.
ARRAYS = "arrays of a script"


def begin(
    request: NewRunRequest,
    shown: bool = False,
    notify: Notify = ignore,
    model: Any = None,
    dataset: Optional[Dataset] = None,
    functions: Optional[Mapping[str, Any]] = None,
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
    """
    request.check()
    request = with_absolute_functions(request)
    placement = placement_of(request)
    chosen, loaded = _load(request, model, dataset)
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
    with about("changes"):
        for change in request.changes:
            if change.step is None:
                spec = replace(spec, book=check_change(spec.book, change))
        spec = replace(spec, schedule=schedule_of(request.changes, spec, notify))
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
    return prepared_run(spec, record, Outcome(spec.book, spec.metric), shown)


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
    return Placement(request.session_target, request.device, request.threads, request.threads)


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
    return RunRecord.create(path, description, parameters=spec.parameters, write_before=write_before)


def _recorded_options(options: DataOptions) -> Dict[str, Any]:
    """Return the entry of a run's description for the options with which its data was read; none for defaults."""
    return {"data_options": options.given()} if options.given() else {}


# Models


class Model(NamedTuple):
    """A network to be trained.

    Attributes
    ----------
    network : Network
    parameters : dict of str to np.ndarray or None
        Initial parameters; None: seeded ones.
    keras : KerasOrigin or None
        The model that it was imported from.
    notes : tuple of str
        Differences from the imported model, one sentence each.
    scaled_inputs : tuple of str
        Names of the inputs that the model scales itself.
    logit_outputs : tuple of str
        Outputs at whose end a sigmoid was left to the loss, which is binary cross-entropy then, if none is stated.
    """

    network: Network
    parameters: Optional[Arrays] = None
    keras: Optional[KerasOrigin] = None
    notes: Sequence[str] = ()
    scaled_inputs: Tuple[str, ...] = ()
    logit_outputs: Tuple[str, ...] = ()

    @property
    def is_logit(self) -> Tuple[bool, ...]:
        """Whether each output is among the :attr:`logit_outputs`."""
        return tuple(name in self.logit_outputs for name in self.network.outputs)


def zoo_model(name: str, dataset: Dataset) -> Model:
    """Return a network of the zoo for a data set; `NetworkError` if it is unknown or does not support the examples."""
    return Model(zoo.build(name, dataset.input_shape, dataset.num_outputs))


def file_model(
    path: str,
    dataset: Dataset,
    weights_path: Optional[str] = None,
    allow_code: bool = False,
    from_scratch: bool = False,
) -> Model:
    """Return the Keras model of a file, or of ``path.py:function``.

    Parameters
    ----------
    dataset : Dataset
        Its examples determine the input shape if the model has unknown axes.
    weights_path, allow_code
        As in :func:`qatviz.network.keras_import.load_model`.
    from_scratch : bool
        If True, training starts with seeded weights instead of the model's.

    Raises
    ------
    CodeRefused
        If it contains code, or is code, and ``allow_code`` is False.
    NetworkError
    """
    shapes = dataset.example_shapes
    imported, _ = in_known_shape(lambda shape: load_model(path, weights_path, allow_code, shape), shapes)
    return _as_model(imported, from_scratch)


def object_model(model: Any, dataset: Dataset, from_scratch: bool = False) -> Model:
    """Import a tf.keras model; call it in the thread and default graph in which the model was created."""
    return _as_model(in_known_shape(lambda shape: import_model(model, shape), dataset.example_shapes)[0], from_scratch)


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


def _load(request: NewRunRequest, model: Any, dataset: Optional[Dataset]) -> Tuple[Model, Dataset]:
    """Return model and data; the model decides on the task if it contradicts the inferred one."""
    chosen, loaded = _load_as_inferred(request, model, dataset)
    outputs, shapes = chosen.network.num_outputs, chosen.network.output_shapes
    if loaded.further:
        with about("data"):
            loaded = for_outputs(loaded, chosen.network.output_names, shapes)
            check_tasks(request.heads, loaded)
        loaded = with_heads(
            [
                head.as_regression()
                if is_regression_by_network(head.task, head.assumed, head.num_classes, shape[-1])
                else head
                for head, shape in zip(loaded.heads, shapes)
            ]
        )
    elif is_regression_by_network(loaded.task, loaded.assumed, loaded.num_classes, outputs):
        if dataset is None and request.data is not None:  # split as when the run is resumed, whose task is known
            loaded = _read(request, task=REGRESSION)
            loaded = replace(loaded, assumed=loaded.assumed._replace(by_network=True))
        else:
            loaded = loaded.as_regression()
    for output, head in zip(chosen.network.outputs, loaded.heads):
        if head.task != REGRESSION:
            chosen = _without_sigmoid(chosen, output)
    unscaled = (*chosen.scaled_inputs, *chosen.network.id_counts)
    if loaded.inputs or len(chosen.network.inputs) > 1:
        with about("data"):
            loaded = for_inputs(loaded, chosen.network.inputs)
        if unscaled and loaded.assumed.scaling:
            loaded = loaded.with_scaling(joined_scalings(dict.fromkeys(unscaled, UNSCALED)))
            if chosen.scaled_inputs:
                named = ", ".join(map(repr, chosen.scaled_inputs))
                note = f"scales {named} itself, so their values are fed as they are"
                chosen = chosen._replace(notes=(*chosen.notes, note))
    elif unscaled and loaded.assumed.scaling:
        if chosen.scaled_inputs and loaded.scaling == UNIT:
            note = f"scales its input itself, so pixels are fed as they are; {UNIT!r} as the scaling decides otherwise"
            chosen = chosen._replace(notes=(*chosen.notes, note))
        if loaded.assumed.float_pixels and dataset is None:  # scaled when it was read
            loaded = replace(_read(request, task=loaded.task, scaling=UNSCALED), assumed=loaded.assumed)
        loaded = loaded.with_scaling(UNSCALED)
    elif chosen.parameters is not None and loaded.assumed.scaling and loaded.x_train.dtype == np.uint8:
        chosen, loaded = _in_best_scaling(chosen, loaded)
    return chosen, loaded


def _in_best_scaling(model: Model, dataset: Dataset) -> Tuple[Model, Dataset]:
    """Return a trained classifier, and images of bytes in the scaling for which it is most accurate."""
    network = model.network
    fitted = dataset.with_input_shape(network.input_shape)
    is_classifier = dataset.task == CLASSIFICATION and len(network.output_shape) == 1
    classes = (dataset.num_classes, 1) if dataset.num_classes == 2 else (dataset.num_classes,)
    is_fitting = fitted.input_shape == tuple(network.input_shape) and network.num_outputs in classes
    if not (is_classifier and is_fitting and model.parameters is not None) or dataset.streamed:
        return model, dataset
    choice = best_scaling(network, model.parameters, fitted)
    if choice is None or choice.scaling == UNIT:
        return model, dataset
    best, usual = (percent_text(choice.accuracies[name]) for name in (choice.scaling, UNIT))
    note = (
        f"is most accurate with pixels as {SCALINGS[choice.scaling].formula}, so they are fed like that: {best} of "
        f"{choice.examples} held-out examples are right, {usual} with {SCALINGS[UNIT].formula}; the scaling {UNIT!r} "
        "decides otherwise"
    )
    return model._replace(notes=(*model.notes, note)), dataset.with_scaling(choice.scaling)


def _read(request: NewRunRequest, **changes: Any) -> Dataset:
    """Return the data of a request, with changed fields, read from its source."""
    wanted = replace(request, **changes)
    if wanted.data is None:
        raise DataError("data is missing: expected a name, a path or arrays")
    return data.load(
        wanted.data,
        wanted.validation_fraction,
        0,
        wanted.task,
        wanted.scaling,
        options=wanted.data_options,
        tasks=stated_tasks(wanted.heads),
    )


def _without_sigmoid(model: Model, output: str) -> Model:
    """Return a classifier without a sigmoid at the end: the loss takes logits, whose signs are the decisions."""
    network = model.network
    last = network.layer(output)
    if not (isinstance(last, Activation) and last.function == "sigmoid" and not network.consumers(output)):
        return model
    source = last.inputs[0]
    if source in network.input_names or source in network.outputs:
        return model
    layers = tuple(layer for layer in network.layers if layer is not last)
    outputs = tuple(source if name == output else name for name in network.outputs)
    note = f"the sigmoid {last.name!r} at the end is left to the loss: outputs are logits"
    return model._replace(
        network=replace(network, layers=layers, outputs=outputs),
        notes=(*model.notes, note),
        logit_outputs=(*model.logit_outputs, source),
    )


def _load_as_inferred(request: NewRunRequest, model: Any, dataset: Optional[Dataset]) -> Tuple[Model, Dataset]:
    if dataset is None:
        with about("data"):
            dataset = _read(request)
    else:
        if request.task not in (None, dataset.task):
            raise DataError(
                f"{dataset.source}: the task is {request.task!r}, but that of the data set is {dataset.task!r}: "
                "expected the same",
                "task",
            )
        for name in request.data_options.given():
            raise SettingError.of_field(name, "applies to data that is read from files, not to arrays: omit it")
        if request.scaling is not None:
            with about("scaling"):
                dataset = dataset.with_scaling(request.scaling)
    if model is not None:
        with about("model"):
            return object_model(model, dataset, request.from_scratch), dataset
    if request.model is None:
        with about("network"):
            if request.network is None:
                raise NetworkError("network is missing: expected a name, or a model")
            return zoo_model(request.network, dataset), dataset
    with about("model"):
        weights = request.model_weights and os.path.expanduser(request.model_weights)
        return file_model(
            os.path.expanduser(request.model), dataset, weights, request.allow_code, request.from_scratch
        ), dataset


def _as_model(imported: ImportedModel, from_scratch: bool) -> Model:
    """Return an imported model, with its own weights unless there are none or ``from_scratch``."""
    parameters = None if from_scratch or not imported.parameters else imported.parameters
    if parameters is None:  # random weights are trained
        imported = imported._replace(origin=replace(imported.origin, frozen=frozenset()))
    notes = list(imported.notes)
    if not imported.parameters and not from_scratch:
        notes.append("the model has no weights: training starts with random ones")
    return Model(imported.network, parameters, imported.origin, tuple(notes), imported.scaled_inputs)


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
