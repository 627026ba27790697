"""Declarations of the settings against oscillation of weights that apply to the whole run."""

# Apart from the other settings of the run, which :mod:`qatviz.settings` declares, because they would not fit there.

import math
from dataclasses import dataclass
from typing import Tuple

from qatviz.setting_declaration import SettingsRecord, declared

#: Frequency of reversals above which a weight counts as oscillating (Nagel et al. 2022, table 1).
OSCILLATES = 0.005
CONSTANT, LINEAR, COSINE = "constant", "linear", "cosine"
#: Labels of the ramps by name; the position is the number that the graph uses.
RAMPS = {CONSTANT: "Constant", LINEAR: "Linear", COSINE: "Cosine"}


@dataclass(frozen=True)
class OscillationSettings(SettingsRecord):
    """Settings against oscillation of weights; a part of :class:`qatviz.settings.RunSettings`.

    Strength and threshold are settings of each tensor (:class:`qatviz.settings.QuantizerSettings`).
    """

    track_oscillation: bool = declared(
        False,
        "Track oscillation",
        "Count how often each weight's code reverses its direction; always on for tensors with dampening or a freezing "
        "threshold.",
    )
    dampening_schedule: str = declared(
        CONSTANT,
        "Dampening schedule",
        "How the strength of dampening grows with the training step: constant, or from 0 along a line or half a "
        "cosine to its full value.",
        choices={"": tuple(RAMPS)},
        labels=RAMPS,
    )
    freeze_schedule: str = declared(
        CONSTANT,
        "Freezing schedule",
        "How the freezing threshold changes with the training step: constant, or from its start along a line or half a "
        "cosine to its final value.",
        choices={"": tuple(RAMPS)},
        labels=RAMPS,
    )
    freeze_start: float = declared(
        0.04,
        "Freezing start",
        "Freezing threshold at the first training step of a run with a linear or cosine freezing schedule.",
        low=0.0,
        high=1.0,
    )
    oscillation_period: int = declared(
        2000,
        "Ramp period",
        "Training steps from the start of the run until dampening has its full strength and the freezing threshold its "
        "final value.",
        low=1,
        high=10**9,
        unit="steps",
    )

    @property
    def unused_oscillation_settings(self) -> Tuple[str, ...]:
        """Names of the settings that have no effect with these schedules."""
        unused = () if self.freeze_schedule != CONSTANT else ("freeze_start",)
        is_constant = self.freeze_schedule == self.dampening_schedule == CONSTANT
        return (*unused, "oscillation_period") if is_constant else unused


def ramp(kind: str, step: int, period: int) -> float:
    """Return the value of a ramp, 0 to 1, in the training step ``step``, numbered from 0.

    With ``t = min(step / period, 1)``: 1 (constant), ``t`` (linear) or ``(1 - cos(pi t)) / 2`` (cosine).
    """
    t = min(step / period, 1.0)
    return {CONSTANT: 1.0, LINEAR: t, COSINE: (1 - math.cos(math.pi * t)) / 2}[kind]
