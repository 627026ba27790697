"""Paired comparison of runs that train on the same batches: differences at equal training steps, and their mean."""

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.comparison import LOSS, AlignedCurve, ComparedRun, Comparison
from qatviz.number_format import finite

#: Number of parts of a curve of differences: each is the mean of the steps in it.
PARTS = 60
#: Number of blocks of consecutive steps whose means are taken as independent of each other.
BLOCKS = 20
#: Half width of a band, in standard errors: 95 % of a normal distribution.
_BAND = 1.96


class Pairs(NamedTuple):
    """Values of two runs at equal training steps.

    Attributes
    ----------
    steps, values, references : np.ndarray
        float64 ``[n]``, steps ascending.
    """

    steps: np.ndarray
    values: np.ndarray
    references: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        """Values minus references, float64 ``[n]``."""
        return self.values - self.references


class PairedEffect(NamedTuple):
    """Mean difference of two settings that were trained on the same batches.

    Attributes
    ----------
    steps : int
        Number of pairs of training steps.
    mean : float
        Mean of the differences.
    error : float
        Its standard error, from the means of :data:`BLOCKS` blocks of steps: differences of consecutive steps are not
        independent. NaN with fewer steps than blocks.
    lower : float
        Fraction of the steps at which the value is below its reference.
    """

    steps: int
    mean: float
    error: float
    lower: float

    def to_dict(self) -> Dict[str, Optional[float]]:
        """Return the JSON-able form."""
        return {**self._asdict(), "error": finite(self.error)}


def pairs_of(run: ComparedRun, reference: ComparedRun, key: str = LOSS) -> Optional[Pairs]:
    """Return the values of two runs at the steps that both have; None if there are none.

    Steps before a fork are those of its parent: if both runs are forks, they are left out.
    """
    track, other = run.tracks.get(key), reference.tracks.get(key)
    if track is None or other is None:
        return None
    steps, at, at_other = np.intersect1d(track.steps, other.steps, assume_unique=True, return_indices=True)
    values, references = track.values[at], other.values[at_other]
    first = min(run.first_step, reference.first_step)
    known = (steps > first if first else np.ones(len(steps), bool)) & np.isfinite(values) & np.isfinite(references)
    return Pairs(steps[known], values[known], references[known]) if known.any() else None


def effect_of(pairs: Sequence[Pairs]) -> Optional[PairedEffect]:
    """Return the mean difference over all pairs, such as those of several seeds; None without any."""
    if not pairs:
        return None
    differences = np.concatenate([part.differences for part in pairs])
    blocks = np.concatenate([_block_means(part.differences) for part in pairs])
    error = float(blocks.std(ddof=1) / math.sqrt(len(blocks))) if len(blocks) > 1 else math.nan
    return PairedEffect(len(differences), float(differences.mean()), error, float((differences < 0).mean()))


def _block_means(differences: np.ndarray) -> np.ndarray:
    """Return the means of ``BLOCKS`` blocks of equal length; none of fewer values than blocks."""
    size = len(differences) // BLOCKS
    return differences[len(differences) - size * BLOCKS :].reshape(BLOCKS, size).mean(axis=1) if size else np.zeros(0)


def have_same_batches(run: ComparedRun, reference: ComparedRun) -> bool:
    """Return whether two runs are forks of one checkpoint with one seed, which determines their batches."""
    origin, other = (one.about.get("forked_from") for one in (run, reference))
    if origin is None or other is None or run.about.get("seed") != reference.about.get("seed"):
        return False
    return all(origin.get(key) == other.get(key) for key in ("run_id", "checkpoint", "step"))


def effects_on_first(comparison: Comparison) -> List[Optional[PairedEffect]]:
    """Return for each run the mean difference of its losses to those of the first one on the same batches.

    None for the first run, and for those that have other batches.
    """
    first, found = comparison.runs[0], []
    for run in comparison.runs:
        pairs = pairs_of(run, first) if run is not first and have_same_batches(run, first) else None
        found.append(None if pairs is None else effect_of([pairs]))
    return found


def matched_runs(
    comparison: Comparison, members: Sequence[int], references: Sequence[int]
) -> List[Tuple[ComparedRun, ComparedRun]]:
    """Return each of the runs ``members`` with the one among ``references`` of the same seed.

    A single reference belongs to all, whatever its seed.
    """
    by_seed = {comparison.runs[index].about.get("seed"): comparison.runs[index] for index in reversed(references)}
    found = []
    for index in members:
        run = comparison.runs[index]
        reference = by_seed.get(run.about.get("seed"), comparison.runs[references[0]] if len(references) == 1 else None)
        if reference is not None and index not in references:
            found.append((run, reference))
    return found


def difference_curve(
    matched: Sequence[Tuple[ComparedRun, ComparedRun]], key: str, axis: str, parts: int = PARTS
) -> Optional[AlignedCurve]:
    """Return the differences of runs to their references at equal training steps, over an axis of the runs.

    Of more points than ``parts``, the curve has the means over equal parts of the axis, and a band in which these lie
    with a probability of 95 % if the steps are independent.
    """
    places, differences = [], []
    for run, reference in matched:
        pairs = pairs_of(run, reference, key)
        at = None if pairs is None else run.places_of_steps(pairs.steps, axis)
        if pairs is not None and at is not None:
            places.append(at)
            differences.append(pairs.differences)
    if not places:
        return None
    x, values = np.concatenate(places), np.concatenate(differences)
    order = np.argsort(x, kind="stable")
    x, values = x[order], values[order]
    if len(np.unique(x)) <= parts:
        return _in_groups(x, values, np.unique(x, return_index=True)[1])
    part = np.minimum(((x - x[0]) * (parts / (x[-1] - x[0]))).astype(np.int64), parts - 1)
    return _in_groups(x, values, np.concatenate([[0], np.flatnonzero(np.diff(part)) + 1]))


def _in_groups(x: np.ndarray, values: np.ndarray, begins: np.ndarray) -> AlignedCurve:
    """Return the means of groups of consecutive points with their bands; of one point, there is no band."""
    sizes = np.diff(np.append(begins, len(x)))
    mean = np.add.reduceat(values, begins) / sizes
    squares = np.add.reduceat((values - np.repeat(mean, sizes)) ** 2, begins)
    band = _BAND * np.sqrt(squares / np.maximum(sizes - 1, 1) / sizes)
    return AlignedCurve(np.add.reduceat(x, begins) / sizes, mean, mean - band, mean + band)
