"""The copy of a network that is trained: the operations of a training step, and which of them a step runs.

All operations are built before the graph is finalized. A step fetches only those of its :class:`Variant`, so that a
method which is off costs nothing, and takes effect at the next step when it is switched on.
"""

from functools import partial
from typing import Any, Collection, Dict, FrozenSet, List, NamedTuple, Sequence, Union

import tensorflow.compat.v1 as tf

from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.learned import gradient_sums, trained_tensors
from qatviz.training import distillation, optimizers, probes
from qatviz.training.graph_data import TRAIN, GraphData
from qatviz.training.heads import GraphHeads
from qatviz.training.learned_ranges import learned_updates
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.oscillation import OscillationSteps
from qatviz.training.replication import BatchPass, TowerInputs, replicated_step, step_samples
from qatviz.training.step_inputs import StepInputs
from qatviz.training.step_measures import measure_interval
from qatviz.training.towers import Tower
from qatviz.training.variables import StateVariable

Variables = Dict[str, StateVariable]

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
    parts : frozenset of str
        Parts that run on request, keys of :attr:`TrainingCopy.parts`.
    augments : bool
        Examples and labels are fed, instead of gathered in the graph.
    untrained : frozenset of str
        Parameters that are not updated, and whose gradients are not computed.
    """

    update: str = optimizers.PLAIN
    parts: FrozenSet[str] = frozenset()
    augments: bool = False
    untrained: FrozenSet[str] = frozenset()


class TrainingCopy:
    """Training copy of a network, in the default graph.

    Parameters
    ----------
    network : Network
    plan : QuantizationPlan
    data : GraphData
    heads : GraphHeads
    live : dict of str to StateVariable
        Variables of the run by name.
    values : dict of str to tf.Tensor
        Their values before the step.
    optimizer : optimizers.Optimizer
    trained : list of str
        Parameters with gradients.
    fixed : collection of str
        Parameters that are not trained.
    batch_size : int
    seed : int
        Seed of dropout.
    telemetry : bool
        If True, steps return error measures.
    teachers : Teachers
    towers : sequence of Tower
        Towers that share each batch; none: one device.
    tower_data : sequence of dict of str to StateVariable
        Training data on the device of each tower.
    tower_moments : bool
        That of :class:`qatviz.protocol.run_spec.Placement`.

    Attributes
    ----------
    parts : dict of str to list of tf.Operation
        Operations that a step runs only on request, by the name of the part.
    inputs : StepInputs
    calibrate : tf.Operation
        Sets the ranges of activations to those of the batch.
    weight_sources : list of tf.Tensor
        Input of every weight quantizer, in the order of the layout.
    examples_feeds : list of tf.Tensor
        Placeholders of the indices of examples, of the number of steps, and of the data.
    """

    def __init__(
        self,
        network: Network,
        plan: QuantizationPlan,
        data: GraphData,
        heads: GraphHeads,
        live: Variables,
        values: Dict[str, tf.Tensor],
        optimizer: optimizers.Optimizer,
        trained: List[str],
        fixed: Collection[str],
        batch_size: int,
        seed: int,
        telemetry: bool,
        teachers: distillation.Teachers,
        towers: Sequence[Tower] = (),
        tower_data: Sequence[Variables] = (),
        tower_moments: bool = False,
    ):
        indices = tf.placeholder(tf.int32, [batch_size], "indices")
        step = tf.placeholder(tf.int32, [], "step")
        rate = tf.placeholder(tf.float32, [], "learning_rate")
        strength = tf.placeholder_with_default(tf.constant(1.0), [], "strength")
        self.inputs: Union[StepInputs, TowerInputs]
        if towers:
            self.inputs = TowerInputs(data, indices, bool(network.id_counts), towers, tower_data)
        else:
            self.inputs = StepInputs(data, indices, bool(network.id_counts))
        self.examples_feeds = [indices, step, *data.feeds(TRAIN)]
        self._feeds = {
            False: [indices, step, rate, strength, *data.feeds(TRAIN)],
            True: [indices, step, rate, strength, *self.inputs.feeds],
        }
        dropout_seed = tf.stack([tf.constant(seed % 2**31, tf.int32), step])
        hyper = dict(zip(HYPER, tf.unstack(values["hyper"], num=len(HYPER))), learning_rate=rate)
        if isinstance(self.inputs, TowerInputs):
            done = replicated_step(
                network,
                plan,
                heads,
                self.inputs,
                towers,
                values,
                trained,
                fixed,
                dropout_seed,
                step,
                strength,
                hyper["label_smoothing"],
                teachers,
                FINITE,
                tower_moments,
            )
        else:
            lowered = lower(
                network,
                plan,
                self.inputs.examples,
                values,
                values,
                training=True,
                freeze_batch_norm=values["freeze_batch_norm"],
                single_convolution=values["single_convolution"],
                fixed=fixed,
                dropout_seed=dropout_seed,
                strength=strength,
            )
            heads.observe(lowered.quantizers, plan, self.inputs.labels)
            loss, losses = self.inputs.loss(heads, lowered.outputs, hyper["label_smoothing"])
            answers = partial(teachers.outputs, self.inputs.examples)
            loss = distillation.distilled(loss, heads, lowered.outputs, answers, values[distillation.SETTINGS])
            finite = tf.check_numerics(loss, "loss", name=FINITE)
            quantized = trained_tensors(lowered.quantizers)
            found = tf.gradients(finite, [*(values[name] for name in trained), *quantized.values()])
            gradients, of_quantized = dict(zip(trained, found)), dict(zip(quantized, found[len(trained) :]))
            sums = gradient_sums(lowered.quantizers, of_quantized, values["learn"])
            done = BatchPass(lowered, loss, losses, finite, gradients, sums, [])
        quantizers = done.lowered.quantizers
        oscillation = OscillationSteps(quantizers, values, done.lowered.factors, step)
        dampened = oscillation.dampened(done.gradients)
        ranges = quantizers.range_updates()
        updates = dict(done.lowered.updates, range_count=ranges.pop("range_count"))
        learned, self._scale_gradients = learned_updates(quantizers, values, done.sums, batch_size, optimizer, hyper)
        histograms = quantizers.histogram_updates(step)
        with tf.control_dependencies([done.finite]):  # a step that fails changes nothing
            self._updates = optimizers.updates_by_kind(optimizer, live, values, done.gradients, hyper)
            steadied = optimizers.regularized_updates(optimizer, live, values, dampened, hyper)
            self._steadied = {kind: oscillation.freezing(live, own) for kind, own in steadied.items()}
            self._assignments = [live[name].assign(value) for name, value in updates.items()]
            self._ranges = [live[name].assign(value) for name, value in ranges.items()]
            self.parts = {
                COLLECT: [live[name].assign(value) for name, value in histograms.items()],
                LEARN: [live[name].assign(value) for name, value in learned.items()],
                TRACK: [live[name].assign(value) for name, value in oscillation.updates.items()],
            }
        measures, self._maps = [], []
        if telemetry:
            self._maps = list(quantizers.map_arrays())
            tensors = [quantizers.quantized[tensor.name] for tensor in plan.tensors]
            is_measured = tf.equal(step % measure_interval(plan, network.macs, batch_size), 0)
            if done.quantizers:
                samples = step_samples(plan, done.quantizers, towers, is_measured)
            else:
                samples = probes.step_samples(tensors, is_measured)
            measures = [*quantizers.step_grids(), samples, *done.losses]
        self._results, self._has_measures = [done.loss, *measures], telemetry
        low, high = quantizers.observed_ranges()
        self.calibrate = tf.group(live["range_min"].assign(low), live["range_max"].assign(high))
        self.weight_sources = quantizers.sources
        #: Sets running histograms without training.
        self.collect = tf.group(*[live[name].assign(value) for name, value in histograms.items()])

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
        gradients = [self._scale_gradients] if LEARN in variant.parts and self._has_measures else []
        return [[*maps, *updates, *self._assignments, *ranges, *parts], *self._results, *gradients]

    def feeds(self, variant: Variant) -> List[tf.Tensor]:
        """Return the placeholders of a step: indices, steps before it, learning rate, strength, and data."""
        return self._feeds[variant.augments]
