"""Controls for all quantizer settings of one kind of tensor, weights or activations."""

from dataclasses import replace
from typing import Any, List, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.widgets.controls.setting_control import SettingControl
from qatviz.gui.widgets.controls.values import default_of
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.protocol.settings_book import training_only
from qatviz.settings import (
    BINARY,
    EXTREMES,
    FROZEN,
    HISTOGRAM_METHODS,
    MOVING_AVERAGE,
    PERCENTILE,
    QUANTIZER_SETTINGS,
    TERNARY,
    QuantizerSettings,
    RunSettings,
)

#: Maximum number of tensor names in a tooltip.
NAMED = 20
#: Range methods of activations that average over batches.
_AVERAGING = (MOVING_AVERAGE, *HISTOGRAM_METHODS)
#: Settings that choose the range.
_OF_RANGES = ("range_method", "percentile", "ema_decay")
#: Settings that have no effect if the map of weights chooses the codes.
_OF_GRID = ("symmetric", "narrow_range", "range_method", "percentile", "stochastic_rounding")
_RANGES_FROZEN = "All ranges are frozen (Freeze ranges is on)."


class KindSection(QtWidgets.QWidget):
    """Controls for the tensors given to :meth:`show_tensors`; edits go to ``context.edits``."""

    def __init__(self, context: Context, kind: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._model, self._edits, self._theme = context.model, context.edits, context.theme
        self.kind = kind
        self.tensors: Sequence[str] = ()
        self.controls = {
            name: SettingControl(setting.of_kind(kind), context.theme, kind)
            for name, setting in QUANTIZER_SETTINGS.items()
            if kind in setting.kinds
        }
        self.heading = Heading(kind.capitalize(), context.theme)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        rows.addWidget(self.heading)
        for name, control in self.controls.items():
            rows.addWidget(control)
            control.edited.connect(lambda value, name=name: self._on_edited(name, value))
            control.dragged.connect(self._edits.set_dragging)

    def show_tensors(self, tensors: Sequence[str], run: RunSettings) -> None:
        """Show the settings of ``tensors``, pending edits included."""
        self.tensors = tensors
        more = [f"and {len(tensors) - NAMED} more"] if len(tensors) > NAMED else []
        self.heading.set_detail(_count_text(tensors), "\n".join([*tensors[:NAMED], *more]))
        for control in self.controls.values():
            control.setVisible(bool(tensors))
        if not tensors:
            return
        method, plan = self.controls["range_method"], self._model.plan
        predicts_numbers = plan is not None and all(plan.predicts_numbers(name) for name in tensors)
        method.default = EXTREMES if predicts_numbers else default_of(method.setting, self.kind)
        fixed = [] if plan is None else [plan.tensor(name).fixed_range for name in tensors]
        fixed = fixed if all(fixed) else []
        pending, applied_at = self._edits.pending, self._model.applied_at
        wanted: List[QuantizerSettings] = []
        for tensor in tensors:
            changes = {name: pending[tensor, name] for name in self.controls if (tensor, name) in pending}
            settings = self._model.settings_of(tensor)
            wanted.append(replace(settings, **changes) if changes else settings)
        for name, control in self.controls.items():
            steps = [applied_at[tensor, name] for tensor in tensors if (tensor, name) in applied_at]
            control.show_values(
                [getattr(settings, name) for settings in wanted],
                any((tensor, name) in pending for tensor in tensors),
                max(steps, default=None),
            )
            ended = self._model.unavailable_text() if self._edits.are_previews and training_only([name]) else ""
            control.set_disabled_reason(ended or no_effect_reason(name, wanted, run, fixed))

    def _on_edited(self, name: str, value: Any) -> None:
        # An edit may end after another run was opened.
        plan = self._model.plan
        tensors = [tensor for tensor in self.tensors if plan is not None and tensor in plan]
        if tensors:
            self._edits.edit(tensors, name, value)

    def apply_theme(self) -> None:
        self.heading.apply_theme()
        for control in self.controls.values():
            control.apply_theme()


class Heading(QtWidgets.QWidget):
    """Title of a group of controls, with a muted detail at its right."""

    def __init__(self, title: str, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self._title, self._detail = Label(title), ElidedLabel()
        self._line = QtWidgets.QFrame(frameShape=QtWidgets.QFrame.HLine, frameShadow=QtWidgets.QFrame.Plain)
        self._detail.setAlignment(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter)
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(0, 6, 0, 2)
        grid.setVerticalSpacing(2)
        grid.addWidget(self._title, 0, 0)
        grid.addWidget(self._detail, 0, 1)
        grid.addWidget(self._line, 1, 0, 1, 2)
        grid.setColumnStretch(1, 1)
        self.apply_theme()

    @property
    def detail(self) -> str:
        return self._detail.text()

    def set_detail(self, detail: str, tooltip: str = "") -> None:
        self._detail.setText(detail)
        self.setToolTip(tooltip)

    def apply_theme(self) -> None:
        font = QtGui.QFont(QtWidgets.QApplication.font())
        font.setBold(True)
        self._title.setFont(font)
        for label, color in ((self._detail, "muted"), (self._line, "line")):
            palette = QtGui.QPalette(QtWidgets.QApplication.palette())
            palette.setColor(QtGui.QPalette.WindowText, self._theme.color(color))
            label.setPalette(palette)


class ElidedLabel(Label):
    """One-line label that elides its text in the middle instead of widening its parent."""

    def minimumSizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        text = self.fontMetrics().elidedText(self.text(), QtCore.Qt.ElideMiddle, self.width())
        painter.drawText(self.rect(), int(self.alignment()), text)
        painter.end()


def _count_text(tensors: Sequence[str]) -> str:
    if len(tensors) == 1:
        return tensors[0]
    return f"{len(tensors)} tensors" if tensors else "none selected"


def no_effect_reason(
    name: str, wanted: Sequence[QuantizerSettings], run: RunSettings, fixed_ranges: Sequence[str] = ()
) -> str:
    """Return the reason why the setting ``name`` has no effect in any of ``wanted``; empty if it has one.

    ``fixed_ranges`` has the functions whose ranges the tensors have, if all of them have a fixed one.
    """
    if name in _OF_GRID and all(s.has_coded_map for s in wanted):
        return f"The map {wanted[0].effective_map} determines it."
    if name == "num_bits" and all(s.effective_map == TERNARY for s in wanted):
        return "Ternary weights have the codes -1, 0 and 1 with any number of bits above 1."
    if name == "weight_map" and all(s.effective_map == BINARY for s in wanted):
        return "Weights of 1 bit are binary."
    if name in _OF_RANGES and fixed_ranges:
        return f"The range is fixed by TFLite's {' and '.join(sorted(set(fixed_ranges)))}."
    if name in _OF_RANGES and run.freeze_ranges:
        return _RANGES_FROZEN
    if name == "percentile" and not any(s.range_method == PERCENTILE for s in wanted):
        return f"Used only with the range method {_labels(PERCENTILE)}."
    if name == "ema_decay" and all(s.range_method == FROZEN for s in wanted):
        return "The range is frozen, so no average is updated."
    if name == "ema_decay" and not any(s.range_method in _AVERAGING for s in wanted):
        return f"Used only with the range methods {_labels(*_AVERAGING)}."
    return ""


def _labels(*methods: str) -> str:
    """Return the labels of range methods, as their list shows them."""
    return ", ".join(map(QUANTIZER_SETTINGS["range_method"].text, methods))
