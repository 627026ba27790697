"""What is known of each quantized tensor at the end of the run: settings, newest measures, what to think of them."""

from dataclasses import replace
from typing import Callable, Dict, List, NamedTuple, Tuple

import numpy as np

from qatviz.analysis.verdict import (
    BAD,
    GOOD,
    JUDGED,
    LEVEL_NAMES,
    NO_LEVEL,
    WARNING,
    Verdict,
    levels,
    verdict,
)
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import bytes_text, percent_text, si
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.report.run_data import RunData
from qatviz.settings import PERCENTILE, QUANTIZER_SETTINGS, QuantizerSettings, setting_text

SYMBOLS = {NO_LEVEL: "○", GOOD: "●", WARNING: "▲", BAD: "✖"}
LEVEL_STYLES = {level: name or "none" for level, name in enumerate(LEVEL_NAMES)}
_FLOAT_BITS = 32


class TensorRow(NamedTuple):
    """A quantized tensor.

    Attributes
    ----------
    tensor : QuantizedTensor
    settings : QuantizerSettings
        At the end.
    measured_with : QuantizerSettings
        Those of the newest snapshot, as far as it knows.
    is_active : bool
        Whether it is quantized: enabled, and past its delay.
    measures : dict of str to float
        By the names of SNAPSHOT_MEASURES; NaN where there is no value.
    levels : dict of str to int
    verdict : Verdict
    is_measured : bool
        Whether there is a snapshot.
    """

    tensor: QuantizedTensor
    settings: QuantizerSettings
    measured_with: QuantizerSettings
    is_active: bool
    measures: Dict[str, float]
    levels: Dict[str, int]
    verdict: Verdict
    is_measured: bool

    @property
    def bits(self) -> str:
        return str(self.settings.num_bits) if self.is_active else "float"

    @property
    def size(self) -> float:
        """Bytes that the codes of weights take; 0 for activations, which are not stored."""
        return self.tensor.parameters * (self.settings.num_bits if self.is_active else _FLOAT_BITS) / 8


def tensor_rows(run: RunData) -> List[TensorRow]:
    """A row for each tensor, in the order of the plan."""
    tensors = run.book.plan.tensors
    settings = [run.book.of(tensor.name) for tensor in tensors]
    values = np.full((len(SNAPSHOT_MEASURES), len(tensors)), np.nan, np.float32)
    measured = settings
    if run.last is not None:
        values = run.last.values
        measured = [replace(s, num_bits=bits) for s, bits in zip(settings, run.last.num_bits)]
    enabled = run.last.enabled if run.last is not None else (False,) * len(tensors)
    found = levels(values, tensors, measured, enabled)
    rows = []
    for index, tensor in enumerate(tensors):
        measures = dict(zip(SNAPSHOT_MEASURES, values[:, index].tolist()))
        level = dict(zip(SNAPSHOT_MEASURES, found[:, index].tolist()))
        is_active = run.is_active(tensor.name)
        judged = verdict(measures, tensor, measured[index], is_active, {name: level[name] for name in JUDGED})
        rows.append(
            TensorRow(
                tensor, settings[index], measured[index], is_active, measures, level, judged, run.last is not None
            )
        )
    return rows


class Column(NamedTuple):
    """One column of the table: its header, what it means, and the text of a cell."""

    key: str
    header: str
    about: str
    text: Callable[[TensorRow], str]
    is_number: bool = True


def _measure(key: str, header: str, about: str, show: Callable[[float], str], always: bool = False) -> Column:
    def text(row: TensorRow) -> str:
        value = row.measures[key]
        if key == "sqnr_db" and value == np.inf and row.is_active:
            return "exact"
        if not np.isfinite(value) or not (row.is_active or always):
            return "–"
        return f"{value:,.0f} / {row.measured_with.num_codes:,}" if key == "used_codes" else show(value)

    return Column(key, header, about, text)


def _setting(key: str, header: str) -> Column:
    def text(row: TensorRow) -> str:
        return setting_text(getattr(row.settings, key)) if row.tensor.kind in QUANTIZER_SETTINGS[key].kinds else ""

    return Column(key, header, QUANTIZER_SETTINGS[key].help, text, False)


def _range(row: TensorRow) -> str:
    if row.settings.range_method == PERCENTILE:
        return f"{row.settings.percentile:g} %"
    return row.settings.range_method.replace("_", " ")


#: The columns of the window's table, in its order; the verdict and the name come before them.
COLUMNS = (
    Column("num_bits", "Bits", QUANTIZER_SETTINGS["num_bits"].help, lambda row: row.bits),
    _measure(
        "sqnr_db",
        "SQNR dB",
        "Signal-to-quantization-noise ratio: how much stronger the values are than the "
        "error that quantization makes; 6 dB more is half the error.",
        "{:.1f}".format,
    ),
    _measure(
        "rmse_over_scale",
        "RMSE/scale",
        "The typical error divided by the scale. 0.289 is what rounding alone must make; much more means clipping.",
        "{:.3f}".format,
    ),
    _measure("clipped", "Clipped", "Share of the values that lie outside the representable range.", percent_text),
    _measure("flushed", "To 0", "Share of the nonzero values that become 0.", percent_text),
    _measure("used_codes", "Codes used", "How many different integer codes occur, of all there are.", str),
    _measure(
        "effective_bits",
        "Eff. bits",
        "Entropy of the codes: how many bits of information a value carries on average.",
        "{:.2f}".format,
    ),
    _measure(
        "flip_rate",
        "Flips",
        "Share of the values whose code changed since the last snapshot. At few bits, many flips are oscillation.",
        percent_text,
    ),
    _measure(
        "scale",
        "Scale",
        "Distance between two neighbouring levels; of a per-channel tensor the largest.",
        lambda value: si(value, 4),
        True,
    ),
    _measure("zero_point", "Zero point", "The integer code that stands for 0.", "{:,.0f}".format, True),
    _setting("symmetric", "Symmetric"),
    _setting("narrow_range", "Narrow"),
    _setting("per_channel", "Per channel"),
    _setting("power_of_two", "Power of 2"),
    Column("range_method", "Range", QUANTIZER_SETTINGS["range_method"].help, _range, False),
    Column(
        "size",
        "Size",
        "Memory that the codes of these weights take: parameters × bits / 8.",
        lambda row: bytes_text(row.size) if row.tensor.parameters else "",
    ),
)


def sizes(rows: List[TensorRow]) -> Tuple[float, float, float]:
    """Of all weights: bytes as they are, bytes in float32, mean bits of a parameter (NaN without parameters)."""
    parameters = sum(row.tensor.parameters for row in rows)
    now = sum(row.size for row in rows)
    return now, 4.0 * parameters, 8 * now / parameters if parameters else float("nan")
