"""Copy of a network that is evaluated: its own variables, scores of held-out examples, and snapshots.

It is in inference form, and its variables are set to the live values by :attr:`EvaluationCopy.publish`: an evaluation
can thus be spread over many training steps, yet apply to one state.
"""

from functools import partial
from typing import Any, Iterable, List, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.quant import live_state, oscillation
from qatviz.quant.live import LiveQuantizers, Modes
from qatviz.settings import WEIGHTS
from qatviz.training import probes
from qatviz.training.distillation import SETTINGS
from qatviz.training.graph_data import TEST
from qatviz.training.graph_parts import GraphParts
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.oscillation import OscillationProbe
from qatviz.training.spread_evaluation import spread_evaluation
from qatviz.training.towers import have_own_processors
from qatviz.training.variables import Loader, StateVariable

#: Number of held-out examples measured by snapshots: always the first ones, so that snapshots can be compared.
SNAPSHOT_EXAMPLES = 32
#: Variables that evaluations do not read, besides those of the optimizer, whose names contain "|".
_UNUSED = {"hyper", "trained", "round_biases", "single_convolution", SETTINGS, *live_state.TRAINING_ONLY}


def published_names(live: Iterable[str]) -> List[str]:
    """Return those of the names of a run's variables of which the evaluation copy has variables of its own."""
    return [name for name in live if name not in _UNUSED and "|" not in name]


class EvaluationCopy:
    """Evaluation copy of a network, in the default graph.

    Parameters
    ----------
    parts : GraphParts

    Attributes
    ----------
    publish, republish, enable : tf.Operation
        Set the copy to the live values, to the values of ``republish_feeds``, and only its array ``enabled`` to the
        value of the live variable's placeholder.
    published : list of tf.Tensor
        Values of the copy, in the order of ``republish_feeds``.
    feeds : list of tf.Tensor
        Placeholders of the indices of held-out examples, of :attr:`modes` and of the data.
    images : tf.Tensor
        The examples.
    modes : Modes
    outputs : tuple of tf.Tensor
        Outputs of the network, as in :class:`.Lowered`.
    scores : list of tf.Tensor
        See :meth:`.GraphHeads.scores`.
    loss : tf.Tensor
        Mean loss of the examples, without label smoothing and weights, float32 scalar.
    spread : SpreadEvaluation or None
        Evaluation on all towers.
    snapshot : list
        Fetches of a snapshot, for :meth:`by_tensor`; they also remember the codes of weights. Each device that has
        processors of its own measures some of the tensors.
    snapshot_feeds : list of tf.Tensor
        Placeholders of the values that :meth:`snapshot_inputs` returns.
    oscillation : list of tf.Tensor
        The arrays of :class:`.OscillationArrays`, after :meth:`build_oscillation`.
    sources : dict of str to tf.Tensor
        Tensors before quantization, by name; snapshots measure the first :func:`.snapshot_items` of each.
    forget : tf.Operation
        Makes the next snapshot compare its codes with no earlier ones.
    """

    def __init__(self, parts: GraphParts):
        network, plan, data, heads, live, values, towers, tower_data = parts
        self._plan, self._data = plan, data
        live = {name: live[name] for name in published_names(live)}
        copies = {name: StateVariable(name, v.dtype, v.shape, is_fed=False) for name, v in live.items()}
        self.publish = tf.group(*[copies[name].assign(values[name]) for name in live])
        self.enable = copies["enabled"].assign(live["enabled"].feed)
        self.republish = tf.group(*[copies[name].assign(live[name].feed) for name in live])
        self.republish_feeds = [variable.feed for variable in live.values()]
        indices = tf.placeholder(tf.int32, [None], "indices")
        self.modes = Modes(tf.placeholder(tf.bool, [], "weights"), tf.placeholder(tf.bool, [], "activations"))
        self.images = data.examples(TEST, indices)
        own = {name: variable.read() for name, variable in copies.items()}
        self.published = list(own.values())
        lowered = lower(network, plan, self.images, own, own, training=False, modes=self.modes)
        self.outputs = lowered.outputs
        self.feeds = [indices, self.modes.weights, self.modes.activations, *data.feeds(TEST)]
        labels = data.labels(TEST, indices)
        self.scores = heads.scores(lowered.outputs, labels)
        self.loss = heads.total(heads.losses(lowered.outputs, labels))
        self.sources = {name: quantized.source for name, quantized in lowered.quantizers.quantized.items()}
        self.spread = spread_evaluation(
            (network, plan, data, heads), own, self.modes, (indices, lowered.outputs), towers, tower_data
        )
        edges = self._build_snapshot(lowered.quantizers, have_own_processors(towers))
        levels, frequency = own[oscillation.FROZEN_LEVELS], values["oscillation_frequency"]
        self._oscillation = partial(OscillationProbe, lowered.quantizers, edges, levels, frequency)
        self.oscillation: List[tf.Tensor] = []

    def build_oscillation(self) -> None:
        """Build :attr:`oscillation`, which only runs with methods need."""
        self.oscillation = self._oscillation().fetches

    def by_tensor(self, flat: List[np.ndarray]) -> List[probes.SnapshotTensors]:
        """Return the results of :attr:`snapshot` in the order of the plan."""
        size = len(probes.SnapshotTensors._fields)
        return [probes.SnapshotTensors(*flat[i * size : (i + 1) * size]) for i in range(len(self._plan.tensors))]

    def snapshot_inputs(self) -> Tuple[Any, ...]:
        """Return the values of :attr:`snapshot_feeds`: the first held-out examples, quantized."""
        indices = np.arange(min(SNAPSHOT_EXAMPLES, self._data.num_held_out), dtype=np.int32)
        others = [indices] * (len(self.snapshot_feeds) - len(self.feeds))
        return (indices, True, True, *self._data.values(TEST, indices), *others)

    def clear_codes(self, session: tf.Session) -> None:
        """Initialize the variables in which snapshots remember codes: none are known."""
        zeros = {name: np.zeros(v.shape, v.dtype.as_numpy_dtype) for name, v in self._code_variables.items()}
        self._load_codes(session, zeros)

    def _build_snapshot(self, quantizers: LiveQuantizers, is_divided: bool) -> List[tf.Tensor]:
        """Build the snapshot; return the outer edges of the histogram of each weight tensor, float32 ``[2]`` each.

        ``quantizers`` are those of the copy on the first device; if ``is_divided``, the tensors are divided among all.
        """
        copies: List[Tuple[str, LiveQuantizers]] = [("", quantizers)]
        self.snapshot_feeds = list(self.feeds)
        if self.spread is not None and is_divided:
            copies += self.spread.passes
            self.snapshot_feeds += self.spread.indices
        places = probes.division(self._plan.tensors, SNAPSHOT_EXAMPLES, len(copies))
        passes = {tensor.name: copies[place] for tensor, place in zip(self._plan.tensors, places)}
        previous = {}
        for tensor in self._plan.tensors:
            if tensor.kind == WEIGHTS:
                shape = (tensor.parameters // tensor.num_channels, tensor.num_channels)
                with tf.device(passes[tensor.name][0]):
                    previous[tensor.name] = StateVariable("codes_" + tensor.name, np.int32, shape)
        known = StateVariable("codes_known", bool, ())
        probe = probes.SnapshotProbe(self._plan, passes, previous, known)
        self.snapshot = [field for fetch in probe.fetches for field in fetch] + [tf.group(*probe.remember)]
        self.forget = probe.forget
        self._code_variables = dict(previous, known=known)
        self._load_codes = Loader(self._code_variables, self._code_variables)
        edges = {tensor.name: fetch.edges for tensor, fetch in zip(self._plan.tensors, probe.fetches)}
        positions = quantizers.positions
        return [edges[positions.leaders[group].name] for group in positions.weights]
