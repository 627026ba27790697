"""Lowering of a trained network to a float TFLite file that simulates its quantization with FAKE_QUANT operations.

It supports 2 to 16 bits and any grid. Weights are stored as the values of their codes, because FAKE_QUANT has no
per-channel scales. Its kernel refuses a narrow range, which is written as a MAXIMUM before the operation.
"""

from functools import partial
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.export.fake_quant.matrices import append_product
from qatviz.export.fake_quant.model import FakeQuantModel, FakeQuantUnit, TieBreaker
from qatviz.export.fake_quant.ranges import kernel_range
from qatviz.export.formats import Options
from qatviz.export.integers.model import logits_names
from qatviz.export.source import ExportSource
from qatviz.export.tflite.file import (
    FUNCTION_OPTIONS,
    TfliteFile,
    convolution_options,
    pool_options,
    transposed_options,
)
from qatviz.export.tflite.metadata import Attachment, attachment
from qatviz.export.tflite.moves import MOST_AXES, append_moves, move_inputs, move_steps
from qatviz.network.activations import Activation
from qatviz.network.checks import INPUT, Shape
from qatviz.network.layer import Layer
from qatviz.network.layers import (
    CONVOLUTIONS,
    POOLS,
    Concat,
    Conv2DTranspose,
    DepthwiseConv2D,
    GroupedConv2D,
    Slice,
    UpsampleBilinear,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.quant.affine import AffineGrid

PROBABILITIES = "softmax"
#: ``MirrorPadMode`` of TFLite's schema that repeats the pixels at the border.
_SYMMETRIC = 1
_FLOAT = np.dtype(np.float32)
#: ``ActivationFunctionType`` of TFLite's schema, which is 0 for none.
_FUSED = {"ReLU": 1, "ReLU6": 3}


class FakeQuantFile(NamedTuple):
    """TFLite file with the network's names of its outputs, in order, and with those of their tensors.

    If it is ``single``, it takes one example at a time.
    """

    content: bytes
    outputs: Tuple[str, ...]
    tensors: Tuple[str, ...]
    single: bool


def fake_quant_file(
    model: FakeQuantModel,
    softmax: bool = False,
    outputs: Optional[Sequence[str]] = None,
    attached: Attachment = Attachment(),
) -> FakeQuantFile:
    """Return the TFLite file of a model.

    Parameters
    ----------
    model : FakeQuantModel
    softmax : bool
        Append a softmax: the output is probabilities instead of logits.
    outputs : sequence of str, optional
        Layers that are the outputs instead, for inspection.
    attached : Attachment
        Metadata of the file.
    """
    return _Lowering(model).run(softmax, outputs, attached)


def shipped_file(model: FakeQuantModel, source: ExportSource, options: Options) -> FakeQuantFile:
    """Return the file to ship, for the options of :data:`qatviz.export.formats.TFLITE_FAKE_QUANT`."""
    output = "probabilities" if options["softmax"] else "logits"
    attached = attachment(source, output, f"a network simulated in float, written by qatviz {__version__}")
    return fake_quant_file(model, options["softmax"], attached=attached)


class _Lowering:
    """Builder of a file; each ``_<kind>`` method adds one kind of operation."""

    def __init__(self, model: FakeQuantModel):
        self._model, self._network = model, model.network
        facts = [f"{name} {value}" for name, value in sorted(model.metadata.items())]
        self._file = TfliteFile(
            ", ".join([f"qatviz {__version__}: {model.network.name}, simulated in float with FAKE_QUANT", *facts])
        )
        self._index: Dict[str, int] = {}
        self._names = logits_names(self._network)

    def run(self, softmax: bool, outputs: Optional[Sequence[str]], attached: Attachment) -> FakeQuantFile:
        first = [self._new(name, shape, self._network.input_type(name)) for name, shape in self._network.inputs]
        for (name, shape), index in zip(self._network.inputs, first):
            self._index[name] = self._rounded(name, index, shape, self._model.input_grids[name])
        for part in self._model.units:
            getattr(self, "_" + part.unit.op.kind.lower())(part)
        names = tuple(outputs or self._network.outputs)
        last = [self._index[name] for name in names]
        if softmax:
            names = (PROBABILITIES,)
            last = [
                self._append(
                    "SOFTMAX",
                    last,
                    PROBABILITIES,
                    self._network.output_shape,
                    "SoftmaxOptions",
                    Beta=1.0,
                )
            ]
        content = self._file.finish(first, last, attached)
        single = any(isinstance(part.unit.op, (Conv2DTranspose, MatMul)) for part in self._model.units)
        return FakeQuantFile(content, names, tuple(map(self._file.name_of, last)), single)

    # Tensors

    def _new(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        return self._file.add_tensor(name, (1, *shape), np.dtype(dtype))

    def _append(
        self,
        operation: str,
        inputs: Sequence[int],
        name: str,
        shape: Sequence[int],
        kind: Optional[str] = None,
        version: int = 1,
        **fields: Any,
    ) -> int:
        """Append an operation; return its output."""
        result = self._new(name, shape)
        self._file.add_operation(operation, version, inputs, [result], None if kind is None else (kind, fields))
        return result

    def _constant(self, name: str, value: Any, shared: str = "") -> int:
        return self._file.add_constant(name, np.asarray(value, np.float32), shared=shared)

    def _put(
        self,
        part: FakeQuantUnit,
        operation: str,
        inputs: Sequence[int],
        kind: Optional[str] = None,
        version: int = 1,
        **fields: Any,
    ) -> None:
        """Append the operation of a unit, followed by those that break its ties and round its output to the grid."""
        name = part.unit.output
        shape = self._network.shapes[name]
        shown = self._names.get(name, name)
        rest = ["computed"] if part.tie or part.grid is not None else []
        index = self._append(operation, inputs, "/".join([shown, *rest]), shape, kind, version, **fields)
        if part.tie is not None:
            rest = ["tie"] if part.grid is not None else []
            offset = self._tie_offset(shown, index, shape, part.tie)
            index = self._append("ADD", [index, offset], "/".join([shown, *rest]), shape, "AddOptions")
        self._index[name] = self._rounded(shown, index, shape, part.grid)

    def _tie_offset(self, name: str, mean: int, shape: Sequence[int], tie: TieBreaker) -> int:
        """Return what is added to a mean: a constant, or a tensor with one of either sign."""
        if tie.center is None:
            return self._constant(name + "/third", [tie.offset])
        index = mean
        for operation, constant, value in (
            ("SUB", "center", tie.center),
            ("MUL", "slope", tie.slope),
            ("MINIMUM", "third", tie.offset),
            ("MAXIMUM", "minus_third", -tie.offset),
        ):
            options = "MaximumMinimumOptions" if operation in ("MINIMUM", "MAXIMUM") else operation.title() + "Options"
            operands = [index, self._constant(f"{name}/{constant}", [value])]
            index = self._append(operation, operands, f"{name}/to_{constant}", shape, options)
        return index

    def _rounded(self, name: str, index: int, shape: Sequence[int], grid: Optional[AffineGrid]) -> int:
        if grid is None:
            return index
        low, high, num_bits, narrow_range = kernel_range(grid)
        # The network's inputs have their names already.
        last = name + "/rounded" if name in self._network.input_names else name
        if not grid.scale > 0:
            zero = self._constant(name + "/zero", [0.0])
            at_least = self._append("MAXIMUM", [index, zero], name + "/from_zero", shape, "MaximumMinimumOptions")
            return self._append("MINIMUM", [at_least, zero], last, shape, "MaximumMinimumOptions")
        if narrow_range:
            lowest = self._constant(name + "/lowest", [grid.minimum])
            index = self._append("MAXIMUM", [index, lowest], name + "/from_lowest", shape, "MaximumMinimumOptions")
            low, high = kernel_range(AffineGrid(grid.scale, grid.zero_point, num_bits, False))[:2]
        return self._append(
            "FAKE_QUANT",
            [index],
            last,
            shape,
            "FakeQuantOptions",
            Min=float(low),
            Max=float(high),
            NumBits=num_bits,
            NarrowRange=False,
        )

    # Operations with weights

    def _conv2d(self, part: FakeQuantUnit) -> None:
        self._convolution(part, "CONV_2D", part.require_weights().rounded.transpose(3, 0, 1, 2), "Conv2DOptions")

    def _embedding(self, part: FakeQuantUnit) -> None:
        table = self._constant(part.unit.name + ".weights", part.require_weights().rounded, part.unit.weights)
        self._put(part, "GATHER", [table, *self._sources(part)], "GatherOptions", Axis=0)

    def _depthwiseconv2d(self, part: FakeQuantUnit) -> None:
        op, weights = part.unit.op, part.require_weights().rounded
        assert isinstance(op, DepthwiseConv2D)
        self._convolution(
            part,
            "DEPTHWISE_CONV_2D",
            weights.reshape((1, *weights.shape[:2], -1)),
            "DepthwiseConv2DOptions",
            2 if max(op.dilation) > 1 else 1,
            DepthMultiplier=op.depth_multiplier,
        )

    def _convolution(
        self, part: FakeQuantUnit, operation: str, weights: np.ndarray, kind: str, version: int = 1, **fields: Any
    ) -> None:
        op = part.unit.op
        assert isinstance(op, CONVOLUTIONS)
        self._put(
            part,
            operation,
            self._inputs(part, weights),
            kind,
            version,
            **convolution_options(op.strides, op.padding, op.dilation),
            FusedActivationFunction=_fused(part),
            **fields,
        )

    def _groupedconv2d(self, part: FakeQuantUnit) -> None:
        """Append a CONV_2D for each group, between parts of the channels: not all runtimes have groups."""
        op, name = part.unit.op, part.unit.output
        assert isinstance(op, GroupedConv2D)
        image, result = self._network.shapes[part.unit.inputs[0]], self._network.shapes[name]
        weights, kernels = part.require_weights(), part.require_weights().rounded.transpose(3, 0, 1, 2)
        taken, made = image[2] // op.groups, result[2] // op.groups
        fields = convolution_options(op.strides, op.padding, op.dilation)
        pieces = []
        for group in range(op.groups):
            own, outputs = f"{name}/group{group}", slice(group * made, (group + 1) * made)
            piece = Slice("piece", (INPUT,), (0, 0, group * taken), (*image[:2], (group + 1) * taken))
            index = self._moved(piece, self._sources(part)[0], image, own + "/input", (*image[:2], taken))
            inputs = [
                index,
                self._constant(own + ".weights", kernels[outputs], part.unit.weights),
                self._constant(own + ".bias", weights.bias[outputs]),
            ]
            shape = (*result[:2], made)
            pieces.append(
                self._append(
                    "CONV_2D", inputs, own, shape, "Conv2DOptions", FusedActivationFunction=_fused(part), **fields
                )
            )
        self._put(part, "CONCATENATION", pieces, "ConcatenationOptions", Axis=3)

    def _conv2dtranspose(self, part: FakeQuantUnit) -> None:
        """Append a TRANSPOSE_CONV, whose first version has no bias, and an ADD."""
        op, name, shape = part.unit.op, part.unit.output, self._network.shapes[part.unit.output]
        assert isinstance(op, Conv2DTranspose)
        source, weights, bias = self._inputs(part, part.require_weights().rounded.transpose(3, 0, 1, 2))
        size = self._file.add_constant(part.unit.name + "/shape", np.array((1, *shape), np.int32))
        fields = transposed_options(op.strides, op.padding)
        products = self._append(
            "TRANSPOSE_CONV", [size, weights, source], name + "/products", shape, "TransposeConvOptions", **fields
        )
        self._put(part, "ADD", [products, bias], "AddOptions", FusedActivationFunction=_fused(part))

    def _dense(self, part: FakeQuantUnit) -> None:
        self._put(
            part,
            "FULLY_CONNECTED",
            self._inputs(part, part.require_weights().rounded.T),
            "FullyConnectedOptions",
            FusedActivationFunction=_fused(part),
        )

    def _inputs(self, part: FakeQuantUnit, weights: np.ndarray) -> List[int]:
        name = part.unit.name
        return [
            self._index[part.unit.inputs[0]],
            self._constant(name + ".weights", weights, part.unit.weights),
            self._constant(name + ".bias", part.require_weights().bias),
        ]

    # Operations without weights

    def _relu(self, part: FakeQuantUnit) -> None:
        self._put(part, "RELU", self._sources(part))

    def _relu6(self, part: FakeQuantUnit) -> None:
        if part.limit == 6.0:
            self._put(part, "RELU6", self._sources(part))
            return
        name = part.unit.output
        positive = self._append("RELU", self._sources(part), name + "/from_zero", self._network.shapes[name])
        self._put(part, "MINIMUM", [positive, self._constant(name + "/limit", [part.limit])], "MaximumMinimumOptions")

    def _activation(self, part: FakeQuantUnit) -> None:
        op, name = part.unit.op, part.unit.output
        assert isinstance(op, Activation)
        results, steps = self._sources(part), op.definition.tflite(op.parameters)
        for place, step in enumerate(steps):
            inputs = [
                results[0]
                if given == "x"
                else results[given + 1]
                if isinstance(given, int)
                else self._constant(f"{name}/step{place}/operand{position}", [given])
                for position, given in enumerate(step.inputs)
            ]
            kind, fields = FUNCTION_OPTIONS.get(step.operator), dict(step.attributes)
            if place == len(steps) - 1:
                self._put(part, step.operator, inputs, kind, **fields)
                return
            dtype = np.dtype(bool) if step.operator == "GREATER_EQUAL" else _FLOAT
            result = self._file.add_tensor(f"{name}/step{place}", (1, *self._network.shapes[name]), dtype)
            self._file.add_operation(step.operator, 1, inputs, [result], None if kind is None else (kind, fields))
            results.append(result)

    def _maxpool(self, part: FakeQuantUnit) -> None:
        self._pool(part, "MAX_POOL_2D")

    def _averagepool(self, part: FakeQuantUnit) -> None:
        self._pool(part, "AVERAGE_POOL_2D")

    def _pool(self, part: FakeQuantUnit, operation: str) -> None:
        op = part.unit.op
        assert isinstance(op, POOLS)
        self._put(part, operation, self._sources(part), "Pool2DOptions", **pool_options(op))

    def _globalaveragepool(self, part: FakeQuantUnit) -> None:
        axes = self._file.add_constant(part.unit.name + "/axes", np.array([1, 2], np.int32))
        inputs, name = [*self._sources(part), axes], part.unit.output
        if part.factor == 1:
            self._put(part, "MEAN", inputs, "ReducerOptions", KeepDims=False)
            return
        mean = self._append(
            "MEAN", inputs, name + "/mean", self._network.shapes[name], "ReducerOptions", KeepDims=False
        )
        self._put(part, "MUL", [mean, self._constant(name + "/factor", [part.factor])], "MulOptions")

    def _add(self, part: FakeQuantUnit) -> None:
        """Append an ADD, or a chain of them for more than two inputs."""
        name, sources = part.unit.output, self._sources(part)
        total = sources[0]
        for position, source in enumerate(sources[1:-1]):
            total = self._append(
                "ADD", [total, source], f"{name}/sum{position + 1}", self._network.shapes[name], "AddOptions"
            )
        self._put(part, "ADD", [total, sources[-1]], "AddOptions", FusedActivationFunction=_fused(part))

    def _subtract(self, part: FakeQuantUnit) -> None:
        self._put(part, "SUB", self._sources(part), "SubOptions", FusedActivationFunction=_fused(part))

    def _average(self, part: FakeQuantUnit) -> None:
        """Append ADDs and a MUL by the fraction."""
        name, (total, *sources), fused = part.unit.output, self._sources(part), _fused(part)
        for position, source in enumerate(sources):
            total = self._append(
                "ADD", [total, source], f"{name}/sum{position + 1}", self._network.shapes[name], "AddOptions"
            )
        fraction = self._constant(name + "/fraction", [1 / (len(sources) + 1)])
        self._put(part, "MUL", [total, fraction], "MulOptions", FusedActivationFunction=fused)

    def _maximum(self, part: FakeQuantUnit) -> None:
        self._put(part, part.unit.op.kind.upper(), self._sources(part), "MaximumMinimumOptions")

    _minimum = _maximum

    def _multiply(self, part: FakeQuantUnit) -> None:
        self._put(part, "MUL", self._sources(part), "MulOptions", FusedActivationFunction=_fused(part))

    def _matmul(self, part: FakeQuantUnit) -> None:
        assert isinstance(part.unit.op, MatMul)
        given, result = (self._network.shapes[name] for name in (part.unit.inputs[0], part.unit.output))
        last = append_product(self._file, part.unit.op, self._sources(part), given[-1], result, part.unit.output)
        self._put(part, last.name, last.inputs, last.options, **last.fields)

    def _concat(self, part: FakeQuantUnit) -> None:
        op = part.unit.op
        assert isinstance(op, Concat)
        axis = op.axis % len(self._network.shapes[part.unit.output]) + 1
        self._put(part, "CONCATENATION", self._sources(part), "ConcatenationOptions", Axis=axis)

    def _zeropad(self, part: FakeQuantUnit) -> None:
        op = part.unit.op
        assert isinstance(op, ZeroPad)
        widths = np.array([(0, 0), *op.padding, (0, 0)], np.int32)
        self._put(
            part,
            "PAD",
            [*self._sources(part), self._file.add_constant(part.unit.name + "/widths", widths)],
            "PadOptions",
        )

    def _move(self, part: FakeQuantUnit) -> None:
        self._put_move(part, part.unit.op, self._sources(part)[0], self._network.shapes[part.unit.inputs[0]])

    def _moved(self, layer: Layer, source: int, given: Shape, name: str, shape: Shape) -> int:
        """Append the operation of a layer, for an input of the shape ``given``; return its output."""
        ((_, found, _),) = move_steps(layer, given, shape)
        inputs = move_inputs(self._file, name, found, source)
        return self._append(found.name, inputs, name, shape, found.options, **found.fields)

    def _put_move(self, part: FakeQuantUnit, layer: Layer, source: int, given: Shape) -> None:
        shape = self._network.shapes[part.unit.output]
        steps = move_steps(layer, given, shape)
        if len(given) < MOST_AXES:
            ((_, found, _),) = steps
            inputs = move_inputs(self._file, part.unit.name, found, source)
            self._put(part, found.name, inputs, found.options, **found.fields)
            return
        new = partial(self._file.add_tensor, dtype=_FLOAT)
        self._put_reshape(part, append_moves(self._file, part.unit.name, steps, source, new))

    _slice = _permute = _upsamplenearest = _move

    def _upsamplebilinear(self, part: FakeQuantUnit) -> None:
        """Append a RESIZE_BILINEAR that all runtimes have: from the first pixel's center, in steps of half a pixel.

        Its input has one more pixel at each border, and every second one of its output is left out.
        """
        op, name = part.unit.op, part.unit.output
        assert isinstance(op, UpsampleBilinear)
        rows, columns, channels = self._network.shapes[part.unit.inputs[0]]
        padded = (rows + 2, columns + 2, channels)
        fine = (2 * op.size[0] * padded[0], 2 * op.size[1] * padded[1], channels)
        widths = self._file.add_constant(name + "/widths", np.array([(0, 0), (1, 1), (1, 1), (0, 0)], np.int32))
        index = self._append(
            "MIRROR_PAD", [*self._sources(part), widths], name + "/padded", padded, "MirrorPadOptions", Mode=_SYMMETRIC
        )
        size = self._file.add_constant(name + "/size", np.array(fine[:2], np.int32))
        fields = {"AlignCorners": False, "HalfPixelCenters": False}
        index = self._append("RESIZE_BILINEAR", [index, size], name + "/fine", fine, "ResizeBilinearOptions", **fields)
        # From the center of the output's first pixel to behind that of its last.
        start = (op.size[0] + 1, op.size[1] + 1, 0)
        stop = (fine[0] - 3 * op.size[0], fine[1] - 3 * op.size[1], channels)
        self._put_move(part, Slice("centers", (INPUT,), start, stop, (2, 2, 1)), index, fine)

    def _reshape(self, part: FakeQuantUnit) -> None:
        self._put_reshape(part, *self._sources(part))

    def _put_reshape(self, part: FakeQuantUnit, source: int) -> None:
        shape = (-1, *self._network.shapes[part.unit.output])
        constant = self._file.add_constant(part.unit.name + "/shape", np.array(shape, np.int32))
        self._put(part, "RESHAPE", [source, constant], "ReshapeOptions", NewShape=shape)

    _flatten = _reshape

    def _dropout(self, part: FakeQuantUnit) -> None:
        """Append nothing; a softmax may be appended to the output."""
        self._index[part.unit.output] = self._index[part.unit.inputs[0]]

    def _softmax(self, part: FakeQuantUnit) -> None:
        if part.unit.output in self._network.outputs:
            self._dropout(part)
            return
        self._put(part, "SOFTMAX", self._sources(part), "SoftmaxOptions", Beta=1.0)

    def _sources(self, part: FakeQuantUnit) -> List[int]:
        return [self._index[name] for name in part.unit.inputs]


def _fused(part: FakeQuantUnit) -> int:
    return 0 if part.unit.activation is None else _FUSED[part.unit.activation.kind]
