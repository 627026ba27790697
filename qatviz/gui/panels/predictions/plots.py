"""Confusion matrix with hover, clicks and keys; and the plot of a regression."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.predictions import Confusion, OutputPredictions
from qatviz.gui.widgets.arrow_keys import ARROWS
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.confusion import (
    DIFFERENCE,
    KINDS,
    ConfusionLayout,
    ConfusionTable,
    MatrixCell,
    cell_lines,
    confusion_table,
    omitted_text,
)
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.pareto import nearest
from qatviz.presentation.prediction_texts import group_name
from qatviz.presentation.scatter import scatter_scene
from qatviz.presentation.scene import Shape, Text

#: Distance within which the mouse finds a dot, px.
_REACH = 8.0


class MatrixView(SceneWidget):
    """Confusion matrix; a click on a cell, or Return, chooses its examples."""

    #: Emitted with the cell whose examples the user wants to see.
    chosen = QtCore.pyqtSignal(object)

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.figure_name = "confusion matrix"
        self.confusion: Optional[Confusion] = None
        self.names: Tuple[str, ...] = ()
        self.kind, self.noun = DIFFERENCE, "example"
        self.cursor_cell: Optional[MatrixCell] = None
        self.menu = FigureMenu(self)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setAccessibleName("Confusion matrix")
        self.setMinimumSize(120, 80)

    def show_matrix(self, confusion: Optional[Confusion], names: Tuple[str, ...], noun: str) -> None:
        """Show a matrix of examples or pixels, or none."""
        if self.confusion is None or names != self.names:
            self.cursor_cell = None
        self.confusion, self.names, self.noun = confusion, names, noun
        self.changed()

    def show_kind(self, kind: str) -> None:
        """Show the matrix of one network, or the difference."""
        self.kind = kind
        self.changed()

    @property
    def shown(self) -> Optional[ConfusionTable]:
        """Rows and columns of the picture; None without a matrix."""
        return None if self.confusion is None else confusion_table(self.confusion, self.names, self.kind)

    def places(self, table: ConfusionTable) -> ConfusionLayout:
        """Return the positions of the cells."""
        room = self.metrics.height if table.omitted else 0.0
        return ConfusionLayout(table, (self.width(), self.height() - room), self.metrics)

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        table = self.shown
        if table is None:
            return []
        shapes: List[Shape] = list(self.places(table).shapes(None if is_figure else self.cursor_cell))
        if table.omitted:
            shapes.append(Text(4.0, self.height() - 4.0, omitted_text(table)))
        return shapes

    def caption(self) -> Caption:
        """Return the caption of a saved figure."""
        kind = {KINDS[0]: "in float", KINDS[1]: "quantized"}.get(self.kind, "quantized minus float")
        return Caption(f"Confusion matrix, {kind}: classes by row, predicted classes by column")

    def table(self) -> Dict[str, Any]:
        """Return the values of the whole matrix, by predicted class."""
        if self.confusion is None:
            return {}
        kinds = (self.confusion.in_float, self.confusion.quantized, self.confusion.difference)
        values = kinds[KINDS.index(self.kind)]
        return {"class": list(self.names), **{name: values[:, index] for index, name in enumerate(self.names)}}

    def event(self, event: QtCore.QEvent) -> bool:
        table = self.shown
        if event.type() == QtCore.QEvent.ToolTip and table is not None:
            cell = self.places(table).cell_at(event.pos().x(), event.pos().y())
            lines = [] if cell is None else self._lines(cell)
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip("\n".join(lines)), self)
            return True
        return super().event(event)

    def _lines(self, cell: MatrixCell) -> List[str]:
        assert self.confusion is not None, "a cell is that of a matrix"
        return [*cell_lines(self.confusion, self.names, cell, self.noun), "Click to see its examples."]

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        table = self.shown
        cell = None if table is None else self.places(table).cell_at(event.x(), event.y())
        if cell is not None and event.button() == QtCore.Qt.LeftButton:
            self.cursor_cell = cell
            self.changed()
            self.chosen.emit(cell)
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        table = self.shown
        is_return = event.key() in (QtCore.Qt.Key_Return, QtCore.Qt.Key_Enter)
        if table is None or not (is_return or event.key() in ARROWS):
            super().keyPressEvent(event)
            return
        first = int(table.classes[0])
        cell = self.cursor_cell or MatrixCell(first, first)
        if is_return:
            self.chosen.emit(cell)
            return
        if self.cursor_cell is not None:
            places = [int(np.flatnonzero(table.classes == index)[0]) for index in cell]
            by_column, by_row = ARROWS[event.key()]
            at = [min(max(p + by, 0), len(table.names) - 1) for p, by in zip(places, (by_row, by_column))]
            cell = MatrixCell(*(int(table.classes[place]) for place in at))
        self.cursor_cell = cell
        self.changed()
        QtWidgets.QToolTip.showText(
            self.mapToGlobal(QtCore.QPoint(*map(int, self.places(table).center(cell)))),
            plain_tip("\n".join(self._lines(cell))),
            self,
        )


class ScatterView(SceneWidget):
    """Predictions and errors of a regression over the targets; a click selects an example."""

    #: Emitted with the index of the example that the user selected.
    selected = QtCore.pyqtSignal(int)

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.figure_name = "predictions over targets"
        self.found: Optional[OutputPredictions] = None
        self.index, self.selection = 0, -1
        self._places = np.zeros((0, 2))
        self.menu = FigureMenu(self)
        self.setAccessibleName("Predictions and errors over targets")
        self.setMinimumSize(120, 80)
        self.setToolTip("Each held-out example in float and quantized. Click a dot of the upper plot to select it.")

    def show_predictions(self, found: Optional[OutputPredictions], index: int, selection: int) -> None:
        """Show the number ``index`` to predict, with the selected example marked; -1 for none."""
        self.found, self.index, self.selection = found, index, selection
        self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        if self.found is None:
            return []
        size, name = (self.width(), self.height()), group_name(self.found, self.index)
        scene = scatter_scene(size, self.metrics, self.found, self.index, name, self.selection)
        self._places = scene.places
        return scene.shapes

    def place_of(self, index: int) -> QtCore.QPoint:
        """Return the place of an example's dot in the widget."""
        return QtCore.QPoint(*np.rint(self._places[index]).astype(int).tolist())

    def table(self) -> Dict[str, Any]:
        """Return the values by column."""
        if self.found is None:
            return {}
        parts = (self.found.targets, self.found.in_float, self.found.quantized)
        return {name: part[:, self.index] for name, part in zip(("target", "float", "quantized"), parts)}

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        index = nearest(self._places, event.x(), event.y(), _REACH)
        if index >= 0 and event.button() == QtCore.Qt.LeftButton:
            self.selected.emit(index)
        super().mousePressEvent(event)
