"""The markers of the run that is shown, with what each change did, as far as it could be measured yet."""

from typing import Dict, List, Optional, Sequence, Tuple

from qatviz.analysis.effects import Effect, effect, tensors_of
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.panels.evolution.markers import Marker, markers_of, sentences
from qatviz.telemetry.record.refill import STEPS

#: Steps between two looks at effects that are not complete.
_STEPS_BETWEEN = 20
#: Markers told about in one text; the newest that are still being measured.
_TOLD = 3


class MarkerEffects:
    """Markers by step, and their effects, which are kept once they are complete.

    Attributes
    ----------
    markers : list of Marker
    """

    def __init__(self, model: RunModel):
        self._model = model
        self.forget()

    def forget(self) -> None:
        """Another run."""
        self.markers: List[Marker] = []
        self._due: bool = True
        self.measure_anew()

    def mark_due(self) -> None:
        """Something happened that may be a marker."""
        self._due = True

    def measure_anew(self) -> None:
        """The run was set back: what was measured may not be part of its past."""
        self._effects: Dict[Tuple[int, int, Optional[int]], Effect] = {}
        self._measured_at = -_STEPS_BETWEEN

    def renew(self) -> None:
        """Find the markers again, if something happened."""
        if self._due:
            self._due, self.markers = False, markers_of(self._model.log)

    def measure(self) -> None:
        """Look at the newest changes while their steps are still there one by one: what has been folded tells
        before and after less well apart.
        """
        newest = self._model.history.last_step(STEPS)
        if newest is not None and not 0 <= newest - self._measured_at < _STEPS_BETWEEN:
            self._measured_at = newest
            for marker in self.markers[-_TOLD:]:
                if marker.has_effect:
                    self.effect(marker)

    def effect(self, marker: Marker) -> Effect:
        """What the changes of ``marker`` did, until the next one came. (It may be one that was drawn before more
        happened at its step, or before the run was set back.)
        """
        previous = max((other.step for other in self.markers if other.step < marker.step), default=None)
        following = min((other.step for other in self.markers if other.step > marker.step), default=None)
        key = marker.step, len(marker.events), following
        found = self._effects.get(key)
        if found is None or not found.complete:
            changed = tensors_of(marker.changes, [tensor.name for tensor in self._model.tensors])
            names = changed or tuple(name for event in marker.events for name in getattr(event, "tensors", ()))
            found = self._effects[key] = effect(self._model.history, marker.step, names, previous, following)
        return found

    def nearest(self, step: int) -> Optional[Marker]:
        """The marker nearest to ``step``; None where there is none."""
        return min(self.markers, key=lambda marker: abs(marker.step - step), default=None)

    def tell(self, markers: Sequence[Marker]) -> str:
        """What happened and what it did, in some lines."""
        blocks = []
        for marker in markers[-_TOLD:]:
            lines = [f"Step {marker.step:,}"]
            lines += [sentence for event in marker.events for sentence in sentences(event)]
            if marker.has_effect:
                lines.append(self.effect(marker).describe())
            blocks.append("\n".join(lines))
        more = len(markers) - len(blocks)
        return (f"{more} earlier changes, and\n\n" if more else "") + "\n\n".join(blocks)
