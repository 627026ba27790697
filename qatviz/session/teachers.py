"""Keras models as teachers of runs: read for a new run, stored in its record, and read again when it is continued."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from qatviz.errors import NetworkError
from qatviz.low_bit_settings import MODEL_TEACHER
from qatviz.network.graph import Network
from qatviz.protocol.run_spec import RunSpec, Teacher
from qatviz.session.models import file_model, object_model, without_sigmoid
from qatviz.session.prepared import Notice, Notify
from qatviz.session.request import NewRunRequest
from qatviz.task import REGRESSION
from qatviz.telemetry.record.checkpoint_files import CheckpointFiles
from qatviz.telemetry.record.own_files import INITIAL
from qatviz.telemetry.record.reader import RecordReader

#: Name of the file of its parameters in a record, and of the entry of the run's description for its network.
TEACHER = "teacher"


def with_teacher(spec: RunSpec, request: NewRunRequest, model: Any, notify: Notify) -> RunSpec:
    """Return a spec with the teacher of a request; the setting ``teacher`` becomes "model" unless it has a teacher.

    ``model`` is a tf.keras model that replaces the one of the request, or None. Without either, it is ``spec`` itself.

    Raises
    ------
    NetworkError
        If the model can't be used, has no weights, or does not fit the network.
    """
    if model is None and request.teacher_model is None:
        return spec
    if model is not None:
        chosen = object_model(model, spec.dataset)
    else:
        chosen = file_model(os.path.expanduser(str(request.teacher_model)), spec.dataset, None, request.allow_code)
    for output, head in zip(chosen.network.outputs, spec.dataset.heads):
        if head.task != REGRESSION:
            chosen = without_sigmoid(chosen, output)
    if chosen.parameters is None:
        raise NetworkError(f"{chosen.network.name!r} has no weights: expected a trained model")
    for note in chosen.notes:
        notify(Notice(f"teacher {note}"))
    book = spec.book
    if not book.run.has_teacher:
        book = replace(book, run=replace(book.run, teacher=MODEL_TEACHER))
    return replace(spec, book=book, teacher=Teacher(chosen.network, chosen.parameters))


def write_teacher(directory: Path, spec: RunSpec) -> None:
    """Store the parameters of a spec's teacher, if it has one, in the directory of its record."""
    if spec.teacher is not None:
        CheckpointFiles(directory, INITIAL).save(TEACHER, spec.teacher.parameters, {"step": 0, "reason": "given"})


def recorded_teacher(reader: RecordReader) -> Optional[Teacher]:
    """Return the teacher of a recorded run; None if it has none.

    Raises
    ------
    RecordError
        If its file is missing or damaged.
    """
    described = reader.description.get(TEACHER)
    if described is None:
        return None
    parameters, _ = CheckpointFiles(reader.directory, INITIAL).load(TEACHER)
    return Teacher(Network.from_dict(described), parameters)
