"""Context of a panel."""

from typing import NamedTuple

from PyQt5 import QtCore

from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import Theme


class Context(NamedTuple):
    """Model of the run, pending edits, theme, and the settings remembered between sessions."""

    model: RunModel
    edits: Edits
    theme: Theme
    settings: QtCore.QSettings
