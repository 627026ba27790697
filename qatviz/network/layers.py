"""The kinds of layers a network is made of: frozen records that know their shapes and hold no graph code.

Shapes are without the batch axis and in TensorFlow's order: (height, width, channels) for images. Wherever a pair
(rows, columns) is expected, one integer stands for both. Every method that takes `input_shapes` expects one shape for
each name in `inputs`, in that order, and raises `NetworkError` naming the layer when they do not fit.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Dict, Optional, Tuple, Type

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Pair, Shape
from qatviz.network.layer import Layer, Shapes, element_count, setting


@dataclass(frozen=True)
class Conv2D(Layer):
    """2-D convolution; parameters "weights" [rows, columns, in, filters] and, with `use_bias`, "bias" [filters]."""

    filters: int = setting(checks.count)
    kernel_size: Pair = setting(checks.pair, default=(3, 3))
    strides: Pair = setting(checks.pair, default=(1, 1))
    padding: str = setting(checks.padding, default="SAME")
    dilation: Pair = setting(checks.pair, default=(1, 1))
    use_bias: bool = setting(checks.flag, default=True)

    def __post_init__(self):
        super().__post_init__()
        self._check_dilation(self.strides, self.dilation)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image(input_shapes)
        return (*self._windows(image, self.kernel_size, self.strides, self.padding, self.dilation), self.filters)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        shapes = {"weights": (*self.kernel_size, self._image(input_shapes)[2], self.filters)}
        if self.use_bias:
            shapes["bias"] = (self.filters,)
        return shapes

    def macs(self, input_shapes: Shapes) -> int:
        rows, columns, _ = self.output_shape(input_shapes)
        return rows * columns * element_count(self.parameter_shapes(input_shapes)["weights"])


@dataclass(frozen=True)
class DepthwiseConv2D(Layer):
    """2-D convolution of each channel by itself.

    Parameters "weights" [rows, columns, in, depth_multiplier] and, with `use_bias`, "bias" [in·depth_multiplier].
    Output channel c·depth_multiplier + m is the input's channel c with multiplier m.
    """

    kernel_size: Pair = setting(checks.pair, default=(3, 3))
    strides: Pair = setting(checks.pair, default=(1, 1))
    padding: str = setting(checks.padding, default="SAME")
    dilation: Pair = setting(checks.pair, default=(1, 1))
    depth_multiplier: int = setting(checks.count, default=1)
    use_bias: bool = setting(checks.flag, default=True)

    def __post_init__(self):
        super().__post_init__()
        self._check_dilation(self.strides, self.dilation)
        if self.strides[0] != self.strides[1]:
            raise checks.refuse(
                self._where("strides"),
                self.strides,
                "equal strides for rows and columns (TensorFlow has no other depthwise convolution)",
            )

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image(input_shapes)
        rows_columns = self._windows(image, self.kernel_size, self.strides, self.padding, self.dilation)
        return (*rows_columns, image[2] * self.depth_multiplier)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._image(input_shapes)[2]
        shapes = {"weights": (*self.kernel_size, channels, self.depth_multiplier)}
        if self.use_bias:
            shapes["bias"] = (channels * self.depth_multiplier,)
        return shapes

    def macs(self, input_shapes: Shapes) -> int:
        rows, columns, _ = self.output_shape(input_shapes)
        return rows * columns * element_count(self.parameter_shapes(input_shapes)["weights"])


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer; parameters "weights" [in, units] and, with `use_bias`, "bias" [units]."""

    units: int = setting(checks.count)
    use_bias: bool = setting(checks.flag, default=True)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._features(input_shapes)
        return (self.units,)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        shapes = {"weights": (self._features(input_shapes), self.units)}
        if self.use_bias:
            shapes["bias"] = (self.units,)
        return shapes

    def macs(self, input_shapes: Shapes) -> int:
        return self._features(input_shapes) * self.units

    def _features(self, input_shapes: Shapes) -> int:
        shape = self._only(input_shapes)
        if len(shape) != 1:
            raise checks.refuse(self._where("input shape"), shape, "one axis for Dense; put a Flatten before it")
        return shape[0]


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalization over the last axis.

    Parameters "gamma", "beta", "moving_mean", "moving_variance", each [channels]. The moving statistics follow
    moving = momentum·moving + (1 - momentum)·batch; epsilon is added to the variance.
    """

    momentum: float = setting(checks.number_in(0, 1, "[]"), default=0.99)
    epsilon: float = setting(checks.number_in(0, 1, "(]"), default=1e-3)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._only(input_shapes)[-1:]
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), channels)


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0)."""


@dataclass(frozen=True)
class ReLU6(Layer):
    """min(max(x, 0), 6)."""


@dataclass(frozen=True)
class _Pool(Layer):
    """Base of the pools: `strides` is `pool_size` when not given."""

    pool_size: Pair = setting(checks.pair, default=(2, 2))
    strides: Optional[Pair] = setting(checks.optional_pair, default=None)
    padding: str = setting(checks.padding, default="VALID")

    def __post_init__(self):
        super().__post_init__()
        if self.strides is None:
            self._set("strides", self.pool_size)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image(input_shapes)
        return self._windows(image, self.pool_size, self.strides, self.padding) + image[2:]


@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest value of each window; what SAME pads does not take part."""


@dataclass(frozen=True)
class AveragePool(_Pool):
    """The mean of each window; what SAME pads is not counted."""


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """The mean of each channel: (height, width, channels) to (channels,)."""

    def output_shape(self, input_shapes: Shapes) -> Shape:
        return self._image(input_shapes)[2:]


@dataclass(frozen=True)
class Add(Layer):
    """The sum of two or more inputs of the same shape; there is no broadcasting."""

    fewest_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[Optional[int]] = None

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._check_arity("input_shapes", input_shapes)
        shapes = [tuple(shape) for shape in input_shapes]
        if len(set(shapes)) > 1:
            raise checks.refuse(self._where("input shapes"), tuple(shapes), "the same shape for every input of Add")
        return shapes[0]


@dataclass(frozen=True)
class Concat(Layer):
    """Two or more inputs one after the other along `axis`.

    `axis` does not count the batch: 0 is the first axis of an image's (height, width, channels), -1 the last.
    """

    axis: int = setting(checks.integer, default=-1)

    fewest_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[Optional[int]] = None

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._check_arity("input_shapes", input_shapes)
        shapes = [tuple(shape) for shape in input_shapes]
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise checks.refuse(
                self._where("axis"), self.axis, f"{-rank} to {rank - 1} for inputs of shape {shapes[0]}"
            )
        axis = self.axis % rank
        if len({shape[:axis] + shape[axis + 1 :] + (len(shape),) for shape in shapes}) > 1:
            raise checks.refuse(
                self._where("input shapes"), tuple(shapes), f"shapes that differ at most in axis {axis}"
            )
        return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


@dataclass(frozen=True)
class Flatten(Layer):
    """All elements on one axis, the last axis fastest."""

    def output_shape(self, input_shapes: Shapes) -> Shape:
        return (element_count(self._only(input_shapes)),)


@dataclass(frozen=True)
class Reshape(Layer):
    """The same elements in another shape (without the batch axis); one axis may be -1: what is left over."""

    target_shape: Shape = setting(checks.shape_with_wildcard)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        shape = self._only(input_shapes)
        known = element_count(tuple(axis for axis in self.target_shape if axis != -1))
        rest = element_count(shape) // known
        target = tuple(rest if axis == -1 else axis for axis in self.target_shape)
        if element_count(target) != element_count(shape):
            raise checks.refuse(
                self._where("target_shape"),
                self.target_shape,
                f"a shape of {element_count(shape)} elements, as many as {shape}",
            )
        return target


@dataclass(frozen=True)
class ZeroPad(Layer):
    """Zeros around the image: ((top, bottom), (left, right)); one integer stands for all four."""

    padding: Tuple[Pair, Pair] = setting(checks.borders, default=((1, 1), (1, 1)))

    def output_shape(self, input_shapes: Shapes) -> Shape:
        rows, columns, channels = self._image(input_shapes)
        return rows + sum(self.padding[0]), columns + sum(self.padding[1]), channels


@dataclass(frozen=True)
class Dropout(Layer):
    """In training sets the share `rate` to 0 and scales the rest by 1/(1 - rate); else passes on what it gets."""

    rate: float = setting(checks.number_in(0, 1, "[)"), default=0.5)


@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x)/sum(exp(x)) over the last axis."""


KINDS: Dict[str, Type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Conv2D,
        DepthwiseConv2D,
        Dense,
        BatchNorm,
        ReLU,
        ReLU6,
        MaxPool,
        AveragePool,
        GlobalAveragePool,
        Add,
        Concat,
        Flatten,
        Reshape,
        ZeroPad,
        Dropout,
        Softmax,
    )
}
"""Every kind of layer by its name."""


def layer_from_dict(record: Dict[str, Any]) -> Layer:
    """The layer that `Layer.to_dict` wrote.

    Raises
    ------
    NetworkError
        When the kind is unknown, a setting is missing, unknown or not allowed.
    """
    if not isinstance(record, dict) or "kind" not in record:
        raise checks.refuse("layer", record, 'a dict with "kind", "name", "inputs" and the kind\'s settings')
    where = f"layer {record.get('name')!r}"
    kind = KINDS.get(record["kind"]) if isinstance(record["kind"], str) else None
    if kind is None:
        raise checks.refuse(where + ": kind", record["kind"], ", ".join(KINDS))
    settings = {name: value for name, value in record.items() if name != "kind"}
    known = [part.name for part in fields(kind)]
    required = [part.name for part in fields(kind) if part.default is MISSING]
    for name in sorted(set(settings).difference(known), key=str):
        raise checks.refuse(f"{where}: setting", name, f"{', '.join(known)} for {kind.__name__}")
    for name in sorted(set(required).difference(settings)):
        raise NetworkError(f"{where}: {name} is missing; {kind.__name__} needs {', '.join(required)}")
    return kind(**settings)
