"""Report of a run as one HTML file: from its record, or from the data in a window's memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.errors import ExportError, RecordError
from qatviz.export.formats import FORMATS
from qatviz.presentation.export_sizes import FormatSize, WeightStorage
from qatviz.report.run_data import RunData
from qatviz.report.unrecorded import unrecorded_run
from qatviz.report.writing import WrittenReport, check_free, save, write_report
from qatviz.session.budget import advise
from qatviz.session.budget_request import BudgetRequest
from qatviz.session.checkpoints import readable_checkpoints, settings_at
from qatviz.session.record_requests import SensitivityRequest
from qatviz.session.sensitivity import sensitivity_of_record
from qatviz.session.sizes import size_at
from qatviz.telemetry.record.refill import metric_in
from qatviz.telemetry.record.run_record import RunRecord

#: Formats whose sizes are shown: those that store codes. The others store four bytes for each parameter.
_SIZED = [form for form in FORMATS.values() if form.weights in (WeightStorage.CODES, WeightStorage.COMPRESSED)]


def write_recorded(
    directory: str,
    out: Optional[str] = None,
    with_sensitivity: bool = False,
    sensitivity: Optional[RunSensitivity] = None,
    budget: Optional[BudgetRequest] = None,
) -> WrittenReport:
    """Write the report of a recorded run to ``out``.

    By default, it is written to a file in the run's directory. It has the sizes of exports of the newest checkpoint, as
    ``qatviz export --dry-run`` prints them.

    Parameters
    ----------
    with_sensitivity : bool
        True to compute the sensitivity of the newest checkpoint, estimated and measured, which takes time.
    sensitivity : RunSensitivity, optional
        Sensitivity that is known.
    budget : BudgetRequest, optional
        Request for bits within a budget, which takes time.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged; ``with_sensitivity`` also if it has no checkpoint.
    DataError
        If its data, which ``with_sensitivity`` and ``budget`` need, can't be read.
    SettingError
        If no bits are within the budget.
    ExportError
        If the report can't be written, or the format of ``budget`` does not support the run.
    """
    if with_sensitivity:
        sensitivity = sensitivity_of_record(SensitivityRequest(directory, measured=True))
    advice = None if budget is None else advise(budget).table
    return write_report(RunRecord.read(directory), out, lambda run: _sizes(directory, run), sensitivity, advice)


def _sizes(directory: str, run: RunData) -> Tuple[FormatSize, ...]:
    """Return the sizes of exports of the newest checkpoint, or of the present state if there is none."""
    checkpoint, book, step = "", run.book, run.outcome.step
    found: List[FormatSize] = []
    try:
        checkpoints = readable_checkpoints(directory)
        if checkpoints:
            checkpoint = checkpoints[-1].name
            book, step = settings_at(directory, checkpoint)
        for form in _SIZED:
            try:
                found.append(FormatSize(form.title, size_at(directory, checkpoint, book, step, form.name, {})))
            except ExportError as error:
                found.append(FormatSize(form.title, None, str(error)))
    except RecordError:  # the report says what can't be read
        return ()
    return tuple(found)


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
    known_sensitivity = None
    if model.sensitivity is not None:
        known_sensitivity = RunSensitivity("", model.sensitivity, model.measured_sensitivity)
    if directory:
        return lambda: write_recorded(directory, path, sensitivity=known_sensitivity)
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
        return save(replace(unrecorded_run(about, *known), sensitivity=known_sensitivity), target)

    return write
