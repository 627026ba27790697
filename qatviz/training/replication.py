"""Forward and backward passes of a training step on several towers, with the same result as on one device.

The loss is the mean over the whole batch, so that gradients are means weighted by the number of examples of each tower.
All sums over towers are computed in the order of the towers.
"""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.constants import share_by_device, shared_constant
from qatviz.quant.learned import GradientSums, gradient_sums, trained_tensors
from qatviz.quant.live import LiveQuantizers, Observer
from qatviz.quant.live_state import TRAINING_ONLY
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.quant.running_histogram import value_stride
from qatviz.settings import WEIGHTS, RunSettings
from qatviz.training.batch_pass import FINITE, BatchPass, StepValues, lowered_examples
from qatviz.training.distillation import SETTINGS
from qatviz.training.graph_data import GraphData
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.heads import GraphHeads
from qatviz.training.lowering.forward_pass import Lowered
from qatviz.training.step_inputs import StepInputs, augmented_batch
from qatviz.training.step_measures import sample_indices, sample_order
from qatviz.training.tower_distillation import TowerTeachers
from qatviz.training.towers import Exchange, Packed, SentLevels, Tower, joined, parts_of
from qatviz.training.variables import StateVariable

Tensors = Dict[str, tf.Tensor]
#: Prefix of the names of :class:`.StepValues` among the values that towers receive.
_STEP_PREFIX = "step/"


class TowerInputs:
    """Inputs of a training step on towers, with the interface of :class:`.StepInputs`.

    Parameters
    ----------
    data : GraphData
    indices : tf.Tensor
        int32 ``[batch]``: training examples of the step.
    has_ids : bool
        True if examples have ids, on which augmentation has no effect.
    towers : sequence of Tower
    variables : list of dict of str to StateVariable
        Training data on the device of each tower.

    Attributes
    ----------
    parts : list of StepInputs
        Inputs of each tower, on its device.
    feeds : list of tf.Tensor
        Placeholders of the values that :meth:`augmented` returns.
    """

    def __init__(
        self,
        data: GraphData,
        indices: tf.Tensor,
        has_ids: bool,
        towers: Sequence[Tower],
        variables: Sequence[Dict[str, StateVariable]],
    ):
        self._data, self._has_ids, self._towers = data, has_ids, towers
        self.parts: List[StepInputs] = []
        for tower, own in zip(towers, variables):
            rows = slice(tower.start, tower.stop)
            with tf.device(tower.data_device):
                self.parts.append(StepInputs(data.part(own, rows), indices[rows], has_ids))
        self.feeds: List[tf.Tensor] = [feed for part in self.parts for feed in part.feeds]

    def augmented(self, indices: np.ndarray, step: int, run: RunSettings, seed: int) -> Tuple[Any, ...]:
        """Return the values of :attr:`feeds` for a training step; `DataError` if the examples can't be read."""
        *arrays, weight = augmented_batch(self._data, self._has_ids, indices, step, run, seed)
        fed: List[Any] = []
        for tower in self._towers:
            fed += [array[tower.start : tower.stop] for array in arrays]
            fed.append(weight)
        return tuple(fed)


class _TowerPass(NamedTuple):
    """Forward pass of a tower, on its device.

    Attributes
    ----------
    tower : Tower
    parameters : list of tf.Tensor
        Vectors of the parameters that the tower has received; gradients are computed with respect to these.
    values : dict of str to tf.Tensor
        Values of :attr:`.GraphParts.live` that it has received.
    step : tf.Tensor
        Number of training steps before this one, as it has received it, int32 scalar.
    lowered : Lowered
    losses : tf.Tensor
        Loss of each output on its part of the batch, float32 ``[outputs]``.
    imitation : tf.Tensor
        Loss of the imitation of the teacher, float32 scalar; 0 without distillation.
    """

    tower: Tower
    parameters: List[tf.Tensor]
    values: Tensors
    step: tf.Tensor
    lowered: Lowered
    losses: tf.Tensor
    imitation: tf.Tensor


def replicated_pass(parts: GraphParts, training: TrainingParts, inputs: TowerInputs, step: StepValues) -> BatchPass:
    """Build the forward and backward passes of all towers, in a graph with the methods for low bits."""
    towers, heads = parts.towers, parts.heads
    share_by_device()
    parameters = Packed({name: parts.values[name] for name in training.trained})
    others = Packed(_sent_values(parts.values, training.trained, step))
    levels = SentLevels(parts.values)
    teachers = TowerTeachers(training.teachers, heads, parts.values[SETTINGS])
    passes = _forward_passes(parts, training, inputs, (parameters, others, levels), teachers)
    quantizers = [own.lowered.quantizers for own in passes]
    with tf.device(towers[0].device):
        losses = tf.unstack(_mean_losses(passes, heads, inputs), num=len(parts.network.outputs))
        loss = teachers.distilled(heads.total(losses), [own.imitation for own in passes], towers)
        finite = tf.check_numerics(loss, "loss", name=FINITE)
    gradients, sums = _backward_passes(passes, parameters, finite)
    updates = passes[0].lowered.updates
    if training.tower_moments:
        with tf.device(towers[0].device):
            updates = _mean_updates(passes)
    for own in passes[1:]:
        quantizers[0].add_observer(_observer(own))
    _collect_from(passes)
    lowered = passes[0].lowered._replace(updates=updates)
    return BatchPass(lowered, loss, finite, heads.reported(losses), gradients, sums, quantizers)


def _sent_values(values: Tensors, trained: Sequence[str], step: StepValues) -> Tensors:
    """Return the values that all towers receive at each training step, besides the ``trained`` parameters."""
    unused = {*TRAINING_ONLY, FROZEN_LEVELS, "hyper", "trained", *trained} - {"learn"}
    needed = {name: value for name, value in values.items() if "|" not in name and name not in unused}
    return {**needed, **{_STEP_PREFIX + name: value for name, value in step._asdict().items()}}


def _forward_passes(
    parts: GraphParts,
    training: TrainingParts,
    inputs: TowerInputs,
    sent: Tuple[Packed, Packed, SentLevels],
    teachers: TowerTeachers,
) -> List[_TowerPass]:
    """Build the forward pass of each tower.

    ``sent`` are the trained parameters, the values of :func:`_sent_values`, and the frozen levels of weights.
    """
    parameters, others, levels = sent
    exchange, passes = Exchange(parts.towers), []
    for index, (tower, part) in enumerate(zip(parts.towers, parts_of(parts.towers, exchange, training.tower_moments))):
        own = inputs.parts[index]
        with tf.device(tower.device), tf.name_scope(f"tower_{index}"):
            vectors = parameters.received()
            received = others.unpacked(others.received())
            step = StepValues(*(received.pop(_STEP_PREFIX + name) for name in StepValues._fields))
            values = {**parts.values, **parameters.unpacked(vectors), **received, **levels.received()}
            lowered = lowered_examples(parts, training, own, values, step, part)
            losses = tf.stack(own.losses(parts.heads, lowered.outputs, step.label_smoothing))
            imitation = teachers.imitation(own.examples, lowered.outputs, values[SETTINGS])
            passes.append(_TowerPass(tower, vectors, values, step.step, lowered, losses, imitation))
    exchange.connect()
    return passes


def _backward_passes(
    passes: Sequence[_TowerPass], parameters: Packed, finite: tf.Tensor
) -> Tuple[Tensors, GradientSums]:
    """Build the backward passes of all towers; return gradients by parameter, and the sums for learned ranges.

    ``parameters`` has the structure of the vectors that the towers have received; ``finite`` is the loss of the batch.
    """
    number = len(parameters.vectors)
    vectors = [vector for own in passes for vector in own.parameters]
    quantized = [trained_tensors(own.lowered.quantizers) for own in passes]
    outputs = [tensor for own in quantized for tensor in own.values()]
    found = tf.gradients(finite, [*vectors, *outputs], colocate_gradients_with_ops=True)
    found, of_quantized = found[: len(vectors)], iter(found[len(vectors) :])
    sums = []
    for own, names in zip(passes, quantized):
        with tf.device(own.tower.device), tf.name_scope("sums_of_ranges"):
            gradients = dict(zip(names, of_quantized))
            sums.append(tf.stack(gradient_sums(own.lowered.quantizers, gradients, own.values["learn"])))
    with tf.device(passes[0].tower.device), tf.name_scope("sum_of_gradients"):
        added = parameters.unpacked([tf.add_n(found[index::number]) for index in range(number)])
        return added, GradientSums(*tf.unstack(tf.add_n(sums), num=len(GradientSums._fields)))


def tower_samples(
    plan: QuantizationPlan, quantizers: Sequence[LiveQuantizers], towers: Sequence[Tower], is_measured: tf.Tensor
) -> tf.Tensor:
    """Return the samples of :func:`.probes.step_samples` for the whole batch, float32 ``[n]``.

    Each tower sends one vector with the sampled values of its part of the batch; the first also sends those of weights.

    Parameters
    ----------
    quantizers : sequence of LiveQuantizers
        Quantizers of each tower.
    is_measured : tf.Tensor
        bool scalar: if it is False, no sample is taken, and the result is empty.
    """
    batch = towers[-1].stop
    inner = [element_count(tensor.shape) for tensor in plan.tensors]
    is_weights = [tensor.kind == WEIGHTS for tensor in plan.tensors]
    sizes = [size if own else size * batch for size, own in zip(inner, is_weights)]
    order = sample_order(sizes)
    chosen = {index: sample_indices(sizes[index]) for index in order}
    starts = dict(zip(order, np.cumsum([0, *(len(chosen[index]) for index in order)])))
    sent, places = [], []
    for rank, (tower, own) in enumerate(zip(towers, quantizers)):
        values = []
        with tf.device(tower.device), tf.name_scope(f"samples_{rank}"):
            is_on = tf.identity(is_measured)
            for index in order:
                first, last = tower.start * inner[index], tower.stop * inner[index]
                if is_weights[index]:  # only the first tower sends them
                    first, last = 0, 0 if rank else sizes[index]
                within = np.flatnonzero((chosen[index] >= first) & (chosen[index] < last))
                if not len(within):
                    continue
                source = switch(own.quantized[plan.tensors[index].name].source, is_on)[1]
                flat = tf.reshape(source, [-1])
                if len(within) < last - first:
                    flat = tf.gather(flat, (chosen[index][within] - first).astype(np.int32))
                values.append(flat)
                places.append(starts[index] + within)
            sent.append(joined(values) if values else switch(tf.zeros([0]), is_on)[1])
    with tf.device(towers[0].device):
        position = np.argsort(np.concatenate(places), kind="stable").astype(np.int32)
        sample = tf.gather(tf.concat(sent, 0), position)
        return merge([sample, switch(tf.zeros([0]), is_measured)[0]])[0]


def _mean_losses(passes: Sequence[_TowerPass], heads: GraphHeads, inputs: TowerInputs) -> tf.Tensor:
    """Return the losses of the outputs on the whole batch from those of the towers, float32 ``[outputs]``."""
    counts = []
    for own, part in zip(passes, inputs.parts):
        with tf.device(own.tower.device):
            counts.append(heads.counts(part.labels))
    total = tf.add_n(counts)
    return tf.add_n([tf.div_no_nan(own.losses * count, total) for own, count in zip(passes, counts)])


def _mean_updates(passes: Sequence[_TowerPass]) -> Tensors:
    """Return the mean of the moving statistics of all towers, weighted by their numbers of examples."""
    batch = passes[-1].tower.stop
    weights = [np.float32((own.tower.stop - own.tower.start) / batch) for own in passes]
    return {
        name: tf.add_n([own.lowered.updates[name] * weight for own, weight in zip(passes, weights)])
        for name in passes[0].lowered.updates
    }


def _observer(own: _TowerPass) -> Observer:
    """Return the function that sends a tower's ranges to the current device."""

    def observed() -> Tuple[tf.Tensor, tf.Tensor]:
        with tf.device(own.tower.device):
            sent = tf.stack(own.lowered.quantizers.observed_ranges())
        low, high = tf.unstack(tf.identity(sent), num=2)
        return low, high

    return observed


def _collect_from(passes: Sequence[_TowerPass]) -> None:
    """Make the running histograms of the first tower count the values that they would count of the whole batch.

    They count evenly spaced values of a tensor: each tower sends those of its part of the batch, which replace the
    first tower's tensors in :meth:`.LiveQuantizers.observed_values`.
    """
    batch = passes[-1].tower.stop
    observed = [own.lowered.quantizers.observed_values() for own in passes]
    for group, values in observed[0].items():
        for position in range(len(values)):
            samples = []
            for own, own_observed in zip(passes, observed):
                with tf.device(own.tower.device):
                    samples.append(_counted(own_observed[group][position], own.tower, own.step, batch))
            with tf.device(passes[0].tower.device):
                values[position] = tf.concat(samples, 0)


def _counted(x: tf.Tensor, tower: Tower, step: tf.Tensor, batch: int) -> tf.Tensor:
    """Return the values of a tower's part that :func:`.running_histogram.extended` counts of the whole batch."""
    inner = element_count(tuple(x.shape.as_list()[1:]))
    stride = value_stride(inner * batch)
    flat = tf.reshape(tf.cast(x, tf.float32), shared_constant([-1], np.int32))
    return flat[(step % stride - tower.start * inner) % stride :: stride]
