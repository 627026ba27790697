"""What happened to a run, in plain sentences; the window and the report tell it in the same words."""

from typing import Sequence

from qatviz.metric import METRICS, WAY_NAMES
from qatviz.number_format import count
from qatviz.protocol import events
from qatviz.settings import value_text

#: Changes, and tensors, that are named in one sentence.
NAMED = 2


def sentence(event: events.Event) -> str:
    """An event in one line."""
    told = _SENTENCES.get(type(event))
    return told(event) if told is not None else event.kind


def change_words(change: events.Change) -> str:
    """``conv1.weights.num_bits 8 → 4``"""
    return f"{change.setting} {value_text(change.setting, change.old)} → {value_text(change.setting, change.new)}"


def changes_words(changes: Sequence[events.Change]) -> str:
    """Some changes in a line; alike changes of many tensors are one: ``num_bits 8 → 4 of 9 tensors``."""
    if len(changes) <= NAMED:
        return ", ".join(map(change_words, changes))
    first = changes[0]
    name = first.setting.rpartition(".")[2]
    if len({(c.setting.rpartition(".")[2], repr(c.new)) for c in changes}) > 1:
        return f"{change_words(first)} and {len(changes) - 1} more"
    old = value_text(name, first.old) + " " if len({repr(c.old) for c in changes}) == 1 else ""
    return f"{name} {old}→ {value_text(name, first.new)} of {len(changes)} tensors"


def activated_words(tensors: Sequence[str]) -> str:
    """Tensors whose delay is over, in a line."""
    more = f" and {len(tensors) - NAMED} more" if len(tensors) > NAMED else ""
    return "quantized from here on, as their delay is over: " + ", ".join(tensors[:NAMED]) + more


def _applied(event: events.CommandApplied) -> str:
    text = changes_words(event.changes)
    return f"{event.command}: {text}" if event.command.startswith("preset ") else text


def _evaluated(event: events.Evaluated) -> str:
    metric = METRICS[event.metric]
    found = [
        f"{metric.text(event.scores[way])} {WAY_NAMES[way]}" for way in ("float", "quantized") if way in event.scores
    ]
    return f"evaluated: {'' if metric.unit else metric.title + ' '}{', '.join(found)}"


def _restored(event: events.Restored) -> str:
    direction = "back" if event.step <= event.from_step else "forward"
    reason = "" if event.reason == "restored" else f" ({event.reason})"
    return f"the run was set {direction} from step {event.from_step:,} to {event.step:,}{reason}"


def _planned(event: events.Planned) -> str:
    text = "to go on until stopped" if event.steps is None else f"to go on to step {event.steps:,}"
    return text + (f", with {count(len(event.schedule), 'change')} to come" if event.schedule else "")


_SENTENCES = {
    events.Started: lambda e: f"training began on {e.device} ({e.seconds:.1f} s to build)",
    events.CommandApplied: _applied,
    events.CommandRejected: lambda e: f"not applied: {e.message}",
    events.SettingsActivated: lambda e: activated_words(e.tensors),
    events.Paused: lambda e: "paused" + ("" if e.reason.startswith("asked") else ": " + e.reason),
    events.Resumed: lambda e: "went on",
    events.Evaluated: _evaluated,
    events.CheckpointSaved: lambda e: f"kept checkpoint {e.name} ({e.reason})",
    events.Restored: _restored,
    events.Planned: _planned,
    events.NonFinite: lambda e: f"{e.what}; set back to step {e.restored_step:,} and paused",
    events.RecordFailed: lambda e: f"not recorded any more: {e.message}",
    events.Finished: lambda e: "finished: all steps are done",
    events.Stopped: lambda e: "stopped",
    events.Failed: lambda e: f"training failed: {e.message}",
}
