"""What the New run dialog shows of a model and of data before a run begins; to be called on worker threads."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any, Dict, Optional

import qatviz
from qatviz import data
from qatviz.data.checks import check_memory
from qatviz.errors import CodeRefused, NetworkError
from qatviz.gui.model.looks import DataQuestion, ModelLook, ModelQuestion
from qatviz.network.graph import Network
from qatviz.network.keras_import import ImportedModel, load_model_file, parse_script_spec
from qatviz.network.keras_import.convert import OpenInputShape
from qatviz.network.keras_import.files import WEIGHTS_FIELD
from qatviz.presentation.previews import DataLook, look_at

_READER = "qatviz.app.model_reader"
#: The code of a model, which is the user's own, may take so long; TensorFlow alone takes some seconds to begin.
PATIENCE_S = 120.0


def look_at_data(question: DataQuestion) -> DataLook:
    """Load the data and look at it; what is larger than memory is refused before. QatvizError if it can't be used."""
    dataset = data.load(question.source, task=question.task)
    summary = data.describe(dataset)
    return look_at(dataset, (summary["train"]["min"], summary["train"]["max"]), summary["notes"])


class ModelLooks:
    """Looks at models. Nothing of a plain file is run; code that may be run is, in a process of its own, one by one."""

    def __init__(self):
        self._lock = threading.Lock()
        self._child: Optional[subprocess.Popen] = None
        self._ended = 0  # how often; who was asked before an end begins nothing any more

    def look_at(self, question: ModelQuestion) -> ModelLook:
        """Import the model; QatvizError if it can't be. A newer question ends the process that an older one began."""
        number = self.end()
        question = question._replace(
            path=os.path.expanduser(question.path), weights=question.weights and os.path.expanduser(question.weights)
        )
        script = parse_script_spec(question.path)
        if script is not None:
            if not os.path.isfile(script.path):
                raise NetworkError(f"{script.path}: there is no such file")
            if not script.name:
                raise NetworkError(
                    f"{script.path}: which function makes the model is not said; expected PATH.py:FUNCTION"
                )
            if not question.allow_code:
                return ModelLook(
                    None, code=f"{os.path.basename(script.path)} is a Python program: to get the model, it is run"
                )
            return self._by_child(question, number)
        for path in (question.path, question.weights):
            if path is not None and not os.path.exists(path):
                raise NetworkError(
                    f"{path}: there is no such file", "model" if path is question.path else WEIGHTS_FIELD
                )
            if path is not None:
                check_memory(path, 2 * os.path.getsize(path))
        try:  # nothing of a plain file is run
            return of_open_shape(lambda shape: load_model_file(question.path, question.weights, False, shape), question)
        except CodeRefused as error:
            if not question.allow_code:
                # What to type on a command line to allow it is left out.
                return ModelLook(None, code=_without_path(error, question).partition("; allowed:")[0])
        except NetworkError as error:
            raise NetworkError(_without_path(error, question), error.field) from error
        return self._by_child(question, number)

    def end(self) -> int:
        """End the process that reads a model, if there is one; how often that was asked for."""
        with self._lock:
            self._ended += 1
            if self._child is not None and self._child.poll() is None:
                _kill(self._child)
            return self._ended

    def _by_child(self, question: ModelQuestion, number: int) -> ModelLook:
        with tempfile.TemporaryDirectory(prefix="qatviz-model-") as folder:
            answer_path = os.path.join(folder, "answer.json")
            with self._lock:
                if number != self._ended:
                    raise NetworkError(f"{question.path}: another model is wanted by now")
                self._child = child = subprocess.Popen(
                    [sys.executable, "-m", _READER, answer_path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=_environment(),
                    start_new_session=True,
                )
            try:
                _, told = child.communicate(json.dumps(question._asdict()).encode("utf-8"), PATIENCE_S)
            except subprocess.TimeoutExpired as error:
                _kill(child)
                child.communicate()
                raise NetworkError(f"{question.path}: its code did not come to an end in {PATIENCE_S:.0f} s") from error
            if not os.path.exists(answer_path):
                last = told.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
                raise NetworkError(
                    f"{question.path}: its code ended the process that ran it (exit code {child.returncode}: {last[0]})"
                )
            with open(answer_path, encoding="utf-8") as file:
                return _from_record(json.load(file))


def record_of(look: ModelLook) -> Dict[str, Any]:
    """As JSON-able data, for another process."""
    return dict(look._asdict(), network=look.network.to_dict())


def _from_record(record: Dict[str, Any]) -> ModelLook:
    if "error" in record:
        raise NetworkError(record["error"], record["field"])
    shape = record["used_shape"]
    return ModelLook(
        Network.from_dict(record["network"]),
        record["has_weights"],
        tuple(record["notes"]),
        record["code"],
        None if shape is None else tuple(shape),
    )


def of_open_shape(load: Any, question: ModelQuestion) -> ModelLook:
    """Load with the shape of the data where the model leaves its own open."""
    try:
        return _look(load(None), None)
    except OpenInputShape:
        if question.data_shape is None:
            raise
        return _look(load(tuple(question.data_shape)), tuple(question.data_shape))


def _look(imported: ImportedModel, used_shape: Any) -> ModelLook:
    return ModelLook(imported.network, bool(imported.parameters), tuple(imported.notes), "", used_shape)


def _without_path(error: NetworkError, question: ModelQuestion) -> str:
    """The message; the path stands in the field that it is shown under."""
    text, path = str(error), f"model file {question.path!r}: "
    return text[len(path) :] if text.startswith(path) else text


def _environment() -> Dict[str, str]:
    """The package is found wherever this process has it from."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(qatviz.__file__)))
    known = os.environ.get("PYTHONPATH")
    return dict(os.environ, PYTHONPATH=root + (os.pathsep + known if known else ""), TF_CPP_MIN_LOG_LEVEL="2")


def _kill(child: subprocess.Popen) -> None:
    """With all that it has begun."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
