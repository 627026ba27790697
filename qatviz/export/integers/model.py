"""A trained, quantized network as integers, apart from any framework: what every export is written from.

Real values are ``scale * (code - zero_point)``. Tensors are named as the layers of the network that put them out. Each
operation computes its output's codes from its inputs' codes in integers, with one rounding (half up) at the end; how,
says :mod:`qatviz.export.integers.simulator`, which runs a model in NumPy.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

import numpy as np

from qatviz.errors import Advice, ExportError
from qatviz.export.integers.fixed_point import FixedPoint
from qatviz.network.layer import Layer
from qatviz.quant.affine import AffineGrid, code_bounds

#: Remedy for an accumulator that gets too large.
FEWER_BITS = Advice("with fewer bits for its weights or its input")

Pads = Tuple[Tuple[int, int], Tuple[int, int]]


@dataclass(frozen=True)
class IntegerTensor:
    """The output of an operation, or the network's input.

    Attributes
    ----------
    name : str
        The layer that puts it out; "input".
    shape : tuple of int
        Without the batch axis.
    scale : float
        A float32's value, above 0. (A tensor that is always 0 has scale 1, and operations clamp it to its zero point.)
    zero_point, num_bits, narrow_range
        As of :class:`qatviz.quant.affine.AffineGrid`.
    quantizer : str
        The quantized tensor whose grid it is on, such as "conv1.activations".
    """

    name: str
    shape: Tuple[int, ...]
    scale: float
    zero_point: int
    num_bits: int
    narrow_range: bool
    quantizer: str

    @property
    def bounds(self) -> Tuple[int, int]:
        """Smallest and largest code."""
        return code_bounds(self.num_bits, self.narrow_range)

    @property
    def dtype(self) -> np.dtype:
        """Of stored codes: int8, or int16 above 8 bits."""
        return storage_dtype(self.num_bits)

    @property
    def grid(self) -> AffineGrid:
        """The grid, for :mod:`qatviz.quant.affine`."""
        return AffineGrid(np.float32(self.scale), np.int32(self.zero_point), self.num_bits, self.narrow_range)


@dataclass(frozen=True, eq=False)
class IntegerWeights:
    """Weights of an operation, batch norm folded in.

    Attributes
    ----------
    name : str
        "<layer>.weights".
    codes : np.ndarray
        int8, or int16 above 8 bits; in TensorFlow's order: [rows, columns, in, out] of a convolution, [rows, columns,
        in, multiplier] of a depthwise one, [in, out] of a Dense.
    scale : np.ndarray
        float32 ``[]``, or ``[out]`` if quantized per channel (of a depthwise: ``[in * multiplier]``).
    zero_point : np.ndarray
        int32, same shape.
    num_bits, narrow_range
        Of the codes.
    bias : np.ndarray
        ``[out]``: integers on the grid of input scale times weight scale. int32; int64 where input or weights have more
        than 8 bits.
    """

    name: str
    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    num_bits: int
    narrow_range: bool
    bias: np.ndarray

    @property
    def per_channel(self) -> bool:
        return self.scale.ndim > 0

    @property
    def bounds(self) -> Tuple[int, int]:
        """Smallest and largest code."""
        return code_bounds(self.num_bits, self.narrow_range)

    @property
    def channel_scales(self) -> np.ndarray:
        """float32 ``[out]``."""
        return np.broadcast_to(self.scale, self.bias.shape)

    @property
    def channel_zero_points(self) -> np.ndarray:
        """int32 ``[out]``."""
        return np.broadcast_to(self.zero_point, self.bias.shape)

    @property
    def centred(self) -> np.ndarray:
        """int32, shape of ``codes``: codes minus zero points, which is what values are multiples of."""
        zero = self.zero_point
        if self.per_channel:
            zero = zero.reshape(channel_shape(self.codes.shape, len(self.bias)))
        return self.codes.astype(np.int32) - zero


@dataclass(frozen=True, eq=False)
class IntegerOp:
    """One operation.

    Attributes
    ----------
    layer : Layer
        What is computed, with its strides, padding, axis ... as the network has it. A Dropout is no operation.
    layers : tuple of str
        The names of the layers that this stands for: its own, a folded batch norm's, a fused activation's.
    inputs : tuple of str
        Names of tensors.
    output : str
        Name of a tensor.
    clamp : (int, int)
        Smallest and largest code of the output: the grid's bounds and the activation's.
    pads : ((int, int), (int, int)) or None
        Rows above and below, columns left and right, of convolutions and pools: what SAME comes to.
    weights : IntegerWeights or None
    factors : FixedPoint or None
        What takes the accumulator to the output's steps: ``[out]`` with weights (``s_in * s_w / s_out``), ``[1]``
        of a GlobalAveragePool (``s_in / (MEAN_WEIGHT * n * s_out)``), one for each input of an Add (``s_i / s_out``,
        with a common shift: the sum is rounded, not its terms).
    accumulator_bits : int
        Bits, with the sign, that the accumulator takes at most, whatever the input; 0 where there is none.
    """

    layer: Layer
    layers: Tuple[str, ...]
    inputs: Tuple[str, ...]
    output: str
    clamp: Tuple[int, int]
    pads: Optional[Pads] = None
    weights: Optional[IntegerWeights] = None
    factors: Optional[FixedPoint] = None
    accumulator_bits: int = 0

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def kind(self) -> str:
        """The kind of the layer, such as "Conv2D"."""
        return self.layer.kind


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """A network in integers.

    Attributes
    ----------
    name : str
        Of the network.
    tensors : tuple of IntegerTensor
        The input, then each operation's output.
    ops : tuple of IntegerOp
        In order of computation.
    output : str
        The tensor that is the result: the logits.
    softmax : str or None
        The name of the Softmax after it, which has no integers.
    aliases : dict of str to str
        Layers that do nothing in inference (Dropout) to the tensors that stand for their outputs.
    notes : tuple of str
        Where the integers had to differ from what was trained, and how little.
    metadata : dict
        JSON-able; what the caller wants to keep with it.
    """

    name: str
    tensors: Tuple[IntegerTensor, ...]
    ops: Tuple[IntegerOp, ...]
    output: str
    softmax: Optional[str] = None
    aliases: Dict[str, str] = field(default_factory=dict)
    notes: Tuple[str, ...] = ()
    metadata: Dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> str:
        """The name of the tensor that is fed."""
        return self.tensors[0].name

    @property
    def logits(self) -> IntegerTensor:
        """The tensor ``output``."""
        return self.tensor(self.output)

    def tensor(self, name: str) -> IntegerTensor:
        """The tensor of this name, or that stands for the layer of this name; :class:`ExportError` if there is none."""
        wanted = self.aliases.get(name, name)
        for tensor in self.tensors:
            if tensor.name == wanted:
                return tensor
        raise ExportError(
            f"integer model {self.name!r}: there is no tensor {name!r}; there are "
            f"{', '.join(tensor.name for tensor in self.tensors)}"
        )

    def op(self, name: str) -> IntegerOp:
        """The operation that stands for the layer of this name; :class:`ExportError` if there is none."""
        for op in self.ops:
            if name in op.layers:
                return op
        raise ExportError(
            f"integer model {self.name!r}: there is no operation {name!r}; there are "
            f"{', '.join(op.name for op in self.ops)}"
        )


def storage_dtype(num_bits: int) -> np.dtype:
    """int8, or int16 above 8 bits."""
    return np.dtype(np.int8 if num_bits <= 8 else np.int16)


def channel_shape(shape: Tuple[int, ...], channels: int) -> Tuple[int, ...]:
    """The shape in which ``channels`` values broadcast against weights of ``shape``: their last axis, or last two."""
    return (channels,) if shape[-1] == channels else tuple(shape[-2:])
