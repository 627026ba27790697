"""Sensitivity of a run that has ended or was recorded to the quantization of each tensor. Nothing is recorded."""

from typing import Optional

from qatviz.analysis.sensitivity import MeasuredSensitivity, RunSensitivity, Sensitivity
from qatviz.export.progress import Progress
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.checkpoints import evaluable_state
from qatviz.session.prepared import Notify, ignore
from qatviz.session.record_requests import SensitivityRequest
from qatviz.session.state_work import completed

#: Fraction of the progress that the estimate takes, if there is a measurement, too.
_ESTIMATE = 0.2


def sensitivity_of_record(
    request: SensitivityRequest, notify: Notify = ignore, progress: Optional[Progress] = None
) -> RunSensitivity:
    """Return the sensitivity of a checkpoint of a recorded run.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint.
    DataError
        If its data can't be read.
    Cancelled
    """
    _, spec = evaluable_state(request.directory, request.checkpoint, request.data, notify)
    return sensitivity_of(spec, request.measured, progress)


def sensitivity_of(spec: RunSpec, measured: bool = False, progress: Optional[Progress] = None) -> RunSensitivity:
    """Return the sensitivity of the state ``spec.start``.

    Raises
    ------
    QatvizError
        If the state does not match the network.
    Cancelled
    """
    assert spec.start is not None, "the sensitivity is that of a state"
    progress = progress or Progress()
    estimated = _estimated(spec, progress.part(0.0, _ESTIMATE if measured else 1.0))
    found = _measured(spec, progress.part(_ESTIMATE, 1.0)) if measured else None
    return RunSensitivity(spec.start.name, estimated, found)


def _estimated(spec: RunSpec, progress: Progress) -> Sensitivity:
    progress.at("building the graph", 0.0)
    from qatviz.training.sensitivity import SensitivityGraph, SensitivityJob  # imports TensorFlow

    assert spec.start is not None
    graph = SensitivityGraph(spec)
    try:
        job = SensitivityJob(graph, spec.start.arrays, spec.start.book, spec.start.step)
        return completed(job, "estimating", progress)
    finally:
        graph.close()


def _measured(spec: RunSpec, progress: Progress) -> MeasuredSensitivity:
    progress.at("building the graph", 0.0)
    from qatviz.training.state_evaluator import StateEvaluator  # imports TensorFlow

    assert spec.start is not None
    evaluator = StateEvaluator(spec)
    try:
        return completed(evaluator.begin_measuring(spec.start.book), "measuring", progress)
    finally:
        evaluator.close()
