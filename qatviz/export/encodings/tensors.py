"""Tensors of a network with their grids, for a file of encodings."""

from typing import List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.integers.model import logits_names
from qatviz.network.layers import Conv2DTranspose, Dense, Dropout, Softmax
from qatviz.network.plan import Unit
from qatviz.quant.affine import AffineGrid, round_half_up

ACTIVATIONS, WEIGHTS, BIAS = "activations", "weights", "bias"
#: Bits of a bias, with the sign.
BIAS_BITS = 32


class EncodedTensor(NamedTuple):
    """A tensor with its grid.

    Attributes
    ----------
    name : str
        Name in the file: of the layer whose output it is, or of an input; "<layer>.weights", "<layer>.bias"; that of
        :func:`qatviz.export.integers.model.logits_name` for logits.
    kind : str
        "activations", "weights" or "bias".
    grid : AffineGrid or None
        None if the tensor is left in float. The scale, ``[]`` or ``[out]``, is 0 if it has always been 0.
    symmetric : bool
        True if its settings fix the zero point at 0.
    axis : int or None
        Axis of the channels, in ONNX' order of axes, if it is quantized per channel.
    layer : str
        Name of the layer or input whose output it is; empty for parameters.
    """

    name: str
    kind: str
    grid: Optional[AffineGrid]
    symmetric: bool = False
    axis: Optional[int] = None
    layer: str = ""


def encoded_tensors(state: PartlyQuantizedState) -> Tuple[List[EncodedTensor], List[str]]:
    """Return all tensors, in order of computation, and notes on them."""
    logits = logits_names(state.network)
    tensors: List[EncodedTensor] = [_activations(state, name, logits) for name in state.network.input_names]
    notes: List[str] = []
    shared = {unit.op.owner for unit in state.plan.units if unit.op.owner != unit.name}
    for unit in state.plan.units:
        if isinstance(unit.op, Dropout) or (
            unit.name + ".activations" not in state.plan and isinstance(unit.op, Softmax)
        ):
            continue
        if unit.owns_weights:
            tensors.append(_weights(state, unit))
            bias = _bias(state, unit, tensors[-1].grid)
            if unit.name in shared:
                bias = bias._replace(grid=None, axis=None)
                notes.append(
                    f"layer {unit.name!r}: its bias is left in float: it is on the grid of input scale times weight "
                    "scale, and the layers that share it have different inputs"
                )
            elif bias.grid is None and tensors[-1].grid is not None and _source(state, unit) is not None:
                notes.append(
                    f"layer {unit.name!r}: its bias is left in float: on the grid of input scale times weight scale it "
                    f"needs more than {BIAS_BITS} bits"
                )
            tensors.append(bias)
        tensors.append(_activations(state, unit.output, logits))
    return tensors, notes


def bias_codes(bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return codes of a bias, float64, computed in float32 as in the evaluation graph; 0 without a scale."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        codes = round_half_up(bias / np.where(scale > 0, scale, np.float32(1)))
        return np.where(scale > 0, codes, 0).astype(np.float64)


def _activations(state: PartlyQuantizedState, layer: str, logits: Mapping[str, str]) -> EncodedTensor:
    """Return the output of a layer, or an input; ``logits`` are the names of tensors with logits by their layers."""
    quantizer = state.plan.grid_of(layer)
    symmetric = state.book.of(quantizer).symmetric
    return EncodedTensor(logits.get(layer, layer), ACTIVATIONS, state.grid_in_use(quantizer), symmetric, layer=layer)


def _weights(state: PartlyQuantizedState, unit: Unit) -> EncodedTensor:
    name = unit.weights
    grid = state.weight_grid(unit) if state.is_quantized(name) else None
    return EncodedTensor(name, WEIGHTS, grid, state.book.of(name).symmetric, _axis(unit, grid))


def _bias(state: PartlyQuantizedState, unit: Unit, weights: Optional[AffineGrid]) -> EncodedTensor:
    name, source = unit.name + ".bias", _source(state, unit)
    if source is None or weights is None:
        return EncodedTensor(name, BIAS, None)
    scale = (np.float32(source.scale) * weights.scale).astype(np.float32)
    if np.abs(bias_codes(state.folded(unit).bias, scale)).max() >= 2.0 ** (BIAS_BITS - 1):
        return EncodedTensor(name, BIAS, None)
    grid = AffineGrid(scale, np.zeros(scale.shape, np.int32), BIAS_BITS, False)
    return EncodedTensor(name, BIAS, grid, True, 0 if scale.ndim else None)


def _source(state: PartlyQuantizedState, unit: Unit) -> Optional[AffineGrid]:
    return state.grid_in_use(state.plan.grid_of(unit.inputs[0]))


def _axis(unit: Unit, grid: Optional[AffineGrid]) -> Optional[int]:
    """Return the axis of channels: [out, in, rows, columns]; [in, out, ...] if transposed, and of a Gemm's input."""
    if grid is None or grid.scale.ndim == 0:
        return None
    return 1 if isinstance(unit.op, (Conv2DTranspose, Dense)) else 0
