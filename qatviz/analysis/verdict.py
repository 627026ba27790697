"""How well a tensor bears its quantization: a level for each measure, and one sentence that says what is wrong.

All thresholds are here, each with its reason. They are rules of thumb to look somewhere first, not limits: the accuracy
on held-out data decides.
"""

from typing import Mapping, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.quant.measures import IDEAL_RMSE_OVER_SCALE
from qatviz.settings import MIN_MAX, WEIGHTS, QuantizerSettings

#: Levels, in the order of how much attention they want.
NO_LEVEL, GOOD, WARNING, BAD = 0, 1, 2, 3
LEVEL_NAMES = ("", "good", "warning", "bad")

#: dB. At 20 the error's RMS is a tenth of the signal's; at 10 a third, which no following layer averages away.
SQNR_WARNING, SQNR_BAD = 20.0, 10.0
#: RMSE/scale. Rounding alone gives 0.289 and at most 0.5. At sqrt(2) times the ideal as much error comes from clipping
#: as from rounding; at twice the ideal three times as much.
RMSE_WARNING, RMSE_BAD = IDEAL_RMSE_OVER_SCALE * 2**0.5, IDEAL_RMSE_OVER_SCALE * 2
#: Shares. A range that follows a moving average or a percentile clips some tenths of a percent on purpose; one value in
#: twenty is more than any recipe intends.
CLIPPED_WARNING, CLIPPED_BAD = 0.01, 0.05
#: Shares of nonzero values that become 0. At 8 bits some percent are usual; when it is half, the tensor is mostly gone.
FLUSHED_WARNING, FLUSHED_BAD = 0.25, 0.5
#: Shares of the codes that so many evenly spread values would use. A bell-shaped tensor on its min-max range uses well
#: over half of them; each halving is one bit that is paid for and not used.
USED_WARNING, USED_BAD = 0.5, 0.25
#: Above this width a tensor may have fewer values than there are codes, and unused codes mean nothing.
USED_MAX_BITS = 8
#: Share of weights that change their code between two snapshots. Few bits and many flips are oscillation (Nagel et al.,
#: "Overcoming Oscillations in Quantization-Aware Training", 2022); wide codes change with every update.
FLIPS_WARNING, FLIPS_MAX_BITS = 0.25, 4
#: Share of the squared error that makes a part of it the one to name.
_DOMINATES = 0.5
#: Below this share clipping is what nudging the range to the grid costs: values less than half a step outside.
_MATTERS = 0.1

_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}
JUDGED = ("sqnr_db", "rmse_over_scale", "clipped", "flushed", "used_codes", "flip_rate")


class Verdict(NamedTuple):
    """``level`` is one of NO_LEVEL, GOOD, WARNING, BAD; ``text`` one sentence or two."""

    level: int
    text: str


def levels(
    values: np.ndarray,
    tensors: Sequence[QuantizedTensor],
    settings: Sequence[QuantizerSettings],
    active: Sequence[bool],
) -> np.ndarray:
    """The level of every measure of every tensor.

    Parameters
    ----------
    values : np.ndarray
        float32 ``[len(SNAPSHOT_MEASURES), T]`` as in a snapshot.
    tensors, settings, active : sequence
        ``[T]``: what is measured, under which settings, and whether it is quantized at all.

    Returns
    -------
    np.ndarray
        int8 ``[len(SNAPSHOT_MEASURES), T]``; NO_LEVEL where there is nothing to judge: a measure without a threshold,
        without a value, or of a tensor in float.
    """
    found = np.zeros(values.shape, np.int8)
    bits = np.array([s.num_bits for s in settings], np.int64)
    codes = np.array([s.num_codes for s in settings], np.float64)
    is_weights = np.array([t.kind == WEIGHTS for t in tensors], bool)
    # n values drawn evenly leave exp(-n / codes) of the codes unused; how many an activation has, the plan can't tell.
    counts = np.array([t.parameters if t.kind == WEIGHTS else np.inf for t in tensors], np.float64)
    attainable = codes * (1 - np.exp(-counts / codes))
    with np.errstate(invalid="ignore"):  # comparisons with NaN are False, which is the level of no value
        _judge(found, values, "sqnr_db", -values[_ROW["sqnr_db"]], -SQNR_WARNING, -SQNR_BAD)
        for name, limits in (
            ("rmse_over_scale", (RMSE_WARNING, RMSE_BAD)),
            ("clipped", (CLIPPED_WARNING, CLIPPED_BAD)),
            ("flushed", (FLUSHED_WARNING, FLUSHED_BAD)),
        ):
            _judge(found, values, name, values[_ROW[name]], *limits)
        _judge(found, values, "used_codes", -values[_ROW["used_codes"]] / attainable, -USED_WARNING, -USED_BAD)
        _judge(found, values, "flip_rate", values[_ROW["flip_rate"]], FLIPS_WARNING, np.inf)
    found[_ROW["used_codes"], bits > USED_MAX_BITS] = NO_LEVEL
    found[_ROW["flip_rate"], ~is_weights | (bits > FLIPS_MAX_BITS)] = NO_LEVEL
    found[:, ~np.asarray(active, bool)] = NO_LEVEL
    return found


def verdict(
    measures: Mapping[str, float],
    tensor: QuantizedTensor,
    settings: QuantizerSettings,
    active: bool = True,
    level: Optional[Mapping[str, int]] = None,
) -> Verdict:
    """What to think of a tensor, in plain words; the gravest first.

    Parameters
    ----------
    measures : mapping
        By the names of SNAPSHOT_MEASURES; NaN where there is no value.
    active : bool
        Whether it is quantized: enabled, and past its delay.
    level : mapping, optional
        Levels by the names of JUDGED, where :func:`levels` has been asked already.
    """
    if not settings.enabled:
        return Verdict(NO_LEVEL, "In float: this tensor is not quantized.")
    if not active:
        return Verdict(NO_LEVEL, f"In float until {settings.quant_delay:,} steps are done (its delay).")
    mse = measures["mse"]
    if np.isnan(mse) and np.isnan(measures["scale"]):
        return Verdict(NO_LEVEL, "Not measured yet.")
    if not np.isfinite(mse) or not np.isfinite(measures["scale"]):
        return Verdict(BAD, "Its values are not finite: training has diverged.")
    if mse == 0:
        if np.isnan(measures["sqnr_db"]):
            return Verdict(WARNING, "All of its values are 0.")
        return Verdict(GOOD, "Exact: every value lies on the grid.")
    if level is None:
        column = np.array([[measures[name]] for name in SNAPSHOT_MEASURES], np.float32)
        found = levels(column, [tensor], [settings], [True])[:, 0]
        level = {name: int(found[_ROW[name]]) for name in JUDGED}
    return _worst(measures, level, tensor, settings)


def _judge(found: np.ndarray, values: np.ndarray, name: str, badness: np.ndarray, warning: float, bad: float) -> None:
    """Put in the levels of one measure, from a number that is the larger the worse."""
    row = found[_ROW[name]]
    row[~np.isnan(values[_ROW[name]])] = GOOD
    row[badness > warning] = WARNING
    row[badness > bad] = BAD


def _worst(
    measures: Mapping[str, float], level: Mapping[str, int], tensor: QuantizedTensor, settings: QuantizerSettings
) -> Verdict:
    clipping = measures["mse_clipping"] / measures["mse"]
    error = level["sqnr_db"]
    if clipping > _DOMINATES and max(error, level["clipped"], level["rmse_over_scale"]) > GOOD:
        return Verdict(
            max(error, level["clipped"], WARNING),
            f"Clipping dominates: the range is too narrow for these values ({100 * measures['clipped']:.2g} % "
            f"lie outside). {_widen(tensor, settings)}",
        )
    if level["used_codes"] == BAD:
        return Verdict(BAD if error > GOOD else WARNING, _few_codes(measures, tensor, settings))
    if level["flushed"] == BAD and error > GOOD:
        return Verdict(
            BAD,
            f"Most values become 0 ({100 * measures['flushed']:.0f} %): a step of the grid is larger than they "
            f"are. {_tighten(tensor, settings)}",
        )
    if level["used_codes"] > GOOD:
        return Verdict(max(error, WARNING), _few_codes(measures, tensor, settings))
    if error > GOOD:
        return Verdict(
            error,
            f"Rounding dominates: {settings.num_bits} bits are few for this "
            f"tensor.{' Try per channel.' if tensor.kind == WEIGHTS and not settings.per_channel else ''}",
        )
    if level["clipped"] > GOOD and clipping > _MATTERS:
        return Verdict(
            WARNING,
            f"{100 * measures['clipped']:.2g} % of the values are clipped, though they are not far outside the range.",
        )
    if level["flushed"] > GOOD:
        return Verdict(
            WARNING,
            f"{100 * measures['flushed']:.0f} % of the values become 0; they are small, so the error stays small.",
        )
    if level["flip_rate"] > GOOD:
        return Verdict(
            WARNING,
            f"{100 * measures['flip_rate']:.0f} % of the codes changed since the last snapshot. If that does "
            "not calm down, "
            "weights oscillate between two codes: a lower learning rate helps.",
        )
    return Verdict(GOOD, f"Good: the error is {_size_of_error(measures)}.")


def _size_of_error(measures: Mapping[str, float]) -> str:
    text = f"{100 * 10 ** (-measures['sqnr_db'] / 20):.2g} % of the signal"
    if measures["rmse_over_scale"] <= 1.1 * IDEAL_RMSE_OVER_SCALE:
        text += ", and no larger than rounding must make it"
    return text


def _few_codes(measures: Mapping[str, float], tensor: QuantizedTensor, settings: QuantizerSettings) -> str:
    return f"Only {measures['used_codes']:.0f} of {settings.num_codes:,} codes are used: {_unused(tensor, settings)}"


def _widen(tensor: QuantizedTensor, settings: QuantizerSettings) -> str:
    if tensor.kind == WEIGHTS:
        return "Try the min-max range." if settings.range_method != MIN_MAX else "Unfreeze its range."
    return "Let the moving average catch up, or give it a shorter memory."


def _tighten(tensor: QuantizedTensor, settings: QuantizerSettings) -> str:
    if tensor.kind != WEIGHTS:
        return "Try more bits."
    return f"Try more bits, {'' if settings.per_channel else 'per channel, or '}a percentile range."


def _unused(tensor: QuantizedTensor, settings: QuantizerSettings) -> str:
    if settings.symmetric and tensor.nonnegative:
        return "a symmetric grid leaves its negative half unused, as no value is below 0. Try symmetric off."
    if settings.power_of_two:
        return "the scale is rounded up to a power of two."
    if tensor.kind != WEIGHTS:
        return "outliers stretch the range, or the values are sparse."
    if settings.per_channel:
        return "outliers stretch the range. Try a percentile range."
    return "outliers stretch the range. Try per channel or a percentile range."
