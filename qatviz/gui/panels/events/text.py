"""Which events of a run the list shows, and all that there is to say about one."""

from typing import NamedTuple

from qatviz.metric import METRICS, WAY_NAMES
from qatviz.presentation.event_texts import NAMED, change_words, sentence
from qatviz.protocol import events
from qatviz.protocol.reasons import SaveKind

#: What the list can be narrowed to.
ALL, CHANGES, EVALUATIONS = "all", "changes", "evaluations"
_CHANGES = (events.CommandApplied, events.CommandRejected, events.SettingsActivated, events.Restored, events.NonFinite)
#: Shown whatever the list is narrowed to.
_GRAVE = (events.Failed, events.NonFinite, events.RecordFailed)
#: Changes, tensors that are named in a tooltip.
_IN_TOOLTIP = 20
#: In the order in which details name the evaluations.
_WAYS = ("float", "quantized", "weights_only", "activations_only")


class Mark(NamedTuple):
    """A symbol and the name of its colour in the theme."""

    symbol: str
    color: str


_MARKS = {
    events.Started: Mark("▶", "muted"),
    events.Paused: Mark("‖", "muted"),
    events.Resumed: Mark("▶", "muted"),
    events.CommandApplied: Mark("◆", "accent"),
    events.CommandRejected: Mark("⊘", "warning"),
    events.SettingsActivated: Mark("◇", "accent"),
    events.Evaluated: Mark("●", "good"),
    events.CheckpointSaved: Mark("▪", "muted"),
    events.Restored: Mark("↩", "warning"),
    events.Planned: Mark("▸", "muted"),
    events.NonFinite: Mark("▲", "bad"),
    events.RecordFailed: Mark("▲", "bad"),
    events.Finished: Mark("■", "good"),
    events.Stopped: Mark("■", "muted"),
    events.Failed: Mark("✖", "bad"),
}


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
    if isinstance(event, events.CheckpointSaved) and event.reason.kind is SaveKind.BEFORE_CHANGE:
        return False
    if narrowed_to == CHANGES:
        return isinstance(event, _CHANGES + _GRAVE)
    return narrowed_to == ALL or isinstance(event, (events.Evaluated, *_GRAVE))


def is_grave(event: events.Event) -> bool:
    """Whether something went wrong that the user must not miss."""
    return isinstance(event, _GRAVE)


def mark_of(event: events.Event) -> Mark:
    """Symbol and colour by kind."""
    return _MARKS.get(type(event), Mark("·", "muted"))


def details(event: events.Event) -> str:
    """What one line has no room for, line by line; empty where there is no more."""
    changes = getattr(event, "changes", ())
    if len(changes) > NAMED or (isinstance(event, events.Restored) and changes):
        return "\n".join(map(change_words, changes))
    if isinstance(event, events.SettingsActivated) and len(event.tensors) > NAMED:
        return "\n".join(event.tensors)
    if isinstance(event, events.Failed):
        return event.traceback
    if isinstance(event, events.Evaluated):
        metric = METRICS[event.metric]
        lines = [f"{WAY_NAMES[way]}: {metric.text(event.scores[way], 2)}" for way in _WAYS if way in event.scores]
        return "\n".join([*lines, f"on {event.num_examples:,} examples, in {event.seconds:.1f} s"])
    return ""


def tooltip(event: events.Event, survives: bool) -> str:
    """The sentence and the first of the details."""
    lines = details(event).splitlines() if not isinstance(event, events.Failed) else []
    shown = lines[:_IN_TOOLTIP] + ([f"and {len(lines) - _IN_TOOLTIP} more"] if len(lines) > _IN_TOOLTIP else [])
    left = [] if survives else ["The run was set back to before this: it is not part of what led here."]
    return "\n".join([sentence(event), *shown, *left])
