"""Operations of a TFLite file on two tensors: matrix products, and those by position, where axes of length 1 repeat."""

from typing import List

import numpy as np

from qatviz.export.integers.model import IntegerOp
from qatviz.export.tflite.building import OperationBuilder
from qatviz.export.tflite.differences import Differences
from qatviz.export.tflite.file import Quantization
from qatviz.network.elementwise import Average
from qatviz.network.matmul import MatMul


class ElementwiseBuilder(OperationBuilder):
    """Builder of these operations; each ``_<kind>`` method lowers one kind."""

    _differences: Differences

    def _operands(self, op: IntegerOp) -> List[int]:
        shapes = [self._model.tensor(name).shape for name in op.inputs]
        if len(set(shapes)) > 1:
            self._note_axes(op.name, shapes[0])
        return [self._index[name] for name in op.inputs]

    def _add(self, op: IntegerOp) -> None:
        self._append_op(op, lambda index: self._append("ADD", self._operands(op), index, "AddOptions"))

    def _subtract(self, op: IntegerOp) -> None:
        # TFLite has another kernel for int16 scales that are powers of two, unless told otherwise.
        self._append_op(
            op,
            lambda index: self._append("SUB", self._operands(op), index, "SubOptions", PotScaleInt16=False),
        )

    def _average(self, op: IntegerOp) -> None:
        """Append an ADD with as many times the output's scale as there are inputs, and a MUL that leaves its codes."""
        assert isinstance(op.layer, Average)
        output, divisor = self._model.tensor(op.output), op.layer.divisor
        grid = self._grid(output)
        total = self._file.add_tensor(
            output.name + "/sum", (1, *output.shape), self._dtype, grid._replace(scale=divisor * grid.scale)
        )
        self._append("ADD", self._operands(op), total, "AddOptions")
        unit = Quantization(np.float32([1 / divisor]), np.int64([0]))
        fraction = self._file.add_constant(op.name + "/fraction", np.array([1], self._dtype), unit)
        self._append_op(op, lambda index: self._append("MUL", [total, fraction], index, "MulOptions"))

    def _maximum(self, op: IntegerOp) -> None:
        inputs, options = self._operands(op), "MaximumMinimumOptions"
        self._append_op(op, lambda index: self._append(op.kind.upper(), inputs, index, options), result_range=op.clamp)

    _minimum = _maximum

    def _matmul(self, op: IntegerOp) -> None:
        """Append a BATCH_MATMUL; for a factor, its output has another scale, and a MUL leaves its codes."""
        assert isinstance(op.layer, MatMul)
        self._differences.matrices.append(op.name)
        if not op.rounds_twice and np.frexp(op.require_requantization().real[0])[0] == 0.5:
            self._differences.half_ties_down.append(op.name)
        fields = {"AdjX": False, "AdjY": op.layer.transpose_second, "AsymmetricQuantizeInputs": False}
        inputs, factor = [self._index[name] for name in op.inputs], np.float32(op.layer.factor)
        if factor == 1:
            self._append_op(
                op, lambda index: self._append("BATCH_MATMUL", inputs, index, "BatchMatMulOptions", **fields)
            )
            return
        output = self._model.tensor(op.output)
        grid = self._grid(output)
        product = self._file.add_tensor(
            output.name + "/product", (1, *output.shape), self._dtype, grid._replace(scale=grid.scale / factor)
        )
        self._append("BATCH_MATMUL", inputs, product, "BatchMatMulOptions", **fields)
        unit = Quantization(np.float32([factor]), np.int64([0]))
        constant = self._file.add_constant(op.name + "/factor", np.array([1], self._dtype), unit)
        self._append_op(op, lambda index: self._append("MUL", [product, constant], index, "MulOptions"))

    def _multiply(self, op: IntegerOp) -> None:
        self._append_op(op, lambda index: self._append("MUL", self._operands(op), index, "MulOptions"))
