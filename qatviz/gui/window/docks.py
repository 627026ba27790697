"""Docks of the panels: default arrangement, and the user's, which is remembered."""

import json
from typing import Dict, List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.declarations import DECIDE, PANELS
from qatviz.gui.widgets.panel import Panel, PanelDeclaration, is_in_view
from qatviz.gui.widgets.scrolled import Scrolled
from qatviz.gui.window.panels import Panels

#: Version of arrangements: increment it when docks are added or renamed, so that older arrangements are ignored.
LAYOUT_VERSION = 7
#: Groups of panels by title, with the tooltip of their dock.
GROUPS = {DECIDE: "Which bits where, what they cost, and what they break"}
#: Panels that are in front in the default arrangement; they are made before the first layout.
_FRONT = ("quantization", "histograms", "evolution", "tensor")
#: Number of docks side by side, and above each other, in the default arrangement.
_COLUMNS, _ROWS = 3, 2
#: Height of a dock's tabs and title, in lines of text.
_TITLE_LINES = 5
_KEY_STATE, _KEY_GEOMETRY, _KEY_SIZES = "window/state", "window/geometry", "window/dock_sizes"
#: Default width of the left dock, as a fraction of the window's and at least in px, which its controls need with text
#: of the default size; ratios of the other sizes.
_LEFT, _LEFT_PX = 0.2, 310
_MIDDLE_TO_RIGHT, _TOP_TO_BOTTOM = (47, 33), (52, 48)
#: Largest width or height that is restored, px.
_LARGEST_PX = 32767


def largest_share(needs: Sequence[int], total: int) -> int:
    """Return the largest limit with which ``needs`` limited to it add up to at most ``total``.

    >>> largest_share([300, 200, 500], 900), largest_share([300, 200, 500], 2000), largest_share([300, 300], 400)
    (400, 2000, 200)
    """
    rest, shares = total, len(needs)
    for need in sorted(needs):
        if need * shares > rest:
            return rest // shares
        rest, shares = rest - need, shares - 1
    return total


def _nothing() -> QtWidgets.QWidget:
    """Return the content of the place of a panel that is not made yet."""
    widget = QtWidgets.QWidget()
    QtWidgets.QVBoxLayout(widget)
    return widget


class PanelTabs(QtWidgets.QWidget):
    """Panels of a group as tabs; a QTabWidget would add a frame to their minimum sizes."""

    def __init__(self, title: str):
        super().__init__()
        self.bar = QtWidgets.QTabBar(drawBase=False, expanding=False, usesScrollButtons=True)
        self.bar.setAccessibleName(title)
        self._pages = QtWidgets.QStackedWidget()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self._pages, 1)
        self.bar.currentChanged.connect(self._pages.setCurrentIndex)

    def add(self, page: QtWidgets.QWidget, title: str, about: str) -> None:
        """Add a tab."""
        self._pages.addWidget(page)
        self.bar.setTabToolTip(self.bar.addTab(title), about)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        super().showEvent(event)
        # Tabs that are added while the bar is hidden do not tell its layout, which knows the size of an empty bar.
        self.bar.updateGeometry()

    def show_page(self, page: QtWidgets.QWidget) -> None:
        """Show the tab of a page."""
        self.bar.setCurrentIndex(self._pages.indexOf(page))


class Docks(QtCore.QObject):
    """Docks of a window, which make their panels when they come into view.

    Their proportions stay when the window's size changes.

    Minimum sizes of panels can change the proportions in a small window or with large text. Therefore each change of
    the window's size or of the text restores them, and only the user changes them, by dragging a separator. They are
    remembered apart from Qt's state of the window, which has the sizes that the docks had room for.

    Parameters
    ----------
    window : QMainWindow
    panels : Panels

    Attributes
    ----------
    docks : dict of str to QDockWidget
        By the name of their panel, or of their group of panels in lower case.
    groups : dict of str to PanelTabs
        Contents of the docks of groups, by title.
    """

    def __init__(self, window: QtWidgets.QMainWindow, panels: Panels):
        super().__init__(window)
        self._window, self._made = window, panels
        self._places = {panel.name: Scrolled(_nothing()) for panel in PANELS}
        self.docks: Dict[str, QtWidgets.QDockWidget] = {}
        #: Sizes that the docks have in a window of the size ``_size`` if there is room for their panels.
        self._sizes: Dict[str, QtCore.QSize] = {}
        self._size = window.size()
        self._soon = QtCore.QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._keep_proportions)
        self._fit_soon = QtCore.QTimer(self, singleShot=True, interval=0)
        self._fit_soon.timeout.connect(self._fit)
        window.setDockNestingEnabled(True)
        window.setTabPosition(QtCore.Qt.AllDockWidgetAreas, QtWidgets.QTabWidget.North)
        self.groups: Dict[str, PanelTabs] = {}
        #: Names of the panels of each dock, and the dock of each panel.
        self._panels: Dict[str, List[str]] = {}
        self._docks_of: Dict[str, str] = {}
        for panel in PANELS:
            name = panel.group.lower() or panel.name
            if name not in self.docks:
                self._add_dock(name, panel)
            self._panels[name].append(panel.name)
            self._docks_of[panel.name] = name
            place = self._places[panel.name]
            place.need_changed.connect(self._on_need_changed)
            if panel.group:
                self.groups[panel.group].add(place, panel.title, panel.about)
            else:
                self.docks[name].setWidget(place)
        panels.was_made.connect(self._put)
        for name in _FRONT:
            panels[name]
        for name in self.docks:
            self.docks[name].visibilityChanged.connect(self.fill)
        for tabs in self.groups.values():
            tabs.bar.currentChanged.connect(self.fill)
        window.installEventFilter(self)

    def fill(self) -> None:
        """Make the panels that are in view."""
        for name, place in self._places.items():
            if name not in self._made.made and is_in_view(place):
                self._made[name]

    def _put(self, panel: Panel) -> None:
        """Put a panel that was made into its place."""
        self._places[panel.name].set_content(panel)
        self.docks[self._docks_of[panel.name]].visibilityChanged.connect(panel.mark_due)
        if panel.declaration.group:
            self.groups[panel.declaration.group].bar.currentChanged.connect(panel.mark_due)

    def _add_dock(self, name: str, panel: PanelDeclaration) -> None:
        """Add the dock of a panel, or of its group."""
        dock = self.docks[name] = QtWidgets.QDockWidget(panel.group or panel.title, self._window)
        dock.setObjectName("dock-" + name)
        about = GROUPS.get(panel.group, panel.about)
        dock.setToolTip(about)
        dock.toggleViewAction().setToolTip(about)
        self._panels[name] = []
        if panel.group:
            self.groups[panel.group] = PanelTabs(panel.group)
            dock.setWidget(self.groups[panel.group])

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
        window.tabifyDockWidget(docks["evolution"], docks["moments"])
        window.tabifyDockWidget(docks["evolution"], docks["decide"])
        for name in docks:
            docks[name].show()
        for name in ("quantization", "histograms", "evolution"):
            docks[name].raise_()
        self._size = window.size()
        self._sizes = _default_sizes(self._size)
        self._resize([(docks[name], size) for name, size in self._sizes.items()])
        self._fit_soon.start()

    def restore(self, settings: QtCore.QSettings) -> bool:
        """Restore the remembered arrangement; return False if there is none for these docks."""
        geometry, state = settings.value(_KEY_GEOMETRY), settings.value(_KEY_STATE)
        if isinstance(geometry, QtCore.QByteArray):
            self._window.restoreGeometry(geometry)
        if not isinstance(state, QtCore.QByteArray) or not self._window.restoreState(state, LAYOUT_VERSION):
            return False
        try:
            self._size, self._sizes = _parsed(settings.value(_KEY_SIZES, "{}", str))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            self._sizes = {}  # edited, or written by another version: those of the state are kept once it is shown
        return True

    def remember(self, settings: QtCore.QSettings) -> None:
        """Remember the present arrangement."""
        settings.setValue(_KEY_GEOMETRY, self._window.saveGeometry())
        settings.setValue(_KEY_STATE, self._window.saveState(LAYOUT_VERSION))
        sizes = {name: [size.width(), size.height()] for name, size in self._sizes.items()}
        settings.setValue(_KEY_SIZES, json.dumps({"window": [self._size.width(), self._size.height()], "docks": sizes}))

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.Resize:  # the window has laid out its docks
            self._fit()
        elif event.type() == QtCore.QEvent.FontChange:
            self._limit_minimums()
            self._fit_soon.start()  # when the panels have the font, too
        elif event.type() == QtCore.QEvent.Show:
            (self._fit_soon if self._sizes else self._soon).start()
        elif event.type() == QtCore.QEvent.MouseButtonRelease:  # on the window itself: a separator
            self._soon.start()
        return super().eventFilter(watched, event)

    def _on_need_changed(self) -> None:
        self._limit_minimums()  # before the docks are laid out
        self._fit_soon.start()

    def _fit(self) -> None:
        self._limit_minimums()
        self._restore_proportions()

    def _limit_minimums(self) -> None:
        """Limit the minimum sizes of docks, which grow with the text: Qt draws those that don't fit over others."""
        window, style = self._window, self._window.style()
        separator = style.pixelMetric(QtWidgets.QStyle.PM_DockWidgetSeparatorExtent, None, window)
        tops = [dock.y() for dock in self.docks.values() if self._is_in_front(dock)]
        height = window.statusBar().y() - min(tops, default=0) - (_ROWS - 1) * separator
        needs = self._column_needs()
        width = largest_share(needs, window.width() - (len(needs) - 1) * separator)
        titles = _TITLE_LINES * window.fontMetrics().height()
        for name, place in self._places.items():
            tabs = self.docks[self._docks_of[name]].widget()
            bar = tabs.bar.sizeHint().height() if isinstance(tabs, PanelTabs) else 0
            place.limit_minimum(QtCore.QSize(width, max(height // _ROWS - titles - bar, 1)))

    def _column_needs(self) -> List[int]:
        """Return the width that each column of docks needs so that no panel is cut, tabs included."""
        columns: List[Tuple[int, int]] = []  # right edge and need
        docks = sorted((d for d in self.docks.values() if self._is_in_front(d)), key=lambda d: d.x())
        for dock in docks:
            beside = [n for n, d in self.docks.items() if d is dock or d in self._window.tabifiedDockWidgets(dock)]
            need = max(self._places[panel].needed_size().width() for name in beside for panel in self._panels[name])
            # A dock that does not fit is covered by the one beside it, at whose left edge its place ends.
            covering = (d.x() - 1 for d in docks if d.x() > dock.x() and d.geometry().intersects(dock.geometry()))
            edge = min([dock.geometry().right(), *covering])
            if columns and dock.x() < columns[-1][0]:
                right, other = columns.pop()
                columns.append((max(right, edge), max(other, need)))
            else:
                columns.append((edge, need))
        return [need for _, need in columns] or [self._window.width()] * _COLUMNS

    def _keep_proportions(self) -> None:
        """Keep the proportions of the docks that are in front."""
        if self._window.isVisible():
            self._size = self._window.size()
            self._sizes = {name: dock.size() for name, dock in self.docks.items() if self._is_in_front(dock)}

    def _size_of(self, dock: QtWidgets.QDockWidget) -> Optional[QtCore.QSize]:
        """Return the kept size of a dock or of another dock in the same tabs; None if there is none."""
        of_tabs = [dock, *self._window.tabifiedDockWidgets(dock)]
        return next(
            (self._sizes[name] for name, one in self.docks.items() if one in of_tabs and name in self._sizes), None
        )

    def _is_in_front(self, dock: QtWidgets.QDockWidget) -> bool:
        """Return whether a dock is part of the window and not behind another, which Qt places outside of it."""
        return dock.isVisible() and not dock.isFloating() and self._window.rect().intersects(dock.geometry())

    def _restore_proportions(self) -> None:
        found = [(dock, self._size_of(dock)) for dock in self.docks.values() if self._is_in_front(dock)]
        self._resize([(dock, size) for dock, size in found if size is not None])

    def _resize(self, known: Sequence[Tuple[QtWidgets.QDockWidget, QtCore.QSize]]) -> None:
        """Resize docks to sizes that they have in a window of the size ``_size``."""
        if not known:
            return
        size, docks = self._window.size(), [dock for dock, _ in known]
        for now, before, parts, orientation in (
            (size.width(), self._size.width(), [part.width() for _, part in known], QtCore.Qt.Horizontal),
            (size.height(), self._size.height(), [part.height() for _, part in known], QtCore.Qt.Vertical),
        ):
            self._window.resizeDocks(docks, [max(1, round(part * now / before)) for part in parts], orientation)

    def open(self, name: str) -> None:
        """Show a panel, or a group of panels, in front of the others."""
        if name in self._docks_of:
            self._made[name]
        dock = self.docks[self._docks_of.get(name, name)]
        tabs = dock.widget()
        if isinstance(tabs, PanelTabs) and name in self._docks_of:
            tabs.show_page(self._places[name])
        dock.show()
        dock.raise_()


def _default_sizes(window: QtCore.QSize) -> Dict[str, QtCore.QSize]:
    """Return the sizes of the docks that are in front by default."""
    left = max(_LEFT_PX, int(_LEFT * window.width()))
    middle = (window.width() - left) * _MIDDLE_TO_RIGHT[0] // sum(_MIDDLE_TO_RIGHT)
    top = window.height() * _TOP_TO_BOTTOM[0] // sum(_TOP_TO_BOTTOM)
    return {
        "quantization": QtCore.QSize(left, window.height()),
        "histograms": QtCore.QSize(middle, top),
        "evolution": QtCore.QSize(middle, window.height() - top),
        "tensor": QtCore.QSize(window.width() - left - middle, window.height()),
    }


def _parsed(text: str) -> Tuple[QtCore.QSize, Dict[str, QtCore.QSize]]:
    """Return the remembered sizes of the window and of the docks.

    Text of another form raises one of the exceptions that :meth:`Docks.restore` catches.
    """
    kept = json.loads(text)
    return _size(kept["window"]), {name: _size(size) for name, size in kept["docks"].items()}


def _size(parts: Sequence[int]) -> QtCore.QSize:
    width, height = (min(max(int(part), 1), _LARGEST_PX) for part in parts)
    return QtCore.QSize(width, height)
