"""Declarations of the settings of the optimizer and of the loss, which are settings of the run."""

# Apart from the other settings of the run, which :mod:`qatviz.settings` declares, because they would not fit there.

from dataclasses import dataclass
from typing import Tuple

from qatviz.learning_rate import CONSTANT, SCHEDULES, rate_factor
from qatviz.setting_declaration import SettingsRecord, declared


@dataclass(frozen=True)
class OptimizationSettings(SettingsRecord):
    """Settings of the optimizer and of the loss; a part of :class:`qatviz.settings.RunSettings`."""

    learning_rate: float = declared(
        1e-3,
        "Learning rate",
        "Factor by which the optimizer scales the update of the weights in each training step.",
        low=0.0,
        high=100.0,
        log=True,
    )
    lr_schedule: str = declared(
        CONSTANT,
        "Schedule",
        "How the learning rate changes with the training step: not at all, by a factor after each period, along "
        "half a cosine to its last value, exponentially, or in one cycle, up from 1/25 and down again.",
        choices={"": tuple(SCHEDULES)},
        labels=SCHEDULES,
    )
    lr_period: int = declared(
        2000,
        "Schedule period",
        "Training steps after the warm-up until the learning rate is multiplied by the schedule factor.",
        low=1,
        high=10**9,
        unit="steps",
    )
    lr_factor: float = declared(
        0.1,
        "Schedule factor",
        "Learning rate at the end of the period, relative to the one that is set. Step and exponential schedules "
        "multiply by it again in each further period; with the others, it stays.",
        low=0.0,
        high=1.0,
    )
    warmup_steps: int = declared(
        0,
        "Warm-up",
        "First training steps of the run, in which the learning rate rises linearly, before its schedule starts.",
        low=0,
        high=10**9,
        unit="steps",
    )
    momentum: float = declared(
        0.9,
        "Momentum",
        "Fraction of the previous update that the momentum optimizer adds to the next one.",
        low=0.0,
        high=0.9999,
    )
    rho: float = declared(
        0.9, "Rho", "Decay of RMSprop's moving average of the squared gradients.", low=0.0, high=0.9999
    )
    beta1: float = declared(0.9, "Beta 1", "Decay of Adam's moving average of the gradients.", low=0.0, high=0.9999)
    beta2: float = declared(
        0.999, "Beta 2", "Decay of Adam's moving average of the squared gradients.", low=0.0, high=0.999999
    )
    epsilon: float = declared(
        1e-8,
        "Epsilon",
        "Term that prevents division by 0 in Adam and RMSprop; larger values damp the update of parameters with small "
        "gradients.",
        low=1e-12,
        high=1.0,
        log=True,
    )
    weight_decay: float = declared(
        0.0,
        "Weight decay",
        "Decoupled decay: each step subtracts this fraction of the weights, times the learning rate, from them. It "
        "applies to the weights of layers, not to biases and batch norm; 0 is off.",
        low=0.0,
        high=10.0,
    )
    gradient_clip: float = declared(
        0.0,
        "Gradient clip",
        "Largest norm of all gradients together: larger gradients are scaled down to it before the update; 0 is off.",
        low=0.0,
        high=1e6,
    )
    scale_learning_rate: float = declared(
        1.0,
        "Scale learning rate",
        "For learned ranges: their learning rate, as a multiple of that of the weights.",
        low=0.0,
        high=1000.0,
        log=True,
    )
    clip_decay: float = declared(
        2e-4,
        "Clip decay",
        "For learned clips (PACT): pull of their ends towards 0, which trades clipped values for a smaller "
        "quantization step.",
        low=0.0,
        high=1.0,
    )
    label_smoothing: float = declared(
        0.0,
        "Label smoothing",
        "For cross-entropies: part of the answer that is spread evenly over all classes, as in Keras. The loss "
        "contains it, the accuracy does not.",
        low=0.0,
        high=1.0,
    )
    keep_zeros: bool = declared(
        False,
        "Keep zeros",
        "Weights of layers that are exactly 0 stay 0, as those of a pruned model; every grid represents 0 exactly.",
    )

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a training step, numbered from 0, with schedule and warm-up."""
        return self.learning_rate * rate_factor(
            self.lr_schedule, step, self.warmup_steps, self.lr_period, self.lr_factor
        )

    @property
    def is_rate_constant(self) -> bool:
        """Whether all training steps have the same learning rate."""
        return self.lr_schedule == CONSTANT and not self.warmup_steps

    @property
    def unused_schedule_settings(self) -> Tuple[str, ...]:
        """Names of the settings that have no effect with this schedule."""
        return ("lr_period", "lr_factor") if self.lr_schedule == CONSTANT else ()
