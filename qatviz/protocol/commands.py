"""Requests to a running run: frozen commands, carried out between two training steps, in the order they were sent.

Every command that is sent gets an id, which its answer carries; so do the commands of a schedule. An id is unique among
the commands of a run, however often that is resumed.
"""

import uuid
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple, Union

from qatviz.errors import SettingError


@dataclass(frozen=True)
class Command:
    """Base of all commands."""

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form: the fields plus ``kind``."""
        return dict(asdict(self), kind=type(self).__name__)


@dataclass(frozen=True)
class ChangeSettings(Command):
    """Change settings together: ``((path, value), ...)``, see :mod:`qatviz.protocol.settings_book`. All or nothing."""

    assignments: Tuple[Tuple[str, Any], ...]

    def __post_init__(self) -> None:
        pairs = self.assignments
        if not isinstance(pairs, (tuple, list)) or not all(
            isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        ):
            raise SettingError(f"ChangeSettings: assignments is {pairs!r}: expected pairs of a path and a value")
        object.__setattr__(self, "assignments", tuple(map(tuple, pairs)))

    def to_dict(self) -> Dict[str, Any]:
        return {"assignments": [list(pair) for pair in self.assignments], "kind": type(self).__name__}


@dataclass(frozen=True)
class ApplyPreset(Command):
    """Give all quantizers the settings of a preset."""

    preset: str

    def __post_init__(self) -> None:
        _check_text("ApplyPreset: preset", self.preset)


@dataclass(frozen=True)
class Pause(Command):
    """Wait after the step in flight."""


@dataclass(frozen=True)
class Resume(Command):
    """Continue after a pause."""


@dataclass(frozen=True)
class SingleStep(Command):
    """Take ``count`` steps, then pause."""

    count: int = 1


@dataclass(frozen=True)
class Evaluate(Command):
    """Compute the metric on held-out data, while training continues."""


@dataclass(frozen=True)
class TakeSnapshot(Command):
    """Take histograms and exact measures now."""


@dataclass(frozen=True)
class InspectTensor(Command):
    """Send the float values of one quantized tensor with a snapshot, as
    :class:`qatviz.protocol.snapshots.TensorValues`.
    """

    tensor: str

    def __post_init__(self) -> None:
        _check_text("InspectTensor: tensor", self.tensor)


@dataclass(frozen=True)
class SaveCheckpoint(Command):
    """Save the present state under ``name`` (empty: named after the step)."""

    name: str = ""

    def __post_init__(self) -> None:
        _check_text("SaveCheckpoint: name", self.name)


@dataclass(frozen=True)
class RestoreCheckpoint(Command):
    """Set the run to the state of a checkpoint."""

    name: str

    def __post_init__(self) -> None:
        _check_text("RestoreCheckpoint: name", self.name)


@dataclass(frozen=True)
class Undo(Command):
    """Set the run, state and settings, back to before the last change of settings or restoration."""


@dataclass(frozen=True)
class Redo(Command):
    """Set the run to the state that the last undo left."""


@dataclass(frozen=True)
class SetSteps(Command):
    """Train until a total of ``steps`` steps are done; None: without a limit."""

    steps: Any


@dataclass(frozen=True)
class Stop(Command):
    """End the run after the step in flight; everything is saved."""


@dataclass(frozen=True)
class UnknownCommand(Command):
    """A command of another version of the program, by its name; it can be told of, but not carried out."""

    name: str


#: What a schedule can hold.
SettingsCommand = Union[ChangeSettings, ApplyPreset]
COMMAND_KINDS = {cls.__name__: cls for cls in Command.__subclasses__()}


def command_from(row: Dict[str, Any]) -> Command:
    """Return the command that :meth:`Command.to_dict` wrote; of a kind that is not known, an :class:`UnknownCommand`.

    Raises
    ------
    KeyError, TypeError, SettingError
        If a field is missing, or holds something else.
    """
    kind = COMMAND_KINDS.get(row["kind"])
    if kind is None:
        return UnknownCommand(str(row["kind"]))
    return kind(**{field.name: row[field.name] for field in fields(kind)})


class ScheduledCommand(NamedTuple):
    """A change of settings that takes effect before the step numbered ``step`` (counting from 0)."""

    step: int
    command: SettingsCommand
    id: str = ""

    def to_row(self) -> List[Any]:
        """Return a JSON-able form: ``[step, [[path, value], ...], id]``, or ``[step, preset, id]``."""
        command = self.command
        what = command.preset if isinstance(command, ApplyPreset) else [list(pair) for pair in command.assignments]
        return [self.step, what, self.id]

    @classmethod
    def from_row(cls, row: List[Any]) -> "ScheduledCommand":
        """Return what :meth:`to_row` wrote; in version 0.1 scheduled commands had no ids.

        Raises
        ------
        ValueError, TypeError, SettingError
            If it is something else.
        """
        step, what, *rest = row
        command = ApplyPreset(what) if isinstance(what, str) else ChangeSettings(tuple(map(tuple, what)))
        return cls(step, command, str(rest[0]) if rest else "")


Schedule = Tuple[ScheduledCommand, ...]


def with_ids(schedule: Iterable[Tuple[Any, ...]]) -> Schedule:
    """Return a schedule in which each command has an id, from pairs of step and command, or scheduled commands."""
    scheduled = [ScheduledCommand(*item) for item in schedule]
    return tuple(item if item.id else item._replace(id=new_id()) for item in scheduled)


def new_id() -> str:
    """Return an id that no other command has."""
    return uuid.uuid4().hex[:12]


def _check_text(what: str, value: Any) -> None:
    if not isinstance(value, str):
        raise SettingError(f"{what} is {value!r}: expected text")
