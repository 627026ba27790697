"""One finalized TensorFlow graph and its session: training step, evaluation, snapshots, state in and out.

Built once; nothing is added later. All that changes while it runs (parameters, optimizer slots, ranges, settings) is in
variables, written through one prepared group of assignments each. Only the thread that built it may use it.

Two copies of the network are in the graph. The *training* copy runs on the live variables. The *evaluation* copy, in
inference form, runs on variables of its own, which :meth:`TrainingGraph.publish` sets to the live values: an evaluation
can then be spread over many training steps and still speak of one moment.
"""

import contextlib
from typing import Collection, Dict, Iterator, List, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.errors import RecordError, SettingError
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.run_spec import Placement
from qatviz.quant import live_state
from qatviz.quant.live import Modes
from qatviz.settings import WEIGHTS, QuantizerSettings, RunSettings
from qatviz.training import optimizers, probes
from qatviz.training.building import quick_building
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.objective import OBJECTIVES
from qatviz.training.parameters import initial_parameters, is_trainable
from qatviz.training.server import CALL_TIMEOUT_S, SESSION_TIMEOUT_S, check_reachable
from qatviz.training.step_measures import RawMeasures
from qatviz.training.variables import Loader, StateVariable

Arrays = Dict[str, np.ndarray]

#: Held-out examples that snapshots look at; always the same ones, so that snapshots can be compared.
SNAPSHOT_EXAMPLES = 32
_FINITE = "loss_is_finite"


class NonFiniteLoss(Exception):
    """The loss of a step was NaN or infinite; no variable was changed."""


class TrainingGraph:
    """See the module's text.

    Parameters
    ----------
    network : Network
    plan : QuantizationPlan
    dataset : Dataset
    batch_size : int
    optimizer : str
        A key of :data:`qatviz.training.optimizers.OPTIMIZERS`.
    seed : int
        Of the initial parameters and of dropout.
    placement : Placement
    telemetry : bool
        Whether the error measures ride each step.
    fixed : collection of str
        Parameters ``layer.parameter`` that are not trained.
    """

    def __init__(
        self,
        network: Network,
        plan: QuantizationPlan,
        dataset: Dataset,
        batch_size: int,
        optimizer: str,
        seed: int = 0,
        placement: Placement = Placement(),
        telemetry: bool = True,
        fixed: Collection[str] = (),
    ):
        if placement.target:
            _check_serves(placement.target)  # before the graph is built, which takes longer
        self.network, self.plan, self.layout = network, plan, live_state.layout(plan)
        self._optimizer = optimizers.OPTIMIZERS[optimizer]
        self._seed, self._fixed = seed, frozenset(fixed)
        self._objective = OBJECTIVES[dataset.task]
        self._examples = {"train": len(dataset.x_train), "test": len(dataset.x_test)}
        self._graph = tf.Graph()
        with self._graph.as_default(), tf.device(placement.device), quick_building():
            tf.logging.set_verbosity(tf.logging.ERROR)  # warnings about TensorFlow's own deprecations are nobody's here
            self._build(dataset, batch_size, telemetry)
        self._graph.finalize()
        config = tf.ConfigProto(
            intra_op_parallelism_threads=placement.intra_op_threads,
            inter_op_parallelism_threads=placement.inter_op_threads,
            allow_soft_placement=True,
        )
        # What the graph rewriter gains in a step (nothing that can be measured) it takes several times over at the
        # start.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        if placement.target:
            config.operation_timeout_in_ms = int(CALL_TIMEOUT_S * 1000)
        self._session = tf.Session(placement.target, graph=self._graph, config=config)
        self._prepare(dataset)

    # What the trainer calls

    def step(self, indices: np.ndarray, step: int):
        """One training step on the examples ``indices`` (int32 ``[batch]``).

        Returns the loss before the step, and its measures (None without telemetry).

        Raises
        ------
        NonFiniteLoss
        """
        try:
            _, loss, *measures = self._step(indices, step)
        except tf.errors.InvalidArgumentError as error:
            if error.op is not None and _FINITE in error.op.name:
                raise NonFiniteLoss(f"the loss of step {step + 1} is not finite") from error
            raise
        now = self._settings_now
        return float(loss), RawMeasures(*measures, now["per_channel"], now["enabled"]) if measures else None

    def calibrate(self, indices: np.ndarray) -> None:
        """Start the ranges of all activations from one batch, run in float."""
        in_float = dict(self._settings_now, enabled=np.zeros(len(self.layout.leaders), bool))
        self._load_settings(self._session, in_float)
        self._calibrate(indices, 0)
        self._load_settings(self._session, self._settings_now)

    def read_weights(self) -> List[np.ndarray]:
        """The float weights behind every weight quantizer, batch norm folded in, in the order of the layout."""
        return self._read_weights()

    def read_held_ranges(self) -> Arrays:
        """The ``held_*`` arrays of :mod:`qatviz.quant.live_state`."""
        return dict(zip(live_state.HELD, self._read_held()))

    def write_held_ranges(self, held: Arrays) -> None:
        self._load_held(self._session, held)

    def write_settings(self, settings: Sequence[QuantizerSettings], run: RunSettings, step: int) -> None:
        """Adopt settings (one for each group of the plan), in one call."""
        arrays = live_state.settings_arrays(self.layout, settings, run, step)
        arrays["hyper"] = np.array([getattr(run, name) for name in optimizers.HYPERPARAMETERS], np.float32)
        arrays["freeze_batch_norm"] = np.array(run.freeze_batch_norm)
        self._settings_now = arrays
        self._load_settings(self._session, arrays)

    def initial_state(self, run: RunSettings, parameters: Optional[Arrays] = None) -> Arrays:
        """The state of a run that has not begun, with ``parameters``; by default seeded ones."""
        if parameters is None:
            parameters = initial_parameters(self.network, self._seed)
        trainable = {name: value for name, value in parameters.items() if self._is_trained(name)}
        slots = optimizers.slot_arrays(self._optimizer, trainable, run.to_dict())
        return dict(parameters, **slots, **live_state.initial_ranges(self.layout))

    def read_state(self) -> Arrays:
        """A copy of all that a checkpoint holds: parameters, optimizer slots, ranges."""
        # A fetched CPU variable may share its buffer with the variable.
        return {name: np.array(value) for name, value in zip(self._load_state.names, self._read_state())}

    def write_state(self, arrays: Arrays) -> None:
        """Set parameters, optimizer slots and ranges, in one call."""
        self._load_state(self._session, arrays)
        self._forget_codes()

    def check_state(self, name: str, arrays: Arrays) -> None:
        """:class:`RecordError` if ``arrays`` (of the checkpoint ``name``) are not a state of this network and
        optimizer.
        """
        wanted = {key: self._live[key] for key in self._load_state.names}
        for key in sorted({*wanted, *arrays}):
            expected = f"{wanted[key].dtype.name} {wanted[key].shape}" if key in wanted else "nothing"
            found = f"{arrays[key].dtype} {arrays[key].shape}" if key in arrays else "nothing"
            if found != expected:
                raise RecordError(
                    f"checkpoint {name}: {key} is {found}, expected {expected} by this network and optimizer"
                )

    def publish(self) -> None:
        """Make the evaluation copy speak of the present state and settings."""
        self._publish()

    @contextlib.contextmanager
    def published(self, put_back: bool) -> Iterator[None]:
        """Within the context the present state is published. ``put_back``: afterwards what was published before is
        again, and an evaluation of it can go on.
        """
        before = self._read_published() if put_back else None
        self._publish()
        try:
            yield
        finally:
            if put_back:
                self._put_back(*before)

    def total_score(self, indices: np.ndarray, weights: bool, activations: bool) -> float:
        """The sum over the held-out examples ``indices`` of what the metric is the mean of (1 for each that is
        classified right, the squared error), by the published state with the weights and/or the activations
        quantized.
        """
        return float(self._evaluate(indices, weights, activations))

    def snapshot(self) -> List[probes.SnapshotTensors]:
        """Measures and histograms of the published state, as NumPy arrays in the order of the plan."""
        flat = self._snapshot(self._snapshot_examples(), True, True)
        size = len(probes.SnapshotTensors._fields)
        return [probes.SnapshotTensors(*flat[i * size : (i + 1) * size]) for i in range(len(self.plan.tensors))]

    def tensor_values(self, name: str) -> np.ndarray:
        """float32 ``[n, channels]``: the values before quantization that the snapshot of the published state looks
        at.
        """
        if name not in self._inspect:
            self._inspect[name] = self._session.make_callable(self._snapshot_sources[name], self._eval_feeds)
        tensor = self.plan.tensor(name)
        values = self._inspect[name](self._snapshot_examples(), True, True)[: probes.snapshot_items(tensor)]
        # A fetched CPU variable may share its buffer with the variable.
        return np.array(values).reshape(-1, tensor.num_channels)

    def _snapshot_examples(self) -> np.ndarray:
        return np.arange(min(SNAPSHOT_EXAMPLES, self._examples["test"]), dtype=np.int32)

    def logits(self, images: np.ndarray, weights: bool = True, activations: bool = True) -> np.ndarray:
        """float32 ``[batch, outputs]`` of the published state for ``images`` (float32, already scaled)."""
        return self._session.run(
            self._eval_logits,
            {self._eval_images: images, self._modes.weights: weights, self._modes.activations: activations},
        )

    @property
    def device(self) -> str:
        """Where the session runs, for the user."""
        kinds = [
            device.device_type for device in self._session.list_devices() if not device.device_type.startswith("XLA")
        ]
        return ", ".join(kinds)

    def close(self) -> None:
        self._session.close()

    # Construction

    def _build(self, dataset, batch_size, telemetry):
        self._data = {
            name: StateVariable("data_" + name, getattr(dataset, name).dtype, getattr(dataset, name).shape)
            for name in ("x_train", "y_train", "x_test", "y_test")
        }
        self._load_data = Loader(self._data, self._data)
        self._pixel_scale = dataset.pixel_scale
        state = self.initial_state(
            RunSettings(),
            {name: np.zeros(shape, np.float32) for name, shape in self.network.all_parameter_shapes().items()},
        )
        run_settings = live_state.settings_arrays(
            self.layout, [QuantizerSettings()] * len(self.layout.leaders), RunSettings(), 0
        )
        run_settings["hyper"] = np.zeros(len(optimizers.HYPERPARAMETERS), np.float32)
        run_settings["freeze_batch_norm"] = np.array(False)
        live = {
            name: StateVariable(name, value.dtype, value.shape) for name, value in {**state, **run_settings}.items()
        }
        self._live = live
        self._load_state = Loader(live, sorted(state))
        self._load_settings = Loader(live, sorted(run_settings))
        self._load_held = Loader(live, live_state.HELD)
        self._values = {name: variable.read() for name, variable in live.items()}
        self._build_training(live, batch_size, telemetry)
        slotless = [name for name in live if "|" not in name and name != "hyper"]
        with tf.name_scope("evaluation"):
            self._build_evaluation({name: live[name] for name in slotless})

    def _build_training(self, live, batch_size, telemetry):
        self._indices = tf.placeholder(tf.int32, [batch_size], "indices")
        self._step_number = tf.placeholder(tf.int32, [], "step")
        images = self._images("x_train", self._indices)
        labels = self._data["y_train"].gather(self._indices)
        values = self._values
        lowered = lower(
            self.network,
            self.plan,
            images,
            values,
            values,
            training=True,
            freeze_batch_norm=values["freeze_batch_norm"],
            dropout_seed=tf.stack([tf.constant(self._seed % 2**31, tf.int32), self._step_number]),
        )
        if self._objective.reaches_labels:
            lowered.quantizers.observe(self.plan.grid_of(self.network.output), labels)
        loss = self._objective.loss(lowered.logits, labels)
        finite = tf.check_numerics(loss, "loss", name=_FINITE)
        trainable = [name for name in sorted(values) if "." in name and "|" not in name and self._is_trained(name)]
        gradients = dict(zip(trainable, tf.gradients(finite, [values[name] for name in trainable])))
        hyper = dict(zip(optimizers.HYPERPARAMETERS, tf.unstack(values["hyper"], num=len(optimizers.HYPERPARAMETERS))))
        updates = dict(lowered.updates, **lowered.quantizers.range_updates())
        with tf.control_dependencies([finite]):  # a bad step changes nothing
            operations = optimizers.apply(self._optimizer, live, gradients, hyper)
            operations += [live[name].assign(value) for name, value in updates.items()]
        measures = []
        if telemetry:
            tensors = [lowered.quantizers.quantized[tensor.name] for tensor in self.plan.tensors]
            measures = [*lowered.quantizers.step_grids(), probes.step_samples(tensors)]
        self._train_fetches = [tf.group(*operations), loss, *measures]
        low, high = lowered.quantizers.observed_ranges()
        self._calibrate_op = tf.group(live["range_min"].assign(low), live["range_max"].assign(high))
        self._weight_sources = lowered.quantizers.sources

    def _build_evaluation(self, live):
        copies = {name: StateVariable(name, v.dtype, v.shape, is_fed=False) for name, v in live.items()}
        self._publish_op = tf.group(*[copies[name].assign(self._values[name]) for name in live])
        self._put_back_op = tf.group(*[copies[name].assign(live[name].feed) for name in live])
        self._put_back_feeds = [variable.feed for variable in live.values()]
        indices = tf.placeholder(tf.int32, [None], "indices")
        self._modes = Modes(tf.placeholder(tf.bool, [], "weights"), tf.placeholder(tf.bool, [], "activations"))
        self._eval_images = self._images("x_test", indices)
        values = {name: variable.read() for name, variable in copies.items()}
        self._published = list(values.values())
        lowered = lower(self.network, self.plan, self._eval_images, values, values, training=False, modes=self._modes)
        self._eval_logits = lowered.logits
        self._eval_feeds = [indices, self._modes.weights, self._modes.activations]
        self._eval_fetch = self._objective.total_score(lowered.logits, self._data["y_test"].gather(indices))
        self._build_snapshot(lowered.quantizers)

    def _build_snapshot(self, quantizers):
        previous = {
            tensor.name: StateVariable(
                "codes_" + tensor.name, np.int32, (probes.snapshot_rows(tensor), tensor.num_channels)
            )
            for tensor in self.plan.tensors
            if tensor.kind == WEIGHTS
        }
        known = StateVariable("codes_known", bool, ())
        probe = probes.SnapshotProbe(quantizers, previous, known)
        self._snapshot_fetches = [field for fetch in probe.fetches for field in fetch] + [tf.group(*probe.remember)]
        self._forget_op = probe.forget
        self._snapshot_sources, self._inspect = probe.sources, {}
        self._code_variables = dict(previous, known=known)
        self._load_codes = Loader(self._code_variables, self._code_variables)

    def _is_trained(self, name: str) -> bool:
        return is_trainable(name) and name not in self._fixed

    def _images(self, name: str, indices: tf.Tensor) -> tf.Tensor:
        images = tf.cast(self._data[name].gather(indices), tf.float32)
        return images * self._pixel_scale if self._pixel_scale != 1.0 else images

    def _prepare(self, dataset):
        session = self._session
        self._load_data(session, {name: getattr(dataset, name) for name in self._data})
        self._load_codes(
            session, {name: np.zeros(v.shape, v.dtype.as_numpy_dtype) for name, v in self._code_variables.items()}
        )
        self._step = session.make_callable(self._train_fetches, [self._indices, self._step_number])
        self._calibrate = session.make_callable(self._calibrate_op, [self._indices, self._step_number])
        self._read_weights = session.make_callable(self._weight_sources)
        self._read_held = session.make_callable([self._values[name] for name in live_state.HELD])
        self._read_state = session.make_callable([self._values[name] for name in self._load_state.names])
        self._publish = session.make_callable(self._publish_op)
        self._read_published = session.make_callable(self._published)
        self._put_back = session.make_callable(self._put_back_op, self._put_back_feeds)
        self._evaluate = session.make_callable(self._eval_fetch, self._eval_feeds)
        self._snapshot = session.make_callable(self._snapshot_fetches, self._eval_feeds)
        self._forget_codes = session.make_callable(self._forget_op)


def _check_serves(target: str) -> None:
    """:class:`SettingError` if there is no TensorFlow server at ``target`` that makes a session soon."""
    check_reachable(target)
    graph = tf.Graph()
    with graph.as_default():
        anything = tf.constant(0)
    config = tf.ConfigProto(operation_timeout_in_ms=int(SESSION_TIMEOUT_S * 1000))
    try:
        with tf.Session(target, graph=graph, config=config) as session:
            session.run(anything)
    except tf.errors.OpError as error:
        raise SettingError(
            f"session target {target}: no TensorFlow server answers there, or not all of its workers are up: "
            f"{error.message}"
        ) from error
