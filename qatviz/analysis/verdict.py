"""The verdict on a quantized tensor: a level for each measure, and one sentence that names the problem.

The thresholds are in :mod:`qatviz.measures`, each with its reason. They are rules of thumb for where to look first, not
limits: the accuracy on held-out data decides.
"""

from typing import Mapping, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.measures import HIGHER, IDEAL_RMSE_OVER_SCALE, MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import percent_text
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import MIN_MAX, WEIGHTS, QuantizerSettings

#: Levels, by increasing need for attention.
NO_LEVEL, GOOD, WARNING, BAD = 0, 1, 2, 3
LEVEL_NAMES = ("", "good", "warning", "bad")
#: A mark for each level: colour is not the only cue.
LEVEL_SYMBOLS = ("○", "●", "▲", "✖")
#: Fraction of the squared error that makes one of its parts the one to name.
_DOMINATES = 0.5
#: Below this fraction, clipping is the cost of nudging the range to the grid: values less than half a step outside.
_MATTERS = 0.1

_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}
_THRESHOLDS = {
    name: thresholds
    for name, thresholds in ((name, MEASURES[name].thresholds) for name in SNAPSHOT_MEASURES)
    if thresholds is not None
}
#: The measures that have a level.
JUDGED = tuple(_THRESHOLDS)


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
    """Return the level of every measure of every tensor.

    Parameters
    ----------
    values : np.ndarray
        float32 ``[len(SNAPSHOT_MEASURES), T]`` as in a snapshot.
    tensors, settings, active : sequence
        ``[T]``: the tensors, the settings they were measured with, and whether they were quantized at all.

    Returns
    -------
    np.ndarray
        int8 ``[len(SNAPSHOT_MEASURES), T]``; NO_LEVEL where there is nothing to judge: a measure without thresholds,
        without a value, or of a tensor in float.
    """
    found = np.zeros(values.shape, np.int8)
    bits = np.array([s.num_bits for s in settings], np.int64)
    for name, thresholds in _THRESHOLDS.items():
        row = values[_ROW[name]]
        if name == "used_codes":
            row = row / _attainable_codes(tensors, settings)
        sign = -1 if MEASURES[name].better == HIGHER else 1
        with np.errstate(invalid="ignore"):  # comparisons with NaN are False, which is the level of no value
            level = np.where(np.isnan(row), NO_LEVEL, GOOD)
            level[sign * row > sign * thresholds.warning] = WARNING
            level[sign * row > sign * thresholds.bad] = BAD
        is_judged = np.array([t.kind in thresholds.kinds for t in tensors], bool) & (bits <= thresholds.max_bits)
        found[_ROW[name]] = np.where(is_judged & np.asarray(active, bool), level, NO_LEVEL)
    return found


def _attainable_codes(tensors: Sequence[QuantizedTensor], settings: Sequence[QuantizerSettings]) -> np.ndarray:
    """Return the number of codes that the values of each tensor would use if they were spread evenly, float64 ``[T]``.

    n such values leave exp(-n / codes) of the codes unused. The number of values of an activation is not in the plan.
    """
    codes = np.array([s.num_codes for s in settings], np.float64)
    counts = np.array([t.parameters if t.kind == WEIGHTS else np.inf for t in tensors], np.float64)
    return codes * (1 - np.exp(-counts / codes))


def verdict(
    measures: Mapping[str, float],
    tensor: QuantizedTensor,
    settings: QuantizerSettings,
    active: bool = True,
    level: Optional[Mapping[str, int]] = None,
) -> Verdict:
    """Return the verdict on a tensor: its gravest problem.

    Parameters
    ----------
    measures : mapping
        By the names of SNAPSHOT_MEASURES; NaN where there is no value.
    active : bool
        Whether it is quantized now.
    level : mapping, optional
        Levels by the names of JUDGED, where :func:`levels` has been called already.
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


def _worst(
    measures: Mapping[str, float], level: Mapping[str, int], tensor: QuantizedTensor, settings: QuantizerSettings
) -> Verdict:
    clipping = measures["mse_clipping"] / measures["mse"]
    error = level["sqnr_db"]
    if clipping > _DOMINATES and max(error, level["clipped"], level["rmse_over_scale"]) > GOOD:
        return Verdict(
            max(error, level["clipped"], WARNING),
            f"Clipping dominates: the range is too narrow for these values ({percent_text(measures['clipped'])} "
            f"lie outside). {_widen(tensor, settings)}",
        )
    if level["used_codes"] == BAD:
        return Verdict(BAD if error > GOOD else WARNING, _few_codes(measures, tensor, settings))
    if level["flushed"] == BAD and error > GOOD:
        return Verdict(
            BAD,
            f"Most values become 0 ({percent_text(measures['flushed'])}): the quantization step is larger than they "
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
            f"{percent_text(measures['clipped'])} of the values are clipped, though they are not far outside the "
            "range.",
        )
    if level["flushed"] > GOOD:
        return Verdict(
            WARNING,
            f"{percent_text(measures['flushed'])} of the values become 0; they are small, so the error stays small.",
        )
    if level["flip_rate"] > GOOD:
        return Verdict(
            WARNING,
            f"{percent_text(measures['flip_rate'])} of the codes changed since the last snapshot. If that does not "
            "calm down, weights oscillate between two codes: a lower learning rate helps.",
        )
    return Verdict(GOOD, f"Good: the error is {_size_of_error(measures)}.")


def _size_of_error(measures: Mapping[str, float]) -> str:
    text = f"{percent_text(10 ** (-measures['sqnr_db'] / 20))} of the signal"
    if measures["rmse_over_scale"] <= 1.1 * IDEAL_RMSE_OVER_SCALE:
        text += ", and no larger than rounding must make it"
    return text


def _few_codes(measures: Mapping[str, float], tensor: QuantizedTensor, settings: QuantizerSettings) -> str:
    return f"Only {measures['used_codes']:,.0f} of {settings.num_codes:,} codes are used: {_unused(tensor, settings)}"


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
