"""Verdict on a quantized tensor: a level for each measure, and one or two sentences that name the problem.

The thresholds are in :mod:`qatviz.measures`, each with its reason. They are rules of thumb that show which tensors to
examine first, not limits: what counts is the accuracy on held-out data.
"""

from typing import Mapping, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.analysis.causes import Facts, clipping, few_codes_expected, unused_codes
from qatviz.measure_declaration import HIGHER
from qatviz.measures import IDEAL_RMSE_OVER_SCALE, MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import percent_text, signed
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import WEIGHTS, QuantizerSettings

#: Levels, by increasing need for attention.
NO_LEVEL, GOOD, WARNING, BAD = 0, 1, 2, 3
LEVEL_NAMES = ("", "good", "warning", "bad")
#: Symbols of the levels, so that they differ not only by colour.
LEVEL_SYMBOLS = ("○", "●", "▲", "✖")
#: Explanation of the symbols.
LEVEL_KEY = "● good, ▲ warning, ✖ bad, ○ in float"
#: Fraction of the squared error above which clipping dominates it.
_DOMINATES = 0.5
#: Fraction of the squared error above which clipping is named although the error as a whole is acceptable.
_MATTERS = 0.1
#: Magnitude below which squares vanish in float32.
UNDERFLOW = 1e-18

_ROW = {name: row for row, name in enumerate(SNAPSHOT_MEASURES)}
_THRESHOLDS = {
    name: thresholds
    for name, thresholds in ((name, MEASURES[name].thresholds) for name in SNAPSHOT_MEASURES)
    if thresholds is not None
}
#: The measures that have a level.
JUDGED = tuple(_THRESHOLDS)


class Verdict(NamedTuple):
    """Level (NO_LEVEL, GOOD, WARNING or BAD) and text of one or two sentences."""

    level: int
    text: str


def levels(
    values: np.ndarray,
    tensors: Sequence[QuantizedTensor],
    settings: Sequence[QuantizerSettings],
    active: Sequence[bool],
    facts: Sequence[Optional[Facts]] = (),
) -> np.ndarray:
    """Return the level of every measure of every tensor.

    Parameters
    ----------
    values : np.ndarray
        float32 ``[len(SNAPSHOT_MEASURES), T]`` as in a snapshot.
    tensors, settings, active : sequence
        ``[T]``: the tensors, the settings they were measured with, and whether they were quantized at all.
    facts : sequence, optional
        ``[T]``: facts on the values of each tensor, whose number limits the number of codes in use.

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
            row = row / _attainable_codes(tensors, settings, facts or [None] * len(tensors))
        sign = -1 if MEASURES[name].better == HIGHER else 1
        with np.errstate(invalid="ignore"):  # comparisons with NaN are False, so that NO_LEVEL remains
            level = np.where(np.isnan(row), NO_LEVEL, GOOD)
            level[sign * row > sign * thresholds.warning] = WARNING
            level[sign * row > sign * thresholds.bad] = BAD
        is_judged = np.array([t.kind in thresholds.kinds for t in tensors], bool) & (bits <= thresholds.max_bits)
        found[_ROW[name]] = np.where(is_judged & np.asarray(active, bool), level, NO_LEVEL)
    return found


def _attainable_codes(
    tensors: Sequence[QuantizedTensor], settings: Sequence[QuantizerSettings], facts: Sequence[Optional[Facts]]
) -> np.ndarray:
    """Return the number of codes that the values of each tensor would use if they were spread evenly, float64 ``[T]``.

    Without facts, the number of values of an activation is unknown.
    """
    codes = np.array([s.num_codes for s in settings], np.float64)
    counts = np.array([t.parameters if t.kind == WEIGHTS else np.inf for t in tensors], np.float64)
    found = codes * (1 - np.exp(-counts / codes))
    for index, (known, chosen) in enumerate(zip(facts, settings)):
        if known is not None:
            found[index] = known.attainable_codes(chosen.num_codes)
    return found


def verdict(
    measures: Mapping[str, float],
    tensor: QuantizedTensor,
    settings: QuantizerSettings,
    active: bool = True,
    level: Optional[Mapping[str, int]] = None,
    facts: Optional[Facts] = None,
) -> Verdict:
    """Return the verdict on a tensor: its gravest problem, with the cause if it can be looked up.

    Parameters
    ----------
    measures : mapping
        Values by the names of SNAPSHOT_MEASURES; NaN where there is none.
    active : bool
        True if it is quantized now.
    level : mapping, optional
        Levels by the names of JUDGED, where :func:`levels` has been called already.
    facts : Facts, optional
        Facts on its values from its snapshot; without them, no causes are named.
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
        if facts is not None and 0 < max(-facts.low, facts.high) < UNDERFLOW:
            most = signed(max(-facts.low, facts.high))
            return Verdict(WARNING, f"Its values are too small to measure: none is larger than {most}.")
        if np.isnan(measures["sqnr_db"]):
            return Verdict(WARNING, "All of its values are 0.")
        return Verdict(GOOD, "Exact: every value lies on the grid.")
    if level is None:
        column = np.array([[measures[name]] for name in SNAPSHOT_MEASURES], np.float32)
        found = levels(column, [tensor], [settings], [True], [facts])[:, 0]
        level = {name: int(found[_ROW[name]]) for name in JUDGED}
    return _worst(measures, level, tensor, settings, facts)


def _worst(
    measures: Mapping[str, float],
    level: Mapping[str, int],
    tensor: QuantizedTensor,
    settings: QuantizerSettings,
    facts: Optional[Facts],
) -> Verdict:
    clipped = measures["mse_clipping"] / measures["mse"]
    error = level["sqnr_db"]
    if clipped > _DOMINATES and max(error, level["clipped"], level["rmse_over_scale"]) > GOOD:
        return Verdict(
            max(error, level["clipped"], WARNING),
            _joined(
                f"Clipping dominates the error: {percent_text(measures['clipped'])} of the values are out of range.",
                "" if facts is None else clipping(facts, measures, tensor, settings),
            ),
        )
    if level["used_codes"] == BAD:
        return Verdict(BAD if error > GOOD else WARNING, _few_codes(measures, tensor, settings, facts))
    if level["flushed"] == BAD and error > GOOD:
        return Verdict(
            BAD,
            _joined(
                f"Most values become 0 ({percent_text(measures['flushed'])}): they are smaller than half a "
                "quantization step.",
                *([] if facts is None else unused_codes(facts, measures, tensor, settings)),
            ),
        )
    if level["oscillating"] > GOOD:
        return Verdict(max(error, WARNING), _oscillation(measures, error))
    if level["used_codes"] > GOOD:
        return Verdict(max(error, WARNING), _few_codes(measures, tensor, settings, facts))
    if error > GOOD:
        return Verdict(
            error,
            _joined(
                f"Rounding dominates the error, which is {_relative(measures)}.",
                *([] if facts is None else unused_codes(facts, measures, tensor, settings)),
                "" if facts is None else few_codes_expected(facts, measures["used_codes"], settings),
            ),
        )
    if level["clipped"] > GOOD and clipped > _MATTERS:
        return Verdict(
            WARNING,
            f"{percent_text(measures['clipped'])} of the values are clipped, which makes {percent_text(clipped)} of "
            "the squared error.",
        )
    if level["flushed"] > GOOD:
        return Verdict(
            WARNING,
            f"{percent_text(measures['flushed'])} of the values become 0; still, the error is only "
            f"{_relative(measures)}.",
        )
    if level["flip_rate"] > GOOD:
        return Verdict(
            WARNING,
            f"{percent_text(measures['flip_rate'])} of the codes changed since the last snapshot: weights move by a "
            "quantization step, or oscillate between two codes.",
        )
    note = "" if facts is None else few_codes_expected(facts, measures["used_codes"], settings)
    return Verdict(GOOD, _joined(f"Good: the error is {_size_of_error(measures)}.", note))


def _oscillation(measures: Mapping[str, float], error: int) -> str:
    frozen = measures["frozen_weights"]
    return _joined(
        f"{percent_text(measures['oscillating'])} of the weights oscillate between two codes, which hinders "
        "convergence.",
        f"{percent_text(frozen)} are frozen." if frozen > 0 else "",
        f"Rounding dominates the error, which is {_relative(measures)}." if error > GOOD else "",
    )


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _relative(measures: Mapping[str, float]) -> str:
    decades = -measures["sqnr_db"] / 20
    return f"{percent_text(10**decades if not decades > 30 else float('inf'))} of the signal"


def _size_of_error(measures: Mapping[str, float]) -> str:
    text = _relative(measures)
    if measures["rmse_over_scale"] <= 1.1 * IDEAL_RMSE_OVER_SCALE:
        text += ", no larger than that of rounding evenly spread values"
    return text


def _few_codes(
    measures: Mapping[str, float], tensor: QuantizedTensor, settings: QuantizerSettings, facts: Optional[Facts]
) -> str:
    verb = "is" if measures["used_codes"] == 1 else "are"
    return _joined(
        f"Only {measures['used_codes']:,.0f} of {settings.num_codes:,} codes {verb} used.",
        *([] if facts is None else unused_codes(facts, measures, tensor, settings)),
    )
