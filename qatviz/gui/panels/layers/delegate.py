"""Delegate that paints the table of layers itself, because Qt's styles are far slower."""

from typing import Dict

from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtCore import Qt

from qatviz.analysis.verdict import BAD, GOOD, LEVEL_NAMES, NO_LEVEL, WARNING
from qatviz.gui.panels.layers.columns import COLUMNS, Column
from qatviz.gui.panels.layers.model import LayersFilter
from qatviz.gui.panels.layers.rows import Cell, Rows
from qatviz.gui.panels.layers.sparkline import Sparklines
from qatviz.gui.widgets.theme import Theme

_PADDING = 6
_CURRENT_BAR = 3


class LayersDelegate(QtWidgets.QStyledItemDelegate):
    """Painter of cells.

    Attributes
    ----------
    current : str
        Name of the tensor in the Tensor panel; its row is marked.
    """

    def __init__(
        self, rows: Rows, shown: LayersFilter, sparklines: Sparklines, theme: Theme, parent: QtWidgets.QWidget
    ):
        super().__init__(parent)
        self._rows, self._shown, self._sparklines, self._theme = rows, shown, sparklines, theme
        self.current = ""
        self.apply_theme()

    def apply_theme(self) -> None:
        """Apply the theme's colours and the view's font."""
        color = self._theme.color
        self._text, self._muted, self._ghost = color("text"), color("muted"), color("ghost")
        self._accent = color("accent")
        self._levels: Dict[int, QtGui.QColor] = {NO_LEVEL: self._muted}
        self._levels.update((level, color(LEVEL_NAMES[level])) for level in (GOOD, WARNING, BAD))
        self._spark_pen = QtGui.QPen(color("muted"), 1)
        self._bold = QtGui.QFont(self.parent().font())
        self._bold.setBold(True)

    def paint(self, painter: QtGui.QPainter, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> None:
        row = self._shown.mapToSource(index).row()
        column, rect = COLUMNS[index.column()], option.rect
        is_current = self._rows.tensors[row].name == self.current
        if is_current and column.key == "verdict":
            painter.fillRect(rect.left(), rect.top(), _CURRENT_BAR, rect.height(), self._accent)
        inner = rect.adjusted(_PADDING, 0, -_PADDING, 0)
        if column.key == "trend":
            level = self._rows.verdict(row).level
            self._sparklines.paint(painter, inner, self._rows.tensors[row].name, self._spark_pen, self._levels[level])
        elif column.key == "name":
            self._paint_name(painter, inner, row, is_current)
        else:
            self._paint_cell(painter, inner, row, column)

    def sizeHint(self, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> QtCore.QSize:
        return QtCore.QSize(60, option.fontMetrics.height() + 7)

    def _paint_cell(self, painter: QtGui.QPainter, rect: QtCore.QRect, row: int, column: Column) -> None:
        cell = self._rows.cell(row, column)
        align = Qt.AlignVCenter | (Qt.AlignRight if column.is_number else Qt.AlignLeft)
        if column.key == "verdict":
            align = Qt.AlignCenter
        if cell.pending:
            painter.setPen(self._ghost)
            painter.drawText(rect, align, f"{cell.text} → {cell.pending}")
            return
        # Bold as well as coloured, so that colour is not the only cue.
        is_flagged = cell.level >= WARNING
        if is_flagged:
            painter.setFont(self._bold)
        painter.setPen(self._pen(cell, column))
        painter.drawText(rect, align, cell.text)
        if is_flagged:
            painter.setFont(self.parent().font())

    def _pen(self, cell: Cell, column: Column) -> QtGui.QColor:
        """Return the colour of a cell; good values are coloured only for verdict and SQNR, so that others stand out."""
        if cell.level >= WARNING or column.key in ("verdict", "sqnr_db"):
            return self._levels[cell.level]
        return self._muted if cell.is_muted else self._text

    def _paint_name(self, painter: QtGui.QPainter, rect: QtCore.QRect, row: int, is_current: bool) -> None:
        """Paint the layer's name, with an ellipsis in its middle if it is too long, and in a muted colour the kind."""
        layer, dot, kind = self._rows.tensors[row].name.rpartition(".")
        if is_current:
            painter.setFont(self._bold)
        painter.setPen(self._text)
        metrics, rest = painter.fontMetrics(), dot + kind
        width = metrics.horizontalAdvance(layer)
        room = rect.width() - metrics.horizontalAdvance(rest)
        if width > room:
            layer = metrics.elidedText(layer, Qt.ElideMiddle, room)
            width = metrics.horizontalAdvance(layer)
        painter.drawText(rect, Qt.AlignVCenter | Qt.AlignLeft, layer)
        painter.setPen(self._muted)
        painter.drawText(rect.adjusted(width, 0, 0, 0), Qt.AlignVCenter | Qt.AlignLeft, rest)
        if is_current:
            painter.setFont(self.parent().font())
