"""Appearance of the application: colours of the dark or light palette, fonts, and the style sheet of its widgets."""

import os
import sys
from typing import Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.garbage_collection import garbage_collection_paused
from qatviz.presentation import palette

DARK, LIGHT, SYSTEM = "dark", "light", "system"
THEMES = (SYSTEM, DARK, LIGHT)
#: Limits of the default font size, which is the system's, points.
_SMALLEST_POINTS, _LARGEST_POINTS = 8, 10


class Theme(QtCore.QObject):
    """Colours in use; ``changed`` is emitted when they or the font size change.

    Attributes
    ----------
    font_points : int
        Font size of all text; 0 for the system's.
    is_dark : bool
        Whether the dark palette is in use. For ``system``, it is determined when the name is set, so that all parts of
        the window agree.
    """

    changed = QtCore.pyqtSignal()

    def __init__(self, name: str = DARK, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self.name = name
        self.font_points = 0

    @property
    def name(self) -> str:
        """``dark``, ``light`` or ``system``."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        self.is_dark = name == DARK or (name == SYSTEM and system_is_dark())

    @property
    def colors(self) -> palette.Palette:
        return palette.DARK if self.is_dark else palette.LIGHT

    def color(self, name: str, alpha: int = 255) -> QtGui.QColor:
        """Return the colour of a role (see :func:`qatviz.presentation.palette.color_of`) with ``alpha`` 0..255."""
        color = QtGui.QColor(palette.color_of(self.colors, name))
        color.setAlpha(alpha)
        return color

    def use(self, name: str) -> None:
        """Apply the theme ``dark``, ``light`` or ``system``."""
        self.name = name
        self.apply()

    def set_font_points(self, points: int) -> None:
        """Set the font size of all text in points; 0 for the system's."""
        self.font_points = points
        self.apply()

    def apply(self) -> None:
        """Apply the colours, the font and the style sheet to the application."""
        app = QtWidgets.QApplication.instance()
        # Qt makes a list of all widgets and tells each. A widget that is collected meanwhile, because a handler of
        # another one creates objects, would still be on it: a segmentation fault.
        with garbage_collection_paused():
            app.setStyle("Fusion")
            self.name = self.name  # checks again whether the system is dark, from this style's palette
            app.setPalette(self.palette())
            font = QtGui.QFont(_system_font())
            # Servers without a desktop report 12 points, too large for this many numbers.
            font.setPointSize(self.font_points or min(max(font.pointSize(), _SMALLEST_POINTS), _LARGEST_POINTS))
            app.setFont(font)
            app.setStyleSheet(self.style_sheet())
        self.changed.emit()

    def style_sheet(self) -> str:
        """Return the style sheet with the colours in use."""
        return _STYLE.format(**{name: value for name, value in self.colors._asdict().items() if isinstance(value, str)})

    def palette(self) -> QtGui.QPalette:
        """Return Qt's palette with the colours in use."""
        c, found = self.colors, QtGui.QPalette()
        roles = {
            "Window": c.window,
            "WindowText": c.text,
            "Base": c.base,
            "AlternateBase": c.window,
            "Text": c.text,
            "Button": c.raised,
            "ButtonText": c.text,
            "ToolTipBase": c.raised,
            "ToolTipText": c.text,
            "Highlight": c.accent,
            "HighlightedText": c.on_accent,
            "Link": c.accent,
            "BrightText": c.bad,
            "PlaceholderText": c.muted,
            "Light": c.line,
            "Midlight": c.raised,
            "Mid": c.line,
            "Dark": c.line,
        }
        for role, color in roles.items():
            found.setColor(getattr(QtGui.QPalette, role), QtGui.QColor(color))
        for role in ("WindowText", "Text", "ButtonText"):
            found.setColor(QtGui.QPalette.Disabled, getattr(QtGui.QPalette, role), QtGui.QColor(c.muted))
        return found


def _system_font() -> QtGui.QFont:
    return QtGui.QFontDatabase.systemFont(QtGui.QFontDatabase.GeneralFont)


def system_is_dark() -> bool:
    """Return whether the system's colours are dark; True if unknown."""
    if sys.platform == "win32":
        key = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Themes\\Personalize"
        return not int(QtCore.QSettings(key, QtCore.QSettings.NativeFormat).value("AppsUseLightTheme", 0))
    if sys.platform == "darwin":
        # The key exists in dark mode only.
        return QtCore.QSettings("Apple", ".GlobalPreferences").value("AppleInterfaceStyle", "") == "Dark"
    named = os.environ.get("GTK_THEME", "")
    if named:
        return "dark" in named.lower()
    if not os.environ.get("XDG_CURRENT_DESKTOP"):
        return True
    return QtWidgets.QApplication.style().standardPalette().window().color().lightness() < 128


_STYLE = """
QToolTip {{ color: {text}; background: {raised}; border: 1px solid {line}; padding: 4px; }}
QMainWindow::separator {{ background: {window}; width: 5px; height: 5px; }}
QMainWindow::separator:hover {{ background: {accent}; }}
QMenu {{ background: {raised}; border: 1px solid {line}; }}
QDockWidget {{ font-weight: 600; }}
QDockWidget::title {{ background: {raised}; padding: 5px 8px; }}
QToolBar {{ border: 0; spacing: 4px; padding: 3px; }}
QStatusBar {{ background: {raised}; }}
QStatusBar::item {{ border: 0; }}
QHeaderView::section {{ background: {raised}; color: {muted}; padding: 3px 5px;
                        border: 0; border-right: 1px solid {line}; }}
QTabBar::tab {{ background: {window}; color: {muted}; padding: 5px 11px; border: 0; }}
QTabBar::tab:selected {{ background: {raised}; color: {text}; border-bottom: 2px solid {accent}; }}
QTableView, QTreeView, QListView, QPlainTextEdit {{ border: 0; gridline-color: {line}; }}
QToolButton:checked {{ background: {accent}; color: {on_accent}; border-radius: 3px; }}
"""
