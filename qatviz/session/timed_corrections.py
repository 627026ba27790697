"""Corrections that are requested with a run, such as ``500:equalize-layers``."""

from typing import NamedTuple, Optional

from qatviz.errors import SettingError
from qatviz.protocol.commands import CorrectionCommand
from qatviz.protocol.corrections import correction_text, parse_correction

#: Field of a request with its corrections.
FIELD = "corrections"


class TimedCorrection(NamedTuple):
    """Correction before the training step ``step`` (counting from 0); None: at once."""

    step: Optional[int]
    command: CorrectionCommand

    @property
    def text(self) -> str:
        """The correction in the form that :func:`parse_timed_correction` parses."""
        text = correction_text(self.command)
        return text if self.step is None else f"{self.step}:{text}"


def parse_timed_correction(text: str) -> TimedCorrection:
    """Return the correction written as ``[STEP:]NAME[,FIELD=VALUE]``.

    Raises
    ------
    SettingError
        If it has another form, or there is no such correction.
    """
    if not isinstance(text, str):
        raise SettingError.of_field(FIELD, f"{text!r}: expected text such as 500:equalize-layers")
    when, colon, rest = text.partition(":")
    if colon and not when.strip().isdecimal():
        raise SettingError.of_field(FIELD, f"{text!r}: the step is {when!r}: expected a whole number of at least 0")
    try:
        command = parse_correction(rest if colon else text)
    except SettingError as error:
        raise SettingError.of_field(FIELD, f"{text!r}: {error}") from error
    return TimedCorrection(int(when) if colon else None, command)
