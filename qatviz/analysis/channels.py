"""Ranges of the output channels of weights, and a screening of the weights that needs no data.

Which tensors will be hard to quantize is visible in the weights alone, before the first training step: a few extreme
weights widen the range of all others (kurtosis), and channels of very different ranges can't share one scale well.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.analysis.remedies import Remedy
from qatviz.analysis.verdict import BAD, GOOD, LEVEL_NAMES, WARNING, Verdict
from qatviz.measure_declaration import Thresholds
from qatviz.measures import MEASURES
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import count, finite
from qatviz.settings import MIN_MAX, MSE, QuantizerSettings

#: Fractions of the quantiles of :attr:`ChannelRanges.quantiles`: minimum, quartiles and maximum.
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Modified z-score above which a channel stands out, and the factor that makes the median absolute deviation of a
#: normal distribution its standard deviation (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993); factor
#: of the mean absolute deviation, which replaces it where more than half of the values are equal.
OUTLIER_Z, _MAD, _MEAN_AD = 3.5, 0.6745, 0.7979
#: A channel only stands out if its range is larger or smaller than the median by this factor: one bit.
_LEAST_FACTOR = 2.0
#: Largest number of channels that a text lists.
_LISTED = 3
#: Changes of settings that verdicts name: that for channels of different ranges, and that for extreme weights.
REMEDIES = (Remedy("per_channel", True), Remedy("range_method", MSE))
#: Keys of the measures of the screening.
SCREENED = ("kurtosis", "range_ratio", "outlier_channels")


@dataclass(frozen=True)
class ChannelRanges:
    """Output channels of a weight tensor.

    Attributes
    ----------
    tensor : str
    quantiles : np.ndarray
        float64 ``[len(QUANTILES), channels]``: of the weights of each channel, batch norm folded in.
    whole : np.ndarray
        float64 ``[len(QUANTILES)]``: of all weights.
    kurtosis, channel_kurtosis : float
        Excess kurtosis of all weights, and the mean of those of the channels; NaN for constants.
    z : np.ndarray
        Robust z-score of the logarithm of each channel's range, float64 ``[channels]``; NaN for all zeros.
    outliers : tuple of int
        Indices of channels that stand out, the most extreme first.
    """

    tensor: str
    quantiles: np.ndarray
    whole: np.ndarray
    kurtosis: float
    channel_kurtosis: float
    z: np.ndarray = field(init=False, repr=False)
    outliers: Tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        z = robust_z(np.log2(np.where(self.ranges > 0, self.ranges, np.nan)))
        for array in (self.quantiles, self.whole, z):
            array.setflags(write=False)
        object.__setattr__(self, "z", z)
        object.__setattr__(self, "outliers", _outliers(self.ranges, z))

    @property
    def ranges(self) -> np.ndarray:
        """Width of the range of each channel, which always contains 0: float64 ``[channels]``."""
        return np.asarray(np.maximum(self.quantiles[-1], 0.0) - np.minimum(self.quantiles[0], 0.0))

    @property
    def range_ratio(self) -> float:
        """Widest range over the median range, of channels that are not all zeros; NaN without such channels."""
        used = self.ranges[self.ranges > 0]
        return float(used.max() / np.median(used)) if used.size else float("nan")

    @property
    def zeros(self) -> int:
        """Number of channels that are all zeros."""
        return int(np.count_nonzero(self.ranges == 0))

    def measures(self, per_channel: bool = False) -> Dict[str, float]:
        """Return the measures :data:`SCREENED`; the kurtosis is that of the values that share a scale."""
        kurtosis = self.channel_kurtosis if per_channel else self.kurtosis
        return dict(zip(SCREENED, (kurtosis, self.range_ratio, float(len(self.outliers)))))


def is_uneven(ranges: ChannelRanges) -> bool:
    """Return whether the ranges of a tensor's channels differ too much for one scale."""
    return _level("range_ratio", ranges.range_ratio) > GOOD


class Screened(NamedTuple):
    """Weight tensor with its measures :data:`SCREENED`, and the verdict under its settings.

    ``equalized_ratio`` is the range ratio after an equalization of layers; None unless that is offered. ``remedies``
    are the changes of settings that the verdict names.
    """

    ranges: ChannelRanges
    measures: Dict[str, float]
    verdict: Verdict
    equalized_ratio: Optional[float] = None
    remedies: Tuple[Remedy, ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        ranges = self.ranges
        channels = [
            {
                "quantiles": [finite(value) for value in quantiles],
                "z": finite(z),
                "is_outlier": index in ranges.outliers,
            }
            for index, (quantiles, z) in enumerate(zip(ranges.quantiles.T, ranges.z))
        ]
        return {
            "tensor": ranges.tensor,
            **{name: finite(value) for name, value in self.measures.items()},
            "level": LEVEL_NAMES[self.verdict.level],
            "verdict": self.verdict.text,
            **({} if self.equalized_ratio is None else {"equalized_range_ratio": finite(self.equalized_ratio)}),
            "quantiles": [finite(value) for value in ranges.whole],
            "channels": channels,
        }


@dataclass(frozen=True)
class ChannelsOverview:
    """Channels of all weights of one state of a run, in the order of the plan, after ``step`` training steps.

    ``equalized`` has, by tensor, the range ratios after a trial of an equalization of layers.
    """

    tensors: Tuple[ChannelRanges, ...]
    step: int
    equalized: Mapping[str, float] = field(default_factory=dict, compare=False)


class RunChannels(NamedTuple):
    """Channels of all weights of one state of a run, with verdicts: name of the state, step, and tensors."""

    checkpoint: str
    step: int
    tensors: Tuple[Screened, ...]

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form; numbers that are not finite become None."""
        return {
            "checkpoint": self.checkpoint,
            "step": self.step,
            "tensors": [tensor.to_dict() for tensor in self.tensors],
        }


def channel_ranges(tensor: QuantizedTensor, weights: np.ndarray) -> ChannelRanges:
    """Return the ranges of a weight tensor's channels; ``weights`` are float32 in its shape. NaNs count as 0."""
    values = np.nan_to_num(np.asarray(weights, np.float64).reshape(-1, tensor.num_channels))
    return ChannelRanges(
        tensor.name,
        np.percentile(values, [100 * fraction for fraction in QUANTILES], axis=0),
        np.percentile(values, [100 * fraction for fraction in QUANTILES]),
        float(excess_kurtosis(values.reshape(-1, 1))[0]),
        _mean_of_known(excess_kurtosis(values)),
    )


def excess_kurtosis(values: np.ndarray) -> np.ndarray:
    """Return the fourth standardized moment less 3 of each column, float64; NaN for constants.

    It is 0 for a normal, -1.2 for a uniform and 3 for a Laplace distribution.
    """
    centred = values - values.mean(axis=0)
    squares = np.square(centred)
    variance = squares.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, np.square(squares).mean(axis=0) / np.square(variance) - 3.0, np.nan)


def robust_z(values: np.ndarray) -> np.ndarray:
    """Return the distance of each value from the median in robust standard deviations, float64; NaN stays NaN.

    All are 0 if all values are equal.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return np.full(values.shape, np.nan)
    distance = values - np.median(known)
    absolute = np.abs(distance[np.isfinite(values)])
    deviation = float(np.median(absolute)) / _MAD or float(absolute.mean()) / _MEAN_AD
    return distance / deviation if deviation else distance


def _outliers(ranges: np.ndarray, z: np.ndarray) -> Tuple[int, ...]:
    """Return the indices of unusual ranges, the most extreme first."""
    if not (ranges > 0).any():
        return ()
    factor = ranges / np.median(ranges[ranges > 0])
    with np.errstate(invalid="ignore"):  # comparisons with NaN are False
        is_far = (factor >= _LEAST_FACTOR) | (factor <= 1 / _LEAST_FACTOR)
        places = np.flatnonzero((np.abs(z) > OUTLIER_Z) & is_far)
    return tuple(places[np.argsort(-np.abs(z[places]), kind="stable")].tolist())


def screened(ranges: ChannelRanges, settings: QuantizerSettings, equalized_ratio: Optional[float] = None) -> Screened:
    """Return the measures of a weight tensor with a verdict under its settings.

    ``equalized_ratio`` is its range ratio after a trial of an equalization, which is offered if it helps.
    """
    measures = ranges.measures(settings.per_channel)
    offered = _offered(measures["range_ratio"], settings, equalized_ratio)
    found = [_shared_range(measures["range_ratio"], settings), _tails(measures["kurtosis"], settings)]
    remedies = tuple(remedy for remedy, (level, _) in zip(REMEDIES, found) if level > GOOD)
    texts = [text for level, text in found if level > GOOD]
    if offered is not None:
        texts.append(f"Or equalize the layers: 1/{measures['range_ratio']:.0f} becomes 1/{offered:.2g}.")
    if ranges.outliers:
        shown = ", ".join(map(str, ranges.outliers[:_LISTED])) + (", …" if len(ranges.outliers) > _LISTED else "")
        number = len(ranges.outliers)
        texts.append(f"{count(number, 'channel')} {'stands' if number == 1 else 'stand'} out: {shown}.")
    if ranges.zeros:
        texts.append(f"{count(ranges.zeros, 'channel')} {'is' if ranges.zeros == 1 else 'are'} all zeros.")
    level = max(level for level, _ in found)
    return Screened(ranges, measures, Verdict(level, " ".join(texts) or "Even: nothing stands out."), offered, remedies)


def _offered(ratio: float, settings: QuantizerSettings, equalized_ratio: Optional[float]) -> Optional[float]:
    """Return the range ratio after an equalization if that is to be offered; None if not.

    It is offered if channels with different ranges share a scale, and the ratio becomes smaller by
    :data:`_LEAST_FACTOR` at least.
    """
    if equalized_ratio is None or settings.per_channel or _level("range_ratio", ratio) <= GOOD:
        return None
    return equalized_ratio if ratio >= _LEAST_FACTOR * equalized_ratio else None


def _shared_range(ratio: float, settings: QuantizerSettings) -> Tuple[int, str]:
    level = _level("range_ratio", ratio)
    if settings.per_channel or level <= GOOD:
        return GOOD, ""
    lost = np.log2(ratio)
    left = f"{lost:.1f} of" if lost < settings.num_bits else "all of its"
    return level, (
        f"Channels share one scale, of which a typical channel uses 1/{ratio:.0f} and so loses {left} "
        f"{settings.num_bits} bits: quantize per channel."
    )


def _tails(kurtosis: float, settings: QuantizerSettings) -> Tuple[int, str]:
    level = _level("kurtosis", kurtosis)
    if settings.range_method != MIN_MAX or level <= GOOD:
        return GOOD, ""
    return level, "A few extreme weights widen the range of all others: a percentile or MSE range clips them."


def _level(key: str, value: float) -> int:
    thresholds = MEASURES[key].thresholds
    assert isinstance(thresholds, Thresholds)
    return BAD if value > thresholds.bad else WARNING if value > thresholds.warning else GOOD


def _mean_of_known(values: np.ndarray) -> float:
    known: List[float] = values[np.isfinite(values)].tolist()
    return float(np.mean(known)) if known else float("nan")
