"""A trained, quantized network as integers, independent of any framework, from which exports are written.

Real values are ``scale * (code - zero_point)``. A tensor has the name of the layer whose output it is. Each operation
computes codes of its output from codes of its inputs in integers, with one rounding at the end;
:mod:`qatviz.export.integers.simulator`, which runs a model in NumPy, defines how.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.errors import Advice, ExportError
from qatviz.export.integers.fixed_point import FixedPoint
from qatviz.inputs import split_examples
from qatviz.network.graph import Network
from qatviz.network.layer import Layer
from qatviz.network.layers import Softmax
from qatviz.quant.affine import AffineGrid, code_bounds

#: Remedy for an accumulator that gets too large.
FEWER_BITS = Advice("with fewer bits for its weights or its input")

Pads = Tuple[Tuple[int, int], Tuple[int, int]]


@dataclass(frozen=True)
class IntegerTensor:
    """Output of an operation, or an input of the network.

    Attributes
    ----------
    name : str
        Name of the layer whose output it is, or of the network's input.
    shape : tuple of int
        Without the batch axis.
    scale : float
        A float32's value, above 0. (A tensor that is always 0 has scale 1, and operations clamp it to its zero point.)
    zero_point, num_bits, narrow_range
        As in :class:`qatviz.quant.affine.AffineGrid`.
    quantizer : str
        Name of the quantizer whose grid it is on, such as "conv1.activations"; empty for ids.
    ids : int
        For an input of an Embedding, the number of ids: its codes are the ids, from 0 on, with scale 1, zero point 0
        and no bits. 0 for all other tensors.
    """

    name: str
    shape: Tuple[int, ...]
    scale: float
    zero_point: int
    num_bits: int
    narrow_range: bool
    quantizer: str
    ids: int = 0

    @property
    def bounds(self) -> Tuple[int, int]:
        """Smallest and largest code."""
        return (0, self.ids - 1) if self.ids else code_bounds(self.num_bits, self.narrow_range)

    @property
    def reach(self) -> int:
        """Largest distance of a code from the zero point."""
        low, high = self.bounds
        return max(high - self.zero_point, self.zero_point - low)

    @property
    def dtype(self) -> np.dtype:
        """Type of stored codes: int8, or int16 above 8 bits; int32 for ids."""
        return np.dtype(np.int32) if self.ids else storage_dtype(self.num_bits)

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
        "<layer>.weights" of the layer that owns them.
    codes : np.ndarray
        int8, or int16 above 8 bits; in TensorFlow's order: [rows, columns, in, out] for a convolution, [rows, columns,
        in, multiplier] for a depthwise convolution, [in, out] for a Dense.
    scale : np.ndarray
        float32 ``[]``, or ``[out]`` if quantized per channel (``[in * multiplier]`` for a depthwise convolution).
    zero_point : np.ndarray
        int32, same shape.
    num_bits, narrow_range
        As in :class:`qatviz.quant.affine.AffineGrid`.
    bias : np.ndarray
        ``[out]``: integers on the grid of input scale times weight scale. int32; int64 if input or weights have more
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
        """True if each output channel has a scale and a zero point."""
        return bool(self.scale.ndim > 0)

    @property
    def bounds(self) -> Tuple[int, int]:
        """Smallest and largest code."""
        return code_bounds(self.num_bits, self.narrow_range)

    @property
    def channel_scales(self) -> np.ndarray:
        """Scale of each channel, float32 ``[out]``."""
        return np.broadcast_to(self.scale, self.bias.shape)

    @property
    def channel_zero_points(self) -> np.ndarray:
        """Zero point of each channel, int32 ``[out]``."""
        return np.broadcast_to(self.zero_point, self.bias.shape)

    @property
    def centred(self) -> np.ndarray:
        """Codes minus zero points, int32, in the shape of ``codes``."""
        zero = self.zero_point
        if self.per_channel:
            zero = zero.reshape(channel_shape(self.codes.shape, len(self.bias)))
        return self.codes.astype(np.int32) - zero


class Positions(NamedTuple):
    """Positions of rows and columns of an enlarged image between those of the given one: int32, and their unit.

    See :func:`qatviz.quant.interpolation.pixel_positions`.
    """

    rows: np.ndarray
    columns: np.ndarray
    unit: int


@dataclass(frozen=True, eq=False)
class IntegerOp:
    """One operation.

    Attributes
    ----------
    layer : Layer
        The network's layer, with its strides, padding, axis ... (A Dropout is no operation.)
    layers : tuple of str
        Names of the layers that the operation includes: its own, a folded batch norm's, a fused activation's.
    inputs : tuple of str
        Names of tensors.
    output : str
        Name of a tensor.
    clamp : (int, int)
        Smallest and largest code of the output, within the bounds of grid and activation.
    pads : ((int, int), (int, int)) or None
        Rows above and below, and columns left and right, of the padding of convolutions and pools.
    weights : IntegerWeights or None
    requantization : FixedPoint or None
        Multipliers from the accumulator to quantization steps of the output:

        - with weights, ``[out]``: ``s_in * s_w / s_out``;
        - for a GlobalAveragePool, ``[1]``: ``s_in / (MEAN_WEIGHT * n * s_out)``;
        - for a MatMul, ``[1]``: ``s_0 * s_1 * factor / s_out``, likewise;
        - for a Multiply, ``[1]``: ``s_0 * s_1 / s_out``; if ``rounds_twice``, as TFLite's int16 kernel rounds;
        - for an Add, Subtract or Average, one for each input, ``s_i / s_out`` (of an Average, divided by the number of
          inputs), with a common shift: the sum is rounded, not its terms.

        If any activation of the network has more than 8 bits, multipliers have 15 bits, and a sum of two tensors has
        three multipliers, those of the terms and of the sum, all of which are rounded
        (:mod:`qatviz.quant.int16_kernels`).
    accumulator_bits : int
        Number of bits, with the sign, that the accumulator needs, whatever the input; 0 without one.
    tie_center : int or None
        For an AveragePool or UpsampleBilinear, the code from which ties are rounded away
        (:func:`qatviz.quant.exact_sums.tie_center`, :func:`qatviz.quant.interpolation.interpolation_center`).
    positions : Positions or None
        For an UpsampleBilinear, the positions of its output's pixels between those of its input.
    rounds_twice : bool
        True for a Multiply whose result is rounded by :func:`qatviz.quant.int16_kernels.rounded_twice`: in a network
        with activations of more than 8 bits, unless products need more than 31 bits. True for a MatMul in other
        networks, if its second input has a zero point other than 0.
    table : np.ndarray or None
        For an Activation, the code of its output for each code of its input, ``[2**num_bits]`` of the input, from the
        lowest on (:mod:`qatviz.quant.function_tables`); for an Embedding, the codes of the row of each id
        ``[input_dim, output_dim]``; int8, or int16 above 8 bits.
    """

    layer: Layer
    layers: Tuple[str, ...]
    inputs: Tuple[str, ...]
    output: str
    clamp: Tuple[int, int]
    pads: Optional[Pads] = None
    weights: Optional[IntegerWeights] = None
    requantization: Optional[FixedPoint] = None
    accumulator_bits: int = 0
    tie_center: Optional[int] = None
    table: Optional[np.ndarray] = None
    positions: Optional[Positions] = None
    rounds_twice: bool = False

    def require_weights(self) -> IntegerWeights:
        """Return the weights of an operation that has some."""
        assert self.weights is not None, f"{self.name} has no weights"
        return self.weights

    def require_requantization(self) -> FixedPoint:
        """Return the multipliers of an operation that has some."""
        assert self.requantization is not None, f"{self.name} has no multipliers"
        return self.requantization

    def require_pads(self) -> Pads:
        """Return the pads of a convolution or pool."""
        assert self.pads is not None, f"{self.name} has no pads"
        return self.pads

    def require_tie_center(self) -> int:
        """Return the center of the ties of an AveragePool or UpsampleBilinear."""
        assert self.tie_center is not None, f"{self.name} has no ties"
        return self.tie_center

    def require_positions(self) -> Positions:
        """Return the positions of an UpsampleBilinear."""
        assert self.positions is not None, f"{self.name} has no positions"
        return self.positions

    def require_table(self) -> np.ndarray:
        """Return the table of an Activation or an Embedding."""
        assert self.table is not None, f"{self.name} has no table"
        return self.table

    @property
    def rounds_terms(self) -> bool:
        """True for a sum whose terms are rounded before their sum; see :func:`rounds_terms`."""
        return self.requantization is not None and rounds_terms(self.requantization, len(self.inputs))

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.layer.name

    @property
    def kind(self) -> str:
        """Kind of the layer, such as "Conv2D"."""
        return self.layer.kind


class OutputTensor(NamedTuple):
    """An output of a network.

    Attributes
    ----------
    output : str
        Name of the tensor with its logits, or numbers.
    softmax : str or None
        Name of the Softmax after it, which has no integers.
    """

    output: str
    softmax: Optional[str] = None


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """A network in integers.

    Attributes
    ----------
    name : str
        Name of the network.
    tensors : tuple of IntegerTensor
        The inputs, then each operation's output.
    ops : tuple of IntegerOp
        In order of computation.
    output : str
        Name of the tensor with the logits; of the first output if there are several.
    softmax : str or None
        Name of the Softmax after the logits, which has no integers.
    aliases : dict of str to str
        Output tensors of layers that do nothing in inference (Dropout), by the layers' names.
    notes : tuple of str
        Unavoidable small differences between the integers and the trained state, one text each.
    metadata : dict
        JSON-able; stored with the model.
    further : tuple of OutputTensor
        Outputs after the first.
    """

    name: str
    tensors: Tuple[IntegerTensor, ...]
    ops: Tuple[IntegerOp, ...]
    output: str
    softmax: Optional[str] = None
    aliases: Dict[str, str] = field(default_factory=dict)
    notes: Tuple[str, ...] = ()
    metadata: Dict[str, Any] = field(default_factory=dict)
    further: Tuple[OutputTensor, ...] = ()

    @property
    def outputs(self) -> Tuple[str, ...]:
        """Names of the tensors of all outputs."""
        return tuple(head.output for head in self.heads)

    @property
    def heads(self) -> Tuple["IntegerModel", ...]:
        """The model with each of its outputs as the first one, in order."""
        return (self, *(replace(self, output=each.output, softmax=each.softmax, further=()) for each in self.further))

    @property
    def inputs(self) -> Tuple[IntegerTensor, ...]:
        """The input tensors, in order."""
        return self.tensors[: len(self.tensors) - len(self.ops)]

    @property
    def input(self) -> str:
        """Name of the only input tensor, or of the first one."""
        return self.tensors[0].name

    def split(self, packed: np.ndarray) -> Dict[str, np.ndarray]:
        """Return the arrays ``[n] + shape`` of the inputs by name, for one of all (:mod:`qatviz.inputs`)."""
        return split_examples([(tensor.name, tensor.shape) for tensor in self.inputs], packed)

    @property
    def logits(self) -> IntegerTensor:
        """The tensor of the first output."""
        return self.tensor(self.output)

    def tensor(self, name: str) -> IntegerTensor:
        """Return the tensor with the output of this layer; raise :class:`ExportError` if there is none."""
        wanted = self.aliases.get(name, name)
        for tensor in self.tensors:
            if tensor.name == wanted:
                return tensor
        raise ExportError(
            f"integer model {self.name!r}: there is no tensor {name!r}; there are "
            f"{', '.join(tensor.name for tensor in self.tensors)}"
        )

    def codes_owner(self, op: IntegerOp) -> IntegerOp:
        """Return the first operation with the weights of ``op`` if their codes are the same, otherwise ``op``.

        Codes of layers that share weights differ only where a scale had to be raised for the bias of one of them.
        """
        own = op.require_weights()
        first = next(one for one in self.ops if one.weights is not None and one.weights.name == own.name)
        return first if np.array_equal(first.require_weights().codes, own.codes) else op

    def op(self, name: str) -> IntegerOp:
        """Return the operation that includes this layer; raise :class:`ExportError` if there is none."""
        for op in self.ops:
            if name in op.layers:
                return op
        raise ExportError(
            f"integer model {self.name!r}: there is no operation {name!r}; there are "
            f"{', '.join(op.name for op in self.ops)}"
        )


def rounds_terms(requantization: FixedPoint, inputs: int) -> bool:
    """Return whether an operation is a sum with a multiplier of its sum behind those of its ``inputs`` terms."""
    return len(requantization.multiplier) > inputs > 1


def logits_name(output: str, softmax: Optional[str], taken: Iterable[str], one_of_several: bool = False) -> str:
    """Return the name of the tensor of logits: that of its layer, or "logits" if the name is that of probabilities.

    A Keras layer "probs" with the activation softmax is two layers here, "probs" and "probs/softmax". The logits of
    ``one_of_several`` outputs are "probs/logits".

    >>> logits_name("probs", "probs/softmax", ["input", "probs"]), logits_name("scores", "probs", ["input", "scores"])
    ('logits', 'scores')
    """
    if softmax is None or not softmax.startswith(output + "/") or output == "logits":
        return output
    return "logits" if "logits" not in taken and not one_of_several else output + "/logits"


def logits_names(network: Network) -> Dict[str, str]:
    """Return the names of the tensors with logits below softmax layers at the end, by the layers that compute them."""
    ends = [network.layer(name) for name in network.outputs]
    return {
        last.inputs[0]: logits_name(last.inputs[0], last.name, network.shapes, len(ends) > 1)
        for last in ends
        if isinstance(last, Softmax)
    }


def name_logits(model: IntegerModel) -> IntegerModel:
    """Return the model with its output named by :func:`logits_name`; of several outputs, ``NAME/logits``."""
    taken = [*(tensor.name for tensor in model.tensors), *model.aliases]
    for head in model.heads:
        model = _renamed(model, head.output, logits_name(head.output, head.softmax, taken, bool(model.further)))
    return model


def _renamed(model: IntegerModel, old: str, new: str) -> IntegerModel:
    """Return the model with another name for the tensor of an output."""
    if new == old:
        return model
    if any(old in op.inputs for op in model.ops):
        ops = tuple(replace(op, inputs=tuple(new if name == old else name for name in op.inputs)) for op in model.ops)
        model = replace(model, ops=ops)
    further = tuple(each._replace(output=new) if each.output == old else each for each in model.further)
    output = new if model.output == old else model.output
    tensors = tuple(replace(tensor, name=new) if tensor.name == old else tensor for tensor in model.tensors)
    ops = tuple(replace(op, output=new) if op.output == old else op for op in model.ops)
    aliases = {name: new if tensor == old else tensor for name, tensor in model.aliases.items()}
    return replace(model, tensors=tensors, ops=ops, output=output, aliases=aliases, further=further)


def input_of_ids(name: str, shape: Tuple[int, ...], count: int) -> IntegerTensor:
    """Return the input of an Embedding, whose ids are from 0 to ``count`` - 1."""
    return IntegerTensor(name, tuple(shape), 1.0, 0, 0, False, "", count)


def storage_dtype(num_bits: int) -> np.dtype:
    """Return the type of stored codes: int8, or int16 above 8 bits."""
    return np.dtype(np.int8 if num_bits <= 8 else np.int16)


def channel_shape(shape: Tuple[int, ...], channels: int) -> Tuple[int, ...]:
    """Return the shape in which ``channels`` values broadcast against weights of ``shape``: its last axis, or two."""
    return (channels,) if shape[-1] == channels else tuple(shape[-2:])
