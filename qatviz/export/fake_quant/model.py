"""A trained network with its quantization as float arithmetic, from which graphs and simulating files are written.

It describes the quantized evaluation graph (:mod:`qatviz.training.lowering`) without any framework: batch norm folded,
biases on the grid of input scale times weight scale, ties of means moved to the side that they are rounded to, and
after each operation the grid that its output is rounded to. Tensors that are left in float have no grid.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.integers.bounds import positions
from qatviz.export.integers.frozen_state import Arrays
from qatviz.export.integers.model import Positions
from qatviz.network.activations import Activation
from qatviz.network.elementwise import EXTREMES, Multiply, Sum
from qatviz.network.embedding import Embedding
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layer import element_count
from qatviz.network.layers import AveragePool, Concat, GlobalAveragePool, ReLU6, UpsampleBilinear
from qatviz.network.matmul import MatMul
from qatviz.network.plan import Unit
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid, dequantize, fake_quant, quantize, round_half_up
from qatviz.quant.exact_sums import FINE_UNIT, MEAN_WEIGHT, WIDE_FINE_UNIT, tie_center
from qatviz.quant.function_tables import function_table
from qatviz.quant.int16_kernels import NARROW_BITS, representable_scales, round_multipliers
from qatviz.quant.interpolation import finest_parts, interpolation_center
from qatviz.quant.matrix_products import can_round_twice
from qatviz.quant.tie_safe_scales import tie_safe_scales
from qatviz.quant.tie_safe_sums import tie_safe_sum_scales


class ExactSums(NamedTuple):
    """Constants that determine the exact result of an operation (see :mod:`qatviz.training.lowering.exact`).

    Attributes
    ----------
    units : np.ndarray
        float64: units of which the result is a whole number, ``[out]`` for an operation with weights, ``[1]`` for a
        mean; for a sum or a product, units of each input, ``[inputs]``.
    multipliers : np.ndarray
        float64, the same shape: quantization steps of the output per unit.
    output_scale : np.float32
    bits : int or None
        For a product that is rounded twice: number of bits behind the point after the first rounding.
    """

    units: np.ndarray
    multipliers: np.ndarray
    output_scale: np.float32
    bits: Optional[int] = None


class ExactTable(NamedTuple):
    """Table of a function (:mod:`qatviz.quant.function_tables`): ``codes`` int64 of the output, and both grids."""

    codes: np.ndarray
    source: AffineGrid
    output: AffineGrid


class TieBreaker(NamedTuple):
    """Offset of a mean that moves ties, which are half a quantization step from a code, to the correct side.

    Attributes
    ----------
    offset : float
        A third of the unit of the mean's accumulator, which is added: ties are rounded up.
    center : float or None
        For an AveragePool or UpsampleBilinear: ties are rounded away from this value, so that ``offset`` is subtracted
        from means below it.
    steps : int
        ``center`` in quantization steps.
    slope : float
        Factor of the distance from ``center`` that is at least ``offset`` at the closest tie.
    """

    offset: float
    center: Optional[float] = None
    steps: int = 0
    slope: float = 0.0


class FakeQuantWeights(NamedTuple):
    """Weights and bias of an operation, batch norm folded in.

    Attributes
    ----------
    values : np.ndarray
        float32, in the layer's shape, not rounded.
    grid : AffineGrid or None
        Their grid, with scale ``[]`` or ``[out]``; None if they are left in float.
    bias : np.ndarray
        float32 ``[out]``, on its grid; ``[0]`` for an Embedding.
    """

    values: np.ndarray
    grid: Optional[AffineGrid]
    bias: np.ndarray

    @property
    def rounded(self) -> np.ndarray:
        """Values that the evaluation graph rounds the weights to, float32, in the layer's shape."""
        return self._on_grid(fake_quant)

    @property
    def on_grid(self) -> np.ndarray:
        """Values of the weights' codes, float32, in the layer's shape: far from ties, however a kernel divides.

        TensorFlow 2 multiplies weights by the reciprocal of a channel's scale, which moves those next to a tie.
        """
        return self._on_grid(lambda values, grid: dequantize(quantize(values, grid), grid))

    def _on_grid(self, rounding: Callable[[np.ndarray, AffineGrid], np.ndarray]) -> np.ndarray:
        if self.grid is None:
            return self.values
        if not self.grid.scale.ndim:
            return rounding(self.values, self.grid)
        return rounding(self.values.reshape(-1, len(self.bias)), self.grid).reshape(self.values.shape)


@dataclass(frozen=True, eq=False)
class FakeQuantUnit:
    """One operation.

    Attributes
    ----------
    unit : Unit
        Layer, fused activation, names of inputs and output. Its batch norm is folded.
    weights : FakeQuantWeights or None
    grid : AffineGrid or None
        Grid of the output; None if it is in float, or on its input's grid already.
    tie : TieBreaker or None
        For a mean of codes.
    factor : float
        Number by which a mean is multiplied: 1, unless its multiplier is one of TFLite's int16 kernels.
    limit : float or None
        Upper bound of a ReLU6 that is not fused: the value closest to 6 on its input's grid.
    exact : ExactSums or None
        None if any operand is in float.
    table : ExactTable or None
        For an Activation; None if its input or its output is in float.
    positions : Positions or None
        For an UpsampleBilinear, those of the exact codes.
    """

    unit: Unit
    weights: Optional[FakeQuantWeights] = None
    grid: Optional[AffineGrid] = None
    tie: Optional[TieBreaker] = None
    factor: float = 1.0
    limit: Optional[float] = None
    exact: Optional[ExactSums] = None
    table: Optional[ExactTable] = None
    positions: Optional[Positions] = None

    def require_weights(self) -> FakeQuantWeights:
        """Return the weights of an operation that has some."""
        assert self.weights is not None, f"{self.unit.name} has no weights"
        return self.weights


@dataclass(frozen=True, eq=False)
class FakeQuantModel:
    """A network and the constants of its float arithmetic.

    Attributes
    ----------
    network : Network
    input_grids : dict of str to AffineGrid or None
        Grids that the inputs are rounded to first, by name; None for ids.
    units : tuple of FakeQuantUnit
        In order of computation.
    everything_quantized : bool
        True if no tensor is left in float.
    metadata : dict
        JSON-able.
    """

    network: Network
    input_grids: Dict[str, Optional[AffineGrid]]
    units: Tuple[FakeQuantUnit, ...]
    everything_quantized: bool
    metadata: Dict[str, Any] = field(default_factory=dict)

    @property
    def float_bytes(self) -> int:
        """Size of weights and biases in float32."""
        weighted = {part.unit.weights: part.weights for part in self.units if part.weights is not None}.values()
        return 4 * sum(int(weights.values.size + weights.bias.size) for weights in weighted)

    @property
    def has_wide_tensors(self) -> bool:
        """True if any activations or weights are rounded to more than 8 bits."""
        grids = [*self.input_grids.values(), *(part.grid for part in self.units)]
        grids += [part.weights.grid for part in self.units if part.weights is not None]
        return any(grid is not None and grid.num_bits > NARROW_BITS for grid in grids)


def fake_quant_model(
    network: Network,
    book: SettingsBook,
    arrays: Arrays,
    step: Optional[int] = None,
    quantized: bool = True,
    metadata: Optional[Dict[str, Any]] = None,
) -> FakeQuantModel:
    """Return the model of a network in a state of its run.

    Parameters
    ----------
    network, book, arrays, step
        See :func:`qatviz.export.integers.lowering.integer_model`.
    quantized : bool
        False for the network in float, regardless of the settings.
    metadata : dict, optional
        JSON-able; kept with the model.

    Raises
    ------
    ExportError
        If an array is missing or not finite, or no ranges were observed yet.
    """
    grids = _Grids(PartlyQuantizedState(network, book, arrays, step, quantized))
    return FakeQuantModel(
        network,
        {name: None if name in network.id_counts else grids.of(name + ".activations") for name in network.input_names},
        tuple(_unit(grids, unit) for unit in grids.state.plan.units),
        grids.state.everything_quantized,
        dict(metadata or {}),
    )


class _Grids:
    """Grids of activations: the run's own, and those with tie-safe scales of sums."""

    def __init__(self, state: PartlyQuantizedState):
        self.state = state
        self._tie_safe_scales = tie_safe_sum_scales(state.plan, state.grid_in_use)

    def of(self, quantizer: str) -> Optional[AffineGrid]:
        """Return the grid that values are rounded to, with its tie-safe scale."""
        grid = self.state.grid_in_use(quantizer)
        return grid if grid is None else replace(grid, scale=self._tie_safe_scales.get(quantizer, grid.scale))

    def of_input(self, unit: Unit, place: int = 0) -> Optional[AffineGrid]:
        return self.of(self.state.plan.grid_of(unit.inputs[place]))

    def plain_of_input(self, unit: Unit) -> Optional[AffineGrid]:
        """Return the run's own grid, which determines the codes of biases."""
        return self.state.grid_in_use(self.state.plan.grid_of(unit.inputs[0]))


def _unit(grids: _Grids, unit: Unit) -> FakeQuantUnit:
    name, state = unit.name + ".activations", grids.state
    # The output of a layer that copies values is on the grid that its inputs have.
    grid = grids.of(name) if name in state.plan and not isinstance(unit.op, (Concat, *EXTREMES)) else None
    if isinstance(unit.op, WEIGHTED):
        folded, weights = state.folded(unit), unit.weights
        plain = state.weight_grid(unit) if state.is_quantized(weights) else None
        values, weight_grid = folded.weights.astype(np.float32), plain
        if state.has_wide_activations:
            values, weight_grid = _with_representable_scales(values, plain, grids.of_input(unit), grid)
        bias = _on_grid(folded.bias, grids.plain_of_input(unit), grids.of_input(unit), plain, weight_grid)
        exact = _exact_products(grids.of_input(unit), weight_grid, grid, len(bias), state.has_wide_activations)
        return FakeQuantUnit(unit, FakeQuantWeights(values, weight_grid, bias), grid, exact=exact)
    if isinstance(unit.op, Embedding):
        table = state.folded(unit).weights.astype(np.float32)
        table_grid = state.grid_in_use(unit.weights)
        return FakeQuantUnit(unit, FakeQuantWeights(table, table_grid, np.zeros(0, np.float32)))
    if isinstance(unit.op, Activation):
        source = grids.of_input(unit)
        own = unit if source is None else replace(unit, op=unit.op.on_grid(float(source.scale)))
        return FakeQuantUnit(own, grid=grid, table=_exact_table(grids, unit, unit.op, grid))
    if isinstance(unit.op, AveragePool):
        return FakeQuantUnit(unit, grid=grid, tie=_tie(grids, unit))
    if isinstance(unit.op, UpsampleBilinear):
        places = positions(unit.op, state.network.shapes[unit.inputs[0]], state.has_wide_activations)
        return FakeQuantUnit(unit, grid=grid, tie=_tie(grids, unit), positions=places)
    if isinstance(unit.op, GlobalAveragePool):
        count = MEAN_WEIGHT * element_count(state.network.shapes[unit.inputs[0]][:2])
        exact, factor = _exact([grids.of_input(unit)], grid, 1 / count), 1.0
        if exact is not None and state.has_wide_activations:
            multipliers = round_multipliers(exact.multipliers)
            factor = float(multipliers[0] / exact.multipliers[0])
            exact = exact._replace(multipliers=multipliers)
        return FakeQuantUnit(unit, grid=grid, tie=_tie(grids, unit), factor=factor, exact=exact)
    if isinstance(unit.op, (Multiply, MatMul)):
        factors = [grids.of_input(unit, place) for place in range(2)]
        exact = _exact_product(factors, grid)
        if exact is not None and isinstance(unit.op, MatMul):
            terms, wide = state.network.shapes[unit.inputs[0]][-1], state.has_wide_activations
            twice = factors[1] is not None and int(factors[1].zero_point) != 0 and can_round_twice(terms, wide)
            exact = _exact_matrices(exact, unit.op, twice, wide)
        return FakeQuantUnit(unit, grid=grid, exact=exact)
    if isinstance(unit.op, Sum):
        sources = [grids.of_input(unit, place) for place in range(len(unit.inputs))]
        return FakeQuantUnit(unit, grid=grid, exact=_exact_sum(unit.op, sources, grid))
    if isinstance(unit.op, ReLU6):
        plain, moved = grids.plain_of_input(unit), grids.of_input(unit)
        if plain is None or moved is None:
            return FakeQuantUnit(unit, limit=6.0)
        return FakeQuantUnit(
            unit, limit=float(np.float32(quantize(np.float32(6), plain) - plain.zero_point) * moved.scale)
        )
    return FakeQuantUnit(unit, grid=grid)


def _with_representable_scales(
    values: np.ndarray, weights: Optional[AffineGrid], source: Optional[AffineGrid], output: Optional[AffineGrid]
) -> Tuple[np.ndarray, Optional[AffineGrid]]:
    """Return the values of the codes of weights, and their grid, with the scales of TFLite's int16 kernels."""
    if weights is None or source is None or output is None:
        return values, weights
    moved = replace(weights, scale=representable_scales(float(source.scale), weights.scale, float(output.scale)))
    columns = values.reshape(-1, weights.scale.size if weights.scale.ndim else values.shape[-1])
    return dequantize(quantize(columns, weights), moved).reshape(values.shape), moved


def _on_grid(
    bias: np.ndarray,
    plain: Optional[AffineGrid],
    source: Optional[AffineGrid],
    plain_weights: Optional[AffineGrid],
    weights: Optional[AffineGrid],
) -> np.ndarray:
    """Return ``bias`` rounded to multiples of ``scale_in * scale_weights``, float32; unchanged if either is in float.

    The codes are chosen by the scales of ``plain`` and ``plain_weights``; their values are multiples of the others.
    """
    if plain is None or source is None or plain_weights is None or weights is None:
        return bias.astype(np.float32)
    plain_scale, scale = (
        np.broadcast_to(np.float32(grid.scale) * weight_grid.scale, bias.shape)
        for grid, weight_grid in ((plain, plain_weights), (source, weights))
    )
    with np.errstate(over="ignore"):
        codes = round_half_up(bias / np.where(scale > 0, plain_scale, np.float32(1)))
        return np.where(scale > 0, codes * scale, bias).astype(np.float32)


def _exact_products(
    source: Optional[AffineGrid],
    weights: Optional[AffineGrid],
    output: Optional[AffineGrid],
    channels: int,
    wide: bool,
) -> Optional[ExactSums]:
    """Return the constants of an operation with weights, in a ``wide`` network if activations have more than 8 bits."""
    if source is None or weights is None or output is None or not min(source.scale, output.scale) > 0:
        return None
    chosen = tie_safe_scales(
        source.scale, weights.scale, output.scale, output.zero_point, 2 ** (output.num_bits - 1), wide
    )
    units, tie_safe_units = (
        np.float64(source.scale) * np.broadcast_to(scales, channels).astype(np.float64)
        for scales in (weights.scale, chosen)
    )
    scale, fine = np.float64(output.scale), WIDE_FINE_UNIT if wide else FINE_UNIT
    return ExactSums(
        np.where(units > 0, units, fine * scale),
        np.where(units > 0, tie_safe_units / scale, fine),
        np.float32(output.scale),
    )


def _exact(
    sources: Sequence[Optional[AffineGrid]], output: Optional[AffineGrid], fraction: float = 1.0
) -> Optional[ExactSums]:
    """Return the constants of a mean or a sum, whose units are ``fraction`` times the scales of its inputs."""
    grids = [grid for grid in sources if grid is not None and grid.scale > 0]
    if len(grids) < len(sources) or output is None or not output.scale > 0:
        return None
    units = np.array([float(grid.scale) for grid in grids]) * fraction
    return ExactSums(units, units / np.float64(output.scale), np.float32(output.scale))


def _exact_sum(op: Sum, sources: Sequence[Optional[AffineGrid]], output: Optional[AffineGrid]) -> Optional[ExactSums]:
    """Return the constants of a sum, with the signs of its terms."""
    found = _exact(sources, output)
    return None if found is None else found._replace(multipliers=found.multipliers * op.signs / op.divisor)


def _exact_product(factors: Sequence[Optional[AffineGrid]], output: Optional[AffineGrid]) -> Optional[ExactSums]:
    """Return the constants of a Multiply, whose result in steps is the product of those of its inputs."""
    found = _exact(factors, output)
    if found is None:
        return None
    return found._replace(multipliers=np.array([found.multipliers[0], found.units[1]]))


def _exact_matrices(products: ExactSums, op: MatMul, twice: bool, wide: bool) -> ExactSums:
    """Return the constants of a MatMul, whose multipliers are 1 but for the first."""
    real, bits = products.multipliers.prod() * op.factor, None
    if twice:
        bits = max(-int(np.frexp(real)[1]), 0)
    elif wide:
        real = float(round_multipliers(real))
    return products._replace(multipliers=np.array([real, 1.0]), bits=bits)


def _exact_table(grids: _Grids, unit: Unit, layer: Activation, output: Optional[AffineGrid]) -> Optional[ExactTable]:
    source = grids.of_input(unit)
    if source is None or output is None or not min(source.scale, output.scale) > 0:
        return None
    return ExactTable(function_table(layer, source, output, grids.state.has_wide_activations), source, output)


def _tie(grids: _Grids, unit: Unit) -> Optional[TieBreaker]:
    """Return the tie breaker of a mean; see :data:`qatviz.quant.exact_sums.MEAN_WEIGHT`."""
    source = grids.of_input(unit)
    if source is None:
        return None
    op, wide, zero_point = unit.op, grids.state.has_wide_activations, int(source.zero_point)
    if isinstance(op, UpsampleBilinear):
        count, center = finest_parts(op.size), interpolation_center(zero_point, source.bounds[0], wide)
    elif isinstance(op, AveragePool):
        count, center = element_count(op.pool_size), tie_center(zero_point, wide)
    else:
        count = element_count(grids.state.network.shapes[unit.inputs[0]][:2])
        return TieBreaker(float(np.float32(source.scale) / np.float32(MEAN_WEIGHT * count)))
    offset, steps = float(np.float32(source.scale) / np.float32(MEAN_WEIGHT * count)), center - zero_point
    # The closest tie is half a quantization step from the center.
    return TieBreaker(offset, steps * float(source.scale), steps, 4 / (MEAN_WEIGHT * count))
