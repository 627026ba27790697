"""Causes of a tensor's error and of unused codes, found in its snapshot.

Each sentence states measured values: no cause is assumed from settings alone.
"""

import math
from dataclasses import dataclass
from typing import List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import percent_text, signed
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, TensorHistogram
from qatviz.settings import (
    EXTREMES,
    FROZEN,
    HISTOGRAM_METHODS,
    KL,
    LEARNED_METHODS,
    MIN_MAX,
    MSE,
    PERCENTILE,
    WEIGHTS,
    QuantizerSettings,
)

#: Smallest factor by which a cause reduces the codes in use if it is to be named.
NAMED_FACTOR = 1.5
#: Fraction of the values that is left out at each end to find the range of nearly all of them.
_TAIL = 0.0005
#: Smallest number of values of which a single one can be left out as a tail.
_ENOUGH_FOR_TAILS = 100
#: A moving average follows the extremes if it moved by at least the first fraction of the expected distance; it is
#: steady if it moved by at most the second.
_FOLLOWS, _STEADY = 0.5, 0.1
_RANGE_ROWS = [SNAPSHOT_MEASURES.index(name) for name in ("range_min", "range_max")]


class Motion(NamedTuple):
    """The representable range in an earlier snapshot, the number of training steps since, and that of the run."""

    range_min: float
    range_max: float
    steps: int
    done: int


class Partner(NamedTuple):
    """A tensor that shares the grid, and its smallest and largest value."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """Facts on the values of one tensor, from its snapshot.

    ``partners`` are the other tensors of its group; ``motion`` is None if there is no earlier snapshot; ``held`` is
    True if all ranges of the run are frozen.
    """

    histogram: TensorHistogram
    partners: Tuple[Partner, ...] = ()
    motion: Optional[Motion] = None
    held: bool = False

    @property
    def low(self) -> float:
        """Smallest value."""
        return float(self.histogram.channel_min.min())

    @property
    def high(self) -> float:
        """Largest value."""
        return float(self.histogram.channel_max.max())

    def attainable_codes(self, num_codes: int) -> float:
        """Return the number of codes that the values would use if they were spread evenly over all ``num_codes``.

        ``n`` random values leave the fraction ``exp(-n / num_codes)`` of the codes unused. Zeros share one code, and
        there are no more codes in use than distinct values.
        """
        count, zeros = self.histogram.count, self.histogram.zeros or 0
        codes = num_codes * (1 - math.exp(-(count - zeros) / num_codes)) + min(zeros, 1)
        return max(1.0, min(codes, num_codes, self.histogram.distinct or num_codes))

    def core(self) -> Tuple[float, float, int]:
        """Return two bin edges between which nearly all values of the histogram are, and the number of the others."""
        counts, edges = self.histogram.float_counts, self.histogram.edges
        total = int(counts.sum())
        if total < _ENOUGH_FOR_TAILS:
            return self.low, self.high, 0
        tail = max(1, int(_TAIL * total))
        below = np.cumsum(counts)
        first = int(np.searchsorted(below, tail, side="right"))
        last = int(np.searchsorted(below, total - tail, side="left"))
        outside = int(total - counts[first : last + 1].sum())
        return max(self.low, float(edges[first])), min(self.high, float(edges[last + 1])), outside


def facts_of(snapshot: Snapshot, book: SettingsBook, earlier: Optional[Snapshot] = None) -> List[Optional[Facts]]:
    """Return the facts on each tensor of the plan; None for one that the snapshot lacks.

    ``book`` are the settings at ``snapshot``; ``earlier`` is the snapshot before it.
    """
    facts: List[Optional[Facts]] = [None] * len(book.plan.tensors)
    for members in book.plan.groups:
        for index in members:
            facts[index] = _member_facts(snapshot, book, index, members, earlier)
    return facts


def tensor_facts(
    snapshot: Snapshot, book: SettingsBook, index: int, earlier: Optional[Snapshot] = None
) -> Optional[Facts]:
    """Return the facts of :func:`facts_of` on the tensor at ``index`` of the plan."""
    members = next(members for members in book.plan.groups if index in members)
    return _member_facts(snapshot, book, index, members, earlier)


def _member_facts(
    snapshot: Snapshot, book: SettingsBook, index: int, members: Sequence[int], earlier: Optional[Snapshot]
) -> Optional[Facts]:
    plan = book.plan
    own = snapshot.histograms.get(plan.tensors[index].name)
    if own is None:
        return None
    partners = []
    for name in (plan.tensors[other].name for other in members if other != index):
        if name in snapshot.histograms:
            other = Facts(snapshot.histograms[name])
            partners.append(Partner(name, other.low, other.high))
    motion = None
    if earlier is not None and earlier.step < snapshot.step and earlier.values.shape == snapshot.values.shape:
        range_min, range_max = earlier.values[_RANGE_ROWS, index].tolist()
        motion = Motion(range_min, range_max, snapshot.step - earlier.step, snapshot.step)
    return Facts(own, tuple(partners), motion, book.run.freeze_ranges)


def _between(low: float, high: float) -> str:
    return f"from {signed(low)} to {signed(high)}"


def unused_codes(
    facts: Facts, measures: Mapping[str, float], tensor: QuantizedTensor, settings: QuantizerSettings
) -> List[str]:
    """Return at most two sentences, each with a cause of unused codes, the one with the largest effect first."""
    causes = [
        *_by_group(facts),
        *_by_grid(facts, measures, settings),
        *_by_range(facts, measures, tensor, settings),
        *_by_values(facts, measures, settings),
    ]
    if tensor.kind == WEIGHTS and not settings.per_channel:
        causes += _by_channels(facts)
    named = sorted((cause for cause in causes if cause[0] >= NAMED_FACTOR), key=lambda cause: -cause[0])
    return [text for _, text in named[:2]]


Cause = Tuple[float, str]
"""Factor by which the number of codes in use is reduced, and the sentence."""


def _by_group(facts: Facts) -> List[Cause]:
    if not facts.partners:
        return []
    widest = max(facts.partners, key=lambda partner: _extent(partner.low, partner.high))
    factor = _extent(widest.low, widest.high) / max(_extent(facts.low, facts.high), 1e-30)
    return [
        (
            factor,
            f"It shares its grid with {widest.name}, whose values reach {_between(widest.low, widest.high)}, its own "
            f"{_between(facts.low, facts.high)}.",
        )
    ]


def _by_grid(facts: Facts, measures: Mapping[str, float], settings: QuantizerSettings) -> List[Cause]:
    low, high = np.minimum(facts.histogram.channel_min, 0), np.maximum(facts.histogram.channel_max, 0)
    if not settings.per_channel:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    causes = []
    if settings.symmetric:
        shorter, longer = np.minimum(-low, high), np.maximum(-low, high)
        one_sided = np.count_nonzero(shorter < 0.5 * longer)
        factor = float(np.median(2 * longer / np.maximum(longer + shorter, 1e-30)))
        if settings.per_channel:
            text = (
                f"In {one_sided:,} of {low.size:,} channels the values reach less than half as far on one side of 0 as "
                "on the other, and a symmetric grid has as many codes for either side."
            )
        else:
            text = (
                f"The values reach {_between(facts.low, facts.high)}, and a symmetric grid has as many codes for "
                "either side of 0."
            )
        causes.append((factor, text))
    if settings.power_of_two and not settings.per_channel and not facts.partners:
        needed = 2 * float(longer[0]) if settings.symmetric else float((high - low)[0])
        factor = measures["scale"] * (settings.num_codes - 1) / max(needed, 1e-30)
        if factor <= 2:
            causes.append(
                (factor, f"The scale is rounded up to a power of two, to {signed(factor)} times the one needed.")
            )
    return causes


def _by_range(
    facts: Facts, measures: Mapping[str, float], tensor: QuantizedTensor, settings: QuantizerSettings
) -> List[Cause]:
    """Return the cause that the range is wider than the present values; none for a range that follows them."""
    is_frozen = facts.held or settings.range_method == FROZEN
    if tensor.fixed_range:
        return []
    if not (is_frozen or tensor.kind != WEIGHTS) or settings.per_channel or facts.partners or settings.power_of_two:
        return []
    reach = max(-facts.low, facts.high, 0.0)
    needed = 2 * reach if settings.symmetric else _extent(facts.low, facts.high)
    extent = measures["range_max"] - measures["range_min"]
    whose = {
        EXTREMES: "The range of the extremes so far",
        **dict.fromkeys(HISTOGRAM_METHODS, "The range found in the running histogram"),
        **dict.fromkeys(LEARNED_METHODS, "The learned range"),
    }.get(settings.range_method, "The moving average of the range")
    whose = "The frozen range" if is_frozen else whose
    text = (
        f"{whose} reaches {_between(measures['range_min'], measures['range_max'])}, the present values only "
        f"{_between(facts.low, facts.high)}."
    )
    return [(extent / max(needed, 1e-30), text)]


def _by_values(facts: Facts, measures: Mapping[str, float], settings: QuantizerSettings) -> List[Cause]:
    low, high = facts.low, facts.high
    extent, nearest = _extent(low, high), max(low, -high)
    causes = []
    if nearest > 0:
        text = (
            f"The values reach {_between(low, high)}, and every grid contains 0: "
            f"{percent_text(nearest / extent)} of that range, next to 0, holds no value."
        )
        causes.append((extent / max(high - low, 1e-30), text))
    first, last, outside = facts.core()
    if outside:
        sample = facts.histogram.sample
        text = (
            f"All but {outside:,} of {facts.histogram.count if sample is None else sample:,} "
            f"{'measured' if sample is None else 'sampled'} values lie between {signed(first)} and "
            f"{signed(last)}; "
        )
        # Without the distance of the values from 0, which is the cause above.
        stretched = high - low
        if settings.per_channel:
            # A channel's own outliers stretch its grid, not those of other channels.
            stretched = float(np.median(facts.histogram.channel_max - facts.histogram.channel_min))
            text += f"half of the channels span at least {signed(stretched)}."
        else:
            text += f"the {'other stretches' if outside == 1 else 'others stretch'} the range {_between(low, high)}."
        causes.append((stretched / max(last - first, 1e-30), text))
    return causes if settings.per_channel else causes + _by_gaps(facts, first, last)


def _by_gaps(facts: Facts, first: float, last: float) -> List[Cause]:
    """Return the cause that there are gaps between the values from ``first`` to ``last``, as between clusters."""
    histogram = facts.histogram
    counts = histogram.float_counts[(histogram.edges[1:] > first) & (histogram.edges[:-1] < last)]
    used = int(np.count_nonzero(counts))
    if used < 2:
        return []
    attainable = counts.size * (1 - math.exp(-counts.sum() / counts.size))
    values = "value" if histogram.sample is None else "sampled value"
    text = (
        f"The values are spread unevenly: of {counts.size:,} equal intervals between {signed(first)} and "
        f"{signed(last)}, {counts.size - used:,} contain no {values}."
    )
    return [(attainable / used, text)]


def _by_channels(facts: Facts) -> List[Cause]:
    low, high = np.minimum(facts.histogram.channel_min, 0), np.maximum(facts.histogram.channel_max, 0)
    if low.size < 2:
        return []
    extents = (high - low).astype(np.float64)
    widest, median = int(np.argmax(extents)), float(np.median(extents))
    if not median > 0:
        return []
    text = (
        f"One grid serves all channels: channel {widest} spans {signed(extents[widest])}, half of the channels at most "
        f"{signed(median)}."
    )
    return [(float(extents[widest]) / median, text)]


def few_codes_expected(facts: Facts, used: float, settings: QuantizerSettings) -> str:
    """Return a sentence if the values use few codes because they cannot use many; otherwise empty."""
    if not used < 0.5 * settings.num_codes:  # also if unknown
        return ""
    thresholds = MEASURES["used_codes"].thresholds
    assert thresholds is not None
    attainable = facts.attainable_codes(settings.num_codes)
    if attainable > thresholds.warning * settings.num_codes or used < thresholds.warning * attainable:
        return ""
    histogram = facts.histogram
    codes = f"{used:,.0f} of {settings.num_codes:,} codes"
    if histogram.distinct is not None and histogram.distinct < min(histogram.count, settings.num_codes):
        if histogram.distinct == 1:
            return f"All values are {signed(facts.low)}, which uses {codes}."
        return f"There are {histogram.distinct:,} distinct values, which use {codes}."
    zeros = f", {histogram.zeros:,} of them 0" if histogram.zeros else ""
    if histogram.count == 1:
        return f"A single value is measured, which uses {codes}."
    return f"{histogram.count:,} values are measured{zeros}; they use {codes}."


def clipping(facts: Facts, measures: Mapping[str, float], tensor: QuantizedTensor, settings: QuantizerSettings) -> str:
    """Return the cause of values outside the representable range as a sentence; empty if it is not known."""
    low, high = measures["range_min"], measures["range_max"]
    is_whole = not (settings.per_channel and tensor.kind == WEIGHTS)
    reach = (
        f"The range reaches {_between(low, high)}, the values {_between(facts.low, facts.high)}." if is_whole else ""
    )
    if tensor.fixed_range:
        return f"{reach} It is fixed by TFLite's {tensor.fixed_range}."
    if facts.held or settings.range_method == FROZEN:
        return f"{reach} It is frozen." if reach else "All ranges are frozen."
    if settings.range_method == PERCENTILE:
        left_out = signed(100 - settings.percentile)
        if tensor.kind == WEIGHTS or measures["clipped"] <= 2 * (1 - settings.percentile / 100):
            return f"The percentile range leaves out {left_out} % of the values on purpose."
        return f"{reach} It was found in earlier batches, of whose values it leaves out {left_out} %."
    if settings.range_method == MSE:
        return "The range of least squared error clips where that costs less than a larger quantization step."
    if settings.range_method == KL:
        return "The range of least KL divergence leaves out rare values on purpose, so that the others have more codes."
    if settings.range_method in LEARNED_METHODS:
        return "The learned range clips where a smaller quantization step lowers the loss more than clipping raises it."
    if not is_whole:
        return ""
    if settings.range_method == MIN_MAX:
        return reach
    if settings.range_method == EXTREMES:
        return f"{reach} It has the extremes of the training batches so far."
    return f"{reach} {_average(facts, measures, settings)}"


def _average(facts: Facts, measures: Mapping[str, float], settings: QuantizerSettings) -> str:
    """Return a sentence on a moving average that the present extremes exceed: whether it follows them or is steady."""
    plain = "It is the moving average of the extremes of batches."
    motion = facts.motion
    if motion is None:
        return plain
    is_above = facts.high - measures["range_max"] >= measures["range_min"] - facts.low
    extreme, now, before = (
        (facts.high, measures["range_max"], motion.range_max)
        if is_above
        else (facts.low, measures["range_min"], motion.range_min)
    )
    decay = settings.ema_decay
    # The average is that of all batches so far, each weighted by its age: the first ones move it most.
    old = _sum_of_powers(decay, motion.done - motion.steps) / max(_sum_of_powers(decay, motion.done), 1e-30)
    expected = (extreme - before) * (1 - decay**motion.steps * old)
    moved = (now - before) / expected if expected else 0.0
    has_passed = (extreme - now) * (now - before) < 0
    end = "upper" if is_above else "lower"
    past = f"{signed(before)} {motion.steps:,} steps ago, {signed(now)} now"
    if moved >= _FOLLOWS and not has_passed:
        return f"Its {end} end is a moving average that still follows them ({past})."
    if abs(moved) <= _STEADY:
        return (
            f"Its {end} end is a moving average that is steady ({past}): it is the mean of the extremes of batches, "
            "which rarer values exceed."
        )
    return plain


def _sum_of_powers(base: float, count: int) -> float:
    """Return ``1 + base + … + base**(count - 1)``; 0 if there is no term."""
    return float(count) if base == 1 else (1 - base**count) / (1 - base)


def _extent(low: float, high: float) -> float:
    """Return the length of the range that contains ``low``, ``high`` and 0."""
    return max(high, 0.0) - min(low, 0.0)
