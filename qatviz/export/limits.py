"""What formats can't hold, told from the settings alone: why, and what would make it possible. Quick, and no
TensorFlow.

Each function takes the network, the settings at a moment, the steps done by then (None: delays of quantization count as
over) and the format's options, and gives a sentence for each reason; none where the format can hold it.
"""

from typing import Any, List, Mapping, Optional

from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import WEIGHTS


def none(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of a format that holds everything."""
    return []


def left_in_float(plan: QuantizationPlan, book: SettingsBook, step: Optional[int]) -> List[str]:
    """Tensors that have no integers."""
    reasons = []
    for tensor in plan.tensors:
        s = book.of(tensor.name)
        where, verb = f"layer {tensor.layer!r}: its {tensor.kind}", "are"
        if tensor.layer == "input":
            where, verb = "the network's input", "are" if tensor.kind == WEIGHTS else "is"
        if not s.enabled:
            reasons.append(
                f"{where} {verb} left in float ({tensor.name}.enabled is off), which has no integer form; "
                "possible with "
                f"{tensor.name}.enabled=on"
            )
        elif s.is_delayed(step):
            reasons.append(
                f"{where} {verb} in float until step {s.quant_delay} ({tensor.name}.quant_delay), and this is "
                f"step {step}; possible from "
                f"that step on, or with {tensor.name}.quant_delay=0"
            )
    return reasons


def integer(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of a format that holds integers of up to 16 bits."""
    return left_in_float(book.plan, book, step)
