"""Dialog with all keys: those of the menus, of each panel, and of every control."""

# A module of its own, because it is imported when it is first opened, so that the window opens sooner.

from typing import Iterable, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

#: What all controls of a kind do with a key while they have the focus.
EVERYWHERE = (
    ("next, previous control", "Tab, Shift+Tab"),
    ("press the focused button", "Space"),
    ("in a list or slider: next, previous value", "↑, ↓, Page Up, Page Down, Home, End"),
    ("in a number box: increase, decrease", "↑, ↓, Page Up, Page Down"),
    ("in a number box: apply, revert the typed value", "Enter, Esc"),
    ("scroll what does not fit into its panel", "Page Up, Page Down"),
    ("in a table: go to another row or column", "↑, ↓, ←, →, Page Up, Page Down, Home, End"),
)


class ShortcutsDialog(QtWidgets.QDialog):
    """Dialog that lists ``groups``: titles, each with what is done and the keys that do it."""

    def __init__(
        self, groups: Iterable[Tuple[str, Sequence[Tuple[str, str]]]], parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self.tree = QtWidgets.QTreeWidget(rootIsDecorated=False)
        self.tree.setHeaderLabels(("Action", "Keys"))
        self.tree.setSelectionMode(QtWidgets.QTreeWidget.NoSelection)
        self.tree.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.tree.setAccessibleName("Keyboard shortcuts")
        for title, rows in [*groups, ("Everywhere", EVERYWHERE)]:
            if rows:
                self._add(title, rows)
        self.tree.expandAll()
        header = self.tree.header()
        header.setStretchLastSection(False)
        for column in range(2):
            header.setSectionResizeMode(column, QtWidgets.QHeaderView.ResizeToContents)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Close)
        buttons.rejected.connect(self.reject)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self.tree)
        layout.addWidget(buttons)
        # As wide as the longest action and keys, as far as the screen allows.
        width = sum(self.tree.sizeHintForColumn(index) for index in range(2)) + 4 * self.fontMetrics().height()
        room = QtWidgets.QApplication.primaryScreen().availableSize()
        self.resize(min(max(560, width), room.width()), min(620, room.height()))

    def _add(self, title: str, rows: Sequence[Tuple[str, str]]) -> None:
        head = QtWidgets.QTreeWidgetItem([title])
        font = QtGui.QFont(self.tree.font())
        font.setBold(True)
        head.setFont(0, font)
        self.tree.addTopLevelItem(head)
        for row in rows:
            head.addChild(QtWidgets.QTreeWidgetItem(list(row)))
        for item in [head] + [head.child(index) for index in range(head.childCount())]:
            item.setFlags(QtCore.Qt.ItemIsEnabled)  # not selectable
