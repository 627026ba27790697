"""The whole state of a run after some number of steps: what a checkpoint holds, and what a run can be set to."""

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np

from qatviz.errors import RecordError
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.reasons import SaveReason
from qatviz.protocol.settings_book import SettingsBook

Arrays = Dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class RunState:
    """The state of a run after ``step`` steps.

    The batches and random numbers of the steps to come follow from ``step`` alone.

    Attributes
    ----------
    step : int
    seconds : float
        Training time so far.
    book : SettingsBook
        Settings in effect.
    arrays : dict of str to np.ndarray
        Parameters, optimizer slots and ranges, as :meth:`qatviz.training.graph.TrainingGraph.read_state` returns them.
    name : str
        Name of the checkpoint.
    reason : SaveReason
        Why it was saved.
    branch : int
        Branch of the run that it lies on.
    position : int or None
        Number of events of that branch that came before it; see :class:`qatviz.protocol.branches.BranchPoint`.
    """

    step: int
    seconds: float
    book: SettingsBook
    arrays: Arrays
    name: str
    reason: SaveReason
    branch: int = 0
    position: Optional[int] = None

    @property
    def point(self) -> BranchPoint:
        """Its place on the branches of the run."""
        return BranchPoint(self.branch, self.step, self.position)

    @property
    def nbytes(self) -> int:
        """Number of bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def is_finite(self) -> bool:
        """Whether the arrays hold neither NaN nor infinity."""
        return all(np.isfinite(array).all() for array in self.arrays.values())

    def meta(self) -> Dict[str, Any]:
        """Return what a checkpoint file holds beside the arrays, JSON-able."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "reason": self.reason.to_wire(),
            "settings": self.book.to_dict(),
            "branch": self.branch,
            "position": self.position,
        }

    @classmethod
    def from_checkpoint(cls, name: str, arrays: Arrays, meta: Dict[str, Any], plan: QuantizationPlan) -> "RunState":
        """Return the state that a checkpoint file holds.

        Raises
        ------
        RecordError
            If ``meta`` lacks an entry, or holds something else than :meth:`meta` returns.
        """
        try:
            return cls(
                int(meta["step"]),
                float(meta["seconds"]),
                SettingsBook.from_dict(plan, meta["settings"]),
                dict(arrays),
                name,
                SaveReason.from_wire(meta["reason"]),
                int(meta.get("branch", 0)),
                None if meta.get("position") is None else int(meta["position"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"checkpoint {name}: its description is incomplete: {error!r}") from error
