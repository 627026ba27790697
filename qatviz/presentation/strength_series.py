"""Strength of quantization over the training steps, computed from the settings and their changes."""

from typing import Any, Callable, Optional, Sequence, Tuple

import numpy as np

from qatviz.protocol.timeline import value_at
from qatviz.settings import RUN
from qatviz.strength_settings import STRENGTH_SETTINGS, StrengthSettings
from qatviz.telemetry.history import Series, SeriesSource

#: Name of the series.
STRENGTH = "strength"
#: Paths of the settings from which it follows.
RAMP_PATHS = tuple(f"{RUN}.{name}" for name in STRENGTH_SETTINGS)


def strengths(steps: np.ndarray, values_of: Callable[[str], Sequence[Tuple[int, Any]]]) -> np.ndarray:
    """Return the strength of quantization in each of some training steps, float32 ``[n]``.

    Parameters
    ----------
    steps : np.ndarray
        int64 ``[n]``: number of steps complete after each of the training steps, on the path to the current state.
    values_of : callable
        Returns the values of a setting over the run by its path, one of the :data:`RAMP_PATHS`, as
        :meth:`qatviz.protocol.timeline.Timeline.values_of` does.
    """
    values = {name: values_of(path) for name, path in zip(STRENGTH_SETTINGS, RAMP_PATHS)}
    marks = sorted({step for changes in values.values() for step, _ in changes})
    segments = np.searchsorted(marks, steps - 1, side="right") - 1
    found = np.ones(len(steps), np.float32)
    for segment in np.unique(segments):
        begin = marks[segment]
        ramp = StrengthSettings(**{name: value_at(changes, begin) for name, changes in values.items()})
        if ramp.has_ramp:
            own = segments == segment
            found[own] = [ramp.strength_at(step) for step in (steps[own] - 1).tolist()]
    return found


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
