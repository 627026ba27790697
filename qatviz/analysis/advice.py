"""Advice on the settings of a tensor: changes that improve its SQNR, each with the computed number of dB.

The computation is that of pending settings (:mod:`qatviz.analysis.pending`), on the tensor's values.
"""

from dataclasses import replace
from typing import Any, Generator, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.pending import (
    after_map,
    likely_values,
    partner_values,
    pending_grid,
    pending_measures,
    present_range,
)
from qatviz.analysis.sampled_sqnr import Estimate, are_few, finds_range, held_out, is_known, result_of, sampled
from qatviz.analysis.verdict import UNDERFLOW
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.quant.affine import AffineGrid
from qatviz.quant.ranges import Range, as_applied
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


class Member(NamedTuple):
    """A tensor whose grid changes, and its values ``[n, channels]``."""

    tensor: QuantizedTensor
    values: np.ndarray


class Offer(NamedTuple):
    """A change of one setting, and the tensor's SQNR in dB before and after it.

    ``is_estimate`` is True if the SQNR was computed from a sample, from values estimated from a histogram, or for a
    range that the run will find in other values. ``is_cautious`` is True if the values are a small sample of those of
    the run: then ``after`` is a lower bound.
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
        return QUANTIZER_SETTINGS[self.setting].text_with_label(self.value)

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
    if tensor.fixed_range:
        return found
    methods = (MIN_MAX, MSE) if tensor.kind == WEIGHTS else (EXTREMES, *HISTOGRAM_METHODS)
    return found + [("range_method", method) for method in methods if settings.range_method != method]


def trials(
    members: Sequence[Member], settings: QuantizerSettings, kept: Range, is_estimate: bool, held: bool
) -> Iterator[Optional[Offer]]:
    """Yield the best offer so far, before the first trial (then None) and after each; between parts of a trial, None.

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
    """
    # For activations, the range in effect is used as it is: these values are not those in which the run finds ranges.
    tensor = members[0].tensor
    present = as_applied(settings, settings) if tensor.kind == WEIGHTS else replace(settings, range_method=FROZEN)
    before = [found.sqnr_db for found in result_of(_sqnr_db(members, present, kept, held))]
    best: Optional[Offer] = None
    yield best
    if np.abs(members[0].values).max(initial=0.0) < UNDERFLOW:
        return  # the run can't measure its error

    def compared(setting: str, value: Any) -> Generator[None, None, Optional[Offer]]:
        wanted = replace(settings, **{setting: value})
        is_found = not held and finds_range(tensor, wanted, settings)
        applied = wanted if is_found or tensor.kind == WEIGHTS else replace(present, **{setting: value})
        found = yield from _sqnr_db(members, as_applied(settings, applied), kept, held, is_found)
        # On a range that does not depend on the values, both numbers have the same sampling error.
        others = [new.bound if is_found else new.sqnr_db for new in found]
        harmless = all(new >= old - _ALLOWED_LOSS_DB for new, old in zip(others, before))
        after, is_guess = found[0].bound, is_estimate or is_found
        improved = after >= before[0] + (ESTIMATED_MARGIN_DB if is_guess else MARGIN_DB)
        # Of nearly equal bit widths, the smallest is offered.
        least = -np.inf if best is None else best.after + (MARGIN_DB if setting == "num_bits" else 0.0)
        if not (harmless and improved and after > least):
            return None
        return Offer(setting, value, before[0], after, is_guess, are_few(tensor, members[0].values))

    for setting, value in candidates(tensor, settings):
        is_unknown = held and setting in _NOT_WHILE_FROZEN
        best = (None if is_unknown else (yield from compared(setting, value))) or best
        yield best
    thresholds = MEASURES["sqnr_db"].thresholds
    assert thresholds is not None
    if best is None and before[0] < thresholds.warning:
        for bits in _BITS:
            if bits > settings.num_bits:
                best = (yield from compared("num_bits", bits)) or best
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
    others = partner_values(snapshot, plan, tensor)
    members = [Member(tensor, known), *(Member(plan.tensor(other), values) for other, values in others.items())]
    return trials(members, settings, kept, is_estimate, held)


def estimated_offer(snapshot: Snapshot, book: SettingsBook, name: str, settings: QuantizerSettings) -> Optional[Offer]:
    """Return the best offer for a tensor of a snapshot, estimated from its histogram; None if nothing helps enough.

    ``book`` has the present settings, ``settings`` those with which the tensor was measured.
    """
    return best_offer(estimated_trials(snapshot, book.plan, name, settings, book.run.freeze_ranges))


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


def _sqnr_db(
    members: Sequence[Member], settings: QuantizerSettings, kept: Range, held: bool, is_found: bool = False
) -> Generator[None, None, List[Estimate]]:
    """Return the SQNR of each member on the grid that all share, as that of the run; unknown without finite values.

    ``is_found``: the run finds the range in other values than these. It yields between parts of a long computation.
    """
    tensor = members[0].tensor

    def grid_in(values: np.ndarray) -> AffineGrid:
        return pending_grid(tensor, settings, kept, values, held)

    is_few = are_few(tensor, members[0].values)
    if is_found and is_few:
        return (yield from held_out([member.values for member in members], grid_in, settings.range_method))
    known = [member.values for member in members if is_known(member.values)]
    if not known:
        return [Estimate(float("nan"), 0.0)] * len(members)
    grid = grid_in(known[0] if len(members) == 1 else np.concatenate([values.reshape(-1) for values in known]))
    if is_few:
        return [sampled(member.values, grid) for member in members]
    measured = [
        pending_measures(member.values, grid, after_map(member.values, settings, member.tensor)) for member in members
    ]
    return [Estimate(found.sqnr_db, 0.0) for found in measured]
