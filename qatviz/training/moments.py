"""States of a run that can be gone back to: in memory for undo, and named."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import numpy as np

from qatviz.errors import RecordError, RunStateError
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.settings_book import SettingsBook

Arrays = Dict[str, np.ndarray]

#: Memory that kept states may take together; the oldest unnamed ones go first.
MEMORY_LIMIT_BYTES = 512 * 2**20
#: States kept for undo at most.
UNDO_LIMIT = 32


@dataclass(frozen=True, eq=False)
class Moment:
    """The whole state of a run after ``step`` steps.

    ``arrays`` are those of :meth:`qatviz.training.graph.TrainingGraph.read_state`; the batches and random numbers of
    the steps to come follow from the step alone. ``branch`` is the branch of the record on disk it belongs to.
    """

    step: int
    seconds: float
    book: SettingsBook
    arrays: Arrays
    name: str
    reason: str
    branch: int = 0

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def is_finite(self) -> bool:
        return all(np.isfinite(array).all() for array in self.arrays.values())

    def meta(self) -> Dict[str, Any]:
        """What goes into a checkpoint file beside the arrays."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "reason": self.reason,
            "settings": self.book.to_dict(),
            "branch": self.branch,
        }

    @classmethod
    def from_checkpoint(cls, name: str, arrays: Arrays, meta: Dict[str, Any], plan: QuantizationPlan) -> "Moment":
        """The moment of a checkpoint file; :class:`RecordError` if it lacks something."""
        try:
            return cls(
                int(meta["step"]),
                float(meta["seconds"]),
                SettingsBook.from_dict(plan, meta["settings"]),
                dict(arrays),
                name,
                str(meta["reason"]),
                int(meta.get("branch", 0)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"checkpoint {name}: its description is incomplete: {error!r}") from error


class Moments:
    """The states that are kept in memory: undo, redo, and checkpoints by name."""

    def __init__(self, memory_limit: int = MEMORY_LIMIT_BYTES, undo_limit: int = UNDO_LIMIT):
        self._memory_limit, self._undo_limit = memory_limit, undo_limit
        self._undo: List[Moment] = []
        self._redo: List[Moment] = []
        self._named: OrderedDict = OrderedDict()
        self.last_good: Optional[Moment] = None

    def before_change(self, moment: Moment) -> None:
        """Keep what a change replaces; what was undone before can't be redone any more."""
        self._undo.append(moment)
        self._redo.clear()
        self._trim()

    def undo(self, present: Moment) -> Moment:
        """The state before the last change; ``present`` is kept for :meth:`redo`."""
        if not self._undo:
            raise RunStateError("there is nothing to undo")
        self._redo.append(present)
        return self._undo.pop()

    def redo(self, present: Moment) -> Moment:
        """The state that was left by the last :meth:`undo`."""
        if not self._redo:
            raise RunStateError("there is nothing to redo")
        self._undo.append(present)
        return self._redo.pop()

    @property
    def undoable(self) -> Optional[Moment]:
        """Where :meth:`undo` would lead, or None."""
        return self._undo[-1] if self._undo else None

    def keep(self, moment: Moment) -> None:
        """Keep a checkpoint by its name; one of the same name is replaced."""
        self._named[moment.name] = moment
        self._trim()

    def named(self, name: str) -> Optional[Moment]:
        """The checkpoint of this name, if it is in memory; also those kept for undo."""
        known = {m.name: m for m in self._redo + self._undo}
        known.update(self._named)
        return known.get(name)

    def names(self) -> List[str]:
        return list(self._named) + [m.name for m in self._undo]

    def _trim(self) -> None:
        del self._undo[: max(0, len(self._undo) - self._undo_limit)]
        # The newest undo state always stays: a change must be revocable however large the network is.
        while len(self._undo) > 1 and self._nbytes() > self._memory_limit:
            del self._undo[0]
        while len(self._named) > 1 and self._nbytes() > self._memory_limit:
            self._named.popitem(last=False)

    def _nbytes(self) -> int:
        return sum(m.nbytes for m in self._undo + self._redo + list(self._named.values()))
