"""Series of a run for drawing: reduced to the points that there is room for, with extremes, over steps or seconds."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.telemetry.history import Series, SeriesSource

#: Parts that are read begin and end at multiples of this number of points, so that a small pan reads nothing new.
_ALIGNMENT = 64
#: Maximum number of (step, seconds) pairs; time is linear between them.
_CLOCK_PAIRS = 4096


class Points(NamedTuple):
    """Reduced series, oldest first. Each point summarizes consecutive rows.

    Attributes
    ----------
    first : np.ndarray
        int64 ``[n]``, ascending: step of the first row of a point.
    step : np.ndarray
        float64 ``[n]``: middle of the steps of a point.
    low, high, mean : np.ndarray
        float64 ``[n]`` over the rows that are not NaN; NaN where there is none.
    count : np.ndarray
        int64 ``[n]``: number of these rows.
    """

    first: np.ndarray
    step: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    count: np.ndarray


#: The measures that training steps estimate on a sample of a large tensor, with the measure that is their standard
#: error; an empty name: it is not known.
STANDARD_ERROR_OF = {"sqnr_db": "sqnr_db_error", "mse": "mse_error", "mse_clipping": "", "mse_rounding": ""}


def estimates(history: SeriesSource, name: str, start: int, stop: int) -> Tuple[Series, np.ndarray]:
    """Return a series from the step ``start`` to ``stop``, and the standard errors of its values, float64 ``[n]``.

    A tensor's measure at a step with a snapshot is replaced by that of the snapshot, which is exact, so that curves and
    tables show the same number; not where several steps were averaged. An error is 0 for an exact value, NaN where it
    is unknown.
    """
    series = history.series(name, start, stop)
    tensor, _, measure = name.rpartition("/")
    errors = np.zeros(len(series.mean))
    if tensor.startswith("snapshot:") or measure not in SNAPSHOT_MEASURES:
        return series, errors
    if measure in STANDARD_ERROR_OF:
        known = STANDARD_ERROR_OF[measure]
        found = history.series(f"{tensor}/{known or 'mse_error'}", start, stop).mean.astype(np.float64)
        errors = found if known else np.where(found == 0, 0.0, np.nan)
        errors = np.where(np.isfinite(series.mean), errors, 0.0)
    exact = history.series("snapshot:" + name, start, stop)
    _, at, of = np.intersect1d(series.last_step, exact.last_step, return_indices=True)
    single = (series.count[at] == 1) & (series.first_step[at] == series.last_step[at]) & (exact.count[of] == 1)
    at, of = at[single], of[single]
    columns = [np.array(column) for column in (series.minimum, series.maximum, series.mean)]
    for column in columns:
        column[at] = exact.mean[of]
    errors[at] = 0.0
    return series._replace(minimum=columns[0], maximum=columns[1], mean=columns[2]), errors


def thin(series: Series, width: int) -> Points:
    """Return a series with one point for all rows that begin within the same ``width`` steps, counted from step 0."""
    first, last = series.first_step, series.last_step
    count, mean = series.count.astype(np.int64), series.mean.astype(np.float64)
    low, high = series.minimum.astype(np.float64), series.maximum.astype(np.float64)
    if not len(first):
        return Points(first, first.astype(np.float64), low, high, mean, count)
    begins = np.concatenate([[0], np.flatnonzero(np.diff(first // width)) + 1])
    if len(begins) < len(first):
        ends = np.concatenate([begins[1:], [len(first)]]) - 1
        with np.errstate(invalid="ignore"):  # inf - inf: the mean is NaN, the extremes are infinite
            sums = np.add.reduceat(np.where(count > 0, mean * count, 0.0), begins)
        count = np.add.reduceat(count, begins)
        mean = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
        low, high = np.fmin.reduceat(low, begins), np.fmax.reduceat(high, begins)
        first, last = first[begins], last[ends]
    return Points(first, (first + last) / 2.0, low, high, mean, count)


def staircase(values: Sequence[Tuple[int, float]], newest: int) -> Points:
    """Return the points of a value that is constant between changes: two for each change.

    Parameters
    ----------
    values : sequence of (int, float)
        Step of each change, ascending, and the value from then on; NaN for no value.
    newest : int
        Step at which the line ends.
    """
    steps = [step for step, _ in values]
    ends = [*steps[1:], max(newest, steps[-1])]
    first = np.array([step for pair in zip(steps, ends) for step in pair], np.int64)
    mean = np.repeat(np.array([value for _, value in values], np.float64), 2)
    return Points(first, first.astype(np.float64), mean, mean, mean, np.isfinite(mean).astype(np.int64))


def width_for(steps: float, points: float) -> int:
    """Return the number of steps per point, a power of two, so that ``steps`` need at most ``points`` points."""
    width = 1
    while width * points < steps:
        width *= 2
    return width


class SeriesReader:
    """Reader of a history for repeated drawing; each call reads only what is new.

    Points keep their resolution, also after the history has folded them into buckets.
    """

    def __init__(self, history: SeriesSource):
        self._history = history
        self._read: Dict[str, Tuple[int, int, Points]] = {}

    def forget(self) -> None:
        """Discard what was read, because the history was rewound."""
        self._read.clear()

    def points(self, name: str, start: float, stop: float, width: int) -> Points:
        """Return the series ``name`` around the steps ``start`` to ``stop``, in points of ``width`` steps.

        The nearest point on either side is included, however far it is: a line to it crosses the steps. Returns the
        same object as before if nothing is new. Raises ``KeyError`` if there is no such series.
        """
        chunk = _ALIGNMENT * width
        begin, end = int(max(start, 0) // chunk) * chunk, int(stop // chunk + 1) * chunk
        known_width, known_begin, known = self._read.get(name, (0, 0, NO_POINTS))
        if (known_width, known_begin) != (width, begin) or not len(known.first):
            points = thin(self._history.series(name, *self._with_neighbours(name, begin, end, width)), width)
        else:
            points = self._extended(name, known, width, self._with_neighbours(name, begin, end, width)[1])
        self._read[name] = width, begin, points
        return points

    def _with_neighbours(self, name: str, begin: int, end: int, width: int) -> Tuple[int, int]:
        """Return ``begin`` and ``end`` moved outwards to include the nearest point on either side."""
        before, after = self._history.steps_around(name, begin, end)
        return (
            begin if before is None else before // width * width,
            end if after is None else (after // width + 1) * width - 1,
        )

    def _extended(self, name: str, known: Points, width: int, end: int) -> Points:
        """Return ``known`` with what is new up to the step ``end``; its last point may have more rows now."""
        tail = int(known.first[-1]) // width * width
        news = self._history.series(name, tail, end)
        begin = int(np.searchsorted(news.first_step, known.first[-1]))  # a bucket from before is known
        fresh = thin(Series(*(column[begin:] for column in news)), width)
        if not len(fresh.first) or (len(fresh.first) == 1 and _is_same_point(fresh, known)):
            return known
        kept = len(known.first) - int(fresh.first[0] == known.first[-1])
        return Points(*(np.concatenate([old[:kept], new]) for old, new in zip(known, fresh)))


def _is_same_point(fresh: Points, known: Points) -> bool:
    """Return whether the only point of ``fresh`` is the last of ``known``, with the same rows."""
    (count, step, mean), old = ((p.count[i], p.step[i], p.mean[i]) for p, i in ((fresh, 0), (known, -1)))
    return bool((count, step) == old[:2] and (mean == old[2] or (np.isnan(mean) and np.isnan(old[2]))))


NO_POINTS = Points(*(np.zeros(0) for _ in Points._fields))


def smooth(points: Points, steps: float) -> np.ndarray:
    """Return the exponential moving average of ``points.mean`` with a time constant of ``steps`` rows.

    A point of n rows has the weight of its n rows. The average is bias-corrected (Kingma and Ba, 2015, section 3): the
    first value is the first mean. NaN where a point has no finite mean.
    """
    decays = np.exp(-points.count / float(steps))
    total = weight = 0.0
    smoothed: List[float] = []
    for value, decay, finite in zip(points.mean.tolist(), decays.tolist(), np.isfinite(points.mean).tolist()):
        if finite:
            total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
        smoothed.append(total / weight if finite else float("nan"))
    return np.array(smoothed)


def nearest(x: np.ndarray, wanted: float) -> Optional[int]:
    """Return the index of the value of ascending ``x`` nearest to ``wanted``; None if ``x`` is empty."""
    if not len(x):
        return None
    right = int(np.searchsorted(x, wanted))
    if right == 0 or (right < len(x) and x[right] - wanted <= wanted - x[right - 1]):
        return right
    return right - 1


class Clock:
    """Conversion between steps and seconds of training, linear between known pairs and beyond them."""

    def __init__(self) -> None:
        self._steps, self._seconds = [0.0], [0.0]

    def add(self, step: int, seconds: float) -> None:
        """Add the seconds of training after ``step`` steps; ignored unless both exceed the last pair."""
        if step <= self._steps[-1] or seconds <= self._seconds[-1]:
            return
        self._steps.append(float(step))
        self._seconds.append(float(seconds))
        if len(self._steps) > _CLOCK_PAIRS:
            # Drop every other pair, but keep the first and the last.
            self._steps, self._seconds = (column[:-1:2] + column[-1:] for column in (self._steps, self._seconds))

    def seconds(self, step: np.ndarray) -> np.ndarray:
        """Return the seconds of training after ``step`` steps."""
        return _piecewise(np.asarray(step, np.float64), self._steps, self._seconds)

    def steps(self, seconds: np.ndarray) -> np.ndarray:
        """Return the number of steps, with a fraction, done after ``seconds`` of training."""
        return _piecewise(np.asarray(seconds, np.float64), self._seconds, self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def _piecewise(x: np.ndarray, known_x: List[float], known_y: List[float]) -> np.ndarray:
    """Return the linear interpolation; beyond the last pair, with the mean slope of all (1 without pairs)."""
    last_x, last_y = known_x[-1], known_y[-1]
    slope = last_y / last_x if last_x else 1.0
    return np.where(x > last_x, last_y + (x - last_x) * slope, np.interp(x, known_x, known_y))
