"""Status bar: state, quality, progress and speed of the run, in fields of fixed width."""

import math
from html import escape
from typing import Dict, List, Optional, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.frames import Frames
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.labels import Label, RichLabel, plain_tip
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.metric import METRICS, MODE_NAMES, MODES
from qatviz.number_format import count
from qatviz.presentation.chip_texts import FLASH_HELP, RAM_HELP, TIME_HELP, brief_text, shortest_text, status_text
from qatviz.presentation.evaluation_time import present_fraction, time_text
from qatviz.presentation.score_texts import evaluation_lines, metric_title, of_output
from qatviz.protocol import events
from qatviz.telemetry.run_handle import (
    BUILDING,
    FAILED,
    FINISHED,
    NEW,
    PAUSED,
    RECORDED,
    RUNNING,
    STOPPED,
    Connection,
)

REFRESH_MS = 250
_LEFT_TIP = "Time until the last training step at the present speed, with evaluations."
_STEP_TIP = "Completed training steps, their total number, and the strength of quantization while it is ramped up."
#: Fields: name, tooltip, longest expected text, which sets the width.
_FIELDS = (
    ("loss", "Loss of the newest training step.", "loss 0.00000"),
    ("score", "", "quantized 100.0 % · float 100.0 %"),
    ("step", _STEP_TIP, "step 000,000 of 000,000"),
    ("progress", "Fraction of the training steps that are done.", "  100 %"),
    ("left", _LEFT_TIP, "00 h 00 min left"),
    ("speed", "", "0,000 steps/s"),
)
#: Text whose width the state and the run's title have at least; space between fields, px.
_STATE_ROOM, _GAP = "● training  network on data", 8
#: Tooltip of the estimate for a chip.
_CHIP_TIP = "\n\n".join(
    [f"Flash: {FLASH_HELP}", f"RAM: {RAM_HELP}", f"Time: {TIME_HELP}", "The Chip panel chooses the chip."]
)
_DROPPED = "step records and histograms"
_STATE_COLORS = {RUNNING: "good", PAUSED: "warning", FAILED: "bad", BUILDING: "accent"}
STATE_TEXTS = {
    "": "no run",
    NEW: "about to start",
    BUILDING: "building the graph",
    RUNNING: "training",
    PAUSED: "paused",
    FINISHED: "finished",
    STOPPED: "stopped",
    FAILED: "failed",
    RECORDED: "recorded",
}


#: Shown in place of the state while there is no connection to the run.
CONNECTION_LOST = "connection lost"


class StatusBar(QtWidgets.QStatusBar):
    """Status bar with the state of the run and its present numbers, updated four times a second.

    Parameters
    ----------
    place : str
        Name of the machine of the run; empty for this one.
    """

    def __init__(
        self,
        model: RunModel,
        frames: Frames,
        theme: Theme,
        place: str = "",
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self._place, self._state_text = place, ""
        self._model, self._frames, self._theme = model, frames, theme
        self.setSizeGripEnabled(False)
        self.setContentsMargins(0, 0, _GAP, 0)
        self.setMinimumWidth(1)  # fields are hidden where there is no room
        self.state = RichLabel()
        self.addWidget(self.state)
        self.viewers = Label()
        self.viewers.setToolTip("Windows that show this run, and the one that steers it.")
        self.addWidget(self.viewers)
        #: Widgets that are shown during work; they take room from the numbers.
        self._works: List[QtWidgets.QWidget] = []
        self.busy = Label()
        self.busy.setToolTip("Work in the background.")
        self.busy.hide()
        self.chip = Label()
        self.chip.setToolTip(_CHIP_TIP)
        self.chip.setAlignment(QtCore.Qt.AlignLeft | QtCore.Qt.AlignVCenter)
        self.addPermanentWidget(self.chip)
        self.fields: Dict[str, QtWidgets.QLabel] = {}
        self._longest: Dict[str, str] = {}
        self._chip_room = 0
        for name, tip, _ in _FIELDS:
            label = Label()
            label.setToolTip(tip)
            label.setAlignment(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)
            self.fields[name] = label
            self.addPermanentWidget(label)
        self._set_widths()
        self.add_work(self.busy)
        self._timer = QtCore.QTimer(self, interval=REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        self._timer.start()
        theme.changed.connect(self.refresh)
        self.refresh()

    def show_busy(self, what: str) -> None:
        """Show a text on work in the background; empty if there is none."""
        self.busy.setText(what)
        self.busy.setVisible(bool(what))
        self._set_widths()

    def add_work(self, widget: QtWidgets.QWidget) -> None:
        """Add a widget right of the state, which is shown during a work."""
        self._works.append(widget)
        self.insertWidget(1 + len(self._works), widget)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() in (QtCore.QEvent.Show, QtCore.QEvent.Hide, QtCore.QEvent.Resize):
            self._set_widths()
        return super().eventFilter(watched, event)

    def refresh(self) -> None:
        """Show the present state and numbers."""
        self._show_state()
        self._show_numbers()
        self._show_chip()

    def _show_state(self) -> None:
        """Show the state of the run and, on another machine, where it is and which windows show it."""
        model, state = self._model, self._model.state
        connection = model.connection
        text = "● " + (CONNECTION_LOST if connection.problem else STATE_TEXTS.get(state, state))
        color = getattr(self._theme.colors, "bad" if connection.problem else _STATE_COLORS.get(state, "muted"))
        text += f" on {self._place}" if self._place else ""
        title = "" if self._place else f"&nbsp; {escape(model.title)}"  # the title bar has it, too
        self.state.setText(f"<span style='color:{color}'>{escape(text)}</span>{title}")
        about = ["State of the run.", connection_text(connection), *model.notes]
        self.state.setToolTip(plain_tip("\n\n".join(filter(None, about))))
        shown = viewers_text(connection)
        if self._place and (text, shown) != (self._state_text, self.viewers.text()):
            self.viewers.setText(shown)
            self._state_text = text
            self._set_widths()

    def _show_numbers(self) -> None:
        """Show the numbers of the newest step and evaluation, with their tooltips."""
        model, state = self._model, self._model.state
        speed = model.steps_per_second() if state == RUNNING else math.nan
        interval = model.book.run.evaluation_interval if model.book is not None else 0
        evaluation_s = model.evaluation.seconds if model.evaluation is not None else 0.0
        waiting = present_fraction(evaluation_s, interval, speed)
        total = model.total_steps if model.total_steps is not None and math.isfinite(model.total_steps) else 0
        strength = ""
        if model.book is not None and model.book.run.has_ramp:
            present = model.book.run.strength_at(max(0, model.step - 1))
            strength = f" · strength {MEASURES['strength'].plain(present)}" if present < 1 else ""
        texts = {
            "loss": "" if model.last_step is None else f"loss {MEASURES['loss'].plain(model.last_step.loss)}",
            "score": "",
            "step": "" if not state else f"step {model.step:,}" + (f" of {total:,}" if total else "") + strength,
            "progress": f"{math.floor(100 * min(model.step / total, 1.0))} %" if total else "",
            "left": time_left_text((total - model.step) / speed / (1 - waiting)) if total and speed > 0 else "",
            "speed": "" if math.isnan(speed) else f"{speed:,.0f} steps/s" if speed >= 10 else f"{speed:.1f} steps/s",
        }
        said = time_text(waiting, interval) if waiting else ""
        note = f"{said[0].upper()}{said[1:]}: training waits for them." if said else ""
        tips = {"score": "", "speed": self._speed_tip(), "left": "\n".join(filter(None, [_LEFT_TIP, note]))}
        if model.evaluation is not None:
            texts["score"], tips["score"] = score_texts(model.evaluation)
            tips["score"] = "\n".join(filter(None, [tips["score"], note]))
        if note:
            tips["speed"] += "\n" + note
        for name, text in texts.items():
            if self.fields[name].text() != text:
                self.fields[name].setText(text)
                if self.fontMetrics().horizontalAdvance(text) > self.fields[name].width():
                    self._longest[name] = text  # longer than expected: lay out again instead of cutting the text
                    self._set_widths()
        for name, text in tips.items():
            self.fields[name].setToolTip(text)

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.FontChange and hasattr(self, "fields"):
            self._set_widths()

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        self._set_widths()

    def _set_widths(self) -> None:
        """Fix the fields' sizes: a new number must not lay out the whole window again.

        Where there is no room for all fields, as during a work, the first ones are hidden.
        """
        metrics = self.fontMetrics()
        # For a run on another machine, its machine and the window that steers it take precedence over numbers.
        stated = [f"{self._state_text}  {self.viewers.text()}" + 6 * " "] if self._place else []
        room = self.width() - max(map(metrics.horizontalAdvance, [_STATE_ROOM, *stated])) - _GAP
        room -= sum(work.sizeHint().width() + 2 * _GAP for work in self._works if not work.isHidden())
        for name, _, widest in reversed(_FIELDS):
            width = max(metrics.horizontalAdvance(text) for text in (widest, self._longest.get(name, "")))
            room -= width + _GAP
            self.fields[name].setFixedSize(width, metrics.height())
            self.fields[name].setVisible(room >= 0)
        self._chip_room = room - 3 * _GAP
        self._show_chip()

    def _show_chip(self) -> None:
        """Show flash, RAM and time on a chip where the other fields leave room, in brief if it is small."""
        found, metrics = self._model.chip, self.fontMetrics()
        texts = [] if found is None else [status_text(found), brief_text(found), shortest_text(found)]
        width = metrics.horizontalAdvance
        text = next((text for text in texts if width(text) <= self._chip_room), "")
        if text != self.chip.text():
            self.chip.setText(text)
            self.chip.setFixedSize(width(text) + 2 * _GAP, metrics.height())  # apart from a loss of any length
        self.chip.setVisible(bool(text))

    def _speed_tip(self) -> str:
        """Return the tooltip with the figures that matter only if something is wrong."""
        model = self._model
        lines = [
            "Training steps per second, over the last two seconds of training.",
            f"The window is repainted {self._frames.frames_per_second():.1f} times per second.",
            f"{count(model.run.dropped if model.run is not None else 0, 'step record or histogram', _DROPPED)} "
            "dropped because the window was too slow to read; curves and the record are complete nevertheless.",
        ]
        if model.batches_per_epoch:
            lines.insert(0, f"Epoch {model.step / model.batches_per_epoch:,.1f}: passes over the training examples.")
        if model.applied_at:
            lines.append(f"The last change of settings took effect at step {max(model.applied_at.values()):,}.")
        return "\n".join(lines)


def viewers_text(connection: Connection) -> str:
    """Return the number of windows that show a run, and which one steers it; empty if only this one can show it."""
    if not connection.viewers:
        return ""
    steers = f"{connection.steers} steers" if connection.steers else "this one steers"
    return f"{len(connection.viewers)} windows, {steers}"


def connection_text(connection: Connection) -> str:
    """Return the machine of a run and the windows that show it, as sentences; empty for a run on this machine."""
    if not connection.place:
        return ""
    lines = [f"The run is on {connection.place}: its files are there, and it continues without a window."]
    if connection.problem:
        lines.append(f"The connection is lost: {connection.problem}. qatviz tries to connect again.")
    if connection.viewers:
        lines.append(f"Windows: {', '.join(connection.viewers)}.")
    return "\n".join(lines)


def time_left_text(seconds: float) -> str:
    """Return the time left in two units at most: ``12 s left``, ``3 min 20 s left``, ``2 h 05 min left``."""
    whole = math.ceil(round(seconds, 1))
    if whole < 60:
        return f"{whole} s left"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s left"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min left"


def score_texts(evaluation: events.Evaluated) -> Tuple[str, str]:
    """Return the newest evaluation in brief, and all its modes."""
    metric = METRICS[evaluation.metric]
    shown = {mode: metric.text(evaluation.scores.get(mode)) for mode in MODES}
    brief = of_output(
        " · ".join(f"{MODE_NAMES[mode]} {shown[mode]}" for mode in ("quantized", "float")), evaluation.output
    )
    every = ", ".join(f"{MODE_NAMES[mode]} {shown[mode]}" for mode in MODES)
    name = metric_title(metric.name, evaluation.output, True)
    examples = f"{evaluation.num_examples:,} held-out examples at step {evaluation.step:,}"
    whole = f"{name} on {examples}: {every}."
    return brief, "\n".join([whole, *evaluation_lines(evaluation)])
