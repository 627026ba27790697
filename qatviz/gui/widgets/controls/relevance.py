"""Reasons why a setting has no effect at present, shown by its disabled control."""

from typing import Sequence

from qatviz.settings import (
    FROZEN,
    HISTOGRAM_METHODS,
    MOVING_AVERAGE,
    PERCENTILE,
    QUANTIZER_SETTINGS,
    QuantizerSettings,
    RunSettings,
)

#: Range methods of activations that average over batches.
_AVERAGING = (MOVING_AVERAGE, *HISTOGRAM_METHODS)
_RANGES_FROZEN = "All ranges are frozen (Freeze ranges is on)."


def no_effect_reason(name: str, wanted: Sequence[QuantizerSettings], run: RunSettings) -> str:
    """Return the reason why the setting ``name`` has no effect in any of ``wanted``; empty if it has one."""
    if name in ("range_method", "percentile", "ema_decay") and run.freeze_ranges:
        return _RANGES_FROZEN
    if name == "percentile" and not any(s.range_method == PERCENTILE for s in wanted):
        return f"Used only with the range method {_labels(PERCENTILE)}."
    if name == "ema_decay" and all(s.range_method == FROZEN for s in wanted):
        return "The range is frozen, so no average is updated."
    if name == "ema_decay" and not any(s.range_method in _AVERAGING for s in wanted):
        return f"Used only with the range methods {_labels(*_AVERAGING)}."
    return ""


def _labels(*methods: str) -> str:
    """Return the labels of range methods, as their list shows them."""
    return ", ".join(map(QUANTIZER_SETTINGS["range_method"].text, methods))
