"""A check box that can be seen on a dark ground, and that a click never leaves half checked."""

from PyQt5 import QtCore, QtGui, QtWidgets


class CheckBox(QtWidgets.QCheckBox):
    """Half checked stands for values that differ; a click makes it checked."""

    def nextCheckState(self) -> None:
        self.setCheckState(QtCore.Qt.Unchecked if self.checkState() == QtCore.Qt.Checked else QtCore.Qt.Checked)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        super().paintEvent(event)
        # Fusion's outline is a darker window colour, which in a dark theme is no outline.
        option = QtWidgets.QStyleOptionButton()
        self.initStyleOption(option)
        box = self.style().subElementRect(QtWidgets.QStyle.SE_CheckBoxIndicator, option, self)
        painter = QtGui.QPainter(self)
        color = self.palette().color(QtGui.QPalette.Highlight if self.hasFocus() else QtGui.QPalette.PlaceholderText)
        color.setAlpha(255 if self.isEnabled() else 120)
        painter.setPen(color)
        painter.drawRect(box.adjusted(0, 0, -1, -1))
        painter.end()
