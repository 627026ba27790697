"""Rules on the settings and weights that TFLite's types support.

The rules are applied twice: to facts from the settings, before anything is computed, and to facts from the model.

Kinds of files: int8, whose weights have a zero point of 0 and a scale for each output channel; uint8, the older form,
whose weights have one scale and any zero point; int16, whose activations have a zero point of 0 and whose weights are
int8's. Weights of up to 4 bits can be INT4 tensors with int8 activations. LiteRT and TFLite Micro have kernels for
int16 and INT4, TensorFlow 1.15 has none; TFLite Micro has none for uint8.
"""

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from qatviz.errors import Advice, OptionChange, Refusal, Remedy, SettingChange
from qatviz.export.limits import left_in_float
from qatviz.network.elementwise import Sum
from qatviz.network.graph import Network
from qatviz.network.layers import Softmax, UpsampleBilinear
from qatviz.network.matmul import MatMul
from qatviz.protocol.settings_book import SettingsBook

INT4_BITS = 4
#: Most axes of TFLite Micro's tensors, without that of the batch (``RuntimeShape``).
_MOST_MICRO_AXES = 5
_INT8_BITS, _INT16_BITS = 8, 16
_WITHOUT_INT4, _WITHOUT_DOUBLE_ROUNDING = OptionChange("int4", False), OptionChange("double_rounding", False)


class Weights(NamedTuple):
    """Facts about the weights of a layer.

    Attributes
    ----------
    name : str
        Name of their quantizer, such as "conv1.weights".
    num_bits : int
    per_channel : bool
        True if they have a scale or a zero point for each output channel.
    needs_zero_point : bool
        True if their codes fill 8 bits and do not fit int8 with a zero point of 0.
    """

    name: str
    num_bits: int
    per_channel: bool
    needs_zero_point: bool


class Activations(NamedTuple):
    """Facts about the output of a layer, or the network's input.

    Attributes
    ----------
    name : str
        Name of their quantizer, such as "conv1.activations".
    num_bits : int
    needs_zero_point : bool
        True if their codes fill 16 bits and do not fit int16 with a zero point of 0.
    """

    name: str
    num_bits: int
    needs_zero_point: bool


class Facts(NamedTuple):
    """Facts about a network.

    ``additions`` are the names of its sums with their numbers of inputs, ``softmaxes`` the quantizers of the
    probabilities in it, each with True if they have the grid of TFLite's kernel, ``products`` the names of its MatMuls.
    """

    weights: Tuple[Weights, ...]
    activations: Tuple[Activations, ...]
    additions: Tuple[Tuple[str, int], ...] = ()
    softmaxes: Tuple[Tuple[str, bool], ...] = ()
    products: Tuple[str, ...] = ()


def tflite(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of TFLite; see :data:`qatviz.export.limits.Limits`.

    Options: ``int16`` allows activations of more than 8 bits; ``int4`` makes weights of up to 4 bits INT4 tensors;
    ``double_rounding`` makes a file for kernels that support neither.
    """
    facts = facts_of_settings(book)
    return left_in_float(book, step) + refusals(facts, options["int16"], options["int4"], options["double_rounding"])


def tflm(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of TFLite Micro: those of TFLite, and of what it has no kernels for."""
    facts, found = facts_of_settings(book), tflite(network, book, step, options)
    found += [
        Refusal(
            f"tensor {name!r} has {len(shape)} axes without the batch; TFLite Micro supports up to {_MOST_MICRO_AXES}",
            (Advice("with fewer axes, joined by a Reshape"),),
        )
        for name, shape in network.shapes.items()
        if len(shape) > _MOST_MICRO_AXES
    ]
    kind = storage_type(facts, options["int16"])
    if kind == "int16":
        return found + [
            Refusal(
                f"layer {unit.name!r}: interpolation of int16 codes, for which TFLite Micro's RESIZE_BILINEAR has no "
                "kernel",
                (SettingChange("*.activations.num_bits", _INT8_BITS),),
            )
            for unit in book.plan.units
            if isinstance(unit.op, UpsampleBilinear)
        ]
    if kind != "uint8":
        return found
    why = "8 bits with a zero point require a uint8 file, for which TFLite Micro has no kernels"
    return found + _with_zero_points(facts.weights, why, 7)


def facts_of_settings(book: SettingsBook) -> Facts:
    """Return the facts from the settings; codes that may need a zero point (the arrays decide) count as needing it."""
    weights, activations = [], []
    for tensor in book.plan.tensors:
        s = book.of(tensor.name).on_grid()
        if book.plan.has_outputs(tensor.name):
            activations.append(Activations(tensor.name, s.num_bits, s.num_bits == _INT16_BITS and not s.symmetric))
        else:
            fills = s.enabled and s.num_bits == _INT8_BITS and not s.symmetric
            weights.append(Weights(tensor.name, s.num_bits, s.per_channel, fills))
    additions = [(unit.name, len(unit.inputs)) for unit in book.plan.units if isinstance(unit.op, Sum)]
    softmaxes = [unit.name + ".activations" for unit in book.plan.units if isinstance(unit.op, Softmax)]
    probabilities = tuple((name, _has_kernel_grid(book, name)) for name in softmaxes if name in book.plan)
    products = tuple(unit.name for unit in book.plan.units if isinstance(unit.op, MatMul))
    return Facts(tuple(weights), tuple(activations), tuple(additions), probabilities, products)


def _has_kernel_grid(book: SettingsBook, name: str) -> bool:
    """Return whether probabilities have scale 1/256 and zero point -128."""
    s, is_fixed = book.of(name), bool(book.plan.tensor(name).fixed_range)
    return is_fixed and s.num_bits == _INT8_BITS and not (s.symmetric or s.narrow_range)


def storage_type(facts: Facts, int16: bool) -> str:
    """Return the type of activations, for a network that is not refused: "int8", "uint8" or "int16"."""
    if int16 and _wide(facts):
        return "int16"
    return "uint8" if any(weights.needs_zero_point for weights in facts.weights) else "int8"


def refusals(facts: Facts, int16: bool, int4: bool, double_rounding: bool) -> List[Refusal]:
    """Return the refusals of a file with these options."""
    found = [
        Refusal(
            f"{weights.name}: {weights.num_bits} bits; TFLite's int8 holds up to {_INT8_BITS}",
            (SettingChange(f"{weights.name}.num_bits", _INT8_BITS),),
        )
        for weights in facts.weights
        if weights.num_bits > _INT8_BITS
    ]
    found += [
        Refusal(
            f"layer {name!r}: adds {count} tensors; TFLite's ADD takes 2, and rounds each sum",
            (Advice("with a chain of Add layers"),),
        )
        for name, count in facts.additions
        if count > 2
    ]
    found += [
        Refusal(
            f"{name}: TFLite's SOFTMAX has {_INT8_BITS}-bit probabilities with scale 1/256 and zero point -128",
            tuple(
                SettingChange(f"{name}.{key}", value)
                for key, value in (("num_bits", _INT8_BITS), ("symmetric", False), ("narrow_range", False))
            ),
        )
        for name, fits in facts.softmaxes
        if not fits
    ]
    wide = _wide(facts)
    if double_rounding:
        found += _double_rounding(facts, wide if int16 else [], int4)
    if wide and int16:
        found += _int16(facts)
        if int4:
            remedy = SettingChange("*.activations.num_bits", _INT8_BITS)
            found += _int4(facts, "int16 activations, whose operations need int8 weights", remedy)
        return found
    found += [
        Refusal(
            f"{activations.name}: {activations.num_bits} bits; TFLite's int8 holds up to {_INT8_BITS}",
            (
                SettingChange(f"{activations.name}.num_bits", _INT8_BITS),
                OptionChange("int16", True, "for LiteRT and TFLite Micro"),
            ),
        )
        for activations in wide
    ]
    shifted = [weights for weights in facts.weights if weights.needs_zero_point]
    if shifted:
        found += _uint8(facts, shifted[0].name)
        found += [
            Refusal(
                f"layer {name!r}: multiplies uint8 codes, which {shifted[0].name}, of 8 bits with a zero point, "
                "require; TFLite's BATCH_MATMUL has no kernel for them",
                (SettingChange(f"{shifted[0].name}.symmetric", True),),
            )
            for name in facts.products
        ]
        if int4:
            conflict = f"uint8 activations, which {shifted[0].name}, of 8 bits with a zero point, require"
            found += _int4(facts, conflict, SettingChange(f"{shifted[0].name}.symmetric", True))
    return found


def _double_rounding(facts: Facts, wide: List[Activations], int4: bool) -> List[Refusal]:
    """Return the refusals of a file for kernels that round twice."""
    found = [
        Refusal(
            f"{activations.name}: {activations.num_bits} bits, as int16, which kernels that round twice don't support",
            (SettingChange(f"{activations.name}.num_bits", _INT8_BITS), _WITHOUT_DOUBLE_ROUNDING),
        )
        for activations in wide
    ]
    if int4:
        conflict = "scales for kernels that round twice, which don't support INT4"
        found += _int4(facts, conflict, _WITHOUT_DOUBLE_ROUNDING)
    return found


def _uint8(facts: Facts, first: str) -> List[Refusal]:
    """Return the refusals of a uint8 file, which the weights ``first`` require."""
    found = []
    for weights in facts.weights:
        if weights.per_channel and weights.needs_zero_point:
            found.append(
                Refusal(
                    f"{weights.name}: 8 bits with a zero point for each channel; TFLite has 8-bit weights with a "
                    "zero point (uint8) or with a scale for each channel (int8), not both",
                    (
                        SettingChange(f"{weights.name}.symmetric", True),
                        SettingChange(f"{weights.name}.per_channel", False),
                        SettingChange(f"{weights.name}.num_bits", 7),
                    ),
                )
            )
        elif weights.per_channel:
            found.append(
                Refusal(
                    f"{weights.name}: a scale for each channel, but {first} are 8-bit weights with a zero point, which "
                    "require a uint8 file, where weights have one scale",
                    (SettingChange(f"{weights.name}.per_channel", False), SettingChange(f"{first}.symmetric", True)),
                )
            )
    return found


def _int16(facts: Facts) -> List[Refusal]:
    """Return the refusals of an int16 file."""
    return [
        *(
            Refusal(
                f"{name}: probabilities within the network have 8 bits, but the file's activations are int16",
                (SettingChange("*.activations.num_bits", _INT8_BITS),),
            )
            for name, _ in facts.softmaxes
        ),
        *_with_zero_points(
            facts.weights, "8 bits and a zero point; with int16 activations, weights have a zero point of 0", 7
        ),
        *_with_zero_points(
            facts.activations, f"{_INT16_BITS} bits and a zero point; TFLite's int16 has a zero point of 0", 15
        ),
    ]


def _with_zero_points(tensors: Sequence[Union[Weights, Activations]], why: str, fewer_bits: int) -> List[Refusal]:
    """Return a refusal of each tensor that needs a zero point; remedies: symmetric, or ``fewer_bits``."""
    return [
        Refusal(
            f"{tensor.name}: {why}",
            (SettingChange(f"{tensor.name}.symmetric", True), SettingChange(f"{tensor.name}.num_bits", fewer_bits)),
        )
        for tensor in tensors
        if tensor.needs_zero_point
    ]


def _int4(facts: Facts, conflict: str, remedy: Remedy) -> List[Refusal]:
    """Return a refusal for all weights that would be INT4 tensors, which is not possible with ``conflict``."""
    return [
        Refusal(f"{weights.name}: can't be INT4 with {conflict}", tuple(dict.fromkeys((remedy, _WITHOUT_INT4))))
        for weights in facts.weights
        if weights.num_bits <= INT4_BITS
    ]


def _wide(facts: Facts) -> List[Activations]:
    return [activations for activations in facts.activations if activations.num_bits > _INT8_BITS]
