"""Filters, symbols and texts of the listed events."""

from typing import NamedTuple, Optional

from qatviz.metric import METRICS, MODE_NAMES
from qatviz.presentation.event_texts import NAMED, change_words, record_failure_text, sentence
from qatviz.presentation.score_texts import evaluation_lines
from qatviz.protocol import events
from qatviz.protocol.reasons import SaveKind

#: Filters of the list.
ALL, CHANGES, EVALUATIONS = "all", "changes", "evaluations"
_CHANGES = (
    events.CommandApplied,
    events.Corrected,
    events.CommandRejected,
    events.SettingsActivated,
    events.Restored,
    events.NonFinite,
)
#: Events that every filter shows.
_ERRORS = (events.Failed, events.NonFinite, events.WorkersLost, events.RecordFailed)
#: Maximum number of changes or tensors in a tooltip.
_IN_TOOLTIP = 20
#: Modes of evaluation, in the order of the details.
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
    events.Corrected: Mark("◈", "accent"),
    events.CommandRejected: Mark("⊘", "warning"),
    events.SettingsActivated: Mark("◇", "accent"),
    events.Evaluated: Mark("●", "good"),
    events.CheckpointSaved: Mark("▪", "muted"),
    events.Restored: Mark("↩", "warning"),
    events.Planned: Mark("▸", "muted"),
    events.StoppedEarly: Mark("▸", "good"),
    events.NonFinite: Mark("▲", "bad"),
    events.WorkersLost: Mark("▲", "bad"),
    events.WorkersBack: Mark("▶", "good"),
    events.RecordFailed: Mark("▲", "bad"),
    events.Finished: Mark("■", "good"),
    events.Stopped: Mark("■", "muted"),
    events.Failed: Mark("✖", "bad"),
}


def as_change(event: Optional[events.Event]) -> Optional[events.CommandApplied]:
    """Return the event if it is a change of settings or a correction, which a rewind is not; else None."""
    if isinstance(event, events.CommandApplied) and event.has_effect and event.checkpoint:
        return event
    return None


def is_listed(event: events.Event, kind: str = ALL) -> bool:
    """Return whether the list shows an event.

    Commands without effect, commands whose effect is an event of its own, and the checkpoints before each change are
    not listed.
    """
    if isinstance(event, events.CommandApplied) and as_change(event) is None:
        return False
    if isinstance(event, events.CheckpointSaved) and event.reason.kind is SaveKind.BEFORE_CHANGE:
        return False
    if kind == CHANGES:
        return isinstance(event, _CHANGES + _ERRORS)
    return kind == ALL or isinstance(event, (events.Evaluated, *_ERRORS))


def is_error(event: events.Event) -> bool:
    """Return whether an event is an error, which every filter shows."""
    return isinstance(event, _ERRORS)


def mark_of(event: events.Event) -> Mark:
    """Return symbol and colour of an event."""
    return _MARKS.get(type(event), Mark("·", "muted"))


def details(event: events.Event) -> str:
    """Return further lines of an event, which do not fit into its row; empty if there are none."""
    changes = getattr(event, "changes", ())
    if len(changes) > NAMED or (isinstance(event, events.Restored) and changes):
        return "\n".join(map(change_words, changes))
    if isinstance(event, events.SettingsActivated) and len(event.tensors) > NAMED:
        return "\n".join(event.tensors)
    if isinstance(event, events.Corrected):
        return "\n".join(event.notes)
    if isinstance(event, events.Failed):
        return event.traceback
    if isinstance(event, events.RecordFailed):
        return record_failure_text(event)
    if isinstance(event, events.Evaluated):
        metric = METRICS[event.metric]
        lines = [f"{MODE_NAMES[mode]}: {metric.text(event.scores[mode], 2)}" for mode in _MODES if mode in event.scores]
        lines += evaluation_lines(event)
        return "\n".join([*lines, f"on {event.num_examples:,} examples, in {event.seconds:.1f} s"])
    return ""


def tooltip(event: events.Event, survives: bool) -> str:
    """Return the event's sentence and the first lines of its details."""
    lines = details(event).splitlines() if not isinstance(event, events.Failed) else []
    shown = lines[:_IN_TOOLTIP] + ([f"and {len(lines) - _IN_TOOLTIP} more"] if len(lines) > _IN_TOOLTIP else [])
    left = [] if survives else ["The run was rewound to before this event, which is not part of the present branch."]
    return "\n".join([sentence(event), *shown, *left])
