"""Copies of a network that are trained: the operations of a training step, and which of them a step runs.

A step fetches only the operations of its :class:`Variant`, so that what is off costs nothing, and takes effect at the
next step when it is switched on.

A run has two such copies, which train the same variables. The plain copy has what all runs need, and starts fast. The
one with methods also has those for low bits: maps of weights, other gradients and roundings, a strength ramp, learned
ranges, oscillation, rounded biases, a single convolution and distillation. Their switches in each quantizer would take
5 to 10 % of a small network's step even while they are off.
"""

from functools import partial
from typing import Any, Dict, FrozenSet, List, NamedTuple, Union

import tensorflow.compat.v1 as tf

from qatviz.quant.learned import gradient_sums, trained_tensors
from qatviz.training import distillation, optimizers, probes
from qatviz.training.graph_data import TRAIN
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.learned_ranges import learned_updates
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.oscillation import OscillationSteps
from qatviz.training.replication import BatchPass, TowerInputs, replicated_step, step_samples
from qatviz.training.step_inputs import StepInputs
from qatviz.training.step_measures import measure_interval

#: Name of the operation that fails if the loss of a training step is not finite.
FINITE = "loss_is_finite"
#: Run settings in a variable; the learning rate, which may change at each step, is fed.
HYPER = (
    *(name for name in optimizers.HYPERPARAMETERS if name != "learning_rate"),
    "label_smoothing",
    "scale_learning_rate",
    "clip_decay",
)
#: Parts of a training step that run only on request: running histograms of activations collect the batch; learned
#: ranges are updated; oscillation of weights is tracked; weights are dampened, and frozen ones kept, in their updates.
COLLECT, LEARN, TRACK, STEADY = "collect", "learn", "track", "steady"
#: Part of a training step while weights have a map: what it needs besides the weights, fetched with the measures.
MAPS = "maps"


class Variant(NamedTuple):
    """What a training step runs.

    Attributes
    ----------
    update : str
        Kind of its updates: :func:`qatviz.training.optimizers.kind_of_update`.
    has_methods : bool
        It is a step of the copy with methods.
    parts : frozenset of str
        Parts that run on request, keys of :attr:`TrainingCopy.parts`.
    augments : bool
        Examples and labels are fed, instead of gathered in the graph.
    untrained : frozenset of str
        Parameters that are not updated, and whose gradients are not computed.
    """

    update: str = optimizers.PLAIN
    has_methods: bool = False
    parts: FrozenSet[str] = frozenset()
    augments: bool = False
    untrained: FrozenSet[str] = frozenset()


class TrainingCopy:
    """Training copy of a network, in the default graph.

    Parameters
    ----------
    parts : GraphParts
    training : TrainingParts
    has_methods : bool
        Build the methods for low bits, too.

    Attributes
    ----------
    parts : dict of str to list of tf.Operation
        Operations that a step runs only on request, by the name of the part.
    inputs : StepInputs
    calibrate : tf.Operation
        Sets the ranges of activations to those of the batch.
    collect : tf.Operation
        Sets running histograms without training.
    weight_sources : list of tf.Tensor
        Input of every weight quantizer, in the order of the layout.
    examples_feeds : list of tf.Tensor
        Placeholders of the indices of examples, of the number of steps, and of the data.
    """

    def __init__(self, parts: GraphParts, training: TrainingParts, has_methods: bool):
        self._graph_parts, self._training, self._has_methods = parts, training, has_methods
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
            self.inputs = StepInputs(data, indices, has_ids)
        self.examples_feeds = [indices, step, *data.feeds(TRAIN)]
        self._feeds = {
            False: [indices, step, rate, strength, *data.feeds(TRAIN)],
            True: [indices, step, rate, strength, *self.inputs.feeds],
        }
        hyper = dict(zip(HYPER, tf.unstack(values["hyper"], num=len(HYPER))), learning_rate=rate)
        done = self._passes(step, strength, hyper["label_smoothing"])
        quantizers = done.lowered.quantizers
        ranges = quantizers.range_updates()
        updates = dict(done.lowered.updates, range_count=ranges.pop("range_count"))
        histograms = quantizers.histogram_updates(step)
        with tf.control_dependencies([done.finite]):  # a step that fails changes nothing
            self._updates = optimizers.updates_by_kind(training.optimizer, live, values, done.gradients, hyper)
            self._assignments = self._assigned(updates)
            self._ranges = self._assigned(ranges)
            self.parts = {COLLECT: self._assigned(histograms)}
        self._maps: List[tf.Tensor] = []
        self._scale_gradients: List[tf.Tensor] = []
        if has_methods:
            self._build_methods(done, step, hyper)
        self._results = [done.loss]
        if training.telemetry:
            self._results += [*quantizers.step_grids(), self._samples(done, step), *done.losses]
        low, high = quantizers.observed_ranges()
        self.calibrate = tf.group(live["range_min"].assign(low), live["range_max"].assign(high))
        self.weight_sources = quantizers.sources
        self.collect = tf.group(*self._assigned(histograms))

    def fetches(self, variant: Variant) -> List[Any]:
        """Return what a step of ``variant`` fetches: its operations, the loss before the update, and the measures.

        The operations are preceded by the arrays of :class:`.step_maps.StepMaps` if the part :data:`MAPS` runs. The
        last measures of a step that learns ranges are their gradients.
        """
        known = self._steadied if STEADY in variant.parts else self._updates
        updates = [op for name, op in known[variant.update].items() if name not in variant.untrained]
        parts = [op for name, ops in self.parts.items() if name in variant.parts for op in ops]
        maps = self._maps if MAPS in variant.parts else []
        ranges = [] if LEARN in variant.parts else self._ranges  # learned ones include those that are not learned
        gradients = self._scale_gradients if LEARN in variant.parts else []
        return [[*maps, *updates, *self._assignments, *ranges, *parts], *self._results, *gradients]

    def feeds(self, variant: Variant) -> List[tf.Tensor]:
        """Return the placeholders of a step: indices, steps before it, learning rate, strength, and data."""
        return self._feeds[variant.augments]

    def _passes(self, step: tf.Tensor, strength: tf.Tensor, label_smoothing: tf.Tensor) -> BatchPass:
        """Return the forward and backward pass of a batch; ``step`` is an int32 scalar."""
        dropout_seed = tf.stack([tf.constant(self._training.seed % 2**31, tf.int32), step])
        parts, training, methods, inputs = self._graph_parts, self._training, self._has_methods, self.inputs
        if isinstance(inputs, TowerInputs):
            assert methods, "towers have the copy with methods only"
            return replicated_step(parts, training, inputs, dropout_seed, step, strength, label_smoothing, FINITE)
        heads, values = parts.heads, parts.values
        lowered = lower(
            parts.network,
            parts.plan,
            inputs.examples,
            values,
            values,
            training=True,
            freeze_batch_norm=values["freeze_batch_norm"],
            single_convolution=values["single_convolution"] if methods else None,
            fixed=training.fixed,
            dropout_seed=dropout_seed,
            strength=strength,
            has_methods=methods,
        )
        heads.observe(lowered.quantizers, parts.plan, inputs.labels)
        loss, losses = inputs.loss(heads, lowered.outputs, label_smoothing)
        if methods:
            answers = partial(training.teachers.outputs, inputs.examples)
            loss = distillation.distilled(loss, heads, lowered.outputs, answers, values[distillation.SETTINGS])
        finite = tf.check_numerics(loss, "loss", name=FINITE)
        quantized = trained_tensors(lowered.quantizers) if methods else {}
        found = tf.gradients(finite, [*(values[name] for name in training.trained), *quantized.values()])
        number = len(training.trained)
        sums = None
        if methods:
            sums = gradient_sums(lowered.quantizers, dict(zip(quantized, found[number:])), values["learn"])
        return BatchPass(lowered, loss, losses, finite, dict(zip(training.trained, found)), sums, [])

    def _build_methods(self, done: BatchPass, step: tf.Tensor, hyper: Dict[str, tf.Tensor]) -> None:
        """Build the updates of learned ranges and of oscillation, and what maps need."""
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
            self.parts.update({LEARN: self._assigned(learned), TRACK: self._assigned(oscillation.updates)})
        if training.telemetry:
            self._maps, self._scale_gradients = list(quantizers.map_arrays()), [gradients]

    def _samples(self, done: BatchPass, step: tf.Tensor) -> tf.Tensor:
        """Return the samples of a :class:`.step_measures.RawMeasures`."""
        parts, quantizers = self._graph_parts, done.lowered.quantizers
        interval = measure_interval(parts.plan, parts.network.macs, self._training.batch_size)
        is_measured = tf.equal(step % interval, 0)
        if done.quantizers:
            return step_samples(parts.plan, done.quantizers, parts.towers, is_measured)
        return probes.step_samples([quantizers.quantized[tensor.name] for tensor in parts.plan.tensors], is_measured)

    def _assigned(self, updates: Dict[str, tf.Tensor]) -> List[tf.Operation]:
        return [self._graph_parts.live[name].assign(value) for name, value in updates.items()]
