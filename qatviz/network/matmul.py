"""Product of two activations as matrices, as in attention."""

from dataclasses import dataclass
from typing import ClassVar, Optional

from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.layer import Layer, Shapes, element_count, setting

#: Largest factor of a product.
_LARGEST = 1e6


@dataclass(frozen=True)
class MatMul(Layer):
    """Matrix product of two inputs along their last two axes, times `factor`; all other axes are equal.

    The first input is [..., rows, terms], the second one [..., terms, columns], or with `transpose_second`
    [..., columns, terms].
    """

    transpose_second: bool = setting(checks.boolean, default=False)
    factor: float = setting(checks.number_in(0, _LARGEST, "(]"), default=1.0)

    min_inputs: ClassVar[int] = 2
    max_inputs: ClassVar[Optional[int]] = 2

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._check_input_count("input_shapes", input_shapes)
        first, second = input_shapes
        matrix = second[-2:][::-1] if self.transpose_second else second[-2:]
        fits = len(matrix) == 2 and len(first) == len(second) and first[:-2] == second[:-2] and first[-1] == matrix[0]
        if not fits:
            right = "[..., columns, terms]" if self.transpose_second else "[..., terms, columns]"
            allowed = f"[..., rows, terms] and {right}, with all other axes equal"
            raise checks.invalid_value(self._where("input shapes"), (tuple(first), tuple(second)), allowed)
        return (*first[:-1], matrix[1])

    def macs(self, input_shapes: Shapes) -> int:
        return element_count(self.output_shape(input_shapes)) * input_shapes[0][-1]
