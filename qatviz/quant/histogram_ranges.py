"""Ranges found in a histogram: percentile, least squared error, least KL divergence; in NumPy.

Histograms are those of :mod:`qatviz.quant.running_histogram`. The values of a bin count as evenly spread over it, as in
PyTorch's ``HistogramObserver``, so that the ends of a range are exact to one bin: at most 1/512 of the largest absolute
value that was ever counted.
"""

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from qatviz.quant import least_error
from qatviz.quant.affine import code_bounds
from qatviz.settings import KL, PERCENTILE, QuantizerSettings

NUM_BINS = 2048
#: Smallest and largest :attr:`Histogram.bound`, powers of two. Larger values are clipped; tensors of much smaller ones
#: have all values in the bins next to 0.
SMALLEST_BOUND, LARGEST_BOUND = np.float32(2.0**-80), np.float32(2.0**80)
#: From this number of quantization steps on, a step spans few bins, or less than one. The values that are rounded to a
#: level then count as evenly spread.
_FINE_LEVELS = 256
#: Number of thresholds of the KL search that are tried first, and number of the best of them around which all
#: thresholds are tried.
_THRESHOLDS, _REFINED = 128, 4
#: Smallest number of bins within a threshold of the KL search, as in TensorRT: fewer do not represent a distribution.
_FEWEST_BINS = 128


@dataclass(frozen=True)
class Histogram:
    """Histogram of :data:`NUM_BINS` bins of equal width, with zeros counted apart.

    Attributes
    ----------
    counts : np.ndarray
        float64 ``[NUM_BINS]``: number of values in each bin, without zeros; not whole numbers if earlier batches decay.
    zeros : float
        Number of zeros.
    bound : float
        Upper edge of the last bin; 0 as long as nothing but zeros has been counted.
    zero_bin : int
        Index of the bin that begins at 0: 0 if the first edge is 0, or that of the middle bin if it is ``-bound``.
    """

    counts: np.ndarray
    zeros: float
    bound: float
    zero_bin: int

    @property
    def is_empty(self) -> bool:
        return not (self.counts.any() or self.zeros > 0)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, float64 ``[NUM_BINS + 1]``."""
        return (np.arange(NUM_BINS + 1) - self.zero_bin) * (self.bound / (NUM_BINS - self.zero_bin))

    @property
    def occupied(self) -> Tuple[int, int]:
        """First bin with values, and the bin after the last; both 0 if there are none."""
        used = np.flatnonzero(self.counts)
        return (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)


def histogram_of(x: np.ndarray) -> Histogram:
    """Return the histogram of finite values of any shape, as the graph counts a batch of which it takes no sample."""
    x = np.clip(np.asarray(x, np.float32).reshape(-1), -LARGEST_BOUND, LARGEST_BOUND)
    zero_bin = NUM_BINS // 2 if (x < 0).any() else 0
    reach = float(np.abs(x).max(initial=0.0))
    if reach == 0:
        return Histogram(np.zeros(NUM_BINS), x.size, 0.0, zero_bin)
    bound = 2.0 ** np.ceil(np.log2(max(reach, float(SMALLEST_BOUND))))
    used = x[x != 0].astype(np.float64)
    bins = zero_bin + np.floor(used * ((NUM_BINS - zero_bin) / bound)).astype(np.int64)
    counts = np.bincount(np.clip(bins, 0, NUM_BINS - 1), minlength=NUM_BINS).astype(np.float64)
    return Histogram(counts, x.size - used.size, bound, zero_bin)


def range_in(histogram: Histogram, settings: QuantizerSettings) -> Tuple[float, float]:
    """Return the range by the method of ``settings``: percentile, least KL divergence or least squared error.

    It contains 0 where values are not all on one side of it; (0, 0) if there are none but zeros.
    """
    if not histogram.counts.any():
        return 0.0, 0.0
    if settings.range_method == PERCENTILE:
        return percentile_range(histogram, settings.percentile)
    low, high = code_bounds(settings.num_bits, settings.narrow_range)
    levels, fixed_z = high - low, -low if settings.symmetric else None
    if settings.range_method == KL:
        return kl_range(histogram, levels, fixed_z)
    return mse_range(histogram, levels, fixed_z, settings.power_of_two)


def percentile_range(histogram: Histogram, percentile: float) -> Tuple[float, float]:
    """Return the range of ``percentile`` % of the values; the others are cut off, half of them at either end."""
    first, end = histogram.occupied
    edges, counts, zero_bin = histogram.edges, histogram.counts, histogram.zero_bin
    if histogram.zeros > 0:  # inserted as a bin of width 0 at the value 0
        edges = np.insert(edges, zero_bin, 0.0)
        counts = np.insert(counts, zero_bin, histogram.zeros)
        first, end = min(first, zero_bin), max(end, zero_bin) + 1
    below = np.concatenate([[0.0], np.cumsum(counts)])
    fraction = (100.0 - percentile) / 200.0
    # As in np.percentile, ranks are fractions of n - 1. The value of rank i is where the running sum is i + 0.5; at the
    # ends, the sum is smaller, so that a fraction of 0 is the smallest value.
    tail = fraction * (below[-1] - 1) + min(0.5, fraction * below[-1])
    # Between the first and the last edge, so that at 100 % no empty bin is included.
    low, high = np.interp([tail, below[-1] - tail], below[first : end + 1], edges[first : end + 1])
    return float(low), float(high)


def mse_range(
    histogram: Histogram, levels: int, fixed_z: Optional[int] = None, power_of_two: bool = False
) -> Tuple[float, float]:
    """Return the smallest and largest value of the grid of least squared error.

    Parameters are those of :func:`qatviz.quant.least_error.search`.
    """
    scale, z = least_error.search_in(_Spread(histogram, levels), levels, fixed_z, power_of_two)
    return float(-z[0] * scale[0]), float((levels - z[0]) * scale[0])


def kl_range(histogram: Histogram, levels: int, fixed_z: Optional[int] = None) -> Tuple[float, float]:
    """Return the range of least Kullback-Leibler divergence between the values and the quantized values.

    Parameters ``levels`` and ``fixed_z`` are those of :func:`qatviz.quant.least_error.search`.

    The algorithm of TensorRT (S. Migacz, "8-bit inference with TensorRT", GTC 2017) with as many quantized bins as the
    grid has values: for each threshold, the bins within it, with the values beyond added to the outermost ones, are
    compared with the same bins quantized, and the threshold of least divergence is chosen. As in onnxruntime, the
    thresholds of signed values are symmetric about 0, and no end lies beyond the values.

    Where ``fixed_z`` is given (a symmetric grid), the quantized bins are those on both sides of 0 even if there are
    values on one only.
    """
    first, end = histogram.occupied
    zero_bin, num_quantized = histogram.zero_bin, levels + 1
    reach = np.arange(1, max(end - zero_bin, zero_bin - first) + 1)
    is_one_sided = first >= zero_bin or end <= zero_bin
    starts, ends = zero_bin - reach, zero_bin + reach
    if fixed_z is None or is_one_sided:
        low, high = min(first, zero_bin), max(end, zero_bin)
        starts, ends = np.maximum(starts, low), np.minimum(ends, high)
    if fixed_z is not None and is_one_sided:
        num_quantized = -(-num_quantized // 2)
    allowed = ends - starts >= max(num_quantized, _FEWEST_BINS)
    if not allowed.any():
        return float(histogram.edges[first]), float(histogram.edges[end])
    # An interval whose outermost bin is empty, with values beyond it, has an infinite divergence.
    counts, below = histogram.counts, np.concatenate([[0.0], np.cumsum(histogram.counts)])
    allowed &= ((counts[starts] > 0) | (below[starts] == 0)) & ((counts[ends - 1] > 0) | (below[ends] == below[-1]))
    starts, ends = starts[allowed], ends[allowed]

    def divergences(which: np.ndarray) -> np.ndarray:
        return _divergences(counts, starts[which], ends[which], num_quantized)

    # Every stride-th threshold first, from the last one down; then all thresholds around the best of them.
    stride = -(-len(starts) // _THRESHOLDS)
    first_tried = np.arange(len(starts) - 1, -1, -stride)
    centres = first_tried[np.argsort(divergences(first_tried), kind="stable")[:_REFINED]]
    near = np.unique(np.clip(centres[:, None] + np.arange(1 - stride, stride), 0, len(starts) - 1))
    best = int(near[np.argmin(divergences(near))])
    return float(histogram.edges[max(starts[best], first)]), float(histogram.edges[min(ends[best], end)])


def _divergences(counts: np.ndarray, starts: np.ndarray, ends: np.ndarray, num_quantized: int) -> np.ndarray:
    """Return the KL divergence for each interval of bins from ``starts`` to before ``ends``.

    P are the counts in the interval, with all counts beyond it added to its outermost bins. Q are the counts in the
    interval, with those of each quantized bin spread evenly over its occupied bins. Scaled to a sum of 1, the
    divergence is ``sum(p log(p / q))``. All sums over bins are differences of running sums.
    """

    def running(x: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(x)])

    def times_log(x: np.ndarray) -> np.ndarray:
        return x * np.log(np.where(x > 0, x, 1.0))

    mass, used, entropy = running(counts), running(counts > 0), running(times_log(counts))
    total, inside = mass[-1], mass[ends] - mass[starts]
    bounds = starts[:, None] + (np.arange(num_quantized + 1) * (ends - starts)[:, None]) // num_quantized
    in_bin, num_used = np.diff(mass[bounds], axis=1), np.diff(used[bounds], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_level = np.log(in_bin / num_used)
    products = np.where(num_used > 0, in_bin * log_level, 0.0).sum(axis=1)
    entropies = entropy[ends] - entropy[starts]
    for outer, beyond, level in ((starts, mass[starts], 0), (ends - 1, total - mass[ends], -1)):
        own = counts[outer]
        entropies += times_log(own + beyond) - times_log(own)
        products += np.where(beyond > 0, beyond * np.where(own > 0, log_level[:, level], 0.0), 0.0)
    return (entropies - products) / total + np.log(inside / total)


class _Spread(least_error.Values):
    """Values that are evenly spread over each bin of a histogram; zeros, which have no error, are left out."""

    # More than the default: the cost of a threshold does not depend on the number of values here.
    fractions = 0.85 ** np.arange(25)

    def __init__(self, histogram: Histogram, levels: int):
        first, end = histogram.occupied
        edges, counts = histogram.edges, histogram.counts
        self._edges, self._counts = edges, counts
        self._width = edges[1] - edges[0]
        means = (edges[:-1] + edges[1:]) / 2
        squares = (edges[:-1] ** 2 + edges[:-1] * edges[1:] + edges[1:] ** 2) / 3
        self._running = [np.concatenate([[0.0], np.cumsum(counts * part)]) for part in (1.0, means, squares)]
        self.low, self.high = edges[[first]], edges[[end]]
        self.total = np.array([[float(running[-1])] for running in self._running])
        super().__init__(levels, is_fine=levels >= _FINE_LEVELS)

    def places(self, ends: np.ndarray) -> np.ndarray:
        return np.clip(ends, self._edges[0], self._edges[-1])

    def number_below(self, place: np.ndarray) -> np.ndarray:
        index, fraction, _ = self._inside(place)
        return self._running[0][index] + self._counts[index] * fraction

    def sum_below(self, place: np.ndarray) -> np.ndarray:
        index, fraction, start = self._inside(place)
        return self._running[1][index] + self._counts[index] * fraction * (start + place) / 2

    def squares_below(self, place: np.ndarray) -> np.ndarray:
        index, fraction, start = self._inside(place)
        return self._running[2][index] + self._counts[index] * fraction * (start**2 + start * place + place**2) / 3

    def _inside(self, place: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the bin of each place, the fraction of the bin's width below the place, and the bin's lower edge."""
        index = np.clip(((place - self._edges[0]) / self._width).astype(np.int64), 0, NUM_BINS - 1)
        start = self._edges[index]
        return index, (place - start) / self._width, start
