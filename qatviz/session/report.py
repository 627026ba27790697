"""Report of a run as one HTML file: from its record, or from the data in a window's memory."""

from pathlib import Path
from typing import Any, Callable, Optional

from qatviz.report.unrecorded import unrecorded_run
from qatviz.report.writing import WrittenReport, check_free, save, write_report
from qatviz.telemetry.record.refill import metric_in
from qatviz.telemetry.record.run_record import RunRecord


def write_recorded(directory: str, out: Optional[str] = None) -> WrittenReport:
    """Write the report of a recorded run to ``out``, by default to a file in the run's directory.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If the report can't be written.
    """
    return write_report(RunRecord.read(directory), out)


def report_job(model: Any, directory: str, path: str) -> Callable[[], WrittenReport]:
    """Return a function that writes the report of the run in ``model`` to ``path``, to be called on a separate thread.

    Parameters
    ----------
    model : qatviz.gui.model.run_model.RunModel
        Model of the current thread; its data is copied at once.
    directory : str
        Directory of the run; empty if it is not recorded.
    path : str

    Returns
    -------
    callable
        Raises QatvizError.
    """
    if directory:
        return lambda: write_recorded(directory, path)
    about = model.run.description if model.run is not None else {}
    known = (
        model.network,
        model.book,
        metric_in(model.history),
        model.history,
        tuple(model.snapshots),
        tuple(model.log),
        model.last_step,
    )

    def write() -> WrittenReport:
        target = Path(path).absolute()
        check_free(target)
        return save(unrecorded_run(about, *known), target)

    return write
