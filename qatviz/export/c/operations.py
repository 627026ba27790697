"""C source of each kind of operation: its constants, and the function of the runtime that computes it."""

from types import MappingProxyType
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple, Union

import numpy as np

from qatviz.errors import ExportError, Refusal, SettingChange
from qatviz.export.c.arrays import INT8, array, storage, stored_weights, weights_note, weights_offset
from qatviz.export.c.views import viewed_axes
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.network.elementwise import Sum
from qatviz.network.layer import element_count
from qatviz.network.layers import (
    CONVOLUTIONS,
    POOLS,
    Concat,
    Conv2DTranspose,
    GroupedConv2D,
    ZeroPad,
)
from qatviz.network.matmul import MatMul
from qatviz.quant.softmax_codes import exponentials, follows_kernel

#: Endings of an operation's identifiers.
SUFFIXES = (
    "_op",
    "_weights",
    "_weights_offset",
    "_bias",
    "_multiplier",
    "_shift",
    "_in_storage",
    "_input_offset",
    "_piece",
    "_exponentials",
    "_kernel_sum",
    "_table",
    "_row_position",
    "_column_position",
)
#: Types of arrays that differ from those of their dtypes: the runtime's own, which depend on its kernels.
_ARRAY_TYPES = {"shift": "qnn_shift"}
#: Source that only programs with CMSIS-NN's kernels contain.
_WITH_CMSIS_NN = "#ifdef QATVIZ_NN_USE_CMSIS_NN\n{}\n#endif"
_Q31 = 31
#: Number of axes of the runtime's function that moves codes, and of those that combine two inputs.
_AXES, _FACTOR_AXES = 6, 4
_WEIGHTED_FUNCTIONS = {
    "GroupedConv2D": "qnn_grouped_conv2d",
    "DepthwiseConv2D": "qnn_depthwise_conv2d",
    "Conv2DTranspose": "qnn_transposed_conv2d",
}
#: Name of a field of a C struct, and its value.
Field = Tuple[str, Union[str, int]]
#: Fields of a convolution's kernel, strides, dilation and padding.
_WINDOW = (
    "kernel_height",
    "kernel_width",
    "stride_height",
    "stride_width",
    "dilation_height",
    "dilation_width",
    "pad_top",
    "pad_left",
)


class Source(NamedTuple):
    """Source of an operation.

    Attributes
    ----------
    definitions : str
        Definitions of its constants.
    function : str
        Name of the runtime's function.
    nbytes : int
        Size of the arrays among the constants (bytes).
    output_nbytes : int
        Size of its output's codes (bytes).
    many : bool
        True if the function has a list of inputs.
    """

    definitions: str
    function: str
    nbytes: int
    output_nbytes: int
    many: bool = False


def operation(model: IntegerModel, op: IntegerOp, stem: str, pack: bool, codes_stem: str) -> Source:
    """Return the source of an operation, whose identifiers begin with ``stem``.

    Parameters
    ----------
    codes_stem : str
        Beginning of the identifier of its weights or table: not ``stem`` if they are those of an operation before.
    pack : bool
        Store weights of up to 4 bits two per byte.

    Raises
    ------
    ExportError
        If the operation has more axes than the runtime's function.
    """
    sources, output = [model.tensor(name) for name in op.inputs], model.tensor(op.output)
    if op.weights is not None:
        return _weighted(op, sources, output, stem, pack, codes_stem)
    if op.kind == "Embedding":
        return _rows(op, sources[0], output, stem, codes_stem)
    return _KINDS[op.kind](op, sources, output, stem, pack)


def bounds(stem: str, tensor: IntegerTensor, clamp: Tuple[int, int]) -> Source:
    """Return the source that clamps a tensor's codes."""
    fields: List[Field] = [("count", element_count(tensor.shape)), ("storage", storage(tensor.dtype)), *_clamp(clamp)]
    return _source(tensor, [], stem, {}, "bounds", fields, "qnn_clamp")


def widened(stem: str, tensor: IntegerTensor, dtype: np.dtype) -> Source:
    """Return the source that copies a tensor's codes of 8 bits to an array of a wider type."""
    half = 2 ** (tensor.num_bits - 1)
    return _lookup(stem, tensor, tensor, np.arange(-half, half, dtype=dtype))


def softmax(logits: IntegerTensor, stem: str) -> Source:
    """Return the source that computes the codes of probabilities from those of logits."""
    fields: List[Field] = [
        ("rows", element_count(logits.shape[:-1])),
        ("count", logits.shape[-1]),
        ("exponentials", stem + "_exponentials"),
    ]
    arrays = {"exponentials": exponentials(logits.scale)}
    return _source(logits, [], stem, arrays, "probabilities", fields, "qnn_softmax")


def _weighted(
    op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool, codes_stem: str
) -> Source:
    weights, requantization, layer = op.require_weights(), op.require_requantization(), op.layer
    ((kind, codes),) = stored_weights(op, pack).items()
    offset = weights_offset(weights)
    wide = weights.bias.dtype == np.int64
    arrays = {
        "weights": codes if codes_stem == stem else codes[:0],  # defined before, if they are those of another one
        "weights_offset": offset,
        "bias": weights.bias,
        "multiplier": requantization.multiplier.astype(np.int32),
        "shift": (_Q31 - requantization.right_shift).astype(np.int8),
    }
    for_cmsis_nn: Dict[str, np.ndarray] = {}
    in_shape, out_shape = sources[0].shape, output.shape
    if isinstance(layer, Conv2DTranspose):
        window = (*layer.kernel_size, *layer.strides, 1, 1, *_top_left(op))
    elif isinstance(layer, CONVOLUTIONS):
        window = (*layer.kernel_size, *layer.strides, *layer.dilation, *_top_left(op))
    else:  # a Dense is a convolution of one pixel
        in_shape, out_shape = (1, 1, *in_shape), (1, 1, *out_shape)
        window = (1, 1, 1, 1, 1, 1, 0, 0)
        if kind == INT8 and not (wide or len(offset)):
            sums = codes.reshape(len(weights.bias), -1).sum(axis=1, dtype=np.int32)
            for_cmsis_nn["kernel_sum"] = weights.bias - np.int32(sources[0].zero_point) * sums
    fields: List[Field] = [
        ("in", _shape(in_shape, sources[0])),
        ("out", _shape(out_shape, output)),
        *zip(_WINDOW, window),
        ("weights", codes_stem + "_weights"),
        ("weights_storage", kind),
        ("weights_offset", stem + "_weights_offset" if len(offset) else "0"),
        ("bias", "0" if wide else stem + "_bias"),
        ("wide_bias", stem + "_bias" if wide else "0"),
        ("multiplier", stem + "_multiplier"),
        ("shift", stem + "_shift"),
        ("input_offset", -sources[0].zero_point),
        ("output_offset", output.zero_point),
        *_clamp(op.clamp),
    ]
    struct = "conv"
    if isinstance(layer, GroupedConv2D):
        struct = "grouped_conv"
        fields = [*((f"conv.{name}", value) for name, value in fields), ("groups", layer.groups)]
    return _source(
        output,
        [weights_note(weights)],
        stem,
        arrays,
        struct,
        fields,
        _WEIGHTED_FUNCTIONS.get(op.kind, "qnn_conv2d"),
        for_cmsis_nn=for_cmsis_nn,
    )


def _pool(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    layer = op.layer
    assert isinstance(layer, POOLS)
    names = ("pool_height", "pool_width", "stride_height", "stride_width", "pad_top", "pad_left")
    fields: List[Field] = [
        ("in", _shape(sources[0].shape, sources[0])),
        ("out", _shape(output.shape, output)),
        *zip(names, (*layer.pool_size, *layer.strides, *_top_left(op))),
        ("tie_center", op.tie_center or 0),
        *_clamp(op.clamp),
    ]
    function = {"MaxPool": "qnn_max_pool", "AveragePool": "qnn_average_pool"}[op.kind]
    return _source(output, [], stem, {}, "pool", fields, function)


def _mean(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    requantization = op.require_requantization()
    fields: List[Field] = [
        ("in", _shape(sources[0].shape, sources[0])),
        ("out", _shape((1, 1, *output.shape), output)),
        ("multiplier", int(requantization.multiplier[0])),
        ("shift", _Q31 - int(requantization.right_shift[0])),
        ("input_offset", -sources[0].zero_point),
        ("output_offset", output.zero_point),
        *_clamp(op.clamp),
    ]
    return _source(output, [], stem, {}, "mean", fields, "qnn_global_average")


def _add(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    assert isinstance(op.layer, Sum)
    if any(source.shape != output.shape for source in sources) or (op.rounds_terms and -1 in op.layer.signs):
        return _pair(op, sources, output, stem, pack)
    requantization = op.require_requantization()
    multipliers = requantization.multiplier.astype(np.int32)
    arrays = {
        "input_offset": np.int32([-source.zero_point for source in sources]),
        "multiplier": multipliers if op.rounds_terms else multipliers * np.int32(op.layer.signs),
    }
    kinds = (
        f"static const qnn_storage {stem}_in_storage[{len(sources)}] = "
        f"{{{', '.join(storage(source.dtype) for source in sources)}}};"
    )
    shift: Union[str, int] = _Q31 - int(requantization.right_shift[0])
    struct, function = "sum", "qnn_add"
    if op.rounds_terms:
        struct, function, shift = "rounded_sum", "qnn_add_rounded", stem + "_shift"
        arrays["shift"] = (_Q31 - requantization.right_shift).astype(np.int8)
    fields: List[Field] = [
        ("count", element_count(output.shape)),
        ("inputs", len(sources)),
        ("in_storage", stem + "_in_storage"),
        ("input_offset", stem + "_input_offset"),
        ("multiplier", stem + "_multiplier"),
        ("out_storage", storage(output.dtype)),
        ("shift", shift),
        ("output_offset", output.zero_point),
        *_clamp(op.clamp),
    ]
    return _source(output, [kinds], stem, arrays, struct, fields, function, many=True)


def _pair(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    """Return the source of an operation on two inputs, one of which may be repeated along axes."""
    function = "qnn_add_pair" if isinstance(op.layer, Sum) else f"qnn_{op.kind.lower()}"
    function += "_rounded" * (op.rounds_terms or op.rounds_twice)
    factors: List[Field] = []
    if op.requantization is not None:
        factors.append(("multiplier", _braced(op.requantization.multiplier.tolist())))
        factors.append(("shift", _braced((_Q31 - op.requantization.right_shift).tolist())))
    if isinstance(op.layer, Sum):
        factors.append(("sign", op.layer.signs[1]))
    strides = [_broadcast_strides(source.shape, output.shape) for source in sources]
    fields: List[Field] = [
        ("count", _braced((1,) * (_FACTOR_AXES - len(output.shape)) + output.shape)),
        ("stride", _braced(map(_braced, strides))),
        ("in_storage", _braced(storage(source.dtype) for source in sources)),
        ("input_offset", _braced(-source.zero_point for source in sources)),
        *factors,
        ("out_storage", storage(output.dtype)),
        ("output_offset", output.zero_point),
        *_clamp(op.clamp),
    ]
    return _source(output, [], stem, {}, "pair", fields, function, many=True)


def _broadcast_strides(shape: Tuple[int, ...], result: Tuple[int, ...]) -> List[int]:
    """Return the distances between neighbours along the axes of the result; 0 where an input is repeated."""
    if len(shape) > _FACTOR_AXES:
        raise ExportError(f"tensors of {len(shape)} axes are combined; the C runtime has up to {_FACTOR_AXES} of them")
    strides = [element_count(shape[axis + 1 :]) * (shape[axis] > 1) for axis in range(len(shape))]
    return [0] * (_FACTOR_AXES - len(shape)) + strides


def _concat(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    assert isinstance(op.layer, Concat)
    axis = op.layer.axis % len(output.shape)
    pieces = np.int32([element_count(source.shape[axis:]) for source in sources])
    fields: List[Field] = [
        ("outer", element_count(output.shape[:axis])),
        ("inputs", len(sources)),
        ("piece", stem + "_piece"),
        ("storage", storage(output.dtype)),
        *_clamp(op.clamp),
    ]
    return _source(output, [], stem, {"piece": pieces}, "join", fields, "qnn_concat", many=True)


def _softmax(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    if not follows_kernel(sources[0].grid, output.grid):
        raise ExportError.refused(
            Refusal(
                f"{output.quantizer}: the C runtime's softmax takes and returns codes of up to 8 bits, with scale "
                "1/256 and zero point -128",
                (
                    SettingChange(output.quantizer + ".num_bits", 8),
                    SettingChange(output.quantizer + ".symmetric", False),
                ),
            )
        )
    return softmax(sources[0], stem)


def _zero_pad(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    assert isinstance(op.layer, ZeroPad)
    (top, _), (left, _) = op.layer.padding
    fields: List[Field] = [
        ("in", _shape(sources[0].shape, sources[0])),
        ("out", _shape(output.shape, output)),
        ("pad_top", top),
        ("pad_left", left),
        ("zero_point", output.zero_point),
    ]
    return _source(output, [], stem, {}, "border", fields, "qnn_pad")


def _view(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    axes, first = viewed_axes(op.layer, sources[0].shape)
    if len(axes) > _AXES:
        raise ExportError(
            f"layer {op.name!r}: moves codes along {len(axes)} axes; the C runtime has up to {_AXES} of them"
        )
    axes = [(1, 0)] * (_AXES - len(axes)) + axes
    count, stride = map(_braced, zip(*axes))
    fields: List[Field] = [
        ("count", count),
        ("stride", stride),
        ("first", first),
        ("storage", storage(output.dtype)),
    ]
    return _source(output, [], stem, {}, "view", fields, "qnn_gather")


def _matrices(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    assert isinstance(op.layer, MatMul)
    requantization, terms = op.require_requantization(), sources[0].shape[-1]
    rows, columns = output.shape[-2:]
    fields: List[Field] = [
        ("count", element_count(output.shape[:-2])),
        *(("rows", rows), ("columns", columns), ("terms", terms)),
        ("stride", _braced((1, terms) if op.layer.transpose_second else (columns, 1))),
        ("in_storage", _braced(storage(source.dtype) for source in sources)),
        ("input_offset", _braced(-source.zero_point for source in sources)),
        ("multiplier", int(requantization.multiplier[0])),
        ("shift", _Q31 - int(requantization.right_shift[0])),
        ("out_storage", storage(output.dtype)),
        ("output_offset", output.zero_point),
        *_clamp(op.clamp),
    ]
    function = "qnn_matmul" + "_rounded" * op.rounds_twice
    return _source(output, [], stem, {}, "matrices", fields, function, many=True)


def _interpolation(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    rows, columns, unit = op.require_positions()
    fields: List[Field] = [
        ("in", _shape(sources[0].shape, sources[0])),
        ("out", _shape(output.shape, output)),
        ("row_position", stem + "_row_position"),
        ("column_position", stem + "_column_position"),
        ("unit", unit),
        ("tie_center", op.require_tie_center()),
    ]
    arrays = {"row_position": rows, "column_position": columns}
    return _source(output, [], stem, arrays, "interpolation", fields, "qnn_interpolate")


def _function(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    return _lookup(stem, sources[0], output, op.require_table())


def _rows(op: IntegerOp, source: IntegerTensor, output: IntegerTensor, stem: str, codes_stem: str) -> Source:
    table = op.require_table()
    fields: List[Field] = [
        ("count", element_count(source.shape)),
        ("rows", len(table)),
        ("columns", table.shape[1]),
        ("storage", storage(table.dtype)),
        ("table", codes_stem + "_table"),
    ]
    own = table if codes_stem == stem else table[:0]  # defined before, if it is that of another one
    return _source(output, [], stem, {"table": own}, "table", fields, "qnn_embedding")


def _lookup(stem: str, source: IntegerTensor, output: IntegerTensor, table: np.ndarray) -> Source:
    fields: List[Field] = [
        ("count", element_count(output.shape)),
        ("in_storage", storage(source.dtype)),
        ("out_storage", storage(table.dtype)),
        ("lowest", source.bounds[0] - source.narrow_range),
        ("table", stem + "_table"),
    ]
    return _source(output, [], stem, {"table": table}, "function", fields, "qnn_lookup")


def _clamp_only(op: IntegerOp, sources: List[IntegerTensor], output: IntegerTensor, stem: str, pack: bool) -> Source:
    return bounds(stem, output, op.clamp)


_KINDS: Dict[str, Callable[..., Source]] = {
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _mean,
    "Add": _add,
    "Subtract": _add,
    "Average": _add,
    "Multiply": _pair,
    "MatMul": _matrices,
    "Maximum": _pair,
    "Minimum": _pair,
    "Softmax": _softmax,
    "Concat": _concat,
    "Activation": _function,
    "ZeroPad": _zero_pad,
    "Slice": _view,
    "Permute": _view,
    "UpsampleNearest": _view,
    "UpsampleBilinear": _interpolation,
    "ReLU": _clamp_only,
    "ReLU6": _clamp_only,
}
"""Functions that return the source of an operation without weights, by its kind; Flatten and Reshape have none."""


def _source(
    output: IntegerTensor,
    notes: Sequence[str],
    stem: str,
    arrays: Dict[str, np.ndarray],
    struct: str,
    fields: Sequence[Field],
    function: str,
    many: bool = False,
    for_cmsis_nn: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Source:
    """Return the source of an operation with its arrays, and with fields of their own for those ``for_cmsis_nn``."""
    present = {name: values for name, values in arrays.items() if len(values)}
    parts = list(notes)
    parts += [array(f"{stem}_{name}", values, c_type=_ARRAY_TYPES.get(name)) for name, values in present.items()]
    parts += [_WITH_CMSIS_NN.format(array(f"{stem}_{name}", values)) for name, values in for_cmsis_nn.items()]
    lines = [_WITH_CMSIS_NN.format(f"    .{name} = {stem}_{name},") + "\n" for name in for_cmsis_nn]
    lines.append(",\n".join("    .{} = {}".format(*field) for field in fields))
    parts.append(f"static const qnn_{struct} {stem}_op = {{\n{''.join(lines)}}};")
    return Source(
        "\n".join(parts),
        function,
        sum(values.nbytes for values in present.values()),
        element_count(output.shape) * output.dtype.itemsize,
        many,
    )


def _shape(shape: Tuple[int, ...], tensor: IntegerTensor) -> str:
    return "{{{}, {}, {}, {}}}".format(*shape, storage(tensor.dtype))


def _braced(values: Iterable[Union[str, int]]) -> str:
    """Return the initializer of an array."""
    return f"{{{', '.join(map(str, values))}}}"


def _top_left(op: IntegerOp) -> Tuple[int, int]:
    """Return the number of rows above and of columns to the left that a convolution or pool pads."""
    (top, _), (left, _) = op.require_pads()
    return top, left


def _clamp(clamp: Tuple[int, int]) -> List[Field]:
    return [("activation_min", clamp[0]), ("activation_max", clamp[1])]
