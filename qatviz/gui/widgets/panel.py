"""Base class of the panels."""

from typing import Iterable, List, NamedTuple, Optional, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.run_model import RUN
from qatviz.protocol.commands import Command


class PanelKeys(NamedTuple):
    """Keys that a part of a panel uses while it has the focus, and what they do."""

    keys: Tuple[str, ...]
    text: str


#: Keys whose sign is shorter than the system's name.
_SIGNS = {"Left": "←", "Right": "→", "Up": "↑", "Down": "↓"}


def keys_text(keys: Iterable[str]) -> str:
    """Return keys as the system writes them, but arrows as signs."""
    native = QtGui.QKeySequence.NativeText
    return ", ".join(_SIGNS.get(key) or QtGui.QKeySequence(key).toString(native) for key in keys)


def is_in_view(widget: QtWidgets.QWidget) -> bool:
    """Return whether a widget is visible and lies within its window.

    Qt reports docks behind other tabs as visible and places them far outside. (``visibleRegion`` is of no use: it is
    also empty if children cover the whole widget.)
    """
    window = widget.window()
    place = QtCore.QRect(widget.mapTo(window, QtCore.QPoint()), widget.size())
    return widget.isVisible() and window.rect().intersects(place)


class PanelDeclaration(NamedTuple):
    """What menus, docks and the list of keys know of a panel.

    Attributes
    ----------
    name : str
        Key of the remembered arrangement.
    title : str
        Title of its dock or tab.
    about : str
        One sentence, the dock's tooltip.
    group : str
        Title of the dock that it shares with other panels, as tabs; empty if it has a dock of its own.
    keys : tuple of PanelKeys
        Its keys, for the list of all keys.
    """

    name: str
    title: str
    about: str
    group: str = ""
    keys: Tuple[PanelKeys, ...] = ()

    def key_rows(self) -> List[Tuple[str, str]]:
        """Return what the panel's keys do, and the keys as the system writes them."""
        return [(text, keys_text(keys)) for keys, text in self.keys]


class Panel(QtWidgets.QWidget):
    """Widget that shows one aspect of the run. It is made when it comes into view for the first time.

    A subclass sets ``declaration``, one of :mod:`qatviz.gui.panels.declarations`, and ``topics`` (the parts of the
    model that it depends on), and implements ``_setup_ui``, ``_layout``, ``_connect`` and :meth:`update_from`. It draws
    in ``update_from`` only, which is called when the panel is visible, one of its topics has changed, and the frame has
    time left. ``needs`` is a topic of :mod:`qatviz.gui.model.watching`, whose results the run computes while the panel
    is in view.

    Attributes
    ----------
    context : Context
        Model, edits and theme. A panel uses nothing else, and no other panel.
    is_partial : bool
        Whether the last update drew a part only; the next tick draws another.
    """

    declaration: PanelDeclaration
    topics: Tuple[str, ...] = ()
    needs = ""

    def __init__(self, context: Context, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.name = self.declaration.name
        self.setObjectName(self.name)
        self.context, self.model, self.edits, self.theme = context, context.model, context.edits, context.theme
        self.is_partial = False
        self._due = True
        self._setup_ui()
        self._layout()
        self._connect()
        self._leave_focus_to_plots()
        self.model.changed.connect(self._on_topic)
        self.theme.changed.connect(self._on_theme)

    def _setup_ui(self) -> None:
        """Create the widgets."""

    def _layout(self) -> None:
        """Arrange the widgets."""

    def _connect(self) -> None:
        """Connect the widgets' signals."""

    def _leave_focus_to_plots(self) -> None:
        """Give lists and tool buttons the focus by Tab only: a click on one leaves the keys where they went before.

        Otherwise Space would open the list or press the button again, instead of pausing the run. Forms with number
        boxes are left as they are: text that is typed there is committed when the focus moves to another control.
        """
        if self.findChildren(QtWidgets.QAbstractSpinBox):
            return
        for kind in (QtWidgets.QToolButton, QtWidgets.QComboBox):
            for widget in self.findChildren(kind):
                if widget.focusPolicy() & QtCore.Qt.ClickFocus:
                    widget.setFocusPolicy(QtCore.Qt.TabFocus)

    def update_from(self) -> None:
        """Show the present state of ``self.model``."""
        raise NotImplementedError

    def request(self) -> Optional[Command]:
        """Return the command that requests what the panel ``needs``; None for the default."""
        return None

    def apply_theme(self) -> None:
        """Apply the colours of ``self.theme``; called at the start and when the theme changes."""

    def mark_due(self) -> None:
        """Request a repaint in the next frame."""
        self._due = True

    def mark_partial(self) -> None:
        """Request that the next tick draws the rest, so that parts of different times are shown for an instant only."""
        self._due = self.is_partial = True

    def is_due(self) -> bool:
        """Return whether the panel is visible and out of date."""
        return self._due and is_in_view(self)

    def is_urgent(self) -> bool:
        """Return whether its contents, which are out of date, are about to be older than allowed."""
        return False

    def refresh(self) -> None:
        """Update the panel now."""
        self._due = self.is_partial = False
        if self.needs:
            self.model.watch(self.needs, self.name, True, self.request())
        self.update_from()

    def _on_topic(self, topic: str) -> None:
        if topic in self.topics or topic == RUN:
            self._due = True
        if topic and topic == self.needs and not is_in_view(self):
            self.model.watch(topic, self.name, False)  # it is behind another tab, about which Qt sends no event

    def hideEvent(self, event: QtGui.QHideEvent) -> None:
        super().hideEvent(event)
        if self.needs:
            self.model.watch(self.needs, self.name, False)

    def _on_theme(self) -> None:
        self.apply_theme()
        self._due = True

    def event(self, event: QtCore.QEvent) -> bool:
        # The dock's tooltip describes the panel: within the panel it would replace the reading under the mouse.
        return event.type() == QtCore.QEvent.ToolTip or super().event(event)

    def resizeEvent(self, event: QtCore.QEvent) -> None:
        super().resizeEvent(event)
        self._due = True
