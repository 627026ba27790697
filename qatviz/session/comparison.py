"""Reading of recorded runs to compare them, also while they train."""

import os
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from qatviz.analysis.comparison import LOSS, ComparedRun, Comparison, Track, compare
from qatviz.errors import RecordError, SettingError
from qatviz.metric import MODES
from qatviz.number_format import finite
from qatviz.protocol.events import Evaluated
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.labels import RunLabels, read_labels
from qatviz.telemetry.record.reader import LossSeries, RecordReader
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import reading
from qatviz.telemetry.run_summary import summary_of

#: Maximum number of runs that are compared.
MOST_RUNS = 64
#: Maximum number of blocks of step records that are read of a run. Each has 64 steps or more; the loss of a longer run
#: is that of blocks spread over it.
_MOST_BLOCKS = 320
#: Maximum number of runs from which a fork descends that are read.
_MOST_ANCESTORS = 16


def read_comparison(directories: Sequence[str]) -> Comparison:
    """Return the comparison of recorded runs, in their order.

    A fork has the curves of the run that it was forked from before its first step, if that can be read.

    Raises
    ------
    RecordError
        For the first record that can't be read.
    SettingError
        If there are too many runs, or none.
    """
    if not 1 <= len(directories) <= MOST_RUNS:
        raise SettingError(f"{len(directories)} runs to compare: expected 1 to {MOST_RUNS}")
    return compare([_read(os.path.expanduser(directory)) for directory in directories])


def _read(directory: str) -> ComparedRun:
    reader = RunRecord.read(directory)
    with reading(reader.path):  # checksums detect damage, not invalid content
        about, outcome = reader.description, read_outcome(reader)
        tracks = _tracks(reader)
        own = [score for score in tracks["quantized"].values.tolist() if np.isfinite(score)]
        origin = about.get("forked_from")
        if origin is not None:
            tracks = _with_past(tracks, _past(origin, {about.get("run_id")}), origin["step"])
        summary = summary_of(reader, outcome)._replace(labels=_labels(reader))
        best = (max if summary.scores.higher_is_better else min)(own) if own else None
        return ComparedRun(
            summary,
            about,
            outcome.book,
            tracks,
            0 if origin is None else origin["step"],
            outcome.snapshot,
            finite(best),
            len(outcome.changes),
            about.get("train_examples"),
        )


def _labels(reader: RecordReader) -> RunLabels:
    try:
        return read_labels(reader.directory)
    except RecordError:
        return RunLabels()


def _tracks(reader: RecordReader) -> Dict[str, Track]:
    """Return the curves of a run's surviving timeline."""
    losses = reader.losses(_MOST_BLOCKS)
    rows: Dict[int, List[float]] = {}
    for logged in reader.log()[0]:
        event = logged.event
        if isinstance(event, Evaluated) and logged.survives:
            rows[event.step] = [event.scores.get(mode, np.nan) for mode in MODES]
    steps = np.array(sorted(rows), np.float64)
    scores = np.array([rows[int(step)] for step in steps], np.float64).reshape(len(steps), len(MODES))
    seconds = _seconds_at(losses, steps)
    found = {LOSS: Track(losses.steps.astype(np.float64), losses.seconds, losses.loss)}
    found.update((mode, Track(steps, seconds, scores[:, index])) for index, mode in enumerate(MODES))
    return found


def _seconds_at(losses: LossSeries, steps: np.ndarray) -> np.ndarray:
    """Return the seconds of training after ``steps``; before the first recorded step, in proportion."""
    if not len(losses.steps):
        return np.zeros(len(steps))
    known = np.concatenate([[0.0], losses.steps]), np.concatenate([[0.0], losses.seconds])
    return np.interp(steps, *known)


def _past(origin: Dict[str, Any], seen: Set[Any]) -> Optional[Dict[str, Track]]:
    """Return the curves of the run that a fork descends from, with its own past; None if it can't be read."""
    try:
        reader = RunRecord.read(origin["directory"])
        with reading(reader.path):
            about = reader.description
            if about.get("run_id") != origin["run_id"] or origin["run_id"] in seen or len(seen) > _MOST_ANCESTORS:
                return None
            tracks, further = _tracks(reader), about.get("forked_from")
    except RecordError:  # it was moved or deleted
        return None
    if further is not None:
        tracks = _with_past(tracks, _past(further, {*seen, origin["run_id"]}), further["step"])
    return tracks


def _with_past(tracks: Dict[str, Track], past: Optional[Dict[str, Track]], step: int) -> Dict[str, Track]:
    """Return curves with those of the past up to ``step`` before them."""
    if past is None:
        return tracks
    found = {}
    for key, track in tracks.items():
        first = float(track.steps[0]) if len(track.steps) else np.inf
        before = (past[key].steps <= step) & (past[key].steps < first)
        seconds = np.concatenate([past[key].seconds[before], track.seconds])
        parts: Tuple[np.ndarray, ...] = (
            np.concatenate([past[key].steps[before], track.steps]),
            np.maximum.accumulate(seconds) if len(seconds) else seconds,
            np.concatenate([past[key].values[before], track.values]),
        )
        found[key] = Track(*parts)
    return found
