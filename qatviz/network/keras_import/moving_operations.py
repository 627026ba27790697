"""Operations between layers that move, select, add or pool elements, as the layers that compute the same."""

# Apart from the other operations, which would not fit in one module.

from typing import Any, Dict, List, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.call_arguments import Tensor
from qatviz.network.keras_import.config import KERAS3_OPERATION, LayerSpec
from qatviz.network.keras_import.graph_nodes import SLICE_MASKS
from qatviz.network.keras_import.moves import DEPTH_TO_SPACE, EXPAND_DIMS, PAD, SPACE_TO_DEPTH, SQUEEZE, SWAP_AXES
from qatviz.network.keras_import.operation_arguments import KerasLayerOf, only_tensors, option, refuse_others
from qatviz.network.keras_import.records import shortened

#: Kind of the layer that returns a part of a tensor; Keras has no layer for it.
SLICING = "SlicingOpLambda"
#: Kind of the layer that joins tensors along a new axis; Keras has no layer for it.
STACK = "Stack"
#: Kind of the layers for the parts of a split tensor; Keras has no layer for it.
SPLIT = "Split"


def _stack(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    axis = option(spec, "axis", 0)
    only_tensors(spec)
    refuse_others(spec, "axis")
    return STACK, {"axis": axis}


def _split(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    """Return a part of ``split``: its sections are a number, or sizes in TensorFlow, positions in Keras 3."""
    by_positions = spec.kind == KERAS3_OPERATION
    sections = option(spec, "indices_or_sections" if by_positions else "num_or_size_splits", None)
    refuse_others(spec, "axis", "num_or_size_splits", "indices_or_sections")
    axis = option(spec, "axis", 0)
    return SPLIT, {"axis": axis, "sections": sections, "by_positions": by_positions, "part": spec.output}


def _unstack(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    axis = option(spec, "axis", 0)
    refuse_others(spec, "axis", "num")
    if axis != -1 and (type(axis) is not int or axis < 1):
        raise NetworkError(f"it takes the axis {shortened(axis)} apart; supported: 1 and above, or -1")
    whole: List[Any] = [{}] * axis if axis > 0 else [...]
    return SLICING, {"key": [*whole, spec.output]}


def _reshape(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    shape = option(spec, "newshape", None) or option(spec, "shape", None)
    refuse_others(spec, "shape", "newshape")
    if (
        not isinstance(shape, list)
        or shape[:1] not in ([-1], [None])
        or not all(type(axis) is int for axis in shape[1:])
    ):
        raise NetworkError(f"it reshapes to {shortened(shape)}; supported: (-1, ...), which keeps the batch")
    return "Reshape", {"target_shape": shape[1:]}


def _transpose(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    axes = option(spec, "perm", None) or option(spec, "axes", None)
    refuse_others(spec, "perm", "axes")
    if not isinstance(axes, list) or axes[:1] != [0]:
        raise NetworkError(f"it exchanges axes as {shortened(axes)} says; supported: a list of axes, [0, ...]")
    return "Permute", {"dims": axes[1:]}


def _pad(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    widths = option(spec, "paddings", None) or option(spec, "pad_width", None)
    mode, value = option(spec, "mode", "constant"), option(spec, "constant_values", 0) or 0
    refuse_others(spec, "paddings", "pad_width", "mode", "constant_values")
    if str(mode).lower() != "constant" or value != 0:
        what = f"with {shortened(value)}" if value else f"in the mode {shortened(mode)}"
        raise NetworkError(f"it pads {what}; supported: with zeros")
    return PAD, {"paddings": widths}


def _resize(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    """Return the Resizing of TensorFlow's or Keras 3's ``resize``, which resizes images of height and width."""
    flags = ("preserve_aspect_ratio", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")
    size = option(spec, "size", None)
    method = option(spec, "method", None) or option(spec, "interpolation", "bilinear")
    only_tensors(spec)
    refuse_others(spec, "images", "size", "method", "interpolation", *flags)
    for name in flags:
        if option(spec, name, False):
            raise NetworkError(f"it is called with {name}=True; supported: False")
    if not isinstance(size, list) or len(size) != 2:
        raise NetworkError(f"it resizes to {shortened(size)}; supported: a height and a width")
    return "Resizing", {"height": size[0], "width": size[1], "interpolation": method}


def _with_options(kind: str, *names: str) -> KerasLayerOf:
    """Return the layer of an operation on one tensor, with its other arguments as settings."""

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        only_tensors(spec)
        refuse_others(spec, *names)
        return kind, {name: option(spec, name, None) for name in names}

    return layer_of


def _getitem(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    """Return the layer of ``x[key]``: an item of the key is a slice, as an object, a position, or an ellipsis."""
    key = option(spec, "slice_spec", None)
    if key is None:
        operands = [value for value in spec.arguments.args if not isinstance(value, Tensor)]
        key = operands[0] if len(operands) == 1 else None
    return SLICING, {"key": key if isinstance(key, list) else [key]}


def _strided_slice(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
    """Return the layer of ``x[key]`` in a graph of TensorFlow 1, whose key is in three lists and five masks."""
    bounds = [option(spec, name, None) for name in ("begin", "end", "strides")]
    masks = [option(spec, name, 0) for name in SLICE_MASKS]
    if not all(isinstance(bound, list) and len(bound) == len(bounds[0] or ()) for bound in bounds):
        raise NetworkError(f"it selects the part {shortened(bounds)}; supported: slices and positions")
    key: List[Any] = []
    for place, (begin, end, step) in enumerate(zip(*bounds)):
        is_open, is_endless, is_ellipsis, is_new, is_position = (bool(mask >> place & 1) for mask in masks)
        if is_new:
            key.append(None)
        elif is_ellipsis:
            key.append(Ellipsis)
        elif is_position:
            key.append(begin)
        else:
            key.append({"start": None if is_open else begin, "stop": None if is_endless else end, "step": step})
    return SLICING, {"key": key}


def _pool(kind: str) -> KerasLayerOf:
    """Return the layer of a pooling of images, whose window has one size, two, or four with those of all axes."""

    def layer_of(spec: LayerSpec) -> Tuple[str, Dict[str, Any]]:
        size = option(spec, "pool_size", None) or option(spec, "ksize", None)
        strides, padding = option(spec, "strides", None) or size, option(spec, "padding", "valid")
        only_tensors(spec)
        refuse_others(spec, "pool_size", "ksize", "strides", "padding")
        pair, steps = ([*x[1:3]] if isinstance(x, list) and len(x) == 4 else x for x in (size, strides))
        return kind, {"pool_size": pair, "strides": steps, "padding": str(padding).lower()}

    return layer_of


#: By names in lower case without underscores.
MOVES: Dict[str, KerasLayerOf] = {
    "transpose": _transpose,
    "pad": _pad,
    "squeeze": _with_options(SQUEEZE, "axis"),
    "expanddims": _with_options(EXPAND_DIMS, "axis"),
    "depthtospace": _with_options(DEPTH_TO_SPACE, "block_size"),
    "spacetodepth": _with_options(SPACE_TO_DEPTH, "block_size"),
    "resize": _resize,
    "reshape": _reshape,
    "getitem": _getitem,
    "stridedslice": _strided_slice,
    "stack": _stack,
    "split": _split,
    "unstack": _unstack,
    "maxpool": _pool("MaxPooling2D"),
    "averagepool": _pool("AveragePooling2D"),
    "swapaxes": _with_options(SWAP_AXES, "axis1", "axis2"),
}
