"""The moments of the shown run that panels show: the present, or snapshots of its past."""

from typing import List, Optional

from PyQt5 import QtCore

from qatviz.protocol.snapshots import Snapshot
from qatviz.settings import QuantizerSettings

#: Topic of ``changed``: other moments are shown.
MOMENT = "moment"


class ShownMoments(QtCore.QObject):
    """Part of the :class:`.run_model.RunModel`, which gives it the run's snapshots, step and settings.

    Attributes
    ----------
    snapshot : Snapshot or None
        The newest snapshot.
    snapshots : list of Snapshot
        Snapshots of the surviving timeline, thinned, oldest first.
    moment : Snapshot or None
        Snapshot of the past that is shown in place of the newest; None to show the present.
    other_moment : Snapshot or None
        Snapshot that the shown one is compared with; None without a comparison.
    """

    #: Emitted with a topic after the model has changed.
    changed = QtCore.pyqtSignal(str)

    snapshot: Optional[Snapshot]
    snapshots: List[Snapshot]
    moment: Optional[Snapshot]
    other_moment: Optional[Snapshot]

    @property
    def step(self) -> int:
        raise NotImplementedError

    def settings_of(self, tensor: str) -> QuantizerSettings:
        raise NotImplementedError

    def settings_at(self, snapshot: Snapshot, tensor: str) -> QuantizerSettings:
        raise NotImplementedError

    @property
    def shown(self) -> Optional[Snapshot]:
        """The snapshot that is shown: that of :attr:`moment`, else the newest."""
        return self.snapshot if self.moment is None else self.moment

    @property
    def shown_step(self) -> int:
        """Step of the shown moment."""
        return self.step if self.moment is None else self.moment.step

    def shown_settings_of(self, tensor: str) -> QuantizerSettings:
        """Return the settings in effect for a tensor at the shown moment."""
        return self.settings_of(tensor) if self.moment is None else self.settings_at(self.moment, tensor)

    def is_shown_active(self, tensor: str) -> bool:
        """Return whether the tensor is quantized at the shown moment."""
        return self.shown_settings_of(tensor).is_active(self.shown_step)

    def past(self) -> List[Snapshot]:
        """Return the snapshots of the run's past, the newest included even if it is not among those kept."""
        snapshots, newest = list(self.snapshots), self.snapshot
        is_last = bool(snapshots) and snapshots[-1] is newest
        if newest is not None and newest.step <= self.step and not is_last:
            snapshots.append(newest)
        return snapshots

    def look_back(self, step: Optional[float]) -> None:
        """Show the snapshot nearest to ``step``; the present for None, and if that is the newest one."""
        found = None if step is None else self.nearest_snapshot(step)
        self._set_moments(None if found is self.snapshot else found, self.other_moment)

    def compare_with(self, step: Optional[float]) -> None:
        """Compare the shown moment with the snapshot nearest to ``step``; end the comparison for None."""
        self._set_moments(self.moment, None if step is None else self.nearest_snapshot(step, is_kept=True))

    def nearest_snapshot(self, step: float, is_kept: bool = False) -> Optional[Snapshot]:
        """Return the snapshot of the past that is nearest to ``step``; None without one.

        ``is_kept``: it will still be shown once there are newer ones; none of its histograms may be older.
        """
        past = [known for known in self.past() if not (is_kept and known.older)]
        return min(past, key=lambda snapshot: abs(snapshot.step - step)) if past else None

    def _set_moments(self, moment: Optional[Snapshot], other: Optional[Snapshot]) -> None:
        if moment is not self.moment or other is not self.other_moment:
            self.moment, self.other_moment = moment, other
            self.changed.emit(MOMENT)

    def _check_moments(self) -> None:
        """Forget shown moments that are no longer part of the past; replace those that were thinned out."""
        moment = self._present_moment(self.moment)
        self._set_moments(None if moment is self.snapshot else moment, self._present_moment(self.other_moment))

    def _present_moment(self, moment: Optional[Snapshot]) -> Optional[Snapshot]:
        if moment is None or any(known is moment for known in self.snapshots) or moment is self.snapshot:
            return moment
        if self.snapshot is None or moment.step > self.snapshot.step:
            return None
        return next((known for known in reversed(self.snapshots) if known.step <= moment.step), None)

    @property
    def earlier_snapshot(self) -> Optional[Snapshot]:
        """The snapshot before the shown one on the present branch, if there is one."""
        shown = self.shown
        if shown is None:
            return None
        return next((kept for kept in reversed(self.snapshots) if kept.step < shown.step), None)
