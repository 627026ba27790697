"""Control for one setting: label, editor and state, with the bounds, unit, default and help of its declaration."""

from html import escape
from typing import Any, Iterable, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.controls.editors import ChoiceEditor, SwitchEditor, editor_for
from qatviz.gui.widgets.controls.state_mark import StateMark, explain_state
from qatviz.gui.widgets.controls.values import default_of, notches
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.setting_declaration import Setting

#: Maximum number of different values in a tooltip.
NAMED = 8


class SettingControl(QtWidgets.QWidget):
    """Label, editor and state mark for a setting of one tensor or several.

    Parameters
    ----------
    setting : Setting
    theme : Theme
    kind : str
        ``weights`` or ``activations`` for quantizer settings.

    Attributes
    ----------
    default
        Value that a reset requests; that of the setting, unless the owner knows another for the tensors shown.
    """

    #: Emitted with the new value when the user changes it; never when the program does.
    edited = QtCore.pyqtSignal(object)
    #: Emitted with True when the user starts to drag, with False when the drag ends.
    dragged = QtCore.pyqtSignal(bool)
    _SPACING = 6

    def __init__(self, setting: Setting, theme: Theme, kind: str = "", parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setting, self.kind = setting, kind
        self.default = default_of(setting, kind)
        self._values: Sequence[Any] = []
        self._state: Tuple[bool, Optional[int]] = (False, None)
        self._reason = ""
        self._roomy_width = 0
        self.label = Label("" if setting.type is bool else setting.label)
        self.editor = editor_for(setting, kind)
        self.mark = StateMark(theme)
        self._layout()
        self.setObjectName(setting.name)
        name = f"{setting.label} of {kind}" if kind else setting.label
        self.editor.name_parts(name, setting.help)
        self.editor.edited.connect(self._on_edited)
        self.editor.dragged.connect(self.dragged)
        self.editor.settled.connect(self._show_values)
        self.label.setBuddy(self.editor)
        self._explain()

    def _layout(self) -> None:
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(self._SPACING)
        row.addWidget(self.label)
        # Below a parent: a label without one would be shown as a window, for which the start has no time.
        self.label.setVisible(not isinstance(self.editor, SwitchEditor))
        row.addWidget(self.editor, 1)
        row.addWidget(self.mark)

    # Display

    def show_values(self, values: Iterable[Any], pending: bool = False, applied_step: Optional[int] = None) -> None:
        """Show one value, or several (mixed); a value that the user is editing stays until the edit ends.

        Parameters
        ----------
        values : iterable
            At least one.
        pending : bool
            Whether any of the values is not in effect yet.
        applied_step : int, optional
            Training step at which the newest value took effect; None if in effect since the start of the run.
        """
        values, state = sorted(set(values)), (pending, applied_step)
        is_other = (values, state) != (self._values, self._state)
        self._values, self._state = values, state
        self._show_values()
        self.mark.show_state(pending, applied_step)
        if is_other:
            self._explain()

    def offer(self, words: Sequence[str]) -> None:
        """Offer these values in the drop-down list instead of those of the declaration."""
        assert isinstance(self.editor, ChoiceEditor), f"{self.setting.name} is not chosen from a list"
        self.editor.offer(words)

    def set_disabled_reason(self, reason: str) -> None:
        """Disable the control with ``reason`` in its tooltip, or enable it if ``reason`` is empty."""
        if reason != self._reason:
            self._reason = reason
            self.editor.setEnabled(not reason)
            self.label.setEnabled(not reason)
            self._explain()

    def apply_theme(self) -> None:
        self.mark.apply_theme()

    def reset(self) -> None:
        """Request the default value."""
        if self.editor.isEnabled() and list(self._values) != [self.default]:
            self.edited.emit(self.default)

    # Implementation

    def _on_edited(self, value: Any) -> None:
        self._values = [value]  # until the owner updates the control
        self.edited.emit(value)

    def _show_values(self) -> None:
        if self._values and not self.editor.is_busy():
            self.editor.set_values(self._values)

    def _explain(self) -> None:
        lines = [
            f"<b>{escape(self.setting.label)}</b>: {escape(self.setting.help)}",
            f"Allowed: {escape(self.setting.allowed_labels(self.kind))}. Default: "
            f"{escape(self.setting.text_with_unit(self.default))}.",
            escape(explain_state(*self._state)),
        ]
        about = self.setting.choice_help.get(self._values[0]) if len(self._values) == 1 else None
        if about:
            lines.insert(1, f"{escape(self.setting.text(self._values[0]))}: {escape(about)}")
        if len(self._values) > 1:
            shown = [self.setting.text_with_unit(value) for value in self._values[:NAMED]]
            lines.append(f"Mixed: {escape(', '.join(shown))}{', …' if len(self._values) > NAMED else ''}.")
        if self._reason:
            lines.insert(0, f"<i>{escape(self._reason)}</i>")
        self.setToolTip("<p>" + "<br/>".join(lines) + "</p>")

    def set_roomy_width(self, width: int) -> None:
        """Set the minimum width in pixels at which the state is shown as text instead of a dot."""
        self._roomy_width = width
        self._fit()

    def full_width(self) -> int:
        """Return the width in pixels at which no text is shortened."""
        parts = [self.editor.sizeHint().width(), self.mark.full_width()]
        if self.setting.type is not bool:
            parts.append(max(self.label.sizeHint().width(), self.label.minimumWidth()))
        return sum(parts) + self._SPACING * (len(parts) - 1)

    def minimumSizeHint(self) -> QtCore.QSize:
        hint = super().minimumSizeHint()
        return QtCore.QSize(hint.width() - self.mark.minimumWidth() + self.mark.compact_width(), hint.height())

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.mark.set_compact(self.width() < self._roomy_width)

    def contextMenuEvent(self, event: QtGui.QContextMenuEvent) -> None:
        menu = QtWidgets.QMenu(self)
        menu.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        action = menu.addAction(f"Reset to default ({self.setting.text_with_unit(self.default)})", self.reset)
        action.setEnabled(self.editor.isEnabled() and list(self._values) != [self.default])
        menu.popup(event.globalPos())


def align(controls: Iterable[SettingControl]) -> None:
    """Align the labels of ``controls`` below each other and show all their state marks in the same form.

    Sliders and lists are not aligned: they need the width.
    """
    controls = list(controls)
    labelled = [c for c in controls if c.setting.type in (int, float) and not notches(c.setting)]
    for control in labelled:
        control.label.setMinimumWidth(0)  # which its size hint would include
    width = max((c.label.sizeHint().width() for c in labelled), default=0)
    for control in labelled:
        control.label.setMinimumWidth(width)
    full_width = max(control.full_width() for control in controls)
    for control in controls:
        control.set_roomy_width(full_width)
