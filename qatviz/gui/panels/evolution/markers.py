"""Markers of events on the time axis."""

from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from qatviz.presentation.event_texts import DELAY_ENDED, change_words, non_finite_text, sentence
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset
from qatviz.protocol.corrections import kind_of
from qatviz.protocol.events import Change
from qatviz.protocol.reasons import RestoreReason
from qatviz.protocol.timeline import LoggedEvent
from qatviz.settings import (
    ACTIVATIONS,
    EXTREMES,
    FROZEN,
    KL,
    LEARNED,
    LEARNED_CLIP,
    LEARNED_RANGE,
    MIN_MAX,
    MOVING_AVERAGE,
    MSE,
    NO_MAP,
    PERCENTILE,
    RUN,
    WEIGHTS,
    value_text,
)

#: Events that can become markers.
MARKED = (events.CommandApplied, events.SettingsActivated, events.Restored, events.NonFinite)
#: Colours of kinds of events, as names of the theme; a marker has the first that applies.
_COLORS = (
    (events.NonFinite, "bad"),
    (events.Restored, "warning"),
    (events.CommandApplied, "accent"),
    (events.SettingsActivated, "good"),
)
#: Labels of settings that are switches: on, off.
_SWITCHES = {
    "enabled": ("quantized", "float"),
    "symmetric": ("symmetric", "affine"),
    "narrow_range": ("narrow", "full range"),
    "per_channel": ("per channel", "per tensor"),
    "power_of_two": ("2ⁿ scale", "any scale"),
    "freeze_ranges": ("frozen", "unfrozen"),
    "stochastic_rounding": ("stochastic", "nearest"),
    "trainable": ("trainable", "kept"),
}
#: Labels of range methods.
_RANGE_METHODS = {
    MIN_MAX: "min–max",
    PERCENTILE: "percentile",
    MSE: "MSE",
    KL: "KL",
    MOVING_AVERAGE: "average",
    EXTREMES: "extremes",
    LEARNED: "learned",
    LEARNED_RANGE: "learned range",
    LEARNED_CLIP: "learned clip",
    FROZEN: "frozen",
}
#: Maximum number of settings, or of tensors, listed for one event.
_MAX_LINES = 8


class Marker(NamedTuple):
    """All marked events at one training step, with a short label and the role of its colour."""

    step: int
    events: Tuple[events.Event, ...]
    label: str
    color: str

    @property
    def changes(self) -> Tuple[Change, ...]:
        return tuple(change for event in self.events for change in getattr(event, "changes", ()))

    @property
    def has_effect(self) -> bool:
        """True if the steps before and after can be compared; not at a rewind, where they are on different branches."""
        return not _any(self.events, events.Restored)


def markers_of(log: Sequence[LoggedEvent]) -> List[Marker]:
    """Return the markers of a run by step, without those of abandoned branches."""
    by_step: Dict[int, List[events.Event]] = {}
    for event in _marked(log):
        by_step.setdefault(step_of(event), []).append(event)
    return [
        Marker(step, tuple(found), _label_of(found), next(c for kind, c in _COLORS if _any(found, kind)))
        for step, found in sorted(by_step.items())
    ]


def step_of(event: events.Event) -> int:
    """Return the step at which an event is drawn; for a non-finite loss, the step that the run was rewound to."""
    return event.restored_step if isinstance(event, events.NonFinite) else event.step


def _marked(log: Sequence[LoggedEvent]) -> List[events.Event]:
    """Return the events that become markers.

    A command that rewound the run is not among them, because the event of the rewind repeats its changes.
    """
    return [
        logged.event
        for logged in log
        if logged.survives
        and isinstance(logged.event, MARKED)
        and (
            not isinstance(logged.event, events.CommandApplied) or (logged.event.has_effect and logged.event.checkpoint)
        )
    ]


def _any(found: Iterable[events.Event], kind: type) -> bool:
    return any(isinstance(event, kind) for event in found)


def _label_of(found: Sequence[events.Event]) -> str:
    """Return the label of a marker: of its most important event, or the number of changes."""
    if _any(found, events.NonFinite):
        return "NaN"
    for event in found:
        if isinstance(event, events.Restored):
            return short(event)
    labels = list(dict.fromkeys(short(event) for event in found))
    return labels[0] if len(labels) == 1 else f"{len(labels)} changes"


def short(event: events.Event) -> str:
    """Return a label of one or two words: ``w4``, ``conv1 float``, ``lr 0.001``, ``12 changes``."""
    if isinstance(event, events.SettingsActivated):
        return "quantized"
    if isinstance(event, events.Restored):
        return "resumed" if event.reason is RestoreReason.RESUMED else "rewind"
    if isinstance(event, events.NonFinite):
        return "NaN"
    assert isinstance(event, events.CommandApplied), "markers have no other events"
    if isinstance(event.command, ApplyPreset):
        return event.command.preset
    correction = kind_of(event.command)
    if correction is not None:
        return correction.short
    alike = {(change.setting.rpartition(".")[2], repr(change.new)) for change in event.changes}
    texts = list(dict.fromkeys(_short_change(change) for change in event.changes))
    if len(texts) == 1:
        return texts[0] if len(event.changes) == 1 else f"{texts[0]} ×{len(event.changes)}"
    if len(alike) == 1 and len(texts) == 2:
        return f"{' '.join(texts)} ×{len(event.changes)}"
    return f"{len(event.changes)} changes"


def _short_change(change: events.Change) -> str:
    tensor, _, name = change.setting.rpartition(".")
    kind = tensor.rpartition(".")[2]
    if name == "num_bits":
        return f"{ {WEIGHTS: 'w', ACTIVATIONS: 'a'}.get(kind, '') }{change.new}"
    if name in _SWITCHES:
        return _SWITCHES[name][0 if change.new else 1]
    if tensor == RUN:
        return f"{ {'learning_rate': 'lr'}.get(name, name.replace('_', ' ')) } {value_text(name, change.new)}"
    if name == "weight_map":
        return "no map" if change.new == NO_MAP else change.new
    new = _RANGE_METHODS.get(change.new) or value_text(name, change.new)
    return new if isinstance(change.new, str) else f"{name.replace('_', ' ')} {new}"


def sentences(event: events.Event) -> List[str]:
    """Return the full text of an event, with one line per setting up to a maximum."""
    lines: List[str] = []
    if isinstance(event, events.SettingsActivated):
        lines.append(f"{DELAY_ENDED}: {_some(event.tensors)}")
    elif isinstance(event, events.Restored):
        lines.append(sentence(event))
    elif isinstance(event, events.NonFinite):
        lines.append(f"step {event.step:,}: {non_finite_text(event)}; rewound and paused")
    elif isinstance(event, events.CommandApplied) and kind_of(event.command) is not None:
        lines.append(sentence(event))
    changes = getattr(event, "changes", ())
    lines += [change_words(change) for change in changes[:_MAX_LINES]]
    if len(changes) > _MAX_LINES:
        lines.append(f"and {len(changes) - _MAX_LINES} more")
    return lines


def _some(names: Sequence[str]) -> str:
    text = ", ".join(names[:_MAX_LINES])
    return text if len(names) <= _MAX_LINES else f"{text} and {len(names) - _MAX_LINES} more"
