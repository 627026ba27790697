"""Learning-rate schedules: the factor of the learning rate as a function of the training step and settings."""

# A module of its own, because `optimization_settings`, which uses it, has declarations only.

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
#: One cycle (Smith 2018): its first factor, and the fraction of the period in which the factor rises to 1, as in
#: PyTorch's OneCycleLR by default.
_CYCLE_START, _CYCLE_RISE = 1 / 25, 0.3


def rate_factor(schedule: str, step: int, warmup_steps: int, period: int, factor: float) -> float:
    """Return the factor of the learning rate in a training step.

    Parameters
    ----------
    schedule : str
        A name of `SCHEDULES`. The schedule starts after the warm-up.
    step : int
        Number of the training step, from 0.
    warmup_steps : int
        Number ``w`` of steps of the warm-up, in which the first factor of the schedule is multiplied by 1/w, 2/w, …, 1.
    period : int
        Period of the schedule in steps, at least 1.
    factor : float
        "step" and "exponential": factor by which the rate changes in each period. "cosine" and "one_cycle": factor of
        the rate at the end of the first period, and from then on.
    """
    warmth = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warmth * _scheduled(schedule, max(0, step - warmup_steps), period, factor)


def _scheduled(schedule: str, step: int, period: int, factor: float) -> float:
    """Return the factor of the schedule alone; ``step`` is numbered from 0 at the end of the warm-up."""
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
    """Return the value of half a cosine from ``first`` (``progress`` 0) to ``last`` (``progress`` 1 and more)."""
    if progress >= 1.0:
        return last
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * progress))
