"""Search for the grids of least squared error, in NumPy, for all channels of a tensor together.

A grid that contains 0 is ``{k * scale}`` for ``k`` from ``-z`` to ``levels - z``. A search over scale and ``z`` (0 to
``levels``) thus moves the two ends of the range independently. Values are sorted and their running sums computed once;
then the error on a grid follows from the positions of its ``levels`` rounding thresholds among the values, in a time
that hardly depends on their number. ``levels`` is the number of quantization steps: the grid has one value more.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.quant.affine import next_power_of_two

#: Scales that are tried first, as fractions of the smallest scale that clips no value. Below the smallest of them,
#: clipping costs more than rounding can: none of ``n`` values is more than ``sqrt(n)`` standard deviations away.
FRACTIONS = 0.68 ** np.arange(12)
#: The same for a fixed ``z``: finer, because there are no values of ``z`` to try.
FINE_FRACTIONS = 0.9 ** np.arange(42)
#: Number of powers of two that are tried where the scale must be one.
OCTAVES = 9
#: Largest number of values of ``z`` that are tried first; number of grids of least estimated error whose error is then
#: computed.
ZERO_POINTS, BEST_ESTIMATES = 9, 12
#: Changes of the ends in the refinement, as fractions of the range.
REFINEMENTS = (0.08, 0.025, 0.008)
#: Number of grids that are refined: the error of coarse grids has more than one minimum.
REFINED_COARSE, REFINED = 3, 1
#: From this number of quantization steps on, the error is smooth enough for estimates.
_MANY_LEVELS = 7
#: Number of values for each level below which the values of a sample are taken as evenly spread between levels.
_FEW_PER_LEVEL = 16
#: Time that one threshold takes, relative to the time of rounding one value.
_THRESHOLD_COST = 25


class Grids(NamedTuple):
    """``n`` grids of each channel, as two arrays ``[channels, n]``."""

    scale: np.ndarray  # float64
    z: np.ndarray  # float64: number of quantization steps below 0


def search(
    x: np.ndarray,
    levels: int,
    fixed_z: Optional[int] = None,
    power_of_two: bool = False,
    weights: Optional[np.ndarray] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """Return scale and ``z``, the number of quantization steps below 0, of each channel's grid of least squared error.

    Parameters
    ----------
    x : np.ndarray
        float32 ``[n, channels]``, finite, each channel with a value that is not 0.
    levels : int
        Number of quantization steps of a grid, its number of values minus 1.
    fixed_z : int, optional
        Value of ``z``; by default it is searched, too.
    power_of_two : bool
        Whether the scale must be a power of two.
    weights : np.ndarray, optional
        float32 ``[n, channels]``: number of values that each of ``x`` stands for, with the same sum in each channel.
        They are taken as evenly spread between levels if ``x`` has few for each level.

    Returns
    -------
    tuple of np.ndarray
        Two arrays ``[channels]``, float64 and int64.
    """
    return search_in(_Sorted(x, levels, weights), levels, fixed_z, power_of_two)


def search_in(
    values: "Values", levels: int, fixed_z: Optional[int] = None, power_of_two: bool = False
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the results of :func:`search` for values that are not an array, such as those of a histogram.

    The other parameters are those of :func:`search`.
    """
    grids, scales_each = _first_grids(values, levels, fixed_z, power_of_two)
    is_coarse = levels < _MANY_LEVELS
    if not is_coarse:
        estimates = values.estimates(grids)
        # The first grid of the last z is that of minimum and maximum; it is kept, so that the result is never worse.
        estimates[:, -scales_each] = -1
        grids = _best(grids, estimates, BEST_ESTIMATES)[0]
    is_fitted, count = is_coarse and not power_of_two, REFINED_COARSE if is_coarse else REFINED
    evaluate = values.fitted if is_fitted else values.with_errors
    grids, errors = _best(*evaluate(grids), count)
    for change in REFINEMENTS:
        near, tried = evaluate(_neighbours(grids, levels, change, fixed_z is not None, power_of_two))
        both = Grids(*(np.concatenate(pair, axis=1) for pair in zip(grids, near)))
        grids, errors = _best(both, np.concatenate([errors, tried], axis=1), count)
    return grids.scale[:, 0], grids.z[:, 0].astype(np.int64)


def _first_grids(values: "Values", levels: int, fixed_z: Optional[int], power_of_two: bool) -> Tuple[Grids, int]:
    """Return the grids that are tried first, grouped by ``z``, and the number of scales of each ``z``.

    The last ``z`` is that of minimum and maximum; the first scale of each ``z`` is the smallest that clips no value.
    """
    low, high = -np.minimum(values.low, 0)[:, None], np.maximum(values.high, 0)[:, None]
    if fixed_z is not None:
        z = np.array([[float(fixed_z)]])
    else:
        z = np.unique(np.round(np.linspace(0, levels, min(levels + 1, ZERO_POINTS))))[None]
        z = np.concatenate([np.repeat(z, len(low), axis=0), np.round(levels * low / (low + high))], axis=1)
    # The smallest scale that clips no value on a side of 0 on which the grid has values.
    whole = np.maximum(low / np.maximum(z, 1) * (z > 0), high / np.maximum(levels - z, 1) * (z < levels))
    whole = np.where(whole > 0, whole, np.maximum(low, high) / levels)
    if fixed_z is None:
        whole[:, -1] = (low + high)[:, 0] / levels  # as in the min–max grid, whose ends move by up to half a step
    if power_of_two:
        scale = next_power_of_two(whole)[..., None].astype(np.float64) * 0.5 ** np.arange(OCTAVES)
    else:
        scale = whole[..., None] * (values.fractions if fixed_z is None else FINE_FRACTIONS)
    z = np.broadcast_to(z[..., None], scale.shape)
    return Grids(scale.reshape(len(low), -1), z.reshape(len(low), -1)), scale.shape[-1]


def _neighbours(grids: Grids, levels: int, change: float, is_z_fixed: bool, power_of_two: bool) -> Grids:
    """Return grids whose ends differ from those of ``grids`` by up to ``change``, a fraction of the range."""
    scale, z = grids.scale[..., None], grids.z[..., None]
    if is_z_fixed:
        factors = np.ones(1) if power_of_two else 1 + change * np.array([-1, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75, 1])
        scale, z = scale * factors, z + np.zeros(len(factors))
    elif power_of_two:
        z = np.clip(z + np.array([-1.0, 1.0]) * max(1, round(change * levels)), 0, levels)
        scale = scale + np.zeros(2)
    else:
        moves = np.array([(a, b) for a in (-change, 0, change) for b in (-change, 0, change) if a or b])
        width = scale * levels
        low = np.minimum(-z * scale + moves[:, 0] * width, 0)
        high = np.maximum((levels - z) * scale + moves[:, 1] * width, 0)
        scale = (high - low) / levels
        z = np.clip(np.round(-low / scale), 0, levels)
    return Grids(*(part.reshape(len(grids.z), -1) for part in (scale, z)))


def _best(grids: Grids, errors: np.ndarray, count: int) -> Tuple[Grids, np.ndarray]:
    """Return the ``count`` grids of least error of each channel, the best first, and their errors."""
    order = np.argsort(errors, axis=1)[:, :count]
    scale, z, least = (np.take_along_axis(part, order, axis=1) for part in (*grids, errors))
    return Grids(scale, z), least


class Values:
    """Values of each channel, known by their number, sum and sum of squares below any threshold.

    Parameters
    ----------
    levels : int
        Number of quantization steps of the grids.
    is_fine : bool
        True if the values between two rounding levels can be taken as evenly spread, so that estimates are enough.

    Attributes
    ----------
    low, high : np.ndarray
        Smallest and largest value of each channel, float64 ``[channels]``.
    total : sequence of np.ndarray
        Number, sum and sum of squares of all values, broadcast to ``[channels, 1]``.
    fractions : np.ndarray
        Scales that are tried first where ``z`` is searched, see :data:`FRACTIONS`.
    """

    fractions = FRACTIONS

    low: np.ndarray
    high: np.ndarray
    total: Sequence[np.ndarray]

    def __init__(self, levels: int, is_fine: bool = False):
        self._levels, self._is_fine = levels, is_fine

    def places(self, ends: np.ndarray) -> np.ndarray:
        """Return the positions of thresholds, in the same shape ``[channels, n, thresholds]``.

        The following methods expect them; their unit depends on the form of the values.
        """
        raise NotImplementedError

    def number_below(self, place: np.ndarray) -> np.ndarray:
        """Return the number of values below each of :meth:`places`."""
        raise NotImplementedError

    def sum_below(self, place: np.ndarray) -> np.ndarray:
        """Return the sum of the values below each of :meth:`places`."""
        raise NotImplementedError

    def squares_below(self, place: np.ndarray) -> np.ndarray:
        """Return the sum of squares of the values below each of :meth:`places`."""
        raise NotImplementedError

    def with_errors(self, grids: Grids) -> Tuple[Grids, np.ndarray]:
        """Return ``grids`` and the sum of squared errors on each, ``[channels, n]``."""
        if self._is_fine:
            return grids, self.estimates(grids)
        products, squares = self._sums_of_codes(grids)
        # sum((x - scale k)^2) with the codes k.
        return grids, self.total[2] - 2 * grids.scale * products + grids.scale**2 * squares

    def fitted(self, grids: Grids) -> Tuple[Grids, np.ndarray]:
        """Return grids with the scale of least squared error for the present codes, and their sums of squared errors.

        The errors are those of the present codes; rounding to the new scale can only reduce them.
        """
        products, squares = self._sums_of_codes(grids)
        fits = (products > 0) & (squares > 0)
        fitted = np.where(fits, products / np.where(fits, squares, 1), grids.scale)
        return Grids(fitted, grids.z), self.total[2] - np.where(fits, fitted * products, 0)

    def estimates(self, grids: Grids) -> np.ndarray:
        """Return estimates of the sum of squared errors on each grid, ``[channels, n]``.

        They are exact for values that are clipped or rounded to zero. Others count as evenly spread between the levels.
        """
        scale, z = grids
        low, high = -z * scale, (self._levels - z) * scale
        place = self.places(np.stack([low, np.maximum(-scale / 2, low), np.minimum(scale / 2, high), high], axis=-1))
        number, sums, squares = self.number_below(place), self.sum_below(place), self.squares_below(place)
        error = squares[..., 0] - 2 * low * sums[..., 0] + low**2 * number[..., 0]
        error += squares[..., 2] - squares[..., 1]
        error += self.total[2] - squares[..., 3] - 2 * high * (self.total[1] - sums[..., 3])
        error += high**2 * (self.total[0] - number[..., 3])
        spread = number[..., 1] - number[..., 0] + number[..., 3] - number[..., 2]
        return error + spread * scale**2 / 12

    def _sums_of_codes(self, grids: Grids) -> Tuple[np.ndarray, np.ndarray]:
        """Return ``sum(x k)`` and ``sum(k^2)`` with the codes ``k`` on each grid, from the thresholds between codes."""
        codes = np.arange(self._levels) - grids.z[..., None]
        place = self.places((codes + 0.5) * grids.scale[..., None])
        highest = self._levels - grids.z
        # At the threshold above k, the code increases by 1 and its square by 2 k + 1.
        products = highest * self.total[1] - self.sum_below(place).sum(axis=-1)
        squares = highest**2 * self.total[0] - ((2 * codes + 1) * self.number_below(place)).sum(axis=-1)
        return products, squares


class _Sorted(Values):
    """Values of an array ``[n, channels]``, sorted, with their running sums; a place is an index of them.

    ``weights`` are those of :func:`search`.
    """

    def __init__(self, x: np.ndarray, levels: int, weights: Optional[np.ndarray] = None):
        # The rounding errors of few values depend on the sample more than on the grid.
        super().__init__(levels, is_fine=weights is not None and levels * _FEW_PER_LEVEL > len(x))
        self._weights: Optional[np.ndarray] = None
        if weights is None:
            self._rows = np.sort(x.T, axis=1)
        else:
            order = np.argsort(x.T, axis=1)
            self._rows, self._weights = [np.take_along_axis(part.T, order, axis=1) for part in (x, weights)]
        rows = self._rows.astype(np.float64)
        self.low, self.high, self._count = rows[:, 0], rows[:, -1], rows.shape[1]
        self._numbers: Optional[np.ndarray] = None
        number, total = np.ones(1), np.float64(self._count)
        if self._weights is not None:
            number = self._weights.astype(np.float64)
            self._numbers = _running_sums(number)
            total = self._numbers[:, -1:]
        self._sums, self._squares = [_running_sums(number * part) for part in (rows, rows**2)]
        self.total = (total, self._sums[:, -1:], self._squares[:, -1:])
        # One sorted array of all channels, so that one search serves all: the values of channel c are mapped to
        # 3c .. 3c + 1, and thresholds to 3c - 1 .. 3c + 1.5.
        self._origin = 3.0 * np.arange(len(rows))[:, None]
        self._width = np.maximum(self.high - self.low, np.finfo(np.float32).tiny)[:, None]
        self._flat = self._placed(rows).reshape(-1)

    def with_errors(self, grids: Grids) -> Tuple[Grids, np.ndarray]:
        if not self._is_fine and self._levels >= _MANY_LEVELS and _THRESHOLD_COST * self._levels > self._count:
            return grids, self._errors_of_rounding(grids)
        return super().with_errors(grids)

    def places(self, ends: np.ndarray) -> np.ndarray:
        """Return the index of the first of the channel's sorted values that is not below each threshold."""
        shape = ends.shape
        flat = self._placed(ends.reshape(shape[0], -1)).reshape(-1)
        found = np.searchsorted(self._flat, flat).reshape(shape[0], -1)
        return (found - self._count * np.arange(shape[0])[:, None]).reshape(shape)

    def number_below(self, place: np.ndarray) -> np.ndarray:
        return place if self._numbers is None else self._at(self._numbers, place)

    def sum_below(self, place: np.ndarray) -> np.ndarray:
        return self._at(self._sums, place)

    def squares_below(self, place: np.ndarray) -> np.ndarray:
        return self._at(self._squares, place)

    def _errors_of_rounding(self, grids: Grids) -> np.ndarray:
        """Return the sum of squared errors on each grid by rounding all values, in float32."""
        errors, codes = np.empty(grids.z.shape), np.empty_like(self._rows)
        for index, (scale, z) in enumerate(zip(*(part.T[..., None].astype(np.float32) for part in grids))):
            np.divide(self._rows, scale, out=codes)
            codes += np.float32(0.5)
            np.floor(codes, out=codes)
            np.maximum(codes, -z, out=codes)
            np.minimum(codes, np.float32(self._levels) - z, out=codes)
            codes *= scale
            codes -= self._rows
            weighted = codes if self._weights is None else codes * self._weights
            errors[:, index] = np.einsum("cn,cn->c", codes, weighted)
        return errors

    def _at(self, sums: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.take_along_axis(sums, place.reshape(len(place), -1), axis=1).reshape(place.shape)

    def _placed(self, x: np.ndarray) -> np.ndarray:
        """Return the positions of ``x`` ``[channels, n]`` in the sorted array of all channels."""
        return np.clip((x - self.low[:, None]) / self._width, -1, 1.5) + self._origin


def _running_sums(part: np.ndarray) -> np.ndarray:
    """Return the sums of the first 0, 1, ... n entries of each row."""
    return np.concatenate([np.zeros((len(part), 1)), np.cumsum(part, axis=1)], axis=1)
