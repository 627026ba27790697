"""Conversion of the sentences that version 0.1 recorded into the current form.

Its events and checkpoints contain sentences where there are now structures: the command that was answered, the reason
for a pause, a rewind or a saved state. Nothing else in the program parses such sentences.
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
#: Start of the sentence for a loss that was not finite; the sentence for such a state starts otherwise.
_LOSS = "the loss"


def command_of(text: str) -> Command:
    """Return the command that a text describes; fields missing from the text are empty.

    Values of assignments remain text, as on the command line.
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


def is_equivalent(one: Command, other: Command) -> bool:
    """Return whether two commands are equivalent, even if the values of one are text.

    Commands of version 0.1 have no ids by which to identify a scheduled command, so their content is compared.
    """
    if isinstance(one, ChangeSettings) and isinstance(other, ChangeSettings):
        pairs = [[(path, str(value)) for path, value in command.assignments] for command in (one, other)]
        return pairs[0] == pairs[1]
    return one == other


def save_reason_of(recorded: Any) -> SaveReason:
    """Return the reason for saving a checkpoint from the entry in its file."""
    if not isinstance(recorded, str):
        return SaveReason.from_wire(recorded)
    if recorded.startswith(_BEFORE) and recorded != SaveKind.BEFORE_CHANGE.value:
        return SaveReason(SaveKind.BEFORE_CHANGE, command_of(recorded[len(_BEFORE) :]))
    if recorded.startswith(_FORK):
        return SaveReason(SaveKind.FORK, note=recorded[len(_FORK) :])
    kinds = {kind.value: kind for kind in SaveKind}
    return SaveReason(kinds[recorded]) if recorded in kinds else SaveReason(SaveKind.OTHER, note=recorded)


def upgrade(row: Dict[str, Any]) -> None:
    """Convert an event to the current form, in place."""
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
    """Return ``value`` if it is one of the enum ``kinds``, otherwise the value of the member ``other``."""
    return value if value in {kind.value for kind in kinds} else other.value


_UPGRADES: Dict[str, Callable[[Dict[str, Any]], None]] = {
    "CheckpointSaved": _saved,
    "Paused": _paused,
    "Restored": _restored,
    "NonFinite": _non_finite,
}
