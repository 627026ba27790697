"""Docks of the panels: default arrangement, and the user's, which is remembered."""

from typing import Dict, List

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.isolated import Isolated
from qatviz.gui.widgets.panel import Panel

#: Version of arrangements: increment it when docks are added or renamed, so that older arrangements are ignored.
LAYOUT_VERSION = 2
_KEY_STATE, _KEY_GEOMETRY = "window/state", "window/geometry"


class Docks:
    """Docks of a window.

    Parameters
    ----------
    window : QMainWindow
    panels : list of Panel
    """

    def __init__(self, window: QtWidgets.QMainWindow, panels: List[Panel]):
        self._window = window
        self.docks: Dict[str, QtWidgets.QDockWidget] = {}
        window.setDockNestingEnabled(True)
        window.setTabPosition(QtCore.Qt.AllDockWidgetAreas, QtWidgets.QTabWidget.North)
        for panel in panels:
            dock = QtWidgets.QDockWidget(panel.title, window)
            dock.setObjectName("dock-" + panel.name)
            dock.setToolTip(panel.about)
            dock.setWidget(Isolated(panel))
            dock.toggleViewAction().setToolTip(panel.about)
            dock.visibilityChanged.connect(panel.mark_due)
            self.docks[panel.name] = dock

    def arrange(self) -> None:
        """Arrange the docks: settings left, histograms in the middle, the selected tensor right, curves below."""
        window, docks = self._window, self.docks
        for dock in docks.values():
            dock.setFloating(False)
            window.removeDockWidget(dock)
        # All in one area, so that all docks grow with the window; of two areas, only one would grow.
        window.addDockWidget(QtCore.Qt.RightDockWidgetArea, docks["quantization"])
        window.splitDockWidget(docks["quantization"], docks["histograms"], QtCore.Qt.Horizontal)
        window.splitDockWidget(docks["histograms"], docks["tensor"], QtCore.Qt.Horizontal)
        window.splitDockWidget(docks["histograms"], docks["evolution"], QtCore.Qt.Vertical)
        window.tabifyDockWidget(docks["quantization"], docks["run_settings"])
        window.tabifyDockWidget(docks["histograms"], docks["network"])
        window.tabifyDockWidget(docks["evolution"], docks["layers"])
        window.tabifyDockWidget(docks["evolution"], docks["events"])
        for name in docks:
            docks[name].show()
        for name in ("quantization", "histograms", "evolution"):
            docks[name].raise_()
        width, height = window.width(), window.height()
        window.resizeDocks(
            [docks[n] for n in ("quantization", "histograms", "tensor")],
            [max(270, int(0.2 * width)), int(0.47 * width), int(0.33 * width)],
            QtCore.Qt.Horizontal,
        )
        window.resizeDocks(
            [docks["histograms"], docks["evolution"]], [int(0.52 * height), int(0.48 * height)], QtCore.Qt.Vertical
        )

    def restore(self, settings: QtCore.QSettings) -> bool:
        """Restore the remembered arrangement; return False if there is none for these docks."""
        geometry, state = settings.value(_KEY_GEOMETRY), settings.value(_KEY_STATE)
        if geometry is not None:
            self._window.restoreGeometry(geometry)
        return state is not None and self._window.restoreState(state, LAYOUT_VERSION)

    def remember(self, settings: QtCore.QSettings) -> None:
        """Remember the present arrangement."""
        settings.setValue(_KEY_GEOMETRY, self._window.saveGeometry())
        settings.setValue(_KEY_STATE, self._window.saveState(LAYOUT_VERSION))

    def open(self, name: str) -> None:
        """Show a dock in front of the others."""
        self.docks[name].show()
        self.docks[name].raise_()
