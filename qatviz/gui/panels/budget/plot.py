"""Picture of cost against quality, with hover and clicks on evaluations."""

from typing import List, Optional, Sequence, Tuple

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.budget import Allocation
from qatviz.gui.panels.budget.evaluations import Evaluation
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.metric import METRICS
from qatviz.presentation.pareto import measured_front, nearest, pareto_scene
from qatviz.presentation.scene import Shape
from qatviz.presentation.score_texts import metric_title

#: Distance within which the mouse finds a dot, px.
_REACH = 10.0


class ParetoPlot(SceneWidget):
    """Evaluations by cost and metric, and the predicted optima by cost and loss."""

    #: Emitted with the index of the evaluation that the user clicked; -1 for none.
    selected = QtCore.pyqtSignal(int)

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self.setMouseTracking(True)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setMinimumHeight(170)
        self.setAccessibleName("Cost and quality of evaluations")
        self.evaluations: List[Evaluation] = []
        self.unit = CostUnit.CODES
        self.predicted: Tuple[Allocation, ...] = ()
        self.chosen: Optional[Allocation] = None
        self.selection = -1
        self._places = np.zeros((0, 2))

    def show_points(
        self,
        unit: CostUnit,
        evaluations: List[Evaluation],
        predicted: Sequence[Allocation],
        chosen: Optional[Allocation],
        selection: int,
    ) -> None:
        """Show these evaluations and optima."""
        shown = (self.unit, self.evaluations, self.predicted, self.chosen, self.selection)
        wanted = (unit, evaluations, tuple(predicted), chosen, selection)
        if shown != wanted:
            self.unit, self.evaluations, self.predicted, self.chosen, self.selection = wanted
            self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        if not self.evaluations and not self.predicted:
            return []
        event = self.evaluations[-1].event if self.evaluations else None
        metric = METRICS[event.metric if event is not None else "accuracy"]
        title = metric_title(metric.name, event.output if event is not None else "")
        dots = [evaluation.dot for evaluation in self.evaluations]
        scene = pareto_scene(
            (self.width(), self.height()),
            self.metrics,
            self.unit,
            title,
            metric.axis,
            dots,
            measured_front(dots, metric.higher_is_better),
            self.predicted,
            self.chosen,
            self.selection,
        )
        self._places = scene.places
        return scene.shapes

    def place_of(self, index: int) -> QtCore.QPoint:
        """Return the place of an evaluation's dot in the widget."""
        return QtCore.QPoint(*np.rint(self._places[index]).astype(int).tolist())

    def _at(self, place: QtCore.QPoint) -> int:
        return nearest(self._places, place.x(), place.y(), _REACH)

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        index = self._at(event.pos())
        text = self.evaluations[index].text(self.unit) if index >= 0 else ""
        self.setToolTip(plain_tip(text))
        if text:
            QtWidgets.QToolTip.showText(event.globalPos(), plain_tip(text), self)
        else:
            QtWidgets.QToolTip.hideText()
        super().mouseMoveEvent(event)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        step = {QtCore.Qt.Key_Left: -1, QtCore.Qt.Key_Right: 1}.get(event.key())
        if step is None or event.modifiers() & ~QtCore.Qt.KeypadModifier or not self.evaluations:
            super().keyPressEvent(event)
        elif self.selection < 0:
            self.selected.emit(len(self.evaluations) - 1)
        else:
            self.selected.emit(min(max(self.selection + step, 0), len(self.evaluations) - 1))

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.button() == QtCore.Qt.LeftButton:
            self.selected.emit(self._at(event.pos()))
        super().mousePressEvent(event)
