"""Report data of a run that is not recorded, collected from the window's memory."""

from typing import Any, Dict, Optional, Sequence

from qatviz.metric import Metric
from qatviz.network.graph import Network
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent
from qatviz.report.run_data import RunData, change_points_of
from qatviz.telemetry.history import History
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.refill import STEPS

_NOT_RECORDED = "This run is not recorded: the report is from memory, in which older steps are averaged."


def unrecorded_run(
    about: Dict[str, Any],
    network: Network,
    book: SettingsBook,
    metric: Metric,
    history: History,
    snapshots: Sequence[Snapshot],
    log: Sequence[LoggedEvent],
    newest: Optional[StepRecord],
) -> RunData:
    """Collect the data of a run that is not recorded from the window's model.

    Parameters
    ----------
    about : dict
        :meth:`qatviz.protocol.run_spec.RunSpec.description`, as far as known.
    network : Network
    book : SettingsBook
        Present settings.
    metric : Metric
    history : History
        History with the tracks of :func:`qatviz.telemetry.record.refill.history_names`.
    snapshots : sequence of Snapshot
        Snapshots of the present branch, by step.
    log : sequence of LoggedEvent
        All events in order.
    newest : StepRecord, optional
        Last training step.
    """
    first_book = book
    for logged in reversed(log):
        changes = getattr(logged.event, "changes", ())
        first_book, _ = first_book.change([(change.setting, change.old) for change in reversed(changes)])
    outcome = Outcome(first_book, metric, BatchDivision.described(about))
    for logged in log:
        outcome.update(logged.event)
    if snapshots:
        outcome.update(snapshots[-1])
    if newest is not None and newest.step <= (history.last_step(STEPS) or 0):  # otherwise of a discarded branch
        outcome.update(newest)
    return RunData(
        about,
        "not recorded",
        network,
        first_book,
        outcome.book,
        outcome,
        about.get("steps"),
        history,
        snapshots[0] if snapshots else None,
        snapshots[-2] if len(snapshots) > 1 else None,
        snapshots[-1] if snapshots else None,
        tuple(log),
        change_points_of(outcome, first_book, log, lambda step, tensors: history),
        (),
        (_NOT_RECORDED,),
    )
