"""Reasons for which a run pauses, saves its state or is set to another one; their texts are in `presentation`.

The values are part of the wire form and the record format, and never change.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Dict, Optional, Union

from qatviz.protocol.commands import Command, command_from


class PauseReason(Enum):
    """Reason for a pause."""

    REQUESTED = "asked to"
    SINGLE_STEPS = "single step"
    BAD_STEP = "bad step"
    WORKERS_LOST = "workers lost"


class RestoreReason(Enum):
    """Reason for setting a run to another state."""

    UNDO = "undo"
    REDO = "redo"
    CHECKPOINT = "restored"
    RESUMED = "resumed"
    BAD_STEP = "bad step"
    WORKERS_LOST = "workers lost"


class NonFiniteValue(Enum):
    """Location of a NaN or infinity."""

    LOSS = "loss"
    STATE = "state"


class SaveKind(Enum):
    """Occasion on which a state was saved."""

    REQUESTED = "asked for"
    AUTOMATIC = "automatic"
    BEFORE_CHANGE = "before a change"
    BEFORE_RESTORING = "before restoring"
    UNDONE = "undone"
    REDONE = "redone"
    START = "start of the run"
    LAST_GOOD = "kept in case a step goes wrong"
    END = "end of the run"
    BEST = "best so far"
    FORK = "fork"
    OTHER = "other"


class RecordPart(Enum):
    """Part of the recording that failed."""

    RECORD = "record"  #: nothing that follows is recorded
    CHECKPOINT = "checkpoint"  #: one checkpoint was not written, or an old one not deleted
    TELEMETRY = "telemetry"  #: data were lost before they reached the history or the record


@dataclass(frozen=True)
class SaveReason:
    """Reason for saving a state.

    Attributes
    ----------
    kind : SaveKind
    command : Command or None
        The command that was executed next.
    note : str
        For a fork, the directory of the original run; for SaveKind.OTHER, the reason as text, from an old record.
    """

    kind: SaveKind
    command: Optional[Command] = None
    note: str = ""

    def to_wire(self) -> Union[str, Dict[str, Any]]:
        """Return a JSON-able form: the value of ``kind`` alone if nothing else is set, otherwise a dict."""
        row: Dict[str, Any] = {"kind": self.kind.value}
        if self.command is not None:
            row["command"] = self.command.to_dict()
        if self.note:
            row["note"] = self.note
        return row if len(row) > 1 else self.kind.value

    @classmethod
    def from_wire(cls, row: Union[str, Dict[str, Any]]) -> "SaveReason":
        """Return the reason serialized by :meth:`to_wire`.

        Raises
        ------
        KeyError, TypeError, ValueError, SettingError
            If it is invalid.
        """
        if isinstance(row, str):
            return cls(SaveKind(row))
        if not isinstance(row, dict):
            raise TypeError(f"the reason for saving a state is {row!r}: expected text or an object")
        command = row.get("command")
        return cls(SaveKind(row["kind"]), None if command is None else command_from(command), str(row.get("note", "")))
