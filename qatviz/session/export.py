"""Export of a recorded run for another runtime, with a proof that the file computes the same outputs."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Optional

from qatviz.errors import ExportError, SettingError
from qatviz.export.formats import Written, format_named
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.metric import METRICS, Metric, metric_of
from qatviz.own_functions import is_function
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.report.exports import PROOF
from qatviz.session.checkpoints import recorded_state
from qatviz.session.prepared import Notice, Notify, ignore
from qatviz.session.record_requests import ExportRequest, RecordedStateRequest

#: Subdirectory of a run for the proofs of exports written elsewhere.
KEPT_PROOFS = "exports-elsewhere"


def source_of(request: RecordedStateRequest, examples: Optional[int] = None, notify: Notify = ignore) -> ExportSource:
    """Return the state to export, with the number of held-out examples to run the export on.

    Raises
    ------
    RecordError
        If there is no run, its record is damaged, or there is no checkpoint to export.
    DataError
        If its data can't be read.
    SettingError
        If the number of examples is not allowed.
    """
    if examples is not None and examples < 1:
        raise SettingError.of_field("examples", f"is {examples}: expected a whole number of at least 1")
    reader, spec = recorded_state(request.directory, request.checkpoint, request.data, notify)
    assert spec.start is not None, "a recorded state is the start of its spec"
    return state_source(spec, spec.start, examples, run=reader.description.get("run_id"))


def state_source(spec: RunSpec, state: RunState, examples: Optional[int] = None, **origin: Any) -> ExportSource:
    """Return the export source of a state; ``origin`` is added to the metadata in the proof."""
    metadata = dict(origin, checkpoint=state.name, step=state.step)
    return ExportSource(
        spec.network,
        state.book,
        state.arrays,
        spec.dataset,
        state.step,
        metadata,
        spec.keras,
        examples,
        tuple(_proof_metric(head.metric, own.task) for head, own in zip(spec.all_heads, spec.dataset.heads)),
    )


def _proof_metric(name: str, task: str) -> Metric:
    """Return the metric of proofs, in NumPy: that of the run, or of its task if it is a function of the user."""
    return metric_of(task) if is_function(name) else METRICS[name]


def export(
    request: ExportRequest, source: ExportSource, progress: Optional[Progress] = None, notify: Notify = ignore
) -> Written:
    """Write the files and the proof, and keep a copy of the proof in the run's directory.

    Raises
    ------
    ExportError
        If the format does not support the state, or the files can't be written.
    """
    format_ = format_named(request.format)
    try:
        written = format_.export(source, request.out, dict(request.options), progress or Progress())
    except OSError as error:  # formats write temporary files for their runtimes
        place = error.filename or tempfile.gettempdir()
        raise ExportError(f"{place}: a temporary file can't be written: {error.strerror or error}") from error
    _keep_proof(Path(request.directory), written, notify)
    return written


def _keep_proof(directory: Path, written: Written, notify: Notify) -> None:
    """Copy the proof to the run's directory for the report, unless the report finds the export itself."""
    run, path = directory.resolve(), written.paths[0].resolve()
    if path.parent == run.parent or run in path.parents:
        return
    copy = run / KEPT_PROOFS / f"{path.name}.{PROOF}"
    proof = next(other for other in written.paths if other.name.endswith(PROOF))
    try:
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(str(proof), str(copy))
    except OSError as error:
        notify(
            Notice(
                f"{copy}: can't be written, so the run's report will not list this export: {error.strerror or error}"
            )
        )
