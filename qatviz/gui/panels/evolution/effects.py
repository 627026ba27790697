"""Markers of the shown run, with the measured effect of each change."""

from typing import Dict, List, Optional, Sequence, Tuple

from qatviz.analysis.effects import Effect, effect, tensors_of
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.panels.evolution.markers import Marker, markers_of, sentences
from qatviz.telemetry.record.refill import STEPS

#: Number of training steps between two measurements of incomplete effects.
_STEPS_BETWEEN = 20
#: Maximum number of markers in one text, and number of the newest markers whose effects are measured.
_MAX_MARKERS = 3


class MarkerEffects:
    """Markers by step, and their effects, which are cached once they are complete.

    Attributes
    ----------
    markers : list of Marker
    """

    def __init__(self, model: RunModel):
        self._model = model
        self.forget()

    def forget(self) -> None:
        """Reset for another run."""
        self.markers: List[Marker] = []
        self._due: bool = True
        self.drop_effects()

    def mark_due(self) -> None:
        """Request new markers after an event that may be one."""
        self._due = True

    def drop_effects(self) -> None:
        """Drop all effects, because the run was rewound and they may not be part of its past."""
        self._effects: Dict[Tuple[int, int, Optional[int]], Effect] = {}
        self._measured_at = -_STEPS_BETWEEN

    def update(self) -> None:
        """Update the markers if requested."""
        if self._due:
            self._due, self.markers = False, markers_of(self._model.log)

    def measure(self) -> None:
        """Measure the effects of the newest changes while the history still has each of their steps.

        Once steps are folded into buckets, before and after are harder to separate.
        """
        history = self._model.history
        newest = history.last_step(STEPS) if history is not None else None
        if newest is not None and not 0 <= newest - self._measured_at < _STEPS_BETWEEN:
            self._measured_at = newest
            for marker in self.markers[-_MAX_MARKERS:]:
                if marker.has_effect:
                    self.effect(marker)

    def effect(self, marker: Marker) -> Effect:
        """Return the effect of the changes of ``marker``, until the next one.

        The marker may be outdated, if further events occurred at its step or the run was rewound.
        """
        history = self._model.history
        assert history is not None, "markers are those of a run"
        previous = max((other.step for other in self.markers if other.step < marker.step), default=None)
        following = min((other.step for other in self.markers if other.step > marker.step), default=None)
        key = marker.step, len(marker.events), following
        found = self._effects.get(key)
        if found is None or not found.complete:
            changed = tensors_of(marker.changes, [tensor.name for tensor in self._model.tensors])
            names = changed or tuple(name for event in marker.events for name in getattr(event, "tensors", ()))
            found = self._effects[key] = effect(history, marker.step, names, previous, following, self._model.log)
        return found

    def nearest(self, step: int) -> Optional[Marker]:
        """Return the marker nearest to ``step``; None if there is none."""
        return min(self.markers, key=lambda marker: abs(marker.step - step)) if self.markers else None

    def text(self, markers: Sequence[Marker]) -> str:
        """Return lines of text on events and their effects."""
        blocks = []
        for marker in markers[-_MAX_MARKERS:]:
            lines = [f"Step {marker.step:,}"]
            lines += [sentence for event in marker.events for sentence in sentences(event)]
            if marker.has_effect:
                lines.append(self.effect(marker).describe())
            blocks.append("\n".join(lines))
        more = len(markers) - len(blocks)
        return (f"{more} earlier changes\n\n" if more else "") + "\n\n".join(blocks)
