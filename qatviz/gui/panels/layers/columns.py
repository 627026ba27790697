"""Columns of the table of layers: measures and settings, their order and widths."""

from typing import NamedTuple

from qatviz.analysis.chip.estimate import CHIP_MEASURES
from qatviz.analysis.verdict import LEVEL_KEY
from qatviz.measures import MEASURES as CATALOGUE
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import QUANTIZER_SETTINGS


class Column(NamedTuple):
    """Column; ``sample`` is the longest expected text; ``by_default``: shown unless the user hides it."""

    key: str
    header: str
    title: str
    help: str
    sample: str
    is_number: bool = True
    by_default: bool = True


def _setting(key: str, sample: str, is_number: bool = False, by_default: bool = True) -> Column:
    setting = QUANTIZER_SETTINGS[key]
    return Column(key, setting.label, setting.label, setting.help, sample, is_number, by_default)


def _measure(key: str, sample: str, by_default: bool = True) -> Column:
    measure = CATALOGUE[key]
    return Column(key, measure.header, measure.label, measure.help, sample, True, by_default)


#: All columns, in their default order.
COLUMNS = (
    Column("verdict", "", "Verdict", f"{LEVEL_KEY}; hover over a row for the reason.", "✖", False),
    Column(
        "name",
        "Tensor",
        "Tensor",
        "Name of the layer, and weights or activations (its output).",
        "depthwise10.activations",
        False,
    ),
    Column(
        "kind",
        "Kind",
        "Kind of tensor",
        "Weights are trained and stored; activations are computed for every input.",
        "activations",
        False,
        False,
    ),
    Column(
        "op", "Layer kind", "Layer kind", "The operation that the layer computes.", "GlobalAveragePool", False, False
    ),
    _setting("num_bits", "16 → 16"),
    _measure("sqnr_db", "-12.3"),
    Column(
        "trend",
        "SQNR so far",
        "SQNR over the run",
        "From the first step until now; the height of the row is at least 6 dB, which is one bit.",
        "00000000",
        False,
    ),
    _measure("rmse_over_scale", "0.2890"),
    _measure("clipped", "12.34 %"),
    _measure("flushed", "12.34 %"),
    _measure("used_codes", "9,999/65,535"),
    _measure("effective_bits", "12.34"),
    _measure("flip_rate", "12.34 %"),
    _measure("oscillating", "12.34 %"),
    _measure("frozen_weights", "12.34 %"),
    _measure("scale", "1.234e-10"),
    _measure("zero_point", "-32,768"),
    _setting("symmetric", "on → off"),
    _setting("narrow_range", "on → off"),
    _setting("per_channel", "on → off"),
    _setting("power_of_two", "on → off", by_default=False),
    _setting("range_method", "Moving average"),
    _setting("weight_map", "tanh (DoReFa)", by_default=False),
    _setting("stochastic_rounding", "on → off", by_default=False),
    _setting("gradient_scaling", "10 → 0.25", by_default=False),
    _setting("trainable", "on → off", by_default=False),
    _setting("dampening", "0.001 → 0.002", True, by_default=False),
    _setting("freeze_threshold", "0.01 → 0.02", True, by_default=False),
    _measure("size", "1.23 MB → 1.23 MB"),
    _measure("float_size", "1.23 MB", by_default=False),
    _measure("cycles", "12.3M", by_default=False),
    _measure("chip_ms", "12.34"),
    _measure("buffers", "123 kB"),
)
KEYS = tuple(column.key for column in COLUMNS)
INDEX = {key: index for index, key in enumerate(KEYS)}
#: Columns of measures of the newest snapshot, of the estimate for a chip, and columns of settings.
MEASURES = frozenset(KEYS) & frozenset(SNAPSHOT_MEASURES)
CHIP = frozenset(CHIP_MEASURES)
SETTINGS = frozenset(KEYS) & frozenset(QUANTIZER_SETTINGS)
