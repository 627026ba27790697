"""Page of a comparison with its runs by size and quality."""

from typing import Dict, List, Optional, Sequence

import numpy as np
from PyQt5 import QtWidgets

from qatviz.analysis.comparison import Comparison
from qatviz.gui.dialogs.fields import ComboBox
from qatviz.gui.widgets.dots_plot import DotsPlot
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.metric import MODE_NAMES, MODES
from qatviz.presentation.comparison_dots import dot_text, dots_scene, run_dot
from qatviz.presentation.pareto import ParetoScene

_NO_DOTS = "No evaluations yet"
_FRONT = "The line joins the Pareto-optimal runs: no other run of at most their size has as good a metric"


class RunDots(DotsPlot):
    """Plot with a dot for each chosen run: size of its weights, and metric."""

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.figure_name = "comparison_sizes"
        self.setAccessibleName("Size and quality of the runs")
        self.comparison: Optional[Comparison] = None
        self.mode, self.selection = MODES[-1], -1
        self._shown: List[int] = []
        self.empty = EmptyText(self)
        self.menu = FigureMenu(self)

    def show_runs(self, comparison: Comparison, mode: str, shown: Sequence[int], selection: int) -> None:
        """Show the runs with the indices ``shown``."""
        self.comparison, self.mode, self._shown, self.selection = comparison, mode, list(shown), selection
        self.empty.show_text("" if self.scene().shapes else _NO_DOTS)
        self.changed()

    def scene(self) -> ParetoScene:
        if self.comparison is None:
            return ParetoScene([], np.zeros((0, 2)))
        size = float(self.width()), float(self.height())
        return dots_scene(size, self.metrics, self.comparison, self.mode, self._shown, self.selection)

    def text_of(self, index: int) -> str:
        return "" if self.comparison is None else dot_text(self.comparison, index, self.mode)

    def table(self) -> Dict[str, np.ndarray]:
        """Return names, sizes and metrics as columns."""
        comparison = self.comparison
        if comparison is None:
            return {}
        dots = [run_dot(comparison, comparison.runs[index], self.mode) for index in self._shown]
        return {
            "run": np.array([comparison.names[index] for index in self._shown]),
            "weight_bytes": np.array([dot.cost for dot in dots]),
            self.mode: np.array([dot.value for dot in dots]),
        }


class DotsPage(QtWidgets.QWidget):
    """Runs by size of the weights and metric."""

    def __init__(self, theme: Theme):
        super().__init__()
        self._comparison: Optional[Comparison] = None
        self._shown: Sequence[int] = ()
        self.selection = -1
        self.plot = RunDots(theme)
        self.mode = ComboBox(accessibleName="Mode of evaluation")
        for mode in reversed(MODES):
            self.mode.addItem(MODE_NAMES[mode].capitalize(), mode)
        head = QtWidgets.QHBoxLayout()
        head.addWidget(Label(_FRONT, wordWrap=True), 1)
        head.addWidget(self.mode)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 4, 0, 0)
        rows.addLayout(head)
        rows.addWidget(self.plot, 1)
        self.mode.currentIndexChanged.connect(self._draw)

    def show_comparison(self, comparison: Comparison, shown: Sequence[int]) -> None:
        """Show other runs, or a newer state of the same."""
        self._comparison, self._shown = comparison, shown
        self._draw()

    def select(self, index: int) -> None:
        """Highlight the dot of a run; -1 for none."""
        if index != self.selection:
            self.selection = index
            self._draw()

    def _draw(self, *_: object) -> None:
        if self._comparison is not None:
            self.plot.show_runs(self._comparison, self.mode.currentData(), self._shown, self.selection)

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        self.plot.changed()
