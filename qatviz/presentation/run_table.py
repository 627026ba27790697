"""Columns of a table of recorded runs, which the window, the terminal and the report share; thumbnails of runs."""

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.number_format import UNKNOWN, bytes_text, si
from qatviz.presentation.scene import Line, Shape, Stroke
from qatviz.presentation.times import date_time, duration
from qatviz.telemetry.run_summary import RunSummary

#: Text of a run that has no ending.
_NOT_ENDED = "not ended"
#: Space around the curves of a thumbnail, px; and least difference of a metric that its height represents.
_MARGIN, _LEAST_SPAN = 3.0, 0.02
UNREADABLE = "can't be read"


class RunColumn(NamedTuple):
    """Column of a table of runs.

    Attributes
    ----------
    key, title, help : str
    text : callable
        Returns the text of a run.
    order : callable
        Returns the sort key of a run: numbers or texts, None for a run that has no value.
    is_left : bool
        Whether its texts are left-aligned.
    largest_first : bool
        Whether the first sorting by it shows the largest value on top.
    """

    key: str
    title: str
    help: str
    text: Callable[[RunSummary], str]
    order: Callable[[RunSummary], Any]
    is_left: bool = False
    largest_first: bool = True


def _lower(text: str) -> str:
    return text.lower()


def _score(run: RunSummary, value: Optional[float]) -> Optional[float]:
    """Return a score by which better runs are larger; None without one."""
    if value is None or not math.isfinite(value):
        return None
    return value if run.scores.higher_is_better else -value


def _score_text(run: RunSummary, value: Optional[float]) -> str:
    """Return a score, after the name of the metric unless that is the accuracy."""
    return UNKNOWN if value is None else run.scores.lead + run.scores.text(value)


def state_text(run: RunSummary) -> str:
    """Return the ending of a run; that it can't be read or has not ended otherwise."""
    return UNREADABLE if run.error else run.ending or _NOT_ENDED


def steps_text(run: RunSummary) -> str:
    """Return the training steps done, and the planned ones if they are more."""
    return f"{run.step:,}" if run.total is None or run.total <= run.step else f"{run.step:,} of {run.total:,}"


def parent_text(run: RunSummary) -> str:
    """Return the directory's name of the run that a run was forked from, with the step; empty if it was not."""
    return f"{run.parent.replace(chr(92), '/').rsplit('/', 1)[-1]} at {run.fork_step:,}" if run.parent else ""


COLUMNS: Tuple[RunColumn, ...] = (
    RunColumn(
        "name", "Name", "Name of the run; by default, that of its directory.",
        lambda run: run.name, lambda run: _lower(run.name), True, False,
    ),
    RunColumn("network", "Network", "", lambda run: run.network, lambda run: _lower(run.network), True, False),
    RunColumn("data", "Data", "", lambda run: run.data, lambda run: _lower(run.data), True, False),
    RunColumn(
        "float", "Float", "Metric of the newest evaluation in float.",
        lambda run: _score_text(run, run.float_score), lambda run: _score(run, run.float_score),
    ),
    RunColumn(
        "quantized", "Quantized", "Metric of the newest evaluation, quantized.",
        lambda run: _score_text(run, run.quantized_score), lambda run: _score(run, run.quantized_score),
    ),
    RunColumn(
        "loss", "Loss", "Loss of the newest training step.",
        lambda run: si(run.loss), lambda run: run.loss, False, False,
    ),
    RunColumn(
        "size", "Weights", "Size of all weights at their bits.",
        lambda run: bytes_text(run.weight_bytes or None), lambda run: run.weight_bytes or None, False, False,
    ),
    RunColumn("steps", "Steps", "Training steps done.", steps_text, lambda run: run.step),
    RunColumn(
        "state", "State", "Ending of the run; one that has not ended trains, or was interrupted.",
        state_text, state_text, True, False,
    ),
    RunColumn(
        "time", "Training", "Duration of training.", lambda run: duration(run.seconds), lambda run: run.seconds
    ),
    RunColumn(
        "date", "Started", "Date and time at which the run was created.",
        lambda run: date_time(run.created or None), lambda run: run.created, True,
    ),
    RunColumn(
        "tags", "Tags", "Words to search for.",
        lambda run: ", ".join(run.labels.tags), lambda run: _lower(" ".join(run.labels.tags)) or None, True, False,
    ),
    RunColumn(
        "parent", "Forked from", "Run and step from which it was forked.",
        parent_text, lambda run: _lower(run.parent) or None, True, False,
    ),
    RunColumn(
        "disk", "On disk", "Size of the record with its checkpoints.",
        lambda run: bytes_text(run.record_bytes or None), lambda run: run.record_bytes or None,
    ),
    RunColumn(
        "notes", "Notes", "The first line of the notes.",
        lambda run: run.labels.notes.partition("\n")[0], lambda run: _lower(run.labels.notes) or None, True, False,
    ),
    RunColumn(
        "devices", "Computed on", "Workers, or replicas of one machine, that share each batch; empty for one device.",
        lambda run: run.division.text, lambda run: run.division.parts if run.division.text else None, True,
    ),
)  # fmt: skip
BY_KEY: Dict[str, RunColumn] = {column.key: column for column in COLUMNS}
#: Columns that have a value for an unreadable record.
_ALWAYS = ("name", "state", "tags", "notes")


def cell_text(column: RunColumn, run: RunSummary) -> str:
    """Return the text of a cell; empty where an unreadable record has no value."""
    return "" if run.error and column.key not in _ALWAYS else column.text(run)


def sorted_runs(runs: Sequence[RunSummary], key: str, descending: bool) -> List[RunSummary]:
    """Return runs sorted by a column; those without a value come last, and equal ones stay in their order."""
    column = BY_KEY[key]
    known = [run for run in runs if not _lacks(column, run)]
    known.sort(key=column.order, reverse=descending)
    return known + [run for run in runs if _lacks(column, run)]


def matches(run: RunSummary, search: str) -> bool:
    """Return whether all words of ``search`` occur in the texts of a run; ``#word`` is a tag that starts so."""
    texts = (run.name, run.network, run.data, run.labels.notes, run.directory, run.ending, run.parent)
    text = "\n".join((*texts, *run.labels.tags)).lower()
    for word in search.lower().split():
        if word.startswith("#") and len(word) > 1:
            if not any(tag.lower().startswith(word[1:]) for tag in run.labels.tags):
                return False
        elif word not in text:
            return False
    return True


def _lacks(column: RunColumn, run: RunSummary) -> bool:
    return column.order(run) is None or bool(run.error and column.key not in _ALWAYS)


def thumbnail(run: RunSummary, width: float, height: float) -> List[Shape]:
    """Return float and quantized metric of a run's evaluations as small curves; none with fewer than two of them."""
    steps = np.array([point[0] for point in run.points], np.float64)
    scores = np.array([[np.nan if part is None else part for part in point[1:]] for point in run.points], np.float64)
    known = scores[np.isfinite(scores)]
    if len(steps) < 2 or not len(known) or steps[-1] <= steps[0]:
        return []
    low, high = float(known.min()), float(known.max())
    missing = max(_LEAST_SPAN - (high - low), 0.0)
    low, high = low - missing / 2, high + missing / 2
    x = _MARGIN + (steps - steps[0]) / (steps[-1] - steps[0]) * (width - 2 * _MARGIN)
    y = height - _MARGIN - (scores - low) / (high - low) * (height - 2 * _MARGIN)
    return [Line(x, y[:, 0], Stroke("float_values")), Line(x, y[:, 1], Stroke("in_range", 1.6))]
