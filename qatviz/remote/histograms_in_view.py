"""Histograms that a viewer receives: with each snapshot those in view, and all of them every few seconds.

Nearly all of a snapshot are histograms. Those out of view are read by verdicts, previews and the budget; they may be
:data:`ALL_AFTER_S` older than the measures while the run trains. Snapshots with other settings, of another branch, or
of a run that is paused or has ended, have all of them.
"""

import time
from dataclasses import replace
from typing import Any, Dict, FrozenSet, Iterable, Optional, Tuple

from qatviz.protocol.snapshots import Snapshot, TensorHistogram

#: Seconds after which a snapshot is sent with all histograms again.
ALL_AFTER_S = 2.0


class SentHistograms:
    """Choice of the histograms for a viewer, on the server."""

    def __init__(self) -> None:
        self._names: Optional[FrozenSet[str]] = None
        self._sent_at = float("-inf")
        self._form: Any = None

    def show(self, names: Optional[Iterable[str]]) -> bool:
        """Set the names of the tensors in view, None for all; return whether some have come into view."""
        before, self._names = self._names, None if names is None else frozenset(names)
        return before is not None and (self._names is None or not self._names <= before)

    def expire(self) -> None:
        """Send the next snapshot with all histograms."""
        self._sent_at = float("-inf")

    def chosen(self, snapshot: Snapshot, is_training: bool = True) -> Snapshot:
        """Return the snapshot with the histograms to send; while the run does not train, all of them."""
        names, now, form = self._names, time.monotonic(), _form(snapshot)
        is_old = now - self._sent_at >= ALL_AFTER_S
        if names is None or is_old or not is_training or form != self._form:
            self._sent_at, self._form = now, form
            return snapshot
        shown = {name: histogram for name, histogram in snapshot.histograms.items() if name in names}
        return replace(snapshot, histograms=shown)


class ReceivedHistograms:
    """Completion of the snapshots that a viewer receives."""

    def __init__(self) -> None:
        self._known: Dict[str, Tuple[Snapshot, TensorHistogram]] = {}

    def completed(self, snapshot: Snapshot, has_all: bool, is_again: bool = False) -> Optional[Snapshot]:
        """Return the snapshot with all histograms, and the names of those that are older.

        None if those that are missing are unknown; or if nothing is new in a part of a snapshot, or in one that may
        have been received already (``is_again``).
        """
        known, new = self._known, snapshot.histograms
        is_known = bool(new) and all(name in known and known[name][0].point == snapshot.point for name in new)
        if is_known and (is_again or not has_all):
            return None
        if has_all:
            self._known = {name: (snapshot, histogram) for name, histogram in new.items()}
            return snapshot
        if not new.keys() <= known.keys() or any(_state(own) != _state(snapshot) for own, _ in known.values()):
            return None
        self._known = {name: (snapshot, new[name]) if name in new else known[name] for name in known}
        older = frozenset(name for name, (own, _) in self._known.items() if own.point != snapshot.point)
        histograms = {name: histogram for name, (_, histogram) in self._known.items()}
        return replace(snapshot, histograms=histograms, older=older)


def _state(snapshot: Snapshot) -> Any:
    """Return branch and settings, which all histograms that are shown together have in common."""
    return snapshot.branch, snapshot.num_bits, snapshot.enabled


def _form(snapshot: Snapshot) -> Any:
    """Return all that the histograms of two snapshots must have in common to be shown together."""
    return _state(snapshot), [(name, known.code_min, known.size) for name, known in snapshot.histograms.items()]
