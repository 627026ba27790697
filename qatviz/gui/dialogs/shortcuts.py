"""Dialog with the keyboard shortcuts of all actions."""

from typing import Iterable, List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

#: Keys of the focused widget, which belong to no action.
ALWAYS = (
    ("Tab, Shift+Tab", "next, previous control"),
    ("↑, ↓", "in a number box: increase, decrease"),
    ("Enter, Esc", "in a number box: apply, revert the typed value"),
)


class ShortcutsDialog(QtWidgets.QDialog):
    """Dialog that lists the shortcuts of ``groups``: (title, actions), such as a menu and its actions.

    Actions without a shortcut are omitted; an action of several groups is listed in the first.
    """

    def __init__(
        self, groups: Iterable[Tuple[str, Sequence[QtWidgets.QAction]]], parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        self.tree = QtWidgets.QTreeWidget(rootIsDecorated=False)
        self.tree.setHeaderLabels(("Action", "Keys"))
        self.tree.setSelectionMode(QtWidgets.QTreeWidget.NoSelection)
        self.tree.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.tree.setAccessibleName("Keyboard shortcuts")
        for title, rows in [*_rows(groups), ("Everywhere", [(what, keys) for keys, what in ALWAYS])]:
            self._add(title, rows)
        self.tree.expandAll()
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QtWidgets.QHeaderView.Stretch)
        header.setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeToContents)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Close)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.tree)
        column.addWidget(buttons)
        self.resize(520, 560)

    def _add(self, title: str, rows: List[Tuple[str, str]]) -> None:
        head = QtWidgets.QTreeWidgetItem([title])
        font = QtGui.QFont(self.tree.font())
        font.setBold(True)
        head.setFont(0, font)
        self.tree.addTopLevelItem(head)
        for row in rows:
            head.addChild(QtWidgets.QTreeWidgetItem(list(row)))
        for item in [head] + [head.child(index) for index in range(head.childCount())]:
            item.setFlags(QtCore.Qt.ItemIsEnabled)  # not selectable


def _rows(groups: Iterable[Tuple[str, Sequence[QtWidgets.QAction]]]) -> List[Tuple[str, List[Tuple[str, str]]]]:
    listed, found = set(), []
    for title, actions in groups:
        rows = []
        for action in actions:
            keys = [key.toString(QtGui.QKeySequence.NativeText) for key in action.shortcuts() if not key.isEmpty()]
            if not keys or action in listed:
                continue
            listed.add(action)
            rows.append((_text(action), ", ".join(keys)))
        if rows:
            found.append((title, rows))
    return found


def _text(action: QtWidgets.QAction) -> str:
    """Return the text of an action without mnemonic and ellipsis."""
    return action.text().replace("&&", "\0").replace("&", "").replace("\0", "&").rstrip("…").strip()
