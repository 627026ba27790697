"""Texts of events, for window, report and terminal."""

from typing import Any, Callable, Dict, Sequence, Type

from qatviz.measures import MEASURES
from qatviz.metric import METRICS, MODE_NAMES
from qatviz.number_format import count
from qatviz.presentation.score_texts import lead_of
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, Command, InspectTensor, UnknownCommand
from qatviz.protocol.corrections import correction_text, kind_of
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RecordPart, RestoreReason, SaveKind, SaveReason
from qatviz.settings import setting_text, value_text

#: Maximum number of changes, or tensors, named in one text.
NAMED = 2
#: Text about tensors whose quantization delay has ended.
DELAY_ENDED = "quantization starts as the delay ends"


def sentence(event: events.Event, modes: Sequence[str] = ("float", "quantized")) -> str:
    """Return the text of an event on one line; that of an evaluation has the metric in ``modes``."""
    if isinstance(event, events.Evaluated):
        return _evaluated(event, modes)
    text = _SENTENCES.get(type(event))
    return text(event) if text is not None else event.kind


def change_words(change: events.Change) -> str:
    """Return the text of a change: ``conv1.weights.num_bits 8 → 4``."""
    return f"{change.setting} {value_text(change.setting, change.old)} → {value_text(change.setting, change.new)}"


def plain_change(change: events.Change) -> str:
    """Return the text of a change for terminals, as ``--set`` writes values: ``conv1.weights.num_bits 8 -> 4``."""
    return f"{change.setting} {setting_text(change.old)} -> {setting_text(change.new)}"


def changes_words(changes: Sequence[events.Change]) -> str:
    """Return the text of changes on one line; equal changes are merged: ``num_bits 8 → 4 of 9 tensors``."""
    if len(changes) <= NAMED:
        return ", ".join(map(change_words, changes))
    first = changes[0]
    name = first.setting.rpartition(".")[2]
    if len({(c.setting.rpartition(".")[2], repr(c.new)) for c in changes}) > 1:
        return f"{change_words(first)} and {len(changes) - 1} more"
    old = value_text(name, first.old) + " " if len({repr(c.old) for c in changes}) == 1 else ""
    return f"{name} {old}→ {value_text(name, first.new)} of {len(changes)} tensors"


def activated_words(tensors: Sequence[str]) -> str:
    """Return the text about tensors whose quantization delay has ended, on one line."""
    more = f" and {len(tensors) - NAMED} more" if len(tensors) > NAMED else ""
    return f"{DELAY_ENDED}: {', '.join(tensors[:NAMED])}{more}"


def command_text(command: Command) -> str:
    """Return the text of a command on one line: ``conv1.weights.num_bits=4``, ``preset int4``, ``Undo``."""
    if isinstance(command, ChangeSettings):
        return ", ".join(f"{path}={value}" for path, value in command.assignments)
    if isinstance(command, ApplyPreset):
        return "preset " + command.preset
    if isinstance(command, InspectTensor):
        return "inspect " + command.tensor
    if kind_of(command) is not None:
        return correction_text(command)
    return command.name if isinstance(command, UnknownCommand) else type(command).__name__


def save_text(reason: SaveReason) -> str:
    """Return the reason for saving a state: ``before conv1.weights.num_bits=4``, ``automatic``; empty if unknown."""
    if reason.kind is SaveKind.BEFORE_CHANGE and reason.command is not None:
        return "before " + command_text(reason.command)
    if reason.kind is SaveKind.FORK:
        return "fork of " + reason.note
    return reason.note if reason.kind is SaveKind.OTHER else str(reason.kind.value)


def restore_text(reason: RestoreReason) -> str:
    """Return the reason for restoring a state: ``undo``, ``restored``, ``non-finite values``."""
    return "non-finite values" if reason is RestoreReason.BAD_STEP else str(reason.value)


def non_finite_text(event: events.NonFinite) -> str:
    """Return the text of a NaN or infinity: ``the loss of step 12 is not finite``."""
    if event.what is NonFiniteValue.LOSS:
        return f"the loss of step {event.step + 1} is not finite"
    return "a weight, a slot of the optimizer or a range is not finite"


def record_failure_text(event: events.RecordFailed) -> str:
    """Return what a failure of the recording affects and what a user can do, in sentences."""
    return _RECORD_FAILURES[event.part].format(event.message)


def reason_text(event: events.Event) -> str:
    """Return the short reason of an event; empty if it has none."""
    if isinstance(event, events.NonFinite):
        return non_finite_text(event)
    if isinstance(event, events.Restored):
        return restore_text(event.reason)
    if isinstance(event, events.Paused):
        return "non-finite values" if event.reason is PauseReason.BAD_STEP else str(event.reason.value)
    if isinstance(event, events.CheckpointSaved):
        return save_text(event.reason)
    if isinstance(event, events.Corrected):
        return "; ".join(event.notes)
    return getattr(event, "message", "")


def _applied(event: events.CommandApplied) -> str:
    kind = kind_of(event.command)
    if kind is not None:
        return kind.done
    text = changes_words(event.changes)
    return f"{command_text(event.command)}: {text}" if isinstance(event.command, ApplyPreset) else text


def _paused(event: events.Paused) -> str:
    return "paused" if event.reason is PauseReason.REQUESTED else f"paused: {reason_text(event)}"


def _saved(event: events.CheckpointSaved) -> str:
    if event.reason.kind is SaveKind.AUTOMATIC:
        return f"automatic checkpoint saved: {event.name}"
    return f"checkpoint {event.name} saved ({save_text(event.reason)})"


def _evaluated(event: events.Evaluated, modes: Sequence[str]) -> str:
    metric = METRICS[event.metric]
    found = [f"{metric.text(event.scores[mode])} {MODE_NAMES[mode]}" for mode in modes if mode in event.scores]
    loss = "" if event.held_out_loss is None else f", loss {MEASURES['loss'].text(event.held_out_loss)}"
    return f"evaluated: {lead_of(event.metric, event.output)}{', '.join(found)}{loss}"


def _restored(event: events.Restored) -> str:
    verb = "rewound" if event.step <= event.from_step else "returned"
    reason = "" if event.reason is RestoreReason.CHECKPOINT else f" ({restore_text(event.reason)})"
    return f"{verb} from step {event.from_step:,} to {event.step:,}{reason}"


def _planned(event: events.Planned) -> str:
    text = "total steps: no limit" if event.steps is None else f"total steps: {event.steps:,}"
    text += f", with {count(len(event.schedule), 'change')} to come" if event.schedule else ""
    return text + (f"; on {event.division.text}" if event.division is not None and event.division.text else "")


def _stopped_early(event: events.StoppedEarly) -> str:
    waited = count(event.waited, "evaluation")
    return f"training ends early: {waited} without a better result than that of step {event.best_step:,}"


_RECORDING = {
    RecordPart.RECORD: "recording stopped: ",
    RecordPart.CHECKPOINT: "checkpoint failed: ",
    RecordPart.TELEMETRY: "telemetry failed: ",
}
_RECORD_FAILURES = {
    RecordPart.RECORD: "The run is no longer recorded: {}. Training is not affected; checkpoints and exports are still "
    "written if possible. To record again, remove the cause, stop the run and resume it: it continues from its newest "
    "checkpoint.",
    RecordPart.CHECKPOINT: "A checkpoint failed: {}. Training continues; later checkpoints are saved if possible.",
    RecordPart.TELEMETRY: "Some data are missing in curves, and perhaps in the record: {}. Training continues.",
}
_SENTENCES: Dict[Type[events.Event], Callable[[Any], str]] = {
    events.Started: lambda e: f"training started on {e.device} ({e.seconds:.1f} s to build)",
    events.CommandApplied: _applied,
    events.Corrected: reason_text,
    events.CommandRejected: lambda e: f"not applied: {e.message}",
    events.SettingsActivated: lambda e: activated_words(e.tensors),
    events.Paused: _paused,
    events.Resumed: lambda e: "resumed",
    events.CheckpointSaved: _saved,
    events.Restored: _restored,
    events.Planned: _planned,
    events.StoppedEarly: _stopped_early,
    events.NonFinite: lambda e: f"{non_finite_text(e)}; rewound to step {e.restored_step:,}",
    events.WorkersLost: lambda e: "workers lost: " + e.message,
    events.WorkersBack: lambda e: f"continues on {', '.join(e.workers)}",
    events.RecordFailed: lambda e: _RECORDING[e.part] + e.message,
    events.Finished: lambda e: "finished: all steps are done",
    events.Stopped: lambda e: "stopped",
    events.Failed: lambda e: f"training failed: {e.message}",
}
