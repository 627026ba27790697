"""Predictions of a run that has ended or was recorded, in float and quantized. Nothing is recorded."""

from typing import Callable, Optional

from qatviz.analysis.predictions import RunPredictions
from qatviz.data import Dataset
from qatviz.errors import RecordError, about
from qatviz.export.progress import Progress
from qatviz.presentation.example_pictures import ExamplePictures, PicturedPredictions, pictures_of_examples
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.checkpoints import evaluable_state
from qatviz.session.evaluation import Evaluator
from qatviz.session.prepared import Notify, ignore
from qatviz.session.record_requests import PredictionsRequest
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.run_handle import RunHandle
from qatviz.training.handle import Run


def predictions_of_record(
    request: PredictionsRequest, notify: Notify = ignore, progress: Optional[Progress] = None
) -> RunPredictions:
    """Return the predictions of a checkpoint of a recorded run for its held-out examples.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no such checkpoint.
    DataError
        If its data can't be read.
    Cancelled
    """
    return predictions_of(recorded_spec(request, notify), request.at_most, progress)


def recorded_spec(request: PredictionsRequest, notify: Notify = ignore) -> RunSpec:
    """Return the spec of a recorded run with the requested state as ``start``; errors as above."""
    checkpoint = request.checkpoint
    if request.step is not None:
        checkpoint = _checkpoint_at(request.directory, request.step)
    return evaluable_state(request.directory, checkpoint, request.data, notify)[1]


def predictions_of(spec: RunSpec, at_most: Optional[int] = None, progress: Optional[Progress] = None) -> RunPredictions:
    """Return the predictions of the state ``spec.start`` for ``at_most`` held-out examples, by default for all.

    Raises
    ------
    QatvizError
        If the state does not match the network.
    Cancelled
    """
    evaluator = Evaluator(spec)
    try:
        found = evaluator.predict(evaluator.state.book, at_most, progress)
    finally:
        evaluator.close()
    return RunPredictions(evaluator.state.name, found)


def pictured_predictions(
    request: PredictionsRequest, notify: Notify = ignore, progress: Optional[Progress] = None
) -> PicturedPredictions:
    """Return what :func:`predictions_of_record` does, with the pictures of the examples."""
    spec = recorded_spec(request, notify)
    found = predictions_of(spec, request.at_most, progress).found
    return PicturedPredictions(found, pictures_of_examples(spec.dataset, found.examples))


def held_out_pictures(run: RunHandle, evaluator: Callable[[], Evaluator], number: int) -> ExamplePictures:
    """Return the pictures of the first ``number`` held-out examples of a run, also while it trains.

    ``evaluator`` returns that of a run which was opened from its record: both use the same data.
    """
    dataset: Dataset = run.spec.dataset if isinstance(run, Run) else evaluator().spec.dataset
    return pictures_of_examples(dataset, number)


def _checkpoint_at(directory: str, step: int) -> str:
    """Return the name of the newest readable checkpoint of a step; RecordError if there is none."""
    with about("step"):
        reader = RunRecord.read(directory)
        infos = [info for info in reader.list_checkpoints() if not info.error and reader.is_surviving(info.point)]
        found = [info.name for info in infos if info.step == step]
        if not found:
            steps = ", ".join(f"{known:,}" for known in sorted({info.step for info in infos})) or "none"
            raise RecordError(f"{reader.directory}: has no checkpoint of step {step:,}; available: {steps}")
    return found[-1]
