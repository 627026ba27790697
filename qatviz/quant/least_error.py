"""Search for the grids of least squared error, in NumPy, for all channels of a tensor together.

A grid that contains 0 is ``{k * scale}`` for ``k`` from ``-z`` to ``levels - z``, so both ends of the range move apart
where scale and ``z`` (0 to ``levels``) are searched. With the values sorted and summed up once, a grid is judged from
the places of its ``levels`` rounding thresholds among them, whatever the number of values.
"""

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.quant.affine import next_power_of_two

#: Scales that are tried first, as fractions of the one whose grid holds all values. Below the smallest, clipping costs
#: more than rounding can: an outlier worth clipping lies within ``sqrt(n)`` standard deviations.
FRACTIONS = 0.68 ** np.arange(12)
#: The same for a fixed ``z``, with more of them.
FINE_FRACTIONS = 0.9 ** np.arange(42)
#: Number of powers of two that are tried where the scale must be one.
OCTAVES = 9
#: Largest number of ``z`` tried first, and of grids that are judged exactly after the estimate of all.
ZERO_POINTS, JUDGED = 9, 12
#: Changes of the ends in the refinement, as fractions of the range.
REFINEMENTS = (0.08, 0.025, 0.008)
#: Number of grids that are refined: the error of coarse grids has more than one minimum.
REFINED_COARSE, REFINED = 3, 1
#: From this number of levels on, the error is smooth enough that grids are estimated before they are judged.
_MANY_LEVELS = 7
#: Time for one threshold, in times of rounding one value.
_THRESHOLD_COST = 25


class Grids(NamedTuple):
    """Grids of each channel, two arrays ``[channels, n]``."""

    scale: np.ndarray  # float64
    z: np.ndarray  # float64: number of levels below 0


def search(
    x: np.ndarray, levels: int, fixed_z: Optional[int] = None, power_of_two: bool = False
) -> Tuple[np.ndarray, np.ndarray]:
    """Return scale and number of levels below 0 of the grid of least squared error for each channel.

    Parameters
    ----------
    x : np.ndarray
        float32 ``[n, channels]``, finite, each channel with a value that is not 0.
    levels : int
        Number of quantization steps of a grid, its number of values minus 1.
    fixed_z : int, optional
        Number of levels below 0, if it is not to be searched.
    power_of_two : bool
        Whether the scale must be a power of two.

    Returns
    -------
    tuple of np.ndarray
        Two arrays ``[channels]``, float64 and int64.
    """
    return search_in(_Sorted(x, levels), levels, fixed_z, power_of_two)


def search_in(
    values: "Values", levels: int, fixed_z: Optional[int] = None, power_of_two: bool = False
) -> Tuple[np.ndarray, np.ndarray]:
    """Return the same for values in another form."""
    grids, scales_each = _first(values, levels, fixed_z, power_of_two)
    is_coarse = levels < _MANY_LEVELS
    if not is_coarse:
        estimates = values.estimates(grids)
        # The first of the last z is the grid of minimum and maximum: the result is never worse.
        estimates[:, -scales_each] = -1
        grids = _best(grids, estimates, JUDGED)[0]
    is_fitted, count = is_coarse and not power_of_two, REFINED_COARSE if is_coarse else REFINED
    judged = values.fitted if is_fitted else values.judged
    grids, errors = _best(*judged(grids), count)
    for change in REFINEMENTS:
        near, tried = judged(_neighbours(grids, levels, change, fixed_z is not None, power_of_two))
        both = Grids(*(np.concatenate(pair, axis=1) for pair in zip(grids, near)))
        grids, errors = _best(both, np.concatenate([errors, tried], axis=1), count)
    return grids.scale[:, 0], grids.z[:, 0].astype(np.int64)


def _first(values: "Values", levels: int, fixed_z: Optional[int], power_of_two: bool) -> Tuple[Grids, int]:
    """Return the grids that are tried first, with several scales for each ``z``, and the number of these.

    The last ``z`` is that of minimum and maximum, and the first scale of each the one that holds all values.
    """
    low, high = -np.minimum(values.low, 0)[:, None], np.maximum(values.high, 0)[:, None]
    if fixed_z is not None:
        z = np.array([[float(fixed_z)]])
    else:
        z = np.unique(np.round(np.linspace(0, levels, min(levels + 1, ZERO_POINTS))))[None]
        z = np.concatenate([np.repeat(z, len(low), axis=0), np.round(levels * low / (low + high))], axis=1)
    # The scale with which the grid holds all values on the sides where it has levels at all.
    whole = np.maximum(low / np.maximum(z, 1) * (z > 0), high / np.maximum(levels - z, 1) * (z < levels))
    whole = np.where(whole > 0, whole, np.maximum(low, high) / levels)
    if fixed_z is None:
        whole[:, -1] = (low + high)[:, 0] / levels  # less than half a step is clipped, as in the grid of min–max
    if power_of_two:
        scale = next_power_of_two(whole)[..., None].astype(np.float64) * 0.5 ** np.arange(OCTAVES)
    else:
        scale = whole[..., None] * (values.fractions if fixed_z is None else FINE_FRACTIONS)
    z = np.broadcast_to(z[..., None], scale.shape)
    return Grids(scale.reshape(len(low), -1), z.reshape(len(low), -1)), scale.shape[-1]


def _neighbours(grids: Grids, levels: int, change: float, is_z_fixed: bool, power_of_two: bool) -> Grids:
    """Return grids whose ends differ by ``change`` from those of ``grids``."""
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
    """Return the ``count`` best grids of each channel, and their errors."""
    order = np.argsort(errors, axis=1)[:, :count]
    scale, z, least = (np.take_along_axis(part, order, axis=1) for part in (*grids, errors))
    return Grids(scale, z), least


class Values:
    """The values of each channel, of which all that is asked is numbers, sums and squares below given thresholds.

    Parameters
    ----------
    levels : int
        Number of levels of the grids.
    is_fine : bool
        Whether the values between two levels can be taken as evenly spread.

    Attributes
    ----------
    low, high : np.ndarray
        Smallest and largest value of each channel, float64 ``[channels]``.
    total : sequence of np.ndarray
        Number, sum and sum of squares of all values, broadcast to ``[channels, 1]``.
    fractions : np.ndarray
        Scales that are tried first where ``z`` is searched, as fractions of the one whose grid holds all values.
    """

    fractions = FRACTIONS

    low: np.ndarray
    high: np.ndarray
    total: Sequence[np.ndarray]

    def __init__(self, levels: int, is_fine: bool = False):
        self._levels, self._is_fine = levels, is_fine

    def places(self, ends: np.ndarray) -> np.ndarray:
        """Return places of the thresholds ``ends`` ``[channels, n, ends]``, for the following methods."""
        raise NotImplementedError

    def number_below(self, place: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def sum_below(self, place: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def squares_below(self, place: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def judged(self, grids: Grids) -> Tuple[Grids, np.ndarray]:
        """Return ``grids`` and the sum of squared errors on each, ``[channels, n]``."""
        if self._is_fine:
            return grids, self.estimates(grids)
        products, squares = self._sums_of_codes(grids)
        # sum((x - scale k)^2) with the codes k.
        return grids, self.total[2] - 2 * grids.scale * products + grids.scale**2 * squares

    def fitted(self, grids: Grids) -> Tuple[Grids, np.ndarray]:
        """Return the grids with the scale that suits their codes best, and the errors with these codes.

        Rounding to the new scale can only make them smaller.
        """
        products, squares = self._sums_of_codes(grids)
        fits = (products > 0) & (squares > 0)
        fitted = np.where(fits, products / np.where(fits, squares, 1), grids.scale)
        return Grids(fitted, grids.z), self.total[2] - np.where(fits, fitted * products, 0)

    def estimates(self, grids: Grids) -> np.ndarray:
        """Return estimates of :meth:`judged`: exact for values that are clipped or rounded to zero.

        Others count as evenly spread between the levels.
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
    """Given values, sorted, with their running sums."""

    def __init__(self, x: np.ndarray, levels: int):
        super().__init__(levels)
        self._rows = np.sort(x.T, axis=1)
        rows = self._rows.astype(np.float64)
        self.low, self.high, self._count = rows[:, 0], rows[:, -1], rows.shape[1]
        self._sums, self._squares = [
            np.concatenate([np.zeros((len(rows), 1)), np.cumsum(part, axis=1)], axis=1) for part in (rows, rows**2)
        ]
        self.total = (np.float64(self._count), self._sums[:, -1:], self._squares[:, -1:])
        # All channels in one sorted array: channel c lies between 3c - 1 and 3c + 2, its values between 3c and 3c + 1.
        self._origin = 3.0 * np.arange(len(rows))[:, None]
        self._width = np.maximum(self.high - self.low, np.finfo(np.float32).tiny)[:, None]
        self._flat = self._placed(rows).reshape(-1)

    def judged(self, grids: Grids) -> Tuple[Grids, np.ndarray]:
        if self._levels >= _MANY_LEVELS and _THRESHOLD_COST * self._levels > self._count:
            return grids, self._rounded(grids)
        return super().judged(grids)

    def places(self, ends: np.ndarray) -> np.ndarray:
        """Return the number of values below each of ``ends``."""
        shape = ends.shape
        flat = self._placed(ends.reshape(shape[0], -1)).reshape(-1)
        found = np.searchsorted(self._flat, flat).reshape(shape[0], -1)
        return (found - self._count * np.arange(shape[0])[:, None]).reshape(shape)

    def number_below(self, place: np.ndarray) -> np.ndarray:
        return place

    def sum_below(self, place: np.ndarray) -> np.ndarray:
        return self._at(self._sums, place)

    def squares_below(self, place: np.ndarray) -> np.ndarray:
        return self._at(self._squares, place)

    def _rounded(self, grids: Grids) -> np.ndarray:
        errors, codes = np.empty(grids.z.shape), np.empty_like(self._rows)
        for index, (scale, z) in enumerate(zip(*(part.T[..., None].astype(np.float32) for part in grids))):
            np.divide(self._rows, scale, out=codes)
            codes += np.float32(0.5)
            np.floor(codes, out=codes)
            np.maximum(codes, -z, out=codes)
            np.minimum(codes, np.float32(self._levels) - z, out=codes)
            codes *= scale
            codes -= self._rows
            errors[:, index] = np.einsum("cn,cn->c", codes, codes)
        return errors

    def _at(self, sums: np.ndarray, place: np.ndarray) -> np.ndarray:
        return np.take_along_axis(sums, place.reshape(len(place), -1), axis=1).reshape(place.shape)

    def _placed(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.low[:, None]) / self._width, -1, 1.5) + self._origin
