"""How things look: one palette in a dark and a light form, safe for the colour-blind (Okabe and Ito, 2008)."""

import os
import sys
from typing import Dict, NamedTuple, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

DARK, LIGHT, SYSTEM = "dark", "light", "system"
THEMES = (SYSTEM, DARK, LIGHT)
#: Where the system's font is smaller or larger, and the user has chosen no size.
_SMALLEST_POINTS, _LARGEST_POINTS = 8, 10


class Colors(NamedTuple):
    """Colours by what they mean; ``#rrggbb``."""

    window: str
    base: str  # plots, tables, fields
    raised: str  # headers, buttons
    line: str  # borders, grids
    text: str
    muted: str  # labels, units
    accent: str  # selection, focus
    on_accent: str
    float_values: str  # what is not quantized, and its accuracy
    in_range: str  # quantized values
    clipped: str
    flushed: str
    ghost: str  # pending, not yet in effect
    window_edge: str  # the representable window
    good: str
    warning: str
    bad: str
    #: Curves of one plot, in order.
    series: tuple


_DARK = Colors(
    window="#16181d",
    base="#0f1115",
    raised="#23262e",
    line="#353a45",
    text="#e6e8ec",
    muted="#9aa1ad",
    accent="#56b4e9",
    on_accent="#08131b",
    float_values="#9fb3c8",
    in_range="#56b4e9",
    clipped="#d55e00",
    flushed="#e69f00",
    ghost="#cc79a7",
    window_edge="#f0e442",
    good="#2bb58a",
    warning="#e69f00",
    bad="#e8703a",
    series=("#56b4e9", "#e69f00", "#2bb58a", "#cc79a7", "#f0e442", "#d55e00", "#8fa3ff", "#b0b7c3"),
)
_LIGHT = Colors(
    window="#eef0f3",
    base="#ffffff",
    raised="#e2e5ea",
    line="#c3c8d1",
    text="#15181d",
    muted="#59616e",
    accent="#0072b2",
    on_accent="#ffffff",
    float_values="#5b6b7d",
    in_range="#0072b2",
    clipped="#a83c00",
    flushed="#bd8300",
    ghost="#a8447d",
    window_edge="#7a6a00",
    good="#007a5a",
    warning="#9a6a00",
    bad="#c34f00",
    series=("#0072b2", "#b97f00", "#008f6b", "#a8447d", "#7a6a00", "#c34f00", "#4552c4", "#59616e"),
)


class Theme(QtCore.QObject):
    """The colours in use; ``changed`` when they or the font size are others."""

    changed = QtCore.pyqtSignal()

    def __init__(self, name: str = DARK, parent: Optional[QtCore.QObject] = None):
        super().__init__(parent)
        self.name = name
        self.font_points = 0

    @property
    def is_dark(self) -> bool:
        return self.name == DARK or (self.name == SYSTEM and system_is_dark())

    @property
    def colors(self) -> Colors:
        return _DARK if self.is_dark else _LIGHT

    def color(self, name: str, alpha: int = 255) -> QtGui.QColor:
        """A colour by its name in :class:`Colors`, with ``alpha`` 0..255."""
        color = QtGui.QColor(getattr(self.colors, name))
        color.setAlpha(alpha)
        return color

    def series(self, index: int) -> QtGui.QColor:
        """The colour of the curve number ``index``; they repeat."""
        return QtGui.QColor(self.colors.series[index % len(self.colors.series)])

    def use(self, name: str) -> None:
        """``dark``, ``light`` or ``system``."""
        self.name = name
        self.apply()

    def set_font_points(self, points: int) -> None:
        """Size of all text; 0: the system's."""
        self.font_points = points
        self.apply()

    def apply(self) -> None:
        """Dress the application."""
        app = QtWidgets.QApplication.instance()
        app.setStyle("Fusion")
        app.setPalette(self._palette())
        font = QtGui.QFont(_system_font())
        # Servers without a desktop name 12 points: too many for an instrument with this much to show.
        font.setPointSize(self.font_points or min(max(font.pointSize(), _SMALLEST_POINTS), _LARGEST_POINTS))
        app.setFont(font)
        app.setStyleSheet(_STYLE.format(**self._style_colors()))
        self.changed.emit()

    def _style_colors(self) -> Dict[str, str]:
        return {name: value for name, value in self.colors._asdict().items() if isinstance(value, str)}

    def _palette(self) -> QtGui.QPalette:
        c, palette = self.colors, QtGui.QPalette()
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
            palette.setColor(getattr(QtGui.QPalette, role), QtGui.QColor(color))
        for role in ("WindowText", "Text", "ButtonText"):
            palette.setColor(QtGui.QPalette.Disabled, getattr(QtGui.QPalette, role), QtGui.QColor(c.muted))
        return palette


def _system_font() -> QtGui.QFont:
    return QtGui.QFontDatabase.systemFont(QtGui.QFontDatabase.GeneralFont)


def system_is_dark() -> bool:
    """What the system says; dark where it says nothing."""
    if sys.platform == "win32":
        key = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Themes\\Personalize"
        return not int(QtCore.QSettings(key, QtCore.QSettings.NativeFormat).value("AppsUseLightTheme", 0))
    if sys.platform == "darwin":
        # The key is there in dark mode only.
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
