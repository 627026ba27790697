"""Context of a panel."""

from typing import NamedTuple, Optional

from PyQt5 import QtCore

from qatviz.gui.model.edits import Edits
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import Theme


class Context(NamedTuple):
    """Model of the run, pending edits, theme, the settings remembered between sessions, and the window's launcher."""

    model: RunModel
    edits: Edits
    theme: Theme
    settings: QtCore.QSettings
    launcher: Optional[Launcher] = None
