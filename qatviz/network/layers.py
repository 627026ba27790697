"""Layers of a network: frozen dataclasses that infer shapes and contain no graph code.

Shapes have no batch axis and TensorFlow's order: (height, width, channels) for images. Where a pair (rows, columns) is
expected, a single integer stands for both. Methods with an argument `input_shapes` expect one shape for each name in
`inputs`, in that order, and raise a `NetworkError` that names the layer if the shapes do not fit.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Dict, Optional, Tuple, Type, Union

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.activations import Activation
from qatviz.network.checks import Pair, Shape
from qatviz.network.elementwise import Add, Average, Maximum, Minimum, Multiply, Subtract
from qatviz.network.embedding import Embedding
from qatviz.network.layer import Layer, Shapes, element_count, setting, sharing
from qatviz.network.matmul import MatMul


@dataclass(frozen=True)
class _Convolution(Layer):
    """Base class of the 2-D convolutions."""

    def macs(self, input_shapes: Shapes) -> int:
        rows, columns, _ = self.output_shape(input_shapes)
        return rows * columns * element_count(self.parameter_shapes(input_shapes)["weights"])


@dataclass(frozen=True)
class Conv2D(_Convolution):
    """2-D convolution; parameters "weights" [rows, columns, in, filters] and, with `use_bias`, "bias" [filters]."""

    filters: int = setting(checks.positive_integer)
    kernel_size: Pair = setting(checks.pair, default=(3, 3))
    strides: Pair = setting(checks.pair, default=(1, 1))
    padding: str = setting(checks.padding, default="SAME")
    dilation: Pair = setting(checks.pair, default=(1, 1))
    use_bias: bool = setting(checks.boolean, default=True)
    shares: str = sharing()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_dilation(self.strides, self.dilation)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image_shape(input_shapes)
        return (*self._output_size(image, self.kernel_size, self.strides, self.padding, self.dilation), self.filters)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        return _of_filters(self, self._image_shape(input_shapes)[2])


@dataclass(frozen=True)
class GroupedConv2D(Conv2D):
    """2-D convolutions, one for each of `groups` equal parts of the channels, whose outputs are joined.

    Parameters "weights" [rows, columns, in / groups, filters] and, with `use_bias`, "bias" [filters].
    """

    groups: int = setting(checks.positive_integer, default=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % self.groups:
            raise checks.invalid_value(self._where("groups"), self.groups, f"a divisor of {self.filters} filters")

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._image_shape(input_shapes)[2]
        if channels % self.groups:
            raise checks.invalid_value(self._where("groups"), self.groups, f"a divisor of {channels} channels")
        return _of_filters(self, channels // self.groups)


@dataclass(frozen=True)
class DepthwiseConv2D(_Convolution):
    """2-D convolution of each channel separately.

    Parameters "weights" [rows, columns, in, depth_multiplier] and, with `use_bias`, "bias" [in·depth_multiplier].
    Output channel c·depth_multiplier + m results from input channel c and its kernel m.
    """

    kernel_size: Pair = setting(checks.pair, default=(3, 3))
    strides: Pair = setting(checks.pair, default=(1, 1))
    padding: str = setting(checks.padding, default="SAME")
    dilation: Pair = setting(checks.pair, default=(1, 1))
    depth_multiplier: int = setting(checks.positive_integer, default=1)
    use_bias: bool = setting(checks.boolean, default=True)
    shares: str = sharing()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_dilation(self.strides, self.dilation)
        if self.strides[0] != self.strides[1]:
            allowed = "equal strides for rows and columns (TensorFlow supports no others in depthwise convolutions)"
            raise checks.invalid_value(self._where("strides"), self.strides, allowed)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image_shape(input_shapes)
        rows_columns = self._output_size(image, self.kernel_size, self.strides, self.padding, self.dilation)
        return (*rows_columns, image[2] * self.depth_multiplier)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._image_shape(input_shapes)[2]
        weights = (*self.kernel_size, channels, self.depth_multiplier)
        return _with_bias(weights, channels * self.depth_multiplier if self.use_bias else None)


@dataclass(frozen=True)
class Conv2DTranspose(_Convolution):
    """Transposed 2-D convolution: each pixel of the input, times the kernel, is added to the output.

    Parameters "weights" [rows, columns, in, filters] and, with `use_bias`, "bias" [filters]. The output is `strides`
    times as large as the input; with VALID padding and a larger kernel, by the difference more. `output_padding` sets
    its size as Keras does: (size - 1)·stride + kernel + output_padding, less 2·(kernel // 2) with SAME padding.
    """

    filters: int = setting(checks.positive_integer)
    kernel_size: Pair = setting(checks.pair, default=(3, 3))
    strides: Pair = setting(checks.pair, default=(1, 1))
    padding: str = setting(checks.padding, default="SAME")
    output_padding: Optional[Pair] = setting(checks.optional_widths, default=None)
    use_bias: bool = setting(checks.boolean, default=True)
    shares: str = sharing()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_padding is not None and not all(map(int.__lt__, self.output_padding, self.strides)):
            allowed = f"less than the strides {self.strides!r}"
            raise checks.invalid_value(self._where("output_padding"), self.output_padding, allowed)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image_shape(input_shapes)
        sizes = []
        for axis, (size, kernel, stride) in enumerate(zip(image, self.kernel_size, self.strides)):
            if self.output_padding is None:
                rest = max(kernel - stride, 0) if self.padding == "VALID" else 0
                sizes.append(size * stride + rest)
            else:
                cut = 2 * (kernel // 2) if self.padding == "SAME" else 0
                sizes.append((size - 1) * stride + kernel - cut + self.output_padding[axis])
        if min(sizes) < 1:
            raise checks.invalid_value(self._where("input shape"), image, "an image whose output has a pixel")
        return (sizes[0], sizes[1], self.filters)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        return _of_filters(self, self._image_shape(input_shapes)[2])

    def macs(self, input_shapes: Shapes) -> int:
        rows, columns, _ = self._image_shape(input_shapes)
        return rows * columns * element_count(self.parameter_shapes(input_shapes)["weights"])


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer; parameters "weights" [in, units] and, with `use_bias`, "bias" [units]."""

    units: int = setting(checks.positive_integer)
    use_bias: bool = setting(checks.boolean, default=True)
    shares: str = sharing()

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._features(input_shapes)
        return (self.units,)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        return _with_bias((self._features(input_shapes), self.units), self.units if self.use_bias else None)

    def macs(self, input_shapes: Shapes) -> int:
        return self._features(input_shapes) * self.units

    def _features(self, input_shapes: Shapes) -> int:
        shape = self._input_shape(input_shapes)
        if len(shape) != 1:
            raise checks.invalid_value(self._where("input shape"), shape, "one axis for Dense; add a Flatten before it")
        return shape[0]


def _of_filters(layer: Union[Conv2D, Conv2DTranspose], channels: int) -> Dict[str, Shape]:
    """Return the shapes of the parameters of a layer with `filters`, each of them over `channels` of its input."""
    return _with_bias((*layer.kernel_size, channels, layer.filters), layer.filters if layer.use_bias else None)


def _with_bias(weights: Shape, outputs: Optional[int]) -> Dict[str, Shape]:
    """Return the shapes of "weights" and "bias"; without "bias" if `outputs` is None."""
    shapes = {"weights": weights}
    if outputs is not None:
        shapes["bias"] = (outputs,)
    return shapes


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch normalization over the last axis.

    Parameters "gamma", "beta", "moving_mean", "moving_variance", each [channels]. The moving statistics are updated as
    moving = momentum·moving + (1 - momentum)·batch; epsilon is added to the variance.
    """

    momentum: float = setting(checks.number_in(0, 1, "[]"), default=0.99)
    epsilon: float = setting(checks.number_in(0, 1, "(]"), default=1e-3)
    shares: str = sharing()

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._input_shape(input_shapes)[-1:]
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), channels)


@dataclass(frozen=True)
class ReLU(Layer):
    """Rectifier: max(x, 0)."""


@dataclass(frozen=True)
class ReLU6(Layer):
    """Rectifier clipped at 6: min(max(x, 0), 6)."""


@dataclass(frozen=True)
class _Pool(Layer):
    """Base class of the pooling layers; `strides` defaults to `pool_size`."""

    pool_size: Pair = setting(checks.pair, default=(2, 2))
    strides: Pair = setting(checks.optional_pair, default=None)  # None: __post_init__ sets it to pool_size
    padding: str = setting(checks.padding, default="VALID")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides is None:
            self._set("strides", self.pool_size)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image_shape(input_shapes)
        return self._output_size(image, self.pool_size, self.strides, self.padding) + image[2:]


@dataclass(frozen=True)
class MaxPool(_Pool):
    """Maximum of each pooling window, without the padding."""


@dataclass(frozen=True)
class AveragePool(_Pool):
    """Mean of each pooling window, without the padding."""


@dataclass(frozen=True)
class GlobalAveragePool(Layer):
    """Mean of each channel: (height, width, channels) to (channels,)."""

    def output_shape(self, input_shapes: Shapes) -> Shape:
        return self._image_shape(input_shapes)[2:]


@dataclass(frozen=True)
class Concat(Layer):
    """Concatenation of two or more inputs along `axis`.

    `axis` does not count the batch: 0 is the first axis of an image's (height, width, channels), -1 the last.
    """

    axis: int = setting(checks.integer, default=-1)

    min_inputs: ClassVar[int] = 2
    max_inputs: ClassVar[Optional[int]] = None

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._check_input_count("input_shapes", input_shapes)
        shapes = [tuple(shape) for shape in input_shapes]
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            allowed = f"{-rank} to {rank - 1} for inputs of shape {shapes[0]}"
            raise checks.invalid_value(self._where("axis"), self.axis, allowed)
        axis = self.axis % rank
        if len({shape[:axis] + shape[axis + 1 :] + (len(shape),) for shape in shapes}) > 1:
            allowed = f"shapes that differ at most in axis {axis}"
            raise checks.invalid_value(self._where("input shapes"), tuple(shapes), allowed)
        return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


@dataclass(frozen=True)
class Flatten(Layer):
    """Reshaping to a single axis; the last axis varies fastest."""

    def output_shape(self, input_shapes: Shapes) -> Shape:
        return (element_count(self._input_shape(input_shapes)),)


@dataclass(frozen=True)
class Reshape(Layer):
    """Reshaping to `target_shape`, without the batch axis; one axis may be -1 for the remaining elements."""

    target_shape: Shape = setting(checks.shape_with_wildcard)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        shape = self._input_shape(input_shapes)
        known = element_count(tuple(axis for axis in self.target_shape if axis != -1))
        rest = element_count(shape) // known
        target = tuple(rest if axis == -1 else axis for axis in self.target_shape)
        if element_count(target) != element_count(shape):
            allowed = f"a shape of {element_count(shape)} elements, as many as in the input shape {shape}"
            raise checks.invalid_value(self._where("target_shape"), self.target_shape, allowed)
        return target


@dataclass(frozen=True)
class ZeroPad(Layer):
    """Zero padding of an image by ((top, bottom), (left, right)); a single integer stands for all four."""

    padding: Tuple[Pair, Pair] = setting(checks.border_widths, default=((1, 1), (1, 1)))

    def output_shape(self, input_shapes: Shapes) -> Shape:
        rows, columns, channels = self._image_shape(input_shapes)
        return rows + sum(self.padding[0]), columns + sum(self.padding[1]), channels


@dataclass(frozen=True)
class Slice(Layer):
    """Part of a tensor: along each axis, every `strides`-th element from `start` on, before `stop`.

    Each setting has one item for each axis, without the batch axis; `strides` defaults to 1 for all axes.
    """

    start: Tuple[int, ...] = setting(checks.positions)
    stop: Tuple[int, ...] = setting(checks.positions)
    strides: Optional[Tuple[int, ...]] = setting(checks.optional_strides, default=None)  # set by __post_init__

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides is None:
            self._set("strides", (1,) * len(self.start))
        for name in ("stop", "strides"):
            if len(getattr(self, name)) != len(self.start):
                allowed = f"as many items as start, {self.start!r}"
                raise checks.invalid_value(self._where(name), getattr(self, name), allowed)

    @property
    def slices(self) -> Tuple[slice, ...]:
        """One slice for each axis, without the batch axis."""
        assert self.strides is not None
        return tuple(map(slice, self.start, self.stop, self.strides))

    def output_shape(self, input_shapes: Shapes) -> Shape:
        shape = self._input_shape(input_shapes)
        if len(shape) != len(self.start):
            raise checks.invalid_value(self._where("start"), self.start, f"one position for each axis of {shape}")
        for stop, start, size in zip(self.stop, self.start, shape):
            if not start < stop <= size:
                allowed = f"positions above start, {self.start!r}, and up to the input shape, {shape}"
                raise checks.invalid_value(self._where("stop"), self.stop, allowed)
        return tuple(len(range(size)[part]) for size, part in zip(shape, self.slices))


@dataclass(frozen=True)
class Permute(Layer):
    """Exchange of axes: axis i of the output is axis `axes[i]` of the input; axes do not count the batch."""

    axes: Tuple[int, ...] = setting(checks.positions)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        shape = self._input_shape(input_shapes)
        if sorted(self.axes) != list(range(len(shape))):
            raise checks.invalid_value(self._where("axes"), self.axes, f"each axis of the input shape {shape} once")
        return tuple(shape[axis] for axis in self.axes)


@dataclass(frozen=True)
class _Upsampling(Layer):
    """Base class of the layers that enlarge an image."""

    size: Pair = setting(checks.pair, default=(2, 2))

    def output_shape(self, input_shapes: Shapes) -> Shape:
        rows, columns, channels = self._image_shape(input_shapes)
        return rows * self.size[0], columns * self.size[1], channels


@dataclass(frozen=True)
class UpsampleNearest(_Upsampling):
    """Repetition of each pixel in `size` = (rows, columns)."""


@dataclass(frozen=True)
class UpsampleBilinear(_Upsampling):
    """Enlargement of an image `size` = (rows, columns) times, with linear interpolation between the centers of pixels.

    Beyond the outer centers, pixels of the border are repeated, as by `tf.image.resize` of TensorFlow 2.
    """


@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout: in training, set a fraction `rate` of the values to 0 and divide the others by 1 - rate.

    Values along the axes `shared_axes`, which do not count the batch, are dropped together: (0, 1) drops whole channels
    of an image, (0, 1, 2) whole examples, as in a residual branch with stochastic depth.
    """

    rate: float = setting(checks.number_in(0, 1, "[)"), default=0.5)
    shared_axes: Tuple[int, ...] = setting(checks.distinct_axes, default=())

    def output_shape(self, input_shapes: Shapes) -> Shape:
        shape = self._input_shape(input_shapes)
        if self.shared_axes and max(self.shared_axes) >= len(shape):
            allowed = f"axes of the input shape {shape}"
            raise checks.invalid_value(self._where("shared_axes"), self.shared_axes, allowed)
        return shape


@dataclass(frozen=True)
class Softmax(Layer):
    """Softmax over the last axis: exp(x) / sum(exp(x))."""


CONVOLUTIONS = (Conv2D, GroupedConv2D, DepthwiseConv2D)
"""Layers whose kernel moves over their input; that of a Conv2DTranspose is added to the output."""

POOLS = (MaxPool, AveragePool)
"""Layers with a pooling window."""

MOVES = (Slice, Permute, UpsampleNearest)
"""Layers that select, order or repeat elements of their input."""

KINDS: Dict[str, Type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Conv2D,
        GroupedConv2D,
        DepthwiseConv2D,
        Conv2DTranspose,
        Dense,
        Embedding,
        BatchNorm,
        ReLU,
        ReLU6,
        Activation,
        MaxPool,
        AveragePool,
        GlobalAveragePool,
        Add,
        Subtract,
        Average,
        Multiply,
        Maximum,
        Minimum,
        MatMul,
        Concat,
        Flatten,
        Reshape,
        ZeroPad,
        Slice,
        Permute,
        UpsampleNearest,
        UpsampleBilinear,
        Dropout,
        Softmax,
    )
}
"""Layer classes by name."""


def layer_from_dict(record: Dict[str, Any]) -> Layer:
    """Return the layer of a record that `Layer.to_dict` returned.

    Raises
    ------
    NetworkError
        If the kind is unknown, or a setting is missing, unknown or not allowed.
    """
    if not isinstance(record, dict) or "kind" not in record:
        raise checks.invalid_value("layer", record, 'a dict with "kind", "name", "inputs" and the kind\'s settings')
    where = f"layer {record.get('name')!r}"
    kind = KINDS.get(record["kind"]) if isinstance(record["kind"], str) else None
    if kind is None:
        raise checks.invalid_value(where + ": kind", record["kind"], ", ".join(KINDS))
    settings = {name: value for name, value in record.items() if name != "kind"}
    known = [part.name for part in fields(kind)]
    required = [part.name for part in fields(kind) if part.default is MISSING]
    for name in sorted(set(settings).difference(known), key=str):
        raise checks.invalid_value(f"{where}: setting", name, f"{', '.join(known)} for {kind.__name__}")
    for name in sorted(set(required).difference(settings)):
        raise NetworkError(f"{where}: {name} is missing; {kind.__name__} requires {', '.join(required)}")
    return kind(**settings)
