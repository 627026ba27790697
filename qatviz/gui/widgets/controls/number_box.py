"""Number box for a setting; it can also show that there are several values (mixed)."""

import re
from typing import Any, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import SettingError
from qatviz.gui.widgets.controls.holdable import Holdable
from qatviz.gui.widgets.controls.values import bounds, incremented
from qatviz.gui.widgets.labels import plain_tip
from qatviz.setting_declaration import Setting

MIXED = "mixed"
#: A whole number with separators of thousands.
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
_ARROW_KEYS = (QtCore.Qt.Key_Up, QtCore.Qt.Key_Down, QtCore.Qt.Key_PageUp, QtCore.Qt.Key_PageDown)


class NumberBox(Holdable, QtWidgets.QAbstractSpinBox):
    """Box that commits typed text on Enter or when it loses focus; arrows commit at once, Escape reverts the text.

    An invalid value is not committed: Enter shows the allowed values, losing focus restores the old value.

    Attributes
    ----------
    keeps_text : bool
        Whether invalid text stays when the box loses focus, for a form that shows the error below it.
    """

    keeps_text = False

    #: Emitted with the new value when the user changes it.
    edited = QtCore.pyqtSignal(object)
    #: Emitted when typing ends, with or without a new value.
    settled = QtCore.pyqtSignal()
    #: Emitted with a message when the typed value is invalid.
    refused = QtCore.pyqtSignal(str)

    def __init__(self, setting: Setting, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._setting: Setting = setting
        self._value: Any = None
        self._start: Any = setting.default
        self._is_typed = False  # QLineEdit's own flag is already reset when Enter is handled
        self.setKeyboardTracking(False)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setContextMenuPolicy(QtCore.Qt.NoContextMenu)  # the control has one
        self.lineEdit().setPlaceholderText(MIXED)
        self.lineEdit().textEdited.connect(self._on_text_edited)
        self.editingFinished.connect(self.commit_text)

    @property
    def value(self) -> Any:
        """The value shown; None if there are several."""
        return self._value

    def set_value(self, value: Any, start: Any = None) -> None:
        """Show ``value``, or "mixed" for None, in which case the arrows start from ``start``."""
        self._value = value
        self._start = value if value is not None else start
        self._write()
        self.update()  # enables or disables the arrows

    def is_typing(self) -> bool:
        """Return whether there is uncommitted text, or an arrow is pressed."""
        return self.is_held or self._is_typed

    # As a spin box

    def stepBy(self, count: int) -> None:
        if self._is_typed:
            try:
                self._commit()
            except SettingError:
                self._write()  # the increment starts from the last valid value
        self._set_and_emit(incremented(self._setting, self._start, count))
        self.selectAll()

    def stepEnabled(self) -> QtWidgets.QAbstractSpinBox.StepEnabled:
        if self._value is None:
            return self.StepUpEnabled | self.StepDownEnabled
        low, high = bounds(self._setting)
        up = self.StepUpEnabled if self._value < high else self.StepNone
        return up | (self.StepDownEnabled if self._value > low else self.StepNone)

    def validate(self, text: str, position: int) -> Tuple[QtGui.QValidator.State, str, int]:
        return QtGui.QValidator.Acceptable, text, position  # validated on commit

    def sizeHint(self) -> QtCore.QSize:
        return self._size(max(self._samples(), key=self.fontMetrics().horizontalAdvance))

    def minimumSizeHint(self) -> QtCore.QSize:
        return self._size(max(self._samples()[:2], key=self.fontMetrics().horizontalAdvance))

    # Implementation

    def _samples(self) -> Tuple[str, str, str]:
        setting = self._setting
        _, high = bounds(setting)
        longest = incremented(setting, high, -1) if setting.type is float else min(high, 99999)
        return MIXED, setting.text_with_unit(setting.default), setting.text_with_unit(longest)

    def _size(self, text: str) -> QtCore.QSize:
        option = QtWidgets.QStyleOptionSpinBox()
        self.initStyleOption(option)
        height = self.lineEdit().sizeHint().height()
        inside = QtCore.QSize(self.fontMetrics().horizontalAdvance(text) + 8, height)
        return self.style().sizeFromContents(QtWidgets.QStyle.CT_SpinBox, option, inside, self)

    def _write(self) -> None:
        self.lineEdit().setText("" if self._value is None else self._setting.text_with_unit(self._value))
        self.lineEdit().setCursorPosition(0)
        self._is_typed = False

    def _set_and_emit(self, value: Any) -> None:
        is_new = value != self._value
        self.set_value(value)
        if is_new:
            self.edited.emit(value)

    def _parsed(self) -> Any:
        text, unit = self.lineEdit().text().strip(), self._setting.shown_unit
        if unit and text.endswith(unit):
            text = text[: -len(unit)]
        if self._setting.type is float:
            number = text.replace(",", ".")  # a decimal comma
        else:
            number = text.replace(",", "") if _GROUPED.fullmatch(text) else text
        return self._setting.parse(number, self._setting.label)

    def _commit(self) -> None:
        value = self._parsed()
        if self._value is not None and self._setting.text(value) == self._setting.text(self._value):
            value = self._value  # shown rounded: keep all digits
        self._set_and_emit(value)

    def _on_text_edited(self) -> None:
        self._is_typed = True

    def commit_text(self) -> None:
        """Commit the typed text, or show why it is invalid."""
        if not self._is_typed:
            return
        try:
            if self.lineEdit().text().strip():
                self._commit()
            else:
                self._write()
        except SettingError as error:
            self.refused.emit(str(error))
            if self.keeps_text:
                return
            if self.hasFocus():
                place = self.mapToGlobal(QtCore.QPoint(0, self.height()))
                QtWidgets.QToolTip.showText(place, plain_tip(str(error)), self)
                return
            self._write()
        self.settled.emit()

    def _hold(self, is_held: bool) -> bool:
        has_changed = super()._hold(is_held)
        if has_changed and not is_held:
            self.settled.emit()
        return has_changed

    # Events

    def event(self, event: QtCore.QEvent) -> bool:
        # Escape reverts typed text first; only then is it a shortcut of the window.
        if event.type() == QtCore.QEvent.ShortcutOverride and event.key() == QtCore.Qt.Key_Escape and self.is_typing():
            event.accept()
            return True
        # Without typed text, Undo and Redo are those of the settings.
        if (
            event.type() == QtCore.QEvent.ShortcutOverride
            and not self._is_typed
            and (event.matches(QtGui.QKeySequence.Undo) or event.matches(QtGui.QKeySequence.Redo))
        ):
            event.ignore()
            return False
        return super().event(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        if event.key() == QtCore.Qt.Key_Escape and self._is_typed:
            self._write()
            self.settled.emit()
            return
        if event.key() in _ARROW_KEYS:
            self._hold(True)
        super().keyPressEvent(event)
        if event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter) and self._is_typed:
            event.accept()  # not committed: Enter must not press the default button

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        super().keyReleaseEvent(event)
        if event.key() in _ARROW_KEYS and not event.isAutoRepeat():
            self._hold(False)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self._hold(True)
        super().mousePressEvent(event)


def commit_focused_box() -> None:
    """Commit the text that is being typed into the focused number box, if there is one."""
    box = QtWidgets.QApplication.focusWidget()
    if isinstance(box, NumberBox):
        box.commit_text()
