"""Editors of a setting's value, by its type: check box, drop-down list, or number box with slider."""

from html import escape
from typing import Any, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.controls.number_box import MIXED, NumberBox
from qatviz.gui.widgets.controls.value_slider import ValueSlider
from qatviz.gui.widgets.controls.values import notches
from qatviz.setting_declaration import Setting


class Editor(QtWidgets.QWidget):
    """Widget that edits one value; it can also show several different ones (mixed)."""

    #: Emitted with the new value when the user changes it.
    edited = QtCore.pyqtSignal(object)
    #: Emitted with True when the user starts to drag, with False when the drag ends.
    dragged = QtCore.pyqtSignal(bool)
    #: Emitted when a drag or typing ends.
    settled = QtCore.pyqtSignal()

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._row = QtWidgets.QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(6)

    def set_values(self, values: Sequence[Any]) -> None:
        """Show ``values``: one value, or several different ones."""
        raise NotImplementedError

    def is_busy(self) -> bool:
        """Return whether the user is editing, so that the shown value must not change."""
        return False

    def name_parts(self, name: str, description: str) -> None:
        """Set the accessible name and description of all parts."""
        for part in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            part.setAccessibleName(name)
            part.setAccessibleDescription(description)


class SwitchEditor(Editor):
    """Check box, partially checked where values differ."""

    def __init__(self, setting: Setting, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.box = CheckBox(setting.label, self)
        self.box.setContextMenuPolicy(QtCore.Qt.NoContextMenu)
        self.box.clicked[bool].connect(self._on_clicked)
        self._row.addWidget(self.box)
        self._row.addStretch(1)
        self.setFocusProxy(self.box)

    def set_values(self, values: Sequence[Any]) -> None:
        states = {True: QtCore.Qt.Checked, False: QtCore.Qt.Unchecked}
        self.box.setCheckState(states[values[0]] if len(set(values)) == 1 else QtCore.Qt.PartiallyChecked)

    def _on_clicked(self, checked: bool) -> None:
        self.edited.emit(checked)


class ChoiceEditor(Editor):
    """Drop-down list."""

    def __init__(self, setting: Setting, kind: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        assert setting.choices is not None, f"{setting.name} needs choices to be edited in a list"
        self._text = setting.text
        self._choices = list(setting.choices[kind])
        self.box = _ComboBox(self)
        self.box.setPlaceholderText(MIXED)
        self.box.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.box.setContextMenuPolicy(QtCore.Qt.NoContextMenu)
        self.box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        for choice in self._choices:
            self.box.addItem(setting.text(choice))
            if choice in setting.choice_help:
                tip = f"<p>{escape(setting.choice_help[choice])}</p>"
                self.box.setItemData(self.box.count() - 1, tip, QtCore.Qt.ToolTipRole)
        self.box.activated[int].connect(self._on_activated)
        self.box.closed.connect(self.settled)
        self._row.addWidget(self.box)
        self.setFocusProxy(self.box)
        self._shown = -1

    def offer(self, words: Sequence[str]) -> None:
        """Offer these values instead of the declared ones, and the shown value; not while the user chooses one."""
        known = list(words)
        known += [self._choices[self._shown]] if self._shown >= 0 and self._choices[self._shown] not in known else []
        if known == self._choices or self.is_busy():
            return
        shown = self._choices[self._shown] if self._shown >= 0 else None
        self._choices = known
        self.box.clear()
        self.box.addItems([self._text(choice) for choice in known])
        self._shown = -1 if shown is None else known.index(shown)
        self.box.setCurrentIndex(self._shown)

    def set_values(self, values: Sequence[Any]) -> None:
        if len(set(values)) == 1 and values[0] not in self._choices:
            self._choices.append(values[0])
            self.box.addItem(self._text(values[0]))
        self._shown = self._choices.index(values[0]) if len(set(values)) == 1 else -1
        self.box.setCurrentIndex(self._shown)

    def is_busy(self) -> bool:
        return self.box.is_open

    def _on_activated(self, index: int) -> None:
        if index != self._shown:
            self._shown = index
            self.edited.emit(self._choices[index])


class _ComboBox(QtWidgets.QComboBox):
    closed = QtCore.pyqtSignal()
    is_open = False

    def showPopup(self) -> None:
        self.is_open = True
        super().showPopup()

    def hidePopup(self) -> None:
        super().hidePopup()
        self.is_open = False
        self.closed.emit()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        event.ignore()  # the wheel scrolls the panel


class NumberEditor(Editor):
    """Number box, with a slider for settings of few values or on a logarithmic scale."""

    def __init__(self, setting: Setting, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        values = notches(setting)
        self.slider = ValueSlider(values, self) if values else None
        self.box = NumberBox(setting, self)
        if self.slider is not None:
            self._row.addWidget(self.slider, 1)
            self.slider.edited.connect(self._on_slid)
            self.slider.held.connect(self._on_held)
        self._row.addWidget(self.box, 0 if values else 1)
        self.box.edited.connect(self._on_typed)
        self.box.held.connect(self.dragged)
        self.box.settled.connect(self.settled)
        self.setFocusProxy(self.box)

    def set_values(self, values: Sequence[Any]) -> None:
        different = sorted(set(values))
        self.box.set_value(different[0] if len(different) == 1 else None, different[0])
        if self.slider is not None:
            self.slider.set_values(different)

    def is_busy(self) -> bool:
        return self.box.is_typing() or (self.slider is not None and self.slider.is_held)

    def _on_slid(self, value: Any) -> None:
        self.box.set_value(value)
        self.edited.emit(value)

    def _on_typed(self, value: Any) -> None:
        if self.slider is not None:
            self.slider.set_values([value])
        self.edited.emit(value)

    def _on_held(self, is_held: bool) -> None:
        self.dragged.emit(is_held)
        if not is_held:
            self.settled.emit()


def editor_for(setting: Setting, kind: str = "", parent: Optional[QtWidgets.QWidget] = None) -> Editor:
    """Return an editor for the type of ``setting``."""
    if setting.choices:
        return ChoiceEditor(setting, kind, parent)
    if setting.type is bool:
        return SwitchEditor(setting, parent)
    return NumberEditor(setting, parent)
