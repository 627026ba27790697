"""Evaluations of the recorded forks of a run, with their settings."""

import os
from typing import Dict, List, Tuple

from qatviz.errors import QatvizError
from qatviz.protocol.events import Evaluated
from qatviz.protocol.timeline import Timeline
from qatviz.protocol.trials import ForkEvaluation
from qatviz.session.catalogue import Watch, read_catalogue
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_summary import RunSummary


def evaluations_of_forks(directory: str, watch: Watch = lambda done, of: True) -> Tuple[ForkEvaluation, ...]:
    """Return the evaluations of all runs in the same folder that descend from the run in ``directory``.

    Those on abandoned branches are omitted, and so are records that can't be read.

    Parameters
    ----------
    directory : str
    watch : callable
        Called before each record of the folder; if it returns False, those found so far are returned.

    Raises
    ------
    RecordError
        If the folder can't be read.
    """
    path = os.path.abspath(os.path.expanduser(directory))
    found: List[ForkEvaluation] = []
    for fork in _descendants(path, read_catalogue(os.path.dirname(path), watch).runs):
        try:
            found += _evaluations(fork)
        except QatvizError:  # another process may be writing it, or it was deleted
            continue
    return tuple(found)


def _descendants(directory: str, runs: Tuple[RunSummary, ...]) -> List[RunSummary]:
    """Return the forks of a run, their forks, and so on, each once."""
    forks: Dict[str, List[RunSummary]] = {}
    for run in runs:
        if run.parent:
            forks.setdefault(os.path.abspath(run.parent), []).append(run)
    found, parents, seen = [], [directory], {directory}
    while parents:
        for fork in forks.get(parents.pop(), ()):
            if fork.directory not in seen:
                seen.add(fork.directory)
                found.append(fork)
                parents.append(fork.directory)
    return found


def _evaluations(fork: RunSummary) -> List[ForkEvaluation]:
    reader = RunRecord.read(fork.directory)
    present, timeline = read_outcome(reader).book, Timeline()
    for logged in reader.log()[0]:
        timeline.add(logged.event)
    return [
        ForkEvaluation(fork.directory, fork.name, timeline.settings_at(logged.event.point, present), logged.event)
        for logged in timeline.log
        if isinstance(logged.event, Evaluated) and logged.survives
    ]
