"""What can be asked of a running run: frozen commands, carried out between two steps, in the order they were sent."""

from dataclasses import dataclass
from typing import Any, Tuple

from qatviz.errors import SettingError


@dataclass(frozen=True)
class Command:
    """Base of all commands."""

    def describe(self) -> str:
        """One line for the list of events."""
        return type(self).__name__


@dataclass(frozen=True)
class ChangeSettings(Command):
    """Change settings together: ``((path, value), ...)``, see :mod:`qatviz.protocol.settings_book`. All or nothing."""

    assignments: Tuple[Tuple[str, Any], ...]

    def __post_init__(self):
        pairs = self.assignments
        if not isinstance(pairs, (tuple, list)) or not all(
            isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
        ):
            raise SettingError(f"ChangeSettings: assignments is {pairs!r}: expected pairs of a path and a value")
        object.__setattr__(self, "assignments", tuple(map(tuple, pairs)))

    def describe(self) -> str:
        return ", ".join(f"{path}={value}" for path, value in self.assignments)


@dataclass(frozen=True)
class ApplyPreset(Command):
    """Give all quantizers the settings of a preset."""

    preset: str

    def __post_init__(self):
        _check_text("ApplyPreset: preset", self.preset)

    def describe(self) -> str:
        return "preset " + self.preset


@dataclass(frozen=True)
class Pause(Command):
    """Wait after the step in flight."""


@dataclass(frozen=True)
class Resume(Command):
    """Go on after a pause."""


@dataclass(frozen=True)
class SingleStep(Command):
    """Take ``count`` steps, then pause."""

    count: int = 1


@dataclass(frozen=True)
class Evaluate(Command):
    """Measure how good it is on held-out data, in the background of training."""


@dataclass(frozen=True)
class TakeSnapshot(Command):
    """Take histograms and exact measures now."""


@dataclass(frozen=True)
class InspectTensor(Command):
    """Send the float values of one quantized tensor (:class:`qatviz.protocol.snapshots.TensorValues`), with a
    snapshot.
    """

    tensor: str

    def __post_init__(self):
        _check_text("InspectTensor: tensor", self.tensor)

    def describe(self) -> str:
        return "inspect " + self.tensor


@dataclass(frozen=True)
class SaveCheckpoint(Command):
    """Keep the present state under ``name`` (empty: named after the step)."""

    name: str = ""

    def __post_init__(self):
        _check_text("SaveCheckpoint: name", self.name)


@dataclass(frozen=True)
class RestoreCheckpoint(Command):
    """Set the run back to a checkpoint that is kept."""

    name: str

    def __post_init__(self):
        _check_text("RestoreCheckpoint: name", self.name)


@dataclass(frozen=True)
class Undo(Command):
    """Set the run, state and settings, back to before the last change of settings or restoration."""


@dataclass(frozen=True)
class Redo(Command):
    """Take the last undo back."""


@dataclass(frozen=True)
class SetSteps(Command):
    """Train until ``steps`` steps are done in all; None: until stopped."""

    steps: Any


@dataclass(frozen=True)
class Stop(Command):
    """End the run after the step in flight; everything is kept."""


def _check_text(what: str, value: Any) -> None:
    if not isinstance(value, str):
        raise SettingError(f"{what} is {value!r}: expected text")
