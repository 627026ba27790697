"""Histograms that a viewer receives: with each snapshot those in view, and all of them every few seconds.

Nearly all of a snapshot are histograms. Those out of view are read by verdicts, previews and the budget, which may be
:data:`ALL_AFTER_S` older than the measures. A snapshot with other settings, or of another branch, has all of them.
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

    def chosen(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with the histograms to send."""
        names, now, form = self._names, time.monotonic(), _form(snapshot)
        if names is None or now - self._sent_at >= ALL_AFTER_S or form != self._form:
            self._sent_at, self._form = now, form
            return snapshot
        shown = {name: histogram for name, histogram in snapshot.histograms.items() if name in names}
        return replace(snapshot, histograms=shown)


class ReceivedHistograms:
    """Completion of the snapshots that a viewer receives."""

    def __init__(self) -> None:
        self._known: Dict[str, Tuple[Snapshot, TensorHistogram]] = {}

    def completed(self, snapshot: Snapshot, has_all: bool) -> Optional[Snapshot]:
        """Return the snapshot with all histograms, and the names of those that are older.

        None if nothing in it is new, or if those that are missing are unknown.
        """
        if has_all:
            self._known = {name: (snapshot, histogram) for name, histogram in snapshot.histograms.items()}
            return snapshot
        known, new = self._known, snapshot.histograms
        if not new.keys() <= known.keys() or any(own.branch != snapshot.branch for own, _ in known.values()):
            return None
        if all(known[name][0].point == snapshot.point for name in new) and new:
            return None
        self._known = {name: (snapshot, new[name]) if name in new else known[name] for name in known}
        older = frozenset(name for name, (own, _) in self._known.items() if own.point != snapshot.point)
        histograms = {name: histogram for name, (_, histogram) in self._known.items()}
        return replace(snapshot, histograms=histograms, older=older)


def _form(snapshot: Snapshot) -> Any:
    """Return what the histograms of two snapshots must have in common to be shown together."""
    codes = [(name, known.code_min, known.size) for name, known in snapshot.histograms.items()]
    return snapshot.branch, snapshot.num_bits, snapshot.enabled, codes
