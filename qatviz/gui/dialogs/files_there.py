"""Dialogs that ask for a file or folder on the machine of a window: the system's, or a list of the files there."""

import posixpath
from typing import Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.labels import Label
from qatviz.session.folder_entries import Folder

_SIZE = QtCore.QSize(560, 460)
_PATH, _IS_FOLDER = QtCore.Qt.UserRole, QtCore.Qt.UserRole + 1


def ask_folder(parent: QtWidgets.QWidget, title: str, start: str) -> str:
    """Return the folder that the user chooses on the machine of the window; empty if none is chosen."""
    launcher = _launcher_there(parent)
    if launcher is None:
        return QtWidgets.QFileDialog.getExistingDirectory(parent, title, start)
    return _ask_there(launcher, parent, title, start, True)


def ask_file(parent: QtWidgets.QWidget, title: str, start: str, kinds: str) -> str:
    """Return the file that the user chooses on the machine of the window; empty if none is chosen.

    ``kinds`` are the filters of Qt's file dialog; the list of another machine shows all files.
    """
    launcher = _launcher_there(parent)
    if launcher is None:
        return QtWidgets.QFileDialog.getOpenFileName(parent, title, start, kinds)[0]
    return _ask_there(launcher, parent, title, start, False)


def _launcher_there(widget: Optional[QtWidgets.QWidget]) -> Optional[Launcher]:
    """Return the launcher of a widget's window if that is on another machine."""
    while widget is not None:
        launcher = getattr(widget, "launcher", None)
        if isinstance(launcher, Launcher):
            return launcher if launcher.place else None
        widget = widget.parentWidget()
    return None


def _ask_there(launcher: Launcher, parent: QtWidgets.QWidget, title: str, start: str, wants_folder: bool) -> str:
    dialog = FilesThere(launcher, title, start, wants_folder, parent)
    try:
        return dialog.chosen if dialog.exec_() == QtWidgets.QDialog.Accepted else ""
    finally:
        dialog.deleteLater()


class FilesThere(QtWidgets.QDialog):
    """Dialog with a list of the files of another machine.

    Parameters
    ----------
    launcher : Launcher
    title : str
    start : str
        Path of the first folder; empty for the home directory.
    wants_folder : bool
        True to choose a folder, False for a file.

    Attributes
    ----------
    chosen : str
        Path of the chosen file or folder.
    """

    def __init__(
        self,
        launcher: Launcher,
        title: str,
        start: str,
        wants_folder: bool,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self._launcher, self._wants_folder, self._folder = launcher, wants_folder, ""
        self.chosen = ""
        self.setWindowTitle(f"{title} – {launcher.place}")
        self.path = QtWidgets.QLineEdit(accessibleName="Path")
        self.up = QtWidgets.QPushButton("Up")
        self.up.setAutoDefault(False)
        self.list = QtWidgets.QListWidget()
        self.list.setAccessibleName("Files")
        self.problem = Label(wordWrap=True)
        self.buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Cancel)
        self.ok = self.buttons.addButton("Choose", QtWidgets.QDialogButtonBox.AcceptRole)
        self.ok.setAutoDefault(False)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(self.up)
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(Label(f"Files on {launcher.place}:"))
        column.addLayout(row)
        column.addWidget(self.list, 1)
        column.addWidget(self.problem)
        column.addWidget(self.buttons)
        self.up.clicked.connect(lambda: self._show(posixpath.dirname(self._folder) or "/"))
        self.path.returnPressed.connect(self._on_path)
        self.path.textEdited.connect(self._update)
        self.list.itemSelectionChanged.connect(self._on_selection)
        self.list.itemActivated.connect(self._on_activated)
        self.buttons.rejected.connect(self.reject)
        self.ok.clicked.connect(self._on_ok)
        self.resize(_SIZE)
        self._show(start)

    def _show(self, path: str) -> None:
        """List a folder; if it can't be read, show the reason instead."""
        try:
            self._fill(self._launcher.folder(path))
        except QatvizError as error:
            self.problem.setText(str(error))

    def _fill(self, folder: Folder) -> None:
        self.problem.setText("")
        self._folder = folder.path
        self.path.setText(folder.path)
        self.list.clear()
        icons = self.style()
        for entry in folder.entries:
            if entry.is_folder or not self._wants_folder:
                kind = QtWidgets.QStyle.SP_DirIcon if entry.is_folder else QtWidgets.QStyle.SP_FileIcon
                item = QtWidgets.QListWidgetItem(icons.standardIcon(kind), entry.name + (" (run)" * entry.is_run))
                item.setData(_PATH, posixpath.join(folder.path, entry.name))
                item.setData(_IS_FOLDER, entry.is_folder and not entry.is_run)
                self.list.addItem(item)
        self._update()

    def _on_selection(self) -> None:
        for item in self.list.selectedItems():
            self.path.setText(item.data(_PATH))
        self._update()

    def _on_activated(self, item: QtWidgets.QListWidgetItem) -> None:
        if item.data(_IS_FOLDER):
            self._show(item.data(_PATH))
        else:
            self.path.setText(item.data(_PATH))
            self._on_ok()

    def _on_path(self) -> None:
        """List the typed path if it is a folder, else choose it."""
        try:
            folder = self._launcher.folder(self.path.text().strip())
        except QatvizError:  # a file, or a path for the caller to refuse
            self._on_ok()
        else:
            self._fill(folder)

    def _on_ok(self) -> None:
        self.chosen = self.path.text().strip()
        if self.chosen:
            self.accept()

    def _update(self) -> None:
        self.ok.setEnabled(bool(self.path.text().strip()))
