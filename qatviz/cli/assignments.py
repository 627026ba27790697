"""Settings as they are typed: ``num_bits=4,per_channel=on`` and ``500:conv1.weights.num_bits=3``."""

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from qatviz.errors import SettingError, did_you_mean
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.settings_book import SettingsBook, parse_assignment
from qatviz.settings import KINDS, QUANTIZER_SETTINGS, RUN, RUN_SETTINGS, quantizer_setting

Assignments = Tuple[Tuple[str, Any], ...]


class TimedChange(NamedTuple):
    """Settings that change together before the step ``step`` (counting from 0); None: at once. ``text`` is as typed."""

    step: Optional[int]
    assignments: Assignments
    text: str


def parse_kind(texts: Iterable[str], kind: str) -> Dict[str, Any]:
    """The settings of all tensors of ``kind`` in ``NAME=VALUE[,NAME=VALUE]``; of one named twice the last.

    Raises
    ------
    SettingError
    """
    values = {}
    for text in texts:
        for name, value in map(parse_assignment, text.split(",")):
            path = f"--{kind} {name}"
            try:
                setting = quantizer_setting(name, kind, path)
            except SettingError as error:
                known = [known for known, setting in QUANTIZER_SETTINGS.items() if kind in setting.kinds]
                raise SettingError(f"{error}.{did_you_mean(name, known)}") from error
            values[name] = setting.parse(value, path, kind)
    return values


def parse_change(text: str) -> TimedChange:
    """``[STEP:]PATH=VALUE[,PATH=VALUE]``; :class:`SettingError` if it is anything else."""
    when, colon, rest = text.partition(":")
    if not colon:
        return TimedChange(None, _assignments(text, text), text)
    if not when.strip().isdecimal():
        raise SettingError(f"--set {text!r}: the step is {when!r}: expected a whole number of at least 0")
    return TimedChange(int(when), _assignments(rest, text), text)


def check_change(book: SettingsBook, change: TimedChange) -> SettingsBook:
    """The book after a change, so that a mistake shows before anything has begun.

    Raises
    ------
    SettingError
        With what was typed, and the nearest name there is.
    """
    try:
        return book.change(change.assignments)[0]
    except SettingError as error:
        hints = [_hint(path, book.plan) for path, _ in change.assignments]
        hint = next((hint for hint in hints if hint), "")
        raise SettingError(f"--set {change.text!r}: {error}{'.' + hint if hint else ''}") from error


def _assignments(text: str, whole: str) -> Assignments:
    try:
        return tuple(map(parse_assignment, text.split(",")))
    except SettingError as error:
        raise SettingError(f"--set {whole!r}: {error}") from error


def _hint(path: str, plan: QuantizationPlan) -> str:
    """What ``path`` may have meant, where it names nothing."""
    pattern, _, name = path.rpartition(".")
    if pattern == RUN or not pattern:
        return "" if name in RUN_SETTINGS else did_you_mean(path, _run_paths())
    if name not in QUANTIZER_SETTINGS:
        return did_you_mean(name, QUANTIZER_SETTINGS)
    layer, _, kind = pattern.rpartition(".")
    layer = layer if kind in KINDS else pattern
    layers = [tensor.layer for tensor in plan.tensors]
    return "" if layer in layers or any(char in layer for char in "*?[") else did_you_mean(layer, layers)


def _run_paths() -> List[str]:
    return [f"{RUN}.{name}" for name in RUN_SETTINGS]
