"""Predictions of a run's past states, which are shown while the time slider is in the past."""
# Apart from the other results, of which only the newest is kept.

from typing import List, Optional

from qatviz.analysis.predictions import Predictions

#: Largest memory of all kept predictions, in bytes.
LARGEST_SIZE = 64 * 2**20


class KeptPredictions:
    """Predictions by step, oldest first; every second one is dropped when they need too much memory."""

    def __init__(self) -> None:
        self._kept: List[Predictions] = []

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, found: Predictions) -> None:
        """Keep predictions, in place of others of the same step."""
        others = [known for known in self._kept if known.step != found.step]
        self._kept = sorted([*others, found], key=lambda known: known.step)
        while len(self._kept) > 1 and sum(map(_size, self._kept)) > LARGEST_SIZE:
            *older, newest = self._kept
            self._kept = [*(older[::2] if len(older) > 1 else []), newest]

    def drop_after(self, step: float) -> None:
        """Drop the predictions of states after ``step``, which were abandoned."""
        self._kept = [known for known in self._kept if known.step <= step]

    def nearest(self, step: float) -> Optional[Predictions]:
        """Return the predictions nearest to ``step``; None if there are none."""
        return min(self._kept, key=lambda known: abs(known.step - step)) if self._kept else None


def _size(found: Predictions) -> int:
    """Return the memory of predictions, in bytes."""
    return sum(each.in_float.nbytes + each.quantized.nbytes + each.targets.nbytes for each in found.outputs)
