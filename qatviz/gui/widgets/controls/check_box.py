"""Check box with a visible outline on dark backgrounds; a click never leaves it partially checked."""

from PyQt5 import QtCore, QtGui, QtWidgets


class CheckBox(QtWidgets.QCheckBox):
    """Check box whose partially checked state stands for mixed values; a click checks it."""

    def nextCheckState(self) -> None:
        self.setCheckState(QtCore.Qt.Unchecked if self.checkState() == QtCore.Qt.Checked else QtCore.Qt.Checked)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        super().paintEvent(event)
        # Fusion draws the outline in a darker window color, which is invisible in a dark theme.
        option = QtWidgets.QStyleOptionButton()
        self.initStyleOption(option)
        box = self.style().subElementRect(QtWidgets.QStyle.SE_CheckBoxIndicator, option, self)
        painter = QtGui.QPainter(self)
        color = self.palette().color(QtGui.QPalette.Highlight if self.hasFocus() else QtGui.QPalette.PlaceholderText)
        color.setAlpha(255 if self.isEnabled() else 120)
        painter.setPen(color)
        painter.drawRect(box.adjusted(0, 0, -1, -1))
        painter.end()
