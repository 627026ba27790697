"""Plot that all panels use: themed, with the context menu of figures."""

from typing import Callable, Dict, Optional, Tuple, Union

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.theme import Theme

pg.setConfigOptions(antialias=False, useOpenGL=False, exitCleanup=False)

Columns = Union[Dict[str, np.ndarray], Callable[[], Dict[str, np.ndarray]]]


class Plot(pg.PlotWidget):
    """Plot of pyqtgraph with the menu of figures instead of its own.

    Parameters
    ----------
    theme : Theme
    name : str
        Name of a saved file.
    """

    def __init__(self, theme: Theme, name: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.theme, self.figure_name = theme, name
        self._table: Columns = {}
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setMinimumSize(80, 60)
        item = self.getPlotItem()
        for side in ("left", "bottom"):
            axis = item.getAxis(side)
            axis.setStyle(tickLength=-4, tickTextOffset=4)
            axis.enableAutoSIPrefix(False)
        self.menu = FigureMenu(self)
        self.apply_theme()

    def apply_theme(self) -> None:
        """Apply the theme's colours to everything but the curves, which their owner colours."""
        self.setBackground(self.theme.color("base"))
        item = self.getPlotItem()
        for side in ("left", "bottom"):
            axis = item.getAxis(side)
            axis.setPen(pg.mkPen(self.theme.color("line")))
            axis.setTextPen(pg.mkPen(self.theme.color("muted")))
        font = QtGui.QFont(self.font())
        font.setPointSizeF(max(6.5, font.pointSizeF() - 1.5))
        for side in ("left", "bottom"):
            item.getAxis(side).setStyle(tickFont=font)

    def set_labels(self, bottom: str = "", left: str = "") -> None:
        """Name the axes, with units in parentheses where there are any."""
        for side, text in (("bottom", bottom), ("left", left)):
            if text:
                self.setLabel(side, text, color=self.theme.colors.muted)

    def set_table(self, columns: Columns) -> None:
        """Set the numbers that are drawn (or a function that returns them), by column; lengths may differ."""
        self._table = columns

    def table(self) -> Dict[str, np.ndarray]:
        """Return the numbers that are drawn, by column."""
        return self._table() if callable(self._table) else self._table


def outline(edges: np.ndarray, counts: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return ``x`` and ``y`` of a histogram's outline from the baseline and back to it: ``[2 n + 2]`` points each."""
    x = np.repeat(np.asarray(edges, np.float64), 2)
    y = np.zeros(len(x))
    y[1:-1] = np.repeat(np.asarray(counts, np.float64), 2)
    return x, y


class EmptyText(QtWidgets.QLabel):
    """Text centred over its parent; hidden if it is empty."""

    def __init__(self, parent: QtWidgets.QWidget):
        super().__init__(parent)
        self.setForegroundRole(QtGui.QPalette.PlaceholderText)
        self.setAlignment(QtCore.Qt.AlignCenter)
        self.setWordWrap(True)
        self.setAttribute(QtCore.Qt.WA_TransparentForMouseEvents)
        parent.installEventFilter(self)
        self.hide()

    def say(self, text: str) -> None:
        """Show ``text``, or hide the label if it is empty."""
        self.setText(text)
        self.setVisible(bool(text))
        self.setGeometry(self.parentWidget().rect())
        self.raise_()

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Resize:
            self.setGeometry(self.parentWidget().rect())
        return False
