"""Forward and backward passes of a training step on several towers, with the same result as on one device.

The loss is the mean over the whole batch, so that gradients are means weighted by the number of examples of each tower.
All sums over towers are computed in the order of the towers.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops.control_flow_ops import merge, switch

from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.constants import share_by_device, shared_constant
from qatviz.quant.learned import GradientSums, gradient_sums, trained_tensors
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.live_state import TRAINING_ONLY
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.quant.running_histogram import STEP_VALUES
from qatviz.settings import WEIGHTS, RunSettings
from qatviz.training.distillation import SETTINGS
from qatviz.training.graph_data import GraphData
from qatviz.training.graph_parts import GraphParts, TrainingParts
from qatviz.training.heads import GraphHeads
from qatviz.training.lowering.forward_pass import Lowered, lower
from qatviz.training.step_inputs import StepInputs, augmented_batch
from qatviz.training.step_measures import sample_indices, sample_order
from qatviz.training.tower_distillation import TowerTeachers
from qatviz.training.towers import Exchange, Packed, SentLevels, Tower, joined, parts_of
from qatviz.training.variables import StateVariable

Tensors = Dict[str, tf.Tensor]


class TowerInputs:
    """Inputs of a training step on towers, with the interface of :class:`.StepInputs`.

    Parameters
    ----------
    data : GraphData
    indices : tf.Tensor
        int32 ``[batch]``: training examples of the step.
    has_ids : bool
    towers : sequence of Tower
    variables : list of dict of str to StateVariable
        Training data on the device of each tower.
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


class BatchPass(NamedTuple):
    """Forward and backward pass of a batch; with towers, on the device of the first one.

    Attributes
    ----------
    lowered : Lowered
        Forward pass; with towers, that of the first one, whose quantizers observe all towers and whose updates are
        those of the batch.
    loss : tf.Tensor
        Loss of the batch, float32 scalar.
    losses : list of tf.Tensor
        One tensor with the losses of several outputs; none for one output.
    gradients : dict of str to tf.Tensor
        Gradients of the loss that ``finite`` is, by parameter.
    sums : GradientSums or None
        Those of learned ranges; None without methods.
    quantizers : list of LiveQuantizers
        Those of each tower; none without towers.
    """

    lowered: Lowered
    loss: tf.Tensor
    losses: List[tf.Tensor]
    finite: tf.Tensor
    gradients: Tensors
    sums: Optional[GradientSums]
    quantizers: List[LiveQuantizers]


def replicated_step(
    parts: GraphParts,
    training: TrainingParts,
    inputs: TowerInputs,
    dropout_seed: tf.Tensor,
    step: tf.Tensor,
    strength: tf.Tensor,
    label_smoothing: tf.Tensor,
    finite_name: str,
) -> BatchPass:
    """Build the forward and backward passes of all towers; arguments are those of :class:`.TrainingCopy`."""
    network, plan, heads, values, towers = parts.network, parts.plan, parts.heads, parts.values, parts.towers
    share_by_device()
    unused = {*TRAINING_ONLY, FROZEN_LEVELS, "hyper", "trained"} - {"learn"}
    needed = {name: value for name, value in values.items() if "|" not in name and name not in unused}
    parameters = Packed({name: needed.pop(name) for name in training.trained})
    others = Packed(
        {
            **needed,
            "dropout seed": dropout_seed,
            "step": step,
            "strength": strength,
            "label smoothing": label_smoothing,
        }
    )
    levels = SentLevels(values)
    distilling = TowerTeachers(training.teachers, heads, values[SETTINGS])
    exchange = Exchange(towers)
    copies: List[List[tf.Tensor]] = []
    results: List[Lowered] = []
    losses: List[tf.Tensor] = []
    imitations: List[tf.Tensor] = []
    states: List[Tensors] = []
    for index, (tower, part) in enumerate(zip(towers, parts_of(towers, exchange, training.tower_moments))):
        with tf.device(tower.device), tf.name_scope(f"tower_{index}"):
            copies.append(parameters.received())
            received = others.unpacked(others.received())
            own = {**values, **parameters.unpacked(copies[-1]), **received, **levels.received()}
            states.append(own)
            lowered = lower(
                network,
                plan,
                inputs.parts[index].examples,
                own,
                own,
                training=True,
                freeze_batch_norm=own["freeze_batch_norm"],
                single_convolution=own["single_convolution"],
                fixed=training.fixed,
                dropout_seed=received["dropout seed"],
                strength=received["strength"],
                part=part,
            )
            heads.observe(lowered.quantizers, plan, inputs.parts[index].labels)
            losses.append(tf.stack(inputs.parts[index].losses(heads, lowered.outputs, received["label smoothing"])))
            imitations.append(distilling.imitation(inputs.parts[index].examples, lowered.outputs, own[SETTINGS]))
            results.append(lowered)
    exchange.connect()
    quantizers = [lowered.quantizers for lowered in results]
    with tf.device(towers[0].device):
        of_outputs = tf.unstack(_mean_losses(losses, heads, inputs, towers), num=len(network.outputs))
        loss = distilling.distilled(heads.total(of_outputs), imitations, towers)
        finite = tf.check_numerics(loss, "loss", name=finite_name)
    vectors = [vector for own in copies for vector in own]
    quantized = [trained_tensors(own) for own in quantizers]
    outputs = [tensor for own in quantized for tensor in own.values()]
    found = tf.gradients(finite, [*vectors, *outputs], colocate_gradients_with_ops=True)
    found, of_quantized = found[: len(vectors)], iter(found[len(vectors) :])
    sums = []
    for tower, state, own_quantizers, own in zip(towers, states, quantizers, quantized):
        with tf.device(tower.device), tf.name_scope("sums_of_ranges"):
            own_gradients = dict(zip(own, of_quantized))
            sums.append(tf.stack(gradient_sums(own_quantizers, own_gradients, state["learn"])))
    with tf.device(towers[0].device), tf.name_scope("sum_of_gradients"):
        number = len(parameters.vectors)
        gradients = parameters.unpacked([tf.add_n(found[index::number]) for index in range(number)])
        all_sums = GradientSums(*tf.unstack(tf.add_n(sums), num=len(GradientSums._fields)))
        updates = _mean_updates(results, towers) if training.tower_moments else results[0].updates
    for tower, own_quantizers in zip(towers[1:], quantizers[1:]):
        quantizers[0].observers.append(_observer(tower, own_quantizers))
    _collect_from(quantizers, towers, [state["step"] for state in states])
    return BatchPass(
        results[0]._replace(updates=updates),
        loss,
        [tf.stack(of_outputs)] if len(of_outputs) > 1 else [],
        finite,
        gradients,
        all_sums,
        quantizers,
    )


def step_samples(
    plan: QuantizationPlan, quantizers: Sequence[LiveQuantizers], towers: Sequence[Tower], is_measured: tf.Tensor
) -> tf.Tensor:
    """Return what :func:`.probes.step_samples` returns for the whole batch.

    Each tower sends one vector, with those values of the sample that are in its part of the batch.
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
                if is_weights[index]:  # those of the first tower
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


def _mean_losses(
    losses: Sequence[tf.Tensor], heads: GraphHeads, inputs: TowerInputs, towers: Sequence[Tower]
) -> tf.Tensor:
    """Return the losses of the outputs on the whole batch from those of the towers, float32 ``[outputs]``."""
    counts = []
    for tower, part in zip(towers, inputs.parts):
        with tf.device(tower.device):
            counts.append(heads.counts(part.labels))
    total = tf.add_n(counts)
    return tf.add_n([tf.div_no_nan(own * count, total) for own, count in zip(losses, counts)])


def _mean_updates(results: Sequence[Lowered], towers: Sequence[Tower]) -> Tensors:
    """Return the mean of the moving statistics of all towers, weighted by their numbers of examples."""
    weights = [np.float32((tower.stop - tower.start) / towers[-1].stop) for tower in towers]
    return {
        name: tf.add_n([own.updates[name] * weight for own, weight in zip(results, weights)])
        for name in results[0].updates
    }


def _observer(tower: Tower, quantizers: LiveQuantizers) -> Any:
    """Return the function that returns the ranges that a tower observes, on the current device."""

    def observed() -> Tuple[tf.Tensor, tf.Tensor]:
        with tf.device(tower.device):
            sent = tf.stack(quantizers.observed_ranges())
        low, high = tf.unstack(tf.identity(sent), num=2)
        return low, high

    return observed


def _collect_from(quantizers: Sequence[LiveQuantizers], towers: Sequence[Tower], steps: Sequence[tf.Tensor]) -> None:
    """Make the running histograms of the first tower count the values that those of the whole batch would count.

    They count evenly spaced values of a tensor: each tower sends those that are in its part of the batch.
    """
    batch = towers[-1].stop
    observed = [own.observed_values() for own in quantizers]
    for group, values in observed[0].items():
        for position in range(len(values)):
            samples = []
            for tower, step, own in zip(towers, steps, observed):
                with tf.device(tower.device):
                    samples.append(_counted(own[group][position], tower, step, batch))
            with tf.device(towers[0].device):
                values[position] = tf.concat(samples, 0)


def _counted(x: tf.Tensor, tower: Tower, step: tf.Tensor, batch: int) -> tf.Tensor:
    """Return the values of a tower's part that :func:`.running_histogram.extended` counts of the whole batch."""
    inner = element_count(tuple(x.shape.as_list()[1:]))
    stride = -(-inner * batch // STEP_VALUES) | 1
    flat = tf.reshape(tf.cast(x, tf.float32), shared_constant([-1], np.int32))
    return flat[(step % stride - tower.start * inner) % stride :: stride]
