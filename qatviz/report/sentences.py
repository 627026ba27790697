"""What happened to a run, in plain sentences."""

from typing import Sequence

from qatviz.report.words import count, setting
from qatviz.telemetry import events

#: Changes, and tensors, that are named in one sentence.
_NAMED = 2


def is_told(event: events.Event) -> bool:
    """Whether an event is worth a line.

    Evaluations have a table of their own; answers to commands that changed nothing, and checkpoints that are kept
    before each change, say nothing.
    """
    if isinstance(event, events.CommandApplied):
        return bool(event.changes)
    if isinstance(event, events.CheckpointSaved):
        return not event.reason.startswith("before")
    return not isinstance(event, events.Evaluated)


def change(changed: events.Change) -> str:
    """``conv1.weights.num_bits 8 → 4``"""
    return "{} {} → {}".format(changed.setting, setting(changed.old), setting(changed.new))


def changes(changed: Sequence[events.Change]) -> str:
    """Some changes in a line; alike changes of many tensors are one: ``num_bits 8 → 4 of 9 tensors``."""
    if len(changed) <= _NAMED:
        return ", ".join(map(change, changed))
    first = changed[0]
    name = first.setting.rpartition(".")[2]
    if len({(c.setting.rpartition(".")[2], repr(c.new)) for c in changed}) > 1:
        return "{} and {} more".format(change(first), len(changed) - 1)
    old = setting(first.old) + " " if len({repr(c.old) for c in changed}) == 1 else ""
    return "{} {}→ {} of {} tensors".format(name, old, setting(first.new), len(changed))


def sentence(event: events.Event) -> str:
    """An event in one line."""
    told = _SENTENCES.get(type(event))
    return told(event) if told is not None else event.kind


def _applied(event: events.CommandApplied) -> str:
    text = changes(event.changes)
    return "{}: {}".format(event.command, text) if event.command.startswith("preset ") else text


def _restored(event: events.Restored) -> str:
    direction = "back" if event.step <= event.from_step else "forward"
    reason = "" if event.reason == "restored" else " ({})".format(event.reason)
    return "the run was set {} from step {:,} to {:,}{}".format(direction, event.from_step, event.step, reason)


def activated(tensors: Sequence[str]) -> str:
    """Tensors whose delay is over, in a line."""
    more = " and {} more".format(len(tensors) - _NAMED) if len(tensors) > _NAMED else ""
    return "quantized from here on, as their delay is over: " + ", ".join(tensors[:_NAMED]) + more


def _planned(event: events.Planned) -> str:
    text = "to go on until stopped" if event.steps is None else "to go on to step {:,}".format(event.steps)
    return text + (", with {} to come".format(count(len(event.schedule), "change")) if event.schedule else "")


_SENTENCES = {
    events.Started: lambda e: "training began on {} ({:.1f} s to build)".format(e.device, e.seconds),
    events.CommandApplied: _applied,
    events.CommandRejected: lambda e: "not applied: {}".format(e.message),
    events.SettingsActivated: lambda e: activated(e.tensors),
    events.Paused: lambda e: "paused" + ("" if e.reason.startswith("asked") else ": " + e.reason),
    events.Resumed: lambda e: "went on",
    events.CheckpointSaved: lambda e: "kept checkpoint {} ({})".format(e.name, e.reason),
    events.Restored: _restored,
    events.Planned: _planned,
    events.NonFinite: lambda e: "{}; set back to step {:,} and paused".format(e.what, e.restored_step),
    events.RecordFailed: lambda e: "not recorded any more: {}".format(e.message),
    events.Finished: lambda e: "finished: all steps are done",
    events.Stopped: lambda e: "stopped",
    events.Failed: lambda e: "training failed: {}".format(e.message)}
