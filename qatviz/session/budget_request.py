"""Request for bits within a budget, and the texts in which a user states budget, loss and constraints."""

import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from qatviz.analysis.budget import WidthRules
from qatviz.analysis.sensitivity import WIDTHS
from qatviz.errors import SettingError
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.record_requests import RecordedStateRequest

#: Units of a budget.
BYTES, MAC_BITS, SECONDS = "bytes", "mac_bits", "seconds"
_AMOUNT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Zµ%-]*(?:\s*mac-?bits)?)\s*", re.IGNORECASE)
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_MAC_BITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
#: Forms of a budget and of a largest loss, for messages and help.
BUDGET_FORM = (
    'a size ("60 kB"), a fraction of the size with 8-bit weights ("50%"), multiplications ("12M MAC-bits") or a time '
    'on a chip ("5 ms")'
)
LOSS_FORM = 'a difference of the metric ("1%"), which is measured, or of the predicted loss ("0.02")'


class Budget(NamedTuple):
    """Largest cost: an ``amount`` in ``unit``, or if ``is_fraction`` a fraction of that with 8-bit weights."""

    amount: float
    unit: str
    is_fraction: bool = False


def parse_budget(text: str) -> Budget:
    """Return the budget in a text: ``60 kB``, ``50%``, ``12M MAC-bits``, ``50% MAC-bits``, ``5 ms``.

    Raises
    ------
    SettingError
        If it has another form.
    """
    found = _AMOUNT.fullmatch(text)
    if found is not None and isfinite(float(found.group(1))):
        amount, unit = float(found.group(1)), found.group(2).lower().replace("-", "").strip()
        in_macs = unit.endswith("macbits")
        unit = unit[: -len("macbits")].strip() if in_macs else unit
        if unit == "%":
            return Budget(amount / 100, MAC_BITS if in_macs else BYTES, True)
        if unit in _SECONDS and not in_macs:
            return Budget(amount * _SECONDS[unit], SECONDS)
        factors = _MAC_BITS if in_macs else _BYTES
        if unit in factors:
            return Budget(amount * factors[unit], MAC_BITS if in_macs else BYTES)
    raise SettingError.of_field("budget", f"is {text!r}: expected {BUDGET_FORM}")


class LargestLoss(NamedTuple):
    """Largest loss: a fraction of the metric (``is_metric``), or an increase of the predicted loss."""

    amount: float
    is_metric: bool


def parse_loss(text: str) -> LargestLoss:
    """Return the largest loss in a text: ``1%``, ``0.02``; SettingError if it has another form."""
    found = _AMOUNT.fullmatch(text)
    if found is None or found.group(2) not in ("", "%") or not isfinite(float(found.group(1))):
        raise SettingError.of_field("max_loss", f"is {text!r}: expected {LOSS_FORM}")
    is_metric = found.group(2) == "%"
    return LargestLoss(float(found.group(1)) / (100 if is_metric else 1), is_metric)


@dataclass(frozen=True)
class RuleTexts:
    """Constraints by pattern, as the user states them: ``PATTERN=BITS``, and patterns of tensors with equal bits."""

    widths: Tuple[int, ...] = WIDTHS
    fixed: Tuple[str, ...] = ()
    lowest: Tuple[str, ...] = ()
    highest: Tuple[str, ...] = ()
    together: Tuple[str, ...] = ()

    def resolved(self, book: SettingsBook, tensors: Sequence[str]) -> WidthRules:
        """Return the constraints on the tensors of a network.

        Raises
        ------
        SettingError
            If a number of bits has no score, a text has another form, or its pattern matches none of the tensors.
        """

        def pairs(field: str, texts: Sequence[str]) -> Tuple[Tuple[str, int], ...]:
            found: List[Tuple[str, int]] = []
            for text in texts:
                pattern, _, bits = text.rpartition("=")
                if not pattern or not bits.strip().isdecimal():
                    raise SettingError.of_field(field, f"is {text!r}: expected PATTERN=BITS, such as conv1.weights=8")
                found += [(name, int(bits)) for name in _matching(field, pattern, book, tensors)]
            return tuple(found)

        unknown = sorted(set(self.widths) - set(WIDTHS))
        if unknown:
            raise SettingError.of_field(
                "bits", f"is {', '.join(map(str, self.widths))}: expected some of {', '.join(map(str, WIDTHS))}"
            )
        return WidthRules(
            tuple(sorted(set(self.widths))),
            pairs("fixed", self.fixed),
            pairs("lowest", self.lowest),
            pairs("highest", self.highest),
            tuple(
                tuple(name for part in text.split(",") for name in _matching("together", part, book, tensors))
                for text in self.together
            ),
        )


def _matching(field: str, pattern: str, book: SettingsBook, tensors: Sequence[str]) -> Tuple[str, ...]:
    pattern = pattern.strip()
    found = [t.name for t in book.matching(pattern, "num_bits", pattern) if t.name in tensors]
    if not found:
        raise SettingError.of_field(field, f"is {pattern!r}: expected a pattern of {', '.join(tensors)}")
    return tuple(found)


@dataclass(frozen=True)
class BudgetRequest(RecordedStateRequest):
    """Request for the bits of a recorded run's weights.

    Attributes
    ----------
    rules : RuleTexts
    budget : Budget, optional
        Largest cost; None: the largest loss is given.
    max_loss : LargestLoss, optional
    format : str
        Name of the export format whose size counts, and which has to support the bits.
    options : mapping of str to object
        Options of the format; weights of few bits are packed by default.
    chip, kernels, mhz
        Target of a budget of time, as in :func:`qatviz.analysis.chip.targets.target`.
    with_activations : bool
        True to choose the bits of activations, too; costs are those of the codes of weights and activations.
    """

    rules: RuleTexts = RuleTexts()
    budget: Optional[Budget] = None
    max_loss: Optional[LargestLoss] = None
    format: str = "c"
    options: Mapping[str, Any] = field(default_factory=dict)
    chip: str = ""
    kernels: str = ""
    mhz: float = 0.0
    with_activations: bool = False
