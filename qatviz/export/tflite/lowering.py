"""Lowering of the integer model to a TFLite file that computes the same codes, with one or a few operations for each.

Where TFLite's own operation would compute other codes, it is replaced:

- A GlobalAveragePool is a depthwise convolution with constant weights and a bias that rounds ties up, because MEAN
  rounds otherwise in each runtime. An AveragePool is AVERAGE_POOL_2D, which rounds ties away from the code 0 (see
  :func:`qatviz.quant.exact_sums.tie_center`). Where a file stores another code as 0, it is between two QUANTIZE.
- An Activation is TFLite's kernel if that computes the same table, else a GATHER from the table
  (:mod:`qatviz.export.tflite.functions`).
- A Dense with a scale for each channel is a 1×1 convolution between two reshapes: FULLY_CONNECTED of older runtimes
  supports one scale only, and ignores the others without an error. So is any Dense with int16 activations, for which
  LiteRT's FULLY_CONNECTED multiplies in double precision, unlike all its other operations and TFLite Micro.
- Clamps (of an activation, of fewer than 8 bits, of a narrow range) are MAXIMUM and MINIMUM with a constant, unless
  they are the limits of the type: TensorFlow 1.15's int8 convolutions ignore fused activations without an error. A ReLU
  whose codes begin at its zero point, as they do on a grid of its own, needs none.

Dense layers and 1×1 convolutions with INT4 weights are FULLY_CONNECTED, which XNNPACK computes. LiteRT's own kernels of
INT4 convolutions round twice.

With int16 activations, which LiteRT and TFLite Micro support, the multipliers of the operations are those of the model,
which have 15 bits, as those of the kernels have (:mod:`qatviz.quant.int16_kernels`).
"""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.tflite.copies import CopyBuilder
from qatviz.export.tflite.differences import MOST_AVERAGED
from qatviz.export.tflite.file import (
    INT4_VERSIONS,
    PER_CHANNEL_VERSION,
    VERSIONS,
    Quantization,
    convolution_options,
    pool_options,
    tensor_type,
    transposed_options,
)
from qatviz.export.tflite.functions import OLD_KERNELS, function_kernel
from qatviz.export.tflite.metadata import Attachment
from qatviz.export.tflite.storage import (
    UINT8_OFFSET,
    Int4,
    bias_type,
    code_offset,
    int4_layers,
    int4_remarks,
    is_uniform,
    remarks,
    runtime_remarks,
    softmax_grid,
    storage_type,
    weights_type,
)
from qatviz.export.tflite.weights import StoredWeights, bias_scale, stored_weights, with_stored_weights
from qatviz.export.tflite.written import TfliteModel
from qatviz.network.layer import element_count
from qatviz.network.layers import (
    POOLS,
    AveragePool,
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
)
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT
from qatviz.quant.int16_kernels import representable_scales

#: Largest number by which weights and bias of a mean (MEAN_WEIGHT and MEAN_BIAS in the model) are multiplied in int8.
_LARGEST_MULTIPLE = 127 // MEAN_WEIGHT
#: Tables with the options of an activation function's kernel; others have none.
_KERNEL_OPTIONS = {"LEAKY_RELU": "LeakyReluOptions"}


def tflite_model(
    model: IntegerModel,
    softmax: bool = False,
    multiply_codes: bool = True,
    outputs: Optional[Sequence[str]] = None,
    int4: bool = False,
    int16: bool = False,
    double_rounding: bool = False,
    int4_all: bool = False,
    packed_int4: bool = True,
    attached: Optional[Attachment] = Attachment(),
    micro: bool = False,
) -> TfliteModel:
    """Return the TFLite file of an integer model.

    Parameters
    ----------
    model : IntegerModel
    softmax : bool
        Append a softmax: the output is probabilities (in steps of 1/256, or of 1/32768 with int16) instead of logits.
    multiply_codes : bool
        See :func:`qatviz.export.tflite.weights.stored_weights`; without effect with int16 activations, whose kernels
        round once.
    outputs : sequence of str, optional
        Tensors that are the outputs instead, for inspection.
    int4 : bool
        Weights of up to 4 bits are INT4 tensors if LiteRT's kernel for the operation rounds once.
    int16 : bool
        Activations may have more than 8 bits; if some do, all are int16.
    double_rounding : bool
        Scales and biases are optimized for kernels that round twice (:mod:`qatviz.export.tflite.double_rounding`).
    int4_all : bool
        With ``int4``: all weights of up to 4 bits are INT4 tensors.
    packed_int4 : bool
        False to store the same codes of INT4 tensors as int8, for runtimes that don't support the type.
    attached : Attachment or None
        Metadata of the file; None for a file without metadata and signature.
    micro : bool
        Only operations that TFLite Micro has: tables of int16 codes are of float32, the only type of more than 8 bits
        that its GATHER takes.

    Raises
    ------
    ExportError
        If TFLite does not support the model.
    """
    return _Lowering(model, multiply_codes, int4, int16, double_rounding, int4_all, packed_int4, micro).run(
        softmax, outputs, attached
    )


class _Lowering(CopyBuilder):
    """Builder of a file; each ``_<kind>`` method lowers one kind of operation."""

    def __init__(
        self,
        model: IntegerModel,
        multiply_codes: bool,
        int4: bool,
        int16: bool,
        double_rounding: bool,
        int4_all: bool,
        packed_int4: bool,
        micro: bool,
    ):
        super().__init__(model, storage_type(model, int16, int4, double_rounding), packed_int4, micro)
        self._double_rounding = double_rounding
        self._int4 = int4_layers(model, int4_all) if int4 else Int4()
        self._multiplies_codes = multiply_codes and self._dtype != np.int16
        self._stored: Dict[str, StoredWeights] = {}
        #: Whether TensorFlow 1.15 lacks a kernel of an Activation.
        self._new_kernels = False
        self._notes = remarks(model, self._dtype, self._int4)
        self._notes += int4_remarks(model, self._int4) if int4 else []
        if int16 and self._dtype != np.int16:
            self._notes.append(f"no activation has more than 8 bits: {self._dtype.name} as without the option int16")

    def run(self, softmax: bool, outputs: Optional[Sequence[str]], attached: Optional[Attachment]) -> TfliteModel:
        sources = self._model.inputs
        first = [self._new(source, source.name) for source in sources]
        for source, index in zip(sources, first):
            limits = source.bounds if source.ids else self._limits(source)
            self._index[source.name] = self._clamped(source, index, source.bounds, limits)
        for op in self._model.ops:
            getattr(self, "_" + op.kind.lower())(op)
        tensors = [self._model.tensor(name) for name in outputs or self._model.outputs]
        last = [self._index[tensor.name] for tensor in tensors]
        offsets = {tensor.name: code_offset(tensor, self._dtype) for tensor in [*sources, *tensors]}
        if softmax:
            offsets = {source.name: offsets[source.name] for source in sources}
            offsets["softmax"] = softmax_grid(self._dtype)[1]
            last = [self._probabilities(last[0])]
        runs_in_micro = not self._differences.not_micro
        self._notes = runtime_remarks(self._model, self._dtype, self._int4, runs_in_micro) + self._notes
        self._notes += self._differences.notes
        content = self._file.finish(first, last, attached)
        int4, twice = bool(self._int4.names) and self._packed, bool(self._int4.twice)
        only_litert = int4 or self._new_kernels or self._differences.only_litert or self._dtype == np.int16
        single = bool(self._differences.single)
        integers = with_stored_weights(self._model, self._stored) if self._stored else None
        notes = tuple(self._notes)
        inputs, ids = tuple((source.name, source.shape) for source in sources), tuple(s.name for s in sources if s.ids)
        return TfliteModel(
            content, self._dtype, offsets, int4, notes, twice, only_litert, single, integers, inputs, ids
        )

    # Operations with weights

    def _conv2d(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, Conv2D)
        if self._packed and op.name in self._int4.once:
            self._fully_connected(op, lambda codes: codes[0, 0].T, KeepNumDims=True)
            return
        options = convolution_options(op.layer.strides, op.layer.padding, op.layer.dilation)
        weights = self._weights(op, lambda codes: codes.transpose(3, 0, 1, 2), 0)
        self._append_op(
            op,
            lambda index: self._append(
                "CONV_2D",
                [self._index[op.inputs[0]], *weights],
                index,
                "Conv2DOptions",
                op.name in self._int4.names,
                **options,
            ),
        )

    def _groupedconv2d(self, op: IntegerOp) -> None:
        """Append a CONV_2D, whose kernels infer the groups from the shape of the weights."""
        self._differences.grouped.append(op.name)
        self._conv2d(op)

    def _depthwiseconv2d(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, DepthwiseConv2D)
        options = convolution_options(op.layer.strides, op.layer.padding, op.layer.dilation)
        multiplier = op.layer.depth_multiplier
        weights = self._weights(op, lambda codes: codes.reshape((1, *codes.shape[:2], -1)), 3)
        self._append_op(
            op,
            lambda index: self._append(
                "DEPTHWISE_CONV_2D",
                [self._index[op.inputs[0]], *weights],
                index,
                "DepthwiseConv2DOptions",
                op.name in self._int4.names,
                DepthMultiplier=multiplier,
                **options,
            ),
        )

    def _conv2dtranspose(self, op: IntegerOp) -> None:
        """Append a TRANSPOSE_CONV, which LiteRT and TFLite Micro have for these types, for one example at a time."""
        layer = op.layer
        assert isinstance(layer, Conv2DTranspose)
        self._differences.single.append(op.name)
        shape = np.array((1, *self._model.tensor(op.output).shape), np.int32)
        weights, bias = self._weights(op, lambda codes: codes.transpose(3, 0, 1, 2), 0)
        inputs = [self._file.add_constant(op.name + "/shape", shape), weights, self._index[op.inputs[0]], bias]
        fields: Dict[str, Any] = dict(transposed_options(layer.strides, layer.padding))
        self._append_op(
            op, lambda index: self._append("TRANSPOSE_CONV", inputs, index, "TransposeConvOptions", **fields)
        )

    def _dense(self, op: IntegerOp) -> None:
        if (self._packed and op.name in self._int4.once) or (
            is_uniform(op.require_weights()) and self._dtype != np.int16
        ):
            self._fully_connected(op, np.transpose)
            return
        source = self._model.tensor(op.inputs[0])
        image = self._reshaped(source, self._index[source.name], op.name + "/image", (1, 1, *source.shape))
        weights = self._weights(op, lambda codes: codes.T[:, None, None, :], 0)
        self._append_op(
            op,
            lambda index: self._append(
                "CONV_2D",
                [image, *weights],
                index,
                "Conv2DOptions",
                op.name in self._int4.names,
                **convolution_options((1, 1), "VALID", (1, 1)),
            ),
            shape=(1, 1, *self._model.tensor(op.output).shape),
        )

    def _fully_connected(self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], **fields: Any) -> None:
        """Append a FULLY_CONNECTED; its INT4 weights have a scale for each channel if they differ."""
        int4 = op.name in self._int4.names
        per_channel = int4 and not is_uniform(op.require_weights())
        weights = self._weights(op, arrange, 0 if per_channel else None)
        name = "FULLY_CONNECTED"
        version = (
            PER_CHANNEL_VERSION
            if per_channel
            else (INT4_VERSIONS if int4 and self._packed else VERSIONS[self._dtype.name]).get(name, 1)
        )
        inputs, options = [self._index[op.inputs[0]], *weights], ("FullyConnectedOptions", fields)
        self._append_op(op, lambda index: self._file.add_operation(name, version, inputs, [index], options))

    def _weights(
        self, op: IntegerOp, arrange: Callable[[np.ndarray], np.ndarray], axis: Optional[int]
    ) -> Tuple[int, int]:
        """Append weights, with axes as ``arrange`` orders them and channels on ``axis`` (None: one scale), and bias."""
        # Older runtimes ignore the scale of a convolution that has a single one.
        channel_axis, int4 = None if self._dtype == np.uint8 else axis, op.name in self._int4.names
        per_channel = channel_axis is not None
        # Results below 0 are rounded differently still.
        non_negative = op.clamp[0] >= self._model.tensor(op.output).zero_point
        twice = self._double_rounding or (op.name in self._int4.twice and non_negative)
        stored = stored_weights(self._model, op, self._dtype, per_channel, self._multiplies_codes, int4, twice)
        if twice:
            self._stored[op.name] = stored
        # int16 kernels round once, half up.
        scale = stored.scale if twice or self._dtype == np.int16 else self._avoid_ties(op, stored.scale)
        grid = Quantization(scale, stored.zero_point, channel_axis or 0)
        name, shared, codes = op.name + ".weights", op.require_weights().name, arrange(stored.codes)
        if int4 and self._packed:
            weights = self._file.add_int4_constant(name, codes, grid, shared)
        else:
            weights = self._file.add_constant(name, codes, grid, shared)
        bias = self._bias(op.name + ".bias", stored.bias, bias_scale(self._model.tensor(op.inputs[0]), scale))
        return weights, bias

    def _avoid_ties(self, op: IntegerOp, scale: np.ndarray) -> np.ndarray:
        """Return the stored weight scales of ``op``, raised by two ULPs where multipliers are powers of two.

        With multipliers 2**-n, each 2**n-th accumulator is a tie, which LiteRT's kernels round to even, but training
        rounds up. If an activation begins at 0, results below it are clamped, and a minimally larger multiplier rounds
        the ties above it up without another effect. Ties below 0 would be rounded down.
        """
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        scales = op.require_weights().channel_scales[: len(scale)].astype(np.float64)
        multipliers = source.scale * scales / output.scale
        tied = (multipliers < 1) & (np.frexp(multipliers)[0] == 0.5)
        if op.clamp[0] < output.zero_point:
            if tied.any():
                self._differences.half_ties_down.append(op.name)
            return scale
        raised = np.nextafter(np.nextafter(scale, np.float32(np.inf)), np.float32(np.inf))
        return np.where(tied, raised, scale)

    def _bias(self, name: str, bias: np.ndarray, scale: np.ndarray) -> int:
        return self._file.add_constant(name, bias, Quantization(scale, np.zeros(scale.shape, np.int64)))

    # Means

    def _globalaveragepool(self, op: IntegerOp) -> None:
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        rows, columns, channels = source.shape
        zero = UINT8_OFFSET if self._dtype == np.uint8 else 0
        # With int16 activations, multipliers have 15 bits: those of the model, not their fractions.
        times, count = 1 if self._dtype == np.int16 else _LARGEST_MULTIPLE, rows * columns
        codes = np.full((1, *source.shape), times * MEAN_WEIGHT + zero, weights_type(self._dtype))
        scale = np.full(1 if self._dtype == np.uint8 else channels, 1 / (times * MEAN_WEIGHT * count), np.float32)
        if self._dtype == np.int16:
            scale = representable_scales(source.scale, scale, output.scale)
        grid = Quantization(scale, np.full(scale.shape, zero, np.int64), 3 if len(scale) > 1 else 0)
        weights = self._file.add_constant(op.name + "/ones", codes, grid)
        ties = np.full(channels, times * MEAN_BIAS, bias_type(self._dtype))
        bias = self._bias(op.name + "/tie", ties, bias_scale(source, scale))
        self._append_op(
            op,
            lambda index: self._append(
                "DEPTHWISE_CONV_2D",
                [self._index[source.name], weights, bias],
                index,
                "DepthwiseConv2DOptions",
                int4=False,
                dtype=self._dtype,
                DepthMultiplier=1,
                **convolution_options((1, 1), "VALID", (1, 1)),
            ),
            (1, 1, *output.shape),
        )

    # Operations without weights

    def _averagepool(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, AveragePool)
        source, output, name = self._model.tensor(op.inputs[0]), self._model.tensor(op.output), "AVERAGE_POOL_2D"
        if element_count(tuple(map(min, op.layer.pool_size, source.shape[:2]))) > MOST_AVERAGED:
            self._differences.large_averages.append(op.name)
        center = op.require_tie_center()
        if center + code_offset(source, self._dtype) == 0:
            self._append_op(
                op, lambda index: self._append_pool(op, name, self._index[source.name], index), result_range=op.clamp
            )
            return
        # Codes of up to 8 bits, with the zero point that makes 0 the center of ties.
        grid, dtype = Quantization(np.float32([source.scale]), np.int64([source.zero_point - center])), np.dtype("i1")
        codes, means = (
            self._file.add_tensor(op.name + part, (1, *tensor.shape), dtype, grid)
            for part, tensor in (("/codes", source), ("/means", output))
        )
        self._append("QUANTIZE", [self._index[source.name]], codes, dtype=dtype)
        self._append_pool(op, name, codes, means, dtype)
        self._append_op(op, lambda index: self._append("QUANTIZE", [means], index), result_range=op.clamp)

    def _activation(self, op: IntegerOp) -> None:
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        kernel = function_kernel(self._model, op, self._dtype)
        self._new_kernels |= kernel is None or kernel.operator not in OLD_KERNELS
        if kernel is not None:
            name, fields = kernel.operator, kernel.attributes
            options, limits = _KERNEL_OPTIONS.get(name), self._limits(output)
            if name == "LOGISTIC":
                limits = min(output.zero_point, op.clamp[0]), limits[1]
            self._append_op(
                op,
                lambda index: self._append(name, [self._index[source.name]], index, options, **fields),
                result_range=limits,
            )
            return
        self._differences.gathered.append(op.name)
        table = op.require_table().astype(np.int64) + code_offset(output, self._dtype)
        self._append_gather(op, table, lambda: self._position_in_table(op, source))

    def _position_in_table(self, op: IntegerOp, source: IntegerTensor) -> int:
        """Append the positions in a table, int32 from 0, of the codes of ``source``; return their index."""
        position = self._file.add_tensor(op.name + "/code", (1, *source.shape), np.dtype(np.int32))
        options: Any = {"InDataType": tensor_type(self._dtype), "OutDataType": tensor_type(np.dtype(np.int32))}
        self._append("CAST", [self._index[source.name]], position, "CastOptions", **options)
        first = code_offset(source, self._dtype) - 2 ** (source.num_bits - 1)
        if first == 0:
            return position
        constant = self._file.add_constant(op.name + "/first", np.int32([-first]))
        moved = self._file.add_tensor(op.name + "/position", (1, *source.shape), np.dtype(np.int32))
        self._file.add_operation("ADD", 1, [position, constant], [moved], ("AddOptions", {}))
        return moved

    def _softmax(self, op: IntegerOp) -> None:
        inputs = [self._index[op.inputs[0]]]
        self._append_op(op, lambda index: self._append("SOFTMAX", inputs, index, "SoftmaxOptions", Beta=1.0))

    def _maxpool(self, op: IntegerOp) -> None:
        self._append_op(
            op,
            lambda index: self._append_pool(op, "MAX_POOL_2D", self._index[op.inputs[0]], index),
            result_range=op.clamp,
        )

    def _append_pool(self, op: IntegerOp, name: str, index: int, result: int, dtype: Optional[np.dtype] = None) -> None:
        assert isinstance(op.layer, POOLS)
        self._append(name, [index], result, "Pool2DOptions", int4=False, dtype=dtype, **pool_options(op.layer))

    def _probabilities(self, index: int) -> int:
        shape = self._model.logits.shape
        scale, zero = softmax_grid(self._dtype)
        grid = Quantization(np.float32([scale]), np.int64([zero]))
        output = self._file.add_tensor("softmax", (1, *shape), self._dtype, grid)
        self._append("SOFTMAX", [index], output, "SoftmaxOptions", Beta=1.0)
        return output
