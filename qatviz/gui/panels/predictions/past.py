"""Button that predicts with the checkpoint nearest to the shown moment of the past."""
# Apart from the panel, whose module has reached the limit of lines.

from typing import Optional

from PyQt5 import QtWidgets

from qatviz.gui.model.run_model import RunModel
from qatviz.protocol.events import CheckpointSaved

_TIP = "Predict the held-out examples in the state of the checkpoint nearest to the shown moment"
_NO_CHECKPOINT = "The run has recorded no checkpoint, without which examples can't be predicted in a past state"


def nearest_checkpoint(model: RunModel) -> Optional[CheckpointSaved]:
    """Return the recorded checkpoint nearest to the shown moment of the past; None if there is none."""
    if model.moment is None or not model.is_recorded:
        return None
    shown, events = model.moment.step, [logged.event for logged in model.log if logged.survives]
    saved = [event for event in events if isinstance(event, CheckpointSaved)]
    return min(saved, key=lambda event: abs(event.step - shown)) if saved else None


def show_checkpoint(button: QtWidgets.QPushButton, model: RunModel) -> None:
    """Show the step and the name of the checkpoint on the button; disable it if there is none."""
    saved = nearest_checkpoint(model)
    button.setEnabled(saved is not None)
    button.setText("Predict" if saved is None else f"Predict step {saved.step:,}")
    button.setToolTip(_NO_CHECKPOINT if saved is None else f"{_TIP}: {saved.name}")


def distance_text(step: int, shown: int) -> str:
    """Return a note that the predictions are of another step than the ``shown`` one; empty if they are not."""
    return "" if step == shown else f", the nearest to step {shown:,} that was predicted"
