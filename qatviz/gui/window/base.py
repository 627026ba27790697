"""Base class of the main window, with the attributes that its parts use."""

from typing import Dict, List, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.model.user_settings import remembered_paths
from qatviz.gui.widgets.banner import BAD, Banner
from qatviz.gui.widgets.theme import Theme
from qatviz.gui.window.docks import Docks
from qatviz.gui.window.panels import Panels
from qatviz.session.prepared import Prepared

_RECENT, _RECENT_KEPT = "recent/paths", 12


class Recent:
    """List of recently opened paths, the newest first, remembered in ``settings``."""

    def __init__(self, settings: QtCore.QSettings):
        self._settings = settings

    def add(self, path: str) -> None:
        """Add a path, or move it to the front."""
        paths = [path] + [known for known in self.paths() if known != path]
        self._settings.setValue(_RECENT, paths[:_RECENT_KEPT])

    def paths(self) -> List[str]:
        """Return the paths, the newest first."""
        return remembered_paths(self._settings, _RECENT)


class RunWindow(QtWidgets.QMainWindow):
    """Window with one run; declares the attributes that its actions and exports use.

    Attributes
    ----------
    prepared : Prepared or None
        The shown run.
    named : dict of str to QAction
    panels : Panels
    """

    #: Emitted with the address of a machine to connect, the command that runs qatviz there, and its server's token.
    connection_wanted: QtCore.pyqtSignal

    theme: Theme
    settings: QtCore.QSettings
    launcher: Launcher
    context: Context
    model: RunModel
    edits: Edits
    recent: Recent
    docks: Docks
    banner: Banner
    panels: Panels
    named: Dict[str, QtWidgets.QAction]
    prepared: Optional[Prepared]

    @property
    def directory(self) -> str:
        """Directory of the run's record; empty if there is no run, or it is not recorded."""
        return self.prepared.directory if self.prepared is not None else ""

    def close_run(self) -> None:
        """Show no run. The shown one is stopped, unless another window can show it; its record stays."""
        raise NotImplementedError

    def show_failure(self, text: str, details: str = "") -> None:
        """Show the message of a failure; the window stays usable."""
        self.banner.show_message(text, BAD, details)
