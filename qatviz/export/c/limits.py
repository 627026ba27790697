"""Limits of the export to C; see :mod:`qatviz.export.limits`."""

# A separate module because the registry of formats must not load the export itself.

from typing import Any, List, Mapping, Optional

from qatviz.errors import OptionChange, Refusal, SettingChange
from qatviz.export.limits import integer
from qatviz.network.graph import Network
from qatviz.network.layers import Softmax
from qatviz.protocol.settings_book import SettingsBook

#: Largest number of bits of the logits of a softmax, whose exponentials are in a table.
_BITS = 8


def c(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[Refusal]:
    """Return the refusals of C. With the option ``softmax``, logits have up to 8 bits."""
    refusals = integer(network, book, step, options)
    if options["softmax"]:
        layer = network.layer(network.output)
        logits = book.plan.grid_of(layer.inputs[0] if isinstance(layer, Softmax) else layer.name)
        bits = book.of(logits).num_bits
        if bits > _BITS:
            refusals.append(
                Refusal(
                    f"{logits}: {bits} bits; the softmax supports logits of up to {_BITS}",
                    (SettingChange(logits + ".num_bits", _BITS), OptionChange("softmax", False)),
                )
            )
    return refusals
