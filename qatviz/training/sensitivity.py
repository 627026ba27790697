"""Computation of sensitivities, in a graph of its own that is built at the first request.

A small error ``d`` of a tensor changes the outputs of an example by ``J d``. The divergence of their probabilities is
then ``d' J' F J d / 2`` nats, with ``F`` the Fisher information of the outputs, ``diag(p) - p p'`` for a softmax.
With random signs ``e``, the vector ``r = diag(sqrt(p)) e - p (sqrt(p)' e)`` has the covariance ``F``, so that the mean
of the squares of ``r' J d`` over the examples is an unbiased estimate. ``r' J`` is one backward pass, as that of a loss
whose gradient at the outputs is ``r``. ``d`` is, of activations, the error of this example's values; of weights, the
same error for all examples: ``r' J d`` is then the product of the gradient at the unit's sums and their change, which
needs no gradients of weights by example. Gradients are those of the network in float.
"""

from typing import Dict, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.analysis.sensitivity import WIDTHS, Sensitivity
from qatviz.analysis.sensitivity_grids import grids_by_width
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid
from qatviz.quant.fake_quant import fake_quantize
from qatviz.quant.grid import CARRIER_STEPS, Grid
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
        self._run = self._session.make_callable(self._totals, [self._examples, self._offset, *self._grids])
        self._read_weights = self._session.make_callable(self._weights)

    def load(self, parameters: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """Set the parameters of the network; return the weights by name, float32, with batch norm folded in."""
        self._load(self._session, parameters)
        weights: Dict[str, np.ndarray] = self._read_weights()
        return weights

    def grids(
        self,
        tensor: QuantizedTensor,
        book: SettingsBook,
        arrays: Mapping[str, np.ndarray],
        weights: Optional[np.ndarray],
    ) -> np.ndarray:
        """Return the grids of a tensor by number of bits and under present settings.

        They are float32 ``[3, len(WIDTHS) + 1, num_channels]``: minimum, maximum and scale.
        """
        found = grids_by_width(tensor, book, WIDTHS, self._positions, arrays, weights)
        return np.stack([_rows(grid, tensor.num_channels) for grid in found], axis=1)

    def totals(self, start: int, grids: np.ndarray) -> np.ndarray:
        """Return the sums of squares over the examples from ``start`` on, float64 ``[rounded, len(WIDTHS) + 1]``.

        ``grids`` are those of all tensors with an error of their own, joined along the channels.
        """
        data, part = self._spec.dataset, slice(start, min(start + self.piece, self.num_examples))
        return np.asarray(self._run(data.as_fed(data.x_test[part]), start, *grids), np.float64)

    def _build(self) -> None:
        spec, data = self._spec, self._spec.dataset
        variables = self._parameters()
        self._load = Loader(variables, sorted(variables))
        self._examples = tf.placeholder(tf.float32, [None, *data.x_test.shape[1:]], "examples")
        self._offset = tf.placeholder(tf.int32, [], "offset")
        size = sum(tensor.num_channels for tensor in self.rounded)
        self._grids: List[tf.Tensor] = [
            tf.placeholder(tf.float32, [len(WIDTHS) + 1, size], name) for name in ("low", "high", "scale")
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
        grids = self._grids_by_tensor()
        rows = []
        for tensor in self.rounded:
            with tf.name_scope("errors"):
                if tensor.kind == WEIGHTS:
                    rows.append(_weight_squares(tensor, network, of_products, grids[tensor.name]))
                else:
                    x, gradient = network.activations[tensor.name], of_activations[tensor.name]
                    rows.append(_activation_squares(x, gradient, grids[tensor.name]))
        self._totals: tf.Tensor = tf.stack(rows)

    def _grids_by_tensor(self) -> Dict[str, List[Grid]]:
        """Return the grids of each tensor by number of bits, ``[num_channels]`` each."""
        sizes = [tensor.num_channels for tensor in self.rounded]
        parts = zip(self.rounded, *(tf.split(field, sizes, axis=1) for field in self._grids))
        return {
            tensor.name: [
                Grid(low, high, scale, tf.zeros_like(scale), low + CARRIER_STEPS * scale)
                for low, high, scale in zip(*(tf.unstack(field, num=len(WIDTHS) + 1) for field in fields))
            ]
            for tensor, *fields in parts
        }


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
        grids = []
        for tensor in graph.rounded:
            grids.append(graph.grids(tensor, book, self._arrays, weights.get(tensor.name)))
            yield
        joined, total = np.concatenate(grids, axis=2), np.zeros((len(graph.rounded), len(WIDTHS) + 1))
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
    tensor: QuantizedTensor, network: InFloat, gradients: Sequence[tf.Tensor], grids: Sequence[Grid]
) -> tf.Tensor:
    """Return the sum over examples of squared products of gradient and error for the rounding of weights to each grid.

    Several units may use the weights; ``gradients`` are those of the network's products.
    """
    weights, shape = network.weights[tensor.name], tensor.shape[tensor.channel_axis :]
    totals = []
    for grid in grids:
        by_channel = Grid(*(tf.reshape(field, shape) for field in grid))
        error = fake_quantize(weights, channel_grid=by_channel).values - weights
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


def _squares(products: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum over examples of the squared sum of all products of an example, float32 scalar."""
    sums: List[tf.Tensor] = [tf.reduce_sum(product, axis=list(range(1, product.shape.ndims))) for product in products]
    return tf.reduce_sum(tf.square(sums[0] if len(sums) == 1 else tf.add_n(sums)))
