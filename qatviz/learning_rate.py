"""Learning-rate schedules: factor of the learning rate as a pure function of training step and settings."""

# A separate module, because `settings` has declarations only.

import math
from typing import Dict

CONSTANT, STEP, COSINE, EXPONENTIAL, ONE_CYCLE = "constant", "step", "cosine", "exponential", "one_cycle"
#: Labels of the schedules, by name.
SCHEDULES: Dict[str, str] = {
    CONSTANT: "Constant",
    STEP: "Step",
    COSINE: "Cosine",
    EXPONENTIAL: "Exponential",
    ONE_CYCLE: "One cycle",
}
#: One cycle (Smith 2018): its first factor, and the fraction of the period in which the factor rises to 1. These are
#: the defaults of PyTorch's OneCycleLR.
_CYCLE_START, _CYCLE_RISE = 1 / 25, 0.3


def rate_factor(schedule: str, step: int, warmup_steps: int, period: int, factor: float) -> float:
    """Return the factor of the learning rate in a training step.

    Parameters
    ----------
    schedule : str
        A name of `SCHEDULES`. It starts after the warm-up.
    step : int
        Number of the training step, from 0.
    warmup_steps : int
        Number ``w`` of steps of the warm-up: in these, the schedule's first factor is multiplied by 1/w, 2/w, … 1.
    period : int
        Number of steps until ``factor``, at least 1.
    factor : float
        Step and exponential: factor by which each period changes the rate. Others: factor from the period's end on.
    """
    warmth = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warmth * _scheduled(schedule, max(0, step - warmup_steps), period, factor)


def _scheduled(schedule: str, step: int, period: int, factor: float) -> float:
    """Return the factor in a step after the warm-up, numbered from 0."""
    if schedule == STEP:
        return float(factor ** (step // period))
    if schedule == EXPONENTIAL:
        return float(factor ** (step / period))
    if schedule == COSINE:
        return _anneal(1.0, factor, step / period)
    if schedule == ONE_CYCLE:
        peak = max(0.0, _CYCLE_RISE * period - 1.0)
        if step < peak:
            return _anneal(_CYCLE_START, 1.0, step / peak)
        return _anneal(1.0, factor, (step - peak) / max(1.0, period - 1.0 - peak))
    return 1.0


def _anneal(first: float, last: float, progress: float) -> float:
    """Return the value of half a cosine from ``first`` to ``last`` at ``progress``, 0 to 1; beyond, ``last``."""
    if progress >= 1.0:
        return last
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * progress))
