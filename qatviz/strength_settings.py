"""Declarations of the settings of the strength of quantization, which are settings of the run."""

# Apart from the other settings of the run, which :mod:`qatviz.settings` declares, because they would not fit there.

from dataclasses import dataclass

from qatviz.setting_declaration import SettingsRecord, declared, settings_of


@dataclass(frozen=True)
class StrengthSettings(SettingsRecord):
    """Ramp of the strength of quantization; a part of :class:`qatviz.settings.RunSettings`.

    In training, a tensor ``x`` with the quantized values ``v`` is used as ``x + s (v - x)``. With the strength ``s``
    below 1, the network is between float and quantized; evaluations, snapshots and exports are always quantized.
    """

    ramp_start: int = declared(
        0,
        "Ramp start",
        "Training steps in float before the strength of quantization begins to rise; it has no effect without a ramp "
        "end.",
        low=0,
        high=10**9,
        unit="steps",
    )
    ramp_end: int = declared(
        0,
        "Ramp end",
        "Training step at which quantization reaches its full strength, after a rise that is fast at first and then "
        "slower: until then, training uses a mix of float and quantized values; 0 is off.",
        low=0,
        high=10**9,
        unit="steps",
    )

    def strength_at(self, step: int) -> float:
        """Return the strength of quantization in a training step, numbered from 0: 0 is float, 1 quantized.

        ``1 - ((end - step) / (end - start))**3`` between start and end, 0 before, 1 after: QKeras' ``QNoiseScheduler``
        with its default exponent.

        >>> StrengthSettings(ramp_start=100, ramp_end=200).strength_at(150)
        0.875
        """
        if step >= self.ramp_end:
            return 1.0
        if step <= self.ramp_start:
            return 0.0
        return 1.0 - ((self.ramp_end - step) / (self.ramp_end - self.ramp_start)) ** 3

    @property
    def has_ramp(self) -> bool:
        """True if the strength changes with the training step."""
        return self.ramp_end > 0


#: Names of the settings.
STRENGTH_SETTINGS = tuple(settings_of(StrengthSettings))
