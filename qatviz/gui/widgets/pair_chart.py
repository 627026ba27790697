"""Chart of the distributions of two states of a tensor, such as two runs or two moments of one."""

from typing import Callable, List, Optional, Sequence

from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.scene import Metrics, Shape
from qatviz.protocol.snapshots import TensorHistogram


class PairChart(SceneWidget):
    """Distribution of two states of a tensor, drawn by a function of :mod:`qatviz.presentation.comparison`."""

    def __init__(self, theme: Theme, name: str, draw: Callable[..., List[Shape]], missing: str):
        super().__init__(theme)
        self.figure_name = name
        self._draw, self._missing = draw, missing
        self._pair: Sequence[Optional[TensorHistogram]] = ()
        self.empty = EmptyText(self)
        self.menu = FigureMenu(self)
        self.setMinimumSize(200, 110)
        self.setAccessibleName(name)

    def show_pair(self, pair: Sequence[Optional[TensorHistogram]]) -> None:
        """Show the distributions of two states; None for a state without one."""
        self._pair = pair
        self.empty.show_text("" if self.shapes(False) else self._missing)
        self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        metrics: Metrics = self.metrics
        return self._draw((float(self.width()), float(self.height())), self._pair, metrics)
