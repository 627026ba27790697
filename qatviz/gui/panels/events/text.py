"""Selection, symbols and texts of the events in the list."""

from typing import NamedTuple, Optional

from qatviz.metric import METRICS, MODE_NAMES
from qatviz.presentation.event_texts import NAMED, change_words, sentence
from qatviz.protocol import events
from qatviz.protocol.reasons import SaveKind

#: Filters of the list.
ALL, CHANGES, EVALUATIONS = "all", "changes", "evaluations"
_CHANGES = (events.CommandApplied, events.CommandRejected, events.SettingsActivated, events.Restored, events.NonFinite)
#: Events that every filter shows.
_GRAVE = (events.Failed, events.NonFinite, events.RecordFailed)
#: Maximum number of changes or tensors in a tooltip.
_IN_TOOLTIP = 20
#: Ways of evaluation, in the order of the details.
_MODES = ("float", "quantized", "weights_only", "activations_only")


class Mark(NamedTuple):
    """Symbol and the name of its colour in the theme."""

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


def as_change(event: Optional[events.Event]) -> Optional[events.CommandApplied]:
    """Return the event if it is a change of settings, which a rewind is not; else None."""
    if isinstance(event, events.CommandApplied) and event.changes and event.checkpoint:
        return event
    return None


def is_listed(event: events.Event, narrowed_to: str = ALL) -> bool:
    """Return whether the list shows an event.

    Commands without effect, commands whose effect is an event of its own, and the checkpoints before each change are
    not listed.
    """
    if isinstance(event, events.CommandApplied) and as_change(event) is None:
        return False
    if isinstance(event, events.CheckpointSaved) and event.reason.kind is SaveKind.BEFORE_CHANGE:
        return False
    if narrowed_to == CHANGES:
        return isinstance(event, _CHANGES + _GRAVE)
    return narrowed_to == ALL or isinstance(event, (events.Evaluated, *_GRAVE))


def is_grave(event: events.Event) -> bool:
    """Return whether an event is an error that the user must not miss."""
    return isinstance(event, _GRAVE)


def mark_of(event: events.Event) -> Mark:
    """Return symbol and colour of an event."""
    return _MARKS.get(type(event), Mark("·", "muted"))


def details(event: events.Event) -> str:
    """Return the lines that an event's row has no room for; empty if there are none."""
    changes = getattr(event, "changes", ())
    if len(changes) > NAMED or (isinstance(event, events.Restored) and changes):
        return "\n".join(map(change_words, changes))
    if isinstance(event, events.SettingsActivated) and len(event.tensors) > NAMED:
        return "\n".join(event.tensors)
    if isinstance(event, events.Failed):
        return event.traceback
    if isinstance(event, events.Evaluated):
        metric = METRICS[event.metric]
        lines = [f"{MODE_NAMES[mode]}: {metric.text(event.scores[mode], 2)}" for mode in _MODES if mode in event.scores]
        return "\n".join([*lines, f"on {event.num_examples:,} examples, in {event.seconds:.1f} s"])
    return ""


def tooltip(event: events.Event, survives: bool) -> str:
    """Return the sentence and the first of the details."""
    lines = details(event).splitlines() if not isinstance(event, events.Failed) else []
    shown = lines[:_IN_TOOLTIP] + ([f"and {len(lines) - _IN_TOOLTIP} more"] if len(lines) > _IN_TOOLTIP else [])
    left = [] if survives else ["The run was set back to before this: it is not part of what led here."]
    return "\n".join([sentence(event), *shown, *left])
