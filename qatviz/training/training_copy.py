"""The copy of a network that is trained: the operations of a training step, and which of them a step runs.

All operations are built before the graph is finalized. A step fetches only those of its :class:`Variant`, so that a
method which is off costs nothing, and takes effect at the next step when it is switched on.
"""

from typing import Any, Collection, Dict, FrozenSet, List, NamedTuple, Sequence, Union

import tensorflow.compat.v1 as tf

from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.live import LiveQuantizers
from qatviz.training import optimizers, probes
from qatviz.training.graph_data import TRAIN, GraphData
from qatviz.training.heads import GraphHeads
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.replication import TowerInputs, replicated_step, step_samples
from qatviz.training.step_inputs import StepInputs
from qatviz.training.step_measures import measure_interval
from qatviz.training.towers import Tower
from qatviz.training.variables import StateVariable

Variables = Dict[str, StateVariable]

#: Name of the operation that fails if the loss of a training step is not finite.
FINITE = "loss_is_finite"
#: Run settings in a variable; the learning rate, which may change at each step, is fed.
HYPER = (*(name for name in optimizers.HYPERPARAMETERS if name != "learning_rate"), "label_smoothing")
#: Parts of a training step that run only on request: running histograms of activations collect the batch.
COLLECT = "collect"


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
        towers: Sequence[Tower] = (),
        tower_data: Sequence[Variables] = (),
        tower_moments: bool = False,
    ):
        indices = tf.placeholder(tf.int32, [batch_size], "indices")
        step = tf.placeholder(tf.int32, [], "step")
        rate = tf.placeholder(tf.float32, [], "learning_rate")
        self.inputs: Union[StepInputs, TowerInputs]
        if towers:
            self.inputs = TowerInputs(data, indices, bool(network.id_counts), towers, tower_data)
        else:
            self.inputs = StepInputs(data, indices, bool(network.id_counts))
        self.examples_feeds = [indices, step, *data.feeds(TRAIN)]
        self._feeds = {
            False: [indices, step, rate, *data.feeds(TRAIN)],
            True: [indices, step, rate, *self.inputs.feeds],
        }
        dropout_seed = tf.stack([tf.constant(seed % 2**31, tf.int32), step])
        hyper = dict(zip(HYPER, tf.unstack(values["hyper"], num=len(HYPER))), learning_rate=rate)
        all_quantizers: List[LiveQuantizers] = []
        if isinstance(self.inputs, TowerInputs):
            lowered, loss, losses, finite, gradients, all_quantizers = replicated_step(
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
                hyper["label_smoothing"],
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
                fixed=fixed,
                dropout_seed=dropout_seed,
            )
            heads.observe(lowered.quantizers, plan, self.inputs.labels)
            loss, losses = self.inputs.loss(heads, lowered.outputs, hyper["label_smoothing"])
            finite = tf.check_numerics(loss, "loss", name=FINITE)
            gradients = dict(zip(trained, tf.gradients(finite, [values[name] for name in trained])))
        quantizers = lowered.quantizers
        updates = dict(lowered.updates, **quantizers.range_updates())
        histograms = quantizers.histogram_updates(step)
        with tf.control_dependencies([finite]):  # a step that fails changes nothing
            self._updates = optimizers.updates_by_kind(optimizer, live, values, gradients, hyper)
            self._assignments = [live[name].assign(value) for name, value in updates.items()]
            self.parts = {COLLECT: [live[name].assign(value) for name, value in histograms.items()]}
        measures = []
        if telemetry:
            tensors = [quantizers.quantized[tensor.name] for tensor in plan.tensors]
            is_measured = tf.equal(step % measure_interval(plan, network.macs, batch_size), 0)
            if all_quantizers:
                samples = step_samples(plan, all_quantizers, towers, is_measured)
            else:
                samples = probes.step_samples(tensors, is_measured)
            measures = [*quantizers.step_grids(), samples, *losses]
        self._results = [loss, *measures]
        low, high = quantizers.observed_ranges()
        self.calibrate = tf.group(live["range_min"].assign(low), live["range_max"].assign(high))
        self.weight_sources = quantizers.sources
        #: Sets running histograms without training.
        self.collect = tf.group(*[live[name].assign(value) for name, value in histograms.items()])

    def fetches(self, variant: Variant) -> List[Any]:
        """Return what a step of ``variant`` fetches: its operations, the loss before the update, and the measures."""
        updates = [op for name, op in self._updates[variant.update].items() if name not in variant.untrained]
        parts = [op for name, ops in self.parts.items() if name in variant.parts for op in ops]
        return [[*updates, *self._assignments, *parts], *self._results]

    def feeds(self, variant: Variant) -> List[tf.Tensor]:
        """Return the placeholders of a step: indices, number of steps before it, learning rate, and data."""
        return self._feeds[variant.augments]
