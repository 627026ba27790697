"""Base class of all layers: validation, shapes and serialization."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Callable, ClassVar, Dict, Optional, Sequence, Tuple, TypeVar

from qatviz.network import checks
from qatviz.network.checks import Pair, Shape

Shapes = Sequence[Shape]
_Layer = TypeVar("_Layer", bound="Layer")


def element_count(shape: Shape) -> int:
    """Return the number of elements of a tensor of this shape; 1 for ()."""
    product = 1
    for axis in shape:
        product *= axis
    return product


def setting(check: Callable[[str, Any], Any], **default: Any) -> Any:
    """Return a dataclass field whose value `Layer.__post_init__` passes through `check`."""
    return field(metadata={"check": check}, **default)


def sharing() -> Any:
    """Return the dataclass field of a layer with parameters for the layer whose parameters it uses; "" for its own.

    Records have it only if it is set.
    """
    return field(default="", metadata={"check": checks.optional_layer_name, "is_optional": True})


@dataclass(frozen=True)
class Layer:
    """Base class of all layers.

    Parameters
    ----------
    name : str
        Unique in the network: a letter or "_", then letters, digits, "_", "-", "/". Not "input".
    inputs : str or tuple of str
        Names of the layers whose outputs are the inputs of this one; "input" is the network's input.

    Raises
    ------
    NetworkError
        If a setting is not allowed; the message names the layer, the setting and its value.
    """

    name: str
    inputs: Tuple[str, ...]

    min_inputs: ClassVar[int] = 1
    max_inputs: ClassVar[Optional[int]] = 1
    """None: no limit."""

    def __post_init__(self) -> None:
        self._set("name", checks.layer_name(f"{self.kind}: name", self.name))
        self._set("inputs", checks.input_names(self._where("inputs"), self.inputs))
        self._check_input_count("inputs", self.inputs)
        for part in fields(self):
            if "check" in part.metadata:
                self._set(part.name, part.metadata["check"](self._where(part.name), getattr(self, part.name)))

    @property
    def kind(self) -> str:
        """Name of the layer's class, such as "Conv2D"."""
        return type(self).__name__

    @property
    def owner(self) -> str:
        """Name of the layer whose parameters this one uses: its own, or the one with which it shares them."""
        return getattr(self, "shares", "") or self.name

    def with_owner(self: _Layer, name: str) -> _Layer:
        """Return the layer, which has parameters, with those of the layer `name`, or with its own if that is ""."""
        change: Dict[str, Any] = {"shares": name}
        return replace(self, **change)

    def output_shape(self, input_shapes: Shapes) -> Shape:
        """Return the shape of the output; by default, that of the single input."""
        return self._input_shape(input_shapes)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        """Return the shapes of the layer's parameters by name; empty for layers without parameters."""
        self._check_input_count("input_shapes", input_shapes)
        return {}

    def macs(self, input_shapes: Shapes) -> int:
        """Return the number of multiply-accumulates with weights or of matrices per example; biases are not counted."""
        self._check_input_count("input_shapes", input_shapes)
        return 0

    def to_dict(self) -> Dict[str, Any]:
        """Return the layer as JSON-serializable data with its kind as "kind"; `layer_from_dict` is the inverse."""
        record: Dict[str, Any] = {"kind": self.kind}
        for part in fields(self):
            value = getattr(self, part.name)
            if value or not part.metadata.get("is_optional"):
                record[part.name] = _as_lists(value)
        return record

    def _set(self, setting: str, value: Any) -> None:
        object.__setattr__(self, setting, value)  # a frozen dataclass has no other way to set a field

    def _where(self, setting: str) -> str:
        return f"layer {self.name!r}: {setting}"

    def _check_input_count(self, setting: str, given: Sequence[Any]) -> None:
        if len(given) >= self.min_inputs and (self.max_inputs is None or len(given) <= self.max_inputs):
            return
        number = f"exactly {self.min_inputs}" if self.max_inputs is not None else f"at least {self.min_inputs}"
        raise checks.invalid_value(self._where(setting), tuple(given), f"{number} for {self.kind}")

    def _input_shape(self, input_shapes: Shapes) -> Shape:
        """Return the shape of the single input."""
        self._check_input_count("input_shapes", input_shapes)
        return tuple(input_shapes[0])

    def _image_shape(self, input_shapes: Shapes) -> Tuple[int, int, int]:
        """Return height, width and channels of the single input."""
        shape = self._input_shape(input_shapes)
        if len(shape) != 3:
            allowed = f"three axes (height, width, channels) for {self.kind}"
            raise checks.invalid_value(self._where("input shape"), shape, allowed)
        return shape[0], shape[1], shape[2]

    def _output_size(self, image: Shape, kernel: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)) -> Pair:
        """Return rows and columns of the output of a convolution or pooling.

        SAME: ceil(size / stride). VALID: ceil((size - extent + 1) / stride) with extent = (kernel - 1)·dilation + 1
        (documentation of tf.nn.convolution).
        """
        extents = tuple((taps - 1) * distance + 1 for taps, distance in zip(kernel, dilation))
        if padding == "SAME":
            starts = tuple(image[:2])
        else:
            starts = tuple(size - extent + 1 for size, extent in zip(image, extents))
        if min(starts) < 1:
            allowed = "at least {} rows and {} columns with VALID padding".format(*extents)
            raise checks.invalid_value(self._where("input shape"), tuple(image), allowed)
        return -(-starts[0] // strides[0]), -(-starts[1] // strides[1])

    def _check_dilation(self, strides: Pair, dilation: Pair) -> None:
        if max(strides) > 1 and max(dilation) > 1:
            allowed = f"(1, 1) with strides {strides!r}: TensorFlow cannot train layers with both above 1"
            raise checks.invalid_value(self._where("dilation"), dilation, allowed)


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple) else value
