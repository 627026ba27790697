"""API for scripts: :func:`train` in the terminal, :func:`launch` in the window, :func:`evaluate` a recorded run."""

import os
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, cast

from qatviz.background_run import BackgroundRun
from qatviz.class_weights import class_weights_text
from qatviz.data import Dataset
from qatviz.data_options import AUTO, DATA_OPTIONS, DataOptions
from qatviz.errors import RunStateError, SettingError, about, did_you_mean
from qatviz.heads import CLASS_WEIGHTS, LOSS, LOSS_WEIGHT, METRIC, TASK, by_output, class_weights_by_output
from qatviz.recorded_api import advise, channels, drift, evaluate, predictions, print_notice, sensitivity
from qatviz.scaling import joined_scalings
from qatviz.session.begin import begin
from qatviz.session.changes import parse_change, recipe_changes
from qatviz.session.chip import chip
from qatviz.session.comparison import compare_runs as compare
from qatviz.session.folders import new_run_directory
from qatviz.session.own_code import given_functions
from qatviz.session.prepared import Notice, Prepared
from qatviz.session.progress import progress_for
from qatviz.session.request import NewRunRequest, names_model
from qatviz.session.request_json import NO_LIMIT
from qatviz.session.script_data import dataset_of, uses_options
from qatviz.session.timed_corrections import parse_timed_correction
from qatviz.session.trials import ab, sweep
from qatviz.session.watch import Watch
from qatviz.settings import KINDS, RUN_SETTINGS, run_settings_for
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.own_files import DATA_FILE
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_handle import FAILED
from qatviz.trained import Trained
from qatviz.training.handle import Run
from qatviz.training.quiet import keep_tensorflow_quiet

__all__ = [
    "DATA_FILE",
    "BackgroundRun",
    "Trained",
    "ab",
    "advise",
    "channels",
    "chip",
    "compare",
    "drift",
    "evaluate",
    "launch",
    "predictions",
    "request_of",
    "sensitivity",
    "sweep",
    "train",
]

#: Keywords that are fields of a request under the same name.
_SAME_NAMES = (
    "steps",
    "batch_size",
    "optimizer",
    "loss",
    "class_weights",
    "metric",
    "seed",
    "preset",
    "weights",
    "activations",
    "quant_delay",
    "from_scratch",
    "fold_forward",
    "replace_relu6",
    "allow_code",
    "validation_fraction",
    "task",
    "scaling",
    "workers",
    "replicas",
    "towers",
    "tower_moments",
    "elastic",
)
#: Keywords that are no fields of a request.
_NO_FIELDS = ("max_examples", "recipe")
#: Other keywords, and the fields that they set.
_OTHER_NAMES = {
    "weights_path": "model_weights",
    "changes": "changes",
    "corrections": "corrections",
    "teacher_model": "teacher_model",
}


#: Keywords that state what each output learns, by name or index, and what they state; single values are for one output.
_BY_OUTPUT = {"loss": LOSS, "metric": METRIC, "task": TASK, "loss_weights": LOSS_WEIGHT}


def train(
    model: Any = "lenet",
    data: Any = "mnist-5k",
    out: Optional[str] = None,
    quiet: bool = False,
    block: bool = True,
    **options: Any,
) -> Any:
    """Train with quantization, with progress in the terminal, or in the background, as in a notebook.

    Parameters
    ----------
    model : tf.keras.Model, str or path
        A model of the current thread and default graph; the name of a built-in network; or a file: ``.keras``, ``.h5``,
        the folder of a SavedModel, ``.json``, ``path.py:function``.
    data : (x, y), ((x, y), (x_test, y_test)), data frame, iterable, Dataset, str or path
        Arrays for :func:`qatviz.data.from_arrays`, the training part also with weights of its examples in the loss,
        ``(x, y, w)``; or a name or path for :func:`qatviz.data.load`. A pandas data frame has features and targets in
        its columns (``targets="label"``); x may be one, too. Generators, Keras' sequences and tf.data data sets of
        (x, y), alone or in a pair for training and testing, are read into memory. For a model with several outputs, y
        is a dict of arrays by name of the output, or a tuple or list in their order; for a model with several inputs,
        x is a dict of arrays or data frames by name of the input, or a tuple or list in their order, and ``scaling``
        may be a dict.
    out : str, optional
        Directory to record the run to; by default it is not recorded.
    quiet : bool
        If True, only warnings are printed, neither progress nor notes.
    block : bool
        If False, return at once and train in the background, without progress.
    steps, batch_size, optimizer, loss, metric, seed
        As in :class:`qatviz.protocol.run_spec.RunSpec`; ``steps=None``: no limit, until stopped with Ctrl-C. ``loss``
        and ``metric`` may be functions (y_true, y_pred) as in Keras, see :mod:`qatviz.training.own_functions`; or
        ``"path.py:function"``, which requires ``allow_code=True``.
    loss_weights : dict or list of float
        Factors of the outputs' losses, by name or index, or in their order. For several outputs, ``loss``, ``metric``
        and ``task`` have these forms, too.
    class_weights : dict of str or int to float, or "balanced"
        Factors of the losses of a class' examples, by name or index of the class. For several outputs: these by name
        or index of the output, or in a list.
    preset : str
        ``tflite-int8``, ``uint8-affine``, ``int4``, ``ternary`` or ``float``.
    weights, activations : dict of str to object
        Settings of all weights and of all activations, such as ``{"num_bits": 4, "per_channel": True}``.
    recipe : str, path or Recipe
        File of settings by tensor, or :attr:`Trained.recipe`; ``changes`` come after it.
    quant_delay : int
        Training steps in float before quantization starts, to fine-tune a trained model.
    from_scratch : bool
        If True, training starts with seeded weights instead of the model's.
    fold_forward : bool
        If True, each batch norm before a convolution or Dense is folded into it where padding allows, and not trained.
    changes : sequence of str
        Changes of settings as on the command line: ``["500:conv1.weights.num_bits=3"]``.
    corrections : sequence of str
        Corrections of the network as on the command line: ``["500:equalize-layers", "500:adaround,iterations=2000"]``.
    replace_relu6 : bool
        If True, each ReLU6 of the model is replaced by a ReLU, with which layers can be equalized.
    validation_fraction : float
        Fraction of the examples that is held out if the data has no part to hold out.
    weights_path, allow_code
        For a model's file; see :func:`qatviz.network.keras_import.load_model_file`.
    teacher_model : tf.keras.Model, str or path
        Trained model whose outputs training imitates besides the labels: the ``teacher`` "model".
    task : str
        "classification", "multilabel", "segmentation" or "regression"; by default that of the data, else inferred from
        ``y``, see :func:`qatviz.data.targets.infer_task`.
    scaling : str
        Scaling of the examples, see :func:`qatviz.data.load`.
    image_size, fit, background, unusable, held_out, features, targets, header, ...
        How files and data frames are read: the fields of :class:`qatviz.data_options.DataOptions`. For several outputs,
        ``targets`` is a dict of columns, or lists of columns, by name of the output. ``ignored_label`` applies to masks
        in arrays, too.
    max_examples : int
        Largest number of examples to read from a generator or data set; by default, 1.07 GB of one without a length,
        and all of any other.
    workers : str or list of str
        Addresses ``host:port`` of `qatviz worker` processes that share each batch; by default those of TF_CONFIG.
    replicas, towers, tower_moments, elastic
        As in :class:`qatviz.protocol.run_spec.Placement`.
    **run_settings
        Settings of the run, such as ``learning_rate`` (``qatviz settings`` describes all).

    Returns
    -------
    Trained or BackgroundRun
        The result; with ``block=False`` the run in progress, whose ``wait()`` returns it.

    Raises
    ------
    QatvizError
        If a value is not allowed, or model and data do not match; its ``field`` names the parameter. Raised before
        training starts.
    RunStateError
        If training failed.
    """
    keep_tensorflow_quiet()
    prepared = _prepare(model, data, out, options, quiet=quiet)
    run = cast(Run, prepared.run)
    outcome = prepared.outcome or Outcome(run.spec.book, run.spec.metric)
    if not block:
        return BackgroundRun(run, outcome, out, prepared.notices)
    watch = Watch(run, outcome, progress_for(quiet, run.spec.network.name, 0, run.spec.steps))
    watch.follow()
    if watch.failed is not None:
        raise RunStateError(
            f"training failed after step {watch.failed.step}: "
            f"{watch.failed.message}\n{'' if watch.failed.explained else watch.failed.traceback}"
        )
    assert run.final is not None, "a run that has not failed has a final state"
    return Trained(run.spec, outcome, run.final, out, prepared.notices, run.best)


def launch(
    model: Any = "lenet", data: Any = "mnist-5k", out: Optional[str] = None, **options: Any
) -> Optional[Trained]:
    """Train with quantization in the window, and return when it is closed.

    Parameters are those of :func:`train`; the run is always recorded (by default to the user's folder of runs), and by
    default it has no limit of steps. Call it in the main thread.

    Returns
    -------
    Trained or None
        Result of the run started here; None if it failed or did not start.

    Raises
    ------
    QatvizError
        As in :func:`train`.
    """
    from qatviz.app.main import show  # imports Qt, which is not needed in the terminal

    keep_tensorflow_quiet()
    options.setdefault("steps", None)
    name = model if isinstance(model, str) else getattr(model, "name", "model")
    out = out or new_run_directory("".join(c if c.isalnum() else "-" for c in os.path.basename(name)))
    prepared = _prepare(model, data, out, options, shown=True)
    run = cast(Run, prepared.run)
    show(prepared)
    if not run.wait(0) or run.state == FAILED or run.final is None:
        return None
    outcome = Outcome(run.spec.book, run.spec.metric)
    outcome.update_from_record(RunRecord.read(out))
    outcome.step, outcome.seconds = run.final.step, run.final.seconds
    return Trained(run.spec, outcome, run.final, out, prepared.notices, run.best)


def request_of(model: Any, data: Any, out: Optional[str], options: Dict[str, Any]) -> NewRunRequest:
    """Return the request for the parameters of :func:`train`; a model or arrays given as objects are not part of it.

    Raises
    ------
    SettingError
        If there is no such option, or a value is not allowed.
    """
    known = sorted({*_SAME_NAMES, *_OTHER_NAMES, *_BY_OUTPUT, *DATA_OPTIONS, *RUN_SETTINGS, *_NO_FIELDS})
    unknown = sorted(set(options) - set(known))
    if unknown:
        hint = did_you_mean(unknown[0], known)
        names = ", ".join(map(repr, unknown))
        raise SettingError(f"there is no option {names}; there are {', '.join(known)}{'.' + hint if hint else ''}")
    options, heads = _split_heads(options)
    fields = {name: options[name] for name in _SAME_NAMES if name in options}
    if heads:
        fields["heads"] = heads
    for kind in KINDS:
        fields[kind] = dict(fields.get(kind) or {})
    fields.update((field, options[name]) for name, field in _OTHER_NAMES.items() if name in options)
    if isinstance(fields.get("workers"), (list, tuple)):
        fields["workers"] = ",".join(map(str, fields["workers"]))
    if isinstance(fields.get("scaling"), Mapping):
        fields["scaling"] = joined_scalings(fields["scaling"])
    fields["class_weights"] = class_weights_text(fields.get("class_weights"))
    fields["data_options"] = DataOptions.of_keywords({name: options[name] for name in DATA_OPTIONS if name in options})
    fields["corrections"] = tuple(map(parse_timed_correction, fields.get("corrections", ())))
    fields["changes"] = (*recipe_changes(options.get("recipe")), *map(parse_change, fields.get("changes", ())))
    if fields.get("steps", 0) is None:
        fields["steps"] = NO_LIMIT
    with about("run"):
        given = {name: options[name] for name in RUN_SETTINGS if name in options}
        fields["run"] = run_settings_for(fields.get("optimizer"), given)
    name = os.fspath(model) if isinstance(model, (str, os.PathLike)) else None
    is_file = name is not None and (names_model(name) or os.path.exists(name))
    return NewRunRequest(
        network=None if is_file else name,
        model=name if is_file else None,
        data=os.fspath(data) if isinstance(data, (str, os.PathLike)) else None,
        out=None if out is None else os.fspath(out),
        **fields,
    )


def _split_heads(options: Mapping[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Dict[str, Any]]]:
    """Return the options with one value, and what is stated by output: dicts by name or index, lists in order."""
    rest: Dict[str, Any] = dict(options)
    heads: Dict[str, Dict[str, Any]] = {}
    for name, choice in _BY_OUTPUT.items():
        given = rest.get(name)
        if isinstance(given, (Mapping, list, tuple)):
            for output, value in by_output(rest.pop(name)).items():
                heads.setdefault(output, {})[choice] = value
        elif name == "loss_weights" and name in rest:
            raise SettingError.of_field(name, f"is {given!r}: expected a number for each output, in a list or by name")
    class_weights = class_weights_by_output(rest.get(CLASS_WEIGHTS))
    if class_weights is not None:
        del rest[CLASS_WEIGHTS]
        for output, text in class_weights.items():
            heads.setdefault(output, {})[CLASS_WEIGHTS] = text
    return rest, heads


def _prepare(
    model: Any, data: Any, out: Optional[str], options: Dict[str, Any], shown: bool = False, quiet: bool = False
) -> Prepared:
    teacher = options.get("teacher_model")
    if isinstance(teacher, (str, os.PathLike, type(None))):
        teacher = None
    else:  # a request states paths only
        options = {name: value for name, value in options.items() if name != "teacher_model"}
    options, functions = given_functions(options)
    request = request_of(model, data, out, options)
    request.check()
    given_model = None if isinstance(model, (str, os.PathLike)) else model
    given_data = None
    if request.data is None:
        with about("data"):
            given_data = dataset_of(data, request, options.get("max_examples"), quiet)
            if uses_options(data):  # they are applied
                request = replace(request, data_options=DataOptions())
            elif not isinstance(data, Dataset):  # so is this one
                request = replace(request, data_options=replace(request.data_options, ignored_label=AUTO))
    notices: List[Notice] = []

    def notify(notice: Notice) -> None:
        if notice.is_warning or not quiet:
            print_notice(notice)
        notices.append(notice)

    return begin(request, shown, notify, given_model, given_data, functions, teacher)._replace(notices=tuple(notices))
