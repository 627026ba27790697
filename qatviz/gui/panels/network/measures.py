"""What the drawn network can be coloured by: each measure has a fixed range, so that a colour always means the same."""

import math
from typing import Callable, Dict, NamedTuple, Optional

from qatviz.gui.model.run_model import RunModel
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import shape_text, si

GOOD, NEUTRAL, BAD = 1, 0, -1
_FLOAT_BITS = 32


class Measure(NamedTuple):
    """A measure of a quantized tensor.

    ``low`` and ``high`` are the ends of the colour bar; beyond them the colour stays. ``high_is``: whether a high value
    is good, bad or neither.
    """

    name: str
    label: str
    help: str
    low: float
    high: float
    high_is: int
    show: Callable[[float], str]
    log: bool = False

    def place(self, value: float) -> Optional[float]:
        """Where on the colour bar a value is, 0..1; None for NaN."""
        if math.isnan(value):
            return None
        if self.log:
            value, low, high = (math.log(max(number, 1e-30)) for number in (min(value, 1e30), self.low, self.high))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def at(self, place: float) -> float:
        """The value at a place on the colour bar."""
        if self.log:
            return self.low * (self.high / self.low) ** place
        return self.low + place * (self.high - self.low)


def _decibels(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.1f} dB"


def _percent(value: float) -> str:
    return f"{si(100 * value, 2)} %"


def _bits(value: float) -> str:
    return f"{value:.3g} bits"


def _bytes(value: float) -> str:
    for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
        if value >= size:
            return f"{si(value / size)} {unit}"
    return f"{value:.0f} B"


MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "sqnr_db",
            "SQNR",
            "Signal-to-quantization-noise ratio: how much stronger the values are than the error "
            "that quantization makes; 6 dB more is one bit more.",
            5.0,
            45.0,
            GOOD,
            _decibels,
        ),
        Measure(
            "rmse_over_scale",
            "RMSE / scale",
            "The error's root mean square in steps of the grid: 0.289 is ideal "
            "rounding, more means that values are clipped.",
            0.289,
            1.5,
            BAD,
            si,
            True,
        ),
        Measure(
            "clipped",
            "Clipped",
            "Share of the values that lie outside the representable window and are moved to its edge.",
            1e-4,
            0.1,
            BAD,
            _percent,
            True,
        ),
        Measure(
            "flushed",
            "Flushed to zero",
            "Share of the values that are not 0 but become 0: they are smaller than half a step.",
            1e-3,
            1.0,
            BAD,
            _percent,
            True,
        ),
        Measure(
            "flip_rate",
            "Flip rate",
            "Share of the weights whose integer code has changed since the last snapshot.",
            1e-4,
            0.5,
            BAD,
            _percent,
            True,
        ),
        Measure(
            "effective_bits",
            "Effective bits",
            "Entropy of the integer codes: how many bits the values really make use of.",
            0.0,
            8.0,
            NEUTRAL,
            _bits,
        ),
        Measure(
            "num_bits",
            "Bits",
            "Width of the integer codes, as it is set: n bits give 2^n representable values.",
            2.0,
            16.0,
            NEUTRAL,
            _bits,
            True,
        ),
        Measure(
            "size",
            "Size",
            "Memory that the tensor takes with its bits: of weights once, of activations for one example.",
            64.0,
            2.0**20,
            NEUTRAL,
            _bytes,
            True,
        ),
    )
}
DEFAULT_MEASURE = "sqnr_db"
#: What the tooltip lists, besides the settings.
_IN_TOOLTIP = ("sqnr_db", "rmse_over_scale", "clipped", "flushed", "flip_rate", "effective_bits", "size")


def value_of(model: RunModel, tensor: QuantizedTensor, measure: str) -> float:
    """The present value; NaN where there is none (yet), or the tensor is in float."""
    quantized = model.is_active(tensor.name)
    if measure == "size":
        bits = model.settings_of(tensor.name).num_bits if quantized else _FLOAT_BITS
        return float(element_count(tensor.shape) * bits) / 8
    if not quantized:
        return math.nan
    if measure == "num_bits":
        return float(model.settings_of(tensor.name).num_bits)
    return model.measure(tensor.name, measure)


def text_of(model: RunModel, tensor: QuantizedTensor, measure: str) -> str:
    """The present value in words: with its unit, ``float`` for a tensor that isn't quantized."""
    value = value_of(model, tensor, measure)
    if not math.isnan(value):
        return MEASURES[measure].show(value)
    if not model.is_active(tensor.name):
        return "float"
    return "…" if model.snapshot is None else "–"


def tooltip(model: RunModel, tensor: QuantizedTensor) -> str:
    """A tensor's settings and measures as rich text."""
    settings = model.settings_of(tensor.name)
    flags = [
        label
        for label, name in (
            ("symmetric", "symmetric"),
            ("narrow range", "narrow_range"),
            ("per channel", "per_channel"),
            ("power of two", "power_of_two"),
        )
        if getattr(settings, name)
    ]
    if model.is_active(tensor.name):
        how = ", ".join([f"{settings.num_bits} bits", *flags])
    elif settings.enabled:
        how = f"in float until step {settings.quant_delay:,}"
    else:
        how = "in float: quantization is off"
    rows = [("shape", shape_text(tensor.shape)), ("quantized", how)]
    rows += [(MEASURES[name].label, text_of(model, tensor, name)) for name in _IN_TOOLTIP]
    table = "".join("<tr><td>{}&nbsp;&nbsp;</td><td>{}</td></tr>".format(*row) for row in rows)
    return f"<b>{tensor.name}</b><table>{table}</table>"


def table_of(model: RunModel) -> Dict[str, list]:
    """All measures of all tensors, by column."""
    columns: Dict[str, list] = {"tensor": [tensor.name for tensor in model.tensors]}
    for name in MEASURES:
        columns[name] = [value_of(model, tensor, name) for tensor in model.tensors]
    return columns
