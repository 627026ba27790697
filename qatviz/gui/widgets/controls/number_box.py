"""A box for a number, whole or not, that knows its setting; it may also show that there are several values."""

from typing import Any, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import SettingError
from qatviz.gui.widgets.controls.values import stepped
from qatviz.settings import Setting

MIXED = "mixed"
_STEPPING = (QtCore.Qt.Key_Up, QtCore.Qt.Key_Down, QtCore.Qt.Key_PageUp, QtCore.Qt.Key_PageDown)


class NumberBox(QtWidgets.QAbstractSpinBox):
    """Typed text counts when Enter is pressed or the box is left, an arrow at once; Escape takes typed text back.

    What is not allowed is not taken: Enter says what is, leaving the box restores what was shown.

    Attributes
    ----------
    keeps_text : bool
        Leaving the box keeps what is not allowed, for a form that says so under it.
    """

    keeps_text = False

    #: Another value, by the user.
    edited = QtCore.pyqtSignal(object)
    #: An arrow, or its key, is held down (True) or let go.
    held = QtCore.pyqtSignal(bool)
    #: Typing has ended, with or without another value.
    settled = QtCore.pyqtSignal()
    #: What was typed is not allowed; a sentence that says what is.
    refused = QtCore.pyqtSignal(str)

    def __init__(self, setting: Setting, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._setting: Setting = setting
        self._value: Any = None
        self._start: Any = setting.default
        self._is_held = False
        self._is_typed = False  # there is text of the user's; the line's own flag is gone when Enter is pressed
        self.setKeyboardTracking(False)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setContextMenuPolicy(QtCore.Qt.NoContextMenu)  # the control's
        self.lineEdit().setPlaceholderText(MIXED)
        self.lineEdit().textEdited.connect(self._on_text_edited)
        self.editingFinished.connect(self.take_text)

    @property
    def value(self) -> Any:
        """None where there are several."""
        return self._value

    def set_value(self, value: Any, start: Any = None) -> None:
        """Show ``value``; None: several, and an arrow begins at ``start``."""
        self._value = value
        self._start = value if value is not None else start
        self._write()
        self.update()  # an arrow may be at its end

    def is_typing(self) -> bool:
        """Whether there is text that does not count yet, or an arrow is held."""
        return self._is_held or self._is_typed

    # As a spin box

    def stepBy(self, count: int) -> None:
        if self._is_typed:
            try:
                self._commit()
            except SettingError:
                self._write()  # the step begins where the value is
        self._take(stepped(self._setting, self._start, count))
        self.selectAll()

    def stepEnabled(self) -> QtWidgets.QAbstractSpinBox.StepEnabled:
        if self._value is None:
            return self.StepUpEnabled | self.StepDownEnabled
        up = self.StepUpEnabled if self._value < self._setting.high else self.StepNone
        return up | (self.StepDownEnabled if self._value > self._setting.low else self.StepNone)

    def validate(self, text: str, position: int):
        return QtGui.QValidator.Acceptable, text, position  # checked when it is to count

    def sizeHint(self) -> QtCore.QSize:
        return self._size(max(self._samples(), key=self.fontMetrics().horizontalAdvance))

    def minimumSizeHint(self) -> QtCore.QSize:
        return self._size(max(self._samples()[:2], key=self.fontMetrics().horizontalAdvance))

    # Inside

    def _samples(self):
        setting = self._setting
        longest = stepped(setting, setting.high, -1) if setting.type is float else min(setting.high, 99999)
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

    def _take(self, value: Any) -> None:
        is_new = value != self._value
        self.set_value(value)
        if is_new:
            self.edited.emit(value)

    def _parsed(self) -> Any:
        text, unit = self.lineEdit().text().strip(), self._setting.shown_unit
        if unit and text.endswith(unit):
            text = text[: -len(unit)]
        return self._setting.parse(text.replace(",", ".") if self._setting.type is float else text)

    def _commit(self) -> None:
        value = self._parsed()
        if self._value is not None and self._setting.text(value) == self._setting.text(self._value):
            value = self._value  # as it was shown, rounded
        self._take(value)

    def _on_text_edited(self) -> None:
        self._is_typed = True

    def take_text(self) -> None:
        """What was typed counts from now on; where it is not allowed, say so."""
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
                QtWidgets.QToolTip.showText(place, str(error), self)
                return
            self._write()
        self.settled.emit()

    def _hold(self, is_held: bool) -> None:
        if is_held != self._is_held:
            self._is_held = is_held
            self.held.emit(is_held)
            if not is_held:
                self.settled.emit()

    # Events

    def event(self, event: QtCore.QEvent) -> bool:
        # Escape takes back what is typed before it means anything else.
        if event.type() == QtCore.QEvent.ShortcutOverride and event.key() == QtCore.Qt.Key_Escape and self.is_typing():
            event.accept()
            return True
        # Without typed text to take back, undo is the window's: that of settings.
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
        if event.key() in _STEPPING:
            self._hold(True)
        super().keyPressEvent(event)
        if event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter) and self._is_typed:
            event.accept()  # refused: no default button is to be pressed by it

    def keyReleaseEvent(self, event: QtGui.QKeyEvent) -> None:
        super().keyReleaseEvent(event)
        if event.key() in _STEPPING and not event.isAutoRepeat():
            self._hold(False)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        self._hold(True)
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QtGui.QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._hold(False)

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()  # who scrolls the panel does not mean the box

    def focusOutEvent(self, event: QtGui.QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._hold(False)

    def changeEvent(self, event: QtCore.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.EnabledChange and not self.isEnabled():
            self._hold(False)
