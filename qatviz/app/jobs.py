"""What the window has done for it, in the same way as the command line does it; on any thread."""

import os
from typing import Callable, List, Sequence, Tuple

from qatviz import data
from qatviz.app.looks import is_data
from qatviz.app.recorded import recall, recorded_run
from qatviz.app.report import report_job
from qatviz.cli.parser import parse
from qatviz.errors import QatvizError
from qatviz.export.formats import FORMATS, Format
from qatviz.gui.model.launcher import Prepared
from qatviz.gui.model.new_run import is_model_path
from qatviz.gui.model.run_model import RunModel
from qatviz.session.launch import Launch, prepare
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME
from qatviz.training.handle import Run

__all__ = [
    "checkpoints",
    "data_names",
    "export_formats",
    "kind_of",
    "prepare_run",
    "prepared_from",
    "recorded_run",
    "report_job",
    "tensorboard_job",
]


def prepare_run(arguments: Sequence[str]) -> Prepared:
    """The run of ``qatviz train ARGUMENTS``, not started."""
    return prepared_from(prepare(parse(["train", *list(arguments)])), arguments)


def prepared_from(launch: Launch, arguments: Sequence[str] = ()) -> Prepared:
    """The run that ``launch`` describes, not started."""
    spec = launch.spec
    run = Run(spec, launch.record, yields=True)
    happenings, snapshots = recall(launch.record) if launch.record is not None and "--resume" in arguments else ((), ())
    book = spec.start.book if spec.start is not None else spec.book
    return Prepared(
        run,
        spec.network,
        book,
        f"{spec.network.name} on {spec.dataset.name}",
        len(spec.dataset.x_train) / spec.batch_size,
        str(launch.record.directory) if launch.record else "",
        happenings,
        snapshots,
    )


def kind_of(path: str) -> str:
    """``run``, ``model`` or ``data``; QatvizError if it is none of them."""
    if os.path.isdir(path) and os.path.exists(os.path.join(path, DATABASE_NAME)):
        return "run"
    if os.path.basename(path) == DATABASE_NAME:
        raise QatvizError(f"{path}: this is the record of a run: open the directory that it is in")
    if is_model_path(path):
        return "model"
    if not is_data(path):
        raise QatvizError(f"{path}: is neither a run nor a Keras model nor data that can be read")
    return "data"


def checkpoints(directory: str) -> List[str]:
    """Names of the checkpoints of a recorded run that can be read."""
    return [info.name for info in RunRecord.read(directory).list_checkpoints() if not info.error]


def data_names() -> Sequence[Tuple[str, str]]:
    """The data sets that have names, and a sentence on each."""
    return [(named.name, named.help) for named in data.NAMED_DATA]


def export_formats() -> Sequence[Format]:
    """All formats, in the order in which they are offered."""
    return tuple(FORMATS.values())


def tensorboard_job(model: RunModel, directory: str) -> Callable[[], str]:
    """What writes event files of the run in ``model``, as it is now, for a thread of its own; returns a sentence."""
    history, snapshots, happenings = model.history, list(model.snapshots), list(model.happenings)

    def write() -> str:
        from qatviz.export.tensorboard import write_events  # TensorFlow, which the window does without

        write_events(directory, history, snapshots, [h.event for h in happenings if h.survives])
        return f"Wrote TensorBoard files to {directory}; look at them with tensorboard --logdir {directory}"

    return write
