"""Editor of the bit width in the table of layers."""

# A module of its own, because view.py arranges columns and this edits a cell.

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.edits import Edits
from qatviz.gui.panels.layers.delegate import LayersDelegate
from qatviz.gui.panels.layers.model import LayersFilter
from qatviz.gui.widgets.controls.number_box import NumberBox
from qatviz.settings import QUANTIZER_SETTINGS

_BITS = "num_bits"


class BitsDelegate(QtWidgets.QStyledItemDelegate):
    """Delegate that opens a number box in a cell; ``painter`` paints the cells. An edit is that of one tensor."""

    def __init__(self, painter: LayersDelegate, shown: LayersFilter, edits: Edits, parent: QtWidgets.QWidget):
        super().__init__(parent)
        self._painter, self._shown, self._edits = painter, shown, edits

    def createEditor(
        self, parent: QtWidgets.QWidget, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex
    ) -> QtWidgets.QWidget:
        tensor = self._shown.tensor(index.row())
        box = NumberBox(QUANTIZER_SETTINGS[_BITS].of_kind(tensor.rpartition(".")[2]), parent)
        box.setFrame(False)
        box.setAutoFillBackground(True)
        box.setAccessibleName(f"Bits of {tensor}")
        box.set_value(self._edits.value(tensor, _BITS))
        box.edited.connect(lambda bits: self._edits.edit([tensor], _BITS, bits))
        box.refused.connect(self._edits.refused)
        return box

    def setEditorData(self, editor: QtWidgets.QWidget, index: QtCore.QModelIndex) -> None:
        if isinstance(editor, NumberBox) and not editor.is_typing():
            editor.set_value(self._edits.value(self._shown.tensor(index.row()), _BITS))
            editor.selectAll()

    def setModelData(
        self, editor: QtWidgets.QWidget, model: QtCore.QAbstractItemModel, index: QtCore.QModelIndex
    ) -> None:
        if isinstance(editor, NumberBox):
            editor.commit_text()

    def updateEditorGeometry(
        self, editor: QtWidgets.QWidget, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex
    ) -> None:
        rect = QtCore.QRect(option.rect)
        rect.setWidth(max(rect.width(), editor.minimumSizeHint().width()))
        editor.setGeometry(rect)

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        is_escape = event.type() == QtCore.QEvent.KeyPress and event.key() == QtCore.Qt.Key_Escape
        if is_escape and isinstance(watched, NumberBox):
            watched.set_value(watched.value)  # closing the editor must not commit the typed text
        return super().eventFilter(watched, event)

    def paint(self, painter: QtGui.QPainter, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> None:
        self._painter.paint(painter, option, index)
