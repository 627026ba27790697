"""What formats can't hold, told from the settings alone: why, and what would make it possible. Quick, and no TensorFlow.

Each function takes the network, the settings at a moment, the steps done by then (None: delays of quantization count as
over) and the format's options, and gives a sentence for each reason; none where the format can hold it.
"""

from typing import Any, List, Mapping, Optional

from qatviz.network.graph import Network
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
