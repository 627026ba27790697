"""Layers that combine the values of two or more inputs at each position: sums, products, extremes.

Two inputs have the same number of axes; one of length 1 is repeated along that of the other. More than two inputs have
the same shape.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.layer import Layer, Shapes


@dataclass(frozen=True)
class Elementwise(Layer):
    """Base class of the layers that combine inputs position by position."""

    min_inputs: ClassVar[int] = 2
    max_inputs: ClassVar[Optional[int]] = None

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._check_input_count("input_shapes", input_shapes)
        shapes = [tuple(shape) for shape in input_shapes]
        if len(shapes) > 2:
            if len(set(shapes)) > 1:
                allowed = f"the same shape for more than two inputs of {self.kind}"
                raise checks.invalid_value(self._where("input shapes"), tuple(shapes), allowed)
            return shapes[0]
        first, second = shapes
        fit = all(one == other or 1 in (one, other) for one, other in zip(first, second))
        if len(first) != len(second) or not fit:
            allowed = f"equal numbers of axes, each of the same length or of length 1, for {self.kind}"
            raise checks.invalid_value(self._where("input shapes"), (first, second), allowed)
        return tuple(map(max, first, second))


@dataclass(frozen=True)
class Sum(Elementwise):
    """Base class of sums of inputs, each with a sign, divided by a number."""

    @property
    def signs(self) -> Tuple[int, ...]:
        """1 for each input that is added, -1 for one that is subtracted."""
        return (1,) * len(self.inputs)

    @property
    def divisor(self) -> int:
        """Number by which the sum is divided."""
        return 1


@dataclass(frozen=True)
class Add(Sum):
    """Sum of two or more inputs."""


@dataclass(frozen=True)
class Subtract(Sum):
    """Difference of two inputs: the first less the second."""

    max_inputs: ClassVar[Optional[int]] = 2

    @property
    def signs(self) -> Tuple[int, ...]:
        return (1, -1)


@dataclass(frozen=True)
class Average(Sum):
    """Mean of two inputs; a mean of more would have ties that each runtime rounds in its own way."""

    max_inputs: ClassVar[Optional[int]] = 2

    @property
    def divisor(self) -> int:
        return 2


@dataclass(frozen=True)
class Multiply(Elementwise):
    """Product of two inputs."""

    max_inputs: ClassVar[Optional[int]] = 2


@dataclass(frozen=True)
class Maximum(Elementwise):
    """Larger of two inputs."""

    max_inputs: ClassVar[Optional[int]] = 2


@dataclass(frozen=True)
class Minimum(Elementwise):
    """Smaller of two inputs."""

    max_inputs: ClassVar[Optional[int]] = 2


EXTREMES = (Maximum, Minimum)
"""Layers whose output values are values of their inputs, so that inputs and output share one grid."""
