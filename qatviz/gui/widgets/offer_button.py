"""Button that offers a change with its effect."""

from PyQt5 import QtCore, QtGui, QtWidgets

#: Width in characters at least; without room, the text is cut.
_CHARACTERS = 12


class OfferButton(QtWidgets.QPushButton):
    """Button whose text has an ellipsis in its middle where there is no room: an offer must not widen the panel."""

    def __init__(self) -> None:
        super().__init__(accessibleName="Proposed change")
        policy = self.sizePolicy()
        policy.setHorizontalPolicy(QtWidgets.QSizePolicy.Maximum)  # it may be narrower than its text
        self.setSizePolicy(policy)

    def minimumSizeHint(self) -> QtCore.QSize:
        size = super().minimumSizeHint()
        return size.boundedTo(QtCore.QSize(_CHARACTERS * self.fontMetrics().averageCharWidth(), size.height()))

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        option = QtWidgets.QStyleOptionButton()
        self.initStyleOption(option)
        room = self.style().subElementRect(QtWidgets.QStyle.SE_PushButtonContents, option, self).width()
        option.text = self.fontMetrics().elidedText(option.text, QtCore.Qt.ElideMiddle, room)
        QtWidgets.QStylePainter(self).drawControl(QtWidgets.QStyle.CE_PushButton, option)
