"""Report of a run as one HTML file: from its record, or from the data in a window's memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.errors import ExportError, RecordError
from qatviz.export.formats import FORMATS
from qatviz.presentation.example_pictures import PicturedPredictions
from qatviz.presentation.export_sizes import FormatSize, WeightStorage
from qatviz.report.run_data import RunData
from qatviz.report.unrecorded import unrecorded_run
from qatviz.report.writing import WrittenReport, check_free, save, write_report
from qatviz.session.checkpoints import readable_checkpoints, settings_at
from qatviz.session.predictions import pictured_predictions
from qatviz.session.record_requests import PredictionsRequest, SensitivityRequest
from qatviz.session.sensitivity import sensitivity_of_record
from qatviz.session.sizes import size_at
from qatviz.telemetry.record.refill import metric_in
from qatviz.telemetry.record.run_record import RunRecord

#: Largest number of held-out examples that are predicted for a report.
_PREDICTED = 2000
#: Formats whose sizes are shown: those that store codes. The others store four bytes for each parameter.
_SIZED = [form for form in FORMATS.values() if form.weights in (WeightStorage.CODES, WeightStorage.COMPRESSED)]


def write_recorded(
    directory: str,
    out: Optional[str] = None,
    with_sensitivity: bool = False,
    sensitivity: Optional[RunSensitivity] = None,
    with_predictions: bool = False,
    predictions: Optional[PicturedPredictions] = None,
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
    with_predictions : bool
        True to predict held-out examples by the newest checkpoint, in float and quantized, which takes time.
    predictions : PicturedPredictions, optional
        Predictions that are known.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged; ``with_sensitivity`` and ``with_predictions`` also if it has no
        checkpoint.
    DataError
        If its data, which these need, can't be read.
    ExportError
        If the report can't be written.
    """
    if with_sensitivity:
        sensitivity = sensitivity_of_record(SensitivityRequest(directory, measured=True))
    if with_predictions:
        predictions = pictured_predictions(PredictionsRequest(directory, at_most=_PREDICTED))
    reader = RunRecord.read(directory)
    return write_report(reader, out, lambda run: _sizes(directory, run), sensitivity, predictions)


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
    known_predictions = None
    if model.predictions is not None:
        known_predictions = PicturedPredictions(model.predictions, model.example_pictures)
    if directory:
        return lambda: write_recorded(directory, path, sensitivity=known_sensitivity, predictions=known_predictions)
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
        run = unrecorded_run(about, *known)
        return save(replace(run, sensitivity=known_sensitivity, predictions=known_predictions), target)

    return write
