"""Reasons why a format can't hold a network, found from its settings alone: quickly and without TensorFlow.

A function of this kind is a :data:`Limits`. This module has the ones that formats share; what is special to a format
is in its package.
"""

from typing import Any, Callable, List, Mapping, Optional

from qatviz.errors import Advice, OptionChange, Refusal, SettingChange
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import WEIGHTS

#: Function of the network, its settings, the number of training steps done (None: all delays are over) and the format's
#: options that returns the refusals; an empty list if the format can hold the network.
Limits = Callable[[Network, SettingsBook, Optional[int], Mapping[str, Any]], List[Refusal]]


def softmax_of_one(network: Network, options: Mapping[str, Any]) -> List[Refusal]:
    """Return a refusal if probabilities are asked for, and the network has a single logit."""
    if not options.get("softmax") or network.num_outputs > 1:
        return []
    reason = f"layer {network.output!r} has a single output, whose softmax is always 1"
    return [Refusal(reason, (OptionChange("softmax", False),))]


def none(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the limits of a format that can hold every network: none."""
    return []


def integer(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the limits of a format that holds integers of up to 16 bits."""
    return left_in_float(book.plan, book, step)


def left_in_float(plan: QuantizationPlan, book: SettingsBook, step: Optional[int]) -> List[Refusal]:
    """Return a refusal for each tensor that is not quantized."""
    refusals = []
    for tensor in plan.tensors:
        s = book.of(tensor.name)
        where, verb = f"layer {tensor.layer!r}: its {tensor.kind}", "are"
        if tensor.layer == "input":
            where, verb = "the network's input", "are" if tensor.kind == WEIGHTS else "is"
        if not s.enabled:
            refusals.append(
                Refusal(
                    f"{where} {verb} left in float ({tensor.name}.enabled is off), which has no integer form",
                    (SettingChange(f"{tensor.name}.enabled", True),),
                )
            )
        elif s.is_delayed(step):
            refusals.append(
                Refusal(
                    f"{where} {verb} in float until step {s.quant_delay} ({tensor.name}.quant_delay), and this is "
                    f"step {step}",
                    (SettingChange(f"{tensor.name}.quant_delay", 0), Advice("from that step on")),
                )
            )
    return refusals
