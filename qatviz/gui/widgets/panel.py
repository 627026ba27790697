"""What all panels share."""

from typing import Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.run_model import RUN


class Panel(QtWidgets.QWidget):
    """A part of the window that shows one aspect of the run.

    A subclass sets ``title``, ``name`` (for the remembered layout), ``about`` (one sentence: the dock's tooltip) and
    ``topics`` (what it depends on), and has ``_setup_ui``, ``_layout``, ``_connect`` and :meth:`update_from`. It draws
    in ``update_from`` only, which is called when it is visible, something in ``topics`` has changed, and there is time.

    Attributes
    ----------
    context : Context
        The model, the edits, the theme: all that a panel knows. No panel knows another.
    """

    title = ""
    name = ""
    about = ""
    topics: Tuple[str, ...] = ()

    def __init__(self, context: Context, parent: QtWidgets.QWidget = None):
        super().__init__(parent)
        self.setObjectName(self.name)
        self.context, self.model, self.edits, self.theme = context, context.model, context.edits, context.theme
        self._due = True
        self._setup_ui()
        self._layout()
        self._connect()
        self.model.changed.connect(self._on_topic)
        self.theme.changed.connect(self._on_theme)

    def _setup_ui(self) -> None:
        """Make the widgets."""

    def _layout(self) -> None:
        """Put them in their places."""

    def _connect(self) -> None:
        """Connect their signals."""

    def update_from(self) -> None:
        """Show the present state of ``self.model``."""
        raise NotImplementedError

    def apply_theme(self) -> None:
        """Take colours from ``self.theme``; called once at the start and when it changes."""

    def mark_due(self) -> None:
        """Ask to be drawn again."""
        self._due = True

    def is_due(self) -> bool:
        """Whether something is out of date that can be seen."""
        return self._due and self.isVisible() and self._is_within_window()

    def refresh(self) -> None:
        """Draw now."""
        self._due = False
        self.update_from()

    def _is_within_window(self) -> bool:
        """Docks behind other tabs are visible to Qt, but far outside. (Where children cover all of a panel, its own
        visible region is empty, too.)
        """
        window = self.window()
        return window.rect().intersects(QtCore.QRect(self.mapTo(window, QtCore.QPoint()), self.size()))

    def _on_topic(self, topic: str) -> None:
        if topic in self.topics or topic == RUN:
            self._due = True

    def _on_theme(self) -> None:
        self.apply_theme()
        self._due = True

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        self._due = True
