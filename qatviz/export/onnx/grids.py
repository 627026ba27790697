"""Nodes of an ONNX file that round values to the grids of the integer model's tensors: through codes, or in float."""

from typing import Any, List, Sequence, Tuple

import numpy as np

from qatviz.export.integers.model import IntegerTensor
from qatviz.export.onnx.file import OnnxFile
from qatviz.export.onnx.storage import BITS, LIMITS, Storage

Clamp = Tuple[int, int]
#: Type of codes of more than 8 bits where a file has them.
_WIDE = np.dtype(np.int16)
_ENDS = ("least", "greatest")


def is_wide(tensor: IntegerTensor) -> bool:
    """Return whether a tensor has more than 8 bits: it is stored as int16 codes, or rounded in float."""
    return tensor.num_bits > BITS


def codes_name(tensor: IntegerTensor) -> str:
    """Return the name of a tensor's codes; its own name is that of its values."""
    return tensor.name + ".codes"


class Grids:
    """Builder of nodes that round values to grids.

    Parameters
    ----------
    file : OnnxFile
    storage : Storage
    int16 : bool
        True if tensors of more than 8 bits have codes too, int16; else they are rounded in float.
    """

    def __init__(self, file: OnnxFile, storage: Storage, int16: bool):
        self._file, self._storage, self._int16 = file, storage, int16

    def has_codes(self, tensor: IntegerTensor) -> bool:
        """Return whether a tensor is stored as codes, and not rounded in float."""
        return self._int16 or not is_wide(tensor)

    def put(self, tensor: IntegerTensor, value: str, clamp: Clamp) -> None:
        """Round ``value`` to the grid of a tensor, with codes in ``clamp``."""
        if not is_wide(tensor):
            self._quantize(tensor, value, clamp)
        elif self._int16:
            self._quantize_wide(tensor, value, clamp)
        else:
            self._round(tensor, value, clamp, tensor.name)

    def put_half_up(self, tensor: IntegerTensor, value: str) -> None:
        """Round ``value`` with ties as in training: the input of QuantizeLinear is on the grid already."""
        if self.has_codes(tensor):
            value = self._round(tensor, value, tensor.bounds, tensor.name + ".on_grid")
        self.put(tensor, value, tensor.bounds)

    def put_activated(self, tensor: IntegerTensor, value: str, clamp: Clamp, activated: bool) -> None:
        """Round ``value`` to the grid of a tensor, with codes in ``clamp``, the bounds of the grid and an activation.

        On a grid of all 8-bit codes, the activation is a Relu or Clip of the value, which compilers fuse with
        QuantizeLinear; it is not repeated if ``value`` is ``activated`` already. On other grids, a Clip of the codes
        includes the activation.
        """
        if tensor.bounds == LIMITS != clamp and clamp[0] < clamp[1]:
            if not activated:
                value = self.activation(tensor, value, clamp, tensor.name + ".activation")
            clamp = LIMITS
        self.put(tensor, value, clamp)

    def activation(self, tensor: IntegerTensor, value: str, clamp: Clamp, name: str) -> str:
        """Append the ReLU or ReLU6 with the bounds ``clamp``, before rounding; return the result."""
        if clamp[1] == tensor.bounds[1]:
            return self._node("Relu", [value], name)
        return self._node("Clip", [value, *self._ends(tensor, clamp, name)], name)

    def pass_on(self, tensor: IntegerTensor, value: str, name: str) -> str:
        """Quantize and dequantize ``value``, which has the values of ``tensor`` in another order.

        This way, operations that only move values have codes on both sides, too.
        """
        if not self.has_codes(tensor):
            return value
        grid = self._grid(tensor)
        codes = self._file.add_node("QuantizeLinear", [value, *grid], name + ".codes", name + ".quantize")
        return self._file.add_node("DequantizeLinear", [codes, *grid], name + ".on_grid", name + ".dequantize")

    def put_codes(self, tensor: IntegerTensor, codes: str) -> None:
        """Dequantize ``codes`` to the tensor's values."""
        self._file.add_node("DequantizeLinear", [codes, *self._grid(tensor)], tensor.name, tensor.name + ".dequantize")

    def apart(self, tensors: Sequence[IntegerTensor], name: str) -> List[str]:
        """Return the names of the values of tensors, each another one.

        onnxruntime 1.10 removes the DequantizeLinear of an operation's inputs once for each of them, and fails at the
        second time. It merges nodes with the same inputs before, so that a scale of their own keeps them apart.
        """
        found: List[str] = []
        for place, tensor in enumerate(tensors):
            value = tensor.name
            if value in found and self.has_codes(tensor):
                again = f"{name}.input{place}"
                grid = [self._number(again + ".scale", tensor.scale), self.zero_point(tensor)]
                value = self._file.add_node(
                    "DequantizeLinear", [codes_name(tensor), *grid], again, again + ".dequantize"
                )
            found.append(value)
        return found

    def relative_codes(self, tensor: IntegerTensor, center: int, name: str) -> str:
        """Return the codes of a tensor minus ``center``, in float; above 8 bits, ``center`` must be the zero point."""
        if is_wide(tensor):
            steps = self._node("Div", [tensor.name, self._number(name + ".unit", tensor.scale)], name + ".steps")
            return self._node("Round", [steps], name + ".whole_steps")
        return self._node("DequantizeLinear", [codes_name(tensor), *self._whole(name, center)], name + ".relative")

    def put_relative_codes(self, tensor: IntegerTensor, value: str, center: int) -> None:
        """Round ``value``, in quantization steps from ``center`` and within the grid, to the tensor's values."""
        if is_wide(tensor):
            steps = self._node("Round", [value], tensor.name + ".rounded")
            scale, name = self._number(tensor.name + ".scale", tensor.scale), tensor.name + ".on_grid"
            if self._int16:
                self._quantize_wide(tensor, self._file.add_step("Mul", [steps, scale], name), tensor.bounds)
            else:
                self._file.add_node("Mul", [steps, scale], tensor.name, name)
            return
        grid = self._whole(tensor.name, center)
        self.put_codes(
            tensor, self._file.add_node("QuantizeLinear", [value, *grid], codes_name(tensor), tensor.name + ".quantize")
        )

    def _whole(self, name: str, center: int) -> List[str]:
        """Return scale 1 and ``center`` as zero point."""
        return [self._number(name + ".unit", 1.0), self._codes(name + ".center", center)]

    def zero_point(self, tensor: IntegerTensor) -> str:
        """Return the name of a tensor's zero point, as stored."""
        if is_wide(tensor):
            return self._file.add_constant(tensor.name + ".zero_point", tensor.zero_point, _WIDE)
        return self._codes(tensor.name + ".zero_point", tensor.zero_point)

    def _quantize(self, tensor: IntegerTensor, value: str, clamp: Clamp) -> None:
        name, grid = tensor.name, self._grid(tensor)
        limited = tuple(clamp) != LIMITS
        rounded = name + ".rounded" if limited else codes_name(tensor)
        codes = self._file.add_node("QuantizeLinear", [value, *grid], rounded, name + ".quantize")
        if limited:
            ends = [self._codes(f"{name}.{end}_code", limit) for end, limit in zip(_ENDS, clamp)]
            codes = self._file.add_node("Clip", [codes, *ends], codes_name(tensor), name + ".limit")
        self.put_codes(tensor, codes)

    def _quantize_wide(self, tensor: IntegerTensor, value: str, clamp: Clamp) -> None:
        """Quantize to int16. Limits within the type are those of the value: runtimes have no Clip of int16."""
        name, limits = tensor.name, np.iinfo(_WIDE)
        if tuple(clamp) != (limits.min, limits.max):
            value = self._node("Clip", [value, *self._ends(tensor, clamp, name + ".code")], name + ".limit")
        grid = self._grid(tensor)
        self.put_codes(
            tensor, self._file.add_node("QuantizeLinear", [value, *grid], codes_name(tensor), name + ".quantize")
        )

    def _round(self, tensor: IntegerTensor, value: str, clamp: Clamp, output: str) -> str:
        """Append ``floor((clip(x) - lowest) / scale + 1/2) * scale + lowest``, as in training."""
        name, grid = tensor.name, tensor.grid
        lowest, scale = self._number(name + ".lowest", grid.minimum), self._number(name + ".scale", grid.scale)
        value = self._node("Clip", [value, *self._ends(tensor, clamp, name)], name + ".clip")
        value = self._node("Sub", [value, lowest], name + ".above_lowest")
        value = self._node("Div", [value, scale], name + ".steps")
        value = self._node("Add", [value, self._number(name + ".half", 0.5)], name + ".half_up")
        value = self._node("Floor", [value], name + ".whole_steps")
        value = self._node("Mul", [value, scale], name + ".scaled")
        return self._file.add_node("Add", [value, lowest], output, name + ".on_grid")

    def _grid(self, tensor: IntegerTensor) -> List[str]:
        return [self._number(tensor.name + ".scale", tensor.scale), self.zero_point(tensor)]

    def _ends(self, tensor: IntegerTensor, clamp: Clamp, name: str) -> List[str]:
        """Return constants with the values of two codes, computed as in training."""
        return [
            self._number(f"{name}.{end}", np.float32(code - tensor.zero_point) * np.float32(tensor.scale))
            for end, code in zip(_ENDS, clamp)
        ]

    def _node(self, operator: str, inputs: Sequence[str], name: str) -> str:
        return self._file.add_step(operator, inputs, name)

    def _number(self, name: str, value: Any) -> str:
        return self._file.add_constant(name, value, np.float32)

    def _codes(self, name: str, codes: Any) -> str:
        return self._file.add_constant(name, self._storage.stored(codes), self._storage.dtype)
