"""Limits of formats: what they do not support, found from the settings alone, quickly and without TensorFlow.

This module has the limits that formats share. Those of a single format are in its package.
"""

from typing import Any, Callable, Collection, List, Mapping, Optional

from qatviz.errors import Advice, OptionChange, Refusal, SettingChange
from qatviz.network.activations import Activation
from qatviz.network.graph import Network
from qatviz.network.inputs import input_text
from qatviz.network.plan import INPUT_KIND
from qatviz.protocol.settings_book import SettingsBook
from qatviz.task import MULTILABEL, SEGMENTATION

#: Function that returns the refusals of a network; none if the format supports it. Its arguments are the network, its
#: settings, the number of training steps done (None if all delays count as over), and the format's options.
Limits = Callable[[Network, SettingsBook, Optional[int], Mapping[str, Any]], List[Refusal]]


def softmax_of_one(network: Network, options: Mapping[str, Any]) -> List[Refusal]:
    """Return a refusal if probabilities are asked for, and the network has a single logit."""
    if not options.get("softmax") or network.num_outputs > 1 or len(network.outputs) > 1:
        return []
    reason = f"layer {network.output!r} has a single output, whose softmax is always 1"
    return [Refusal(reason, (OptionChange("softmax", False),))]


def reserved_inputs(network: Network, names: Collection[str]) -> List[Refusal]:
    """Return a refusal for each input whose name a file of the format has for something else."""
    others = (Advice("in the formats tflite, onnx and npz, or with another name of the input"),)
    return [
        Refusal(f"the network's input {name!r} has the name of another node of the graph", others)
        for name in network.input_names
        if name in names
    ]


def softmax_of_several(network: Network, options: Mapping[str, Any]) -> List[Refusal]:
    """Return a refusal if probabilities are asked for, and the network has several outputs."""
    if not options.get("softmax") or len(network.outputs) == 1:
        return []
    reason = f"the network has {len(network.outputs)} outputs, which are not all logits of classes"
    return [Refusal(reason, (OptionChange("softmax", False),))]


def softmax_of_labels(task: str, options: Mapping[str, Any]) -> List[Refusal]:
    """Return a refusal if probabilities are asked for by a softmax, and outputs are of several labels, or of pixels."""
    what = {MULTILABEL: "the logit of one of several labels", SEGMENTATION: "a logit of one of many pixels"}.get(task)
    if not options.get("softmax") or what is None:
        return []
    reason = f"a softmax gives probabilities of classes, but each output is {what}"
    return [Refusal(reason, (OptionChange("softmax", False),))]


def none(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return no refusals, for a format that supports every network."""
    return []


def simulated(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of TFLite in float: operations that the interpreter of TensorFlow 1.15 does not have."""
    return [
        Refusal(
            f"layer {layer.name!r}: a GELU, which TensorFlow 1.15's interpreter does not have",
            (Advice("in the formats tflite and savedmodel"),),
        )
        for layer in network.layers
        if isinstance(layer, Activation) and layer.function == "gelu"
    ]


def integer(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of a format of integers of up to 16 bits, which requires that all tensors are quantized."""
    return left_in_float(book, step)


def left_in_float(book: SettingsBook, step: Optional[int]) -> List[Refusal]:
    """Return a refusal for each tensor that is not quantized."""
    refusals = []
    for tensor in book.plan.tensors:
        s = book.of(tensor.name)
        where, verb = f"layer {tensor.layer!r}: its {tensor.kind}", "are"
        if tensor.op_kind == INPUT_KIND:
            where, verb = input_text(tensor.layer), "is"
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
