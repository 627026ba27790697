"""The columns of the table of layers: what each is called, what it means, and how wide it has to be."""

from typing import NamedTuple

from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import QUANTIZER_SETTINGS


class Column(NamedTuple):
    """One column. ``sample`` is a text as wide as any that is to be expected; ``by_default``: shown at first."""

    key: str
    header: str
    title: str
    help: str
    sample: str
    is_number: bool = True
    by_default: bool = True


def _setting(key: str, header: str, sample: str, is_number: bool = False, by_default: bool = True) -> Column:
    setting = QUANTIZER_SETTINGS[key]
    return Column(key, header, setting.label, setting.help, sample, is_number, by_default)


#: All columns, in the order in which they are shown at first.
COLUMNS = (
    Column(
        "verdict", "", "Verdict", "● good, ▲ look at it, ✖ bad, ○ in float; point at a row to read why.", "✖", False
    ),
    Column(
        "name",
        "Tensor",
        "Tensor",
        "The layer, and whether it is its weights or its activations (its output).",
        "depthwise10.activations",
        False,
    ),
    Column(
        "kind",
        "Kind",
        "Kind of tensor",
        "Weights are trained and stored, activations computed for every input.",
        "activations",
        False,
        False,
    ),
    Column("op", "Layer kind", "Layer kind", "What the layer computes.", "GlobalAveragePool", False, False),
    _setting("num_bits", "Bits", "16 → 16"),
    Column(
        "sqnr_db",
        "SQNR dB",
        "Signal-to-quantization-noise ratio",
        "How much stronger the values are than the error that quantization makes; 6 dB more is half the error.",
        "-12.3",
    ),
    Column(
        "trend",
        "SQNR so far",
        "SQNR over the run",
        "From the first step to now; the height of the row is at least 6 dB, which is one bit.",
        "0000000000",
        False,
    ),
    Column(
        "rmse_over_scale",
        "RMSE/scale",
        "Error in steps of the grid",
        "The typical error divided by the scale. 0.289 is what rounding alone must make; much more means clipping.",
        "0.2890",
    ),
    Column("clipped", "Clipped", "Clipped", "Share of the values that lie outside the representable range.", "12.34 %"),
    Column("flushed", "To 0", "Flushed to zero", "Share of the nonzero values that become 0.", "12.34 %"),
    Column(
        "used_codes",
        "Codes used",
        "Codes used",
        "How many different integer codes occur, of all there are.",
        "9,999 / 65,535",
    ),
    Column(
        "effective_bits",
        "Eff. bits",
        "Effective bits",
        "Entropy of the codes: how many bits of information a value carries on average.",
        "12.34",
    ),
    Column(
        "flip_rate",
        "Flips",
        "Flip rate",
        "Share of the values whose code changed since the last snapshot. At few bits, many flips are oscillation.",
        "12.34 %",
    ),
    Column(
        "scale",
        "Scale",
        "Scale",
        "Distance between two neighbouring levels; of a per-channel tensor the largest.",
        "1.234e-10",
    ),
    Column("zero_point", "Zero point", "Zero point", "The integer code that stands for 0.", "-32,768"),
    _setting("symmetric", "Symmetric", "on → off"),
    _setting("narrow_range", "Narrow", "on → off"),
    _setting("per_channel", "Per channel", "on → off"),
    _setting("power_of_two", "Power of 2", "on → off", by_default=False),
    _setting("range_method", "Range", "moving average"),
    Column(
        "size",
        "Size",
        "Size",
        "Memory that the codes of these weights take: parameters × bits / 8.",
        "1.23 MB → 1.23 MB",
    ),
    Column(
        "float_size",
        "In float32",
        "Size in float32",
        "Memory that these weights take without quantization.",
        "1.23 MB",
        by_default=False,
    ),
)
KEYS = tuple(column.key for column in COLUMNS)
INDEX = {key: index for index, key in enumerate(KEYS)}
MEASURES = frozenset(KEYS) & frozenset(SNAPSHOT_MEASURES)
SETTINGS = frozenset(KEYS) & frozenset(QUANTIZER_SETTINGS)
