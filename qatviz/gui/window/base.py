"""What the parts of a main window know of it."""

from typing import Dict, List, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.banner import BAD, Banner
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.theme import Theme
from qatviz.gui.window.docks import Docks
from qatviz.session.prepared import Prepared

_RECENT, _RECENT_KEPT = "recent/paths", 12


class Recent:
    """Paths that were opened recently, the newest first, remembered in ``settings``."""

    def __init__(self, settings: QtCore.QSettings):
        self._settings = settings

    def add(self, path: str) -> None:
        """Put a path first."""
        paths = [path] + [known for known in self.paths() if known != path]
        self._settings.setValue(_RECENT, paths[:_RECENT_KEPT])

    def paths(self) -> List[str]:
        """Return the paths, the newest first."""
        value = self._settings.value(_RECENT, [])
        return [value] if isinstance(value, str) else list(value or [])


class RunWindow(QtWidgets.QMainWindow):
    """A window with one run: the attributes that its actions and its exports use.

    Attributes
    ----------
    prepared : Prepared or None
        The run that is shown.
    named : dict of str to QAction
    panels : dict of str to Panel
    """

    theme: Theme
    settings: QtCore.QSettings
    launcher: Launcher
    context: Context
    model: RunModel
    edits: Edits
    recent: Recent
    docks: Docks
    banner: Banner
    panels: Dict[str, Panel]
    named: Dict[str, QtWidgets.QAction]
    prepared: Optional[Prepared]

    def show_failure(self, text: str, details: str = "") -> None:
        """Say what could not be done; the window stays usable."""
        self.banner.say(text, BAD, details)
