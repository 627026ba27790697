"""Why a run pauses, saves its state or is set to another one: words of the program, whose texts are made elsewhere.

The values are those of the wire form and of records, and never change.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Dict, Optional, Union

from qatviz.protocol.commands import Command, command_from


class PauseReason(Enum):
    """Why a run waits."""

    ASKED = "asked to"
    SINGLE_STEPS = "single step"
    BAD_STEP = "bad step"


class RestoreReason(Enum):
    """Why a run was set to another state."""

    UNDO = "undo"
    REDO = "redo"
    CHECKPOINT = "restored"
    RESUMED = "resumed"
    BAD_STEP = "bad step"


class NonFiniteValue(Enum):
    """Where a NaN or an infinity was found."""

    LOSS = "loss"
    STATE = "state"


class SaveKind(Enum):
    """What a state was saved for."""

    ASKED = "asked for"
    AUTOMATIC = "automatic"
    BEFORE_CHANGE = "before a change"
    BEFORE_RESTORING = "before restoring"
    UNDONE = "undone"
    REDONE = "redone"
    START = "start of the run"
    LAST_GOOD = "kept in case a step goes wrong"
    END = "end of the run"
    FORK = "fork"
    OTHER = "other"


@dataclass(frozen=True)
class SaveReason:
    """Why a state was saved.

    Attributes
    ----------
    kind : SaveKind
    command : Command or None
        The command that was carried out next.
    note : str
        The directory of the run that a fork comes from; of another kind what the record says.
    """

    kind: SaveKind
    command: Optional[Command] = None
    note: str = ""

    def to_wire(self) -> Union[str, Dict[str, Any]]:
        """Return a JSON-able form: the value of ``kind`` where that is all, else an object."""
        row: Dict[str, Any] = {"kind": self.kind.value}
        if self.command is not None:
            row["command"] = self.command.to_dict()
        if self.note:
            row["note"] = self.note
        return row if len(row) > 1 else self.kind.value

    @classmethod
    def from_wire(cls, row: Union[str, Dict[str, Any]]) -> "SaveReason":
        """Return the reason that :meth:`to_wire` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError, SettingError
            If it is something else.
        """
        if isinstance(row, str):
            return cls(SaveKind(row))
        if not isinstance(row, dict):
            raise TypeError(f"the reason for saving a state is {row!r}: expected text or an object")
        command = row.get("command")
        return cls(SaveKind(row["kind"]), None if command is None else command_from(command), str(row.get("note", "")))
