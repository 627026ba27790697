"""Copies of a network that are trained: the operations of a training step, and which of them a step runs.

A step fetches only the operations of its :class:`Variant`: a method that is off costs nothing, and one that is switched
on takes effect at the next step.

A run has two such copies, which train the same variables. The plain copy has what all runs need, and starts fast. The
one with methods also has mixup and those for low bits: maps of weights, other gradients and roundings, a strength ramp,
learned ranges, oscillation, rounded biases, a single convolution and distillation. Their switches in each quantizer
would take 5 to 10 % of a small network's step even while they are off.
"""

from typing import Any, Dict, FrozenSet, List, NamedTuple, Union

import tensorflow.compat.v1 as tf

from qatviz.training import optimizers, probes
from qatviz.training.batch_pass import BatchPass, StepValues, single_pass
from qatviz.training.graph_data import TRAIN
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.learned_ranges import learned_updates
from qatviz.training.oscillation import OscillationSteps
from qatviz.training.replication import TowerInputs, replicated_pass, tower_samples
from qatviz.training.step_inputs import StepInputs
from qatviz.training.step_measures import measure_interval

#: Run settings in a variable; the learning rate, which may change at each step, is fed.
HYPER = (
    *(name for name in optimizers.HYPERPARAMETERS if name != "learning_rate"),
    "label_smoothing",
    "scale_learning_rate",
    "clip_decay",
)
#: Optional parts of a training step: running histograms of activations count the batch; learned ranges are updated;
#: oscillation of weights is tracked; the updates of weights dampen them, and keep the frozen ones at their levels.
COLLECT, LEARN, TRACK, STEADY = "collect", "learn", "track", "steady"
#: Optional part while weights have a map: the arrays of :class:`.step_maps.StepMaps` are fetched.
MAPS = "maps"
#: Part of steps that do not fetch the samples from which errors are measured. The samples also have a switch in the
#: graph, but it takes 1 % of the step of a small network even while it is off.
UNSAMPLED = "unsampled"


class Variant(NamedTuple):
    """Choice of the operations that a training step runs.

    Attributes
    ----------
    update : str
        Kind of its updates: :func:`qatviz.training.optimizers.kind_of_update`.
    has_methods : bool
        The step is run by the copy with methods.
    parts : frozenset of str
        Parts that not all steps have: :data:`COLLECT`, :data:`LEARN`, :data:`TRACK`, :data:`STEADY`, :data:`MAPS`,
        :data:`UNSAMPLED`.
    augments : bool
        Augmented examples and labels are fed; otherwise the graph gathers those of the data set.
    untrained : frozenset of str
        Parameters ``layer.parameter`` that are not updated, and whose gradients are not computed.
    """

    update: str = optimizers.PLAIN
    has_methods: bool = False
    parts: FrozenSet[str] = frozenset()
    augments: bool = False
    untrained: FrozenSet[str] = frozenset()

    def without_samples(self) -> "Variant":
        """Return the same choice with the part :data:`UNSAMPLED`."""
        return self._replace(parts=self.parts | {UNSAMPLED})


class TrainingCopy:
    """Training copy of a network, in the default graph.

    Parameters
    ----------
    parts : GraphParts
    training : TrainingParts
    has_methods : bool
        Build the methods, too.

    Attributes
    ----------
    inputs : StepInputs or TowerInputs
        Examples and labels of a step; TowerInputs with towers.
    calibrate : tf.Operation
        Sets the ranges of activations to those of the batch.
    collect : tf.Operation
        Counts the batch in the running histograms.
    weight_sources : list of tf.Tensor
        Input of every weight quantizer, float32 with batch norm folded in, in the order of the layout.
    sample_interval : int
        Number of training steps after which samples are taken again.
    examples_feeds : list of tf.Tensor
        Placeholders for :attr:`calibrate` and :attr:`collect`: the indices of examples (int32 ``[batch]``), the number
        of training steps before (int32 scalar), and the data.
    """

    def __init__(self, parts: GraphParts, training: TrainingParts, has_methods: bool):
        self._graph_parts, self._training, self._has_methods = parts, training, has_methods
        self.sample_interval = measure_interval(parts.plan, parts.network.macs, training.batch_size)
        data, live, values = parts.data, parts.live, parts.values
        indices = tf.placeholder(tf.int32, [training.batch_size], "indices")
        step = tf.placeholder(tf.int32, [], "step")
        rate = tf.placeholder(tf.float32, [], "learning_rate")
        strength = tf.placeholder_with_default(tf.constant(1.0), [], "strength")
        has_ids = bool(parts.network.id_counts)
        self.inputs: Union[StepInputs, TowerInputs]
        if parts.towers:
            self.inputs = TowerInputs(data, indices, has_ids, parts.towers, parts.tower_data)
        else:
            self.inputs = StepInputs(data, indices, has_ids, can_mix=has_methods)
        self.examples_feeds = [indices, step, *data.feeds(TRAIN)]
        self._feeds = {
            False: [indices, step, rate, strength, *data.feeds(TRAIN)],
            True: [indices, step, rate, strength, *self.inputs.feeds],
        }
        hyper = dict(zip(HYPER, tf.unstack(values["hyper"], num=len(HYPER))), learning_rate=rate)
        dropout_seed = tf.stack([tf.constant(training.seed % 2**31, tf.int32), step])
        done = self._pass(StepValues(step, dropout_seed, strength, hyper["label_smoothing"]))
        quantizers = done.lowered.quantizers
        ranges = quantizers.range_updates()
        updates = dict(done.lowered.updates, range_count=ranges.pop("range_count"))
        histograms = quantizers.histogram_updates(step)
        with tf.control_dependencies([done.finite]):  # a step that fails changes nothing
            self._updates = optimizers.updates_by_kind(training.optimizer, live, values, done.gradients, hyper)
            self._assignments = self._assigned(updates)
            self._ranges = self._assigned(ranges)
            self._optional = {COLLECT: self._assigned(histograms)}
        self._steadied = self._updates  # without methods, no weights are dampened or frozen
        self._maps: List[tf.Tensor] = []
        self._scale_gradients: List[tf.Tensor] = []
        if has_methods:
            self._build_methods(done, step, hyper)
        self._results, self._unsampled = [done.loss], [done.loss]
        if training.telemetry:
            grids = quantizers.step_grids()
            self._results += [*grids, self._samples(done, step), *done.losses]
            self._unsampled += [*grids, *done.losses]
        low, high = quantizers.observed_ranges()
        self.calibrate = tf.group(live["range_min"].assign(low), live["range_max"].assign(high))
        self.weight_sources = quantizers.sources
        self.collect = tf.group(*self._assigned(histograms))

    def fetches(self, variant: Variant) -> List[Any]:
        """Return the fetches of a step of ``variant``: the list of its operations, then the loss, then measures.

        The loss is that before the update. If the part :data:`MAPS` runs, the list begins with the arrays of
        :class:`.step_maps.StepMaps`. With telemetry, the measures are grids, samples without the part
        :data:`UNSAMPLED`, losses of several outputs, and gradients of learned ranges with the part :data:`LEARN`;
        otherwise there are none.
        """
        by_kind = self._steadied if STEADY in variant.parts else self._updates
        updates = [op for name, op in by_kind[variant.update].items() if name not in variant.untrained]
        optional = [op for part, ops in self._optional.items() if part in variant.parts for op in ops]
        maps = self._maps if MAPS in variant.parts else []
        ranges = [] if LEARN in variant.parts else self._ranges  # that part updates all ranges
        gradients = self._scale_gradients if LEARN in variant.parts else []
        results = self._unsampled if UNSAMPLED in variant.parts else self._results
        return [[*maps, *updates, *self._assignments, *ranges, *optional], *results, *gradients]

    def feeds(self, variant: Variant) -> List[tf.Tensor]:
        """Return the placeholders of a step of ``variant``.

        They are the indices of examples (int32 ``[batch]``), the number of training steps before (int32), the learning
        rate and the strength of quantization (float32), and the data, or the feeds of :attr:`inputs` if the variant
        augments.
        """
        return self._feeds[variant.augments]

    def _pass(self, step: StepValues) -> BatchPass:
        """Build the forward and backward pass of a batch."""
        parts, training, inputs = self._graph_parts, self._training, self.inputs
        if isinstance(inputs, TowerInputs):
            assert self._has_methods, "towers have the copy with methods only"
            return replicated_pass(parts, training, inputs, step)
        return single_pass(parts, training, inputs, step, self._has_methods)

    def _build_methods(self, done: BatchPass, step: tf.Tensor, hyper: Dict[str, tf.Tensor]) -> None:
        """Build the updates of learned ranges, those of dampened and frozen weights, and the fetches of maps."""
        training, live, values = self._training, self._graph_parts.live, self._graph_parts.values
        quantizers = done.lowered.quantizers
        assert done.sums is not None
        oscillation = OscillationSteps(quantizers, values, done.lowered.factors, step)
        dampened = oscillation.dampened(done.gradients)
        learned, gradients = learned_updates(
            quantizers, values, done.sums, training.batch_size, training.optimizer, hyper
        )
        with tf.control_dependencies([done.finite]):
            steadied = optimizers.regularized_updates(training.optimizer, live, values, dampened, hyper)
            self._steadied = {kind: oscillation.freezing(live, own) for kind, own in steadied.items()}
            self._optional.update({LEARN: self._assigned(learned), TRACK: self._assigned(oscillation.updates)})
        if training.telemetry:
            self._maps, self._scale_gradients = list(quantizers.map_arrays()), [gradients]

    def _samples(self, done: BatchPass, step: tf.Tensor) -> tf.Tensor:
        """Return the samples of a :class:`.step_measures.RawMeasures`."""
        parts, quantizers = self._graph_parts, done.lowered.quantizers
        is_measured = tf.equal(step % self.sample_interval, 0)
        if done.quantizers:
            return tower_samples(parts.plan, done.quantizers, parts.towers, is_measured)
        return probes.step_samples([quantizers.quantized[tensor.name] for tensor in parts.plan.tensors], is_measured)

    def _assigned(self, updates: Dict[str, tf.Tensor]) -> List[tf.Operation]:
        """Return the operations that assign ``updates`` to the variables of these names."""
        return [self._graph_parts.live[name].assign(value) for name, value in updates.items()]
