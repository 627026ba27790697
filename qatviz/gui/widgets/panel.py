"""Base class of the panels."""

from typing import Optional, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.run_model import RUN


class Panel(QtWidgets.QWidget):
    """Widget that shows one aspect of the run.

    A subclass sets ``title``, ``name`` (key of the remembered layout), ``about`` (one sentence, the dock's tooltip) and
    ``topics`` (the parts of the model that it depends on), and implements ``_setup_ui``, ``_layout``, ``_connect`` and
    :meth:`update_from`. It draws in ``update_from`` only, which is called when the panel is visible, one of its topics
    has changed, and the frame has time left.

    Attributes
    ----------
    context : Context
        Model, edits and theme. A panel uses nothing else, and no other panel.
    """

    title = ""
    name = ""
    about = ""
    topics: Tuple[str, ...] = ()

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
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
        """Create the widgets."""

    def _layout(self) -> None:
        """Arrange the widgets."""

    def _connect(self) -> None:
        """Connect the widgets' signals."""

    def update_from(self) -> None:
        """Show the present state of ``self.model``."""
        raise NotImplementedError

    def apply_theme(self) -> None:
        """Apply the colors of ``self.theme``; called at the start and when the theme changes."""

    def mark_due(self) -> None:
        """Request a repaint in the next frame."""
        self._due = True

    def is_due(self) -> bool:
        """Return whether the panel is visible and out of date."""
        return self._due and self.isVisible() and self._is_within_window()

    def refresh(self) -> None:
        """Update the panel now."""
        self._due = False
        self.update_from()

    def _is_within_window(self) -> bool:
        """Return whether the panel lies within its window.

        Qt reports docks behind other tabs as visible and places them far outside. (``visibleRegion`` is of no use: it
        is also empty if children cover the whole panel.)
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
