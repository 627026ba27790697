"""Conversion of recurrent layers: the same operations for each element of the sequence, with shared weights.

A SimpleRNN, LSTM or GRU becomes one 1×1 convolution of the whole sequence, the products with the input, and layers for
each element: a 1×1 convolution of the previous state, whose weights all elements share, sums, products and functions.
All of them have integer forms that every export computes exactly. Values of each element have ranges of their own, so
that rounding errors do not add up in a grid that is too coarse for later elements.
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Type

from qatviz.network import checks
from qatviz.network.elementwise import Add, Multiply, Subtract
from qatviz.network.keras_import.conversions import Conversion, add_activation
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.layer import Layer
from qatviz.network.layers import Concat, Conv2D, Reshape, Slice, ZeroPad

MAX_LENGTH = 64
"""Maximum number of elements of a sequence: each adds up to 16 layers and 9 quantizers to the network."""

#: Settings that all recurrent layers have.
SETTINGS = (
    "units",
    "activation",
    "recurrent_activation",
    "reset_after",
    "unit_forget_bias",
    "use_bias",
    "dropout",
    "recurrent_dropout",
    "implementation",
    "return_sequences",
    "return_state",
    "go_backwards",
    "restores_order",
    "stateful",
    "time_major",
    "unroll",
    "zero_output_for_mask",
)


class _Kind(NamedTuple):
    """Type of recurrent layer: number of vectors of `units` values that each product has, and its element."""

    parts: int
    element: Callable[["_Element"], str]


class _Sequence:
    """Recurrent layer on a sequence: its settings and the layers that its elements share."""

    def __init__(self, draft: Draft, layer: KerasLayer, source: str, kind: _Kind):
        self.draft, self.layer, self.kind = draft, layer, kind
        self.units = checks.positive_integer("setting units", layer.setting("units"))
        self.has_bias, self.length = layer.flag("use_bias", True), draft.shapes[source][1]
        self.resets_after = kind is _GRU and layer.flag("reset_after", False)
        self.activation = layer.setting("activation", "tanh")
        self.gate = layer.setting("recurrent_activation", "hard_sigmoid")
        #: Names of the layers that own the weights for the state, by their suffix.
        self._owners: Dict[str, str] = {}
        self.width = kind.parts * self.units
        self.products = self._add("input", source, self.width, self.has_bias)
        draft.copy_parameter(self.products, "weights", layer, "kernel")
        if self.has_bias:
            own_bias = "bias/0/0/1" if self.resets_after else "bias"
            draft.copy_parameter(self.products, "bias", layer, own_bias)

    def _add(self, suffix: str, source: str, filters: int, use_bias: bool, owner: str = "") -> str:
        name = self.draft.names.derive(self.layer.name, suffix)
        settings = {"filters": filters, "kernel_size": 1, "use_bias": use_bias, "shares": owner}
        return self.draft.add(Conv2D, name, source, **settings)

    def of_state(self, element: "_Element", suffix: str, source: str, columns: Optional[Sequence[int]] = None) -> str:
        """Add the products of a state with the recurrent kernel, or with some of its columns; return their name."""
        start, stop = columns or (0, self.width)
        use_bias, owner = self.resets_after and self.has_bias, self._owners.get(suffix, "")
        name = self._add(f"{element.number}/{suffix}", source, stop - start, use_bias, owner)
        if suffix not in self._owners:
            self._owners[suffix] = name
            key = "recurrent_kernel" if columns is None else f"recurrent_kernel/1/{start}/{stop}"
            self.draft.copy_parameter(name, "weights", self.layer, key)
            if use_bias:
                self.draft.copy_parameter(name, "bias", self.layer, "bias/0/1/2")
        return name


class _Element:
    """Layers of one element of a sequence.

    Attributes
    ----------
    number : int
        Number of the element in order of computation.
    state : str or None
        Output of the element before; None for the first, whose state is zeros.
    products : str
        Products with the input.
    cell : str or None
        Output of an LSTM's cell; until it is computed, that of the element before.
    output : str
        Output of the element, which is the state of the next one.
    """

    cell: Optional[str]
    output: str

    def __init__(self, sequence: _Sequence, number: int, place: int, before: Optional["_Element"]):
        self.sequence, self.number = sequence, number
        self.state = before.output if before else None
        self.cell = before.cell if before else None
        self.products = self.add(
            Slice, "input", sequence.products, start=(0, place, 0), stop=(1, place + 1, sequence.width)
        )
        self.output = sequence.kind.element(self)

    def add(self, kind: Type[Layer], suffix: str, *sources: str, **settings: Any) -> str:
        """Add a layer; return its name."""
        draft = self.sequence.draft
        name = draft.names.derive(self.sequence.layer.name, f"{self.number}/{suffix}")
        return draft.add(kind, name, sources, **settings)

    def part(self, suffix: str, source: str, first: int, count: int = 1) -> str:
        """Return `count` vectors of a product, from number `first` on."""
        units = self.sequence.units
        if self.sequence.draft.shapes[source][-1] == count * units:
            return source
        return self.add(Slice, suffix, source, start=(0, 0, first * units), stop=(1, 1, (first + count) * units))

    def activated(self, suffix: str, source: str, activation: str) -> str:
        """Return the activation of values."""
        draft = self.sequence.draft
        name = draft.names.derive(self.sequence.layer.name, f"{self.number}/{suffix}")
        return add_activation(draft, activation, source, name)

    def total(self) -> str:
        """Return the sum of the products with input and state."""
        if self.state is None:
            return self.products
        return self.add(Add, "sum", self.products, self.sequence.of_state(self, "state", self.state))


def _simple(element: _Element) -> str:
    """Add h = f(x W + h U + b)."""
    return element.activated("output", element.total(), element.sequence.activation)


def _lstm(element: _Element) -> str:
    """Add c = gate_f c + gate_i f(z_c) and h = gate_o f(c), with z = x W + h U + b in the order i, f, c, o."""
    sequence, total = element.sequence, element.total()
    gates = element.activated("gates", total, sequence.gate)
    new = element.activated("new", element.part("new_sum", total, 2), sequence.activation)
    cell = element.add(Multiply, "written", element.part("write", gates, 0), new)
    if element.cell is not None:
        kept = element.add(Multiply, "kept", element.part("keep", gates, 1), element.cell)
        cell = element.add(Add, "cell", kept, cell)
    element.cell = cell
    shown = element.activated("shown", cell, sequence.activation)
    return element.add(Multiply, "output", element.part("show", gates, 3), shown)


def _gru(element: _Element) -> str:
    """Add h = z h + (1 - z) n, computed as n + z (h - n), with the gates in the order z, r and the new state n."""
    sequence, state = element.sequence, element.state
    gate_sums = element.part("gate_inputs", element.products, 0, 2)
    new_sum = element.part("new_input", element.products, 2)
    if sequence.resets_after:
        inner = sequence.of_state(element, "state", state or _zeros(element))
        gate_sums = element.add(Add, "gate_sums", gate_sums, element.part("gate_states", inner, 0, 2))
        gates = element.activated("gates", gate_sums, sequence.gate)
        reset = element.add(
            Multiply, "reset_state", element.part("reset", gates, 1), element.part("new_state", inner, 2)
        )
        new_sum = element.add(Add, "new_sum", new_sum, reset)
    elif state is None:
        gates = element.activated("gates", gate_sums, sequence.gate)
    else:
        both = sequence.of_state(element, "gate_states", state, (0, 2 * sequence.units))
        gates = element.activated("gates", element.add(Add, "gate_sums", gate_sums, both), sequence.gate)
        reset = element.add(Multiply, "reset_state", element.part("reset", gates, 1), state)
        inner = sequence.of_state(element, "new_state", reset, (2 * sequence.units, 3 * sequence.units))
        new_sum = element.add(Add, "new_sum", new_sum, inner)
    new = element.activated("new", new_sum, sequence.activation)
    update = element.part("update", gates, 0)
    if state is None:
        return element.add(Subtract, "output", new, element.add(Multiply, "kept", update, new))
    change = element.add(Multiply, "kept", update, element.add(Subtract, "change", state, new))
    return element.add(Add, "output", new, change)


def _zeros(element: _Element) -> str:
    """Return a state of zeros, which padding has in every grid."""
    padded = element.add(ZeroPad, "padded", element.products, padding=((0, 0), (1, 0)))
    return element.add(Slice, "zeros", padded, start=(0, 0, 0), stop=(1, 1, element.sequence.units))


_SIMPLE, _LSTM, _GRU = _Kind(1, _simple), _Kind(4, _lstm), _Kind(3, _gru)


def convert_recurrent(kind: _Kind) -> Conversion:
    """Return the conversion of a type of recurrent layer."""

    def convert(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
        return _converted(draft, layer, inputs, kind)

    return convert


def _converted(draft: Draft, layer: KerasLayer, inputs: List[str], kind: _Kind) -> str:
    sequence = _Sequence(draft, layer, _source(draft, layer, inputs), kind)
    places = list(range(sequence.length))
    if layer.flag("go_backwards", False):
        places.reverse()
    elements: List[_Element] = []
    for number, place in enumerate(places):
        elements.append(_Element(sequence, number, place, elements[-1] if elements else None))
    draft.add_note(
        "a recurrent layer is imported as layers for each element of the sequence, which share their weights",
        layer.name,
    )
    if layer.setting("dropout", 0) or layer.setting("recurrent_dropout", 0):
        draft.add_note("dropout of inputs and states of a recurrent layer is ignored", layer.name)
    if not layer.flag("return_sequences", False):
        return draft.add(Reshape, layer.name, elements[-1].output, target_shape=(sequence.units,))
    outputs = [element.output for element in elements]
    if layer.flag("restores_order", False):
        outputs.reverse()
    return draft.add(Concat, layer.name, outputs, axis=1) if len(outputs) > 1 else outputs[0]


def _source(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Return the input as an image of height 1; refuse what the conversion would change."""
    if len(inputs) != 1:
        raise checks.invalid_value("number of inputs", len(inputs), "1: the state begins with zeros, not with an input")
    source = draft.as_image(layer.name, inputs[0])
    if not draft.is_sequence(source):
        raise checks.invalid_value("input shape", draft.shapes[source], "two axes (length, features)")
    length = draft.shapes[source][1]
    if length > MAX_LENGTH:
        allowed = (
            f"at most {MAX_LENGTH}, because each element becomes up to 16 layers with up to 9 quantizers of their own; "
            "nearest: shorter sequences, or Conv1D with padding='causal' and dilation_rate, which covers the same past"
        )
        raise checks.invalid_value("length of the sequence", length, allowed)
    for key in ("activation", "recurrent_activation"):
        if layer.setting(key, None) == "softmax":
            raise checks.invalid_value(f"setting {key}", "softmax", "a function of each value by itself")
    reasons = {
        "stateful": "its state would be kept from one batch to the next, which an exported network can't do",
        "time_major": "a network has the axes (batch, length, features)",
    }
    for key, reason in reasons.items():
        if layer.flag(key, False):
            raise checks.invalid_value(f"setting {key}", True, f"False: {reason}")
    return source


CONVERSIONS = {
    "SimpleRNN": convert_recurrent(_SIMPLE),
    "LSTM": convert_recurrent(_LSTM),
    "GRU": convert_recurrent(_GRU),
}
"""Conversions by class name."""
