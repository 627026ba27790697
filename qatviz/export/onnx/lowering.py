"""Lowering of the integer model to an ONNX file in QDQ form.

In this form, float operations are between DequantizeLinear and QuantizeLinear. Runtimes and compilers for ONNX
recognize such a group of nodes as a single integer operation, or compute it in float; the results are the same except
for float's own rounding. Details:

- Inside of the file, images are [N, channels, rows, columns]. Operations that depend on the order of elements (Flatten,
  Reshape) are computed in TensorFlow's order, between two Transposes.
- QuantizeLinear saturates at the ends of its type, so a ReLU whose codes begin at the zero point needs no node. On
  another grid of 8 bits it is a Relu before QuantizeLinear, a ReLU6 is a Clip. Grids of fewer bits, or with a narrow
  range, are limited by a Clip of the codes after it, with which the operation remains an integer one ("QCDQ").
- QuantizeLinear rounds ties to even, training rounds them up. A third of the accumulator's unit is added to the means
  of a GlobalAveragePool, which often are ties; for power-of-two scales, a tie breaker is added (:mod:`.ties`).
  An AveragePool, whose output has its input's scale, averages whole codes (dequantized with scale 1 and the center of
  its ties as zero point), whose float32 sums are exact; a factor just above 1 moves ties away from the center.
- Images are first rounded to their grid in float, with the formula of training: pixels in -1..1 on a grid of the same
  range are all ties.
- An Activation is the function between DequantizeLinear and QuantizeLinear, unless an entry of its table is too close
  to a tie or not the nearest code; then its codes are positions in the table.
- In an exact file, accumulators are not in QDQ form: see :mod:`qatviz.export.onnx.exact`.
- ONNX has codes of 16 and of 4 bits only from operator set 21 on. There, tensors of 9 to 16 bits have codes of int16,
  with which runtimes compute in float, and weights of up to 4 bits are INT4. Before, tensors of 9 to 16 bits are
  rounded in float, with the formula of training.

Nodes have the names of layers, values those of the model's tensors. All other names have a dot, which layers' have not.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.onnx.embedding import put_rows
from qatviz.export.onnx.exact import ExactOperations, wide_note
from qatviz.export.onnx.file import FLOAT, GIVEN, INT32, FileText, OnnxFile, Port, port_name
from qatviz.export.onnx.functions import append_form, is_nearest, look_up_in_float
from qatviz.export.onnx.grids import Grids, codes_name, is_wide
from qatviz.export.onnx.interpolation import put_interpolated
from qatviz.export.onnx.layout import (
    TO_CHANNELS_FIRST,
    TO_CHANNELS_LAST,
    channels_first,
    combining_operator,
    concat_axis,
    group_attributes,
    kernel_attributes,
    move,
    padding_widths,
    transposed_attributes,
)
from qatviz.export.onnx.limits import NCHW, NHWC, OPSET_13, OPSET_21, UINT8, exact_needs_uint8
from qatviz.export.onnx.matrices import put_product, put_rounded_twice
from qatviz.export.onnx.storage import BITS, INT4_BITS, Storage, about, check_accumulators, computed_in_float
from qatviz.export.onnx.ties import tie_breaker
from qatviz.network.activations import Activation
from qatviz.network.checks import INPUT
from qatviz.network.layer import element_count
from qatviz.network.layers import CONVOLUTIONS, AveragePool, Concat, Conv2DTranspose, MaxPool, ZeroPad
from qatviz.network.matmul import MatMul
from qatviz.number_format import names_text
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT

#: Name of an output with probabilities.
SOFTMAX = "softmax"
#: Factor of the means of codes in an AveragePool, which moves ties away from the center; and the largest number of
#: averaged codes of 8 bits for which it moves no other mean to a tie. It exceeds the relative error of float32.
_AWAY_FROM_CENTER, _MOST_AVERAGED = 1 + 2.0**-21, 5000


class OnnxModel(NamedTuple):
    """A file, with what is needed to run it.

    Attributes
    ----------
    content : bytes
    storage : Storage
    layout : str
        Layout of the input images: "nhwc" or "nchw".
    outputs : tuple of str
        The model's tensors that are its outputs, in order; "softmax" for probabilities. Integers are codes as `storage`
        has them, others are real values.
    ports : tuple of str
        Names of the outputs in the file.
    channels_last : bool
        True if outputs that are images have channels last; False with channels first.
    notes : tuple of str
        Texts on behaviour that varies between runtimes.
    exact : bool
        True if every code is the simulator's: with the option exact, unless something is computed in float.
    fuse : bool
        True if the file is to be run with all of onnxruntime's optimizations: they fuse operations to integer ones that
        compute the same codes. False with int8 (see :class:`qatviz.export.onnx.storage.Storage`), and with int16, for
        which the fused operations have errors of many codes.
    """

    content: bytes
    storage: Storage
    layout: str
    outputs: Tuple[str, ...]
    ports: Tuple[str, ...]
    channels_last: bool
    notes: Tuple[str, ...]
    exact: bool
    fuse: bool
    inputs: Tuple[Tuple[str, Tuple[int, ...]], ...]


def onnx_model(
    model: IntegerModel,
    softmax: bool = False,
    layout: str = NHWC,
    storage: str = UINT8,
    exact: bool = False,
    outputs: Optional[Sequence[str]] = None,
    opset: str = OPSET_13,
    text: FileText = FileText(),
) -> OnnxModel:
    """Return the ONNX file of an integer model.

    Its input is float32 images ``[N] + shape``, its output real values, float32.

    Parameters
    ----------
    model : IntegerModel
    softmax : bool
        Append a softmax: the output is probabilities instead of logits.
    layout : str
        "nhwc", or "nchw" for images with channels first.
    storage : str
        Type of codes, "uint8" or "int8".
    exact : bool
        Use integer operators and multipliers in double precision where QDQ form has float32; codes of up to 8 bits are
        uint8 then.
    outputs : sequence of str, optional
        Tensors that are the outputs instead, as codes where there are codes, for inspection.
    opset : str
        Operator set: "13", "19" or "21".
    text : FileText
        Description of the file.

    Raises
    ------
    ExportError
        If ONNX does not support the model, or if the package ``onnx`` is missing.
    """
    check_accumulators(model)
    if exact and storage != UINT8:
        raise ExportError.refused(exact_needs_uint8(storage))
    return _Lowering(model, layout, Storage(storage), exact, opset).run(softmax, outputs, text)


class _Lowering:
    """Builder of a file; each ``_<kind>`` method lowers one kind of operation."""

    def __init__(self, model: IntegerModel, layout: str, storage: Storage, exact: bool, opset: str):
        self._model, self._layout, self._storage = model, layout, storage
        self._file = OnnxFile(model.name, about(model), opset)
        self._small_types = opset == OPSET_21
        self._grids = Grids(self._file, storage, self._small_types)
        self._exact = ExactOperations(model, self._file, storage, self._grids) if exact else None
        self._in_float: List[str] = []
        self._large_averages: List[str] = []
        self._ids: Dict[str, str] = {}  # names of values, by input of ids

    def run(self, softmax: bool, outputs: Optional[Sequence[str]], text: FileText) -> OnnxModel:
        given = {tensor.name: port_name(tensor.name, tensor.ids > 0) for tensor in self._model.inputs}
        for tensor in self._model.inputs:
            self._input(tensor, given[tensor.name] if tensor.name == INPUT else tensor.name + GIVEN)
        for op in self._model.ops:
            getattr(self, "_" + op.kind.lower())(op)
        names = tuple(outputs or self._model.outputs)
        if outputs is not None:
            tensors = [self._model.tensor(name) for name in outputs]
            ports = [
                Port(tensor.name, np.float32, channels_first(tensor.shape))
                if is_wide(tensor)
                else Port(codes_name(tensor), self._storage.dtype, channels_first(tensor.shape))
                for tensor in tensors
            ]
        else:
            if softmax:
                name = self._model.softmax or SOFTMAX
                names = (self._file.add_node("Softmax", names, name, name, axis=-1),)
            ports = [self._shipped(name, head.logits.shape) for name, head in zip(names, self._model.heads)]
        types = [np.int32 if tensor.ids else np.float32 for tensor in self._model.inputs]
        inputs = [Port(given[t.name], type_, self._shape(t)) for t, type_ in zip(self._model.inputs, types)]
        if len(inputs) > 1:
            ports = self._file.name_inputs(inputs, ports)
        content = self._file.finish(inputs, ports, text)
        inexact = [op.name for op in self._model.ops if self._exact is not None and not self._exact.is_exact(op)]
        notes = self._notes(inexact)
        is_exact = self._exact is not None and not inexact and not self._large_averages
        int16 = self._small_types and any(map(is_wide, self._model.tensors))
        fuse = self._storage.name == UINT8 and not int16
        is_last = outputs is None and self._layout == NHWC
        in_file = tuple(port.name for port in ports)
        shapes = tuple((given[tensor.name], tensor.shape) for tensor in self._model.inputs)
        return OnnxModel(content, self._storage, self._layout, names, in_file, is_last, notes, is_exact, fuse, shapes)

    def _shape(self, tensor: IntegerTensor) -> Tuple[int, ...]:
        return channels_first(tensor.shape) if self._layout == NCHW else tensor.shape

    def _shipped(self, name: str, shape: Tuple[int, ...]) -> Port:
        """Return the output for a user of the file: images have the layout of the input."""
        if len(shape) == 3 and self._layout == NHWC:
            name = self._file.add_step("Transpose", [name], name + ".channels_last", perm=TO_CHANNELS_LAST)
            return Port(name, np.float32, shape)
        return Port(name, np.float32, channels_first(shape))

    def _notes(self, inexact: List[str]) -> Tuple[str, ...]:
        wide = [tensor.quantizer for tensor in self._model.tensors if is_wide(tensor) and self._exact is None]
        wide += [op.weights.name for op in self._model.ops if op.weights is not None and op.weights.num_bits > BITS]
        notes = (
            (wide_note(self._small_types, self._exact is not None), wide),
            ("8-bit weights with a zero point for each channel, which onnxruntime computes in float", self._in_float),
            (f"means of more than {_MOST_AVERAGED:,} elements, which float rounds otherwise", self._large_averages),
            ("not exact, because they are computed in float", inexact),
        )
        return tuple(f"{what}: {names_text(names)}" for what, names in notes if names)

    def _input(self, tensor: IntegerTensor, value: str) -> None:
        if len(tensor.shape) == 3 and self._layout == NHWC:
            value = self._file.add_step("Transpose", [value], tensor.name + ".channels_first", perm=TO_CHANNELS_FIRST)
        if tensor.ids:
            self._ids[tensor.name] = value
        else:
            self._grids.put_half_up(tensor, value)

    def _put(self, op: IntegerOp, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Append ``op`` as one node, then the nodes that round its value to the grid of the output."""
        self._finish(op, self._file.add_step(operator, inputs, op.name, **attributes))

    def _put_rounded(self, op: IntegerOp, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Append ``op``, as :meth:`_put`, if its values lie between those of the grid, so that ties must be broken."""
        value = self._file.add_step(operator, inputs, op.name, **attributes)
        output = self._model.tensor(op.output)
        offset = None if is_wide(output) else tie_breaker(self._model, op)
        if offset is not None:
            # The channels of images are the first axis behind the batch.
            shape = (-1,) + (1,) * (len(output.shape) - 1) if offset.ndim else ()
            value = self._ties_up(op, value, offset.reshape(shape))
        self._finish(op, value)

    def _finish(self, op: IntegerOp, value: str) -> None:
        self._grids.put_activated(self._model.tensor(op.output), value, op.clamp, op.kind in ("ReLU", "ReLU6"))

    def _ties_up(self, op: IntegerOp, value: str, offset: np.ndarray) -> str:
        """Add an ``offset`` to ``value`` that is small enough to change the rounding of ties only; return the sum."""
        return self._file.add_step("Add", [value, self._number(op.name + ".tie", offset)], op.name + ".ties_up")

    def _exact_form(self, op: IntegerOp) -> Optional[ExactOperations]:
        """Return the builder of the exact form of an operation; None if it has no exact form."""
        return self._exact if self._exact is not None and self._exact.supports(op) else None

    def _number(self, name: str, value: Any) -> str:
        return self._file.add_constant(name, value, np.float32)

    def _apart(self, op: IntegerOp) -> List[str]:
        """Return the values of the inputs of an operation that may have one of them several times."""
        return self._grids.apart([self._model.tensor(name) for name in op.inputs], op.name)

    # Operations with weights

    def _conv2d(self, op: IntegerOp) -> None:
        self._convolution(op, lambda codes: codes.transpose(3, 2, 0, 1), **group_attributes(op.layer))

    _groupedconv2d = _conv2d

    def _depthwiseconv2d(self, op: IntegerOp) -> None:
        rows, columns, channels, _ = op.require_weights().codes.shape
        self._convolution(op, lambda codes: codes.reshape(rows, columns, 1, -1).transpose(3, 2, 0, 1), group=channels)

    def _convolution(self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], **attributes: Any) -> None:
        assert isinstance(op.layer, CONVOLUTIONS)
        attributes.update(
            kernel_attributes(op.layer.kernel_size, op.layer.strides, op.require_pads(), op.layer.dilation)
        )
        exact = self._exact_form(op)
        if exact is not None:
            exact.weighted(op, "ConvInteger", arrange, **attributes)
        else:
            self._put_rounded(op, "Conv", [op.inputs[0], *self._weights(op, arrange, 0)], **attributes)

    def _conv2dtranspose(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, Conv2DTranspose)
        exact = self._exact_form(op)
        if exact is not None:
            exact.transposed(op)
            return
        weights = self._weights(op, lambda codes: codes.transpose(2, 3, 0, 1), 1)
        attributes = transposed_attributes(op.layer, op.require_pads())
        self._put_rounded(op, "ConvTranspose", [op.inputs[0], *weights], **attributes)

    def _dense(self, op: IntegerOp) -> None:
        exact = self._exact_form(op)
        if exact is not None:
            exact.weighted(op, "MatMulInteger", lambda codes: codes)
        else:
            self._put_rounded(op, "Gemm", [op.inputs[0], *self._weights(op, lambda codes: codes, 1)])

    def _weights(self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], axis: int) -> List[str]:
        """Append weights, with axes as ``arrange`` orders them and channels on ``axis``, and bias."""
        if computed_in_float(self._model, op):
            return self._wide_weights(op, arrange, axis)
        stored, name, bias = self._storage.weights(self._model, op), op.name + ".weights", op.name + ".bias"
        codes = arrange(stored.codes)
        if self._small_types and op.require_weights().num_bits <= INT4_BITS:
            return [self._int4_weights(op, arrange, axis), self._constant(bias, stored.bias, stored.bias_scale, 0)]
        weights = self._constant(
            name,
            codes,
            stored.scale,
            axis,
            self._file.add_constant(name + ".zero_point", stored.zero_point, self._storage.dtype),
            shared=op.require_weights().name,
        )
        if stored.channel_scales is not None:
            self._in_float.append(op.name)
            shape = [-1 if place == axis else 1 for place in range(codes.ndim)]
            scales = self._number(name + ".channel_scales", stored.channel_scales.reshape(shape))
            weights = self._file.add_step("Mul", [weights, scales], name + ".scale_channels")
        return [weights, self._constant(bias, stored.bias, stored.bias_scale, 0)]

    def _int4_weights(self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], axis: int) -> str:
        """Append weights of type INT4: of up to 4 bits, as the model has them."""
        weights, name = op.require_weights(), op.name + ".weights"
        grid = [
            self._file.add_int4_constant(name + ".codes", arrange(weights.codes), weights.name),
            self._number(name + ".scale", weights.scale),
            self._file.add_int4_constant(name + ".zero_point", np.asarray(weights.zero_point)),
        ]
        axes = {"axis": axis} if np.ndim(weights.scale) else {}
        return self._file.add_node("DequantizeLinear", grid, name, name + ".dequantize", **axes)

    def _wide_weights(self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], axis: int) -> List[str]:
        """Append weights that are computed in float, in codes of 8 or 16 bits; their bias may have more than 32."""
        weights = op.require_weights()
        name, codes = op.name + ".weights", arrange(weights.codes)
        bias = weights.bias * np.float64(self._model.tensor(op.inputs[0]).scale) * weights.scale
        if self._small_types:
            if weights.num_bits <= INT4_BITS:
                return [self._int4_weights(op, arrange, axis), self._number(op.name + ".bias", bias)]
            zero = self._file.add_constant(name + ".zero_point", weights.zero_point, codes.dtype)
            value = self._constant(name, codes, np.asarray(weights.scale), axis, zero, shared=weights.name)
            return [value, self._number(op.name + ".bias", bias)]
        shape = [-1 if place == axis else 1 for place in range(codes.ndim)]
        scale, zeros = (values.reshape(shape if values.ndim else ()) for values in (weights.scale, weights.zero_point))
        value = self._file.add_constant(name + ".codes", codes, codes.dtype, weights.name)
        value = self._file.add_step("Cast", [value], name + ".in_float", to=FLOAT)
        value = self._file.add_step("Sub", [value, self._number(name + ".zero_point", zeros)], name + ".centre")
        value = self._file.add_node("Mul", [value, self._number(name + ".scale", scale)], name, name + ".dequantize")
        return [value, self._number(op.name + ".bias", bias)]

    def _constant(
        self, name: str, codes: np.ndarray, scale: np.ndarray, axis: int, *zero: str, shared: str = ""
    ) -> str:
        value = self._file.add_constant(name + ".codes", codes, codes.dtype, shared)
        inputs = [value, self._number(name + ".scale", scale), *zero]
        # A single scale has no axis.
        axes = {"axis": axis} if scale.ndim else {}
        return self._file.add_node("DequantizeLinear", inputs, name, name + ".dequantize", **axes)

    # Means

    def _globalaveragepool(self, op: IntegerOp) -> None:
        exact = self._exact_form(op)
        if exact is not None:
            exact.global_average(op)
            return
        mean = self._file.add_step("GlobalAveragePool", op.inputs, op.name)
        mean = self._file.add_step("Flatten", [mean], op.name + ".flatten", axis=1)
        rows, columns, _ = self._model.tensor(op.inputs[0]).shape
        if any(map(is_wide, self._model.tensors)):
            # The multiplier is that of TFLite's int16 kernels.
            ratio = self._model.tensor(op.inputs[0]).scale / self._model.tensor(op.output).scale
            factor = op.require_requantization().real[0] * MEAN_WEIGHT * rows * columns / ratio
            mean = self._file.add_step(
                "Mul", [mean, self._number(op.name + ".factor", factor)], op.name + ".multiplied"
            )
        unit = self._model.tensor(op.inputs[0]).scale / (rows * columns)
        self._finish(op, self._ties_up(op, mean, np.float32(unit * MEAN_BIAS / MEAN_WEIGHT)))

    def _averagepool(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, AveragePool)
        if element_count(op.layer.pool_size) > _MOST_AVERAGED:
            self._large_averages.append(op.name)
        attributes = kernel_attributes(op.layer.pool_size, op.layer.strides, op.require_pads())
        exact = self._exact_form(op)
        if exact is not None:
            exact.average(op, **attributes)
            return
        center = op.require_tie_center()
        codes = self._grids.relative_codes(self._model.tensor(op.inputs[0]), center, op.name)
        mean = self._file.add_step("AveragePool", [codes], op.name, count_include_pad=0, **attributes)
        factor = self._number(op.name + ".away", _AWAY_FROM_CENTER)
        mean = self._file.add_step("Mul", [mean, factor], op.name + ".ties_away")
        self._grids.put_relative_codes(self._model.tensor(op.output), mean, center)

    def _upsamplebilinear(self, op: IntegerOp) -> None:
        put_interpolated(self._file, self._grids, self._model, op, _AWAY_FROM_CENTER)

    # Operations without weights

    def _embedding(self, op: IntegerOp) -> None:
        put_rows(self._file, self._grids, self._storage, self._model, op, self._ids[op.inputs[0]])

    def _activation(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, Activation)
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        in_float, name, table = is_wide(source) or is_wide(output), op.name, op.require_table()
        if self._exact is None and (in_float or is_nearest(self._model, op)):
            self._finish(op, append_form(self._file, op.layer, op.inputs[0], op.name))
            return
        if in_float:
            look_up_in_float(self._file, self._grids, self._model, op)
            return
        position = self._file.add_step("Cast", [codes_name(source)], name + ".code", to=INT32)
        first = int(self._storage.stored(-(2 ** (source.num_bits - 1))))
        if first:
            constant = self._file.add_constant(name + ".first", first, np.int32)
            position = self._file.add_step("Sub", [position, constant], name + ".position")
        values = self._file.add_constant(name + ".table", self._storage.stored(table), self._storage.dtype)
        codes = self._file.add_node("Gather", [values, position], codes_name(output), name, axis=0)
        self._grids.put_codes(output, codes)

    def _softmax(self, op: IntegerOp) -> None:
        self._put(op, "Softmax", op.inputs, axis=1 if len(self._model.tensor(op.output).shape) == 3 else -1)

    def _maxpool(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, MaxPool)
        self._put(
            op, "MaxPool", op.inputs, **kernel_attributes(op.layer.pool_size, op.layer.strides, op.require_pads())
        )

    def _add(self, op: IntegerOp) -> None:
        exact = self._exact_form(op)
        if exact is not None:
            exact.combine(op)
            return
        self._put_rounded(op, combining_operator(op.layer), self._apart(op))

    _subtract = _average = _multiply = _add

    def _matmul(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, MatMul)
        exact = self._exact_form(op)
        if exact is not None:
            exact.matrix_product(op)
            return
        rank = len(self._model.tensor(op.output).shape)
        operator, inputs, attributes = put_product(self._file, op.layer, self._apart(op), rank, op.name)
        if not op.rounds_twice:
            self._put_rounded(op, operator, inputs, **attributes)
            return
        value = self._file.add_step(operator, inputs, op.name, **attributes)
        shift, scale = int(op.require_requantization().right_shift[0]), self._model.tensor(op.output).scale
        self._finish(op, put_rounded_twice(self._file, value, scale, shift, op.name))

    def _maximum(self, op: IntegerOp) -> None:
        self._put(op, combining_operator(op.layer), self._apart(op))

    _minimum = _maximum

    def _concat(self, op: IntegerOp) -> None:
        rank = len(self._model.tensor(op.output).shape)
        assert isinstance(op.layer, Concat)
        self._put(op, "Concat", self._apart(op), axis=concat_axis(op.layer.axis, rank))

    def _zeropad(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, ZeroPad)
        widths = self._file.add_constant(op.name + ".widths", padding_widths(op.layer.padding), np.int64)
        self._put(op, "Pad", [op.inputs[0], widths])

    def _move(self, op: IntegerOp) -> None:
        found = move(op.layer, len(self._model.tensor(op.inputs[0]).shape))
        self._put(op, found.operator, [op.inputs[0], *self._file.add_inputs(op.name, found)], **found.attributes)

    _slice = _permute = _upsamplenearest = _move

    def _reshape(self, op: IntegerOp) -> None:
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        value = source.name
        if len(source.shape) == 3:
            value = self._file.add_step("Transpose", [value], op.name + ".channels_last", perm=TO_CHANNELS_LAST)
            value = self._grids.pass_on(source, value, op.name + ".channels_last")
        shape = self._file.add_constant(op.name + ".shape", (-1, *output.shape), np.int64)
        value = self._file.add_step("Reshape", [value, shape], op.name)
        if len(output.shape) == 3:
            value = self._grids.pass_on(source, value, op.name + ".reshaped")
            value = self._file.add_step("Transpose", [value], op.name + ".channels_first", perm=TO_CHANNELS_FIRST)
        self._finish(op, value)

    _flatten = _reshape

    def _relu(self, op: IntegerOp) -> None:
        """Append an activation that is not fused: its input is on the same grid."""
        self._finish(op, self._grids.activation(self._model.tensor(op.output), op.inputs[0], op.clamp, op.name))

    _relu6 = _relu
