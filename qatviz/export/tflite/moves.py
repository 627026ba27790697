"""Operations of TFLite that select, order, repeat or interpolate elements: as data, for integers and floats."""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.export.tflite.file import TfliteFile
from qatviz.network.checks import Shape
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import Permute, Slice, UpsampleBilinear, UpsampleNearest

#: Most axes, with that of the batch, for which all runtimes have kernels: TensorFlow 1.15 and TFLite Micro, too.
MOST_AXES = 4


class Move(NamedTuple):
    """One operation.

    Attributes
    ----------
    name : str
        That of ``BuiltinOperator``.
    constants : dict of str to np.ndarray
        Its inputs after the first, in order, by kind.
    options : str
        Name of the table with its options.
    fields : dict
        The options.
    """

    name: str
    constants: Dict[str, np.ndarray]
    options: str
    fields: Dict[str, Any]


class MoveStep(NamedTuple):
    """An operation with the shapes of its input and output.

    Shapes have the axis of the batch, with its length in a file of one example: 1, or more if other axes are joined to
    it.
    """

    shape: Shape
    move: Move
    result: Shape


def move_steps(layer: Layer, source: Shape, result: Shape) -> List[MoveStep]:
    """Return the operations of a layer; an input of another shape than the output before it is reshaped.

    There is one, on the shapes of the layer, unless a Slice or Permute has more than :data:`MOST_AXES` axes with that
    of the batch.

    Parameters
    ----------
    source, result : tuple of int
        Shapes of the layer's input and output, without the batch axis.
    """
    if isinstance(layer, Slice):
        return _slice_steps(layer, source)
    if isinstance(layer, Permute):
        return _permute_steps(layer, source)
    if isinstance(layer, UpsampleNearest):
        fields = {"AlignCorners": False, "HalfPixelCenters": False}
        found = Move("RESIZE_NEAREST_NEIGHBOR", {"size": _int32(result[:2])}, "ResizeNearestNeighborOptions", fields)
    else:
        assert isinstance(layer, UpsampleBilinear)
        fields = {"AlignCorners": False, "HalfPixelCenters": True}
        found = Move("RESIZE_BILINEAR", {"size": _int32(result[:2])}, "ResizeBilinearOptions", fields)
    return [MoveStep((1, *source), found, (1, *result))]


def move_inputs(file: TfliteFile, name: str, move: Move, source: int) -> List[int]:
    """Append the constants of an operation, named ``NAME/KIND``; return its inputs, the tensor ``source`` first."""
    return [source, *(file.add_constant(f"{name}/{kind}", array) for kind, array in move.constants.items())]


def append_moves(
    file: TfliteFile,
    name: str,
    steps: Sequence[MoveStep],
    source: int,
    new: Callable[[str, Shape], int],
    versions: Mapping[str, int] = {},
) -> int:
    """Append several steps, each with a reshape of its input; return their output.

    Parameters
    ----------
    new : callable
        Appends a tensor, of a name and a shape with the batch axis.
    """
    for number, step in enumerate(steps):
        own = f"{name}/{number}"
        given = new(own + "/given", step.shape)
        append_reshape(file, own, source, given, step.shape)
        inputs, source = move_inputs(file, own, step.move, given), new(own, step.result)
        move = step.move
        file.add_operation(move.name, versions.get(move.name, 1), inputs, [source], (move.options, move.fields))
    return source


def append_reshape(file: TfliteFile, name: str, source: int, result: int, shape: Shape) -> None:
    """Append a reshape to a shape with the batch axis, whose length follows from the number of examples."""
    target = (-1, *shape[1:])
    constant = file.add_constant(name + "/shape", np.array(target, np.int32))
    file.add_operation("RESHAPE", 1, [source, constant], [result], ("ReshapeOptions", {"NewShape": target}))


class _Axis(NamedTuple):
    """An axis, or several joined ones: length, and the positions that are selected."""

    size: int
    part: range

    @property
    def is_whole(self) -> bool:
        return len(self.part) == self.size


def _slice_steps(layer: Slice, source: Shape) -> List[MoveStep]:
    """Return one operation; with more axes, some that select from two or three axes each."""
    axes = [_Axis(size, range(size)[part]) for size, part in zip(source, layer.slices)]
    if len(axes) < MOST_AXES:
        return [_strided_slice(axes)]
    steps: List[MoveStep] = []
    while not steps or not all(axis.is_whole for axis in axes):
        axes, rest = _joined(axes), []
        if len(axes) >= MOST_AXES:
            axes, rest = axes[: MOST_AXES - 2], axes[MOST_AXES - 2 :]
        steps.append(_strided_slice([*axes, _whole(rest)] if rest else axes))
        axes = [_Axis(len(axis.part), range(len(axis.part))) for axis in axes]
        axes += rest
    return steps


def _joined(axes: Sequence[_Axis]) -> List[_Axis]:
    """Return the axes with neighbours joined of which all elements are selected."""
    found: List[_Axis] = []
    for axis in axes:
        if found and found[-1].is_whole and axis.is_whole:
            axis = _whole([found.pop(), axis])
        found.append(axis)
    return found


def _whole(axes: Sequence[_Axis]) -> _Axis:
    """Return several axes as one, all of whose elements are selected."""
    size = element_count(tuple(axis.size for axis in axes))
    return _Axis(size, range(size))


def _strided_slice(axes: Sequence[_Axis]) -> MoveStep:
    # Not SLICE, with which LiteRT refuses batches.
    bounds = {
        "begin": _int32((0, *(axis.part.start for axis in axes))),
        "end": _int32((0, *(axis.part.stop for axis in axes))),
        "strides": _int32((1, *(axis.part.step for axis in axes))),
    }
    # Bit 0 of the masks: begin and end of the batch axis are ignored.
    masks = {"BeginMask": 1, "EndMask": 1, "EllipsisMask": 0, "NewAxisMask": 0, "ShrinkAxisMask": 0}
    shape, result = (1, *(axis.size for axis in axes)), (1, *(len(axis.part) for axis in axes))
    return MoveStep(shape, Move("STRIDED_SLICE", bounds, "StridedSliceOptions", masks), result)


def _permute_steps(layer: Permute, source: Shape) -> List[MoveStep]:
    """Return one operation; with more axes, some that each move a group of axes forward, which remain neighbours."""
    groups: List[Tuple[int, ...]] = [(axis,) for axis in layer.axes[:1]]
    for axis in layer.axes[1:]:
        if len(source) >= MOST_AXES and axis == groups[-1][-1] + 1:
            groups[-1] += (axis,)
        else:
            groups.append((axis,))
    order = sorted(groups)

    def size(part: Sequence[Tuple[int, ...]]) -> int:
        return element_count(tuple(source[axis] for group in part for axis in group))

    if len(groups) < MOST_AXES:
        return [_transpose((1, *(size([group]) for group in order)), [order.index(group) + 1 for group in groups])]
    steps = []
    for place, group in enumerate(groups):
        now = order.index(group)
        if now != place:
            # The axes that are in place already are joined to that of the batch.
            shape = (size(order[:place]), size(order[place:now]), size([group]), size(order[now + 1 :]))
            steps.append(_transpose(shape, [2, 1, 3]))
            order.insert(place, order.pop(now))
    return steps


def _transpose(shape: Shape, axes: Sequence[int]) -> MoveStep:
    """Return an exchange of the axes behind that of the batch."""
    move = Move("TRANSPOSE", {"axes": _int32((0, *axes))}, "TransposeOptions", {})
    return MoveStep(shape, move, (shape[0], *(shape[axis] for axis in axes)))


def _int32(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int32)
