"""Status bar: state, progress and speed of the run, in fields of fixed width."""

import math
from typing import Dict, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.frames import Frames
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import Theme

REFRESH_MS = 250
_FIELDS = (
    ("step", "Training steps done, and their total.", "step 000,000 of 000,000"),
    ("epoch", "Number of passes over the training examples.", "epoch 0,000.0"),
    ("speed", "Training steps per second, over the last two seconds of training.", "0,000 steps/s"),
    ("frames", "Number of times per second that the window is repainted.", "00.0 frames/s"),
    (
        "dropped",
        "Step records and histograms that the window was too slow to read. Curves and the record are complete "
        "nevertheless.",
        "dropped 0,000,000",
    ),
    ("applied", "Training step at which the last change of settings took effect.", "applied at step 000,000"),
)
_STATE_COLORS = {"running": "good", "paused": "warning", "failed": "bad", "building": "accent"}
STATE_TEXTS = {
    "": "no run",
    "new": "about to start",
    "building": "building the graph",
    "running": "training",
    "paused": "paused",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "recorded": "recorded",
}


class StatusBar(QtWidgets.QStatusBar):
    """Status bar that shows the present numbers four times a second."""

    def __init__(self, model: RunModel, frames: Frames, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._model, self._frames, self._theme = model, frames, theme
        self.setSizeGripEnabled(False)
        self.state = QtWidgets.QLabel()
        self.state.setToolTip("State of the run.")
        self.addWidget(self.state)
        self.busy = QtWidgets.QLabel()
        self.busy.setToolTip("Work in the background.")
        self.addWidget(self.busy)
        self.fields: Dict[str, QtWidgets.QLabel] = {}
        for name, tip, widest in _FIELDS:
            label = QtWidgets.QLabel()
            label.setToolTip(tip)
            label.setAlignment(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)
            # Fixed size: a new number must not lay out the whole window again.
            label.setFixedSize(self.fontMetrics().horizontalAdvance(widest), self.fontMetrics().height())
            self.fields[name] = label
            self.addPermanentWidget(label)
        self._timer = QtCore.QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self._timer.start()
        theme.changed.connect(self.refresh)
        self.refresh()

    def show_busy(self, what: str) -> None:
        """Show a text on work in the background; empty if there is none."""
        self.busy.setText(what)

    def refresh(self) -> None:
        """Show the present numbers."""
        model = self._model
        state = model.state
        text = "● " + STATE_TEXTS.get(state, state)
        color = getattr(self._theme.colors, _STATE_COLORS.get(state, "muted"))
        self.state.setText(f"<span style='color:{color}'>{text}</span>&nbsp; {model.title}")
        running = state == "running"
        total = model.total_steps
        speed = model.steps_per_second() if running else math.nan
        applied = max(model.applied_at.values()) if model.applied_at else None
        texts = {
            "step": f"step {model.step:,}" + (f" of {total:,}" if total else ""),
            "epoch": f"epoch {model.step / model.batches_per_epoch:,.1f}" if model.batches_per_epoch else "",
            "speed": "" if math.isnan(speed) else f"{speed:,.0f} steps/s" if speed >= 10 else f"{speed:.1f} steps/s",
            "frames": f"{self._frames.frames_per_second():.1f} frames/s",
            "dropped": f"dropped {model.run.dropped if model.run is not None else 0:,}",
            "applied": "" if applied is None else f"applied at step {applied:,}",
        }
        for name, text in texts.items():
            if self.fields[name].text() != text:
                self.fields[name].setText(text)
