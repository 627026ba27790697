"""TensorBoard event files of a run: from its record, or from the data in a window's memory."""

from pathlib import Path
from typing import Any, Callable, Optional

from qatviz.errors import require_tensorflow
from qatviz.presentation.strength_series import RAMP_PATHS, strengths
from qatviz.safe_text import shell_word
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.tensorflow_presence import WRITING_EVENTS


def write_recorded(directory: str, out: Optional[str] = None) -> Any:
    """Write a recorded run as event files to ``out``, by default to a folder in the run's directory.

    Returns
    -------
    qatviz.export.tensorboard.WrittenEvents

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    ExportError
        If the files can't be written.
    """
    require_tensorflow(WRITING_EVENTS)
    reader = RunRecord.read(directory)
    from qatviz.export.run_series import recorded_series
    from qatviz.export.tensorboard import write_series  # imports TensorFlow

    return write_series(out or Path(directory) / "tensorboard", recorded_series(reader))


def tensorboard_job(model: Any, directory: str) -> Callable[[], str]:
    """Return a function that writes the run in ``model`` to ``directory``, to be called on a separate thread.

    The function returns a message for the user. ``model`` is a :class:`qatviz.gui.model.run_model.RunModel` of the
    current thread; its data is copied at once.
    """
    require_tensorflow(WRITING_EVENTS)
    history, snapshots, log = model.history, list(model.snapshots), list(model.log)
    ramps = {path: model.values_of(path) for path in RAMP_PATHS}

    def write() -> str:
        from qatviz.export.tensorboard import write_events  # imports TensorFlow

        write_events(
            directory,
            history,
            snapshots,
            [h.event for h in log if h.survives],
            strength_of=lambda steps: strengths(steps, ramps.__getitem__),
        )
        return f"Wrote TensorBoard files to {directory}; show them with tensorboard --logdir {shell_word(directory)}"

    return write
