"""Declarations of the settings that recover accuracy at few bits, which are settings of the run."""

# Apart from the other settings of the run, which :mod:`qatviz.settings` declares, because they would not fit there.

from dataclasses import dataclass
from typing import Tuple

from qatviz.setting_declaration import SettingsRecord, declared, settings_of

#: Values of the setting ``teacher`` that are no name of a checkpoint.
NO_TEACHER, START_TEACHER, MODEL_TEACHER = "none", "start", "model"
#: Bits of the rungs of a ladder.
LADDER_BITS = (16, 8, 6, 4, 3, 2)
#: Value of the setting ``ladder_tensors`` for weights and activations.
BOTH = "both"
#: Settings that have no effect while the ladder is off, and without a teacher.
LADDER_SETTINGS = ("ladder_tensors", "ladder_lowest", "ladder_tolerance", "ladder_steps")
TEACHER_SETTINGS = ("distillation_weight", "distillation_temperature")


@dataclass(frozen=True)
class LowBitSettings(SettingsRecord):
    """Settings of distillation and of the bit ladder; a part of :class:`qatviz.settings.RunSettings`."""

    teacher: str = declared(
        NO_TEACHER,
        "Teacher",
        "Network in float whose outputs training imitates besides the labels (distillation): the weights with which "
        "the run began, those of a checkpoint of the run, or the Keras model that was given as teacher.",
        choices={"": (NO_TEACHER, START_TEACHER, MODEL_TEACHER)},
        pattern=r"[^\s/\\]+",
        form="the name of a checkpoint of the run",
        labels={NO_TEACHER: "None", START_TEACHER: "Start of the run", MODEL_TEACHER: "Keras model"},
    )
    distillation_weight: float = declared(
        0.5,
        "Distillation weight",
        "Weight of the teacher's outputs in the loss; the rest is that of the labels.",
        low=0.0,
        high=1.0,
    )
    distillation_temperature: float = declared(
        4.0,
        "Temperature",
        "Divisor of the logits of teacher and network before their probabilities are compared: the higher it is, the "
        "greater the influence of outputs of low probability.",
        low=0.1,
        high=100.0,
        log=True,
    )

    ladder: bool = declared(
        False,
        "Bit ladder",
        f"Lower the bits in rungs ({', '.join(map(str, LADDER_BITS))}), the next one once evaluations have recovered: "
        "a network loses less by several small changes than by a large one.",
    )
    ladder_tensors: str = declared(
        BOTH,
        "Tensors of the ladder",
        "Tensors whose bits the ladder lowers; those with fewer bits than a rung keep theirs.",
        choices={"": (BOTH, "weights", "activations")},
        labels={BOTH: "Weights and activations", "weights": "Weights", "activations": "Activations"},
    )
    ladder_lowest: int = declared(
        2, "Lowest rung", "Bits at which the ladder ends and is switched off.", low=2, high=8, unit="bits"
    )
    ladder_tolerance: float = declared(
        1.0,
        "Ladder tolerance",
        "The next rung is taken once the quantized result is within this fraction of the best one since the ladder "
        "was switched on.",
        low=0.0,
        high=100.0,
        unit="%",
    )
    ladder_steps: int = declared(
        1000,
        "Steps per rung",
        "Training steps after which the next rung is taken although the result has not recovered.",
        low=1,
        high=10**9,
        unit="steps",
    )

    @property
    def has_teacher(self) -> bool:
        """True if training imitates a teacher."""
        return self.teacher != NO_TEACHER

    @property
    def distillation(self) -> Tuple[object, ...]:
        """Teacher, weight and temperature, on which the loss depends; empty without a teacher."""
        settings = (self.teacher, self.distillation_weight, self.distillation_temperature)
        return settings if self.has_teacher else ()

    @property
    def has_own_teacher(self) -> bool:
        """True if the teacher is the network of the run itself, with other weights."""
        return self.teacher not in (NO_TEACHER, MODEL_TEACHER)

    @property
    def unused_low_bit_settings(self) -> Tuple[str, ...]:
        """Names of the settings that have no effect with the present values of the others."""
        return (*(() if self.has_teacher else TEACHER_SETTINGS), *(() if self.ladder else LADDER_SETTINGS))


LOW_BIT_SETTINGS = settings_of(LowBitSettings)
