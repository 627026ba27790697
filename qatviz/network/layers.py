"""The kinds of layers a network is made of: frozen records that know their shapes and hold no graph code.

Shapes are without the batch axis and in TensorFlow's order: (height, width, channels) for images. Wherever a pair
(rows, columns) is expected, one integer stands for both. Every method that takes `input_shapes` expects one shape for
each name in `inputs`, in that order, and raises `NetworkError` naming the layer when they do not fit.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Dict, Optional, Sequence, Tuple, Type

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Pair, Shape

Shapes = Sequence[Shape]


def element_count(shape: Shape) -> int:
    """The number of elements of a tensor of this shape; 1 for ()."""
    product = 1
    for axis in shape:
        product *= axis
    return product


def _setting(check, **default) -> Any:
    """A field that `Layer.__post_init__` passes through `check`."""
    return field(metadata={"check": check}, **default)


@dataclass(frozen=True)
class Layer:
    """Base of all kinds of layers.

    Parameters
    ----------
    name : str
        Unique in the network: a letter or "_", then letters, digits, "_", "-", "/". Not "input".
    inputs : str or tuple of str
        The names of the layers read; "input" is the network's input.

    Raises
    ------
    NetworkError
        When a setting is not allowed; the message names the layer, the setting and its value.
    """

    name: str
    inputs: Tuple[str, ...]

    fewest_inputs: ClassVar[int] = 1
    most_inputs: ClassVar[Optional[int]] = 1

    def __post_init__(self):
        self._set("name", checks.layer_name("{}: name".format(self.kind), self.name))
        self._set("inputs", checks.input_names(self._where("inputs"), self.inputs))
        self._check_arity("inputs", self.inputs)
        for setting in fields(self):
            if "check" in setting.metadata:
                checked = setting.metadata["check"](self._where(setting.name), getattr(self, setting.name))
                self._set(setting.name, checked)

    @property
    def kind(self) -> str:
        """The name of the layer's class, such as "Conv2D"."""
        return type(self).__name__

    def output_shape(self, input_shapes: Shapes) -> Shape:
        """The shape of what the layer puts out: that of its input, unless its kind says otherwise."""
        return self._only(input_shapes)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        """The shapes of the layer's parameters by their names; empty for most kinds."""
        self._check_arity("input_shapes", input_shapes)
        return {}

    def macs(self, input_shapes: Shapes) -> int:
        """Multiply-accumulates with parameters for one example; additions, comparisons and biases are not counted."""
        self._check_arity("input_shapes", input_shapes)
        return 0

    def to_dict(self) -> Dict[str, Any]:
        """The layer as JSON-able data, with its kind under "kind"; `layer_from_dict` is the way back."""
        record = {"kind": self.kind}
        for setting in fields(self):
            record[setting.name] = _as_lists(getattr(self, setting.name))
        return record

    def _set(self, setting: str, value: Any) -> None:
        object.__setattr__(self, setting, value)  # the way a frozen dataclass is completed

    def _where(self, setting: str) -> str:
        return "layer {!r}: {}".format(self.name, setting)

    def _check_arity(self, what: str, given: Sequence) -> None:
        if len(given) >= self.fewest_inputs and (self.most_inputs is None or len(given) <= self.most_inputs):
            return
        allowed = "exactly {}" if self.most_inputs is not None else "at least {}"
        raise checks.refuse(self._where(what), tuple(given),
                            (allowed + " for {}").format(self.fewest_inputs, self.kind))

    def _only(self, input_shapes: Shapes) -> Shape:
        """The one input's shape."""
        self._check_arity("input_shapes", input_shapes)
        return tuple(input_shapes[0])

    def _image(self, input_shapes: Shapes) -> Tuple[int, int, int]:
        """The one input's height, width and channels."""
        shape = self._only(input_shapes)
        if len(shape) != 3:
            raise checks.refuse(self._where("input shape"), shape,
                                "three axes (height, width, channels) for {}".format(self.kind))
        return shape

    def _windows(self, image: Shape, window: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)) -> Pair:
        """How many windows fit into the image's rows and columns.

        SAME: ceil(size / stride). VALID: ceil((size - extent + 1) / stride) with extent = (window - 1)·dilation + 1
        (tf.nn.convolution's documentation).
        """
        counts = []
        for size, taps, stride, step in zip(image, window, strides, dilation):
            extent = (taps - 1) * step + 1
            starts = size if padding == "SAME" else size - extent + 1
            if starts < 1:
                raise checks.refuse(self._where("input shape"), tuple(image), "at least {} rows and {} columns".format(
                    *((taps - 1) * step + 1 for taps, step in zip(window, dilation))))
            counts.append(-(-starts // stride))
        return counts[0], counts[1]

    def _check_dilation(self, strides: Pair, dilation: Pair) -> None:
        if max(strides) > 1 and max(dilation) > 1:
            raise checks.refuse(self._where("dilation"), dilation,
                                "1 where strides are above 1 (here {!r}): TensorFlow cannot train both".format(strides))


@dataclass(frozen=True)
class Conv2D(Layer):
    """2-D convolution; parameters "weights" [rows, columns, in, filters] and, with `use_bias`, "bias" [filters]."""

    filters: int = _setting(checks.count)
    kernel_size: Pair = _setting(checks.pair, default=(3, 3))
    strides: Pair = _setting(checks.pair, default=(1, 1))
    padding: str = _setting(checks.padding, default="SAME")
    dilation: Pair = _setting(checks.pair, default=(1, 1))
    use_bias: bool = _setting(checks.flag, default=True)

    def __post_init__(self):
        super().__post_init__()
        self._check_dilation(self.strides, self.dilation)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image(input_shapes)
        return self._windows(image, self.kernel_size, self.strides, self.padding, self.dilation) + (self.filters,)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        shapes = {"weights": self.kernel_size + (self._image(input_shapes)[2], self.filters)}
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

    kernel_size: Pair = _setting(checks.pair, default=(3, 3))
    strides: Pair = _setting(checks.pair, default=(1, 1))
    padding: str = _setting(checks.padding, default="SAME")
    dilation: Pair = _setting(checks.pair, default=(1, 1))
    depth_multiplier: int = _setting(checks.count, default=1)
    use_bias: bool = _setting(checks.flag, default=True)

    def __post_init__(self):
        super().__post_init__()
        self._check_dilation(self.strides, self.dilation)
        if self.strides[0] != self.strides[1]:
            raise checks.refuse(self._where("strides"), self.strides,
                                "equal strides for rows and columns (TensorFlow has no other depthwise convolution)")

    def output_shape(self, input_shapes: Shapes) -> Shape:
        image = self._image(input_shapes)
        rows_columns = self._windows(image, self.kernel_size, self.strides, self.padding, self.dilation)
        return rows_columns + (image[2] * self.depth_multiplier,)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._image(input_shapes)[2]
        shapes = {"weights": self.kernel_size + (channels, self.depth_multiplier)}
        if self.use_bias:
            shapes["bias"] = (channels * self.depth_multiplier,)
        return shapes

    def macs(self, input_shapes: Shapes) -> int:
        rows, columns, _ = self.output_shape(input_shapes)
        return rows * columns * element_count(self.parameter_shapes(input_shapes)["weights"])


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer; parameters "weights" [in, units] and, with `use_bias`, "bias" [units]."""

    units: int = _setting(checks.count)
    use_bias: bool = _setting(checks.flag, default=True)

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

    momentum: float = _setting(checks.number_in(0, 1, "[]"), default=0.99)
    epsilon: float = _setting(checks.number_in(0, 1, "(]"), default=1e-3)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        channels = self._only(input_shapes)[-1:]
        return {name: channels for name in ("gamma", "beta", "moving_mean", "moving_variance")}


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0)."""


@dataclass(frozen=True)
class ReLU6(Layer):
    """min(max(x, 0), 6)."""


@dataclass(frozen=True)
class _Pool(Layer):
    """Base of the pools: `strides` is `pool_size` when not given."""

    pool_size: Pair = _setting(checks.pair, default=(2, 2))
    strides: Optional[Pair] = _setting(checks.optional_pair, default=None)
    padding: str = _setting(checks.padding, default="VALID")

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

    axis: int = _setting(checks.integer, default=-1)

    fewest_inputs: ClassVar[int] = 2
    most_inputs: ClassVar[Optional[int]] = None

    def output_shape(self, input_shapes: Shapes) -> Shape:
        self._check_arity("input_shapes", input_shapes)
        shapes = [tuple(shape) for shape in input_shapes]
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise checks.refuse(self._where("axis"), self.axis, "{} to {} for inputs of shape {}".format(
                -rank, rank - 1, shapes[0]))
        axis = self.axis % rank
        if len({shape[:axis] + shape[axis + 1:] + (len(shape),) for shape in shapes}) > 1:
            raise checks.refuse(self._where("input shapes"), tuple(shapes),
                                "shapes that differ at most in axis {}".format(axis))
        return shapes[0][:axis] + (sum(shape[axis] for shape in shapes),) + shapes[0][axis + 1:]


@dataclass(frozen=True)
class Flatten(Layer):
    """All elements on one axis, the last axis fastest."""

    def output_shape(self, input_shapes: Shapes) -> Shape:
        return (element_count(self._only(input_shapes)),)


@dataclass(frozen=True)
class Reshape(Layer):
    """The same elements in another shape (without the batch axis); one axis may be -1: what is left over."""

    target_shape: Shape = _setting(checks.shape_with_wildcard)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        shape = self._only(input_shapes)
        known = element_count(tuple(axis for axis in self.target_shape if axis != -1))
        rest = element_count(shape) // known
        target = tuple(rest if axis == -1 else axis for axis in self.target_shape)
        if element_count(target) != element_count(shape):
            raise checks.refuse(self._where("target_shape"), self.target_shape,
                                "a shape of {} elements, as many as {}".format(element_count(shape), shape))
        return target


@dataclass(frozen=True)
class ZeroPad(Layer):
    """Zeros around the image: ((top, bottom), (left, right)); one integer stands for all four."""

    padding: Tuple[Pair, Pair] = _setting(checks.borders, default=((1, 1), (1, 1)))

    def output_shape(self, input_shapes: Shapes) -> Shape:
        rows, columns, channels = self._image(input_shapes)
        return rows + sum(self.padding[0]), columns + sum(self.padding[1]), channels


@dataclass(frozen=True)
class Dropout(Layer):
    """In training sets the share `rate` to 0 and scales the rest by 1/(1 - rate); else passes on what it gets."""

    rate: float = _setting(checks.number_in(0, 1, "[)"), default=0.5)


@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x)/sum(exp(x)) over the last axis."""


KINDS: Dict[str, Type[Layer]] = {kind.__name__: kind for kind in (
    Conv2D, DepthwiseConv2D, Dense, BatchNorm, ReLU, ReLU6, MaxPool, AveragePool, GlobalAveragePool, Add, Concat,
    Flatten, Reshape, ZeroPad, Dropout, Softmax)}
"""Every kind of layer by its name."""


def layer_from_dict(record: Dict[str, Any]) -> Layer:
    """The layer that `Layer.to_dict` wrote.

    Raises
    ------
    NetworkError
        When the kind is unknown, a setting is missing, unknown or not allowed.
    """
    if not isinstance(record, dict) or "kind" not in record:
        raise checks.refuse("layer", record, "a dict with \"kind\", \"name\", \"inputs\" and the kind's settings")
    where = "layer {!r}".format(record.get("name"))
    kind = KINDS.get(record["kind"]) if isinstance(record["kind"], str) else None
    if kind is None:
        raise checks.refuse(where + ": kind", record["kind"], ", ".join(KINDS))
    settings = {setting: value for setting, value in record.items() if setting != "kind"}
    known = [setting.name for setting in fields(kind)]
    unknown = sorted(set(settings) - set(known), key=str)
    if unknown:
        raise checks.refuse("{}: setting".format(where), unknown[0], ", ".join(known) + " for " + kind.__name__)
    try:
        return kind(**settings)
    except TypeError as error:  # a setting without a default is missing; the message names it
        raise NetworkError("{}: {}".format(where, error)) from error


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value
