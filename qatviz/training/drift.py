"""Computation of the drift of states of a run, in a graph of its own that is built at the first request.

The graph has the network in float and, as exported, quantized; and each layer once more in float on the inputs of the
quantized network, and once more with its quantizers on the inputs of the network in float. Only sums are fetched.
"""

from typing import Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.analysis.drift import NUM_SUMS, Drift, DriftQuestion, FeatureMaps, layer_drift
from qatviz.analysis.sensitivity import divergence
from qatviz.network.graph import WITH_WEIGHTS
from qatviz.network.plan import INPUT_KIND
from qatviz.network.sequences import sequence_layers, shown_kind
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.quant.live import LiveQuantizers
from qatviz.training.lowering.evaluation import EvaluationLowering
from qatviz.training.lowering.forward_pass import float_weights, folded_batch_norms, lowered_layers
from qatviz.training.lowering.in_float import FloatTensors, InferenceLowering
from qatviz.training.lowering.layers import Parameters
from qatviz.training.pieces import PiecewiseJob, piece_size
from qatviz.training.side_graph import SideGraph
from qatviz.training.variables import Loader, scope_name

#: A piece of an evaluation has this many times the examples of a piece here, which computes each layer four times.
_PIECE_DIVISOR = 4


class DriftLayer(NamedTuple):
    """Layer with quantizers of its own, or input of the network: name, kind, and name of its output."""

    name: str
    kind: str
    output: str


class DriftGraph(SideGraph):
    """Graph that computes the drift of states of one run; used by one thread at a time.

    Parameters
    ----------
    spec : RunSpec

    Attributes
    ----------
    layers : tuple of DriftLayer
        In the order of computation.
    piece : int
        Number of examples that are computed at a time.
    num_examples : int
        Number of held-out examples.
    """

    def __init__(self, spec: RunSpec):
        self.layers = _layers(spec)
        self.num_examples = len(spec.dataset.x_test)
        self.piece = max(1, piece_size(spec.network) // _PIECE_DIVISOR)
        super().__init__(spec)
        self._run = self._session.make_callable([self._sums, *self._in_float, *self._quantized], [self._examples])

    def load(self, arrays: Mapping[str, np.ndarray], book: SettingsBook, step: int) -> None:
        """Set the state to that of a checkpoint's arrays, under the settings ``book`` after ``step`` steps."""
        untracked = live_state.untracked(self._positions)
        self._load(self._session, {**untracked, **arrays, **self._settings(book, step)})

    def sums(self, start: int, stop: int) -> Tuple[np.ndarray, List[np.ndarray], List[np.ndarray]]:
        """Return results for the held-out examples from ``start`` to ``stop``.

        They are the :func:`qatviz.analysis.drift.error_sums` of all layers, float64 ``[layers, NUM_SUMS]``, and the
        network's outputs in float and quantized, each a list of float32 arrays.
        """
        sums, *outputs = self._run(self._fed(start, stop))
        number = len(self._in_float)
        return np.asarray(sums, np.float64), outputs[:number], outputs[number:]

    def maps(self, layer: str, example: int) -> Tuple[np.ndarray, np.ndarray]:
        """Return the output of a layer for one held-out example, in float and quantized, float32."""
        found = self._session.run(self._outputs[layer], {self._examples: self._fed(example, example + 1)})
        in_float, quantized = (np.array(array[0]) for array in found)
        return in_float, quantized

    def difference(self, in_float: Sequence[np.ndarray], quantized: Sequence[np.ndarray]) -> float:
        """Return the divergence of the quantized outputs of the network, weighted as their losses."""
        heads = zip(self._spec.all_heads, self._spec.dataset.heads, in_float, quantized)
        return float(sum(own.weight * divergence(first, second, data.task) for own, data, first, second in heads))

    def _fed(self, start: int, stop: int) -> np.ndarray:
        data = self._spec.dataset
        return data.as_fed(data.x_test[start:stop])

    def _build(self) -> None:
        network, plan = self._spec.network, self._spec.plan
        values = self._read_variables()
        self._examples = tf.placeholder(tf.float32, [None, *self._spec.dataset.x_test.shape[1:]], "examples")
        batch_norms = folded_batch_norms(plan, values, {})
        quantizers = LiveQuantizers(plan, values, float_weights(network, plan, values, batch_norms))
        exact = EvaluationLowering(network, plan, values, quantizers, batch_norms)
        floating = InferenceLowering(network, plan, values, FloatTensors(plan), batch_norms, dropout_seed=None)
        own = InferenceLowering(network, plan, values, quantizers, batch_norms, dropout_seed=None)
        total = lowered_layers(self._examples, exact)
        in_float = lowered_layers(self._examples, floating)
        units, sums = {unit.name: unit for unit in plan.units}, []
        for layer in self.layers:
            with tf.name_scope(scope_name(layer.name)):
                reference, quantized = in_float[layer.output], total[layer.output]
                if layer.kind == INPUT_KIND:
                    sums.append(_sums(reference, [quantized, reference, quantized]))
                    continue
                unit = units[layer.name]
                added = own.unit(unit, [in_float[name] for name in unit.inputs])
                inherited = floating.unit(unit, [total[name] for name in unit.inputs])
                sums.append(_sums(reference, [added, inherited, quantized]))
        self._sums: tf.Tensor = tf.stack(sums)
        self._in_float, self._quantized = ([outputs[name] for name in network.outputs] for outputs in (in_float, total))
        self._outputs = {layer.name: [in_float[layer.output], total[layer.output]] for layer in self.layers}

    def _read_variables(self) -> Parameters:
        """Return the values of the parameters, ranges and settings, each in a variable that :meth:`load` sets."""
        variables = {**self._quantization(live_state.untracked(self._positions)), **self._parameters()}
        self._load = Loader(variables, sorted(variables))
        return {name: variable.read() for name, variable in variables.items()}


class DriftJob(PiecewiseJob[Union[Drift, FeatureMaps]]):
    """Computation of the drift of one state, in pieces; the last one completes the drift, another the feature maps.

    Parameters
    ----------
    graph : DriftGraph
    arrays : mapping of str to np.ndarray
        Arrays of a checkpoint of the state.
    book : SettingsBook
        Its settings.
    step : int
        Number of training steps complete.
    question : DriftQuestion
        Examples that the data does not have are left out; a layer without quantizers has no feature maps.
    """

    def __init__(
        self,
        graph: DriftGraph,
        arrays: Mapping[str, np.ndarray],
        book: SettingsBook,
        step: int,
        question: DriftQuestion = DriftQuestion(),
    ):
        self._graph, self._step, self.book, self.question = graph, step, book, question
        self._state: Optional[Mapping[str, np.ndarray]] = arrays
        self._example = None if question.example is None else min(max(question.example, 0), graph.num_examples - 1)
        first, count = (0, question.examples) if self._example is None else (self._example, 1)
        last = min(first + max(count, 1), graph.num_examples)
        self._parts = [(start, min(start + graph.piece, last)) for start in range(first, last, graph.piece)]
        self._has_maps = any(layer.name == question.layer for layer in graph.layers)
        super().__init__(1 + self._has_maps + len(self._parts))

    def _compute(self) -> Iterator[None]:
        graph, question = self._graph, self.question
        assert self._state is not None
        graph.load(self._state, self.book, self._step)
        self._state = None  # it can be large
        yield
        if self._has_maps:
            shown = min(max(question.shown_example, 0), graph.num_examples - 1)
            self._result = FeatureMaps(question.layer, shown, *graph.maps(question.layer, shown), self._step)
            yield
        sums, difference = np.zeros((len(graph.layers), NUM_SUMS)), 0.0
        for start, stop in self._parts:
            own, in_float, quantized = graph.sums(start, stop)
            sums += own
            difference += (stop - start) * graph.difference(in_float, quantized)
            if (start, stop) == self._parts[-1]:
                self._result = self._found(sums, difference)
            yield

    def _found(self, sums: np.ndarray, difference: float) -> Drift:
        number = self._parts[-1][1] - self._parts[0][0]
        layers = tuple(layer_drift(layer.name, layer.kind, row) for layer, row in zip(self._graph.layers, sums))
        return Drift(layers, difference / number, self._step, number, self._example)


def _layers(spec: RunSpec) -> Tuple[DriftLayer, ...]:
    """Return the inputs of the network, without those of ids, and the layers with quantizers of their own."""
    network, plan, sequences = spec.network, spec.plan, sequence_layers(spec.network)
    found = [DriftLayer(name, INPUT_KIND, name) for name in network.input_names if name not in network.id_counts]
    for unit in plan.units:
        if unit.name + ".activations" in plan or isinstance(unit.op, WITH_WEIGHTS):
            found.append(DriftLayer(unit.name, shown_kind(unit.op.kind, unit.name in sequences), unit.output))
    return tuple(found)


def _sums(in_float: tf.Tensor, outputs: List[tf.Tensor]) -> tf.Tensor:
    """Compute :func:`qatviz.analysis.drift.error_sums` in the graph, float32: ``outputs`` are own, inherited, total."""
    errors = [output - in_float for output in outputs]
    products = [in_float * in_float, *(product for e in errors for product in (e * e, in_float * e))]
    return tf.stack([tf.reduce_sum(product) for product in products])
