"""Calls of a workplace on another machine: the forms of their arguments and results, by its methods' type hints."""

import inspect
import typing
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz.analysis.channels import ChannelsOverview
from qatviz.analysis.chip.targets import Target
from qatviz.analysis.comparison import Comparison
from qatviz.analysis.predictions import Predictions, RunPredictions
from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.export.progress import Progress
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.presentation.export_sizes import ExportSize
from qatviz.presentation.previews import DataInfo
from qatviz.remote.errors import FrameError
from qatviz.remote.forms import Arrays, form_of, value_of
from qatviz.report.run_data import KnownResults
from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
from qatviz.session.workplace import Workplace
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
from qatviz.telemetry.record.labels import RunLabels
from qatviz.telemetry.run_handle import RunHandle
from qatviz.telemetry.run_summary import Catalogue

#: Names in the workplace's type hints, which its module imports for type checks only.
_NAMES: Dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Catalogue,
        ChannelsOverview,
        CheckpointInfo,
        Comparison,
        DataInfo,
        DataQuestion,
        ExamplePictures,
        ExportSize,
        KnownResults,
        ModelInfo,
        ModelQuestion,
        Predictions,
        RunLabels,
        RunPredictions,
        RunSensitivity,
        Target,
    )
}

#: Methods that are called as they are; the others need work on both sides.
PLAIN = (
    "kind_of",
    "folder",
    "new_run_directory",
    "checkpoints",
    "data_names",
    "check_data",
    "check_model",
    "cancel_checks",
    "read_runs",
    "delete_run",
    "compare",
    "evaluate",
    "sensitivity",
    "drift",
    "channels",
    "predict",
    "predict_past",
    "forks",
    "pictures",
    "settings_at",
    "export_size",
    "keep_checkpoint",
    "write_labels",
    "report",
)


class Signature(NamedTuple):
    """Types of a method's parameters, in order, without its progress; and of its result."""

    parameters: Tuple[Any, ...]
    result: Any
    has_progress: bool


def _signature(name: str) -> Signature:
    method = getattr(Workplace, name)
    hints = typing.get_type_hints(method, None, _NAMES)
    kinds = [hints[parameter] for parameter in inspect.signature(method).parameters if parameter != "self"]
    plain = tuple(kind for kind in kinds if kind is not Progress)
    return Signature(plain, hints["return"], len(plain) < len(kinds))


SIGNATURES: Dict[str, Signature] = {name: _signature(name) for name in PLAIN}


def arguments_form(name: str, given: Sequence[Any]) -> Tuple[List[Any], Arrays]:
    """Return the form of the arguments of a call, and their arrays; of a run, its id ``hosted_id``."""
    arrays: Arrays = []
    rows = [
        getattr(value, "hosted_id", "") if kind is RunHandle else form_of(value, arrays)
        for kind, value in zip(SIGNATURES[name].parameters, given)
    ]
    return rows, arrays


def arguments_of(
    name: str, rows: Any, arrays: Sequence[np.ndarray], runs: Mapping[str, RunHandle], no_run: RunHandle
) -> List[Any]:
    """Return the arguments of a call; ``runs`` are those of the server by id, ``no_run`` stands for any other.

    Raises
    ------
    FrameError
        If there is no such method, or an argument is invalid.
    """
    signature = SIGNATURES.get(name)
    if signature is None:
        raise FrameError(f"there is no call {name!r}")
    if not isinstance(rows, list) or len(rows) != len(signature.parameters):
        raise FrameError(f"{name} has {len(signature.parameters)} arguments")
    return [
        runs.get(str(row), no_run) if kind is RunHandle else value_of(kind, row, arrays)
        for kind, row in zip(signature.parameters, rows)
    ]
