"""Requests for a run: to train a new one, to resume, fork or open a recorded one.

The command line, the window and the API turn their input into the same requests: typed, comparable and JSON-able.
Checks that need to read files are made when the run is prepared. Nothing here imports TensorFlow.
"""

import os
import re
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Callable, ClassVar, Dict, Iterable, Mapping, Optional, Tuple, Type

from qatviz.class_weights import parse_class_weights
from qatviz.data_options import DATA_OPTIONS, DataOptions, check_data_option
from qatviz.errors import NetworkError, QatvizError, SettingError, about, did_you_mean
from qatviz.heads import LOSS, METRIC, check_choices
from qatviz.network.model_formats import MODEL_ENDINGS, is_model_folder, parse_script_spec
from qatviz.network.zoo import NETWORKS
from qatviz.own_functions import is_function
from qatviz.presets import DEFAULT_PRESET, PRESETS
from qatviz.scaling import check_wanted_scaling
from qatviz.session.changes import TimedChange
from qatviz.session.request_json import NO_LIMIT, from_json, to_json
from qatviz.session.timed_corrections import TimedCorrection
from qatviz.setting_declaration import Setting
from qatviz.settings import KINDS, OPTIMIZERS, QUANTIZER_SETTINGS, RUN_SETTINGS, RunSettings, quantizer_setting
from qatviz.start_settings import START_SETTINGS
from qatviz.task import check_task
from qatviz.worker_addresses import parse_workers

DEFAULT_NETWORK, DEFAULT_DATA, DEFAULT_VALIDATION_FRACTION = "lenet", "mnist-5k", 0.2
FOLD_FORWARD_OPTION = "--fold-forward"
FOLD_FORWARD_HELP = (
    "fold batch norms into the convolution or Dense behind them where padding allows, and train without them"
)
#: TensorFlow's names of devices; TensorFlow itself refuses an invalid one only when the graph is built.
_DEVICE = re.compile(r"(/(job:\w+|(replica|task):\d+|(device:)?[A-Za-z]\w*:(\d+|\*)))+")
_OF_NEW_RUNS = (
    *(START_SETTINGS[name] for name in ("batch_size", "loss", "class_weights", "metric", "seed")),
    QUANTIZER_SETTINGS["quant_delay"],
)

_Check = Callable[[], Any]
#: Allowed types of a value and their description, by the field's annotation; ``_checks`` checks all other types.
_TYPES: Dict[Any, Tuple[Any, str]] = {
    str: ((str, os.PathLike), "text"),
    Optional[str]: ((str, os.PathLike, type(None)), "text"),
    bool: (bool, "True or False"),
    RunSettings: (RunSettings, "RunSettings"),
    DataOptions: (DataOptions, "DataOptions"),
    Mapping[str, Any]: (Mapping, "values by name"),
    Tuple[TimedChange, ...]: (tuple, "a tuple of changes"),
    Tuple[TimedCorrection, ...]: (tuple, "a tuple of corrections"),
}


@dataclass(frozen=True)
class RunRequest:
    """Base class of all requests."""

    #: Name of the kind of request in the JSON form.
    kind: ClassVar[str] = ""

    def problems(self) -> Dict[str, QatvizError]:
        """Return the errors that can be found without reading files, by the name of the field."""
        found: Dict[str, QatvizError] = {}
        for f in fields(self):
            types, expected = _TYPES.get(f.type, (object, ""))
            if not isinstance(getattr(self, f.name), types):
                found[f.name] = _refused(f.name, getattr(self, f.name), expected)
        for name, check in () if found else self._checks():  # the checks rely on the types
            try:
                with about(name):
                    check()
            except QatvizError as error:
                found.setdefault(name, error)
        return found

    def check(self) -> None:
        """Raise the first of :meth:`problems`."""
        for error in self.problems().values():
            raise error

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form."""
        return dict({f.name: to_json(getattr(self, f.name)) for f in fields(self)}, kind=self.kind)

    @staticmethod
    def from_dict(row: Mapping[str, Any]) -> "RunRequest":
        """Return the request serialized by :meth:`to_dict`.

        Raises
        ------
        SettingError
            If there is no such kind of request or field, or a value is of another type.
        """
        if not isinstance(row, Mapping):
            raise SettingError(f"the request is {row!r}: expected the form that to_dict returns")
        request = REQUESTS.get(str(row.get("kind")))
        if request is None:
            raise _refused("kind", row.get("kind"), "one of " + ", ".join(REQUESTS))
        given = {name: value for name, value in row.items() if name != "kind"}
        known = [f.name for f in fields(request)]
        for name in given:
            if name not in known:
                raise SettingError.of_field(
                    name, f"is not a field of a request of the kind {request.kind!r}.{did_you_mean(name, known)}"
                )
        return request(**{name: from_json(name, value, request is NewRunRequest) for name, value in given.items()})

    def _checks(self) -> Iterable[Tuple[str, _Check]]:
        return ()


@dataclass(frozen=True)
class TrainingRequest(RunRequest):
    """Base class of the requests for a run that trains.

    Attributes
    ----------
    data : str, optional
        Name or path of the data set, see :func:`qatviz.data.load`.
    steps : int or float, optional
        Total steps; `NO_LIMIT`: no limit.
    preset : str, optional
        Settings of all quantizers.
    weights, activations : mapping of str to object
        Settings of all weights and of all activations, in place of the preset's.
    changes : tuple of TimedChange
        Changes of settings, at once or before a step.
    corrections : tuple of TimedCorrection
        Corrections of the network, at once or before a step, after the changes at the same step.
    replace_relu6 : bool
        If True, each ReLU6 of the network is replaced by a ReLU.
    session_target : str
        TensorFlow server to run on, such as ``grpc://host:2222``; empty: in this process.
    device : str
        Device such as ``/gpu:0``; empty: TensorFlow's choice.
    threads : int
        Threads that TensorFlow may use; 0: one for each core.
    workers : str
        Addresses ``host:port,host:port`` of `qatviz worker` processes that share each batch; empty: none.
    replicas : int
        Number of devices of this machine that share each batch.
    towers : int
        Number of parts of each batch; 0: one for each worker or replica.
    tower_moments : bool
        If True, batch norm normalizes each part of a batch by its own mean and variance.
    elastic : bool
        If True, a run that loses workers continues with the others at once.
    """

    data: Optional[str] = None
    steps: Optional[float] = None
    preset: Optional[str] = None
    weights: Mapping[str, Any] = field(default_factory=dict)
    activations: Mapping[str, Any] = field(default_factory=dict)
    changes: Tuple[TimedChange, ...] = ()
    corrections: Tuple[TimedCorrection, ...] = ()
    replace_relu6: bool = False
    session_target: str = ""
    device: str = ""
    threads: int = 0
    workers: str = ""
    replicas: int = 1
    towers: int = 0
    tower_moments: bool = False
    elastic: bool = False

    @property
    def total_steps(self) -> Optional[int]:
        """``steps`` as an int; None: no limit."""
        return None if self.steps is None or self.steps == NO_LIMIT else int(self.steps)

    def _checks(self) -> Iterable[Tuple[str, _Check]]:
        if self.preset is not None:
            yield "preset", lambda: check_choice("preset", self.preset, PRESETS)
        for kind in KINDS:
            yield kind, partial(_check_quantizer_settings, kind, getattr(self, kind))
        if self.steps is not None and self.steps != NO_LIMIT:
            yield "steps", lambda: _check_setting(START_SETTINGS["steps"], self.steps)
        if self.data is not None:
            yield "data", lambda: _check_text("data", self.data, "a name, or the path of a file or folder")
        yield "threads", self._check_threads
        yield "device", self._check_device
        yield "workers", self._check_workers
        for name, least in (("replicas", 1), ("towers", 0)):
            yield name, partial(_check_number, name, getattr(self, name), least)

    def _check_workers(self) -> None:
        if parse_workers(self.workers) and (self.session_target or self.replicas != 1):
            other = "session_target" if self.session_target else "replicas"
            raise SettingError.of_field("workers", f"are stated, and {other}, too: expected one of them")

    def _check_threads(self) -> None:
        _check_number("threads", self.threads, 0)

    def _check_device(self) -> None:
        if self.device and not _DEVICE.fullmatch(self.device):
            raise _refused("device", self.device, "such as /cpu:0, /gpu:0 or /job:worker/task:0/device:GPU:1")


@dataclass(frozen=True)
class NewRunRequest(TrainingRequest):
    """Request to train a new run.

    Attributes
    ----------
    network : str, optional
        Name of a network of the zoo; None if there is a model.
    model : str, optional
        Path of a Keras model's file, or ``path.py:function``. The API may pass a model object instead of both.
    model_weights : str, optional
        Path of the weights for a model file without weights.
    allow_code : bool
        True allows Python code of the model, of losses and of metrics to be run.
    from_scratch : bool
        If True, training starts with seeded weights instead of the model's.
    fold_forward : bool
        If True, each batch norm before a convolution or Dense is folded into it where padding allows.
    data : str, optional
        None only for arrays passed to the API.
    task : str, optional
        A name of :data:`qatviz.task.TASKS`; None: inferred from the data.
    scaling : str, optional
        Scaling of the examples, in a form of :mod:`qatviz.scaling`, or "standard"; None: inferred from the data.
    data_options : DataOptions
        How the data is read.
    validation_fraction : float
        Fraction of the examples that is held out if the data has no part to hold out.
    batch_size, optimizer, loss, class_weights, metric, seed
        As in :class:`qatviz.protocol.run_spec.RunSpec`.
    heads : mapping of str to mapping
        Choices of :mod:`qatviz.heads` by name or index of an output, for networks with several.
    quant_delay : int
        Training steps in float before quantization starts.
    run : RunSettings
    teacher_model : str, optional
        Path of a Keras model's file, or ``path.py:function``: the model of the ``teacher`` "model" of :attr:`run`.
    out : str, optional
        Directory to record to; None: the run is not recorded.
    """

    kind: ClassVar[str] = "new"

    data: Optional[str] = DEFAULT_DATA
    steps: Optional[float] = START_SETTINGS["steps"].default
    preset: Optional[str] = DEFAULT_PRESET
    network: Optional[str] = DEFAULT_NETWORK
    model: Optional[str] = None
    model_weights: Optional[str] = None
    allow_code: bool = False
    from_scratch: bool = False
    fold_forward: bool = False
    task: Optional[str] = None
    scaling: Optional[str] = None
    data_options: DataOptions = DataOptions()
    validation_fraction: float = DEFAULT_VALIDATION_FRACTION
    batch_size: int = START_SETTINGS["batch_size"].default
    optimizer: str = START_SETTINGS["optimizer"].default
    loss: str = START_SETTINGS["loss"].default
    class_weights: str = START_SETTINGS["class_weights"].default
    metric: str = START_SETTINGS["metric"].default
    seed: int = START_SETTINGS["seed"].default
    heads: Mapping[str, Any] = field(default_factory=dict)
    quant_delay: int = QUANTIZER_SETTINGS["quant_delay"].default
    run: RunSettings = RunSettings()
    teacher_model: Optional[str] = None
    out: Optional[str] = None

    @property
    def functions(self) -> Dict[str, str]:
        """Losses and metrics that are functions ``path.py:function``, each with its field: loss or metric."""
        chosen = [
            (head[name], name) for head in (vars(self), *self.heads.values()) for name in (LOSS, METRIC) if name in head
        ]
        return {text: name for text, name in chosen if is_function(text)}

    @property
    def uses_functions(self) -> bool:
        """Whether a loss or a metric is a function of a Python file."""
        return bool(self.functions)

    def _checks(self) -> Iterable[Tuple[str, _Check]]:
        if self.network is not None:
            yield "network", self._check_network
        yield "model", self._check_model
        if self.network is not None:
            has_code = self.uses_functions or self.teacher_model is not None
            of_models = ("model_weights", *(() if has_code else ("allow_code",)), "from_scratch")
            for name in of_models:
                if getattr(self, name):
                    yield name, partial(_refuse_for_zoo, name)
        if self.model_weights is not None:
            yield "model_weights", lambda: _check_text("model_weights", self.model_weights, "the path of a file")
        if self.teacher_model is not None:
            yield "teacher_model", lambda: _check_text("teacher_model", self.teacher_model, "the path of a file")
        if self.task is not None:
            yield "task", lambda: check_task(self.task)
        if self.scaling is not None:
            yield "scaling", lambda: check_wanted_scaling(self.scaling)
        for name in DATA_OPTIONS:
            yield name, partial(check_data_option, name, getattr(self.data_options, name))
        yield "validation_fraction", self._check_validation_fraction
        yield "heads", lambda: check_choices(self.heads)
        for setting in _OF_NEW_RUNS:
            yield setting.name, partial(_check_setting, setting, getattr(self, setting.name))
        yield "class_weights", lambda: parse_class_weights(self.class_weights)
        yield "optimizer", lambda: check_choice("optimizer", self.optimizer, OPTIMIZERS)
        if self.out is not None:
            yield "out", lambda: _check_text("out", self.out, "a directory that is new or empty")
        yield from super()._checks()

    def _check_network(self) -> None:
        if self.network not in NETWORKS:
            expected = f"one of {', '.join(NETWORKS)}{_hint(self.network, NETWORKS)}"
            raise NetworkError.of_field("network", f"is {self.network!r}: expected {expected}")

    def _check_model(self) -> None:
        if self.model is not None:
            if self.network is not None:
                raise SettingError.of_field(
                    "model", f"is {self.model!r}, but there is a network as well: expected one of them"
                )
            _check_text("model", self.model, "the path of a file")
            if self.model.lower().endswith(".py"):
                raise _refused("model", self.model, f"{self.model}:FUNCTION, where the function returns the model")

    def _check_validation_fraction(self) -> None:
        value = self.validation_fraction
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise _refused("validation_fraction", value, "a number above 0 and below 1")


@dataclass(frozen=True)
class ContinuationRequest(TrainingRequest):
    """Base class of the requests to continue from a checkpoint of a recorded run.

    Network, data, batch size, optimizer, loss and seed are those of the recorded run.

    Attributes
    ----------
    directory : str
        Directory of the recorded run.
    checkpoint : str, optional
        Name of the checkpoint; None: the newest readable one.
    data : str, optional
        Current path of the data; None: the recorded path.
    steps : int or float, optional
        Total steps; None: as recorded.
    run : mapping of str to object
        Settings of the run that change at once.
    allow_code : bool
        True allows Python files with the run's losses and metrics to be run; those that were allowed before, and have
        not changed since, run in any case.
    """

    directory: str = ""
    checkpoint: Optional[str] = None
    run: Mapping[str, Any] = field(default_factory=dict)
    allow_code: bool = False

    def _checks(self) -> Iterable[Tuple[str, _Check]]:
        yield "directory", lambda: _check_text("directory", self.directory, "the directory of a recorded run")
        for name, value in self.run.items():
            yield name, partial(_check_run_setting, name, value)
        yield from super()._checks()


@dataclass(frozen=True)
class ResumeRequest(ContinuationRequest):
    """Request to continue a recorded run in its own directory."""

    kind: ClassVar[str] = "resume"


@dataclass(frozen=True)
class ForkRequest(ContinuationRequest):
    """Request to start a second run from a checkpoint of a recorded one.

    Attributes
    ----------
    out : str, optional
        Directory to record to; None: the run is not recorded.
    seed : int, optional
        Seed from the checkpoint on, which determines batches and dropout; None: that of the recorded run.
    """

    kind: ClassVar[str] = "fork"

    out: Optional[str] = None
    seed: Optional[int] = None

    def _checks(self) -> Iterable[Tuple[str, _Check]]:
        if self.seed is not None:
            yield "seed", partial(START_SETTINGS["seed"].check, self.seed, "seed")
        yield from super()._checks()


@dataclass(frozen=True)
class OpenRequest(RunRequest):
    """Request to show a recorded run without continuing it.

    Attributes
    ----------
    directory : str
    """

    kind: ClassVar[str] = "open"

    directory: str = ""

    def _checks(self) -> Iterable[Tuple[str, _Check]]:
        yield "directory", lambda: _check_text("directory", self.directory, "the directory of a recorded run")


_KINDS: Tuple[Type[RunRequest], ...] = (NewRunRequest, ResumeRequest, ForkRequest, OpenRequest)
#: Request classes by kind.
REQUESTS: Dict[str, Type[RunRequest]] = {request.kind: request for request in _KINDS}


def names_model(text: str) -> bool:
    """Return whether ``text`` is the path of a model rather than the name of a network of the zoo."""
    return text not in NETWORKS and (text.startswith("~") or any(sign in text for sign in (os.sep, "/", ".")))


def is_model_path(path: str) -> bool:
    """Return whether a path has the form of a model file or script, or is the folder of a model."""
    return path.lower().endswith(MODEL_ENDINGS) or parse_script_spec(path) is not None or is_model_folder(path)


def stem_of(network: str) -> str:
    """Return a run's name from its network, model file (without suffix) or script's function, safe as a file name."""
    script = parse_script_spec(network)
    path = script.name if script is not None and script.name else os.path.basename(network)
    stem = os.path.splitext(path)[0] if names_model(network) else path
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "model"


def check_choice(name: str, word: Any, known: Iterable[str]) -> None:
    """Raise a :class:`SettingError` about the field ``name`` if ``word`` is not one of the ``known`` ones."""
    if word not in known:
        raise _refused(name, word, f"one of {', '.join(known)}{_hint(word, known)}")


def _hint(word: Any, known: Iterable[str]) -> str:
    hint = did_you_mean(str(word), known)
    return "." + hint if hint else ""


def _refused(name: str, value: Any, expected: str) -> QatvizError:
    return SettingError.of_field(name, f"is {value!r}: expected {expected}")


def _refuse_for_zoo(name: str) -> None:
    raise SettingError.of_field(name, "applies only to your own models: omit it for a network of the zoo")


def _check_setting(setting: Setting, value: Any) -> None:
    try:
        checked = setting.check(value)
    except SettingError:
        checked = None
    # Floats are refused in place of whole numbers, which are recorded unchanged.
    if checked is None or (setting.type is int and not isinstance(value, int)):
        raise _refused(setting.name, value, setting.allowed())


def _check_number(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _refused(name, value, f"a whole number of at least {least}")


def _check_text(name: str, value: Any, expected: str) -> None:
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value).strip():
        raise _refused(name, value, expected)


def _check_quantizer_settings(kind: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        path = f"{kind}.{name}"
        quantizer_setting(name, kind, path).check(value, path, kind)


def _check_run_setting(name: str, value: Any) -> None:
    if name not in RUN_SETTINGS:
        raise SettingError.of_field(name, f"is not a setting of the run.{did_you_mean(name, RUN_SETTINGS)}")
    _check_setting(RUN_SETTINGS[name], value)
