"""Requests for a sweep from a checkpoint, and the news of its runs, which the window shows."""

from typing import NamedTuple, Optional, Tuple

#: States of a run before it starts; the first is also news of it.
FINISHED, INTERRUPTED, NEW = "finished", "interrupted", "new"
#: Other news of a run.
STARTED, RESUMED, TRAINING, FAILED, SKIPPED, STOPPED = "started", "resumed", "training", "failed", "skipped", "stopped"
#: Maximum number of processes.
MOST_PROCESSES = 64
#: Name that varies the preset instead of a setting.
PRESET = "preset"
#: Names of the sides of an A/B trial, which are those of their runs' directories.
A, B = "A", "B"


class SweepRequest(NamedTuple):
    """Request to train several runs from one checkpoint of a recorded run, in child processes.

    Attributes
    ----------
    out : str
        Directory of the runs. If all that follows has its default value, the sweep that is there continues.
    processes : int
        Runs that train at a time.
    directory : str
        Directory of the recorded run.
    checkpoint : str
        Name of the checkpoint.
    further : int
        Training steps after the checkpoint.
    seeds : tuple of int
        Seeds with each of which all settings are trained; empty: that of the run.
    variations : tuple of str
        Settings that vary, and their values: ``PATH=VALUE,VALUE``. All combinations are trained.
    sides : pair of tuples of str, optional
        Changes of settings on each side of an A/B trial; None: it is none.
    """

    out: str
    processes: int
    directory: str = ""
    checkpoint: str = ""
    further: int = 0
    seeds: Tuple[int, ...] = ()
    variations: Tuple[str, ...] = ()
    sides: Optional[Tuple[Tuple[str, ...], Tuple[str, ...]]] = None


class SweepRun(NamedTuple):
    """Run of a sweep: the name of its directory, and its own options of ``qatviz train``."""

    name: str
    arguments: Tuple[str, ...]


class Report(NamedTuple):
    """News of a run of a sweep.

    Attributes
    ----------
    run : SweepRun
    event : str
        One of `STARTED`, `RESUMED`, `TRAINING` (its record has new steps), `FINISHED`, `FAILED`, `SKIPPED` (it was
        finished before), and `STOPPED` (with the sweep).
    done, total : int
        Number of runs that have ended, and of all.
    message : str
        Reason of a failure.
    step : int
        Training steps done, as far as they are recorded.
    """

    run: SweepRun
    event: str
    done: int
    total: int
    message: str = ""
    step: int = 0


class Begun(NamedTuple):
    """Sweep that has begun: its directory, its runs, and whether it is an A/B trial."""

    directory: str
    runs: Tuple[SweepRun, ...]
    is_trial: bool


class SweepNews(NamedTuple):
    """News of a sweep.

    Attributes
    ----------
    reports : tuple of Report
        Those after the number for which they were asked; of those that a run trains, only the newest of each run.
    number : int
        Number of the newest report.
    has_ended : bool
        Whether the sweep has ended, or was stopped.
    """

    reports: Tuple[Report, ...]
    number: int
    has_ended: bool
