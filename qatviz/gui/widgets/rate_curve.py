"""Curve of the learning rate that a schedule plans."""

from typing import Optional, Sequence, Tuple

from PyQt5 import QtWidgets

from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.rate_curve import rate_shapes
from qatviz.presentation.scene import Shape
from qatviz.settings import RunSettings

#: Height of the curve, px.
_HEIGHT = 96


class RateCurve(SceneWidget):
    """Planned learning rate over the steps of the run; hidden while it is constant.

    Changes that are not in effect yet are shown, as if they had been so since the first step.
    """

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(theme, parent)
        self._plan: Tuple[RunSettings, int, int] = (RunSettings(), 0, 0)
        self.setFixedHeight(_HEIGHT)
        self.setAccessibleName("Planned learning rate")
        self.setToolTip("Learning rate of each training step by schedule and warm-up; the line is the present step")

    def show_plan(self, run: RunSettings, total_steps: Optional[int], step: int) -> None:
        """Show the learning rates of ``run`` until its last step, or, without a limit, well beyond one period."""
        steps = max(step, 2 * (run.warmup_steps + run.lr_period) if total_steps is None else total_steps)
        self.setVisible(not run.is_rate_constant)
        if (run, steps, step) != self._plan:
            self._plan = (run, steps, step)
            self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        return rate_shapes(*self._plan, self.width(), self.height(), self.metrics)
