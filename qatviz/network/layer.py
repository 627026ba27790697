"""The base of all kinds of layers: what is common to how they are checked, measured and written down."""

from dataclasses import dataclass, field, fields
from typing import Any, Callable, ClassVar, Dict, Optional, Sequence, Tuple

from qatviz.network import checks
from qatviz.network.checks import Pair, Shape

Shapes = Sequence[Shape]


def element_count(shape: Shape) -> int:
    """The number of elements of a tensor of this shape; 1 for ()."""
    product = 1
    for axis in shape:
        product *= axis
    return product


def setting(check: Callable[[str, Any], Any], **default: Any) -> Any:
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
        self._set("name", checks.layer_name(f"{self.kind}: name", self.name))
        self._set("inputs", checks.input_names(self._where("inputs"), self.inputs))
        self._check_arity("inputs", self.inputs)
        for part in fields(self):
            if "check" in part.metadata:
                self._set(part.name, part.metadata["check"](self._where(part.name), getattr(self, part.name)))

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
        for part in fields(self):
            record[part.name] = _as_lists(getattr(self, part.name))
        return record

    def _set(self, setting: str, value: Any) -> None:
        object.__setattr__(self, setting, value)  # the way a frozen dataclass is completed

    def _where(self, setting: str) -> str:
        return f"layer {self.name!r}: {setting}"

    def _check_arity(self, what: str, given: Sequence) -> None:
        if len(given) >= self.fewest_inputs and (self.most_inputs is None or len(given) <= self.most_inputs):
            return
        allowed = "exactly {}" if self.most_inputs is not None else "at least {}"
        raise checks.refuse(
            self._where(what), tuple(given), (allowed + " for {}").format(self.fewest_inputs, self.kind)
        )

    def _only(self, input_shapes: Shapes) -> Shape:
        """The one input's shape."""
        self._check_arity("input_shapes", input_shapes)
        return tuple(input_shapes[0])

    def _image(self, input_shapes: Shapes) -> Tuple[int, int, int]:
        """The one input's height, width and channels."""
        shape = self._only(input_shapes)
        if len(shape) != 3:
            raise checks.refuse(
                self._where("input shape"), shape, f"three axes (height, width, channels) for {self.kind}"
            )
        return shape

    def _windows(self, image: Shape, window: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)) -> Pair:
        """How many windows fit into the image's rows and columns.

        SAME: ceil(size / stride). VALID: ceil((size - extent + 1) / stride) with extent = (window - 1)·dilation + 1
        (tf.nn.convolution's documentation).
        """
        extents = tuple((taps - 1) * step + 1 for taps, step in zip(window, dilation))
        if padding == "SAME":
            starts = tuple(image[:2])
        else:
            starts = tuple(size - extent + 1 for size, extent in zip(image, extents))
        if min(starts) < 1:
            raise checks.refuse(
                self._where("input shape"),
                tuple(image),
                "at least {} rows and {} columns for VALID windows".format(*extents),
            )
        return -(-starts[0] // strides[0]), -(-starts[1] // strides[1])

    def _check_dilation(self, strides: Pair, dilation: Pair) -> None:
        if max(strides) > 1 and max(dilation) > 1:
            raise checks.refuse(
                self._where("dilation"),
                dilation,
                f"(1, 1) with strides {strides!r}: TensorFlow cannot train both above 1",
            )


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value
