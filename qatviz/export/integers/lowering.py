"""Lowering of a state of a run to the integer model.

The integers are those of the quantized evaluation graph (:mod:`qatviz.training.lowering`): batch norm folded, present
ranges, biases on the int32 grid of input scale times weight scale, the exact symmetric grid, ties of pools rounded as
TFLite does, tie-safe scales (:mod:`qatviz.quant.tie_safe_scales`, :mod:`qatviz.quant.tie_safe_sums`). With activations
of more than 8 bits, they are those of TFLite's int16 kernels (:mod:`qatviz.quant.int16_kernels`).
"""

from dataclasses import replace
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np

from qatviz.errors import refused
from qatviz.export.integers.biases import bias_codes, fit_scales
from qatviz.export.integers.bounds import (
    accumulator_bound,
    bias_limit,
    bits_of,
    is_wide,
    padding,
    positions,
    product_bounds,
    requantization_multipliers,
)
from qatviz.export.integers.fixed_point import (
    LARGEST_ACCUMULATOR,
    FixedPoint,
    common_fixed_point,
    fixed_point,
    multiplier_bits,
)
from qatviz.export.integers.frozen_state import Arrays, FrozenState
from qatviz.export.integers.model import (
    FEWER_BITS,
    IntegerModel,
    IntegerOp,
    IntegerTensor,
    IntegerWeights,
    OutputTensor,
    channel_shape,
    input_of_ids,
    name_logits,
    storage_dtype,
)
from qatviz.export.source import ExportSource
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Multiply, Sum
from qatviz.network.embedding import Embedding
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layers import (
    AveragePool,
    Dropout,
    GlobalAveragePool,
    ReLU,
    ReLU6,
    Softmax,
    UpsampleBilinear,
)
from qatviz.network.matmul import MatMul
from qatviz.network.plan import Unit
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid, quantize
from qatviz.quant.exact_sums import WIDE_FINE_UNIT, tie_center
from qatviz.quant.function_tables import function_table
from qatviz.quant.int16_kernels import LARGEST_PRODUCT, product_constants, sum_constants
from qatviz.quant.int16_kernels import MULTIPLIER_BITS as WIDE_MULTIPLIER_BITS
from qatviz.quant.interpolation import interpolation_center
from qatviz.quant.matrix_products import can_round_twice, matrix_constants
from qatviz.quant.tie_safe_scales import tie_safe_scales
from qatviz.quant.tie_safe_sums import tie_safe_sum_scales


def integer_model(
    network: Network,
    book: SettingsBook,
    arrays: Arrays,
    step: Optional[int] = None,
    metadata: Optional[Dict[str, Any]] = None,
) -> IntegerModel:
    """Return the integer model of a network in a state of its run.

    Parameters
    ----------
    network : Network
    book : SettingsBook
        The settings in that state; its plan is the network's.
    arrays : dict of str to np.ndarray
        Parameters, moving statistics and ranges, as in a checkpoint; others are ignored.
    step : int, optional
        Number of training steps done; without it, delays of quantization count as over.
    metadata : dict, optional
        JSON-able; stored with the model.

    Raises
    ------
    ExportError
        If there is no integer model: a tensor is left in float, no ranges were observed yet, an array is missing or not
        finite, a bias or an accumulator does not fit.
    """
    return _Lowering(FrozenState(network, book, arrays, step)).model(dict(metadata or {}))


def exported_model(source: ExportSource) -> IntegerModel:
    """Return the integer model to export, with its output named by :func:`qatviz.export.integers.model.name_logits`.

    Raises
    ------
    ExportError
        See :func:`integer_model`.
    """
    return name_logits(integer_model(source.network, source.book, source.arrays, source.step, source.metadata))


class _Lowering:
    """Builder of a model, unit by unit."""

    def __init__(self, state: FrozenState):
        self._state, self._network = state, state.network
        self._tensors: Dict[str, IntegerTensor] = {}
        self._ops: List[IntegerOp] = []
        self._aliases: Dict[str, str] = {}
        self._notes: List[str] = []
        self._codes: Dict[str, np.ndarray] = {}
        self._always_zero: Set[str] = set()
        self._sum_scales = tie_safe_sum_scales(state.plan, state.activation_grid)
        self._wide = state.has_wide_activations

    def model(self, metadata: Dict[str, Any]) -> IntegerModel:
        for name, shape in self._network.inputs:
            if name in self._network.id_counts:
                self._tensors[name] = input_of_ids(name, shape, self._network.id_counts[name])
            else:
                self._add_tensor(name, shape)
        for unit in self._state.plan.units:
            inputs = tuple(self._aliases.get(name, name) for name in unit.inputs)
            if isinstance(unit.op, Dropout) or (unit.output in self._network.outputs and isinstance(unit.op, Softmax)):
                self._aliases[unit.output] = inputs[0]
            else:
                self._ops.append(self._op(unit, inputs))
        first, *further = [
            OutputTensor(
                self._aliases.get(name, name), name if isinstance(self._network.layer(name), Softmax) else None
            )
            for name in self._network.outputs
        ]
        for each in (first, *further):
            if each.softmax is not None:
                del self._aliases[each.softmax]
        return IntegerModel(
            self._network.name,
            tuple(self._tensors.values()),
            tuple(self._ops),
            first.output,
            first.softmax,
            self._aliases,
            tuple(dict.fromkeys(self._notes)),
            metadata,
            tuple(further),
        )

    def _add_tensor(self, name: str, shape: Tuple[int, ...]) -> IntegerTensor:
        quantizer = self._state.plan.grid_of(name)
        grid = self._state.activation_grid(quantizer)
        scale = float(self._sum_scales.get(quantizer, grid.scale))
        if not scale > 0:
            scale = 1.0
            self._always_zero.add(name)
        tensor = IntegerTensor(
            name, tuple(shape), scale, int(grid.zero_point), grid.num_bits, grid.narrow_range, quantizer
        )
        self._tensors[name] = tensor
        return tensor

    def _op(self, unit: Unit, inputs: Tuple[str, ...]) -> IntegerOp:
        output = self._add_tensor(unit.output, self._network.shapes[unit.output])
        sources = [self._tensors[name] for name in inputs]
        op = unit.op
        plain = IntegerOp(
            op,
            tuple(layer.name for layer in unit.layers),
            inputs,
            unit.output,
            self._clamp(unit, output),
            padding(op, sources[0].shape, output.shape),
        )
        if isinstance(op, WEIGHTED):
            return self._weighted(unit, sources[0], output, plain)
        if isinstance(op, Embedding):
            codes = quantize(self._state.folded(unit).weights, output.grid)
            return replace(plain, table=_read_only(np.clip(codes, *plain.clamp).astype(output.dtype)))
        if isinstance(op, Activation):
            table = function_table(op, sources[0].grid, output.grid, self._wide)
            own = op.on_grid(sources[0].scale)
            return replace(plain, layer=own, table=_read_only(np.clip(table, *plain.clamp).astype(output.dtype)))
        if isinstance(op, AveragePool):
            return replace(plain, tie_center=tie_center(output.zero_point, self._wide))
        if isinstance(op, UpsampleBilinear):
            center = interpolation_center(output.zero_point, output.bounds[0], self._wide)
            return replace(plain, tie_center=center, positions=positions(op, sources[0].shape, self._wide))
        if isinstance(op, Multiply):
            bound = accumulator_bound(op, None, None, sources)
            twice = self._wide and bound < LARGEST_PRODUCT
            if twice:
                fixed = FixedPoint(*product_constants(sources[0].scale, sources[1].scale, output.scale))
            else:
                fixed = fixed_point(requantization_multipliers(op, None, sources, output), multiplier_bits(bound))
            fixed = FixedPoint(*map(_read_only, fixed))
            return replace(plain, requantization=fixed, accumulator_bits=bits_of(bound), rounds_twice=twice)
        if isinstance(op, MatMul) and sources[1].zero_point and can_round_twice(sources[0].shape[-1], self._wide):
            bound = accumulator_bound(op, None, None, sources)
            constants = matrix_constants(sources[0].scale, sources[1].scale, output.scale, op.factor)
            fixed = FixedPoint(*map(_read_only, constants))
            return replace(plain, requantization=fixed, accumulator_bits=bits_of(bound), rounds_twice=True)
        if isinstance(op, (GlobalAveragePool, MatMul)):
            bound = accumulator_bound(op, None, None, sources)
            multipliers = requantization_multipliers(op, None, sources, output)
            fixed = self._fixed_point(unit, multipliers, bound)
            return replace(plain, requantization=fixed, accumulator_bits=bits_of(bound))
        if isinstance(op, Sum):
            if self._wide and len(sources) == 2:
                scales = [source.scale for source in sources]
                fixed = FixedPoint(*map(_read_only, sum_constants(scales, op.divisor * output.scale)))
            else:
                fixed = common_fixed_point(requantization_multipliers(op, None, sources, output))
            bound = accumulator_bound(op, None, fixed, sources)
            return replace(plain, requantization=fixed, accumulator_bits=bits_of(bound))
        return plain

    def _clamp(self, unit: Unit, output: IntegerTensor) -> Tuple[int, int]:
        """Return the code bounds of the grid and of the activation, whether fused or the unit itself."""
        low, high = output.bounds
        activation = unit.op if isinstance(unit.op, (ReLU, ReLU6)) else unit.activation
        if unit.output in self._always_zero:
            low = high = output.zero_point
        if activation is not None:
            low = max(low, output.zero_point)
        if isinstance(activation, ReLU6):
            high = min(high, int(quantize(np.float32(6), self._state.activation_grid(output.quantizer))))
        return low, high

    def _weighted(self, unit: Unit, source: IntegerTensor, output: IntegerTensor, op: IntegerOp) -> IntegerOp:
        """Return ``op`` with its weights and multipliers."""
        folded, weight_grid = self._state.folded(unit), self._state.weight_grid(unit)
        wide = is_wide(source, weight_grid.num_bits)
        limit = bias_limit(wide)
        # The run's own scale, not the tie-safe one.
        input_scale = self._state.activation_grid(source.quantizer).scale or np.float32(source.scale)
        fine = WIDE_FINE_UNIT * output.scale if self._wide else None
        grid, units, notes = fit_scales(folded.bias, weight_grid, float(input_scale), limit, fine)
        self._notes += [f"{unit.weights}: {note}" for note in notes]
        channels = channel_shape(folded.weights.shape, len(folded.bias))
        codes = quantize(folded.weights, _shaped(grid, channels))
        centred = codes - _shaped(grid, channels).zero_point
        products = product_bounds(centred, len(folded.bias), source)
        bias = bias_codes(unit.name, unit.weights, folded.bias, units, output, products, limit)
        chosen = tie_safe_scales(
            source.scale, grid.scale, output.scale, output.zero_point, 2 ** (output.num_bits - 1), self._wide
        )
        weights = IntegerWeights(
            unit.weights,
            self._common_codes(unit, _read_only(codes.astype(storage_dtype(grid.num_bits)))),
            _read_only(chosen),
            _read_only(grid.zero_point),
            grid.num_bits,
            grid.narrow_range,
            _read_only(bias.astype(np.int64 if wide else np.int32)),
        )
        bound = accumulator_bound(unit.op, weights, None, [source])
        fixed = self._fixed_point(unit, requantization_multipliers(unit.op, weights, [source], output), bound)
        return replace(op, weights=weights, requantization=fixed, accumulator_bits=bits_of(bound))

    def _common_codes(self, unit: Unit, codes: np.ndarray) -> np.ndarray:
        """Return the codes of the operation whose weights a unit shares, if ``codes`` are equal to them."""
        known = self._codes.setdefault(unit.weights, codes)
        return known if np.array_equal(known, codes) else codes

    def _fixed_point(self, unit: Unit, real: np.ndarray, bound: int) -> FixedPoint:
        if bound > LARGEST_ACCUMULATOR:
            raise refused(
                f"layer {unit.name!r}: its accumulator needs up to {bits_of(bound)} bits; allowed: "
                f"{bits_of(LARGEST_ACCUMULATOR)}",
                FEWER_BITS,
            )
        bits = multiplier_bits(bound)
        fixed = fixed_point(real, min(bits, WIDE_MULTIPLIER_BITS) if self._wide else bits)
        return FixedPoint(_read_only(fixed.multiplier), _read_only(fixed.right_shift))


def _shaped(grid: AffineGrid, channels: Tuple[int, ...]) -> AffineGrid:
    """Return the grid in a shape that broadcasts against the weights."""
    if grid.scale.ndim == 0:
        return grid
    return AffineGrid(grid.scale.reshape(channels), grid.zero_point.reshape(channels), grid.num_bits, grid.narrow_range)


def _read_only(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array
