"""From the integer model to an ONNX file in QDQ form: operations in float between DequantizeLinear and QuantizeLinear.

It is what runtimes and compilers for ONNX look for: they take such a group of nodes for one operation in integers, or
compute it in float; the results are the same but for float's own rounding. As for the form:

- Images are [N, channels, rows, columns] inside. What depends on the order of elements (Flatten, Reshape) is computed in
  TensorFlow's order, between two Transposes.
- QuantizeLinear saturates at the ends of its type, so a ReLU whose codes begin at the zero point needs no node of its
  own. On another grid of 8 bits it is a Relu before, a ReLU6 a Clip. Grids of fewer bits, or of a narrow range, are
  limited by a Clip of the codes after it, which leaves the operation one in integers ("QCDQ").
- QuantizeLinear rounds ties to even; the network in training rounds them up. To means, whose ties are many, a quarter of
  a unit of the sum is added; where scales are powers of two, see :mod:`qatviz.export.onnx_ties`. Images are put on their grid in float first, with the network's own formula: pixels in -1..1
  on a grid of the same range are all in the middle of two codes.

Names of layers are names of nodes; names of the model's tensors are names of values. What else there is has a dot in its
name, which layers have not.
"""

import json
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.export.integer_model import MEAN_BIAS, MEAN_WEIGHT, IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.onnx_file import OnnxFile, Port
from qatviz.export.onnx_limits import NCHW, NHWC, UINT8
from qatviz.export.onnx_storage import LIMITS, Storage, check
from qatviz.export.onnx_ties import tie_breaker
from qatviz.network.layer import element_count
from qatviz.network.layers import Pair

#: What the input of a file is called, and probabilities that are put out.
IMAGES, SOFTMAX = "images", "softmax"
_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class OnnxModel(NamedTuple):
    """A file, and what has to be known of it.

    Attributes
    ----------
    content : bytes
    storage : Storage
    layout : str
        Of the images that are put in: "nhwc" or "nchw".
    outputs : tuple of str
        The model's tensors that it puts out, in order; "softmax" for probabilities.
    in_codes : bool
        Whether it puts out codes as it stores them, images of them with channels first; else real values.
    notes : tuple of str
        What a runtime may take amiss.
    """

    content: bytes
    storage: Storage
    layout: str
    outputs: Tuple[str, ...]
    in_codes: bool
    notes: Tuple[str, ...]


def onnx_model(model: IntegerModel, softmax: bool = False, layout: str = NHWC, storage: str = UINT8,
               outputs: Optional[Sequence[str]] = None) -> OnnxModel:
    """The ONNX file of an integer model.

    It takes float32 images ``[N] + shape`` and puts out real values, float32.

    Parameters
    ----------
    model : IntegerModel
    softmax : bool
        Put out probabilities and not the logits.
    layout : str
        "nhwc", or "nchw" for images with channels first.
    storage : str
        The type of codes, "uint8" or "int8".
    outputs : sequence of str, optional
        Tensors to put out instead, in codes, for a look inside.

    Raises
    ------
    ExportError
        If ONNX can't hold the model (the message says what would make it possible), or the package is not there.
    """
    check(model)
    return _Lowering(model, layout, Storage(storage)).run(softmax, outputs)


class _Lowering:
    """A file under construction; each ``_<kind>`` method lowers one kind of operation."""

    def __init__(self, model: IntegerModel, layout: str, storage: Storage):
        self._model, self._layout, self._storage = model, layout, storage
        self._file = OnnxFile(model.name, _about(model))
        self._in_float = []  # type: List[str]

    def run(self, softmax: bool, outputs: Optional[Sequence[str]]) -> OnnxModel:
        source = self._model.tensor(self._model.input)
        self._input(source)
        for op in self._model.ops:
            getattr(self, "_" + op.kind.lower())(op)
        shape = _channels_first(source.shape) if self._layout == NCHW else source.shape
        names = tuple(outputs or [self._model.output])
        if outputs is not None:
            tensors = [self._model.tensor(name) for name in outputs]
            ports = [Port(tensor.name + ".codes", self._storage.dtype, _channels_first(tensor.shape)) for tensor in tensors]
        else:
            if softmax:
                name = self._model.softmax or SOFTMAX
                names = (self._file.add_node("Softmax", names, name, name, axis=-1),)
            ports = [Port(names[0], np.float32, self._model.logits.shape)]
        content = self._file.finish([Port(IMAGES, np.float32, shape)], ports)
        return OnnxModel(content, self._storage, self._layout, names, outputs is not None, self._notes())

    def _notes(self) -> Tuple[str, ...]:
        if not self._in_float:
            return ()
        return ("8-bit weights with a zero point for each channel, which onnxruntime computes in float: {}".format(
            ", ".join(self._in_float)),)

    # Values, and their codes

    def _node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node whose value is no tensor of the model."""
        return self._file.add_node(operator, inputs, name + ".value", name, **attributes)

    def _number(self, name: str, value: float) -> str:
        return self._file.add_constant(name, value, np.float32)

    def _input(self, tensor: IntegerTensor) -> None:
        """``floor((clip(x) - lowest) / scale + 1/2) * scale + lowest``, then codes."""
        name, grid, value = tensor.name, tensor.grid, IMAGES
        if len(tensor.shape) == 3 and self._layout == NHWC:
            value = self._node("Transpose", [value], name + ".channels_first", perm=_TO_CHANNELS_FIRST)
        lowest, highest = (self._number("{}.{}".format(name, end), limit)
                           for end, limit in (("lowest", grid.minimum), ("highest", grid.maximum)))
        scale = self._number(name + ".scale", grid.scale)
        value = self._node("Clip", [value, lowest, highest], name + ".clip")
        value = self._node("Sub", [value, lowest], name + ".above_lowest")
        value = self._node("Div", [value, scale], name + ".steps")
        value = self._node("Add", [value, self._number(name + ".half", 0.5)], name + ".half_up")
        value = self._node("Floor", [value], name + ".whole_steps")
        value = self._node("Mul", [value, scale], name + ".scaled")
        value = self._node("Add", [value, lowest], name + ".on_grid")
        self._quantize(tensor, value, tensor.bounds)

    def _quantize(self, tensor: IntegerTensor, value: str, clamp: Tuple[int, int]) -> None:
        """Have ``value`` rounded to the tensor, with codes in ``clamp``."""
        name = tensor.name
        grid = [self._number(name + ".scale", tensor.scale), self._codes(name + ".zero_point", tensor.zero_point)]
        limited = tuple(clamp) != LIMITS
        codes = self._file.add_node("QuantizeLinear", [value] + grid, name + (".rounded" if limited else ".codes"),
                                    name + ".quantize")
        if limited:
            ends = [self._codes("{}.{}".format(name, end), limit)
                    for end, limit in zip(("least_code", "greatest_code"), clamp)]
            codes = self._file.add_node("Clip", [codes] + ends, name + ".codes", name + ".limit")
        self._file.add_node("DequantizeLinear", [codes] + grid, name, name + ".dequantize")

    def _codes(self, name: str, codes: Any) -> str:
        return self._file.add_constant(name, self._storage.stored(codes), self._storage.dtype)

    def _on_same_grid(self, tensor: IntegerTensor, value: str, name: str) -> str:
        """``value``, which has the values of ``tensor`` in another order, through its codes: operations that only move
        values are to have them on both sides too."""
        grid = [tensor.name + ".scale", tensor.name + ".zero_point"]
        codes = self._file.add_node("QuantizeLinear", [value] + grid, name + ".codes", name + ".quantize")
        return self._file.add_node("DequantizeLinear", [codes] + grid, name + ".on_grid", name + ".dequantize")

    def _put(self, op: IntegerOp, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """The operation as one node, then what makes its value the output of ``op``."""
        self._finish(op, self._node(operator, inputs, op.name, **attributes))

    def _put_rounded(self, op: IntegerOp, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """The same for one that puts out values between those of the grid."""
        value = self._node(operator, inputs, op.name, **attributes)
        little = tie_breaker(self._model, op)
        if little is not None:
            # The channels of images are the first axis behind the batch.
            shape = (-1,) + (1,) * (len(self._model.tensor(op.output).shape) - 1) if little.ndim else ()
            tie = self._number(op.name + ".tie", little.reshape(shape))
            value = self._node("Add", [value, tie], op.name + ".ties_up")
        self._finish(op, value)

    def _finish(self, op: IntegerOp, value: str) -> None:
        tensor = self._model.tensor(op.output)
        low, high = op.clamp
        if tensor.bounds == LIMITS != op.clamp and low < high:
            if op.kind not in ("ReLU", "ReLU6"):
                value = self._activation(tensor, value, op.clamp, tensor.name + ".activation")
            low, high = LIMITS
        self._quantize(tensor, value, (low, high))

    def _activation(self, tensor: IntegerTensor, value: str, clamp: Tuple[int, int], name: str) -> str:
        if clamp[1] == tensor.bounds[1]:
            return self._node("Relu", [value], name)
        ends = [self._number("{}.{}".format(name, end), np.float32(code - tensor.zero_point) * np.float32(tensor.scale))
                for end, code in zip(("lowest", "highest"), clamp)]
        return self._node("Clip", [value] + ends, name)

    # Operations with weights

    def _conv2d(self, op: IntegerOp) -> None:
        weights = self._weights(op, lambda codes: codes.transpose(3, 2, 0, 1), 0)
        self._put_rounded(op, "Conv", [op.inputs[0], *weights], **_window(op, op.layer.kernel_size, op.layer.dilation))

    def _depthwiseconv2d(self, op: IntegerOp) -> None:
        rows, columns, channels, _ = op.weights.codes.shape
        weights = self._weights(op, lambda codes: codes.reshape(rows, columns, 1, -1).transpose(3, 2, 0, 1), 0)
        self._put_rounded(op, "Conv", [op.inputs[0], *weights], group=channels,
                          **_window(op, op.layer.kernel_size, op.layer.dilation))

    def _dense(self, op: IntegerOp) -> None:
        self._put_rounded(op, "Gemm", [op.inputs[0], *self._weights(op, lambda codes: codes, 1)])

    def _weights(self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], axis: int) -> List[str]:
        """Weights, with axes as ``arrange`` puts them and channels on ``axis``, and bias."""
        stored, name, bias = self._storage.weights(self._model, op), op.weights.name, op.name + ".bias"
        codes = arrange(stored.codes)
        weights = self._constant(name, codes, stored.scale, axis, self._file.add_constant(
            name + ".zero_point", stored.zero_point, self._storage.dtype))
        if stored.factor is not None:
            self._in_float.append(op.name)
            shape = [-1 if place == axis else 1 for place in range(codes.ndim)]
            factor = self._number(name + ".channel_scales", stored.factor.reshape(shape))
            weights = self._node("Mul", [weights, factor], name + ".scale_channels")
        return [weights, self._constant(bias, stored.bias, stored.bias_scale, 0)]

    def _constant(self, name: str, codes: np.ndarray, scale: np.ndarray, axis: int, *zero: str) -> str:
        inputs = [self._file.add_constant(name + ".codes", codes, codes.dtype), self._number(name + ".scale", scale), *zero]
        # The axis says nothing where there is one scale.
        axes = {"axis": axis} if scale.ndim else {}
        return self._file.add_node("DequantizeLinear", inputs, name, name + ".dequantize", **axes)

    # Means

    def _globalaveragepool(self, op: IntegerOp) -> None:
        mean = self._node("GlobalAveragePool", op.inputs, op.name)
        mean = self._node("Flatten", [mean], op.name + ".flatten", axis=1)
        self._finish(op, self._ties_up(op, mean, self._model.tensor(op.inputs[0]).shape[:2]))

    def _averagepool(self, op: IntegerOp) -> None:
        mean = self._node("AveragePool", op.inputs, op.name, count_include_pad=0, **_window(op, op.layer.pool_size))
        self._finish(op, self._ties_up(op, mean, op.layer.pool_size))

    def _ties_up(self, op: IntegerOp, mean: str, size: Pair) -> str:
        """The mean of ``size`` codes, or fewer, and less than what it differs from the middle of two, if it does."""
        scale = self._model.tensor(op.inputs[0]).scale
        tie = self._number(op.name + ".tie", scale * MEAN_BIAS / (MEAN_WEIGHT * element_count(size)))
        return self._node("Add", [mean, tie], op.name + ".ties_up")

    # Operations without weights

    def _maxpool(self, op: IntegerOp) -> None:
        self._put(op, "MaxPool", op.inputs, **_window(op, op.layer.pool_size))

    def _add(self, op: IntegerOp) -> None:
        self._put_rounded(op, "Add" if len(op.inputs) == 2 else "Sum", op.inputs)

    def _concat(self, op: IntegerOp) -> None:
        rank = len(self._model.tensor(op.output).shape)
        axis = op.layer.axis % rank + 1
        self._put(op, "Concat", op.inputs, axis=_TO_CHANNELS_FIRST.index(axis) if rank == 3 else axis)

    def _zeropad(self, op: IntegerOp) -> None:
        (top, bottom), (left, right) = op.layer.padding
        widths = self._file.add_constant(op.name + ".widths", [0, 0, top, left, 0, 0, bottom, right], np.int64)
        self._put(op, "Pad", [op.inputs[0], widths])

    def _reshape(self, op: IntegerOp) -> None:
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        value = source.name
        if len(source.shape) == 3:
            value = self._node("Transpose", [value], op.name + ".channels_last", perm=_TO_CHANNELS_LAST)
            value = self._on_same_grid(source, value, op.name + ".channels_last")
        shape = self._file.add_constant(op.name + ".shape", (-1,) + output.shape, np.int64)
        value = self._node("Reshape", [value, shape], op.name)
        if len(output.shape) == 3:
            value = self._on_same_grid(source, value, op.name + ".reshaped")
            value = self._node("Transpose", [value], op.name + ".channels_first", perm=_TO_CHANNELS_FIRST)
        self._finish(op, value)

    _flatten = _reshape

    def _relu(self, op: IntegerOp) -> None:
        """An activation that is not fused: its input is on the same grid."""
        self._finish(op, self._activation(self._model.tensor(op.output), op.inputs[0], op.clamp, op.name))

    _relu6 = _relu


def _channels_first(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """The shape inside the file, without the batch axis."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def _window(op: IntegerOp, size: Pair, dilation: Pair = (1, 1)) -> Dict[str, List[int]]:
    (top, bottom), (left, right) = op.pads
    window = {"kernel_shape": list(size), "strides": list(op.layer.strides), "pads": [top, left, bottom, right]}
    # Pools know dilations too, and older runtimes refuse what they are not told.
    return window if dilation == (1, 1) else dict(window, dilations=list(dilation))


def _about(model: IntegerModel) -> Dict[str, str]:
    """What is kept in a file: where it is from, and the settings that its codes are of."""
    grids = {tensor.quantizer: {"num_bits": tensor.num_bits, "narrow_range": tensor.narrow_range}
             for tensor in model.tensors}
    for weights in (op.weights for op in model.ops if op.weights is not None):
        grids[weights.name] = {"num_bits": weights.num_bits, "narrow_range": weights.narrow_range,
                               "per_channel": weights.per_channel, "symmetric": not np.any(weights.zero_point)}
    about = dict(model.metadata, network=model.name, version=__version__, quantizers=grids)
    return {"qatviz." + name: value if isinstance(value, str) else json.dumps(value) for name, value in about.items()}
