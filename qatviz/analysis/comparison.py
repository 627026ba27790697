"""Comparison of runs: aligned curves, groups that differ by the seed only, settings and measures that differ."""

import itertools
import math
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.measures import MEASURES
from qatviz.metric import MODE_NAMES, MODES
from qatviz.number_format import UNKNOWN, bytes_text, si
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.settings import KINDS, QUANTIZER_SETTINGS, RUN, setting_text

if TYPE_CHECKING:  # it imports data, Keras and records, which the window imports after it is shown
    from qatviz.telemetry.run_summary import RunSummary

#: Keys of curves: the loss of training, then the metric of evaluations in each mode.
LOSS = "loss"
CURVES = (LOSS, *MODES)
#: Axes on which curves are aligned.
STEPS, SECONDS, EPOCHS = "steps", "seconds", "epochs"
AXES = (STEPS, SECONDS, EPOCHS)
#: Maximum number of points of a curve.
MOST_POINTS = 600
#: Number of newest training steps whose mean loss is compared.
LAST_STEPS = 100
#: Entries of a description that are settings, in the order of the table.
_DESCRIBED = ("network", "data_name", "task", "scaling", "batch_size", "optimizer", "loss", "class_weights", "metric")
_SEED, _TOTAL, _DIVISION, _MOMENTS = "seed", "steps", "batch_division", "tower_moments"
#: Settings in which the runs of a group may differ. The results of several workers are those of one device.
_OF_A_GROUP = (_SEED, _TOTAL, _DIVISION)
_SQNR_ROW = SNAPSHOT_MEASURES.index("sqnr_db")


class Track(NamedTuple):
    """Values of a run over its steps.

    Attributes
    ----------
    steps, seconds, values : np.ndarray
        float64 ``[n]``; steps ascend, seconds do not descend.
    """

    steps: np.ndarray
    seconds: np.ndarray
    values: np.ndarray


class ComparedRun(NamedTuple):
    """Run as it is compared.

    Attributes
    ----------
    summary : RunSummary
    about : dict
        Description of the run.
    book : SettingsBook
        Present settings.
    tracks : dict of str to Track
        By key of :data:`CURVES`; of a fork, with those of the run that it was forked from before its first step.
    first_step : int
        Step at which its own part begins; 0 unless it is a fork.
    snapshot : Snapshot or None
        The newest one.
    best : float or None
        Best quantized metric of its own evaluations.
    changes : int
        Number of changes of settings during the run.
    examples : int or None
        Number of training examples, if it is known.
    """

    summary: "RunSummary"
    about: Mapping[str, Any]
    book: SettingsBook
    tracks: Mapping[str, Track]
    first_step: int = 0
    snapshot: Optional[Snapshot] = None
    best: Optional[float] = None
    changes: int = 0
    examples: Optional[int] = None

    @property
    def own_part(self) -> "ComparedRun":
        """The run without the curves of the run that it was forked from."""
        after = {key: track.steps > self.first_step for key, track in self.tracks.items()}
        cut = {key: Track(*(part[after[key]] for part in track)) for key, track in self.tracks.items()}
        return self._replace(tracks=cut) if self.first_step else self

    def places(self, track: Track, axis: str) -> Optional[np.ndarray]:
        """Return the positions of a track's points on one of :data:`AXES`; None if they are not known."""
        if axis == SECONDS:
            return track.seconds
        if axis == STEPS:
            return track.steps
        return track.steps * (float(self.about["batch_size"]) / self.examples) if self.examples else None

    def places_of_steps(self, steps: np.ndarray, axis: str) -> Optional[np.ndarray]:
        """Return the positions of training steps on one of :data:`AXES`, interpolated; None if they are not known."""
        track = self.tracks.get(LOSS)
        at = None if track is None else self.places(track, axis)
        if track is None or at is None or not len(at):
            return None
        return steps if axis == STEPS else np.interp(steps, track.steps, at)

    def place_of_start(self, axis: str) -> float:
        """Return the position at which its own part begins; 0 if it is no fork, or that is not known."""
        at = self.places_of_steps(np.array([self.first_step], np.float64), axis) if self.first_step else None
        return 0.0 if at is None else float(at[0])


class AlignedCurve(NamedTuple):
    """Curve of a run, or mean of a group's curves with their extremes.

    Attributes
    ----------
    x, mean, low, high : np.ndarray
        float64 ``[n]``, ``x`` ascending.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class SettingRow(NamedTuple):
    """Setting in which runs differ: its path, and its text in each run."""

    path: str
    texts: Tuple[str, ...]


class MeasureRow(NamedTuple):
    """Measure of each run.

    Attributes
    ----------
    key, title : str
    values : tuple of float or None
    texts : tuple of str
    differences : tuple of str
        Differences to the first run with their signs; empty where one of both is unknown, and for the first run.
    better : tuple of int
        1 where the value is better than that of the first run, -1 where it is worse, 0 otherwise.
    """

    key: str
    title: str
    values: Tuple[Optional[float], ...]
    texts: Tuple[str, ...]
    differences: Tuple[str, ...]
    better: Tuple[int, ...]


class Comparison(NamedTuple):
    """Compared runs; ``groups`` are the indices of runs that differ by the seed only, each run in one group."""

    runs: Tuple[ComparedRun, ...]
    groups: Tuple[Tuple[int, ...], ...]

    @property
    def names(self) -> Tuple[str, ...]:
        """Names of the runs, distinct."""
        return distinct_names([run.summary for run in self.runs])

    @property
    def has_forks(self) -> bool:
        """Whether a run was forked from another one."""
        return any(run.first_step for run in self.runs)

    @property
    def own_parts(self) -> "Comparison":
        """The comparison of the :attr:`ComparedRun.own_part` of each run."""
        return self._replace(runs=tuple(run.own_part for run in self.runs))

    def axes(self) -> Tuple[str, ...]:
        """Return the axes on which all curves can be placed."""
        return AXES if all(run.examples for run in self.runs) else (STEPS, SECONDS)

    def group_name(self, members: Sequence[int]) -> str:
        """Return the name of a group: that of its run, or what the names of several have in common."""
        names = [self.names[index] for index in members]
        if len(names) == 1:
            return names[0]
        same = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names))
        common = "".join(letters[0] for letters in same).rstrip("-_. s")
        return f"{common or names[0]} ({len(names)} runs)"


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Return the comparison of runs, with those in one group whose settings are equal but for the seed."""
    groups: Dict[Any, List[int]] = {}
    for index, run in enumerate(runs):
        settings = _all_settings(run)
        key = tuple(sorted((path, text) for path, text in settings.items() if path not in _OF_A_GROUP))
        groups.setdefault((key, run.summary.parent), []).append(index)
    return Comparison(tuple(runs), tuple(tuple(members) for members in groups.values()))


def distinct_names(runs: Sequence["RunSummary"]) -> Tuple[str, ...]:
    """Return the names of runs; where several are equal, with numbers."""
    names = [run.name for run in runs]
    counted: Dict[str, int] = {}
    found = []
    for name in names:
        counted[name] = counted.get(name, 0) + 1
        found.append(name if names.count(name) == 1 else f"{name} ({counted[name]})")
    return tuple(found)


# Curves


def aligned_curve(runs: Sequence[ComparedRun], key: str, axis: str, most: int = MOST_POINTS) -> Optional[AlignedCurve]:
    """Return the curve of one run, or the mean and the extremes of several; None if there are no values.

    Points of long curves are means over equal parts of the axis. The mean at each place is over the runs whose curves
    reach it, which are interpolated.

    Parameters
    ----------
    key : str
        One of :data:`CURVES`.
    axis : str
        One of :data:`AXES`.
    """
    parts = []
    for run in runs:
        track = run.tracks.get(key)
        at = None if track is None else run.places(track, axis)
        if track is None or at is None:
            continue
        known = np.isfinite(track.values) & np.isfinite(at)
        if known.any():
            parts.append(_thinned(at[known], track.values[known], most))
    if not parts:
        return None
    if len(parts) == 1:
        x, values = parts[0]
        return AlignedCurve(x, values, values, values)
    x = np.unique(np.concatenate([part[0] for part in parts]))
    if len(x) > most:
        x = np.linspace(x[0], x[-1], most)
    rows = np.stack([np.interp(x, at, values, left=np.nan, right=np.nan) for at, values in parts])
    some = ~np.isnan(rows).all(axis=0)
    x, rows = x[some], rows[:, some]
    return AlignedCurve(x, np.nanmean(rows, axis=0), np.nanmin(rows, axis=0), np.nanmax(rows, axis=0))


def _thinned(x: np.ndarray, values: np.ndarray, most: int) -> Tuple[np.ndarray, np.ndarray]:
    """Return at most ``most`` points: the means over equal parts of the axis; ``x`` ascends."""
    if len(x) <= most or x[-1] <= x[0]:
        kept = np.append(np.diff(x) > 0, True)  # of points at one place, the last
        return x[kept], values[kept]
    part = np.minimum(((x - x[0]) * (most / (x[-1] - x[0]))).astype(np.int64), most - 1)
    begins = np.concatenate([[0], np.flatnonzero(np.diff(part)) + 1])
    sizes = np.diff(np.append(begins, len(x)))
    return np.add.reduceat(x, begins) / sizes, np.add.reduceat(values, begins) / sizes


# Settings


def setting_rows(comparison: Comparison) -> List[SettingRow]:
    """Return the settings in which the runs differ.

    Settings of quantizers are those of all weights or all activations, ``*.weights.num_bits``, if each run has one
    value for them; otherwise those of the tensors that differ.
    """
    runs = comparison.runs
    paths = (*_DESCRIBED, _SEED, _TOTAL, _DIVISION, _MOMENTS)
    rows = [_row(path, [_described(run).get(path) for run in runs]) for path in paths]
    books = [run.book.run.to_dict() for run in runs]
    names = dict.fromkeys(name for book in books for name in book)
    rows += [_row(f"{RUN}.{name}", [_text_in(book, name) for book in books]) for name in names]
    for kind in KINDS:
        for name, setting in QUANTIZER_SETTINGS.items():
            if kind in setting.kinds:
                rows += _quantizer_rows(runs, kind, name)
    changes = [str(run.changes) for run in runs]
    rows.append(_row("changes during the run", changes))
    return [row for row in rows if len(set(row.texts)) > 1]


def _quantizer_rows(runs: Sequence[ComparedRun], kind: str, name: str) -> List[SettingRow]:
    by_run = [
        {
            tensor.name: setting_text(getattr(run.book.of(tensor.name), name))
            for tensor in run.book.plan.tensors
            if tensor.kind == kind
        }
        for run in runs
    ]
    if all(len(set(texts.values())) <= 1 for texts in by_run):
        return [_row(f"*.{kind}.{name}", [next(iter(texts.values()), None) for texts in by_run])]
    tensors = dict.fromkeys(tensor for texts in by_run for tensor in texts)
    return [_row(f"{tensor}.{name}", [texts.get(tensor) for texts in by_run]) for tensor in tensors]


def _row(path: str, texts: Sequence[Optional[str]]) -> SettingRow:
    return SettingRow(path, tuple(UNKNOWN if text is None else text for text in texts))


def _described(run: ComparedRun) -> Dict[str, str]:
    """Return the texts of the settings in the description of a run."""
    found = {key: setting_text(run.about[key]) for key in (*_DESCRIBED, _SEED) if key in run.about}
    found["network"] = run.summary.network
    found[_TOTAL] = "no limit" if run.summary.total is None else str(run.summary.total)
    division = run.summary.division
    found[_DIVISION] = division.text or "1 device"
    found[_MOMENTS] = setting_text(division.has_own_moments and division.parts > 1)
    return found


def _text_in(settings: Mapping[str, Any], name: str) -> Optional[str]:
    return setting_text(settings[name]) if name in settings else None


def _all_settings(run: ComparedRun) -> Dict[str, str]:
    found = dict(_described(run), changes=str(run.changes))
    found.update((f"{RUN}.{name}", setting_text(value)) for name, value in run.book.run.to_dict().items())
    for tensor in run.book.plan.tensors:
        settings = run.book.of(tensor.name).to_dict()
        found.update((f"{tensor.name}.{name}", setting_text(value)) for name, value in settings.items())
    return found


# Measures

_Number = Optional[float]
#: Text and sign where there is no difference to state.
_NO_DIFFERENCE = ("", 0)


def measure_rows(comparison: Comparison) -> List[MeasureRow]:
    """Return the measures of the runs, with the differences to the first run."""
    runs = comparison.runs
    rows = [_score_row(runs, mode, MODE_NAMES[mode], [_last(run.tracks.get(mode)) for run in runs]) for mode in MODES]
    rows.append(_score_row(runs, "best", "best quantized", [run.best for run in runs]))
    loss, sqnr = MEASURES["loss"], MEASURES["sqnr_db"]
    rows += [
        _measure_row("loss", f"loss, last {LAST_STEPS} steps", [_last_loss(run) for run in runs], loss.text, -1),
        *(
            _measure_row(f"sqnr_{kind}", f"mean SQNR of {kind}", [_mean_sqnr(run, kind) for run in runs], sqnr.text, 1)
            for kind in KINDS
        ),
        _measure_row("weight_bytes", "size of the weights", [run.summary.weight_bytes for run in runs], bytes_text, -1),
        _measure_row("steps", "training steps", [run.summary.step for run in runs], _whole, 0),
        _measure_row("seconds", "training time", [run.summary.seconds for run in runs], _seconds, 0),
    ]
    return [row for row in rows if any(value is not None for value in row.values)]


def tensor_rows(comparison: Comparison, measure: str = "sqnr_db") -> List[MeasureRow]:
    """Return a measure of each quantized tensor at the newest snapshots, with the differences to the first run."""
    declared, row = MEASURES[measure], SNAPSHOT_MEASURES.index(measure)
    names = dict.fromkeys(tensor.name for run in comparison.runs for tensor in run.book.plan.tensors)
    found = []
    for name in names:
        values = []
        for run in comparison.runs:
            index = next((i for i, tensor in enumerate(run.book.plan.tensors) if tensor.name == name), None)
            is_known = index is not None and run.snapshot is not None and run.snapshot.enabled[index]
            values.append(float(run.snapshot.values[row, index]) if is_known and run.snapshot is not None else None)
        found.append(_measure_row(name, name, values, declared.text, declared.better))
    return [row for row in found if any(value is not None for value in row.values)]


def _score_row(runs: Sequence[ComparedRun], key: str, title: str, values: Sequence[_Number]) -> MeasureRow:
    """Return the row of a metric: runs of another metric than the first are not compared with it."""
    metrics = [run.summary.scores for run in runs]
    metric = metrics[0]
    row = _measure_row(key, f"{metric.title}, {title}", values, metric.text, 1 if metric.higher_is_better else -1)
    texts = tuple(other.text(value) for other, value in zip(metrics, values))
    same = [other.name == metric.name for other in metrics]

    def text_of(value: _Number) -> str:
        if value is None or not metric.is_fraction:
            return metric.text(value)
        return f"{metric.factor * value:.2f} pp"

    differences = _differences(row.values, text_of)
    found = [difference if is_same else _NO_DIFFERENCE for difference, is_same in zip(differences, same)]
    direction = 1 if metric.higher_is_better else -1
    return row._replace(
        texts=texts,
        differences=tuple(difference for difference, _ in found),
        better=tuple(direction * sign for _, sign in found),
    )


def _measure_row(
    key: str, title: str, given: Sequence[_Number], text: Callable[[_Number], str], direction: int
) -> MeasureRow:
    values = tuple(value if value is not None and math.isfinite(value) else None for value in given)
    found = _differences(values, text)
    return MeasureRow(
        key,
        title,
        values,
        tuple(text(value) for value in given),
        tuple(difference for difference, _ in found),
        tuple(direction * sign for _, sign in found),
    )


def _differences(values: Sequence[_Number], text: Callable[[_Number], str]) -> List[Tuple[str, int]]:
    """Return text and sign of the difference of each value to the first; one that is shown as 0 is ``±0``."""
    found, first = [_NO_DIFFERENCE], values[0]
    for value in values[1:]:
        if value is None or first is None:
            found.append(_NO_DIFFERENCE)
            continue
        shown, sign = text(abs(value - first)), 1 if value > first else -1
        found.append(("±0", 0) if shown == text(0.0) else (("+" if sign > 0 else "−") + shown, sign))
    return found


def _last(track: Optional[Track]) -> _Number:
    return float(track.values[-1]) if track is not None and len(track.values) else None


def _last_loss(run: ComparedRun) -> _Number:
    track = run.tracks.get(LOSS)
    if track is None or not len(track.values):
        return None
    newest = track.values[track.steps > track.steps[-1] - LAST_STEPS]
    return float(newest.mean())


def _mean_sqnr(run: ComparedRun, kind: str) -> _Number:
    """Return the mean SQNR of the quantized tensors of a kind at the newest snapshot, without exact ones."""
    snapshot = run.snapshot
    if snapshot is None:
        return None
    chosen = [i for i, tensor in enumerate(run.book.plan.tensors) if tensor.kind == kind and snapshot.enabled[i]]
    found = snapshot.values[_SQNR_ROW, chosen]
    found = found[np.isfinite(found)]
    return float(found.mean(dtype=np.float64)) if len(found) else None


def _whole(value: _Number) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _seconds(value: _Number) -> str:
    return UNKNOWN if value is None else f"{si(value)} s"
