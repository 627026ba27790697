"""What version 0.1 recorded in words, in the present form.

Its events and checkpoints say in sentences what they now say in structures: which command was answered, why a run
paused, was set back or saved its state. Nothing else in the program reads such sentences.
"""

from typing import Any, Callable, Dict

from qatviz.protocol.commands import (
    COMMAND_KINDS,
    ApplyPreset,
    ChangeSettings,
    Command,
    InspectTensor,
    RestoreCheckpoint,
    SetSteps,
    UnknownCommand,
)
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason, SaveKind, SaveReason

_PRESET, _INSPECT, _BEFORE, _FORK = "preset ", "inspect ", "before ", "fork of "
#: Texts of reasons that were sentences of their own: those of a loss, and of a state, that was not finite.
_LOSS = "the loss"


def command_of(text: str) -> Command:
    """Return the command that a text stands for; what it does not say (a name, a number) is empty.

    The values of assignments are texts, as on the command line.
    """
    if text.startswith(_PRESET):
        return ApplyPreset(text[len(_PRESET) :])
    if text.startswith(_INSPECT):
        return InspectTensor(text[len(_INSPECT) :])
    if "=" in text:
        pairs = [pair.partition("=") for pair in text.split(", ")]
        return ChangeSettings(tuple((path, value) for path, _, value in pairs))
    if text == RestoreCheckpoint.__name__:
        return RestoreCheckpoint("")
    if text == SetSteps.__name__:
        return SetSteps(None)
    plain = COMMAND_KINDS.get(text)
    if plain is None or plain in (ApplyPreset, ChangeSettings, InspectTensor, UnknownCommand):
        return UnknownCommand(text)
    return plain()


def says_the_same(one: Command, other: Command) -> bool:
    """Whether two commands ask for the same, though the values of one may be texts.

    Commands of version 0.1 have no ids by which a scheduled command could be found again; so they are compared.
    """
    if isinstance(one, ChangeSettings) and isinstance(other, ChangeSettings):
        pairs = [[(path, str(value)) for path, value in command.assignments] for command in (one, other)]
        return pairs[0] == pairs[1]
    return one == other


def save_reason_of(told: Any) -> SaveReason:
    """Return why a checkpoint was saved, from what its file says."""
    if not isinstance(told, str):
        return SaveReason.from_wire(told)
    if told.startswith(_BEFORE) and told != SaveKind.BEFORE_CHANGE.value:
        return SaveReason(SaveKind.BEFORE_CHANGE, command_of(told[len(_BEFORE) :]))
    if told.startswith(_FORK):
        return SaveReason(SaveKind.FORK, note=told[len(_FORK) :])
    kinds = {kind.value: kind for kind in SaveKind}
    return SaveReason(kinds[told]) if told in kinds else SaveReason(SaveKind.OTHER, note=told)


def upgrade(row: Dict[str, Any]) -> None:
    """Bring an event into the present form, in place."""
    if "command" in row and isinstance(row["command"], str):
        row["command"] = command_of(row["command"]).to_dict()
    if row["kind"] in ("CommandApplied", "CommandRejected"):
        row.setdefault("id", "")
    change = _UPGRADES.get(row["kind"])
    if change is not None:
        change(row)


def _saved(row: Dict[str, Any]) -> None:
    row["reason"] = save_reason_of(row["reason"]).to_wire()


def _paused(row: Dict[str, Any]) -> None:
    row["reason"] = _known(row["reason"], PauseReason, PauseReason.BAD_STEP)


def _restored(row: Dict[str, Any]) -> None:
    row["reason"] = _known(row["reason"], RestoreReason, RestoreReason.BAD_STEP)


def _non_finite(row: Dict[str, Any]) -> None:
    is_loss = str(row["what"]).startswith(_LOSS)
    row["what"] = _known(row["what"], NonFiniteValue, NonFiniteValue.LOSS if is_loss else NonFiniteValue.STATE)


def _known(value: Any, kinds: Any, other: Any) -> Any:
    """Return the value of a member of an enum, that of ``other`` where it is none: a sentence, that of a bad step."""
    return value if value in {kind.value for kind in kinds} else other.value


_UPGRADES: Dict[str, Callable[[Dict[str, Any]], None]] = {
    "CheckpointSaved": _saved,
    "Paused": _paused,
    "Restored": _restored,
    "NonFinite": _non_finite,
}
