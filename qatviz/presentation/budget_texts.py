"""Texts on bits within a budget, for window and terminal."""

from typing import List, NamedTuple, Sequence, Tuple

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.budget import Allocation, Choice
from qatviz.number_format import bytes_text, duration_text, names_text, si, signed
from qatviz.protocol.settings_book import SettingsBook

UNIT_LABELS = {
    CostUnit.CODES: "Weights at their own bits",
    CostUnit.STORED: "Weights as stored",
    CostUnit.WITH_ACTIVATIONS: "Weights and activations",
    CostUnit.MAC_BITS: "MAC-bits",
    CostUnit.TIME: "Time on the chip",
}
UNIT_HELP = {
    CostUnit.CODES: "Size of the codes of all weights, each at its own number of bits.",
    CostUnit.STORED: "Size of all weights as runtimes store them: up to 4 bits in half a byte, 5 to 8 bits in a byte.",
    CostUnit.WITH_ACTIVATIONS: "Size of the codes of all weights and of all activations of one example, each at its "
    "own number of bits: the least that is moved. The bits of activations are chosen, too.",
    CostUnit.MAC_BITS: "Multiplications × bits of the weights × bits of the inputs, for one example.",
    CostUnit.TIME: "Estimated time of one example on the chip of the Chip panel. Its kernels take the same time for "
    "codes of 2 to 8 bits, so that bits do not change it; the network does.",
}


def cost_text(unit: CostUnit, cost: float) -> str:
    """Return a cost with its unit: ``60.0 kB``, ``1.20M MAC-bits``, ``12.3 ms``."""
    if unit is CostUnit.TIME:
        return duration_text(cost * 1e-9)
    return f"{si(cost)} MAC-bits" if unit is CostUnit.MAC_BITS else bytes_text(cost)


def bits_text(width: int) -> str:
    """Return a number of bits with its noun, which is at least 2."""
    return f"{width} bits"


def widths_text(tensors: Sequence[str], widths: Sequence[int]) -> str:
    """Return tensors by their bits: ``4 bits: conv1.weights, conv2.weights; 8 bits: logits.weights``."""
    by_width = {
        width: names_text([name for name, own in zip(tensors, widths) if own == width]) for width in sorted(set(widths))
    }
    return "; ".join(f"{bits_text(width)}: {names}" for width, names in by_width.items())


def effect_text(unit: CostUnit, before: Allocation, after: Allocation) -> str:
    """Return cost and predicted loss of an allocation: ``36.2 kB (−12 kB), predicted loss 0.016 (+0.004)``."""
    saved, added = before.cost - after.cost, after.loss - before.loss
    cost = f" ({'−' if saved > 0 else '+'}{cost_text(unit, abs(saved))})" if saved else ""
    loss = f" ({'+' + si(added) if added > 0 else signed(added)})" if added else ""
    return f"{cost_text(unit, after.cost)}{cost}, predicted loss {si(after.loss)}{loss}"


def change_of_bits(choice: Choice) -> str:
    """Return the bits of a tensor: ``8 → 4``, or ``8`` if they stay."""
    return str(choice.width) if choice.width == choice.before else f"{choice.before} → {choice.width}"


def effect_on_tensor(choice: Choice, unit: CostUnit) -> str:
    """Return what the bits of a tensor save and cost: ``saves 50.0 kB for 0.0200 loss``."""
    if choice.width == choice.before:
        return "unchanged"
    if choice.saved >= 0:
        effect = f"saves {cost_text(unit, choice.saved)}" if choice.saved else "saves nothing"
    else:
        effect = f"costs {cost_text(unit, -choice.saved)}"
    if choice.added_loss > 0:
        return f"{effect} for {si(choice.added_loss)} loss"
    if choice.added_loss < 0:
        return f"{effect}, {si(-choice.added_loss)} less loss"
    return f"{effect}, no loss"


def reason_text(choice: Choice, unit: CostUnit) -> str:
    """Return why a tensor gets its bits: ``4 bits: saves 50.0 kB for 0.0200 loss``."""
    return f"{bits_text(choice.width)}: {effect_on_tensor(choice, unit)}"


class AdviceTable(NamedTuple):
    """Texts on bits within a budget, for terminal and report.

    Attributes
    ----------
    state, measured : str
        Sentences on the state, and on the measurement.
    tensors : tuple of tuple of str
        Cells by tensor, with the heads :data:`TENSOR_HEADS`.
    effect_heads, effect : tuple
        Heads and rows of present and chosen bits, with size, predicted loss and results by mode.
    unit, before, after, front
        Costs and predicted losses, for a picture.
    """

    state: str
    measured: str
    tensors: Tuple[Tuple[str, ...], ...]
    effect_heads: Tuple[str, ...]
    effect: Tuple[Tuple[str, ...], ...]
    unit: CostUnit
    before: Allocation
    after: Allocation
    front: Tuple[Allocation, ...]


#: Heads of the table by tensor.
TENSOR_HEADS = ("tensor", "bits", "new", "reason")


def stuck_text(tensors: Sequence[str], widths: Sequence[int], book: SettingsBook) -> str:
    """Return why tensors have no allowed number of bits."""
    rows: List[str] = [f"{name} (has {bits_text(book.of(name).num_bits)})" for name in tensors]
    return (
        f"no number of bits is possible for {', '.join(rows)}: expected one of {', '.join(map(str, widths))} that the "
        "constraints allow, the export format supports and the sensitivity analysis has scored"
    )
