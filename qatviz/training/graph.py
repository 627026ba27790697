"""TensorFlow graph of a run and its session: training step, evaluation, snapshots, reading and writing of state.

The graph is built once and finalized; parts that the first training step does not need follow after it
(:mod:`.graph_copies`). Everything that changes during a run (parameters, optimizer slots, ranges, settings) is in
variables, each kind written by one prepared group of assignments. Only the thread that built the graph may use it.

It contains copies of the network: those of :mod:`.training_copy` use the live variables, that of
:mod:`.evaluation_copy` variables of its own, which :meth:`TrainingGraph.publish` sets to the live values.
"""

import contextlib
import itertools
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.data import Dataset
from qatviz.errors import RecordError
from qatviz.heads import Head
from qatviz.losses import AUTOMATIC
from qatviz.memory import check_room_for_tensorflow
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.own_functions import OwnFunctions
from qatviz.protocol.run_spec import Placement, Teacher
from qatviz.protocol.snapshots import NO_LOSSES
from qatviz.quant import live_state, oscillation
from qatviz.settings import QuantizerSettings, RunSettings
from qatviz.training import distillation, optimizers, probes
from qatviz.training.batch_pass import FINITE
from qatviz.training.building import quick_building
from qatviz.training.cluster_session import ClusterSession
from qatviz.training.evaluation_copy import EvaluationCopy
from qatviz.training.graph_copies import GraphCopies
from qatviz.training.graph_data import TEST, TRAIN, GraphData
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.graph_settings import GraphSettings
from qatviz.training.heads import GraphHeads
from qatviz.training.oscillation import OscillationArrays
from qatviz.training.parameters import initial_parameters, is_trainable
from qatviz.training.published_state import PublishedState
from qatviz.training.session import check_server, device_types, open_session, replica_kind, session_target
from qatviz.training.step_maps import StepMaps
from qatviz.training.step_measures import NO_SAMPLES, RawMeasures
from qatviz.training.towers import Tower, towers_of
from qatviz.training.training_copy import LEARN, MAPS, TRACK, UNSAMPLED, Variant
from qatviz.training.variables import Loader, StateVariable, first_mismatch

Arrays = Dict[str, np.ndarray]
Variables = Dict[str, StateVariable]


class NonFiniteLoss(Exception):
    """Loss of a training step that is NaN or infinite; no variable was changed."""


class TrainingGraph:
    """Graph and session of a run; see the module's docstring.

    Parameters
    ----------
    network : Network
    plan : QuantizationPlan
    dataset : Dataset
    batch_size : int
    optimizer : str
        A key of :data:`qatviz.training.optimizers.OPTIMIZERS`.
    seed : int
        Seed of the initial parameters and of dropout.
    placement : Placement
    telemetry : bool
        If True, training steps return error measures.
    fixed : collection of str
        Parameters ``layer.parameter`` that are not trained.
    loss, metric, class_weights : str
        Those of a network with one output, as in :class:`qatviz.heads.Head`.
    heads : sequence of Head
        What each output learns, if the network has several; the three before are not used then.
    functions : OwnFunctions
        Functions of the user among losses and metrics.
    teacher : Teacher, optional
        Keras model that the run setting ``teacher`` can choose.
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
        loss: str = AUTOMATIC,
        metric: str = AUTOMATIC,
        class_weights: str = "",
        heads: Sequence[Head] = (),
        functions: OwnFunctions = OwnFunctions(),
        teacher: Optional[Teacher] = None,
    ):
        check_room_for_tensorflow()
        if session_target(placement):
            check_server(session_target(placement))  # before the graph is built, which takes longer
        self.network, self.plan, self.layout = network, plan, live_state.layout(plan)
        self._optimizer = optimizers.OPTIMIZERS[optimizer]
        self._seed, self._fixed, self._model = seed, frozenset(fixed), teacher
        heads = tuple(heads) or (Head("", loss, 1.0, metric, class_weights),)
        self._heads = GraphHeads(network, dataset, heads, functions)
        self._optional: Tuple[str, ...] = ()  # arrays that checkpoints have only with the settings in effect
        self._run_now = RunSettings()
        self._variant = Variant()  # of the next training step
        self._dataset, self._batch_size, self._telemetry = dataset, batch_size, telemetry
        self._class_weights = [head.class_weights for head in heads]
        self._construct(placement)
        self._connect()

    # Methods for the trainer

    def step(self, indices: np.ndarray, step: int) -> Tuple[float, Optional[RawMeasures]]:
        """Run one training step on the examples ``indices`` (int32 ``[batch]``).

        ``step`` is the number of training steps before it. Returns the loss before the update, and the measures of the
        step (None without telemetry).

        Raises
        ------
        NonFiniteLoss
            If the loss is NaN or infinite; no variable was changed.
        """
        settings, variant = self._run_now, self._copies.at_step(self._variant, step)
        if variant.augments:
            fed = self._copies.of(variant).inputs.augmented(indices, step, settings, self._seed)
        else:
            fed = self._data.values(TRAIN, indices)
        try:
            done, loss, *measures = self._step_callable(variant)(
                indices, step, settings.learning_rate_at(step), settings.strength_at(step), *fed
            )
        except tf.errors.InvalidArgumentError as error:
            if FINITE in error.message:
                raise NonFiniteLoss(f"the loss of step {step + 1} is not finite") from error
            raise
        now = self._settings_now
        if not measures:
            return float(loss), None
        gradients = measures.pop() if LEARN in variant.parts else NO_LOSSES
        if UNSAMPLED in variant.parts:
            measures.insert(2, NO_SAMPLES)
        grid, channel_grid, samples, *losses = measures
        maps = StepMaps(now["map"], *done[:3]) if MAPS in variant.parts else None
        parts = (losses[0] if losses else NO_LOSSES, gradients, maps)
        return float(loss), RawMeasures(grid, channel_grid, samples, now["per_channel"], now["enabled"], *parts)

    def expect(self, indices_at: Callable[[int], np.ndarray], step: int) -> None:
        """Begin to read the examples of training step ``step`` and of the next ones, unless all data is in memory.

        ``indices_at`` returns the indices (int32 ``[batch]``) of a step.
        """
        if self._data.batches_ahead:
            self._data.expect([indices_at(step + ahead) for ahead in range(self._data.batches_ahead)])

    def calibrate(self, indices: np.ndarray) -> None:
        """Initialize the ranges of all activations from one batch, computed in float."""
        in_float = dict(self._settings_now, enabled=np.zeros(len(self.layout.leaders), bool))
        self._load_settings(self._session, in_float)
        calibrate = self._prepared("calibrate", self._copies.first.calibrate, self._copies.first.examples_feeds)
        calibrate(indices, 0, *self._data.values(TRAIN, indices))
        self._load_settings(self._session, self._settings_now)

    def collect(self, batches: Sequence[Tuple[int, np.ndarray]], which: np.ndarray, in_float: bool = False) -> None:
        """Count the activations of batches in running histograms, without training.

        Parameters
        ----------
        batches : sequence of (int, np.ndarray)
            Number of the training step, and indices of its examples (int32 ``[batch]``).
        which : np.ndarray
            bool ``[A]``: groups of activations that are counted.
        in_float : bool
            Nothing is quantized meanwhile.
        """
        copy = self._copies.of(self._variant)
        name = "collect with methods" if self._variant.has_methods else "collect"
        collect = self._prepared(name, copy.collect, copy.examples_feeds)
        now = self._settings_now
        self._load_settings(self._session, dict(now, collect=which, enabled=now["enabled"] & (not in_float)))
        for step, indices in batches:
            collect(indices, step, *self._data.values(TRAIN, indices))
        self._load_settings(self._session, self._settings_now)

    def read_histograms(self) -> Arrays:
        """Return a copy of the arrays of running histograms and of the ranges of activations."""
        return self._read_arrays((*live_state.HISTOGRAMS, *live_state.RANGES))

    def write_histograms(self, arrays: Arrays) -> None:
        """Set the running histograms, as :meth:`read_histograms` returns them."""
        self._load_histograms(self._session, arrays)

    def write_ranges(self, arrays: Arrays) -> None:
        """Set the ranges of activations, as :meth:`read_histograms` returns them."""
        self._load_ranges(self._session, arrays)

    def read_learned(self) -> Arrays:
        """Return a copy of the ``learned_*`` arrays of :mod:`qatviz.quant.live_state`."""
        return self._read_arrays(live_state.LEARNED_STATE)

    def write_learned(self, arrays: Arrays) -> None:
        """Set the arrays that :meth:`read_learned` returns."""
        self._load_learned(self._session, arrays)

    def read_oscillation(self) -> Arrays:
        """Return a copy of the arrays of :data:`qatviz.quant.oscillation.STATE`."""
        return self._read_arrays(oscillation.STATE)

    def write_oscillation(self, arrays: Arrays) -> None:
        """Set the arrays that :meth:`read_oscillation` returns."""
        self._load_oscillation(self._session, arrays)

    def read_weights(self) -> List[np.ndarray]:
        """Return the input of every weight quantizer, float32 with batch norm folded in, in the order of the layout."""
        return list(self._prepared("weights", self._copies.first.weight_sources)())

    def read_held_ranges(self) -> Arrays:
        """Return the ``held_*`` arrays of :mod:`qatviz.quant.live_state`."""
        return self._read_arrays(live_state.HELD)

    def write_held_ranges(self, held: Arrays) -> None:
        """Set the arrays that :meth:`read_held_ranges` returns."""
        self._load_held(self._session, held)

    def complete(self) -> None:
        """Build the last part of the graph now; it is finalized then."""
        self._copies.of(Variant(has_methods=True))

    def write_settings(self, settings: Sequence[QuantizerSettings], run: RunSettings, step: int) -> None:
        """Apply settings: those of each group of the plan, and of the run; ``step`` training steps are complete."""
        arrays, self._variant = self._settings.arrays(settings, run, step)
        self._settings_now: Arrays = arrays
        self._run_now = run
        self._optional = live_state.optional_arrays(self.layout, settings, run, step)
        self._load_settings(self._session, arrays)

    def initial_state(self, run: RunSettings, parameters: Optional[Arrays] = None) -> Arrays:
        """Return the state before the first step with ``parameters``, by default random ones from the seed."""
        if parameters is None:
            parameters = initial_parameters(self.network, self._seed)
        trainable = {name: value for name, value in parameters.items() if self._is_trained(name)}
        slots = optimizers.slot_arrays(self._optimizer, trainable, run.to_dict())
        return dict(parameters, **slots, **live_state.initial_ranges(self.layout))

    def read_state(self) -> Arrays:
        """Return a copy of the arrays of a checkpoint: parameters, optimizer slots, ranges, what else is in use."""
        state = self._read_arrays(self._load_state.names)
        if self._run_now.has_own_teacher:
            state.update(self._read_teacher())
        return {**state, **self._read_arrays(self._optional)} if self._optional else state

    def write_state(self, arrays: Arrays) -> None:
        """Set the arrays of a checkpoint; those of :data:`.live_state.OPTIONAL` are empty if ``arrays`` lacks them."""
        self._load_state(self._session, arrays)
        empty = live_state.empty_optional(self.layout)
        self._load_optional(self._session, {**empty, **arrays})
        if all(name in arrays for name in self._teachers.own):
            self._teachers.load(self._session, arrays)
        self._published.forget_codes()

    def check_state(self, name: str, arrays: Arrays) -> None:
        """Raise RecordError if ``arrays`` of the checkpoint ``name`` do not match this network and optimizer."""
        teacher = self._teachers.own
        optional = [names for names in (*live_state.OPTIONAL, teacher) if any(key in arrays for key in names)]
        known = {**self._live, **teacher}
        wanted = {key: known[key] for key in itertools.chain(self._load_state.names, *optional)}
        mismatch = first_mismatch(wanted, arrays)
        if mismatch:
            raise RecordError(f"checkpoint {name}: {mismatch} by this network and optimizer")

    def write_teacher(self, parameters: Arrays) -> None:
        """Set the teacher's parameters to those of ``parameters``, by ``layer.parameter``."""
        self._teachers.load(self._session, distillation.named_parameters(parameters))

    def _read_teacher(self) -> Arrays:
        read = self._prepared("teacher", self._teachers.values)
        return {name: np.array(value) for name, value in zip(self._teachers.own, read())}

    def publish(self) -> None:
        """Copy the current state and settings to the evaluation copy."""
        self._published.publish()

    def read_published(self) -> List[np.ndarray]:
        """Return the published state, whose arrays can share their memory with variables."""
        return self._published.read()

    def republish(self, *state: np.ndarray) -> None:
        """Set the evaluation copy to a state that :meth:`read_published` has returned."""
        self._published.republish(*state)

    @contextlib.contextmanager
    def published(self, restore_previous: bool) -> Iterator[None]:
        """Publish the current state within the context.

        If ``restore_previous``, the state that was published before is published again afterwards, so that an
        evaluation of it can continue.
        """
        before = self.read_published() if restore_previous else []
        self.publish()
        try:
            yield
        finally:
            if restore_previous:
                self.republish(*before)

    def score_part(self, indices: np.ndarray, weights: bool, activations: bool) -> List[np.ndarray]:
        """Return the :meth:`.GraphHeads.scores` of held-out examples in the published state.

        ``indices`` are int32; ``weights`` and ``activations`` are True if they are to be quantized; the results are
        float64. :func:`.scoring.scores_of` computes the metric from the results for all examples.
        """
        spread = self._evaluation.spread
        if spread is not None and len(indices) >= spread.number:
            run, fed = self._prepared("spread", spread.fetch, spread.feeds), spread.fed(indices, weights, activations)
        else:
            run = self._prepared("scores", self._evaluation.scores, self._evaluation.feeds)
            fed = (indices, weights, activations, *self._data.values(TEST, indices))
        return [np.array(part, np.float64) for part in run(*fed)]

    def enable_published(self, enabled: np.ndarray) -> None:
        """Switch the quantizers of the published state on or off, bool ``[G]``, until a state is published again."""
        self._prepared("enable", self._evaluation.enable, [self._live["enabled"].feed])(enabled)

    def measure_part(self, indices: np.ndarray, quantized: bool = True) -> List[Any]:
        """Return scores as :meth:`score_part`, mean loss and list of outputs of held-out examples."""
        copy = self._evaluation
        run = self._prepared("measure", [copy.scores, copy.loss, [*copy.outputs]], copy.feeds)
        return list(run(indices, quantized, quantized, *self._data.values(TEST, indices)))

    def held_out_loss(self, indices: np.ndarray) -> float:
        """Return the mean loss of held-out examples in the published state, quantized, without smoothing and weights.

        ``indices`` are int32 ``[n]``.
        """
        run = self._prepared("loss", self._evaluation.loss, self._evaluation.feeds)
        return float(run(indices, True, True, *self._data.values(TEST, indices)))

    def snapshot(self) -> List[probes.SnapshotTensors]:
        """Return measures and histograms of the published state, as NumPy arrays in the order of the plan."""
        copy = self._evaluation
        return copy.by_tensor(self._prepared("snapshot", copy.snapshot, copy.snapshot_feeds)(*copy.snapshot_inputs()))

    def snapshot_with_oscillation(self) -> Tuple[List[probes.SnapshotTensors], Optional[OscillationArrays]]:
        """Return :meth:`snapshot`, and the measures of oscillation of the present state, which must be published.

        They are None unless weights are tracked.
        """
        if TRACK not in self._variant.parts:
            return self.snapshot(), None
        self.complete()  # which builds them
        copy = self._evaluation
        run = self._prepared("snapshot with oscillation", [copy.oscillation, copy.snapshot], copy.snapshot_feeds)
        measures, flat = run(*copy.snapshot_inputs())
        return copy.by_tensor(flat), OscillationArrays(*measures)

    def tensor_values(self, name: str) -> np.ndarray:
        """Return the values of a tensor that a snapshot of the published state measures, before quantization.

        They are float32 ``[n, channels]``: all weights, or the activations of some held-out examples.
        """
        if name not in self._inspect:
            copy = self._evaluation
            self._inspect[name] = self._session.make_callable(copy.sources[name], copy.snapshot_feeds)
        tensor = self.plan.tensor(name)
        values = self._inspect[name](*self._evaluation.snapshot_inputs())[: probes.snapshot_items(tensor)]
        # Copied for the same reason as in _read_arrays.
        return np.array(values).reshape(-1, tensor.num_channels)

    def logits(self, images: np.ndarray, weights: bool = True, activations: bool = True) -> np.ndarray:
        """Return the first output of the published state, float32 ``[batch, ...]``, for scaled float32 ``images``."""
        return self.outputs(images, weights, activations)[0]

    def outputs(self, images: np.ndarray, weights: bool = True, activations: bool = True) -> List[np.ndarray]:
        """Return the outputs of the published state, float32 ``[batch, ...]``, for scaled float32 ``images``."""
        copy = self._evaluation
        feeds = {copy.images: images, copy.modes.weights: weights, copy.modes.activations: activations}
        return list(self._session.run(list(copy.outputs), feeds))

    @property
    def device(self) -> str:
        """Types of the session's devices, for display."""
        return device_types(self._session)

    def close(self) -> None:
        """Release the session; the graph can no longer be used."""
        self._copies.close()
        self._session.close()
        self._data.close()
        vars(self._graph).clear()  # TensorFlow's caches of functions keep the graph, so that its operations would stay

    def load_data(self, dataset: Dataset) -> None:
        """Set the data to that of another data set with arrays of the same types and shapes."""
        self._dataset = dataset
        self._data.load(self._session, dataset)

    # Construction

    def reconnect(self, placement: Placement) -> None:
        """Open a new session in place of one whose workers are lost; its variables have no values but the data.

        The graph is built again if ``placement`` has other workers.
        """
        self._session.close()
        if placement != self._placement:
            self._copies.close()
            self._data.close()
            self._construct(placement)
        self._connect()

    def _construct(self, placement: Placement) -> None:
        """Build the graph."""
        self._placement, self._graph = placement, tf.Graph()
        towers = towers_of(placement, self._batch_size, replica_kind(placement))
        device = towers[0].device if len(towers) > 1 or placement.workers else placement.device
        with self._graph.as_default(), tf.device(device), quick_building():
            tf.logging.set_verbosity(tf.logging.ERROR)  # hide TensorFlow's warnings about its own deprecations
            self._data = GraphData(self._dataset, self._batch_size, self._class_weights)
            self._build(towers if len(towers) > 1 else [], device)

    def _connect(self) -> None:
        """Open the session, and send the data to it."""
        self._callables: Dict[str, Callable[..., Any]] = {}
        self._steps: Dict[Variant, Callable[..., Any]] = {}
        self._inspect: Dict[str, Callable[..., np.ndarray]] = {}
        opened = ClusterSession if self._placement.workers else open_session
        self._session = opened(self._graph, self._placement)
        self._published: PublishedState = PublishedState(self._copies, self._session, self._values)
        self.load_data(self._dataset)
        self._teachers.load_model(self._session)

    def _build(self, towers: Sequence[Tower], device: str) -> None:
        shapes = self.network.all_parameter_shapes()
        state = self.initial_state(RunSettings(), {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
        trained = sorted(filter(self._is_trained, shapes))
        self._settings = GraphSettings(self.plan, trained)
        settings = self._settings.default()
        arrays = {**state, **settings, **live_state.empty_optional(self.layout)}
        self._live = live = {name: StateVariable(name, value.dtype, value.shape) for name, value in arrays.items()}
        self._load_state, self._load_settings = Loader(live, sorted(state)), Loader(live, sorted(settings))
        self._load_held, self._load_oscillation = Loader(live, live_state.HELD), Loader(live, oscillation.STATE)
        self._load_optional = Loader(live, itertools.chain(*live_state.OPTIONAL))
        self._load_learned = Loader(live, live_state.LEARNED_STATE)
        self._load_histograms, self._load_ranges = Loader(live, live_state.HISTOGRAMS), Loader(live, live_state.RANGES)
        self._teachers = distillation.Teachers(self.network, self.plan, self._model)
        self._values = {name: variable.read() for name, variable in live.items()}
        tower_data = self._data.copied_to(towers) if towers else []
        parts = GraphParts(self.network, self.plan, self._data, self._heads, live, self._values, towers, tower_data)
        training = TrainingParts(
            self._optimizer,
            trained,
            self._fixed,
            self._batch_size,
            self._seed,
            self._telemetry,
            self._teachers,
            self._placement.tower_moments,
        )
        self._copies = GraphCopies(parts, training, device)

    @property
    def _evaluation(self) -> EvaluationCopy:
        return self._published.copy

    def _prepared(self, name: str, fetches: Any, feeds: Sequence[tf.Tensor] = ()) -> Callable[..., Any]:
        """Return the session's callable for ``fetches``, made at the first request for ``name``, which takes time."""
        if name not in self._callables:
            self._callables[name] = self._session.make_callable(fetches, list(feeds))
        return self._callables[name]

    def _step_callable(self, variant: Variant) -> Callable[..., Any]:
        """Return the callable of a training step; of those with untrained parameters, only the newest are kept."""
        if variant not in self._steps:
            for known in [known for known in self._steps if known.untrained and variant.untrained]:
                if known.untrained != variant.untrained:
                    del self._steps[known]
            copy = self._copies.of(variant)
            self._steps[variant] = self._session.make_callable(copy.fetches(variant), copy.feeds(variant))
        return self._steps[variant]

    def _read_arrays(self, names: Tuple[str, ...]) -> Arrays:
        read = self._prepared(" ".join(names), [self._values[name] for name in names])
        # Copied: an array that TensorFlow fetches can share its memory with a variable on the CPU.
        return {name: np.array(value) for name, value in zip(names, read())}

    def _is_trained(self, name: str) -> bool:
        return is_trainable(name) and name not in self._fixed
