"""Catalogue of all displayed measures: label, help, unit, number format, axis, thresholds and colours of each.

The table of layers, the tiles, the tensor page, the network view, the evolution plots, the report and the command line
use this catalogue, so that a quantity has the same name and digits everywhere. They determine only which measures they
show, in which order and in which width.

Keys are the names in snapshots, records, JSON and CSV; they do not depend on labels.
"""

import math
from typing import Callable, Dict

from qatviz.measure_axis import MeasureAxis
from qatviz.measure_declaration import HIGHER, LOWER, ColorRange, Measure, Thresholds
from qatviz.number_format import Quantity, byte_size, percentage, si
from qatviz.oscillation_settings import OSCILLATES
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS, WEIGHTS, QuantizerSettings

#: RMSE/scale of ideal uniform rounding.
IDEAL_RMSE_OVER_SCALE = 12.0**-0.5
#: Bits of a value that is not quantized.
FLOAT_BITS = 32
#: Fractions are plotted in percent.
_PERCENT, _PERCENT_LIMITS = 100.0, (-1.0, 101.0)


def _decimals(digits: int) -> Callable[[float], Quantity]:
    # Rounded before formatting, so that + 0.0 turns a negative zero into 0.
    return lambda value: Quantity(f"{round(value, digits) + 0.0:,.{digits}f}")


def _digits(digits: int) -> Callable[[float], Quantity]:
    return lambda value: Quantity(si(value, digits))


def _rate(value: float) -> Quantity:
    """Return a learning rate in the form for input: ``0.001``, ``1e-5``."""
    return Quantity(RUN_SETTINGS["learning_rate"].text(float(f"{value:.4g}") + 0.0))


def size_bytes(num_values: int, settings: QuantizerSettings, is_quantized: bool) -> float:
    """Return the size in bytes of a tensor's codes, without scales, or of its float32 values if not quantized."""
    return num_values * (settings.code_bits if is_quantized else FLOAT_BITS) / 8


_FRACTION = MeasureAxis(_PERCENT, "%", limits=_PERCENT_LIMITS, least_span=1.0)
_LOG = MeasureAxis(can_log=True, is_log=True)
_BITS = QUANTIZER_SETTINGS["num_bits"]

_ALL = (
    Measure(
        "sqnr_db",
        "SQNR",
        "Signal-to-quantization-noise ratio: power of the values over that of the quantization error; 6 dB more are "
        "half the error (RMS), or one bit.",
        _decimals(1),
        unit="dB",
        better=HIGHER,
        axis=MeasureAxis(unit="dB", least_span=6.0),
        # dB. At 20 the error's RMS is a tenth of the signal's; at 10 a third, which no following layer averages away.
        thresholds=Thresholds(20.0, 10.0),
        colors=ColorRange(5.0, 45.0),
        at_infinity="exact",
    ),
    Measure(
        "rmse_over_scale",
        "RMSE/scale",
        f"Root mean square of the error in quantization steps: {IDEAL_RMSE_OVER_SCALE:.3f} is ideal rounding; much "
        "more means that values are clipped, much less that many values are on the grid, such as zeros.",
        _decimals(3),
        better=LOWER,
        # Rounding alone gives 0.289 and at most 0.5. At sqrt(2) times the ideal as much error comes from clipping as
        # from rounding; at twice the ideal three times as much.
        thresholds=Thresholds(IDEAL_RMSE_OVER_SCALE * 2**0.5, IDEAL_RMSE_OVER_SCALE * 2),
        colors=ColorRange(0.289, 1.5, is_log=True),
    ),
    Measure(
        "clipped",
        "Clipped",
        "Fraction of the values beyond the representable range, which are moved to its nearer end. Those less than "
        "half a quantization step beyond it are not counted: that end is their nearest level, they are rounded to it.",
        percentage,
        better=LOWER,
        axis=_FRACTION,
        # A range that follows a moving average or a percentile clips some tenths of a percent on purpose; one value in
        # twenty is more than any range method intends.
        thresholds=Thresholds(0.01, 0.05),
        colors=ColorRange(1e-4, 0.1, is_log=True),
    ),
    Measure(
        "flushed",
        "Rounded to zero",
        "Fraction of the values that are not 0 but become 0: they are smaller than half a quantization step.",
        percentage,
        better=LOWER,
        axis=_FRACTION,
        # At 8 bits, a few percent are usual; at one half, most of the tensor is lost.
        thresholds=Thresholds(0.25, 0.5),
        colors=ColorRange(1e-3, 1.0, is_log=True),
    ),
    Measure(
        "used_codes",
        "Codes used",
        "Number of distinct integer codes in use, of all that the bit width allows.",
        _decimals(0),
        better=HIGHER,
        # As a fraction of the codes that the same number of evenly distributed values would use. A bell-shaped tensor
        # with min-max range uses well over half of them; each halving is one unused bit. Above 8 bits, a tensor may
        # have fewer values than there are codes, so that unused codes are no defect.
        thresholds=Thresholds(0.5, 0.25, max_bits=8),
    ),
    Measure(
        "effective_bits",
        "Effective bits",
        "Entropy of the integer codes: average information per value in bits.",
        _decimals(2),
        unit="bits",
        short="Eff. bits",
        better=HIGHER,
        colors=ColorRange(0.0, 8.0, is_neutral=True),
    ),
    Measure(
        "flip_rate",
        "Flip rate",
        "Fraction of the integer codes that changed since the last snapshot; at few bits, many flips are weights that "
        "oscillate between two codes.",
        percentage,
        better=LOWER,
        axis=_FRACTION,
        # Few bits and many flips are oscillation (Nagel et al., "Overcoming Oscillations in Quantization-Aware
        # Training", 2022); wide codes change with every update.
        thresholds=Thresholds(0.25, math.inf, max_bits=4, kinds=(WEIGHTS,)),
        colors=ColorRange(1e-4, 0.5, is_log=True),
    ),
    Measure(
        "oscillating",
        "Oscillating",
        f"Fraction of the weights that oscillate: their code reverses its direction in more than {OSCILLATES:.1%} of "
        "the last hundred or so training steps. Measured while oscillation is tracked.",
        percentage,
        better=LOWER,
        axis=_FRACTION,
        # With more bits, a code more or less is no error to speak of. Where accuracy suffers, some percent of a layer's
        # weights oscillate at 3 bits (Nagel et al. 2022, table 1).
        thresholds=Thresholds(0.02, math.inf, max_bits=4, kinds=(WEIGHTS,)),
        colors=ColorRange(1e-3, 0.2, is_log=True),
    ),
    Measure(
        "frozen_weights",
        "Frozen weights",
        "Fraction of the weights that are frozen to the code of their average, because they oscillated. Measured while "
        "a freezing threshold is set.",
        percentage,
        short="Frozen",
        axis=_FRACTION,
        colors=ColorRange(1e-3, 0.2, is_log=True, is_neutral=True),
    ),
    Measure(
        "scale",
        "Scale",
        "Quantization step: distance between two neighbouring representable values; for a per-channel tensor, that of "
        "the coarsest channel.",
        _digits(4),
        axis=_LOG,
        is_of_float=True,
    ),
    Measure(
        "zero_point",
        "Zero point",
        "Integer code of the value 0; always 0 on a symmetric grid.",
        _decimals(0),
        axis=MeasureAxis(least_span=4.0),
        is_of_float=True,
    ),
    Measure(
        "scale_gradient",
        "Scale gradient",
        "Change of the loss per change of a learned scale (of the upper end, if a clip is learned): training moves the "
        "scale against it; around 0, the scale has settled. For a per-channel tensor, the mean over its channels.",
        _digits(3),
    ),
    Measure(
        "range_min",
        "Range minimum",
        "Smallest representable value; for a per-channel tensor, that of the widest channel.",
        _digits(4),
        is_of_float=True,
    ),
    Measure(
        "range_max",
        "Range maximum",
        "Largest representable value; for a per-channel tensor, that of the widest channel.",
        _digits(4),
        is_of_float=True,
    ),
    Measure(
        "mse",
        "Error (MSE)",
        "Mean squared difference of float and quantized values: the sum of a clipping part (clipped values) and a "
        "rounding part (all others).",
        _digits(3),
        short="Error",
        better=LOWER,
        axis=_LOG,
    ),
    Measure(
        "mse_clipping",
        "Clipping error (MSE)",
        "The part of the mean squared error from clipped values.",
        _digits(3),
        short="Clipping",
        better=LOWER,
        axis=_LOG,
    ),
    Measure(
        "mse_rounding",
        "Rounding error (MSE)",
        "The part of the mean squared error from values that are rounded to their nearest level.",
        _digits(3),
        short="Rounding",
        better=LOWER,
        axis=_LOG,
    ),
    Measure(
        "num_bits",
        _BITS.label,
        _BITS.help,
        _digits(3),
        unit="bits",
        colors=ColorRange(2.0, 16.0, is_log=True, is_neutral=True),
    ),
    Measure(
        "size",
        "Size",
        "Memory of the integer codes (for activations: of one example), without scales: number of values × bits / 8.",
        byte_size,
        better=LOWER,
        colors=ColorRange(64.0, 1e6, is_log=True, is_neutral=True),
        is_of_float=True,
    ),
    Measure(
        "float_size",
        "Size in float32",
        "Memory of the values without quantization.",
        byte_size,
        better=LOWER,
        is_of_float=True,
    ),
    Measure(
        "cycles",
        "Cycles",
        "Estimated clock cycles of the layer on the chip of the Chip panel, for one example.",
        _digits(3),
        better=LOWER,
        axis=_LOG,
        colors=ColorRange(1e3, 1e8, is_log=True, is_neutral=True),
        is_of_float=True,
    ),
    Measure(
        "chip_ms",
        "Time",
        "Estimated time of the layer on the chip of the Chip panel, for one example.",
        _digits(3),
        unit="ms",
        better=LOWER,
        axis=_LOG,
        is_of_float=True,
    ),
    Measure(
        "buffers",
        "Buffers",
        "Memory of all buffers that are in use while the layer runs on a chip; the largest sets the size of the arena.",
        byte_size,
        better=LOWER,
        colors=ColorRange(256.0, 1e6, is_log=True, is_neutral=True),
        is_of_float=True,
    ),
    Measure(
        "divergence",
        "Divergence",
        "Kullback-Leibler divergence of the outputs' probabilities from those of the network in float: the increase of "
        "the loss by quantization, as far as the probabilities are right. For a regression, half of the mean squared "
        "difference.",
        _digits(2),
        better=LOWER,
        axis=_LOG,
        # Below, no prediction changes; above, most are wrong.
        colors=ColorRange(1e-5, 1.0, is_log=True),
        is_of_float=True,
    ),
    Measure(
        "loss",
        "Loss",
        "Objective that training minimizes, on the batch of each training step, with the current quantization.",
        _digits(4),
        better=LOWER,
        axis=MeasureAxis(can_log=True),
        at_infinity="∞",
        is_of_float=True,
    ),
    Measure(
        "learning_rate",
        RUN_SETTINGS["learning_rate"].label,
        RUN_SETTINGS["learning_rate"].help,
        _rate,
        short="LR",
        axis=_LOG,
        is_of_float=True,
    ),
    Measure(
        "strength",
        "Strength of quantization",
        "Fraction of the quantized values in the mix that training uses while the strength is ramped up: 0 is float, "
        "100 % is quantized. Evaluations are always quantized.",
        percentage,
        short="Strength",
        axis=_FRACTION,
        is_of_float=True,
    ),
    Measure(
        "cosine",
        "Cosine",
        "Cosine of the angle between the values in float and with the error, as vectors: 1 is the same direction.",
        _decimals(5),
        better=HIGHER,
        is_of_float=True,
    ),
    Measure(
        "own_fraction",
        "Own fraction",
        "Fraction of a layer's error that its own quantizers add; the rest comes with its inputs. Of powers, which add "
        "up where both are independent.",
        percentage,
        axis=_FRACTION,
        is_of_float=True,
    ),
    Measure(
        "kurtosis",
        "Kurtosis",
        "Excess kurtosis of the weights that share a scale: 0 for a bell shape, -1.2 for an even spread, large if "
        "a few weights widen the range of all others.",
        _digits(3),
        better=LOWER,
        # 3 is a Laplace distribution; one weight in a thousand that is 10 standard deviations large adds about 10.
        thresholds=Thresholds(5.0, 20.0, kinds=(WEIGHTS,)),
        is_of_float=True,
    ),
    Measure(
        "range_ratio",
        "Range ratio",
        "Widest range of an output channel over the median of all channels; with one scale for all, a typical channel "
        "loses a bit for each factor of 2.",
        _digits(3),
        short="Ratio",
        better=LOWER,
        thresholds=Thresholds(4.0, 16.0, kinds=(WEIGHTS,)),  # 2 and 4 of its bits
        is_of_float=True,
    ),
    Measure(
        "outlier_channels",
        "Outlier channels",
        "Number of output channels with an unusual range: at least twice or half the median, and a robust z-score "
        "(median and median absolute deviation of logarithms) beyond 3.5.",
        _decimals(0),
        short="Outliers",
        better=LOWER,
        is_of_float=True,
    ),
)
#: All measures by key.
MEASURES: Dict[str, Measure] = {measure.key: measure for measure in _ALL}
#: Measures of a tensor's error, and of the use of its codes, in the order of tables.
ERROR_MEASURES, CODE_MEASURES = ("sqnr_db", "rmse_over_scale", "clipped", "flushed"), ("used_codes", "effective_bits")
#: Measures of the change of a tensor's codes in training.
CHANGE_MEASURES = ("flip_rate", "oscillating", "frozen_weights")
#: Measures of a tensor's grid.
GRID_MEASURES = ("scale", "zero_point")
