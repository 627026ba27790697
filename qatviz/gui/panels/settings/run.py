"""Panel that changes the run: optimizer settings, intervals, total steps, evaluation and checkpoints on request."""

from typing import Any, List, Optional, Set, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.model.context import Context
from qatviz.gui.model.run_model import EVENTS, RUN, SETTINGS, STATE
from qatviz.gui.panels import declarations
from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.controls.column import Column
from qatviz.gui.widgets.controls.edit_bar import RefusalLine
from qatviz.gui.widgets.controls.kind_section import Heading
from qatviz.gui.widgets.controls.setting_control import SettingControl, align
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.rate_curve import RateCurve
from qatviz.gui.widgets.theme import Theme
from qatviz.low_bit_settings import LOW_BIT_SETTINGS, MODEL_TEACHER
from qatviz.metric import METRICS
from qatviz.presentation.score_texts import lead_of
from qatviz.protocol import events
from qatviz.protocol.commands import Command, Evaluate, SaveCheckpoint, SetSteps
from qatviz.settings import OPTIMIZER_SETTINGS, RUN_SETTINGS
from qatviz.settings import RUN as RUN_PREFIX
from qatviz.start_settings import START_SETTINGS
from qatviz.task import REGRESSION

#: Delay (ms) before an edited number of total steps is sent: each command is an event of the run.
STEPS_DELAY_MS = 400
_INTERVALS = ("evaluation_interval", "snapshot_interval", "checkpoint_interval")
_BEST = ("keep_best", "patience", "monitor")
_SCHEDULE = ("lr_schedule", "lr_period", "lr_factor", "warmup_steps")
_TRAINING = (
    "learning_rate",
    *_SCHEDULE,
    "momentum",
    "rho",
    "beta1",
    "beta2",
    "epsilon",
    "weight_decay",
    "gradient_clip",
    "scale_learning_rate",
    "clip_decay",
    "label_smoothing",
    "keep_zeros",
    "freeze_batch_norm",
    "round_biases",
    "single_convolution",
    "ramp_start",
    "ramp_end",
)
_LOW_BITS = tuple(LOW_BIT_SETTINGS)
_OSCILLATION = (
    "track_oscillation",
    "dampening_schedule",
    "freeze_schedule",
    "freeze_start",
    "oscillation_period",
)
_AUGMENTATION = tuple(name for name in RUN_SETTINGS if name.startswith("augment_"))
#: Total steps that the user has not changed; None is no limit.
_UNCHANGED = object()


class RunSettingsPanel(Panel):
    """Panel with the run settings that the optimizer uses, and actions.

    Attributes
    ----------
    controls : dict of str to SettingControl
        The controls by name of the setting.
    """

    declaration = declarations.RUN_SETTINGS
    topics = (RUN, SETTINGS, STATE, EVENTS)

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        self._steps_wanted: Any = _UNCHANGED
        self._sent: Set[str] = set()  # ids of the commands of this panel
        super().__init__(context, parent)
        self.apply_theme()

    def _setup_ui(self) -> None:
        self.empty = EmptyText(self)
        self.controls = {
            name: SettingControl(RUN_SETTINGS[name], self.theme)
            for name in (*_TRAINING, *_LOW_BITS, *_OSCILLATION, *_AUGMENTATION, *_INTERVALS, *_BEST)
        }
        titles = ("Training", "Low bits", "Oscillation", "Augmentation", "Intervals", "Length", "Actions")
        self.headings = {title: Heading(title, self.theme) for title in titles}
        self.rates = RateCurve(self.theme)
        self.steps = StepsControl(self.theme)
        self.evaluate = QtWidgets.QPushButton("Evaluate")
        self.evaluate.setToolTip("Evaluate on held-out data: float, weights only, activations only, quantized")
        self.checkpoint = QtWidgets.QPushButton("Checkpoint")
        self.checkpoint.setToolTip("Save the state of the run, to restore it or fork from it later")
        self.result = Label()
        self.result.setWordWrap(True)
        self.refusal = RefusalLine(self.context)
        self._soon = QtCore.QTimer(self, singleShot=True, interval=0)
        self._steps_timer = QtCore.QTimer(self, singleShot=True, interval=STEPS_DELAY_MS)

    def _layout(self) -> None:
        now = QtWidgets.QWidget()
        buttons = QtWidgets.QHBoxLayout(now)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.addWidget(self.evaluate)
        buttons.addWidget(self.checkpoint)
        self.column = Column(
            [
                self.headings["Training"],
                *(self.controls[name] for name in _TRAINING[: _TRAINING.index(_SCHEDULE[-1]) + 1]),
                self.rates,
                *(self.controls[name] for name in _TRAINING[_TRAINING.index(_SCHEDULE[-1]) + 1 :]),
                self.headings["Low bits"],
                *(self.controls[name] for name in _LOW_BITS),
                self.headings["Oscillation"],
                *(self.controls[name] for name in _OSCILLATION),
                self.headings["Augmentation"],
                *(self.controls[name] for name in _AUGMENTATION),
                self.headings["Intervals"],
                *(self.controls[name] for name in _INTERVALS),
                self.headings["Length"],
                self.steps,
                *(self.controls[name] for name in _BEST),
                self.headings["Actions"],
                now,
                self.result,
                self.refusal,
            ]
        )
        whole = QtWidgets.QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.column)

    def _connect(self) -> None:
        for name, control in self.controls.items():
            control.edited.connect(lambda value, name=name: self._on_edited(name, value))
            control.dragged.connect(self.edits.set_dragging)
        self.steps.edited.connect(self._on_steps)
        self._steps_timer.timeout.connect(self._send_steps)
        self.evaluate.clicked.connect(lambda: self._send(Evaluate()))
        self.checkpoint.clicked.connect(lambda: self._send(SaveCheckpoint()))
        self.edits.changed.connect(self._on_edits_changed)
        self._soon.timeout.connect(self._on_soon)
        self.model.happened.connect(self._on_event)
        self.model.changed.connect(self._on_model_changed)
        self._show_last_result()

    # Display

    def update_from(self) -> None:
        book = self.model.book
        has_run = book is not None
        self.column.setVisible(has_run)
        self.empty.show_text(
            "" if has_run else self.model.no_run_text("No run. Run settings are shown here once there is one.")
        )
        if book is None:
            return
        unavailable = self.model.unavailable_text()
        others = {name for names in OPTIMIZER_SETTINGS.values() for name in names}
        others -= set(OPTIMIZER_SETTINGS.get(self.model.optimizer, others))
        wanted = self.edits.pending_book() or book
        others.update(wanted.run.unused_schedule_settings)
        others.update(wanted.run.unused_oscillation_settings)
        others.update(wanted.run.unused_low_bit_settings)
        self.controls["teacher"].offer(self._teachers())
        if self.model.network is not None:
            others.update(wanted.run.unused_augmentation(self.model.network.input_shape))
        others.update(wanted.unused_run_settings)
        if not wanted.run.has_ramp:
            others.add("ramp_start")
        if not wanted.run.keep_best and not wanted.run.patience:
            others.add("monitor")
        if self.model.run is not None and self.model.run.description.get("task") == REGRESSION:
            others.add("label_smoothing")
        self.rates.show_plan(wanted.run, self.model.total_steps, self.model.step)
        self.headings["Training"].set_detail(START_SETTINGS["optimizer"].text(self.model.optimizer))
        for name, control in self.controls.items():
            control.setVisible(name not in others)
            control.show_values(
                [self.edits.value(RUN_PREFIX, name)],
                self.edits.is_pending(RUN_PREFIX, name),
                self.model.applied_at.get((RUN_PREFIX, name)),
            )
            control.set_disabled_reason(unavailable)
        is_wanted = self._steps_wanted is not _UNCHANGED
        self.steps.show_steps(self._steps_wanted if is_wanted else self.model.total_steps, is_wanted, unavailable)
        for button in (self.evaluate, self.checkpoint):
            button.setEnabled(not unavailable)

    def _teachers(self) -> List[str]:
        """Return the values of the setting ``teacher`` that this run has: its checkpoints, perhaps a Keras model."""
        has_model = self.model.run is not None and "teacher" in self.model.run.description
        words = [word for word in RUN_SETTINGS["teacher"].words if word != MODEL_TEACHER or has_model]
        return [*words, *self.model.checkpoints()]

    def apply_theme(self) -> None:
        controls = [*self.controls.values(), self.steps.control]
        parts: Tuple[QtWidgets.QWidget, ...] = (*controls, *self.headings.values(), self.refusal)
        for part in parts:
            part.apply_theme()
        self.rates.changed()
        align(controls)

    # User actions

    def _on_edited(self, name: str, value: Any) -> None:
        if self.model.book is not None:
            self.edits.edit([RUN_PREFIX], name, value)

    def _send(self, command: Command) -> Optional[str]:
        if self.model.run is None:
            return None
        try:
            command_id = self.model.send(command)
        except QatvizError as error:
            self.refusal.show_message(str(error))
            return None
        self._sent.add(command_id)
        self.refusal.show_message("")
        return command_id

    def _on_steps(self, steps: Optional[int]) -> None:
        if steps is not None:
            self.steps.suggest(steps)
        self._steps_wanted = steps
        self._steps_timer.start()
        self.refresh()

    def _send_steps(self) -> None:
        if self._send(SetSteps(self._steps_wanted)) is None:
            self._forget_steps()

    def _forget_steps(self) -> None:
        self._steps_timer.stop()
        self._steps_wanted = _UNCHANGED
        self.mark_due()

    # Events of the run

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Planned) and event.steps == self._steps_wanted:
            self._forget_steps()
        elif isinstance(event, events.CommandRejected) and event.id in self._sent:
            self.refusal.show_message(event.message)
            self._forget_steps()
        elif isinstance(event, events.RecordFailed):
            self.refusal.show_message(event.message)
        else:
            self.result.setText(_result_text(event) or self.result.text())

    def _on_model_changed(self, topic: str) -> None:
        if topic == RUN:
            self._sent.clear()
            self._forget_steps()
            self._show_last_result()

    def _show_last_result(self) -> None:
        """Show the newest result of the run, which may be older than this panel."""
        texts = (_result_text(logged.event) for logged in reversed(self.model.log) if logged.survives)
        self.result.setText(next(filter(None, texts), ""))

    def _on_edits_changed(self) -> None:
        self.mark_due()
        self._soon.start()

    def _on_soon(self) -> None:
        if self.is_due():
            self.refresh()


def _result_text(event: events.Event) -> str:
    """Return what an evaluation or a checkpoint resulted in; empty for other events."""
    if isinstance(event, events.Evaluated) and "quantized" in event.scores:
        metric = METRICS[event.metric]
        return "Step {:,}: {}{} quantized, {} float".format(
            event.step,
            lead_of(event.metric, event.output),
            *(metric.text(event.scores[mode]) for mode in ("quantized", "float")),
        )
    if isinstance(event, events.CheckpointSaved):
        return f"Step {event.step:,}: checkpoint {event.name}"
    return ""


class StepsControl(QtWidgets.QWidget):
    """Number box for the total training steps, and a check box for no limit."""

    #: Emitted with the total steps that the user wants; None for no limit.
    edited = QtCore.pyqtSignal(object)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.control = SettingControl(START_SETTINGS["steps"], theme)
        self.endless = CheckBox("No limit")
        self.endless.setToolTip("Train until you stop the run")
        self._last = START_SETTINGS["steps"].default  # shown when a limit is switched back on
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        rows.addWidget(self.control)
        rows.addWidget(self.endless)
        self.control.edited.connect(self.edited)
        self.endless.clicked[bool].connect(self._on_endless)

    def show_steps(self, steps: Optional[int], pending: bool = False, unavailable: str = "") -> None:
        """Show the total steps; ``unavailable`` is the reason why they can't be changed; empty if they can."""
        self._last = self._last if steps is None else steps
        self.endless.setChecked(steps is None)
        self.endless.setEnabled(not unavailable)
        self.control.show_values([self._last], pending)
        no_end = "No limit: the run continues until you stop it." if steps is None else ""
        self.control.set_disabled_reason(unavailable or no_end)

    def suggest(self, steps: int) -> None:
        """Set the number that the box shows when a limit is switched on."""
        self._last = steps

    def _on_endless(self, endless: bool) -> None:
        wanted: Any = None if endless else self._last
        self.edited.emit(wanted)
