"""What happened to a run, in plain sentences."""

from typing import List, NamedTuple

from qatviz.gui.edits import show
from qatviz.metric import METRICS
from qatviz.telemetry import events

#: What the list can be narrowed to.
ALL, CHANGES, EVALUATIONS = "all", "changes", "evaluations"
_CHANGES = (events.CommandApplied, events.CommandRejected, events.SettingsActivated, events.Restored, events.NonFinite)
#: Shown whatever the list is narrowed to.
_GRAVE = (events.Failed, events.NonFinite, events.RecordFailed)
#: Changes, tensors that are named in one line, and in a tooltip.
_IN_LINE, _IN_TOOLTIP = 2, 20


class Mark(NamedTuple):
    """A symbol and the name of its colour in the theme."""

    symbol: str
    color: str


_MARKS = {
    events.Started: Mark("▶", "muted"), events.Paused: Mark("‖", "muted"), events.Resumed: Mark("▶", "muted"),
    events.CommandApplied: Mark("◆", "accent"), events.CommandRejected: Mark("⊘", "warning"),
    events.SettingsActivated: Mark("◇", "accent"), events.Evaluated: Mark("●", "good"),
    events.CheckpointSaved: Mark("▪", "muted"), events.Restored: Mark("↩", "warning"),
    events.Planned: Mark("▸", "muted"),
    events.NonFinite: Mark("▲", "bad"), events.RecordFailed: Mark("▲", "bad"), events.Finished: Mark("■", "good"),
    events.Stopped: Mark("■", "muted"), events.Failed: Mark("✖", "bad")}
_WAYS = (("float", "float"), ("quantized", "quantized"), ("weights_only", "only weights quantized"),
         ("activations_only", "only activations quantized"))


def is_change(event: events.Event) -> bool:
    """Whether settings were changed; going back, which also brings other settings, is not that."""
    return isinstance(event, events.CommandApplied) and bool(event.changes) and bool(event.checkpoint)


def is_listed(event: events.Event, narrowed_to: str = ALL) -> bool:
    """Whether an event is worth a line.

    Answers to commands that changed nothing, or whose effect is an event of its own, are not; nor are the checkpoints
    that are kept before each change.
    """
    if isinstance(event, events.CommandApplied) and not is_change(event):
        return False
    if isinstance(event, events.CheckpointSaved) and event.reason.startswith("before"):
        return False
    if narrowed_to == CHANGES:
        return isinstance(event, _CHANGES + _GRAVE)
    return narrowed_to == ALL or isinstance(event, (events.Evaluated,) + _GRAVE)


def is_grave(event: events.Event) -> bool:
    """Whether something went wrong that the user must not miss."""
    return isinstance(event, _GRAVE)


def mark_of(event: events.Event) -> Mark:
    """Symbol and colour by kind."""
    return _MARKS.get(type(event), Mark("·", "muted"))


def sentence(event: events.Event) -> str:
    """An event in one line."""
    told = _SENTENCES.get(type(event))
    return told(event) if told is not None else event.kind


def details(event: events.Event) -> str:
    """What one line has no room for, line by line; empty where there is no more."""
    changes = getattr(event, "changes", ())
    if len(changes) > _IN_LINE or isinstance(event, events.Restored) and changes:
        return "\n".join(map(_change, changes))
    if isinstance(event, events.SettingsActivated) and len(event.tensors) > _IN_LINE:
        return "\n".join(event.tensors)
    if isinstance(event, events.Failed):
        return event.traceback
    if isinstance(event, events.Evaluated):
        metric = METRICS[event.metric]
        lines = ["{}: {}".format(name, metric.text(event.scores[key], 2)) for key, name in _WAYS if key in event.scores]
        return "\n".join(lines + ["on {:,} examples, in {:.1f} s".format(event.num_examples, event.seconds)])
    return ""


def tooltip(event: events.Event, survives: bool) -> str:
    """The sentence and the first of the details."""
    lines = details(event).splitlines() if not isinstance(event, events.Failed) else []
    shown = lines[:_IN_TOOLTIP] + (["and {} more".format(len(lines) - _IN_TOOLTIP)] if len(lines) > _IN_TOOLTIP else [])
    left = [] if survives else ["The run was set back to before this: it is not part of what led here."]
    return "\n".join([sentence(event)] + shown + left)


def _change(change: events.Change) -> str:
    return "{} {} → {}".format(change.setting, show(change.old), show(change.new))


def _changes(event: events.CommandApplied) -> str:
    """Alike changes of many tensors are one: ``num_bits 8 → 4 for 9 tensors``."""
    changes = event.changes
    if len(changes) <= _IN_LINE:
        text = ", ".join(map(_change, changes))
    else:
        name, first = changes[0].setting.rpartition(".")[2], changes[0]
        if len({(c.setting.rpartition(".")[2], repr(c.new)) for c in changes}) == 1:
            old = show(first.old) + " " if len({repr(c.old) for c in changes}) == 1 else ""
            text = "{} {}→ {} of {} tensors".format(name, old, show(first.new), len(changes))
        else:
            text = "{} and {} more".format(_change(first), len(changes) - 1)
    return "{}: {}".format(event.command, text) if event.command.startswith("preset ") else text


def _evaluated(event: events.Evaluated) -> str:
    metric = METRICS[event.metric]
    found = ["{} {}".format(metric.text(event.scores[key]), name) for key, name in _WAYS[:2] if key in event.scores]
    return "evaluated: {}{}".format("" if metric.unit else metric.title + " ", ", ".join(found))


def _restored(event: events.Restored) -> str:
    direction = "back" if event.step <= event.from_step else "forward"
    reason = "" if event.reason == "restored" else " ({})".format(event.reason)
    return "the run was set {} from step {:,} to {:,}{}".format(direction, event.from_step, event.step, reason)


def _activated(event: events.SettingsActivated) -> str:
    names = list(event.tensors)  # type: List[str]
    told = ", ".join(names[:_IN_LINE]) + (" and {} more".format(len(names) - _IN_LINE) if len(names) > _IN_LINE else "")
    return "quantized from here on, as their delay is over: " + told


def _planned(event: events.Planned) -> str:
    return "to go on until stopped" if event.steps is None else "to go on to step {:,}".format(event.steps)


_SENTENCES = {
    events.Started: lambda e: "training began on {} ({:.1f} s to build)".format(e.device, e.seconds),
    events.CommandApplied: _changes,
    events.CommandRejected: lambda e: "not applied: {}".format(e.message),
    events.SettingsActivated: _activated,
    events.Paused: lambda e: "paused" + ("" if e.reason.startswith("asked") else ": " + e.reason),
    events.Resumed: lambda e: "went on",
    events.Evaluated: _evaluated,
    events.CheckpointSaved: lambda e: "kept checkpoint {} ({})".format(e.name, e.reason),
    events.Restored: _restored,
    events.Planned: _planned,
    events.NonFinite: lambda e: "{}; set back to step {:,} and paused".format(e.what, e.restored_step),
    events.RecordFailed: lambda e: "not recorded any more: {}".format(e.message),
    events.Finished: lambda e: "finished: all steps are done",
    events.Stopped: lambda e: "stopped",
    events.Failed: lambda e: "training failed: {}".format(e.message)}
