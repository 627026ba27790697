"""Operations of a TFLite file that copy codes: from tables, concatenation, padding, reshapes, selection and order."""

# A separate module, because the lowering would be too long with it.

from typing import Any, Callable, List

import numpy as np

from qatviz.export.integers.model import IntegerOp
from qatviz.export.tflite.elementwise import ElementwiseBuilder
from qatviz.export.tflite.file import VERSIONS, tensor_type
from qatviz.export.tflite.moves import MOST_AXES, append_moves, move_inputs, move_steps
from qatviz.export.tflite.storage import code_offset
from qatviz.network.checks import Shape
from qatviz.network.layers import Concat, UpsampleBilinear, ZeroPad

_FLOAT32 = np.dtype(np.float32)
#: Largest number of tensors that TFLite Micro concatenates at once.
_MOST_JOINED = 10


class CopyBuilder(ElementwiseBuilder):
    """Builder of these operations; each ``_<kind>`` method lowers one kind."""

    def _concat(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, Concat)
        output = self._model.tensor(op.output)
        place = op.layer.axis % len(output.shape)
        inputs = [self._index[name] for name in op.inputs]
        self._note_axes(op.name, output.shape)
        lengths = [self._model.tensor(name).shape[place] for name in op.inputs]
        while len(inputs) > _MOST_JOINED:
            joined = (*output.shape[:place], sum(lengths[:_MOST_JOINED]), *output.shape[place + 1 :])
            index = self._new(output, f"{output.name}/first_{len(op.inputs) - len(inputs) + _MOST_JOINED}", joined)
            self._append_concatenation(inputs[:_MOST_JOINED], index, place)
            inputs, lengths = [index, *inputs[_MOST_JOINED:]], [joined[place], *lengths[_MOST_JOINED:]]
        self._append_op(op, lambda index: self._append_concatenation(inputs, index, place), result_range=op.clamp)

    def _append_concatenation(self, inputs: List[int], result: int, place: int) -> None:
        self._append("CONCATENATION", inputs, result, "ConcatenationOptions", Axis=place + 1)

    def _embedding(self, op: IntegerOp) -> None:
        codes = op.require_table().astype(np.int64) + code_offset(self._model.tensor(op.output), self._dtype)
        self._append_gather(op, codes, lambda: self._index[op.inputs[0]], f"{op.layer.owner}/table")

    def _append_gather(self, op: IntegerOp, table: np.ndarray, place: Callable[[], int], shared: str = "") -> None:
        """Append ``op`` as a GATHER from a table of the file's codes, int64.

        TFLite Micro's has no int16: there, the codes are whole numbers in float32.

        Parameters
        ----------
        place : callable
            Appends the operations that compute the positions in the table; returns the index of their result.
        shared : str
            Name of the table if other operations may have the same.
        """
        output, name = self._model.tensor(op.output), op.name + "/table"
        if self._micro and self._dtype == np.int16:
            values = self._file.add_constant(name, table.astype(_FLOAT32), shared=shared)
            position = place()
            entry = self._file.add_tensor(op.name + "/entry", (1, *output.shape), _FLOAT32)
            self._file.add_operation("GATHER", 1, [values, position], [entry], ("GatherOptions", {"Axis": 0}))
            types: Any = {"InDataType": tensor_type(_FLOAT32), "OutDataType": tensor_type(self._dtype)}
            self._append_op(
                op, lambda index: self._append("CAST", [entry], index, "CastOptions", **types), result_range=op.clamp
            )
            return
        if self._dtype == np.int16:
            self._differences.not_micro.append(op.name)
        values = self._file.add_constant(name, table.astype(self._dtype), self._grid(output), shared)
        position = place()
        self._append_op(
            op,
            lambda index: self._append("GATHER", [values, position], index, "GatherOptions", Axis=0),
            result_range=op.clamp,
        )

    def _zeropad(self, op: IntegerOp) -> None:
        assert isinstance(op.layer, ZeroPad)
        widths = self._file.add_constant(op.name + "/widths", np.array([(0, 0), *op.layer.padding, (0, 0)], np.int32))
        self._append_op(
            op,
            lambda index: self._append("PAD", [self._index[op.inputs[0]], widths], index, "PadOptions"),
            result_range=op.clamp,
        )

    def _move(self, op: IntegerOp) -> None:
        source, output = self._model.tensor(op.inputs[0]), self._model.tensor(op.output)
        first = self._index[source.name]
        if isinstance(op.layer, UpsampleBilinear):
            self._differences.interpolated.append(op.name)
            if self._dtype == np.int16:
                self._differences.not_micro.append(op.name)
        steps = move_steps(op.layer, source.shape, output.shape)
        if len(source.shape) < MOST_AXES:
            ((_, found, _),) = steps
            inputs = move_inputs(self._file, op.name, found, first)
            self._append_op(
                op,
                lambda index: self._append(found.name, inputs, index, found.options, **found.fields),
                result_range=op.clamp,
            )
            return

        def new(name: str, shape: Shape) -> int:
            return self._file.add_tensor(name, shape, self._dtype, self._grid(output))

        moved = append_moves(self._file, op.name, steps, first, new, VERSIONS[self._dtype.name])
        self._append_op(
            op, lambda index: self._append_reshape(moved, index, op.name, output.shape), result_range=op.clamp
        )

    _slice = _permute = _upsamplenearest = _upsamplebilinear = _move

    def _reshape(self, op: IntegerOp) -> None:
        shape = self._model.tensor(op.output).shape
        self._append_op(
            op,
            lambda index: self._append_reshape(self._index[op.inputs[0]], index, op.name, shape),
            result_range=op.clamp,
        )

    _flatten = _reshape

    def _relu(self, op: IntegerOp) -> None:
        """Append an activation that is not fused: its input is on the same grid, and within its bounds."""
        output = self._model.tensor(op.output)
        self._index[op.output] = self._clamped(output, self._index[op.inputs[0]], op.clamp, output.bounds)

    _relu6 = _relu
