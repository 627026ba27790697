"""A/B trials, two settings trained on the same batches from one checkpoint of a recorded run, and sweeps from one.

Both sides of a trial are forks, so that the order of batches and random numbers are those of the checkpoint, or of a
common seed: they differ by the settings alone. A trial is a sweep of two sides, and can be continued like any other.
"""

import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from qatviz.analysis.comparison import Comparison
from qatviz.analysis.paired import PairedEffect, Pairs, effect_of, matched_runs, pairs_of
from qatviz.errors import RecordError, RunStateError, SettingError, about, require_tensorflow
from qatviz.presets import PRESETS
from qatviz.session.changes import check_change, parse_change
from qatviz.session.checkpoints import keep_checkpoint, readable_checkpoints, settings_at
from qatviz.session.comparison import read_comparison
from qatviz.session.folders import new_run_directory
from qatviz.session.request import check_choice
from qatviz.session.sweep import Side, SweepPlan, Variation, open_plan, parse_variation, run_sweep, runs_of
from qatviz.session.sweep_request import FAILED, PRESET, A, B, Report, SweepRequest, SweepRun
from qatviz.settings import setting_text
from qatviz.tensorflow_presence import TRAINING

_SET = "--set"


class Fork(NamedTuple):
    """Checkpoint from which runs are forked: the directory of its run, its name and its step."""

    directory: str
    checkpoint: str
    step: int

    @property
    def arguments(self) -> Tuple[str, ...]:
        """Options of ``qatviz train``."""
        return "--fork", f"{self.directory}@{self.checkpoint}"


def fork_point(directory: str, checkpoint: Optional[str] = None) -> Fork:
    """Return a checkpoint to fork several runs from, the newest by default; it is kept as long as the record.

    Raises
    ------
    RecordError
        If there is no run, or it has no such checkpoint.
    """
    require_tensorflow(TRAINING)
    directory = os.path.abspath(os.path.expanduser(directory))
    with about("checkpoint"):
        if checkpoint is None:
            known = readable_checkpoints(directory)
            if not known:
                raise RecordError(f"{directory}: has no checkpoint to fork from yet")
            checkpoint = known[-1].name
        checkpoint = keep_checkpoint(directory, checkpoint)
        return Fork(directory, checkpoint, settings_at(directory, checkpoint)[1])


def check_changes(fork: Fork, changes: Sequence[str]) -> None:
    """Check changes of settings, in the form of ``--set``, on the settings of a checkpoint.

    Raises
    ------
    SettingError
        Error with the text of the change, and the closest known name.
    """
    book, _ = settings_at(fork.directory, fork.checkpoint)
    for change in map(parse_change, changes):
        book = check_change(book, change)


def ab_plan(
    fork: Fork, a: Sequence[str], b: Sequence[str], seeds: Sequence[int] = (), arguments: Sequence[str] = ()
) -> SweepPlan:
    """Return the plan of a trial.

    Parameters
    ----------
    fork : Fork
    a, b : sequence of str
        Changes of settings of both sides, in the form of ``--set``; none: the settings of the checkpoint.
    seeds : sequence of int
        Seeds with which both sides are trained; empty: that of the run.
    arguments : sequence of str
        Further options of ``qatviz train``, of both sides.

    Raises
    ------
    SettingError
        If a change is not allowed, or both sides are the same.
    """
    for name, changes in ((A, a), (B, b)):
        try:
            check_changes(fork, changes)
        except SettingError as error:
            raise SettingError(f"side {name}: {error}", name.lower()) from error
    if tuple(a) == tuple(b):
        raise SettingError(f"both sides have the settings {', '.join(a) or 'of the checkpoint'}: expected two others")
    sides = tuple(Side(name, _as_options(changes)) for name, changes in ((A, a), (B, b)))
    return SweepPlan((*fork.arguments, *arguments), (), tuple(seeds), sides)


def requested_plan(request: SweepRequest) -> SweepPlan:
    """Return the plan that a request asks for, or the one that is stored in its directory if it asks for none.

    Raises
    ------
    QatvizError
        If the checkpoint, a setting or the directory can't be used.
    """
    if not request.directory:
        return open_plan(request.out, None)
    fork = fork_point(request.directory, request.checkpoint)
    arguments = ("--steps", str(fork.step + request.further))
    if request.sides is not None:
        return open_plan(request.out, ab_plan(fork, *request.sides, request.seeds, arguments))
    variations = tuple(map(parse_variation, request.variations))
    return open_plan(request.out, vary_plan(fork, variations, request.seeds, arguments))


def vary_plan(
    fork: Fork, variations: Sequence[Variation], seeds: Sequence[int] = (), arguments: Sequence[str] = ()
) -> SweepPlan:
    """Return the plan of a sweep from a checkpoint; the parameters are those of :func:`ab_plan`.

    Raises
    ------
    SettingError
        If a value is not allowed, there is nothing to vary, or there are too many runs.
    """
    for variation in variations:
        for value in variation.values:
            if variation.path == PRESET:
                check_choice(PRESET, value, PRESETS)
            else:
                check_changes(fork, [f"{variation.path}={value}"])
    if not variations and not seeds:
        raise SettingError("there is nothing to vary: expected settings or seeds")
    plan = SweepPlan((*fork.arguments, *arguments), tuple(variations), tuple(seeds))
    runs_of(plan)
    return plan


def _as_options(changes: Sequence[str]) -> Tuple[str, ...]:
    return tuple(word for change in changes for word in (_SET, change))


class SideBySide(NamedTuple):
    """Result of a trial.

    Attributes
    ----------
    comparison : Comparison
        All runs of both sides.
    pairs : tuple of Pairs
        Losses of both sides at the same training steps, B as values and A as references, for each seed.
    effect : PairedEffect or None
        Mean of B minus A; None before both sides have trained.
    """

    comparison: Comparison
    pairs: Tuple[Pairs, ...]
    effect: Optional[PairedEffect]

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form, with the losses of each step."""
        effect = self.effect
        return {
            "runs": [run.summary.to_dict() for run in self.comparison.runs],
            "loss_difference": None if effect is None else effect.to_dict(),
            "losses": [
                {"step": part.steps.tolist(), A: part.references.tolist(), B: part.values.tolist()}
                for part in self.pairs
            ],
        }


def read_trial(directory: str, plan: SweepPlan) -> SideBySide:
    """Return the result of the trial in ``directory`` so far.

    Raises
    ------
    RecordError
        If the record of a run can't be read.
    """
    runs = runs_of(plan)
    comparison = read_comparison([str(Path(directory) / run.name) for run in runs])
    sides = {name: [index for index, run in enumerate(runs) if side_of(run) == name] for name in (A, B)}
    found: List[Optional[Pairs]] = [pairs_of(*both) for both in matched_runs(comparison, sides[B], sides[A])]
    pairs = tuple(part for part in found if part is not None)
    return SideBySide(comparison, pairs, effect_of(pairs))


def ab(
    directory: Union[str, Path],
    a: Sequence[str] = (),
    b: Sequence[str] = (),
    steps: Optional[int] = None,
    checkpoint: Optional[str] = None,
    seeds: Sequence[int] = (),
    processes: int = 2,
    out: Optional[Union[str, Path]] = None,
) -> SideBySide:
    """Train two settings on the same batches from one checkpoint of a recorded run, in child processes.

    Parameters
    ----------
    directory : str or Path
        Directory of the run that is forked.
    a, b : sequence of str
        Settings of both sides as on the command line: ``["*.weights.num_bits=4"]``; none: those of the checkpoint.
    steps : int, optional
        Total training steps; by default those of the run.
    checkpoint : str, optional
        Name of the checkpoint; by default the newest.
    seeds : sequence of int
        Seeds with each of which both sides are trained; by default that of the run.
    processes : int
        Runs that train at a time.
    out : str or Path, optional
        Directory of the runs; by default a new one in the folder of runs. A trial that was interrupted continues there.

    Returns
    -------
    SideBySide
        ``pairs``: losses of both sides at each step; ``effect``: mean of B minus A with its standard error;
        ``comparison`` of all runs.

    Raises
    ------
    RecordError, SettingError
        If the record or a setting cannot be used; before training starts.
    RunStateError
        If training failed.
    """
    plan = ab_plan(fork_point(os.fspath(directory), checkpoint), a, b, seeds, _steps_of(steps))
    place = new_run_directory("ab") if out is None else os.path.expanduser(os.fspath(out))
    _train(place, plan, processes)
    return read_trial(place, plan)


def sweep(
    directory: Union[str, Path],
    vary: Mapping[str, Sequence[Any]],
    seeds: Sequence[int] = (),
    steps: Optional[int] = None,
    checkpoint: Optional[str] = None,
    processes: int = 1,
    out: Optional[Union[str, Path]] = None,
) -> Comparison:
    """Train all combinations of settings and seeds from one checkpoint of a recorded run, in child processes.

    Parameters
    ----------
    vary : mapping of str to sequence
        Values by path of a setting, or by ``preset``: ``{"*.weights.num_bits": [8, 4, 3]}``.
    directory, seeds, steps, checkpoint, processes, out
        As in :func:`ab`.

    Returns
    -------
    Comparison
        All runs, with groups of those that differ by the seed only.

    Raises
    ------
    RecordError, SettingError
        If the record or a setting cannot be used; before training starts.
    RunStateError
        If training failed.
    """
    fork = fork_point(os.fspath(directory), checkpoint)
    variations = tuple(Variation(path, tuple(map(setting_text, values))) for path, values in vary.items())
    plan = vary_plan(fork, variations, seeds, _steps_of(steps))
    place = new_run_directory("sweep") if out is None else os.path.expanduser(os.fspath(out))
    _train(place, plan, processes)
    return read_comparison([str(Path(place) / run.name) for run in runs_of(plan)])


def _steps_of(steps: Optional[int]) -> Tuple[str, ...]:
    """Return the option for a total number of steps."""
    return () if steps is None else ("--steps", str(steps))


def _train(directory: str, plan: SweepPlan, processes: int) -> None:
    """Train the runs of a plan, or continue them; RunStateError with the reasons if some fail."""
    reasons: List[str] = []

    def keep_reason(report: Report) -> None:
        if report.event == FAILED:
            reasons.append(f"{report.run.name}: {report.message}")

    if run_sweep(directory, open_plan(directory, plan), processes, keep_reason):
        raise RunStateError(f"training failed: {'; '.join(reasons)}")


def side_of(run: SweepRun) -> str:
    """Return the name of the side that a run of a trial belongs to."""
    return run.name.partition("_")[0]
