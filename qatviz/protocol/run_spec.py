"""Specification of a run: immutable, and JSON-able except for the data."""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, FrozenSet, NamedTuple, Optional, Sequence, Tuple

from qatviz import __version__
from qatviz.data import Dataset
from qatviz.data.checks import memory_limit
from qatviz.data.dataset import equal_up_to_unit_axis
from qatviz.data.example_weights import example_weights
from qatviz.data.heads import for_outputs
from qatviz.data.ids import check_ids
from qatviz.data.inputs import for_inputs
from qatviz.errors import DataError, NetworkError, RecordError, SettingError, prefixed
from qatviz.heads import LOSS_WEIGHT, Head, heads_from
from qatviz.losses import AUTOMATIC, is_single_logit, loss_for
from qatviz.metric import AUC, METRICS, Metric, OutputMetric, evaluated_metrics, metric_for
from qatviz.network.graph import Network
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layer import element_count
from qatviz.network.layers import Softmax
from qatviz.network.plan import QuantizationPlan, quantization_plan
from qatviz.number_format import count, shape_text
from qatviz.own_functions import OwnFunctions, is_function
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.commands import Schedule, schedule_from, schedule_rows, with_ids
from qatviz.protocol.run_state import Arrays, RunState
from qatviz.protocol.schedule import changed
from qatviz.protocol.settings_book import SettingsBook
from qatviz.start_settings import START_SETTINGS, StartSettings
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

#: Number of copies of the parameters in memory during training: values, gradients, and the values that are evaluated.
_COPIES = 3


@dataclass(frozen=True)
class Placement:
    """Session target, devices, threads and workers on which the graph runs.

    Attributes
    ----------
    target : str
        ``grpc://host:port``; empty: this process, or the first of ``workers``.
    device : str
    intra_op_threads, inter_op_threads : int
        0: one per core.
    workers : tuple of str
        Addresses ``host:port`` of TensorFlow servers that share each batch; the first has the variables.
    replicas : int
        Number of devices of this process that share each batch.
    towers : int
        Number of parts of a batch; 0: one for each worker or replica. If there are more, they are distributed in order.
    tower_moments : bool
        If True, batch norm normalizes each part by its own mean and variance, instead of those of the whole batch.
    elastic : bool
        If True, a run that loses workers continues with the others.
    """

    target: str = ""
    device: str = ""
    intra_op_threads: int = 0
    inter_op_threads: int = 0
    workers: Tuple[str, ...] = ()
    replicas: int = 1
    towers: int = 0
    tower_moments: bool = False
    elastic: bool = False

    @property
    def num_towers(self) -> int:
        """Number of parts of a batch; 1: the batch is not divided."""
        return self.towers or max(len(self.workers), self.replicas)

    @property
    def division(self) -> BatchDivision:
        """Division of the batches, for the record of the run."""
        return BatchDivision(self.num_towers, len(self.workers), self.replicas, self.tower_moments)

    @property
    def local(self) -> "Placement":
        """Placement in this process with the same numbers of threads, without devices, replicas and workers."""
        return Placement(intra_op_threads=self.intra_op_threads, inter_op_threads=self.inter_op_threads)


class Teacher(NamedTuple):
    """Network in float whose outputs training can imitate, with its parameters.

    See :mod:`qatviz.training.distillation`.
    """

    network: Network
    parameters: Arrays


@dataclass(frozen=True, eq=False)
class RunSpec:
    """Specification of a run.

    Attributes
    ----------
    network : Network
    dataset : Dataset
    data_spec : str
        Argument of :func:`qatviz.data.load`, for resuming.
    book : SettingsBook
        Initial settings; contains the network's quantization plan.
    batch_size : int
    optimizer : str
        A name of :data:`qatviz.settings.OPTIMIZERS`.
    seed : int
        Determines initial parameters, batches and dropout.
    steps : int or None
        Total steps; None: no limit.
    schedule : tuple of ScheduledCommand
        Changes that take effect at given steps; ``(step, command)`` pairs are accepted and get ids.
    placement : Placement
    telemetry : bool
        If True, error measures are computed at every training step.
    start : RunState, optional
        State from which the run continues (resume, fork).
    parameters : dict of str to np.ndarray, optional
        Initial parameters: float32 arrays by ``layer.parameter``, such as a trained model's; by default random, seeded.
    keras : KerasOrigin, optional
        The Keras model that the network was imported from.
    loss : str
        A name of :data:`qatviz.losses.LOSSES`; "auto" is replaced by that of task and network.
    class_weights : str
        Weights of the classes in the loss, in the form of :func:`qatviz.class_weights.parse_class_weights`; empty for
        several outputs, whose heads have them.
    metric_name : str
        A name of :data:`qatviz.metric.METRICS`; "auto" is replaced by that of the task.
    heads : tuple of Head
        What each output learns, if the network has several: with the names that replace "auto", in the order of the
        outputs. By default, losses and metrics are those of the tasks. ``loss`` and ``metric_name`` are those of the
        first one then. Empty for a single output.
    functions : OwnFunctions
        Functions of the user among losses and metrics.
    teacher : Teacher, optional
        Keras model that the setting ``teacher`` can choose.

    Raises
    ------
    NetworkError
        If network, data, parameters and teacher do not match, or the network needs more memory than there is.
    SettingError
        If a setting or a scheduled change is not allowed.
    """

    network: Network
    dataset: Dataset
    data_spec: str
    book: SettingsBook
    batch_size: int = START_SETTINGS["batch_size"].default
    optimizer: str = START_SETTINGS["optimizer"].default
    seed: int = START_SETTINGS["seed"].default
    steps: Optional[int] = START_SETTINGS["steps"].default
    schedule: Schedule = ()
    placement: Placement = field(default_factory=Placement)
    telemetry: bool = True
    start: Optional[RunState] = None
    parameters: Optional[Arrays] = None
    keras: Optional[KerasOrigin] = None
    loss: str = START_SETTINGS["loss"].default
    class_weights: str = START_SETTINGS["class_weights"].default
    metric_name: str = START_SETTINGS["metric"].default
    heads: Tuple[Head, ...] = ()
    functions: OwnFunctions = OwnFunctions()
    teacher: Optional[Teacher] = None

    def __post_init__(self) -> None:
        StartSettings(
            self.batch_size, self.optimizer, self.loss, self.class_weights, self.metric_name, self.seed, self.steps
        )
        try:
            object.__setattr__(self, "dataset", for_inputs(self.dataset, self.network.inputs))
        except DataError as error:
            raise NetworkError(f"network {self.network.name!r}: {error}") from error
        if tuple(self.network.input_shape) != tuple(self.dataset.input_shape):
            raise NetworkError(
                f"network {self.network.name!r} expects examples of shape {tuple(self.network.input_shape)}, but "
                f"{self.dataset.name} has {tuple(self.dataset.input_shape)}"
            )
        try:
            fitted = for_outputs(self.dataset, self.network.output_names, self.network.output_shapes)
        except DataError as error:
            raise NetworkError(f"network {self.network.name!r}: {error}") from error
        object.__setattr__(self, "dataset", fitted)
        check_ids(fitted, self.network.id_counts)
        heads = self._resolved_heads()
        object.__setattr__(self, "loss", heads[0].loss)
        object.__setattr__(self, "metric_name", heads[0].metric)
        object.__setattr__(self, "heads", heads if len(heads) > 1 else ())
        for head, own in zip(heads, self.dataset.heads):  # raises an error if they don't fit the data
            with prefixed(f"output {head.output!r}" if len(heads) > 1 else ""):
                example_weights(own, head.class_weights)
        _check_memory(self.network, min(self.batch_size, len(self.dataset.x_train)))
        if self.parameters is not None:
            _check_parameters(self.network, self.parameters)
        if self.teacher is not None:
            _check_teacher(self.network, self.teacher)
        book = self.book
        object.__setattr__(self, "schedule", with_ids(self.schedule))
        for item in self.schedule:  # report invalid changes now, not at their steps
            book, _ = changed(book, item.command)

    def _resolved_heads(self) -> Tuple[Head, ...]:
        """Return the head of each output, whose loss and metric are those of its task if none is chosen."""
        names, datasets = self.network.output_names, self.dataset.heads
        chosen = self.heads or tuple(Head(name) for name in names)
        if len(names) == 1:
            chosen = (Head(names[0], self.loss, 1.0, self.metric_name, self.class_weights),)
        elif {self.loss, self.metric_name} - {AUTOMATIC, chosen[0].loss, chosen[0].metric}:
            raise SettingError(f"network {self.network.name!r} has {len(names)} outputs: state loss and metric of each")
        elif self.class_weights:
            raise SettingError.of_field("class_weights", "is stated for all outputs: state those of each")
        if tuple(head.output for head in chosen) != names:
            raise SettingError(f"heads of {[head.output for head in chosen]}: expected those of {list(names)}")
        found = []
        for head, dataset, output, shape in zip(chosen, datasets, self.network.outputs, self.network.output_shapes):
            where = f"output {head.output!r}" if len(names) > 1 else ""
            _check_output(self.network, dataset, output, where)
            with prefixed(where):
                loss = loss_for(head.loss, dataset.task, shape[-1])
                metric = metric_for(head.metric, dataset.task, dataset.num_classes)
                _check_metric(metric, dataset)
            found.append(head._replace(loss=loss, metric=head.metric if is_function(head.metric) else metric.name))
        if not any(head.weight for head in found):
            raise SettingError.of_field(LOSS_WEIGHT, "is 0 for all outputs: expected one above 0")
        return tuple(found)

    @property
    def plan(self) -> QuantizationPlan:
        return self.book.plan

    @property
    def metric(self) -> Metric:
        """First metric of evaluations."""
        return METRICS[self.metric_name]

    @property
    def metrics(self) -> Tuple[OutputMetric, ...]:
        """All metrics of evaluations, the first one first; with the output that each is of if there are several."""
        return metrics_of(self.all_heads, self.dataset)

    @property
    def all_heads(self) -> Tuple[Head, ...]:
        """The head of each output; that of a single one has no name."""
        return self.heads or (Head("", self.loss, 1.0, self.metric_name, self.class_weights),)

    @property
    def fixed(self) -> FrozenSet[str]:
        """Parameters that are never trained.

        They are those that are not trainable in the imported Keras model, unless the setting ``trainable`` of their
        weights decides on them, and those that it has no arrays for. An example is the gamma of a batch norm with
        ``scale=False``: its trained values could not be exported to the model.
        """
        if self.keras is None:
            return frozenset()
        return self.keras.frozen | (set(self.network.all_parameter_shapes()) - set(self.keras.arrays))

    def description(self) -> Dict[str, Any]:
        """Return a JSON-able form for the record of the run; ``parameters`` are stored separately."""
        description = {
            "qatviz": __version__,
            "network": self.network.to_dict(),
            "data": self.data_spec,
            "data_name": self.dataset.name,
            "data_fingerprint": self.dataset.fingerprint,
            "task": self.dataset.task,
            "scaling": self.dataset.scaling,
            "train_examples": len(self.dataset.x_train),
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "loss": self.loss,
            "metric": self.metric_name,
            "seed": self.seed,
            "steps": self.steps,
            "settings": self.book.to_dict(),
            "schedule": schedule_rows(self.schedule),
        }
        if self.heads:
            tasks = [head.task for head in self.dataset.heads]
            description["heads"] = [dict(head.to_dict(), task=task) for head, task in zip(self.heads, tasks)]
        if self.placement.division != BatchDivision():
            description["batch_division"] = self.placement.division.to_dict()
        if self.class_weights:
            description["class_weights"] = self.class_weights
        if self.functions.functions:
            description["functions"] = self.functions.to_dict()
        if self.teacher is not None:
            description["teacher"] = self.teacher.network.to_dict()
        if self.keras is not None:
            description["keras"] = self.keras.to_dict()
        return description

    @classmethod
    def from_description(cls, description: Dict[str, Any], dataset: Dataset, **changes: Any) -> "RunSpec":
        """Return the spec serialized by :meth:`description`, with ``dataset``; ``changes`` replace fields.

        Raises
        ------
        RecordError
            If something is missing, or ``dataset`` is not the data set of the run.
        """
        try:
            network = Network.from_dict(description["network"])
            if dataset.inputs:
                dataset = for_inputs(dataset, network.inputs)
            if dataset.fingerprint != description["data_fingerprint"]:
                dataset = dataset.with_numbered_classes(network.num_outputs)
            if dataset.fingerprint != description["data_fingerprint"]:
                raise RecordError(
                    f"{description['data']}: the data is not that of the run (fingerprint {dataset.fingerprint} "
                    f"instead of {description['data_fingerprint']})",
                    "data",
                )
            spec = cls(
                network=network,
                dataset=dataset,
                data_spec=description["data"],
                book=SettingsBook.from_dict(described_plan(description), description["settings"]),
                batch_size=description["batch_size"],
                optimizer=description["optimizer"],
                loss=description.get("loss", AUTOMATIC),  # records of version 0.2 and older have none
                class_weights=description.get("class_weights", ""),
                metric_name=description.get("metric", AUTOMATIC),
                heads=heads_from(description.get("heads", ())),
                seed=description["seed"],
                steps=description["steps"],
                schedule=schedule_from(description["schedule"]),
                keras=KerasOrigin.from_dict(description["keras"]) if "keras" in description else None,
            )
        except KeyError as error:
            raise RecordError(f"the description of the run is incomplete: {error} is missing") from error
        except (TypeError, ValueError) as error:
            raise RecordError(f"the description of the run is incomplete or damaged: {error}") from error
        return replace(spec, **changes)


def _check_teacher(network: Network, teacher: Teacher) -> None:
    """Raise NetworkError unless a teacher has the inputs and outputs of ``network``."""
    own, other = (
        [tuple(shape) for shape in (each.input_shape, *each.output_shapes)] for each in (network, teacher.network)
    )
    if own != other:
        raise NetworkError.of_field(
            "teacher_model",
            f"{teacher.network.name!r} has inputs and outputs of shapes {other}: expected the network's, {own}",
        )
    _check_parameters(teacher.network, teacher.parameters)


def metrics_of(heads: Sequence[Head], dataset: Dataset) -> Tuple[OutputMetric, ...]:
    """Return the metrics that evaluations compute for heads and their data, in order."""
    return tuple(
        OutputMetric(head.output, metric)
        for head, own in zip(heads, dataset.heads)
        for metric in evaluated_metrics(head.metric, own.task, own.num_classes)
    )


def described_plan(description: Dict[str, Any]) -> QuantizationPlan:
    """Return the quantization plan of a run from its description."""
    network, rows = Network.from_dict(description["network"]), description.get("heads")
    tasks = [description.get("task")] if rows is None else [row.get("task") for row in rows]
    return quantization_plan(network, [task == REGRESSION for task in tasks])


#: Singular and plural of what an output stands for, by task.
_NOUNS = {
    CLASSIFICATION: ("class", "classes"),
    MULTILABEL: ("label", "labels"),
    REGRESSION: ("number to predict", "numbers to predict"),
}


def output_mismatch(
    network: Network, data: str, shape: Tuple[int, ...], task: str, output: Optional[str] = None
) -> str:
    """Return the reason why the output of ``network`` does not fit data, with the remedy; empty if it does.

    Parameters
    ----------
    network : Network
    data : str
        Name of the data.
    shape : tuple of int
        Number of its classes or labels, or shape of an example's targets.
    task : str
    output : str, optional
        Name of the output's layer; by default the first.
    """
    name = network.output if output is None else output
    found = network.shapes[name]
    if task == SEGMENTATION:
        return _mask_mismatch(found, data, shape, name)
    noun = count(shape[0], *_NOUNS[task])
    wanted = f"{data} has " + (noun if len(shape) == 1 else f"targets of {shape_text(shape)}")
    if task == REGRESSION and len(shape) > 1 and equal_up_to_unit_axis(found, shape):
        return ""
    if len(found) != len(shape):
        expected = "a single row of numbers" if len(shape) == 1 else shape_text(shape)
        return f"layer {name!r} outputs {shape_text(found)} for each example, but {wanted}: expected {expected}"
    is_binary = shape == (2,) and is_single_logit(task, found[-1])
    if found != shape and not is_binary:
        outputs = count(found[0], "number") if len(found) == 1 else shape_text(found)
        needed = count(shape[0], "output") if len(shape) == 1 else f"an output of {shape_text(shape)}"
        return f"layer {name!r} outputs {outputs}, but {wanted}: choose other data, or a model with {needed}"
    if task != CLASSIFICATION and isinstance(network.layer(name), Softmax):
        aim = "predict the numbers" if task == REGRESSION else "decide on each of the labels"
        return (
            f"layer {name!r} is a Softmax, whose outputs lie between 0 and 1 and add up to 1; to {aim} of {data}, end "
            "the network without it"
        )
    return ""


def _mask_mismatch(found: Tuple[int, ...], data: str, shape: Tuple[int, ...], name: str) -> str:
    """Return the reason why an output of shape ``found`` does not fit masks (height, width, classes), or nothing."""
    is_binary = shape[-1] == 2 and found == (*shape[:-1], 1)
    if found == shape or is_binary:
        return ""
    pixels, classes = shape_text(shape[:-1]), count(shape[-1], *_NOUNS[CLASSIFICATION])
    binary = f", or {shape_text((*shape[:-1], 1))} with a logit for each pixel" if shape[-1] == 2 else ""
    return (
        f"layer {name!r} outputs {shape_text(found)} for each example, but {data} has masks of {pixels} with {classes}"
        f": expected {shape_text(shape)}{binary}"
    )


def _check_output(network: Network, dataset: Dataset, output: str, where: str) -> None:
    mismatch = output_mismatch(network, dataset.name, dataset.output_shape, dataset.task, output)
    if mismatch:
        begin = f"network {network.name!r}: " + (f"{where}: " if where else "")
        raise NetworkError(f"{begin}{mismatch}{_task_hint(dataset)}")


def _check_metric(metric: Metric, dataset: Dataset) -> None:
    """Refuse the AUC of held-out examples of one class, which have no pairs to order."""
    if metric is AUC and (dataset.y_test == dataset.y_test[0]).all():
        raise SettingError.of_field(
            "metric",
            f"is {metric.name!r}, but all held-out examples of {dataset.name} have the same class: expected both",
        )


def _check_memory(network: Network, batch_size: int) -> None:
    """Refuse a network that can't be trained on this machine, before anything is allocated for it."""
    largest = max(element_count(shape) for shape in network.shapes.values())
    needed = 4 * (_COPIES * network.parameter_count + batch_size * largest)
    limit = memory_limit()
    if needed > limit:
        raise NetworkError(
            f"network {network.name!r}: training it needs at least {needed:,} bytes of memory for "
            f"{network.parameter_count:,} parameters and batches of {batch_size}; available: {limit:,}"
        )


def _task_hint(dataset: Dataset) -> str:
    """Return a hint at another task, a sentence after the first one, if the task was inferred; else an empty text."""
    if not dataset.assumed.task:
        return ""
    other = REGRESSION if dataset.task in (CLASSIFICATION, SEGMENTATION) else CLASSIFICATION
    return f". The task {dataset.task} was inferred from the labels; set it to {other} if they are something else"


def _check_parameters(network: Network, parameters: Arrays) -> None:
    expected = {name: tuple(shape) for name, shape in network.all_parameter_shapes().items()}
    for name in sorted({*expected, *parameters}):
        array = parameters.get(name)
        found = "nothing" if array is None else f"{array.dtype} {array.shape}"
        wanted = f"float32 {expected[name]}" if name in expected else "nothing"
        if found != wanted:
            raise NetworkError(
                f"network {network.name!r}: the initial parameters have {found} for {name}; expected: {wanted}"
            )
