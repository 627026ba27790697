"""Lowering of a trained network to an ONNX file in float, without quantization.

Values have the names that other exports use: "input", the layers' names for their outputs, "logits" for those of a
layer whose name is that of probabilities (:func:`qatviz.export.integers.model.logits_name`), and ``<layer>.weights``
and ``<layer>.bias`` for parameters, in which batch norm is folded. Each layer is one node, each activation a Relu or a
Clip of its own, so that tools that quantize the file find every tensor of the run. All other names contain a dot.

Inside of the file, images are [N, channels, rows, columns]. Flatten and Reshape are computed in TensorFlow's order of
elements, between two Transposes, so that the weights behind them are those of the run.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.export.fake_quant.model import FakeQuantModel, FakeQuantUnit
from qatviz.export.formats import Options
from qatviz.export.integers.bounds import padding
from qatviz.export.integers.model import logits_names
from qatviz.export.onnx.description import onnx_text
from qatviz.export.onnx.file import FileText, OnnxFile, Port, properties
from qatviz.export.onnx.functions import append_form
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
from qatviz.export.onnx.limits import NCHW, NHWC, OPSET_13
from qatviz.export.onnx.matrices import put_product
from qatviz.export.source import ExportSource
from qatviz.network.activations import Activation
from qatviz.network.checks import INPUT
from qatviz.network.layers import CONVOLUTIONS, POOLS, Concat, Conv2DTranspose, Softmax, ZeroPad
from qatviz.network.matmul import MatMul

#: Name of the output with probabilities, if the network has no softmax layer at its end to name it after.
PROBABILITIES = "softmax"
#: Display name of the file's kind.
TITLE = "ONNX, float"
#: Upper end of a ReLU6.
_SIX = 6.0


class FloatFile(NamedTuple):
    """ONNX file; see :class:`qatviz.export.onnx.lowering.OnnxModel` for the fields of the same names."""

    content: bytes
    outputs: Tuple[str, ...]
    layout: str
    ports: Tuple[str, ...]
    channels_last: bool


def float_file(
    model: FakeQuantModel,
    softmax: bool = False,
    layout: str = NHWC,
    outputs: Optional[Sequence[str]] = None,
    text: FileText = FileText(),
    opset: str = OPSET_13,
) -> FloatFile:
    """Return the ONNX file of a model in float.

    Parameters
    ----------
    model : FakeQuantModel
        Without quantization.
    softmax : bool
        Append a softmax: the output is probabilities instead of logits.
    layout : str
        "nhwc", or "nchw" for images with channels first.
    outputs : sequence of str, optional
        Layers that are the outputs instead, for inspection; images have channels first.
    text : FileText
        Description of the file.
    opset : str
        Operator set: "13", "19" or "21".

    Raises
    ------
    ExportError
        If the package ``onnx`` is missing.
    """
    return _Lowering(model, layout, opset).run(softmax, outputs, text)


def shipped_file(model: FakeQuantModel, source: ExportSource, options: Options) -> FloatFile:
    """Return the file to ship, for the options of :data:`qatviz.export.formats.ONNX_FLOAT`."""
    text = onnx_text(source, TITLE, INPUT, options["layout"])
    return float_file(model, options["softmax"], options["layout"], text=text, opset=options["opset"])


class _Lowering:
    """Builder of a file; each ``_<kind>`` method adds one kind of layer."""

    def __init__(self, model: FakeQuantModel, layout: str, opset: str):
        self._model, self._network, self._layout = model, model.network, layout
        about = dict(model.metadata, network=model.network.name, version=__version__)
        self._file = OnnxFile(model.network.name, properties(about), opset)
        #: Names of values by layer; a layer that computes nothing has the value of its input.
        self._names: Dict[str, str] = {}
        self._logits = logits_names(model.network)

    def run(self, softmax: bool, outputs: Optional[Sequence[str]], text: FileText) -> FloatFile:
        sources = [self._input(*given) for given in self._network.inputs]
        for part in self._model.units:
            getattr(self, "_" + part.unit.op.kind.lower())(part)
        names = tuple(outputs or self._network.outputs)
        values = [self._names[name] for name in names]
        if softmax:
            name = PROBABILITIES
            if isinstance(self._network.layer(self._network.output), Softmax):
                name = self._network.output
            self._file.add_node("Softmax", values, name, name, axis=-1)
            names, values = (name,), [name]
        shapes = [tuple(self._network.shapes[name]) for name in (self._network.outputs if softmax else names)]
        is_last = outputs is None and self._layout == NHWC
        ports: List[Port] = []
        for index, (value, shape) in enumerate(zip(values, shapes)):
            # Several outputs have one value if layers compute nothing, such as a Dropout.
            step = f"{value}.{index}" if value in values[:index] else value
            if is_last and len(shape) == 3:
                value = self._file.add_step("Transpose", [value], step + ".channels_last", perm=TO_CHANNELS_LAST)
            elif step != value:
                value = self._file.add_step("Identity", [value], step)
            ports.append(Port(value, np.dtype(np.float32), shape if is_last else channels_first(shape)))
        in_file = tuple(port.name for port in ports)
        return FloatFile(self._file.finish(sources, ports, text), names, self._layout, in_file, is_last)

    def _input(self, name: str, shape: Tuple[int, ...]) -> Port:
        """Append an input; return its port."""
        self._names[name] = name
        if len(shape) == 3 and self._layout != NCHW:
            self._names[name] = self._file.add_step(
                "Transpose", [name], name + ".channels_first", perm=TO_CHANNELS_FIRST
            )
        return Port(
            name, np.dtype(self._network.input_type(name)), channels_first(shape) if self._layout == NCHW else shape
        )

    def _sources(self, part: FakeQuantUnit) -> List[str]:
        return [self._names[name] for name in part.unit.inputs]

    def _put(self, part: FakeQuantUnit, operator: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Append a layer as one node, and its activation as another."""
        unit = part.unit
        output = self._logits.get(unit.output, unit.output) if unit.activation is None else unit.name
        self._names[unit.output] = self._file.add_node(operator, inputs, output, unit.name, **attributes)
        if unit.activation is not None:
            self._rectifier(unit.activation.kind, output, unit.output)

    def _rectifier(self, kind: str, value: str, name: str) -> None:
        if kind == "ReLU":
            self._names[name] = self._file.add_node("Relu", [value], name, name)
            return
        ends = [
            self._file.add_constant(f"{name}.{end}", number, np.float32)
            for end, number in (("least", 0), ("greatest", _SIX))
        ]
        self._names[name] = self._file.add_node("Clip", [value, *ends], name, name)

    # Layers with weights

    def _conv2d(self, part: FakeQuantUnit) -> None:
        self._convolution(part, lambda weights: weights.transpose(3, 2, 0, 1), **group_attributes(part.unit.op))

    _groupedconv2d = _conv2d

    def _depthwiseconv2d(self, part: FakeQuantUnit) -> None:
        rows, columns, channels, _ = part.require_weights().values.shape
        self._convolution(
            part, lambda weights: weights.reshape(rows, columns, 1, -1).transpose(3, 2, 0, 1), group=channels
        )

    def _convolution(self, part: FakeQuantUnit, arrange: Callable[[np.ndarray], np.ndarray], **attributes: Any) -> None:
        op = part.unit.op
        assert isinstance(op, CONVOLUTIONS)
        attributes.update(kernel_attributes(op.kernel_size, op.strides, self._pads(part), op.dilation))
        self._put(part, "Conv", self._weighted(part, arrange), **attributes)

    def _conv2dtranspose(self, part: FakeQuantUnit) -> None:
        op = part.unit.op
        assert isinstance(op, Conv2DTranspose)
        weighted = self._weighted(part, lambda weights: weights.transpose(2, 3, 0, 1))
        self._put(part, "ConvTranspose", weighted, **transposed_attributes(op, self._pads(part)))

    def _dense(self, part: FakeQuantUnit) -> None:
        self._put(part, "Gemm", self._weighted(part, lambda weights: weights))

    def _weighted(self, part: FakeQuantUnit, arrange: Callable[[np.ndarray], np.ndarray]) -> List[str]:
        """Return the inputs of a node with weights, with axes as ``arrange`` orders them, and bias."""
        weights, unit = part.require_weights(), part.unit
        return [
            *self._sources(part),
            self._file.add_constant(unit.name + ".weights", arrange(weights.values), np.float32, unit.weights),
            self._file.add_constant(unit.name + ".bias", weights.bias, np.float32, unit.bias),
        ]

    def _embedding(self, part: FakeQuantUnit) -> None:
        (ids,), unit, shapes = self._sources(part), part.unit, self._network.shapes
        if len(shapes[unit.inputs[0]]) == 3:
            ids = self._file.add_step("Transpose", [ids], unit.name + ".ids_last", perm=TO_CHANNELS_LAST)
        values, weights = part.require_weights().values, unit.name + ".weights"
        table = self._file.add_constant(weights, values, np.float32, unit.weights)
        if len(shapes[unit.output]) != 3:
            self._put(part, "Gather", [table, ids], axis=0)
            return
        rows = self._file.add_step("Gather", [table, ids], unit.name + ".rows", axis=0)
        self._put(part, "Transpose", [rows], perm=TO_CHANNELS_FIRST)

    # Layers without weights

    def _relu(self, part: FakeQuantUnit) -> None:
        self._rectifier(part.unit.op.kind, self._sources(part)[0], part.unit.output)

    _relu6 = _relu

    def _activation(self, part: FakeQuantUnit) -> None:
        op, name = part.unit.op, part.unit.output
        assert isinstance(op, Activation)
        self._names[name] = append_form(self._file, op, self._sources(part)[0], name, name)

    def _maxpool(self, part: FakeQuantUnit) -> None:
        self._pool(part, "MaxPool")

    def _averagepool(self, part: FakeQuantUnit) -> None:
        self._pool(part, "AveragePool", count_include_pad=0)

    def _pool(self, part: FakeQuantUnit, operator: str, **attributes: Any) -> None:
        op = part.unit.op
        assert isinstance(op, POOLS)
        attributes.update(kernel_attributes(op.pool_size, op.strides, self._pads(part)))
        self._put(part, operator, self._sources(part), **attributes)

    def _globalaveragepool(self, part: FakeQuantUnit) -> None:
        inputs, attributes = self._file.reduction_axes(part.unit.name, (2, 3))
        self._put(part, "ReduceMean", [*self._sources(part), *inputs], keepdims=0, **attributes)

    def _combine(self, part: FakeQuantUnit) -> None:
        self._put(part, combining_operator(part.unit.op), self._sources(part))

    _add = _subtract = _average = _multiply = _maximum = _minimum = _combine

    def _matmul(self, part: FakeQuantUnit) -> None:
        op, name = part.unit.op, part.unit.name
        assert isinstance(op, MatMul)
        rank = len(self._network.shapes[part.unit.output])
        operator, inputs, attributes = put_product(self._file, op, self._sources(part), rank, name)
        self._put(part, operator, inputs, **attributes)

    def _concat(self, part: FakeQuantUnit) -> None:
        op = part.unit.op
        assert isinstance(op, Concat)
        rank = len(self._network.shapes[part.unit.output])
        self._put(part, "Concat", self._sources(part), axis=concat_axis(op.axis, rank))

    def _zeropad(self, part: FakeQuantUnit) -> None:
        op = part.unit.op
        assert isinstance(op, ZeroPad)
        widths = self._file.add_constant(part.unit.name + ".widths", padding_widths(op.padding), np.int64)
        self._put(part, "Pad", [*self._sources(part), widths])

    def _move(self, part: FakeQuantUnit) -> None:
        unit = part.unit
        found = move(unit.op, len(self._network.shapes[unit.inputs[0]]))
        inputs = [*self._sources(part), *self._file.add_inputs(unit.name, found)]
        self._put(part, found.operator, inputs, **found.attributes)

    _slice = _permute = _upsamplenearest = _upsamplebilinear = _move

    def _reshape(self, part: FakeQuantUnit) -> None:
        unit, name = part.unit, part.unit.name
        (value,), shape = self._sources(part), tuple(self._network.shapes[unit.output])
        if len(self._network.shapes[unit.inputs[0]]) == 3:
            value = self._file.add_step("Transpose", [value], name + ".channels_last", perm=TO_CHANNELS_LAST)
        target = self._file.add_constant(name + ".shape", (-1, *shape), np.int64)
        if len(shape) != 3:
            self._put(part, "Reshape", [value, target])
            return
        value = self._file.add_step("Reshape", [value, target], name + ".reshaped")
        self._put(part, "Transpose", [value], perm=TO_CHANNELS_FIRST)

    _flatten = _reshape

    def _dropout(self, part: FakeQuantUnit) -> None:
        """Append nothing; a softmax may be appended to the output."""
        self._names[part.unit.output] = self._sources(part)[0]

    def _softmax(self, part: FakeQuantUnit) -> None:
        if part.unit.output in self._network.outputs:
            self._dropout(part)
            return
        is_image = len(self._network.shapes[part.unit.output]) == 3
        self._put(part, "Softmax", self._sources(part), axis=1 if is_image else -1)

    def _pads(self, part: FakeQuantUnit) -> Tuple[Tuple[int, int], Tuple[int, int]]:
        shapes = self._network.shapes
        pads = padding(part.unit.op, shapes[part.unit.inputs[0]], shapes[part.unit.output])
        assert pads is not None, part.unit.name
        return pads
