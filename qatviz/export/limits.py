"""What formats can't hold, told from the settings alone: why, and what would make it possible. Quick, and no TensorFlow.

Each function takes the network, the settings at a moment, the steps done by then (None: delays of quantization count as
over) and the format's options, and gives a sentence for each reason; none where the format can hold it.
"""

from typing import Any, List, Mapping, Optional

from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.plan import QuantizationPlan
from qatviz.settings import WEIGHTS
from qatviz.training.settings_book import SettingsBook


def none(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of a format that holds everything."""
    return []


def left_in_float(plan: QuantizationPlan, book: SettingsBook, step: Optional[int]) -> List[str]:
    """Tensors that have no integers."""
    reasons = []
    for tensor in plan.tensors:
        s = book.of(tensor.name)
        where, verb = "layer {!r}: its {}".format(tensor.layer, tensor.kind), "are"
        if tensor.layer == "input":
            where, verb = "the network's input", "are" if tensor.kind == WEIGHTS else "is"
        if not s.enabled:
            reasons.append("{0} {1} left in float ({2}.enabled is off), which has no integer form; possible with "
                           "{2}.enabled=on".format(where, verb, tensor.name))
        elif step is not None and step < s.quant_delay:
            reasons.append("{0} {1} in float until step {3} ({2}.quant_delay), and this is step {4}; possible from "
                           "that step on, or with {2}.quant_delay=0".format(where, verb, tensor.name, s.quant_delay, step))
    return reasons


def integer(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of a format that holds integers of up to 16 bits."""
    return left_in_float(book.plan, book, step)


def above_8_bits(book: SettingsBook, what: str) -> List[str]:
    """Tensors that a format with 8-bit codes, ``what``, can't hold."""
    return ["{0}: {1} bits; {2} holds up to 8; possible with {0}.num_bits=8".format(
        tensor.name, book.of(tensor.name).num_bits, what)
        for tensor in book.plan.tensors if book.of(tensor.name).num_bits > 8]


def tflite(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of TFLite's int8 and uint8."""
    reasons = left_in_float(book.plan, book, step) + above_8_bits(book, "TFLite's int8")
    weights = [unit.name + ".weights" for unit in book.plan.units if isinstance(unit.op, WEIGHTED)]
    settings = {name: book.of(name) for name in weights}
    shifted = [name for name, s in settings.items() if s.enabled and s.num_bits == 8 and not s.symmetric]
    for name in shifted:
        if settings[name].per_channel:
            reasons.append("{0}: 8 bits with a zero point for each channel; TFLite holds 8-bit weights with a zero point "
                           "(uint8) or a scale for each channel (int8), not both; possible with {0}.symmetric=on, with "
                           "{0}.per_channel=off, or with {0}.num_bits=7".format(name))
    for name in weights if shifted else ():
        if name not in shifted and settings[name].per_channel:
            reasons.append("{0}: a scale for each channel, but {1} are 8-bit weights with a zero point, which makes it a "
                           "uint8 file, where weights have one scale; possible with {0}.per_channel=off, or with "
                           "{1}.symmetric=on".format(name, shifted[0]))
    return reasons
