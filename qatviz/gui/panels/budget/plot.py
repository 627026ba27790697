"""Picture of cost against quality, with hover and clicks on evaluations."""

from typing import List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.budget import Allocation
from qatviz.gui.panels.budget.evaluations import Evaluation
from qatviz.gui.widgets.arrow_keys import HORIZONTAL
from qatviz.gui.widgets.dots_plot import DotsPlot
from qatviz.gui.widgets.theme import Theme
from qatviz.metric import METRICS
from qatviz.presentation.pareto import ParetoScene, measured_front, pareto_scene
from qatviz.presentation.score_texts import metric_title


class ParetoPlot(DotsPlot):
    """Evaluations by cost and metric, and the predicted optima by cost and loss."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setMinimumHeight(170)
        self.setAccessibleName("Cost and quality of evaluations")
        self.evaluations: List[Evaluation] = []
        self.unit = CostUnit.CODES
        self.predicted: Tuple[Allocation, ...] = ()
        self.chosen: Optional[Allocation] = None
        self.selection = -1

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

    def scene(self) -> ParetoScene:
        event = self.evaluations[-1].event if self.evaluations else None
        metric = METRICS[event.metric if event is not None else "accuracy"]
        title = metric_title(metric.name, event.output if event is not None else "")
        unit = f" ({metric.axis.unit})" if metric.axis.unit else ""
        dots = [evaluation.dot for evaluation in self.evaluations]
        return pareto_scene(
            (self.width(), self.height()),
            self.metrics,
            self.unit,
            title + unit,
            metric.axis,
            dots,
            measured_front(dots, metric.higher_is_better),
            self.predicted,
            self.chosen,
            self.selection,
        )

    def text_of(self, index: int) -> str:
        return self.evaluations[index].text(self.unit)

    def keyPressEvent(self, event: QtGui.QKeyEvent) -> None:
        step = HORIZONTAL.get(event.key())
        if step is None or event.modifiers() & ~QtCore.Qt.KeypadModifier or not self.evaluations:
            super().keyPressEvent(event)
        elif self.selection < 0:
            self.selected.emit(len(self.evaluations) - 1)
        else:
            self.selected.emit(min(max(self.selection + step, 0), len(self.evaluations) - 1))
