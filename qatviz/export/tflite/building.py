"""Builder of a TFLite file of integers, common to all operations: tensors on grids of the model, reshapes, clamps."""

from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.tflite.differences import Differences
from qatviz.export.tflite.file import INT4_VERSIONS, VERSIONS, Quantization, TfliteFile
from qatviz.export.tflite.moves import MOST_AXES, append_reshape
from qatviz.export.tflite.storage import code_offset
from qatviz.network.checks import Shape

_ENDS = ("lowest", "highest")

Range = Tuple[int, int]


class OperationBuilder:
    """Builder of a file, whose operations its subclasses lower.

    Parameters
    ----------
    model : IntegerModel
    dtype : np.dtype
        Type of the activations.
    packed : bool
        True to store INT4 weights as such.
    micro : bool
        True to use only operations that TFLite Micro has.
    """

    def __init__(self, model: IntegerModel, dtype: np.dtype, packed: bool, micro: bool):
        self._model, self._dtype, self._packed, self._micro = model, dtype, packed, micro
        self._differences = Differences()
        facts = [f"{name} {value}" for name, value in sorted(model.metadata.items())]
        self._file = TfliteFile(", ".join([f"qatviz {__version__}: {model.name}", *facts]))
        self._index: Dict[str, int] = {}

    # Tensors

    def _new(self, tensor: IntegerTensor, name: str, shape: Optional[Sequence[int]] = None) -> int:
        """Append a tensor on the grid of ``tensor``; return its index. ``shape`` is without the batch axis."""
        shape = tensor.shape if shape is None else tuple(shape)
        if tensor.ids:
            return self._file.add_tensor(name, (1, *shape), tensor.dtype)
        return self._file.add_tensor(name, (1, *shape), self._dtype, self._grid(tensor))

    def _grid(self, tensor: IntegerTensor) -> Quantization:
        zero_point = tensor.zero_point + code_offset(tensor, self._dtype)
        return Quantization(np.float32([tensor.scale]), np.int64([zero_point]))

    def _limits(self, tensor: IntegerTensor) -> Range:
        """Return the limits of the type, in codes of the model."""
        limits, offset = np.iinfo(self._dtype), code_offset(tensor, self._dtype)
        return limits.min - offset, limits.max - offset

    def _append(
        self,
        name: str,
        inputs: Sequence[int],
        output: int,
        kind: Optional[str] = None,
        int4: bool = False,
        dtype: Optional[np.dtype] = None,
        **fields: Any,
    ) -> None:
        """Append an operation; ``dtype`` is the type of its codes, by default that of the file."""
        versions = INT4_VERSIONS if int4 and self._packed else VERSIONS[(dtype or self._dtype).name]
        options = None if kind is None else (kind, fields)
        self._file.add_operation(name, versions.get(name, 1), inputs, [output], options)

    def _append_op(
        self,
        op: IntegerOp,
        write: Callable[[int], None],
        shape: Optional[Tuple[int, ...]] = None,
        result_range: Optional[Range] = None,
    ) -> None:
        """Append an operation, then those that reshape and clamp its result to the output of ``op``.

        Parameters
        ----------
        write : callable
            Appends the operation, given the index of its result.
        shape : tuple of int, optional
            Shape of its result; by default that of the output.
        result_range : (int, int), optional
            Range of its result, in codes of the model; by default that of the type.
        """
        output = self._model.tensor(op.output)
        shape = output.shape if shape is None else shape
        result_range = self._limits(output) if result_range is None else result_range
        reshaped, clamped = shape != output.shape, result_range != op.clamp
        index = self._new(output, output.name + ("/computed" if reshaped or clamped else ""), shape)
        write(index)
        if reshaped:
            index = self._reshaped(output, index, output.name + ("/reshaped" if clamped else ""), output.shape)
        self._index[output.name] = self._clamped(output, index, op.clamp, result_range)

    def _reshaped(self, tensor: IntegerTensor, index: int, name: str, shape: Tuple[int, ...]) -> int:
        """Append a reshape of ``tensor``, which is at ``index``; return the index of the result."""
        result = self._new(tensor, name, shape)
        self._append_reshape(index, result, name, shape)
        return result

    def _append_reshape(self, index: int, result: int, name: str, shape: Tuple[int, ...]) -> None:
        append_reshape(self._file, name, index, result, (1, *shape))

    def _note_axes(self, name: str, shape: Shape) -> None:
        """Note an operation that TensorFlow 1.15 does not have for a tensor of many axes."""
        if len(shape) >= MOST_AXES:
            self._differences.many_axes.append(name)

    # Clamps

    def _clamped(self, tensor: IntegerTensor, index: int, clamp: Range, result_range: Range) -> int:
        """Clamp ``tensor``, which is at ``index``, to ``clamp``; return the index of the result.

        Nothing is appended for a limit that its present range ``result_range`` has already.
        """
        sides = [side for side in (0, 1) if clamp[side] != result_range[side]]
        if sides:
            self._note_axes(tensor.name, tensor.shape)
        for side in sides:
            limit = np.array([clamp[side] + code_offset(tensor, self._dtype)], self._dtype)
            constant = self._file.add_constant(f"{tensor.name}/{_ENDS[side]}", limit, self._grid(tensor))
            # The network's inputs have their names already.
            named = side == sides[-1] and all(tensor.name != given.name for given in self._model.inputs)
            result = self._new(tensor, tensor.name if named else f"{tensor.name}/from_{_ENDS[side]}")
            self._append(("MAXIMUM", "MINIMUM")[side], [index, constant], result, "MaximumMinimumOptions")
            index = result
        return index
