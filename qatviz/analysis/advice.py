"""Advice on the settings of a tensor: changes that improve its SQNR, each with the computed number of dB.

The computation is that of pending settings (:mod:`qatviz.analysis.pending`), on the tensor's values.
"""

from dataclasses import replace
from typing import Any, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.pending import likely_values, pending_grid, pending_measures, present_range
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.protocol.snapshots import Snapshot
from qatviz.quant.affine import fake_quant
from qatviz.quant.measures import sqnr_db
from qatviz.quant.ranges import Range
from qatviz.settings import (
    EXTREMES,
    FROZEN,
    HISTOGRAM_METHODS,
    MIN_MAX,
    MSE,
    QUANTIZER_SETTINGS,
    WEIGHTS,
    QuantizerSettings,
)

#: Smallest improvement in dB that is offered, about a sixth of a bit; more where the result is an estimate.
MARGIN_DB, ESTIMATED_MARGIN_DB = 1.0, 2.0
#: Largest decrease in dB that is accepted for another tensor with the same grid.
_ALLOWED_LOSS_DB = 0.1
#: Bit widths that are offered where nothing else helps.
_BITS = (3, 4, 6, 8, 12, 16)
#: Settings that have no effect, or an unknown one, while all ranges are frozen.
_NOT_WHILE_FROZEN = ("range_method", "per_channel")
#: Approximate number of values by which a larger tensor is represented, in addition to the rows with its extremes.
_SAMPLE = 65536
#: A range found in fewer values fits them better than the other values of a run: its error is measured on values that
#: are held out, in this number of parts.
_FEW, _PARTS = 4096, 4
#: Factor by which the range of all values of a run is assumed to exceed one found in few, except that of least error.
_WIDER = 1.5
#: Number of standard errors by which the offered SQNR of few values is reduced.
_STANDARD_ERRORS = 2.0


class Member(NamedTuple):
    """A tensor whose grid changes, and its values ``[n, channels]``."""

    tensor: QuantizedTensor
    values: np.ndarray


class Offer(NamedTuple):
    """A change of one setting, and the tensor's SQNR in dB before and after it.

    ``is_estimate`` is True if the SQNR was computed from a sample, from values estimated from a histogram, or for a
    range that the run will find in other values. ``is_cautious`` is True if the values are few: then ``after`` is a
    lower bound.
    """

    setting: str
    value: Any
    before: float
    after: float
    is_estimate: bool
    is_cautious: bool = False

    @property
    def change(self) -> str:
        """The change as text, such as "Symmetric off"."""
        setting = QUANTIZER_SETTINGS[self.setting]
        return f"{setting.label} {setting.text(self.value)}"

    @property
    def text(self) -> str:
        """The change and its effect: "Symmetric off: SQNR 48.4 dB → 54.6 dB"."""
        about = "≈ " if self.is_estimate else ""
        more = " or more" if self.is_cautious else ""
        return f"{self.change}: SQNR {about}{MEASURES['sqnr_db'].change(self.before, self.after)}{more}"


def candidates(tensor: QuantizedTensor, settings: QuantizerSettings) -> List[Tuple[str, Any]]:
    """Return the changes ``(setting, value)`` that are tried before more bits, since they need no more memory."""
    found: List[Tuple[str, Any]] = [
        (name, False) for name in ("symmetric", "power_of_two", "narrow_range") if getattr(settings, name)
    ]
    if tensor.kind == WEIGHTS and not settings.per_channel and tensor.num_channels > 1:
        found.append(("per_channel", True))
    methods = (MIN_MAX, MSE) if tensor.kind == WEIGHTS else (EXTREMES, *HISTOGRAM_METHODS)
    return found + [("range_method", method) for method in methods if settings.range_method != method]


def trials(
    members: Sequence[Member], settings: QuantizerSettings, kept: Range, is_estimate: bool, held: bool
) -> Iterator[Optional[Offer]]:
    """Yield the best offer so far, None at first, before the first trial and after each; None between parts of one.

    Parameters
    ----------
    members : sequence of Member
        The tensor first, then those that share its grid, whose SQNR must not decrease noticeably.
    kept : Range
        Present range, for a grid that does not follow the values; see `pending_grid`.
    is_estimate : bool
        True if the values of the tensor are a sample or estimates.
    held : bool
        True if all ranges of the run are frozen: then no other range is offered.

    Notes
    -----
    The run finds a range of activations in many batches, of which these values are a part. If they are few, the SQNR of
    a range found in all of them would be much too high (46.9 dB instead of 40 dB for 32 values at 8 bits).
    """
    # For activations, the range in effect is used as it is: these values are not those in which the run finds ranges.
    present = settings if members[0].tensor.kind == WEIGHTS else replace(settings, range_method=FROZEN)
    before = _sqnr_db(members, present, kept, held)
    best: Optional[Offer] = None
    yield best

    def compared(setting: str, value: Any) -> Generator[None, None, Optional[Offer]]:
        is_searched = setting == "range_method" or settings.range_method in HISTOGRAM_METHODS
        is_guess = is_searched and members[0].tensor.kind != WEIGHTS
        is_cautious = is_guess and members[0].values.size < _FEW
        changed = replace(settings if is_searched else present, **{setting: value})
        if is_cautious:
            after = yield from _held_out_sqnr_db(members, changed, kept, held)
        else:
            after = _sqnr_db(members, changed, kept, held)
        margin = ESTIMATED_MARGIN_DB if is_estimate or is_guess else MARGIN_DB
        harmless = all(new >= old - _ALLOWED_LOSS_DB for new, old in zip(after, before))
        improved = after[0] >= before[0] + margin and after[0] > (best.after if best is not None else -np.inf)
        offer = Offer(setting, value, before[0], after[0], is_estimate or is_guess, is_cautious)
        return offer if harmless and improved else None

    for setting, value in candidates(members[0].tensor, settings):
        is_unknown = held and setting in _NOT_WHILE_FROZEN
        best = (None if is_unknown else (yield from compared(setting, value))) or best
        yield best
    thresholds = MEASURES["sqnr_db"].thresholds
    assert thresholds is not None
    if best is None and before[0] < thresholds.warning:
        for bits in _BITS:
            if bits > settings.num_bits:
                best = yield from compared("num_bits", bits)
                yield best
                if best is not None and best.after >= thresholds.warning:
                    return


def estimated_trials(
    snapshot: Snapshot,
    plan: QuantizationPlan,
    name: str,
    settings: QuantizerSettings,
    held: bool = False,
    values: Optional[np.ndarray] = None,
    is_old: bool = False,
) -> Iterator[Optional[Offer]]:
    """Return :func:`trials` for a tensor of a snapshot.

    Parameters
    ----------
    values : np.ndarray, optional
        float32 ``[n, channels]``; by default, estimates from its histogram. Values of other tensors with the same grid
        are always estimates from their histograms.
    is_old : bool
        True if ``values`` are older than the snapshot.
    """
    tensor = plan.tensor(name)
    histogram, index = snapshot.histograms[name], plan.index(name)
    kept, _ = present_range(tensor, histogram, snapshot.num_bits[index], settings)
    is_estimate = values is None or is_old or len(values) * values.shape[1] > _SAMPLE
    if values is None:
        known = likely_values(histogram, tensor.kind == WEIGHTS)
    else:
        known = _sampled(values)
    members = [Member(tensor, known)]
    for other in plan.tensors:
        if other.group == tensor.group and other.name != name and other.name in snapshot.histograms:
            members.append(Member(other, likely_values(snapshot.histograms[other.name], False)))
    return trials(members, settings, kept, is_estimate, held)


def best_offer(found: Iterator[Optional[Offer]]) -> Optional[Offer]:
    """Return the final result of `trials`, its last item."""
    return list(found)[-1]


def with_offer(text: str, offer: Optional[Offer]) -> str:
    """Return the text of a verdict followed by that of an offer."""
    return text if offer is None else f"{text} {offer.text}."


def _sampled(values: np.ndarray) -> np.ndarray:
    """Return evenly spaced rows of a large tensor, and those with the extremes of each channel."""
    stride = -(-values.size // _SAMPLE)
    if stride == 1:
        return values
    # An odd stride: rows are positions of feature maps, whose width is often even; an even stride would skip columns.
    extremes = np.unique([values.argmin(axis=0), values.argmax(axis=0)])
    return np.concatenate([values[:: stride | 1], values[extremes]])


def _sqnr_db(members: Sequence[Member], settings: QuantizerSettings, kept: Range, held: bool) -> List[float]:
    """Return the SQNR in dB of each member on the grid that all share; NaN where it has no finite values."""
    known = [member.values for member in members if _is_known(member)]
    if not known:
        return [float("nan")] * len(members)
    together = known[0] if len(members) == 1 else np.concatenate([values.reshape(-1) for values in known])
    grid = pending_grid(members[0].tensor, settings, kept, together, held)
    return [pending_measures(member.values, grid).sqnr_db if _is_known(member) else float("nan") for member in members]


def _held_out_sqnr_db(
    members: Sequence[Member], settings: QuantizerSettings, kept: Range, held: bool
) -> Generator[None, None, List[float]]:
    """Return a lower bound of the SQNR in dB of activations in the whole run, of which the values are a sample.

    Each part of the values is measured on the grid that is found in the others. Least squared error weighs clipping
    against rounding; other methods follow rare values, of which a run has more: of their grid and a wider one, the SQNR
    is the smaller. It yields after each part, which takes as long as a trial.
    """
    known = [np.sort(member.values, axis=None) if _is_known(member) else np.zeros(0, np.float32) for member in members]
    factors = (1.0,) if settings.range_method == MSE else (1.0, _WIDER)
    noise = [[np.zeros(values.size) for values in known] for _ in factors]
    for part in range(_PARTS):
        seen = np.concatenate([np.delete(values, np.s_[part::_PARTS]) for values in known])
        grid = pending_grid(members[0].tensor, settings, kept, seen, held)
        for row, factor in zip(noise, factors):
            wider = replace(grid, scale=np.float32(factor) * grid.scale)
            for values, error in zip(known, row):
                held_out = values[part::_PARTS]
                error[part::_PARTS] = np.square(fake_quant(held_out, wider) - held_out, dtype=np.float64)
        yield
    return [
        min(_sqnr_bound_db(np.square(values, dtype=np.float64), row[index]) for row in noise)
        for index, values in enumerate(known)
    ]


def _sqnr_bound_db(signal: np.ndarray, noise: np.ndarray) -> float:
    """Return the SQNR in dB of squares of values and of their errors, less its standard errors as of a sample."""
    found = float(sqnr_db(signal.sum(), noise.sum()))
    if not np.isfinite(found):
        return found
    spread = np.std(signal / signal.mean() - noise / noise.mean())
    return found - float(_STANDARD_ERRORS * 10 / np.log(10) * spread / np.sqrt(len(signal)))


def _is_known(member: Member) -> bool:
    return bool(member.values.size and np.isfinite(member.values).all())
