"""SQNR of activations in the whole run, estimated from the values at hand, which are a sample of the run's.

The run finds a range of activations in many batches. A range that is found in few values fits them better than others:
measured on the 32 outputs of a Dense(1), it would promise 46.9 dB at 8 bits instead of 40 dB.
"""

from dataclasses import replace
from typing import Callable, Generator, List, NamedTuple, Sequence, TypeVar

import numpy as np

from qatviz.network.plan import QuantizedTensor
from qatviz.quant.affine import AffineGrid, fake_quant
from qatviz.quant.measures import sqnr_db
from qatviz.quant.ranges import starts_anew
from qatviz.settings import EXTREMES, HISTOGRAM_METHODS, WEIGHTS, QuantizerSettings

#: Activations of fewer values are few: the error of their SQNR as that of a sample matters.
FEW = 4096
#: Number of parts of the values, of which each is measured on the grid that is found in the others.
_PARTS = 4
#: Largest factor by which the range in a run is assumed to exceed one found in few values.
_WIDER = 1.5
#: Assumed number of values in a run. Extremes are assumed to grow with its logarithm, as those of an exponential
#: distribution do; those of a normal one grow less, those of one with longer tails more.
_RUN_VALUES = 1e5
#: Number of standard errors from an estimate to its bound.
_STANDARD_ERRORS = 2.0

T = TypeVar("T")


class Estimate(NamedTuple):
    """SQNR in dB, infinite without noise, NaN if unknown; and its standard error in dB, 0 unless the SQNR is finite."""

    sqnr_db: float
    error: float

    @property
    def bound(self) -> float:
        """Lower bound of the SQNR in dB."""
        return self.sqnr_db - _STANDARD_ERRORS * self.error


def are_few(tensor: QuantizedTensor, values: np.ndarray) -> bool:
    """Return whether ``values`` are a small sample of the tensor's in the run; weights are known as a whole."""
    return tensor.kind != WEIGHTS and values.size < FEW


def finds_range(tensor: QuantizedTensor, wanted: QuantizerSettings, now: QuantizerSettings) -> bool:
    """Return whether the run, after a change to ``wanted``, finds the tensor's range in other values of the run."""
    is_new = wanted.range_method == EXTREMES and now.range_method != EXTREMES
    return tensor.kind != WEIGHTS and (is_new or wanted.range_method in HISTOGRAM_METHODS or starts_anew(now, wanted))


def sampled(values: np.ndarray, grid: AffineGrid) -> Estimate:
    """Return the SQNR on ``grid`` of the run's values, of which ``values``, float32, are a sample."""
    if not is_known(values):
        return _UNKNOWN
    return _estimate(_squares(values), [_squares(fake_quant(values, grid) - values)])


def held_out(
    tensors: Sequence[np.ndarray], grid_in: Callable[[np.ndarray], AffineGrid], range_method: str
) -> Generator[None, None, List[Estimate]]:
    """Return the SQNR of the run for tensors that share a grid, which the run finds in other values than these.

    Each part of the values is measured on the grid that is found in the others. A run has more rare values, which widen
    a range: the SQNR is assumed to be between those on this grid and on a wider one. It yields after each part, which
    takes as long as finding a range.

    Parameters
    ----------
    tensors : sequence of np.ndarray
        float32 values.
    grid_in : callable
        Finds the grid in float32 values ``[n]``.
    """
    known = [np.sort(values, axis=None) if is_known(values) else np.zeros(0, np.float32) for values in tensors]
    growth = np.log(_RUN_VALUES) / np.log(max(2, sum(values.size for values in known)))
    factors = (1.0, max(_WIDER, growth) if range_method == EXTREMES else _WIDER)
    noise = [[np.zeros(values.size) for values in known] for _ in factors]
    for part in range(_PARTS):
        grid = grid_in(np.concatenate([np.delete(values, np.s_[part::_PARTS]) for values in known]))
        for row, factor in zip(noise, factors):
            wider = replace(grid, scale=np.float32(factor) * grid.scale)
            for values, squares in zip(known, row):
                apart = values[part::_PARTS]
                squares[part::_PARTS] = _squares(fake_quant(apart, wider) - apart)
        yield
    return [_estimate(_squares(values), [row[index] for row in noise]) for index, values in enumerate(known)]


def is_known(values: np.ndarray) -> bool:
    """Return whether there are values, and all are finite."""
    return bool(values.size and np.isfinite(values).all())


def result_of(parts: Generator[None, None, T]) -> T:
    """Return the result of a computation that yields between its parts."""
    while True:
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result


_UNKNOWN = Estimate(float("nan"), 0.0)


def _estimate(signal: np.ndarray, noises: Sequence[np.ndarray]) -> Estimate:
    """Return the mean over possible squared errors of a sample; the distance to the least bound is two of its errors.

    ``signal`` and each of ``noises`` are float64 ``[n]``: squares of the values and of their errors.
    """
    found = [float(sqnr_db(signal.sum(), noise.sum())) for noise in noises]
    if not np.isfinite(found).all():
        return Estimate(min(found), 0.0)
    bounds = [one - _STANDARD_ERRORS * _standard_error(signal, noise) for one, noise in zip(found, noises)]
    mean = float(np.mean(found))
    return Estimate(mean, (mean - min(bounds)) / _STANDARD_ERRORS)


def _standard_error(signal: np.ndarray, noise: np.ndarray) -> float:
    """Return the standard error of the SQNR in dB of a sample, to first order."""
    spread = np.std(signal / signal.mean() - noise / noise.mean())
    return float(10 / np.log(10) * spread / np.sqrt(len(signal)))


def _squares(x: np.ndarray) -> np.ndarray:
    return np.square(x, dtype=np.float64)
