"""What a path leads to: a recorded run, a model or data."""

import os
from typing import List

from qatviz.data.registry import FILE_FORMATS
from qatviz.errors import QatvizError
from qatviz.session.request import is_model_path
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME


def kind_of(path: str) -> str:
    """Return "run", "model" or "data".

    Raises
    ------
    QatvizError
        If it is none of them.
    """
    if os.path.isdir(path) and os.path.exists(os.path.join(path, DATABASE_NAME)):
        return "run"
    if os.path.basename(path) == DATABASE_NAME:
        raise QatvizError(f"{path}: this is the record of a run: open the directory that it is in")
    if is_model_path(path):
        return "model"
    if not is_data(path):
        raise QatvizError(f"{path}: expected the directory of a run, a Keras model or data that can be read")
    return "data"


def is_data(path: str) -> bool:
    """Return whether a path looks like data; the content is not read."""
    return os.path.exists(path) and any(kind.matches(path) for kind in FILE_FORMATS)


def checkpoint_names(directory: str) -> List[str]:
    """Return the names of the checkpoints of a recorded run that can be read, by step."""
    return [info.name for info in RunRecord.read(directory).list_checkpoints() if not info.error]
