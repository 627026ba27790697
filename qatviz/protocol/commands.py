"""Commands to a run: immutable requests, executed between two training steps in the order in which they were sent.

Every command that is sent, or scheduled, gets an id, which the reply carries. An id is unique among the commands of a
run, also across resumptions.
"""

import uuid
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union, cast

from qatviz.errors import SettingError
from qatviz.protocol import values


@dataclass(frozen=True)
class Command:
    """Base of all commands."""

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form: the fields plus ``kind``."""
        return dict(asdict(self), kind=type(self).__name__)


@dataclass(frozen=True)
class ChangeSettings(Command):
    """Change several settings at once, all or none.

    ``assignments`` are ``((path, value), ...)``; see :mod:`.settings_book` for paths.
    ``continues`` marks a further change of the same drag as the one before: both are undone together.
    """

    assignments: Tuple[Tuple[str, Any], ...]
    continues: bool = field(default=False, metadata={"is_optional": True})

    def __post_init__(self) -> None:
        object.__setattr__(self, "assignments", _pairs("ChangeSettings: assignments", self.assignments))
        _check_flag("ChangeSettings: continues", self.continues)

    def to_dict(self) -> Dict[str, Any]:
        row: Dict[str, Any] = {"assignments": [list(pair) for pair in self.assignments], "kind": type(self).__name__}
        return dict(row, continues=True) if self.continues else row


@dataclass(frozen=True)
class ApplyPreset(Command):
    """Apply a preset to all quantizers."""

    preset: str

    def __post_init__(self) -> None:
        _check_text("ApplyPreset: preset", self.preset)


@dataclass(frozen=True)
class Pause(Command):
    """Pause after the current training step."""


@dataclass(frozen=True)
class Resume(Command):
    """Resume after a pause."""


@dataclass(frozen=True)
class SingleStep(Command):
    """Run ``count`` training steps, then pause."""

    count: int = 1


@dataclass(frozen=True)
class Evaluate(Command):
    """Compute the metric on held-out data, while training continues."""


@dataclass(frozen=True)
class EvaluateSettings(Command):
    """Compute the metric of the present state with other settings, which do not take effect, while training continues.

    ``assignments`` are those of :class:`ChangeSettings`. The result is an :class:`.events.SettingsEvaluated`.
    """

    assignments: Tuple[Tuple[str, Any], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "assignments", _pairs("EvaluateSettings: assignments", self.assignments))


@dataclass(frozen=True)
class TakeSnapshot(Command):
    """Take a snapshot now: histograms and exact measures."""


@dataclass(frozen=True)
class InspectTensor(Command):
    """Send the float values of one quantized tensor (:class:`.snapshots.TensorValues`) with a snapshot."""

    tensor: str

    def __post_init__(self) -> None:
        _check_text("InspectTensor: tensor", self.tensor)


@dataclass(frozen=True)
class WatchSensitivity(Command):
    """Estimate the sensitivity of all tensors again and again while training continues, or (``on`` False) no longer.

    The results are :class:`qatviz.analysis.sensitivity.Sensitivity`.
    """

    on: bool = True

    def __post_init__(self) -> None:
        _check_flag("WatchSensitivity: on", self.on)


@dataclass(frozen=True)
class MeasureSensitivity(Command):
    """Measure what the quantization of each tensor costs, while training continues, or (``on`` False) cancel it.

    The result is a :class:`qatviz.analysis.sensitivity.MeasuredSensitivity`.
    """

    on: bool = True

    def __post_init__(self) -> None:
        _check_flag("MeasureSensitivity: on", self.on)


@dataclass(frozen=True)
class WatchDrift(Command):
    """Compute the errors of all layers again and again while training continues, or (``on`` False) no longer.

    The results are :class:`qatviz.analysis.drift.Drift` and, for ``layer`` if it has quantizers, its output for the
    held-out example ``shown_example`` as :class:`qatviz.analysis.drift.FeatureMaps`. ``example`` is the index of the
    only held-out example of which the errors are; None for the first ``examples``.
    """

    on: bool = True
    example: Optional[int] = None
    examples: int = 256
    layer: str = ""
    shown_example: int = 0

    def __post_init__(self) -> None:
        _check_flag("WatchDrift: on", self.on)
        _check_text("WatchDrift: layer", self.layer)
        _check_count("WatchDrift: examples", self.examples, 1)
        _check_count("WatchDrift: shown_example", self.shown_example, 0)
        if self.example is not None:
            _check_count("WatchDrift: example", self.example, 0)


@dataclass(frozen=True)
class WatchChannels(Command):
    """Measure the channels of all weights again and again while training continues, or (``on`` False) no longer.

    The results are :class:`qatviz.analysis.channels.ChannelsOverview`.
    """

    on: bool = True

    def __post_init__(self) -> None:
        _check_flag("WatchChannels: on", self.on)


@dataclass(frozen=True)
class WatchPredictions(Command):
    """Predict held-out examples in float and quantized, now and after evaluations, or (``on`` False) no longer.

    The results are :class:`qatviz.analysis.predictions.Predictions`.
    """

    on: bool = True

    def __post_init__(self) -> None:
        _check_flag("WatchPredictions: on", self.on)


@dataclass(frozen=True)
class Predict(Command):
    """Predict held-out examples in float and quantized once, while training continues."""


@dataclass(frozen=True)
class ReestimateBatchNorm(Command):
    """Estimate the moving statistics of all batch norms anew under the present quantization.

    They become those of the last ``batches`` training batches. Training waits meanwhile, as for all corrections; see
    :mod:`qatviz.training.corrections`.
    """

    batches: int = field(default=50, metadata={"is_optional": True})

    def __post_init__(self) -> None:
        _check_count("ReestimateBatchNorm: batches", self.batches, 1)


@dataclass(frozen=True)
class EqualizeLayers(Command):
    """Equalize the ranges of the channels between consecutive layers, without changing the network in float.

    ``layers`` are the names of layers whose output channels are scaled; empty: all for which it is possible.
    """

    layers: Tuple[str, ...] = field(default=(), metadata={"is_optional": True})

    def __post_init__(self) -> None:
        if isinstance(self.layers, str) or not all(isinstance(name, str) for name in self.layers):
            raise SettingError(f"EqualizeLayers: layers is {self.layers!r}: expected names of layers")
        object.__setattr__(self, "layers", tuple(self.layers))


@dataclass(frozen=True)
class CorrectBias(Command):
    """Subtract from each layer's bias the mean error of its output that quantization causes.

    The means are over the last ``batches`` training batches.
    """

    batches: int = field(default=8, metadata={"is_optional": True})

    def __post_init__(self) -> None:
        _check_count("CorrectBias: batches", self.batches, 1)


@dataclass(frozen=True)
class AdaRound(Command):
    """Learn whether each weight is rounded up or down, layer by layer, and continue from the rounded weights.

    Each layer is optimized in ``iterations`` steps to reproduce its float outputs for the last ``batches`` training
    batches.
    """

    batches: int = field(default=8, metadata={"is_optional": True})
    iterations: int = field(default=1000, metadata={"is_optional": True})

    def __post_init__(self) -> None:
        _check_count("AdaRound: batches", self.batches, 1)
        _check_count("AdaRound: iterations", self.iterations, 1)


@dataclass(frozen=True)
class CancelCorrection(Command):
    """Cancel the correction in progress, which then has no effect."""


@dataclass(frozen=True)
class SaveCheckpoint(Command):
    """Save a checkpoint of the current state under ``name`` (empty: named after the step)."""

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
    """Rewind the run, state and settings, to before the last change of settings or restored checkpoint."""


@dataclass(frozen=True)
class Redo(Command):
    """Set the run to the state before the last undo."""


@dataclass(frozen=True)
class SetSteps(Command):
    """Set the total number of training steps; None: no limit."""

    steps: Any


@dataclass(frozen=True)
class ContinueWithout(Command):
    """Continue a run on the remaining workers, without those that it has lost."""


@dataclass(frozen=True)
class Stop(Command):
    """End the run after the current training step; everything is saved."""


@dataclass(frozen=True)
class UnknownCommand(Command):
    """A command of another version of the program, known by name only; it can be displayed, but not executed."""

    name: str


#: Commands that do not change a run: any of its viewers may send them.
HARMLESS = (TakeSnapshot, InspectTensor)
#: Commands that change settings, and commands that correct the network; both can be scheduled.
SettingsCommand = Union[ChangeSettings, ApplyPreset]
CorrectionCommand = Union[ReestimateBatchNorm, EqualizeLayers, CorrectBias, AdaRound]
#: Classes of the commands that correct the network.
CORRECTIONS = (ReestimateBatchNorm, EqualizeLayers, CorrectBias, AdaRound)
#: Classes of commands by the names that their JSON-able forms have.
COMMAND_KINDS = {cls.__name__: cls for cls in Command.__subclasses__()}


def command_from(row: Dict[str, Any]) -> Command:
    """Return the command serialized by :meth:`Command.to_dict`; an :class:`UnknownCommand` if its kind is unknown.

    Raises
    ------
    KeyError, TypeError, SettingError
        If a field is missing or invalid.
    """
    kind = COMMAND_KINDS.get(row["kind"])
    if kind is None:
        return UnknownCommand(str(row["kind"]))
    names = [f.name for f in fields(kind) if f.name in row or not f.metadata.get("is_optional")]
    return kind(**{name: row[name] for name in names})


def correction_from(row: Dict[str, Any]) -> CorrectionCommand:
    """Return the correction serialized by :meth:`Command.to_dict`.

    Raises
    ------
    TypeError, SettingError
        If it is invalid, or no correction.
    """
    if row.get("kind") not in [kind.__name__ for kind in CORRECTIONS]:
        raise TypeError(f"the scheduled command is {row!r}: expected a correction")
    return cast(CorrectionCommand, command_from(row))


class ScheduledCommand(NamedTuple):
    """A change of settings, or a correction, before the step numbered ``step`` (counting from 0)."""

    step: int
    command: Union[SettingsCommand, CorrectionCommand]
    id: str = ""

    def to_row(self) -> List[Any]:
        """Return a JSON-able form: ``[step, change, id]``.

        The change is ``[[path, value], ...]``, the name of a preset, or the JSON-able form of a correction.
        """
        command = self.command
        change: Any
        if isinstance(command, ChangeSettings):
            change = list(map(list, command.assignments))
        else:
            change = command.preset if isinstance(command, ApplyPreset) else command.to_dict()
        return [self.step, change, self.id]

    @classmethod
    def from_row(cls, row: List[Any]) -> "ScheduledCommand":
        """Return the scheduled command serialized by :meth:`to_row`; rows of version 0.1 have no id.

        Raises
        ------
        ValueError, TypeError, SettingError
            If the row is invalid.
        """
        step, change, *rest = row
        step = values.step(step, "step of a scheduled change")
        command: Union[SettingsCommand, CorrectionCommand]
        if isinstance(change, str):
            command = ApplyPreset(change)
        elif isinstance(change, dict):
            command = correction_from(change)
        else:
            command = ChangeSettings(tuple((path, value) for path, value in change))
        return cls(step, command, str(rest[0]) if rest else "")


Schedule = Tuple[ScheduledCommand, ...]


def schedule_rows(schedule: Schedule) -> List[List[Any]]:
    """Return a JSON-able form of a schedule: one row per command, see :meth:`ScheduledCommand.to_row`."""
    return [item.to_row() for item in schedule]


def schedule_from(rows: Iterable[List[Any]]) -> Schedule:
    """Return the schedule serialized by :func:`schedule_rows`.

    Raises
    ------
    ValueError, TypeError, SettingError
        If a row is invalid.
    """
    return tuple(ScheduledCommand.from_row(row) for row in rows)


def with_ids(schedule: Iterable[Tuple[Any, ...]]) -> Schedule:
    """Return a schedule with an id for each command, from scheduled commands or ``(step, command)`` pairs."""
    scheduled = [ScheduledCommand(*item) for item in schedule]
    return tuple(item if item.id else item._replace(id=new_id()) for item in scheduled)


def new_id() -> str:
    """Return a unique command id."""
    return uuid.uuid4().hex[:12]


def _pairs(field: str, pairs: Any) -> Tuple[Tuple[str, Any], ...]:
    if not isinstance(pairs, (tuple, list)) or not all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        raise SettingError(f"{field} is {pairs!r}: expected pairs of a path and a value")
    return tuple((path, value) for path, value in pairs)


def _check_text(field: str, value: Any) -> None:
    if not isinstance(value, str):
        raise SettingError(f"{field} is {value!r}: expected text")


def _check_count(field: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{field} is {value!r}: expected a whole number of at least {least}")


def _check_flag(field: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise SettingError(f"{field} is {value!r}: expected true or false")
