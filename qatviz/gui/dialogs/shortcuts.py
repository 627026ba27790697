"""Dialog with all keys: those of the menus, of each panel, and of every control."""

# A module of its own, because it is imported when it is first opened, so that the window opens sooner.

from html import escape
from typing import Iterable, List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

#: Effects of keys on the control that has the focus, and the keys.
EVERYWHERE = (
    ("next, previous control", "Tab, Shift+Tab"),
    ("press the focused button", "Space"),
    ("in a list or slider: next, previous value", "↑, ↓, PgUp, PgDown, Home, End"),
    ("in a number box: increase, decrease", "↑, ↓, PgUp, PgDown"),
    ("in a number box: apply, revert the typed value", "Enter, Esc"),
    ("scroll a panel", "PgUp, PgDown"),
    ("in a table: go to another row or column", "↑, ↓, ←, →, PgUp, PgDown, Home, End"),
)
#: Title of the page with all groups.
ALL = "All keys"
#: Initial size: average characters and lines.
_WIDTH, _HEIGHT = 182, 48
#: Widths of the texts in a column of groups: what is done, and the keys (average characters).
_ACTION_WIDTH, _KEYS_WIDTH = 27, 17
#: Lines of a group's title with the gap above it.
_TITLE_LINES = 2

Group = Tuple[str, Sequence[Tuple[str, str]]]


class ShortcutsDialog(QtWidgets.QDialog):
    """Dialog that lists ``groups``: titles, each with what is done and the keys that do it.

    Texts are wrapped, so that no key is beyond the window's edge. All groups are shown in as many columns as fit; where
    they would have to be scrolled, as with large text on a small screen, the first group is shown, and the list beside
    it opens the others.
    """

    def __init__(self, groups: Iterable[Group], parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self._groups: List[Group] = [group for group in [*groups, ("Everywhere", EVERYWHERE)] if group[1]]
        self._columns = 0
        self.pages = QtWidgets.QListWidget()
        self.pages.setAccessibleName("Groups of keys")
        self.pages.addItems([ALL, *(title for title, _ in self._groups)])
        self.pages.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.pages.setFixedWidth(self.pages.sizeHintForColumn(0) + 2 * self.fontMetrics().height())
        self.browser = QtWidgets.QTextBrowser()
        self.browser.setAccessibleName("Keyboard shortcuts")
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Close)
        buttons.rejected.connect(self.reject)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.pages)
        row.addWidget(self.browser, 1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(row)
        layout.addWidget(buttons)
        metrics, room = self.fontMetrics(), QtWidgets.QApplication.primaryScreen().availableSize()
        self.resize(QtCore.QSize(_WIDTH * metrics.averageCharWidth(), _HEIGHT * metrics.height()).boundedTo(room))
        self.pages.setCurrentRow(0)
        self.pages.currentRowChanged.connect(self._draw)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        super().showEvent(event)
        self._draw()
        if self.browser.document().size().height() > self.browser.viewport().height():
            self.pages.setCurrentRow(1)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._columns and self._fitting_columns() != self._columns:
            self._draw()

    def _fitting_columns(self) -> int:
        """Return the number of columns of groups for the present width."""
        room = self.width() - self.pages.width()
        return max(room // ((_ACTION_WIDTH + _KEYS_WIDTH) * self.fontMetrics().averageCharWidth()), 1)

    def _draw(self, _: int = 0) -> None:
        """Show the chosen group, or all of them."""
        self._columns = self._fitting_columns()
        chosen = self.pages.currentRow()
        shown = self._groups if chosen == 0 else [self._groups[chosen - 1]]
        columns = _in_columns(shown, min(self._columns, len(shown)))
        cells = "".join(f"<td width='{100 // len(columns)}%'>{''.join(map(_html, column))}</td>" for column in columns)
        self.browser.setHtml(f"<table width='100%' cellspacing='8'><tr>{cells}</tr></table>")


def _in_columns(groups: Sequence[Group], count: int) -> List[List[Group]]:
    """Return the groups, in order, in up to ``count`` columns, the longest of which has as few lines as possible."""
    heights = [_TITLE_LINES + sum(map(_line_count, rows)) for _, rows in groups]
    most = max(heights)
    while True:
        columns: List[List[Group]] = []
        filled = most
        for group, height in zip(groups, heights):
            if filled + height > most:
                columns.append([])
                filled = 0
            columns[-1].append(group)
            filled += height
        if len(columns) <= count:
            return columns
        most += 1


def _line_count(row: Tuple[str, str]) -> int:
    """Return the approximate number of lines of a row in the narrowest column."""
    return max(-(-len(text) // width) for text, width in zip(row, (_ACTION_WIDTH, _KEYS_WIDTH)))


def _html(group: Group) -> str:
    title, rows = group
    share = 100 * _ACTION_WIDTH // (_ACTION_WIDTH + _KEYS_WIDTH)
    cells = "".join(
        f"<tr><td width='{share}%'>{escape(action)}</td><td width='{100 - share}%'>{escape(keys)}</td></tr>"
        for action, keys in rows
    )
    table = f"<table width='100%' cellspacing='0' cellpadding='0'>{cells}</table>"
    return f"<p style='margin-top: 4px; margin-bottom: 1px'><b>{escape(title)}</b></p>{table}"
