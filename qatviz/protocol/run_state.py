"""Complete state of a run between two training steps, as saved in and restored from checkpoints."""

from dataclasses import dataclass
from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from qatviz.errors import RecordError
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.reasons import SaveReason
from qatviz.protocol.settings_book import SettingsBook

Arrays = Dict[str, np.ndarray]


class BestEvaluation(NamedTuple):
    """The best evaluation so far with the same quantization.

    Attributes
    ----------
    step : int
        Number of training steps complete at its state.
    score : float
        Metric or loss, quantized.
    waited : int
        Number of later evaluations, none of which was better.
    quantization : str
        Hash of the settings of all quantizers; evaluations are compared if it is equal.
    """

    step: int
    score: float
    waited: int
    quantization: str


class LadderState(NamedTuple):
    """State of a bit ladder.

    Attributes
    ----------
    since : int
        Number of training steps complete when the newest rung was taken, or the ladder was switched on.
    reference : float or None
        Best metric of quantized evaluations since the ladder is on; None before the first evaluation.
    """

    since: int
    reference: Optional[float]


@dataclass(frozen=True, eq=False)
class RunState:
    """State of a run after ``step`` training steps.

    The batches and random numbers of later steps depend on ``step`` and the seed alone.

    Attributes
    ----------
    step : int
    seconds : float
        Training time so far, without pauses.
    book : SettingsBook
        Settings in effect.
    arrays : dict of str to np.ndarray
        Parameters, optimizer slots, ranges, and running histograms in use, as
        :meth:`qatviz.training.graph.TrainingGraph.read_state` returns them.
    name : str
        Name of the checkpoint.
    reason : SaveReason
        Reason for saving it.
    branch : int
        Branch of the run to which it belongs.
    position : int or None
        Number of earlier events on that branch; see :class:`qatviz.protocol.branches.BranchPoint`.
    best : BestEvaluation or None
        None before the first evaluation, and while no setting requires it.
    ladder : LadderState or None
        None while there is no bit ladder.
    """

    step: int
    seconds: float
    book: SettingsBook
    arrays: Arrays
    name: str
    reason: SaveReason
    branch: int = 0
    position: Optional[int] = None
    best: Optional[BestEvaluation] = None
    ladder: Optional[LadderState] = None

    @property
    def point(self) -> BranchPoint:
        """Place of the state on the branches of the run."""
        return BranchPoint(self.branch, self.step, self.position)

    @property
    def nbytes(self) -> int:
        """Total size of the arrays in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def is_finite(self) -> bool:
        """True if the arrays contain neither NaN nor infinity."""
        return all(bool(np.isfinite(array).all()) for array in self.arrays.values())

    def meta(self) -> Dict[str, Any]:
        """Return the JSON-able metadata of a checkpoint file."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "reason": self.reason.to_wire(),
            "settings": self.book.to_dict(),
            "branch": self.branch,
            "position": self.position,
            **({} if self.best is None else {"best": list(self.best)}),
            **({} if self.ladder is None else {"ladder": list(self.ladder)}),
        }

    @classmethod
    def from_checkpoint(cls, name: str, arrays: Arrays, meta: Dict[str, Any], plan: QuantizationPlan) -> "RunState":
        """Return the state stored in a checkpoint file.

        Raises
        ------
        RecordError
            If an entry of ``meta`` is missing or invalid.
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
                _best_from(meta.get("best")),
                _ladder_from(meta.get("ladder")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"checkpoint {name}: its metadata is incomplete: {error!r}") from error


def _best_from(row: Any) -> Optional[BestEvaluation]:
    if row is None:
        return None
    step, score, waited, quantization = row
    return BestEvaluation(int(step), float(score), int(waited), str(quantization))


def _ladder_from(row: Any) -> Optional[LadderState]:
    if row is None:
        return None
    since, reference = row
    return LadderState(int(since), None if reference is None else float(reference))
