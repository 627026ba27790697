"""Strength of quantization over the training steps, computed from the settings and their changes."""

from typing import Any, Callable, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.branches import BranchPath, BranchPoint
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.timeline import LoggedEvent
from qatviz.settings import RUN, RunSettings
from qatviz.strength_settings import STRENGTH_SETTINGS
from qatviz.telemetry.history import Series, SeriesSource

#: Name of the series.
STRENGTH = "strength"
_PATHS = frozenset(f"{RUN}.{name}" for name in STRENGTH_SETTINGS)


def strengths(
    steps: np.ndarray, log: Sequence[LoggedEvent], path: BranchPath, book_at: Callable[[BranchPoint], SettingsBook]
) -> np.ndarray:
    """Return the strength of quantization in each of some training steps, float32 ``[n]``.

    Parameters
    ----------
    steps : np.ndarray
        int64 ``[n]``: number of steps complete after each of the training steps, on the path to the current state.
    log : sequence of LoggedEvent
        Events of the run.
    path : BranchPath
        Path to the current state.
    book_at : callable
        Returns the settings at a state of the run.
    """
    marks = sorted({each.event.step for each in log if _changes_ramp(each.event)})
    segments = np.searchsorted(marks, steps - 1, side="right")
    found = np.ones(len(steps), np.float32)
    for segment in np.unique(segments):
        run: RunSettings = book_at(_place(path, marks[segment - 1] if segment else -1)).run
        if run.has_ramp:
            own = segments == segment
            found[own] = [run.strength_at(step) for step in (steps[own] - 1).tolist()]
    return found


def _place(path: BranchPath, step: int) -> BranchPoint:
    """Return the state after all events at ``step`` on a path."""
    branch = next(branch for branch, limit in path.pieces if limit is None or step < limit.step)
    return BranchPoint(branch, step)


def _changes_ramp(event: Any) -> bool:
    return any(change.setting in _PATHS for change in getattr(event, "changes", ()))


class HistoryWithStrength(SeriesSource):
    """Series of a run's history, and the series :data:`STRENGTH`, which has the steps of the loss.

    ``strength_of`` returns the strength of steps, int64 ``[n]``, as float32 ``[n]``.
    """

    def __init__(self, history: SeriesSource, strength_of: Callable[[np.ndarray], np.ndarray]):
        self._whole, self._strength_of = history, strength_of

    def series(self, name: str, start: Optional[int] = None, stop: Optional[int] = None) -> Series:
        if name != STRENGTH:
            return self._whole.series(name, start, stop)
        loss = self._whole.series("loss", start, stop)
        first, last = self._strength_of(loss.first_step), self._strength_of(loss.last_step)
        low, high = np.minimum(first, last), np.maximum(first, last)
        return loss._replace(minimum=low, maximum=high, mean=(low + high) / 2)

    def steps_around(self, name: str, start: int, stop: int) -> Tuple[Optional[int], Optional[int]]:
        return self._whole.steps_around("loss" if name == STRENGTH else name, start, stop)
