"""Inspection of paths, and of the model and the data chosen for a new run; callable on any thread."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any, Callable, Dict, Optional

from qatviz import data
from qatviz.data.checks import check_memory
from qatviz.data.registry import FILE_FORMATS, options_for
from qatviz.errors import CodeRefused, NetworkError, QatvizError
from qatviz.network.graph import Network
from qatviz.network.keras_import import ImportedModel, InputShape, in_known_shape, load_model_file
from qatviz.network.keras_import.files import WEIGHTS_FIELD
from qatviz.network.model_formats import exists, parse_script_spec
from qatviz.presentation.previews import DataInfo, data_info
from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
from qatviz.session.processes import child_environment
from qatviz.session.request import is_model_path
from qatviz.telemetry.record.schema import DATABASE_NAME

_READER = "qatviz.session.model_reader"
#: Time limit for a model's code in seconds; TensorFlow alone takes some seconds to start.
CODE_TIMEOUT_S = 120.0


def kind_of(path: str) -> str:
    """Return the kind of a path: "run", "model" or "data".

    Raises
    ------
    QatvizError
        If it is of another kind.
    """
    if os.path.isdir(path) and os.path.exists(os.path.join(path, DATABASE_NAME)):
        return "run"
    if os.path.basename(path) == DATABASE_NAME:
        raise QatvizError(f"{path}: this is the record of a run: open its directory")
    if is_model_path(path):
        return "model"
    if not is_data(path):
        raise QatvizError(f"{path}: expected the directory of a run, a Keras model or data that can be read")
    return "data"


def is_data(path: str) -> bool:
    """Return whether a path matches a data format."""
    return os.path.exists(path) and any(kind.matches(path) for kind in FILE_FORMATS)


def inspect_data(question: DataQuestion) -> DataInfo:
    """Load the data and return its properties for a new run.

    Raises
    ------
    QatvizError
        If it can't be used; data that would have to fit in memory, but does not, is refused before it is loaded.
    """
    dataset = data.load(
        question.source,
        task=question.task,
        scaling=question.scaling,
        options=question.options,
        tasks=dict(question.tasks),
    )
    summary = data.describe(dataset)
    inferred = [note for note in summary["notes"] if note not in summary["mistakes"]]
    info = data_info(dataset, (summary["train"]["min"], summary["train"]["max"]), inferred, summary["mistakes"])
    options = options_for(dataset, question.source)
    return info._replace(options=options, choices=dataset.choices)


class ModelInspector:
    """Inspector of models, one at a time.

    Code that the user has allowed runs in a separate process; no other code is run.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: Optional[subprocess.Popen[bytes]] = None
        self._cancellations = 0  # a question from before the last cancellation must not start a process

    def inspect(self, question: ModelQuestion) -> ModelInfo:
        """Import the model; a newer question ends the process of an older one.

        Raises
        ------
        QatvizError
            If it can't be imported. Its field is ``model`` or ``model_weights``; empty if the model's code failed.
        """
        number = self.cancel()
        question = question._replace(
            path=os.path.expanduser(question.path), weights=question.weights and os.path.expanduser(question.weights)
        )
        script = parse_script_spec(question.path)
        if script is not None:
            if not os.path.isfile(script.path):
                raise NetworkError(f"{script.path}: no such file", "model")
            if not script.name:
                raise NetworkError(f"{script.path}: no function is named; expected PATH.py:FUNCTION", "model")
            if not question.allow_code:
                name = os.path.basename(script.path)
                return ModelInfo(None, code=f"{name} is a Python program, which must run to build the model")
            return self._inspect_in_child(question, number)
        for path, field in ((question.path, "model"), (question.weights, WEIGHTS_FIELD)):
            if path is not None and not exists(path):
                raise NetworkError(f"{path}: no such file", field)
            if path is not None and os.path.isfile(path):
                check_memory(path, 2 * os.path.getsize(path))
        try:
            return read_model(lambda shape: load_model_file(question.path, question.weights, False, shape), question)
        except CodeRefused as error:
            if not question.allow_code:
                return ModelInfo(None, code=error.code)
        except NetworkError as error:  # without the path: the message is shown below the field that has it
            raise NetworkError(error.reason, error.field or "model") from error
        return self._inspect_in_child(question, number)

    def cancel(self) -> int:
        """End the process that inspects a model, if there is one, and return the number of cancellations so far."""
        with self._lock:
            self._cancellations += 1
            if self._child is not None and self._child.poll() is None:
                _kill(self._child)
            return self._cancellations

    def _inspect_in_child(self, question: ModelQuestion, number: int) -> ModelInfo:
        with tempfile.TemporaryDirectory(prefix="qatviz-model-") as folder:
            answer_path = os.path.join(folder, "answer.json")
            with self._lock:
                if number != self._cancellations:
                    raise NetworkError(f"{question.path}: cancelled: another model was chosen")
                self._child = child = subprocess.Popen(
                    [sys.executable, "-m", _READER, answer_path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=child_environment(TF_CPP_MIN_LOG_LEVEL="2"),
                    start_new_session=True,
                )
            try:
                _, printed = child.communicate(json.dumps(question._asdict()).encode("utf-8"), CODE_TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                _kill(child)
                child.communicate()
                raise NetworkError(f"{question.path}: its code did not finish within {CODE_TIMEOUT_S:.0f} s") from error
            if not os.path.exists(answer_path):
                last = printed.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
                raise NetworkError(
                    f"{question.path}: its code ended the process that ran it (exit code {child.returncode}: {last[0]})"
                )
            with open(answer_path, encoding="utf-8") as file:
                return _from_record(json.load(file))


def read_model(load: Callable[[Optional[InputShape]], ImportedModel], question: ModelQuestion) -> ModelInfo:
    """Return the properties of the model that ``load`` imports.

    ``load`` takes the input shape: None for the model's own or, if that has unknown axes, the shape of the data.
    """
    imported, used_shape = in_known_shape(load, question.data_shape)
    return ModelInfo(imported.network, bool(imported.parameters), tuple(imported.notes), "", used_shape)


def to_record(info: ModelInfo) -> Dict[str, Any]:
    """Return the JSON-able form of the properties of an imported model, for another process."""
    assert info.network is not None
    return dict(info._asdict(), network=info.network.to_dict())


def _from_record(record: Dict[str, Any]) -> ModelInfo:
    if "error" in record:
        raise NetworkError(record["error"], record["field"])
    shape = record["used_shape"]
    return ModelInfo(
        Network.from_dict(record["network"]),
        record["has_weights"],
        tuple(record["notes"]),
        record["code"],
        shape if shape is None or isinstance(shape, dict) else tuple(shape),
    )


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
