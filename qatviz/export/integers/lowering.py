"""From a moment of a run to the integer model: the network's lowering to integers.

The integers are those of the quantized evaluation graph (:mod:`qatviz.training.lowering`): batch norm folded, ranges as
they stand, biases on the int32 grid of input scale times weight scale, the exact symmetric grid, pool ties broken
upwards, scales moved to those that all runtimes round sums alike with
(:mod:`qatviz.quant.tie_safe_scales`, :mod:`qatviz.quant.tie_safe_sums`).
"""

from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np

from qatviz.errors import refused
from qatviz.export.integers.biases import bias_codes, fit_scales
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
    Pads,
    channel_shape,
    storage_dtype,
)
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layer import element_count
from qatviz.network.layers import (
    Add,
    AveragePool,
    Conv2D,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    ReLU6,
    Softmax,
)
from qatviz.network.plan import Unit
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import AffineGrid, quantize
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT
from qatviz.quant.tie_safe_scales import tie_safe_scales
from qatviz.quant.tie_safe_sums import tie_safe_sum_scales

_WINDOWED = (Conv2D, DepthwiseConv2D, MaxPool, AveragePool)
#: Of a bias: half of int32's range is left to the products. Wide inputs or weights come with 64-bit biases.
_BIAS_LIMIT, _WIDE_BIAS_LIMIT = 2**30, 2**42


def integer_model(
    network: Network,
    book: SettingsBook,
    arrays: Arrays,
    step: Optional[int] = None,
    metadata: Optional[Dict[str, Any]] = None,
) -> IntegerModel:
    """The integers of a network at one moment of its run.

    Parameters
    ----------
    network : Network
    book : SettingsBook
        Settings at that moment; its plan is the network's.
    arrays : dict of str to np.ndarray
        Parameters, moving statistics and ranges as a checkpoint holds them; more may be in it.
    step : int, optional
        Steps done at that moment; without it, delays of quantization count as over.
    metadata : dict, optional
        JSON-able; kept with the model.

    Raises
    ------
    ExportError
        If there is no integer form: a tensor is left in float, nothing has been seen yet, an array is missing or not
        finite, a bias or an accumulator does not fit. The message names the layer, the reason and what would
        make it possible.
    """
    return _Lowering(FrozenState(network, book, arrays, step)).model(dict(metadata or {}))


class _Lowering:
    """The model under construction, unit by unit."""

    def __init__(self, state: FrozenState):
        self._state, self._network = state, state.network
        self._tensors: Dict[str, IntegerTensor] = {}
        self._ops: List[IntegerOp] = []
        self._aliases: Dict[str, str] = {}
        self._notes: List[str] = []
        self._always_zero: Set[str] = set()
        self._sum_scales = tie_safe_sum_scales(state.plan, state.activation_grid)

    def model(self, metadata: Dict[str, Any]) -> IntegerModel:
        softmax = None
        self._add_tensor("input", self._network.input_shape)
        for unit in self._state.plan.units:
            inputs = tuple(self._aliases.get(name, name) for name in unit.inputs)
            if isinstance(unit.op, (Dropout, Softmax)):
                self._aliases[unit.output] = inputs[0]
                softmax = unit.name if isinstance(unit.op, Softmax) else softmax
            else:
                self._ops.append(self._op(unit, inputs))
        output = self._aliases.get(self._network.output, self._network.output)
        if softmax is not None:
            del self._aliases[softmax]
        return IntegerModel(
            self._network.name,
            tuple(self._tensors.values()),
            tuple(self._ops),
            output,
            softmax,
            self._aliases,
            tuple(self._notes),
            metadata,
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
        common = {
            "layer": op,
            "layers": tuple(layer.name for layer in unit.layers),
            "inputs": inputs,
            "output": unit.output,
            "clamp": self._clamp(unit, output),
        }
        if isinstance(op, _WINDOWED):
            common["pads"] = _pads(op, sources[0].shape, output.shape)
        if isinstance(op, WEIGHTED):
            return self._weighted(unit, sources[0], output, common)
        if isinstance(op, GlobalAveragePool):
            count = element_count(sources[0].shape[:2])
            bound = MEAN_WEIGHT * count * _reach(sources[0]) + MEAN_BIAS
            factor = sources[0].scale / (MEAN_WEIGHT * count * output.scale)
            factors = self._factors(unit, np.array([factor]), bound)
            return IntegerOp(factors=factors, accumulator_bits=_bits(bound), **common)
        if isinstance(op, Add):
            factors = common_fixed_point(np.array([source.scale / output.scale for source in sources]))
            bound = sum(_reach(source) * int(m) for source, m in zip(sources, factors.multiplier))
            return IntegerOp(factors=factors, accumulator_bits=_bits(bound), **common)
        return IntegerOp(**common)

    def _clamp(self, unit: Unit, output: IntegerTensor) -> Tuple[int, int]:
        """The grid's bounds and the activation's: of the unit, or the unit itself where that is not fused."""
        low, high = output.bounds
        activation = unit.op if isinstance(unit.op, (ReLU, ReLU6)) else unit.activation
        if unit.output in self._always_zero:
            low = high = output.zero_point
        if activation is not None:
            low = max(low, output.zero_point)
        if isinstance(activation, ReLU6):
            high = min(high, int(quantize(np.float32(6), self._state.activation_grid(output.quantizer))))
        return low, high

    def _weighted(self, unit: Unit, source: IntegerTensor, output: IntegerTensor, common: Dict[str, Any]) -> IntegerOp:
        folded, plain = self._state.folded(unit), self._state.weight_grid(unit)
        wide = max(source.num_bits, plain.num_bits) > 8
        limit = _WIDE_BIAS_LIMIT if wide else _BIAS_LIMIT
        # As the run has it: not moved.
        input_scale = self._state.activation_grid(source.quantizer).scale or np.float32(source.scale)
        grid, notes = fit_scales(folded.bias, plain, float(input_scale), limit)
        self._notes += [f"{unit.name}.weights: {note}" for note in notes]
        channels = channel_shape(folded.weights.shape, len(folded.bias))
        codes = quantize(folded.weights, _shaped(grid, channels))
        centred = codes - _shaped(grid, channels).zero_point
        axes = tuple(range(codes.ndim - len(channels)))
        products = np.abs(centred.astype(np.int64)).sum(axis=axes).reshape(-1) * _reach(source)
        scales = np.broadcast_to(grid.scale, folded.bias.shape)
        bias = bias_codes(unit.name, folded.bias, input_scale * scales, output, products, limit)
        bound = int((products + np.abs(bias)).max())
        chosen = tie_safe_scales(source.scale, grid.scale, output.scale, output.zero_point, 2 ** (output.num_bits - 1))
        weights = IntegerWeights(
            unit.name + ".weights",
            _read_only(codes.astype(storage_dtype(grid.num_bits))),
            _read_only(chosen),
            _read_only(grid.zero_point),
            grid.num_bits,
            grid.narrow_range,
            _read_only(bias.astype(np.int64 if wide else np.int32)),
        )
        factors = self._factors(unit, source.scale * weights.channel_scales.astype(np.float64) / output.scale, bound)
        return IntegerOp(weights=weights, factors=factors, accumulator_bits=_bits(bound), **common)

    def _factors(self, unit: Unit, real: np.ndarray, bound: int) -> FixedPoint:
        if bound > LARGEST_ACCUMULATOR:
            raise refused(
                f"layer {unit.name!r}: its accumulator takes up to {_bits(bound)} bits; allowed: "
                f"{_bits(LARGEST_ACCUMULATOR)}",
                FEWER_BITS,
            )
        factors = fixed_point(real, multiplier_bits(bound))
        return FixedPoint(_read_only(factors.multiplier), _read_only(factors.right_shift))


def _shaped(grid: AffineGrid, channels: Tuple[int, ...]) -> AffineGrid:
    """The grid in a shape that broadcasts against the weights."""
    if grid.scale.ndim == 0:
        return grid
    return AffineGrid(grid.scale.reshape(channels), grid.zero_point.reshape(channels), grid.num_bits, grid.narrow_range)


def _pads(op: Any, image: Tuple[int, ...], result: Tuple[int, ...]) -> Pads:
    """What TensorFlow's SAME puts around: the odd row or column goes below, or to the right."""
    pads = []
    for axis, taps in enumerate(op.pool_size if hasattr(op, "pool_size") else op.kernel_size):
        extent = (taps - 1) * getattr(op, "dilation", (1, 1))[axis] + 1
        missing = max((result[axis] - 1) * op.strides[axis] + extent - image[axis], 0)
        pads.append((missing // 2, missing - missing // 2))
    return pads[0], pads[1]


def _reach(tensor: IntegerTensor) -> int:
    """How far a code can be from the zero point."""
    low, high = tensor.bounds
    return max(high - tensor.zero_point, tensor.zero_point - low)


def _bits(bound: int) -> int:
    """Bits, with the sign, of integers up to ``bound``."""
    return int(bound).bit_length() + 1


def _read_only(array: np.ndarray) -> np.ndarray:
    array = np.array(array)
    array.flags.writeable = False
    return array
