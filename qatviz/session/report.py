"""Report of a run as one HTML file: from its record, or from the data in a window's memory."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Collection, Dict, List, Optional, Tuple

from qatviz.analysis.channels import RunChannels, screened
from qatviz.analysis.chip.estimate import ChipEstimate, estimate
from qatviz.analysis.chip.targets import Target, target
from qatviz.analysis.drift import RunDrift
from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.errors import ExportError, RecordError
from qatviz.export.formats import FORMATS
from qatviz.presentation.example_pictures import PicturedPredictions
from qatviz.presentation.export_sizes import FormatSize, WeightStorage
from qatviz.report.run_data import KnownResults, RunData
from qatviz.report.unrecorded import unrecorded_run
from qatviz.report.writing import WrittenReport, check_free, save, write_report
from qatviz.session.budget import advise
from qatviz.session.budget_request import BudgetRequest
from qatviz.session.channels import channels_at
from qatviz.session.checkpoints import readable_checkpoints, settings_at
from qatviz.session.chip import network_graph
from qatviz.session.drift import drift_of_record
from qatviz.session.predictions import pictured_predictions
from qatviz.session.record_requests import ChannelsRequest, DriftRequest, PredictionsRequest, SensitivityRequest
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
    wanted: Collection[str] = (),
    known: KnownResults = KnownResults(),
    goal: Optional[Target] = None,
    budget: Optional[BudgetRequest] = None,
) -> WrittenReport:
    """Write the report of a recorded run to ``out``.

    By default, it is written to a file in the run's directory. It has the sizes of exports of the newest checkpoint, as
    ``qatviz export --dry-run`` prints them.

    Parameters
    ----------
    wanted : collection of str
        Fields of :class:`KnownResults` to compute on the newest checkpoint, which takes time.
    known : KnownResults
        Results that are known.
    goal : Target, optional
        Chip that the report estimates the network for; by default that of the window without a choice.
    budget : BudgetRequest, optional
        Request for bits within a budget, which takes time.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged; if results are wanted also if it has no checkpoint.
    DataError
        If its data, which wanted results and ``budget`` need, can't be read.
    SettingError
        If no bits are within the budget.
    ExportError
        If the report can't be written, or the format of ``budget`` does not support the run.
    """
    computed = {name: compute(directory) for name, compute in _COMPUTED.items() if name in wanted}
    known = known._replace(**computed)
    advice = None if budget is None else advise(budget).table
    return write_report(
        RunRecord.read(directory),
        out,
        lambda run: _sizes(directory, run),
        lambda run: _on_chip(run, goal),
        known,
        advice,
    )


#: Functions that compute the results of a recorded run.
_COMPUTED: Dict[str, Callable[[str], Any]] = {
    "sensitivity": lambda directory: sensitivity_of_record(SensitivityRequest(directory, measured=True)),
    "drift": lambda directory: drift_of_record(DriftRequest(directory, with_maps=True)),
    "channels": lambda directory: channels_at(ChannelsRequest(directory)),
    "predictions": lambda directory: pictured_predictions(PredictionsRequest(directory, at_most=_PREDICTED)),
}


def _on_chip(run: RunData, goal: Optional[Target]) -> Optional[ChipEstimate]:
    """Return the network on a chip; None if TFLite Micro does not support it."""
    try:
        return estimate(network_graph(run.network, run.book), goal or target())
    except ExportError:
        return None


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
    results, known_chip = known_results(model), model.chip
    if directory:
        goal = None if known_chip is None else known_chip.target
        return lambda: write_recorded(directory, path, known=results, goal=goal)
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
        place = Path(path).absolute()
        check_free(place)
        return save(replace(unrecorded_run(about, *known), chip=known_chip, **results._asdict()), place)

    return write


def known_results(model: Any) -> KnownResults:
    """Return the newest results in the model of a window; the drift only if it is not that of a single example."""
    sensitivity, drift, channels = model.sensitivity, model.drift, None
    if model.channels is not None:
        tensors = tuple(screened(ranges, model.book.of(ranges.tensor)) for ranges in model.channels.tensors)
        channels = RunChannels("", model.channels.step, tensors)
    return KnownResults(
        None if sensitivity is None else RunSensitivity("", sensitivity, model.measured_sensitivity),
        None if drift is None or drift.example is not None else RunDrift("", drift, model.feature_maps),
        channels,
        None if model.predictions is None else PicturedPredictions(model.predictions, model.example_pictures),
    )
