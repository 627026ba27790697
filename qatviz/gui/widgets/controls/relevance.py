"""Which settings matter now: the others are shown, but can't be edited, and say why."""

from typing import Dict, Sequence, Tuple

from qatviz.settings import FROZEN, PERCENTILE, QuantizerSettings, RunSettings

#: The settings that each optimizer reads, besides the learning rate.
OPTIMIZER_SETTINGS: Dict[str, Tuple[str, ...]] = {
    "adam": ("beta1", "beta2", "epsilon"),
    "momentum": ("momentum",),
    "sgd": (),
}

_RANGES_FROZEN = "All ranges are frozen (“Freeze ranges”): they stay as they are."


def why_without_effect(name: str, wanted: Sequence[QuantizerSettings], run: RunSettings) -> str:
    """Why the setting ``name`` has no effect on any tensor with the ``wanted`` settings; an empty text where it has."""
    if name in ("range_method", "percentile", "ema_decay") and run.freeze_ranges:
        return _RANGES_FROZEN
    if name == "percentile" and not any(s.range_method == PERCENTILE for s in wanted):
        return "It has an effect with the range “percentile” only."
    if name == "ema_decay" and all(s.range_method == FROZEN for s in wanted):
        return "The range is frozen: no average moves."
    return ""
