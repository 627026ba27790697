"""The report of the run that a window shows: from its record, or from memory where it has none."""

from pathlib import Path
from typing import Callable

from qatviz.gui.model.run_model import RunModel
from qatviz.report.run_data import Happening
from qatviz.report.shown import shown_run
from qatviz.report.writing import WrittenReport, check_free, save, write_report
from qatviz.telemetry.record.refill import metric_in
from qatviz.telemetry.record.run_record import RunRecord


def report_job(model: RunModel, directory: str, path: str) -> Callable[[], WrittenReport]:
    """What writes the report to ``path``, for a thread of its own.

    Called on the thread of ``model``: what it knows is copied at once. ``directory`` is where the run is recorded,
    empty if it is not; the job raises QatvizError.
    """
    if directory:
        return lambda: write_report(RunRecord.read(directory), path)
    spec = getattr(model.run, "spec", None)
    about = spec.description() if spec is not None else {}
    happenings = tuple(Happening(happening.event, None, happening.survives) for happening in model.happenings)
    known = (
        model.network,
        model.book,
        metric_in(model.history),
        model.history,
        tuple(model.snapshots),
        happenings,
        model.last_step,
    )

    def write() -> WrittenReport:
        target = Path(path).absolute()
        check_free(target)
        return save(shown_run(about, *known), target)

    return write
