"""Evaluation of held-out examples on all workers: each computes the outputs of some of them.

The first worker computes the scores from all outputs, as if it had computed the outputs alone. For a snapshot, each
worker computes the outputs of the same examples, and measures some of the tensors.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.quant.live import LiveQuantizers, Modes
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.training.graph_data import TEST, GraphData
from qatviz.training.heads import GraphHeads
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.towers import Packed, SentLevels, Tower
from qatviz.training.variables import StateVariable

Parts = Tuple[Network, QuantizationPlan, GraphData, GraphHeads]


class SpreadEvaluation:
    """Copies of the evaluated network on devices, one for each.

    Parameters
    ----------
    parts : (Network, QuantizationPlan, GraphData, GraphHeads)
        The data must be in memory.
    published : dict of str to tf.Tensor
        Values of the state that is evaluated.
    modes : Modes
    first : (tf.Tensor, sequence of tf.Tensor)
        Placeholder of the indices of the evaluation copy, which is on the first device, and its outputs.
    towers : sequence of Tower
        One tower of each device, in the order of the devices.
    tower_data : sequence of dict of str to StateVariable
        Variables with the data on the device of each of these towers.

    Attributes
    ----------
    fetch : list of tf.Tensor
        Scores of all examples, see :meth:`.GraphHeads.scores`.
    feeds : list of tf.Tensor
        Placeholders of the values that :meth:`fed` returns.
    indices : list of tf.Tensor
        Placeholders of the indices of the examples of each device but the first.
    passes : list of (str, LiveQuantizers)
        Device and quantizers of each copy but the first.
    number : int
        Number of devices.
    """

    def __init__(
        self,
        parts: Parts,
        published: Dict[str, tf.Tensor],
        modes: Modes,
        first: Tuple[tf.Tensor, Sequence[tf.Tensor]],
        towers: Sequence[Tower],
        tower_data: Sequence[Dict[str, StateVariable]],
    ):
        network, plan, data, heads = parts
        sent = {name: value for name, value in published.items() if name != FROZEN_LEVELS}
        packed = Packed({**sent, **{f"mode {name}": value for name, value in modes._asdict().items()}})
        levels = SentLevels(published)
        outputs = [first[1]]
        self.indices: List[tf.Tensor] = []
        self.passes: List[Tuple[str, LiveQuantizers]] = []
        for number, (tower, variables) in enumerate(zip(towers[1:], tower_data[1:]), 1):
            self.indices.append(tf.placeholder(tf.int32, [None], f"indices_{number}"))
            with tf.device(tower.data_device):
                images = data.part(variables, slice(None)).examples(TEST, self.indices[-1])
            with tf.device(tower.device), tf.name_scope(f"copy_{number}"):
                values = {**packed.unpacked(packed.received()), **levels.received()}
                own = Modes(*[values.pop(f"mode {name}") for name in Modes._fields])
                lowered = lower(network, plan, images, values, values, training=False, modes=own)
            outputs.append(lowered.outputs)
            self.passes.append((tower.device, lowered.quantizers))
        indices = [first[0], *self.indices]
        self.number = len(indices)
        together = [tf.concat(own, 0) for own in zip(*outputs)]
        self.fetch: List[tf.Tensor] = heads.scores(together, data.labels(TEST, tf.concat(indices, 0)))
        self.feeds = [*modes, *indices]

    def fed(self, indices: np.ndarray, weights: bool, activations: bool) -> Tuple[Any, ...]:
        """Return the values of :attr:`feeds` for examples ``indices``, at least one for each device."""
        return (weights, activations, *np.array_split(indices, self.number))


def spread_evaluation(
    parts: Parts,
    published: Dict[str, tf.Tensor],
    modes: Modes,
    first: Tuple[tf.Tensor, Sequence[tf.Tensor]],
    towers: Sequence[Tower],
    tower_data: Sequence[Dict[str, StateVariable]],
) -> Optional[SpreadEvaluation]:
    """Return the spread evaluation; None for one device, or for data that is not in memory.

    The arguments are those of :class:`SpreadEvaluation`, but ``towers`` and ``tower_data`` are those of all towers.
    """
    number = len({tower.device for tower in towers})
    if number < 2 or parts[2].is_streamed:
        return None
    return SpreadEvaluation(parts, published, modes, first, towers[:number], tower_data[:number])
