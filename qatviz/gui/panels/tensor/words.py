"""A tensor, its settings and its measures in few words, as the Tensor panel says them."""

from typing import Dict, Optional, Tuple

import numpy as np

from qatviz.gui.panels.tensor.view import TensorView
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import si
from qatviz.quant.affine import code_bounds
from qatviz.settings import FROZEN, MIN_MAX, MOVING_AVERAGE, MSE, PERCENTILE, QuantizerSettings

_RANGES = {
    MIN_MAX: "min-max range",
    PERCENTILE: "{:g} % range",
    MSE: "least-MSE range",
    FROZEN: "frozen range",
    MOVING_AVERAGE: "averaged range",
}


def describe_tensor(tensor: QuantizedTensor) -> str:
    """Layer, shape and size."""
    shape = " × ".join(map(str, tensor.shape)) or "scalar"
    count = f" · {si(tensor.parameters)} weights" if tensor.parameters else ""
    return f"{tensor.op_kind} · {shape}{count}"


def describe_now(view: TensorView) -> str:
    """How the tensor is quantized: its settings, or those it has after its delay; in the past the bits of then."""
    if not view.is_live:
        return f"{view.num_bits} bits then" if view.is_active else "float then"
    if not view.is_active and view.settings.enabled:
        return f"float until step {view.settings.quant_delay:,}, then {describe(view.settings, True)}"
    return describe(view.settings, view.is_active)


def describe(settings: QuantizerSettings, active: bool, than: Optional[QuantizerSettings] = None) -> str:
    """Settings in a few words; where ``than`` is given only what differs from it."""
    if not active:
        return "float"
    old = than if than is not None and than.enabled else None
    words = []
    for name, word in (
        ("num_bits", f"{settings.num_bits} bits"),
        ("symmetric", "symmetric" if settings.symmetric else "affine"),
        ("narrow_range", "narrow" if settings.narrow_range else "full"),
        ("per_channel", "per channel" if settings.per_channel else "per tensor"),
        ("power_of_two", "power-of-two scale" if settings.power_of_two else "any scale"),
    ):
        differs = old is not None and getattr(old, name) != getattr(settings, name)
        unremarkable = name in ("narrow_range", "power_of_two") and not getattr(settings, name)
        if differs or (old is None and not unremarkable):
            words.append(word)
    if old is None or (old.range_method, old.percentile) != (settings.range_method, settings.percentile):
        words.append(_RANGES[settings.range_method].format(settings.percentile))
    return " · ".join(words)


def measured(view: TensorView) -> Dict[str, Tuple[str, float]]:
    """Text and value of each cell."""
    values = {name: view.measure(name) for name in ("sqnr_db", "rmse_over_scale", "clipped", "flushed", "used_codes")}
    values["size_bits"] = view.size_bits
    low, high = code_bounds(view.num_bits, view.grid.narrow_range) if view.is_active else (0, -1)
    return _texts(values, view.is_active, high - low + 1)


def pending_texts(view: TensorView) -> Dict[str, Tuple[str, float]]:
    """The same as it would be."""
    ghost = view.ghost
    values = dict(ghost.measures._asdict(), size_bits=ghost.size_bits)
    low, high = ghost.grid.bounds if ghost.active else (0, -1)
    return _texts(values, ghost.active, high - low + 1)


def _texts(values: Dict[str, float], active: bool, codes: int) -> Dict[str, Tuple[str, float]]:
    sqnr = values["sqnr_db"]
    used = values["used_codes"]
    texts = {
        "sqnr_db": "exact" if sqnr == np.inf or not active else f"{sqnr:.1f} dB" if np.isfinite(sqnr) else "–",
        "rmse_over_scale": "–"
        if not active or not np.isfinite(values["rmse_over_scale"])
        else f"{values['rmse_over_scale']:.3f}",
        "clipped": percent(values["clipped"]) if active else "–",
        "flushed": percent(values["flushed"]) if active else "–",
        "used_codes": f"{used:.0f}/{codes}" if active and np.isfinite(used) else "–",
        "size_bits": size_text(values["size_bits"]),
    }
    return {name: (text, float(values[name])) for name, text in texts.items()}


def size_text(bits: float) -> str:
    """Bits as bytes, kB or MB (of 1,000)."""
    size = bits / 8
    for unit, factor in (("B", 1), ("kB", 1e3), ("MB", 1e6)):
        if size < 1000 * factor or unit == "MB":
            break
    return f"{size / factor:.3g} {unit}" if size < 1e9 else f"{size / 1e6:,.0f} MB"


def span(low: float, high: float) -> str:
    """A range in few characters."""
    return f"{signed(low)} … {signed(high)}"


def signed(value: float) -> str:
    """:func:`qatviz.gui.widgets.plot.si` with a real minus sign."""
    return si(value).replace("-", "−") if value < 0 else si(value)


def percent(share: float) -> str:
    """A share 0..1 as a percentage with two digits; a dash for what is no number."""
    if not np.isfinite(share):
        return "–"
    # What is left of a sum of squares by the last digits of its arithmetic is nothing.
    if share < 1e-9:
        return "0 %"
    if share < 1e-4:
        return "<0.01 %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.1f} %"
