"""Computation of sensitivities, in a graph of its own that is built at the first request.

A small error ``d`` of a tensor changes the outputs of an example by ``J d``. The divergence of their probabilities is
then ``d' J' F J d / 2`` nats, with ``F`` the Fisher information of the outputs, ``diag(p) - p p'`` for a softmax.
With random signs ``e``, the vector ``r = diag(sqrt(p)) e - p (sqrt(p)' e)`` has the covariance ``F``, so that the mean
of the squares of ``r' J d`` over the examples is an unbiased estimate. ``r' J`` is one backward pass, as that of a loss
whose gradient at the outputs is ``r``. ``d`` is, of activations, the error of this example's values; of weights, the
same error for all examples: ``r' J d`` is then the product of the gradient at the unit's sums and their change, which
needs no gradients of weights by example. Gradients are those of the network in float. The error of weights with a map
(:mod:`qatviz.quant.weight_maps`) is that of the map and of the rounding together, as training and exports have it.
"""

from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.analysis.sensitivity import WIDTHS, Sensitivity
from qatviz.analysis.sensitivity_grids import grids_by_width, maps_by_width
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid
from qatviz.quant.constants import shared_constant
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.gradients import Rounding
from qatviz.quant.grid import CARRIER_STEPS, Grid, channel_grid
from qatviz.settings import WEIGHTS
from qatviz.task import MULTILABEL, REGRESSION
from qatviz.training.lowering.in_float import InFloat, lower_in_float
from qatviz.training.pieces import PiecewiseJob, piece_size
from qatviz.training.side_graph import SideGraph
from qatviz.training.variables import Loader

#: Number of held-out examples, always the first ones.
EXAMPLES = 256
#: A piece of an evaluation has this many times the examples of a piece here, which computes the network forward,
#: backward and once more for each number of bits.
_PIECE_DIVISOR = 4
#: Seed of the random signs.
_SEED = 14


class Quantizations(NamedTuple):
    """Grids and maps of tensors by number of bits, then under present settings: ``B = len(WIDTHS) + 1`` rows.

    Attributes
    ----------
    grids : np.ndarray
        float32 ``[3, B, channels]``: minimum, maximum and scale.
    thresholds : np.ndarray
        float32 ``[B, channels]``: of binary and ternary weights; 0 for others.
    maps : np.ndarray
        int32 ``[B, tensors]``: index in :data:`qatviz.quant.weight_maps.MAPS`; 0, which is no map, for activations.
    factors : np.ndarray
        float64 ``[B, tensors]``: factor of the tanh map; 1 for others.
    """

    grids: np.ndarray
    thresholds: np.ndarray
    maps: np.ndarray
    factors: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Quantizations"]) -> "Quantizations":
        """Return those of all tensors, one after the other."""
        return cls(*(np.concatenate(arrays, axis=-1) for arrays in zip(*parts)))


class SensitivityGraph(SideGraph):
    """Graph that computes the sensitivities of states of one run; used by one thread at a time.

    Parameters
    ----------
    spec : RunSpec
    """

    def __init__(self, spec: RunSpec):
        self.plan = spec.plan
        self.num_examples = min(EXAMPLES, len(spec.dataset.x_test))
        self.piece = max(1, min(piece_size(spec.network) // _PIECE_DIVISOR, self.num_examples))
        #: Tensors with an error of their own: others, such as the output of a Concat, have that of their inputs.
        registered = {unit.name + ".activations" for unit in spec.plan.units if unit.op.kind in _REGISTERED}
        self.rounded = [tensor for tensor in spec.plan.tensors if tensor.name not in registered]
        super().__init__(spec)
        self._run = self._session.make_callable(self._totals, [self._examples, self._offset, *self._fed])
        self._read_weights = self._session.make_callable(self._weights)

    def load(self, parameters: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Set the parameters of the network; return the weights by name, float32, with batch norm folded in."""
        self._load(self._session, parameters)
        weights: Dict[str, np.ndarray] = self._read_weights()
        return weights

    def quantizations(
        self,
        tensor: QuantizedTensor,
        book: SettingsBook,
        arrays: Mapping[str, np.ndarray],
        weights: Optional[np.ndarray],
    ) -> Quantizations:
        """Return the grids and maps of a tensor; the parameters are those of :func:`.grids_by_width`."""
        found = grids_by_width(tensor, book, WIDTHS, self._positions, arrays, weights)
        grids = np.stack([_rows(grid, tensor.num_channels) for grid in found], axis=1)
        if tensor.kind != WEIGHTS or weights is None:
            none, ones = np.zeros((len(found), 1), np.int32), np.ones((len(found), 1))
            return Quantizations(grids, np.zeros(grids.shape[1:], np.float32), none, ones)
        indices, factors, thresholds = zip(*maps_by_width(tensor, book, WIDTHS, weights))
        return Quantizations(
            grids, np.stack(thresholds), np.array(indices, np.int32)[:, np.newaxis], np.array(factors)[:, np.newaxis]
        )

    def totals(self, start: int, found: Quantizations) -> np.ndarray:
        """Return the sums of squares over the examples from ``start`` on, float64 ``[rounded, len(WIDTHS) + 1]``.

        ``found`` are those of all tensors with an error of their own.
        """
        data, part = self._spec.dataset, slice(start, min(start + self.piece, self.num_examples))
        fed = (*found.grids, found.thresholds, found.maps, found.factors)
        return np.asarray(self._run(data.as_fed(data.x_test[part]), start, *fed), np.float64)

    def _build(self) -> None:
        spec, data = self._spec, self._spec.dataset
        variables = self._parameters()
        self._load = Loader(variables, sorted(variables))
        self._examples = tf.placeholder(tf.float32, [None, *data.x_test.shape[1:]], "examples")
        self._offset = tf.placeholder(tf.int32, [], "offset")
        size = sum(tensor.num_channels for tensor in self.rounded)
        rows = len(WIDTHS) + 1
        self._fed: List[tf.Tensor] = [
            *(tf.placeholder(tf.float32, [rows, size], name) for name in ("low", "high", "scale", "threshold")),
            tf.placeholder(tf.int32, [rows, len(self.rounded)], "map"),
            tf.placeholder(tf.float64, [rows, len(self.rounded)], "factor"),
        ]
        parameters = {name: variable.read() for name, variable in variables.items()}
        network = lower_in_float(spec.network, spec.plan, self._examples, parameters)
        self._weights: Dict[str, tf.Tensor] = network.weights
        signs = [
            _with_fisher_covariance(output, head.task, tf.stack([self._offset, _SEED + index]))
            * np.float32(np.sqrt(own.weight))
            for index, (output, head, own) in enumerate(zip(network.outputs, data.heads, spec.all_heads))
        ]
        points = [*network.activations.values(), *(product.result for product in network.products)]
        gradients = tf.gradients(
            list(network.outputs), points, signs, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        of_activations = dict(zip(network.activations, gradients))
        of_products = gradients[len(of_activations) :]
        totals = []
        for tensor, roundings in zip(self.rounded, self._roundings_by_tensor()):
            with tf.name_scope("errors"):
                if tensor.kind == WEIGHTS:
                    totals.append(_weight_squares(tensor, network, of_products, roundings))
                else:
                    x, gradient = network.activations[tensor.name], of_activations[tensor.name]
                    totals.append(_activation_squares(x, gradient, [grid for grid, *_ in roundings]))
        self._totals: tf.Tensor = tf.stack(totals)

    def _roundings_by_tensor(self) -> List[List["_FedRounding"]]:
        """Return the fed values of each tensor by number of bits."""
        sizes, number = [tensor.num_channels for tensor in self.rounded], len(WIDTHS) + 1
        *by_channel, maps, factors = self._fed
        fields = [tf.split(field, sizes, axis=1) for field in by_channel]
        fields += [tf.unstack(field, num=len(sizes), axis=1) for field in (maps, factors)]
        return [
            [
                _FedRounding(
                    Grid(low, high, scale, tf.zeros_like(scale), low + CARRIER_STEPS * scale), threshold, which, factor
                )
                for low, high, scale, threshold, which, factor in zip(*(tf.unstack(own, num=number) for own in parts))
            ]
            for parts in zip(*fields)
        ]


class SensitivityJob(PiecewiseJob[Sensitivity]):
    """Computation of the sensitivities of one state, in pieces.

    Parameters
    ----------
    graph : SensitivityGraph
    arrays : mapping of str to np.ndarray
        Arrays of a checkpoint of the state.
    book : SettingsBook
        Its settings.
    step : int
        Number of training steps complete.
    """

    def __init__(self, graph: SensitivityGraph, arrays: Mapping[str, np.ndarray], book: SettingsBook, step: int):
        self._graph, self._arrays, self.book, self._step = graph, arrays, book, step
        super().__init__(len(graph.rounded) + -(-graph.num_examples // graph.piece))

    def _compute(self) -> Iterator[None]:
        graph, book = self._graph, self.book
        weights = graph.load(self._arrays)
        found = []
        for tensor in graph.rounded:
            found.append(graph.quantizations(tensor, book, self._arrays, weights.get(tensor.name)))
            yield
        joined, total = Quantizations.joined(found), np.zeros((len(graph.rounded), len(WIDTHS) + 1))
        for start in range(0, graph.num_examples, graph.piece):
            total += graph.totals(start, joined)
            if start + graph.piece >= graph.num_examples:
                self._result = self._found(total / (2 * graph.num_examples))
            yield

    def _found(self, scores: np.ndarray) -> Sensitivity:
        names = [tensor.name for tensor in self._graph.rounded]
        every = np.zeros((len(self._graph.plan.tensors), len(WIDTHS) + 1))
        for index, tensor in enumerate(self._graph.plan.tensors):
            if tensor.name in names:
                every[index] = scores[names.index(tensor.name)]
            if not self.book.of(tensor.name).is_active(self._step):
                every[index, -1] = 0.0
        tensors = tuple(tensor.name for tensor in self._graph.plan.tensors)
        return Sensitivity(
            tensors, WIDTHS, every[:, :-1].copy(), every[:, -1].copy(), self._step, self._graph.num_examples
        )


#: Kinds of layers whose output is on the grid of their inputs, without rounding.
_REGISTERED = ("Concat", "Maximum", "Minimum")


class _FedRounding(NamedTuple):
    """Grid of a tensor with one number of bits (``[num_channels]``), and its map: thresholds, index and factor."""

    grid: Grid
    threshold: tf.Tensor
    map: tf.Tensor
    factor: tf.Tensor


def _rows(grid: AffineGrid, channels: int) -> np.ndarray:
    """Return minimum, maximum and scale of a grid, float32 ``[3, channels]``."""
    return np.stack(
        [np.broadcast_to(np.float32(field), (channels,)) for field in (grid.minimum, grid.maximum, grid.scale)]
    )


def _with_fisher_covariance(outputs: tf.Tensor, task: str, seed: tf.Tensor) -> tf.Tensor:
    """Return random vectors, in the shape of ``outputs``, whose covariance is the Fisher information of each example.

    That of the mean over the pixels of an image, and over the numbers of a regression, see
    :func:`qatviz.analysis.sensitivity.divergence`.
    """
    signs = tf.sign(tf.random.stateless_uniform(tf.shape(outputs), seed) - 0.5)
    shape = outputs.shape.as_list()
    if task == REGRESSION:
        return signs * np.float32(element_count(tuple(shape[1:])) ** -0.5)
    if task == MULTILABEL or shape[-1] == 1:
        probabilities = tf.sigmoid(outputs)
        vectors = signs * tf.sqrt(probabilities * (1.0 - probabilities))
    else:
        probabilities = tf.nn.softmax(outputs)
        roots = tf.sqrt(probabilities)
        vectors = roots * signs - probabilities * tf.reduce_sum(roots * signs, axis=-1, keepdims=True)
    return tf.stop_gradient(vectors) * np.float32(element_count(tuple(shape[1:-1])) ** -0.5)


def _activation_squares(x: tf.Tensor, gradient: tf.Tensor, grids: Sequence[Grid]) -> tf.Tensor:
    """Return the sum over examples of squared products of gradient and error for the rounding of ``x`` to each grid."""
    totals = []
    for grid in grids:
        scalar = Grid(*(tf.reshape(field, []) for field in grid))
        totals.append(_squares([gradient * (fake_quantize(x, scalar).values - x)]))
    return tf.stack(totals)


def _weight_squares(
    tensor: QuantizedTensor, network: InFloat, gradients: Sequence[tf.Tensor], roundings: Sequence[_FedRounding]
) -> tf.Tensor:
    """Return the sum over examples of squared products of gradient and error for each rounding of weights.

    Several units may use the weights; ``gradients`` are those of the network's products.
    """
    weights, shape = network.weights[tensor.name], tensor.shape[tensor.channel_axis :]
    totals = []
    for rounding in roundings:
        error = _quantized(weights, rounding, shape) - weights
        totals.append(
            _squares(
                [
                    gradient * product.change(error)
                    for product, gradient in zip(network.products, gradients)
                    if product.unit.weights == tensor.name
                ]
            )
        )
    return tf.stack(totals)


def _quantized(weights: tf.Tensor, rounding: _FedRounding, shape: Sequence[int]) -> tf.Tensor:
    """Return the values of weights after map and rounding, as evaluations of the training graph compute them.

    ``shape`` is that of the channels.
    """
    grid = Grid(*(tf.reshape(field, shape) for field in rounding.grid))
    operands, threshold = channel_grid(grid), tf.reshape(rounding.threshold, shape)
    off, nothing = shared_constant(False, bool), shared_constant(0.0)
    general = Rounding(
        is_general=rounding.map > 0,
        grid=operands,
        map=rounding.map,
        factor=rounding.factor,
        threshold=threshold,
        channel_threshold=threshold,
        stochastic=off,
        gradient_scaling=nothing,
        strength=shared_constant(1.0),
        seed=shared_constant([0, 0], np.int32),
    )
    by_channel = shared_constant(True, bool)
    return fake_quantize(weights, channel_grid=operands, per_channel=by_channel, rounding=general).values


def _squares(products: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum over examples of the squared sum of all products of an example, float32 scalar."""
    sums: List[tf.Tensor] = [tf.reduce_sum(product, axis=list(range(1, product.shape.ndims))) for product in products]
    return tf.reduce_sum(tf.square(sums[0] if len(sums) == 1 else tf.add_n(sums)))
