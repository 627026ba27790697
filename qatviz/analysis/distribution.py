"""The distribution of one tensor for drawing: values in range, clipped, rounded to zero, and the quantization levels.

A snapshot has histograms and the grid, from which the clipped values of each bin, and those rounded to zero, are
computed with the values taken as evenly spread within the bin. Where the snapshot has the exact fraction of such values
in the tensor, the bins are scaled to add up to it.
"""

import math
from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import numpy as np

from qatviz.protocol.snapshots import TensorHistogram
from qatviz.quant.affine import AffineGrid
from qatviz.quant.measures import CLIPPED_BEYOND

#: The bins of a per-channel tensor are split by at most this many of its channels, evenly chosen.
MOST_CHANNELS = 128
#: Bins per octave of the axis of log2 |value|, and the width in octaves of the first bin, which has all smaller values.
BINS_PER_OCTAVE, REST_OCTAVES = 6, 0.5
#: An axis extends beyond the values by at most this many times their extent to show the representable range.
RANGE_ROOM = 1.0


@dataclass(frozen=True)
class Distribution:
    """Distribution of a tensor over an axis of values, or of log2 of absolute values.

    Attributes
    ----------
    edges : np.ndarray
        float64 ``[n_bins + 1]``: edges of the bins, in the unit of the axis.
    counts, clipped, flushed, quantized : np.ndarray
        float64 ``[n_bins]``: number of all float values, of those beyond the representable range, of those within it
        that are rounded to zero, and of the values after quantization.
    zero_bin : int
        The bin that contains 0, or -1 if none does; it is often much higher than all others.
    levels : np.ndarray or None
        float64 ``[n_levels]``, ascending: the used and unused levels of the grid; None if the codes are not counted one
        by one (more than 8 bits, float), or if the levels of different codes overlap between channels.
    level_edges : np.ndarray or None
        float64 ``[n_levels, 2]``: ends of the interval that is rounded to the level.
    level_counts, level_heights : np.ndarray or None
        float64 ``[n_levels]``: number of values on each level, and the same as a density in values per bin, to be
        compared with ``counts``.
    level_bands : np.ndarray or None
        float64 ``[n_levels, 2]``: smallest and largest level that a code has in any channel; None with one scale.
    frozen : np.ndarray or None
        float64 ``[n_bins]``: number of frozen weights in ``quantized``; None if there are none.
    level_frozen : np.ndarray or None
        float64 ``[n_levels]``: fraction of the values on each level that are frozen weights; None if there are none.
    representable : (float, float) or None
        The representable range; on the log2 axis from half a quantization step to the largest absolute value. None if
        not quantized.
    is_log2 : bool
        True on the axis of log2 of absolute values.
    sample : int or None
        Number of values in ``counts`` if they are a sample; ``level_counts`` always include all values.
    """

    edges: np.ndarray
    counts: np.ndarray
    clipped: np.ndarray
    flushed: np.ndarray
    quantized: np.ndarray
    zero_bin: int
    levels: Optional[np.ndarray] = None
    level_edges: Optional[np.ndarray] = None
    level_counts: Optional[np.ndarray] = None
    level_heights: Optional[np.ndarray] = None
    level_bands: Optional[np.ndarray] = None
    frozen: Optional[np.ndarray] = None
    level_frozen: Optional[np.ndarray] = None
    representable: Optional[Tuple[float, float]] = None
    is_log2: bool = False
    sample: Optional[int] = None


def distribution(
    histogram: TensorHistogram,
    num_bits: int,
    enabled: bool,
    representable: Tuple[float, float],
    clipped: float = np.nan,
    flushed: float = np.nan,
) -> Distribution:
    """Return the distribution on the axis of values.

    Parameters
    ----------
    histogram : TensorHistogram
    num_bits, enabled
        Settings in effect, from the snapshot.
    representable : (float, float)
        ``range_min`` and ``range_max`` of the snapshot: for a per-channel tensor, those of the widest channel.
    clipped, flushed : float
        Exact fractions of the snapshot, 0..1; NaN if not known.
    """
    edges, counts = histogram.edges.astype(np.float64), histogram.float_counts.astype(np.float64)
    zero_bin = _zero_bin(edges)
    quantized = histogram.quantized_counts.astype(np.float64)
    if not enabled:
        nothing = np.zeros_like(counts)
        return Distribution(edges, counts, nothing, nothing, quantized, zero_bin, sample=histogram.sample)
    grid = grid_of(histogram, num_bits, representable[0])
    outside, to_zero = split(edges, counts, grid, histogram.channel_min, histogram.channel_max, clipped, flushed)
    known = (float(representable[0]), float(representable[1])) if np.isfinite(representable).all() else None
    plain = Distribution(
        edges, counts, outside, to_zero, quantized, zero_bin, representable=known, sample=histogram.sample
    )
    if histogram.frozen_bins is not None:
        plain = replace(plain, frozen=histogram.frozen_bins.astype(np.float64))
    return _with_levels(plain, histogram, grid)


def grid_of(histogram: TensorHistogram, num_bits: int, range_min: float) -> AffineGrid:
    """Return the grid that was in effect for a histogram; ``range_min`` determines whether its range is narrow."""
    grids = [AffineGrid(histogram.scale, histogram.zero_point, num_bits, narrow) for narrow in (False, True)]
    return min(grids, key=lambda grid: abs(float(grid.minimum.min()) - range_min))


def split(
    edges: np.ndarray,
    counts: np.ndarray,
    grid: AffineGrid,
    channel_min: np.ndarray,
    channel_max: np.ndarray,
    clipped: float = np.nan,
    flushed: float = np.nan,
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the number of clipped values of each bin, and of values in range that are rounded to zero.

    Both are float64 ``[n_bins]``. A value is clipped if it is more than :data:`CLIPPED_BEYOND` quantization steps
    outside ``grid.minimum .. grid.maximum``; it is rounded to zero if ``|x| < scale / 2``. With several channels, each
    one whose range extends into a bin is assumed to have an equal part of its values. If the exact fraction is given,
    the assumption determines only how it is distributed over the bins.
    """
    low, high, minimum, maximum, scale = _channels(edges, grid, channel_min, channel_max)
    # The overlap of a bin and an interval is the distance of the bin's edges after clamping them to the interval.
    reached = _limited(edges[:, None], low, high)
    width = np.diff(reached, axis=0).sum(axis=1)
    share = counts / np.where(width > 0, width, np.inf)
    outside = to_zero = np.zeros_like(counts)
    minimum, maximum = minimum - CLIPPED_BEYOND * scale, maximum + CLIPPED_BEYOND * scale
    if clipped != 0:
        inside = np.diff(_limited(reached, minimum, maximum), axis=0).sum(axis=1)
        outside = _scaled(np.maximum(width - inside, 0.0) * share, counts, clipped)
    if flushed != 0:
        zero = _limited(reached, np.maximum(minimum, -scale / 2), np.minimum(maximum, scale / 2))
        to_zero = _scaled(np.diff(zero, axis=0).sum(axis=1) * share, counts, flushed)
        to_zero = np.minimum(_without_zeros(to_zero, edges, flushed * counts.sum()), counts - outside)
    return outside, to_zero


def _channels(
    edges: np.ndarray, grid: AffineGrid, channel_min: np.ndarray, channel_max: np.ndarray
) -> List[np.ndarray]:
    """Return the range of each channel's values (of the histogram if unknown), its representable range and scale."""
    low, high = channel_min.astype(np.float64), channel_max.astype(np.float64)
    if grid.scale.size != low.size:
        low, high = low.min(keepdims=True), high.max(keepdims=True)
    known = np.isfinite(low) & np.isfinite(high) & (high > low)
    parts = [np.where(known, low, edges[0]), np.where(known, high, edges[-1])]
    parts += [np.atleast_1d(part).astype(np.float64) for part in (grid.minimum, grid.maximum, grid.scale)]
    if low.size > MOST_CHANNELS:
        picked = np.linspace(0, low.size - 1, MOST_CHANNELS).astype(int)
        parts = [part[picked] for part in parts]
    return parts


def _limited(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(x, low), high)


def _scaled(part: np.ndarray, counts: np.ndarray, share: float) -> np.ndarray:
    """Return ``part`` scaled to the fraction ``share`` of all ``counts``; bins that it contains as a whole are kept."""
    part = np.minimum(part, counts)
    if not np.isfinite(share):
        return part
    # Not compared for equality: a sum of overlaps has a rounding error.
    wholly = part >= counts * (1 - 1e-9)
    missing = max(share * counts.sum() - counts[wholly].sum(), 0.0)
    total = part[~wholly].sum()
    if total <= 0:
        return part
    return np.where(wholly, counts, np.minimum(part * (missing / total), counts))


def _without_zeros(to_zero: np.ndarray, edges: np.ndarray, exact: float) -> np.ndarray:
    """Return ``to_zero`` with a total of at most ``exact``; the excess are values that were 0 before quantization."""
    excess = to_zero.sum() - exact
    if excess > 0:
        at_zero = _zero_bin(edges)
        if at_zero >= 0:
            to_zero[at_zero] -= min(excess, to_zero[at_zero])
        total = to_zero.sum()
        to_zero = to_zero * (exact / total) if total > exact else to_zero
    return to_zero


def _zero_bin(edges: np.ndarray) -> int:
    """Return the index of the bin that contains 0, or -1."""
    index = int(np.searchsorted(edges, 0.0, side="right")) - 1
    return index if 0 <= index < len(edges) - 1 else -1


def _with_levels(plain: Distribution, histogram: TensorHistogram, grid: AffineGrid) -> Distribution:
    if histogram.code_counts is None or not (grid.scale > 0).all() or np.ptp(grid.zero_point) > 0:
        return plain
    multiples = np.arange(grid.bounds[0], grid.bounds[1] + 1) - int(grid.zero_point.flat[0])
    bands = np.sort(multiples[:, None] * np.array([grid.scale.min(), grid.scale.max()], np.float64), axis=1)
    if (bands[1:, 0] <= bands[:-1, 1]).any():  # always false with one scale
        return plain
    scale = float(grid.scale.astype(np.float64).mean())
    counts = histogram.code_counts[grid.bounds[0] - histogram.code_min :][: len(multiples)].astype(np.float64)
    levels = bands.mean(axis=1)
    bin_width = plain.edges[1] - plain.edges[0]
    cells = np.stack([levels - scale / 2, levels + scale / 2], axis=1)
    heights = counts * (bin_width / scale) * _sampled(plain.counts, counts)
    found = replace(plain, levels=levels, level_edges=cells, level_counts=counts, level_heights=heights)
    if histogram.frozen_counts is not None:
        frozen = histogram.frozen_counts[grid.bounds[0] - histogram.code_min :][: len(multiples)]
        found = replace(found, level_frozen=frozen / np.maximum(counts, 1.0))
    return replace(found, level_bands=bands) if grid.scale.size > 1 else found


def _sampled(counts: np.ndarray, level_counts: np.ndarray) -> float:
    """Return the fraction of all values, which ``level_counts`` include, that is in the sample of the bins."""
    return float(counts.sum() / max(level_counts.sum(), 1.0))


def to_log2(plain: Distribution) -> Distribution:
    """Return the same distribution on the axis of log2 |value|, both signs together.

    Bins are ``1 / BINS_PER_OCTAVE`` wide, down to the width of a bin of values, below which nothing is resolved; the
    first bin contains all smaller values, 0 included.
    """
    bottom, top = _log2_range(plain.edges)
    exponents = np.arange(bottom, top + 1) / BINS_PER_OCTAVE
    edges = np.concatenate([[exponents[0] - REST_OCTAVES], exponents])
    counts, clipped, flushed, quantized = [
        _by_size(plain.edges, part, 2.0**exponents)
        for part in (plain.counts, plain.clipped, plain.flushed, plain.quantized)
    ]
    representable = None
    if plain.representable is not None:
        representable = (-np.inf, _log2(max(abs(plain.representable[0]), abs(plain.representable[1]))))
    return _with_log2_levels(
        Distribution(
            edges,
            counts,
            clipped,
            flushed,
            quantized,
            0,
            representable=representable,
            is_log2=True,
            sample=plain.sample,
            frozen=None if plain.frozen is None else _by_size(plain.edges, plain.frozen, 2.0**exponents),
        ),
        plain,
    )


def _log2_range(edges: np.ndarray) -> Tuple[int, int]:
    """Return the exponents of a bin's width and of the largest absolute value (as the next whole octave), in bins."""
    reach = max(abs(float(edges[0])), abs(float(edges[-1])))
    width = float(edges[1]) - float(edges[0])
    top = int(np.ceil(np.log2(reach))) if reach > 0 else 0
    bottom = int(np.ceil(np.log2(width) * BINS_PER_OCTAVE)) if width > 0 else top * BINS_PER_OCTAVE
    return min(bottom, (top - 1) * BINS_PER_OCTAVE), top * BINS_PER_OCTAVE


def _log2(value: float) -> float:
    return float(np.log2(value)) if value > 0 else -math.inf


def _by_size(edges: np.ndarray, counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the number of values with ``|x|`` up to ``sizes[0]``, then between each two consecutive ``sizes``."""
    below = np.concatenate([[0.0], np.cumsum(counts)])
    up_to = np.interp(sizes, edges, below) - np.interp(-sizes, edges, below)
    # The last size includes all values, whatever its rounding error.
    up_to[-1] = below[-1]
    return np.maximum(np.diff(np.concatenate([[0.0], up_to])), 0.0)


def _with_log2_levels(result: Distribution, plain: Distribution) -> Distribution:
    """Add the levels, both signs together; those that are too small for the axis are in the first bin, with 0."""
    if plain.levels is None or plain.level_edges is None or plain.level_bands is not None:
        return result
    scale = float(plain.level_edges[0, 1] - plain.level_edges[0, 0])
    multiples = np.rint(np.abs(plain.levels) / scale).astype(int)
    counts, exists = np.bincount(multiples, plain.level_counts), np.bincount(multiples) > 0
    rest_low, rest_high = result.edges[:2]
    is_rest = np.arange(len(counts)) * scale < 2.0**rest_high
    frozen = None if plain.level_frozen is None else np.bincount(multiples, plain.level_frozen * plain.level_counts)
    k = np.flatnonzero(exists & ~is_rest)
    levels = np.log2(k * scale)
    cells = np.maximum(np.log2(np.stack([k - 0.5, k + 0.5], axis=1) * scale), rest_high)
    on_levels = counts[k]
    on_frozen = None if frozen is None else frozen[k]
    if (exists & is_rest).any():
        levels = np.append((rest_low + rest_high) / 2, levels)
        cells = np.concatenate([[[rest_low, rest_high]], cells])
        on_levels = np.append(counts[is_rest].sum(), on_levels)
        on_frozen = None if frozen is None else np.append(frozen[is_rest].sum(), on_frozen)
    bins_wide = np.maximum(cells[:, 1] - cells[:, 0], 1e-9) * BINS_PER_OCTAVE
    # The first bin counts as one bin, however wide it is drawn.
    bins_wide[cells[:, 0] < rest_high] = 1.0
    representable = result.representable and (_log2(scale / 2), result.representable[1])
    return replace(
        result,
        levels=levels,
        level_edges=cells,
        level_counts=on_levels,
        level_frozen=None if on_frozen is None else on_frozen / np.maximum(on_levels, 1.0),
        level_heights=on_levels / bins_wide * _sampled(plain.counts, plain.level_counts),
        representable=representable,
    )


def extent(
    histogram: TensorHistogram, representable: Optional[Tuple[float, float]], log2: bool = False
) -> Tuple[float, float]:
    """Return the ends of an axis that shows all values, and as much of the representable range as RANGE_ROOM allows.

    ``representable`` is the representable range, None in float; ``log2``: for the axis of :func:`to_log2`.
    """
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    if log2:
        bottom, top = _log2_range(histogram.edges)
        return bottom / BINS_PER_OCTAVE - REST_OCTAVES, top / BINS_PER_OCTAVE
    if representable is not None and np.isfinite(representable).all():
        room = RANGE_ROOM * (high - low)
        return min(low, max(representable[0], low - room)), max(high, min(representable[1], high + room))
    return low, high
