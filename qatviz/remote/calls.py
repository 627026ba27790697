"""Calls of the methods of a workplace on another machine, whose type hints decide how arguments are encoded.

See :mod:`qatviz.remote.forms` for the forms of values.
"""

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

#: Classes by their names in the type hints of :class:`Workplace`, whose module imports them for type checks only.
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

#: Methods that the server calls with the decoded arguments. The others, such as ``prepare`` and ``export``, have calls
#: of their own in :mod:`qatviz.remote.server`.
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
    "begin_sweep",
    "sweep_news",
    "stop_sweep",
)


class Signature(NamedTuple):
    """Types of the parameters and of the result of a method.

    Attributes
    ----------
    parameters : tuple of type
        Type hints of the parameters in order, without that of the progress.
    result : type
        Type hint of the result.
    has_progress : bool
        Whether the last parameter is a :class:`Progress`. It is not sent: the server passes one of its own.
    """

    parameters: Tuple[Any, ...]
    result: Any
    has_progress: bool


def _signature(name: str) -> Signature:
    """Return the types of a method of :class:`Workplace`."""
    method = getattr(Workplace, name)
    hints = typing.get_type_hints(method, None, _NAMES)
    kinds = [hints[parameter] for parameter in inspect.signature(method).parameters if parameter != "self"]
    plain = tuple(kind for kind in kinds if kind is not Progress)
    return Signature(plain, hints["return"], len(plain) < len(kinds))


#: Types of the methods :data:`PLAIN` by name.
SIGNATURES: Dict[str, Signature] = {name: _signature(name) for name in PLAIN}


def arguments_form(name: str, given: Sequence[Any]) -> Tuple[List[Any], Arrays]:
    """Return the forms of the arguments of a call, and their arrays.

    Parameters
    ----------
    name : str
        Name of the method.
    given : sequence of object
        Arguments in order, without the progress. The form of a run is its id on the server, ``hosted_id``, or empty
        for a run of this machine.
    """
    arrays: Arrays = []
    rows = [
        getattr(value, "hosted_id", "") if kind is RunHandle else form_of(value, arrays)
        for kind, value in zip(SIGNATURES[name].parameters, given)
    ]
    return rows, arrays


def arguments_of(
    name: str, rows: Any, arrays: Sequence[np.ndarray], runs: Mapping[str, RunHandle], no_run: RunHandle
) -> List[Any]:
    """Return the arguments of a call.

    Parameters
    ----------
    name : str
        Name of the method.
    rows : object
        Forms of the arguments, as :func:`arguments_form` returns them.
    arrays : sequence of np.ndarray
        Arrays of the arguments.
    runs : mapping of str to RunHandle
        Runs of the server by id.
    no_run : RunHandle
        Argument for a run whose id is not in ``runs``; the method then reads the record of the run.

    Raises
    ------
    FrameError
        If there is no such method, or the number of arguments or an argument is invalid.
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
