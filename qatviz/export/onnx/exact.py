"""Operations of an ONNX file as integer operators whose accumulators are multiplied in double precision.

In QDQ form a runtime may accumulate in float, and does so for an Add: one of a million codes differs, and in a deep
network more do. (If it multiplies integer accumulators in float32, tie-safe scales give the same codes:
:mod:`qatviz.quant.tie_safe_scales`.) Here the outputs of ConvInteger and MatMulInteger are the accumulators themselves,
and requantization is written out::

    codes = cast(clip(accumulator * multiplier + zero_point + 1/2))

Casting to an unsigned type rounds down. A double holds the product with an error below 2**-44 quantization steps, so
every code is that of the simulator.
"""

from typing import Any, Callable, Optional

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp
from qatviz.export.onnx.file import DOUBLE, INT32, UINT8, OnnxFile
from qatviz.export.onnx.grids import Grids, codes_name, is_wide
from qatviz.export.onnx.storage import Storage, StoredWeights, computed_in_float
from qatviz.network.layer import element_count
from qatviz.quant.exact_sums import MEAN_BIAS, MEAN_WEIGHT

_KINDS = ("Conv2D", "DepthwiseConv2D", "Dense", "GlobalAveragePool", "Add")


class ExactOperations:
    """Builder of nodes with integer operators in a uint8 file."""

    def __init__(self, model: IntegerModel, file: OnnxFile, storage: Storage, grids: Grids):
        self._model, self._file, self._storage, self._grids = model, file, storage, grids

    def supports(self, op: IntegerOp) -> bool:
        """Return whether an operation has this form and needs it: others are exact without it, or computed in float."""
        tensors = [self._model.tensor(name) for name in (*op.inputs, op.output)]
        if op.kind not in _KINDS or any(map(is_wide, tensors)):
            return False
        return op.weights is None or not (
            computed_in_float(self._model, op) or self._weights(op).channel_scales is not None
        )

    def is_exact(self, op: IntegerOp) -> bool:
        """Return whether every code of an operation is the simulator's, in this form or because it has no sums."""
        if op.kind == "AveragePool":
            return not is_wide(self._model.tensor(op.output))
        return op.kind not in _KINDS or self.supports(op)

    def weighted(
        self, op: IntegerOp, operator: str, arrange: Callable[[np.ndarray], np.ndarray], **attributes: Any
    ) -> None:
        """Append ConvInteger or MatMulInteger, with axes of the weights as ``arrange`` orders them."""
        source, stored = self._model.tensor(op.inputs[0]), self._weights(op)
        name, dtype = op.require_weights().name, self._storage.dtype
        inputs = [
            codes_name(source),
            self._file.add_constant(name + ".codes", arrange(stored.codes), dtype),
            self._grids.zero_point(source),
            self._file.add_constant(name + ".zero_point", stored.zero_point.flat[0], dtype),
        ]
        sums = self._file.add_step(operator, inputs, op.name, **attributes)
        shape = (-1,) + (1,) * (len(self._model.tensor(op.output).shape) - 1)
        bias = self._file.add_constant(op.name + ".bias", stored.bias.reshape(shape), np.int32)
        sums = self._file.add_step("Add", [sums, bias], op.name + ".add_bias")
        self._finish(op, self._in_double(sums, op.name), op.require_requantization().real.reshape(shape))

    def global_average(self, op: IntegerOp) -> None:
        source = self._model.tensor(op.inputs[0])
        count = element_count(source.shape[:2])
        value = self._file.add_step("Cast", [codes_name(source)], op.name + ".in_int32", to=INT32)
        axes = self._file.add_constant(op.name + ".axes", [2, 3], np.int64)
        sums = self._in_double(self._file.add_step("ReduceSum", [value, axes], op.name, keepdims=0), op.name)
        less = MEAN_BIAS / MEAN_WEIGHT - count * float(self._storage.stored(source.zero_point))
        sums = self._file.add_step("Add", [sums, self._number(op.name + ".centre", less)], op.name + ".centred")
        self._finish(op, sums, MEAN_WEIGHT * op.require_requantization().real[0])

    def add(self, op: IntegerOp) -> None:
        total = ""
        for place, (name, multiplier) in enumerate(zip(op.inputs, op.require_requantization().real)):
            source, part = self._model.tensor(name), f"{op.name}.term{place}"
            value = self._in_double(codes_name(source), part)
            zero = self._number(part + ".zero_point", self._storage.stored(source.zero_point))
            value = self._file.add_step("Sub", [value, zero], part + ".centred")
            value = self._file.add_step("Mul", [value, self._number(part + ".factor", multiplier)], part)
            if not total:
                total = value
            else:
                node = op.name if place == len(op.inputs) - 1 else part + ".sum"
                total = self._file.add_step("Add", [total, value], node)
        self._finish(op, total)

    def _finish(self, op: IntegerOp, value: str, multiplier: Optional[np.ndarray] = None) -> None:
        output, name = self._model.tensor(op.output), op.output
        if multiplier is not None:
            value = self._file.add_step("Mul", [value, self._number(name + ".factor", multiplier)], name + ".in_steps")
        half_up = self._number(name + ".half_up", float(self._storage.stored(output.zero_point)) + 0.5)
        value = self._file.add_step("Add", [value, half_up], name + ".from_zero_point")
        least, greatest = (float(self._storage.stored(code)) for code in op.clamp)
        # The half keeps the greatest value away from the next code, even if it is rounded itself.
        ends = [self._number(name + ".least", least), self._number(name + ".greatest", greatest + 0.5)]
        value = self._file.add_step("Clip", [value, *ends], name + ".limit")
        codes = self._file.add_node("Cast", [value], codes_name(output), name + ".round_down", to=UINT8)
        self._grids.put_codes(output, codes)

    def _weights(self, op: IntegerOp) -> StoredWeights:
        return self._storage.weights(self._model, op)

    def _in_double(self, value: str, name: str) -> str:
        return self._file.add_step("Cast", [value], name + ".in_double", to=DOUBLE)

    def _number(self, name: str, value: Any) -> str:
        return self._file.add_constant(name, value, np.float64)
