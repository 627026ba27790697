"""Fields for a name or path: typed, chosen from a list, browsed for, or dropped."""

import os
from typing import List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.dialogs.fields import ComboBox
from qatviz.gui.dialogs.files_there import ask_file, ask_folder
from qatviz.gui.model.folders import start_folder
from qatviz.gui.model.new_run import DATA_FILES
from qatviz.gui.model.user_settings import place_of, remembered_paths
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.labels import plain_tip
from qatviz.network.model_formats import MODEL_FILES, MODEL_FORMATS, WEIGHTS_FILES, WEIGHTS_FORMATS

_MAX_RECENT = 8


def dropped_path(mime: QtCore.QMimeData) -> str:
    """Return the path of the first dragged file; empty if there is none."""
    paths = [url.toLocalFile() for url in mime.urls()] if mime.hasUrls() else []
    return paths[0] if paths else ""


class PathField(QtWidgets.QWidget):
    """Field for a known name or a path.

    Parameters
    ----------
    title : str
        Accessible name, and title of the file dialogs.
    key : str
        Part of the keys of the settings that remember recent paths and the folder to browse from.
    names : sequence of (str, str)
        Names to choose from, with descriptions.
    settings : QSettings
    """

    #: Emitted when the text has changed.
    changed = QtCore.pyqtSignal()
    #: Emitted with a path that was browsed for, dropped or chosen from the list, not typed.
    chosen = QtCore.pyqtSignal(str)

    def __init__(
        self,
        title: str,
        key: str,
        names: Sequence[Tuple[str, str]],
        settings: QtCore.QSettings,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent)
        self._title, self._key, self._settings = title, "new_run/" + key, settings
        self.setAcceptDrops(not place_of(settings))  # dropped files are of this machine
        self.box = ComboBox(editable=True)
        self.box.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        self.box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(14)
        self.box.setAccessibleName(title)
        self.box.view().setTextElideMode(QtCore.Qt.ElideMiddle)
        # A file dropped on the text would be inserted as a URL: the field handles it.
        self.box.setAcceptDrops(False)
        self.box.lineEdit().setAcceptDrops(False)
        self._row = QtWidgets.QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.addWidget(self.box, 1)
        for name, about in names:
            self.box.addItem(name)
            self.box.setItemData(self.box.count() - 1, about, QtCore.Qt.ToolTipRole)
        recent = [path for path in self.recent() if path not in dict(names)]
        if names and recent:
            self.box.insertSeparator(self.box.count())
        for path in recent:
            self.box.addItem(path)
            self.box.setItemData(self.box.count() - 1, plain_tip(path), QtCore.Qt.ToolTipRole)
        self.box.editTextChanged.connect(self._on_text)
        self.box.activated[str].connect(self.chosen)
        self.setFocusProxy(self.box)

    def add_button(self, text: str, tool_tip: str) -> QtWidgets.QPushButton:
        """Add a button after the text."""
        button = push_button(text, tool_tip)
        self._row.addWidget(button)
        return button

    def text(self) -> str:
        return self.box.currentText().strip()

    def set_text(self, text: str) -> None:
        self.box.setEditText(text)

    def choose(self, path: str) -> None:
        """Set the path, as if it had been browsed for."""
        if path:
            self._settings.setValue(self._key + "_place", os.path.dirname(path))
            self.set_text(path)
            self.chosen.emit(path)

    def recent(self) -> List[str]:
        """Return the paths of earlier runs, the newest first."""
        return remembered_paths(self._settings, self._key + "_recent")

    def remember(self, path: str) -> None:
        """Add ``path`` to the recent ones."""
        paths = [path] + [known for known in self.recent() if known != path]
        self._settings.setValue(self._key + "_recent", paths[:_MAX_RECENT])

    def place(self) -> str:
        """Return the folder to browse from."""
        return start_folder(self._settings, self._key + "_place")

    def browse_file(self, kinds: str) -> None:
        self.choose(ask_file(self, self._title, self.place(), kinds))

    def browse_folder(self) -> None:
        self.choose(ask_folder(self, self._title, self.place()))

    def _set_tip(self, first: str, names: Sequence[Tuple[str, str]], last: str) -> None:
        """Set the tooltip: names with their descriptions, between two texts."""
        self.box.setToolTip("\n".join([first, *(f"{name}: {about}" for name, about in names), last]))

    def _on_text(self, text: str) -> None:
        self.box.lineEdit().setToolTip(plain_tip(text) if os.sep in text else "")
        self.changed.emit()

    def dragEnterEvent(self, event: QtGui.QDragEnterEvent) -> None:
        if dropped_path(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QtGui.QDropEvent) -> None:
        event.acceptProposedAction()
        self.choose(dropped_path(event.mimeData()))


class DataField(PathField):
    """Field for the name of a data set, or the path of a file or folder."""

    def __init__(
        self, names: Sequence[Tuple[str, str]], settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__("Data", "data", names, settings, parent)
        self._set_tip(
            "The data that the network is trained on. By name:",
            names,
            "or the path of a file or folder, which can also be dropped here",
        )
        self.file = self.add_button(
            "File…", "NumPy arrays (.npz, .npy), a CSV file, an IDX file, a zip archive of images, or CIFAR's archive"
        )
        self.folder = self.add_button(
            "Folder…",
            "A folder of images with a sub-folder for each class or a table, of .npy or IDX files, or CIFAR's",
        )
        self.file.clicked.connect(lambda: self.browse_file(DATA_FILES))
        self.folder.clicked.connect(self.browse_folder)


class ModelField(PathField):
    """Field for a network of the zoo, or the path of a Keras model's file."""

    #: Emitted when the user wants to decide whether the file's code may run.
    code_asked = QtCore.pyqtSignal()

    def __init__(
        self, names: Sequence[Tuple[str, str]], settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__("Network", "model", names, settings, parent)
        self._set_tip(
            "The network that is trained. By name:",
            names,
            f"or {MODEL_FORMATS},\nwhere the function returns the model. Files and folders can be dropped here",
        )
        self.allow = self.add_button("Allow code…", "The file contains Python code: decide whether it may be run")
        self.allow.hide()
        self.allow.clicked.connect(self.code_asked)
        self.file = self.add_button(
            "File…",
            "Your own model: a Keras file (.keras, .h5), an architecture (.json), saved_model.pb of a SavedModel, or a "
            "Python script with a function that returns the model",
        )
        self.file.clicked.connect(lambda: self.browse_file(MODEL_FILES))


class _OptionalFileField(PathField):
    """Field for the path of a file, which is empty at first and may stay so.

    Parameters
    ----------
    title, key, settings
        As for :class:`PathField`.
    tool_tip : str
        Tooltip of the list.
    empty_text : str
        Text that is shown while the field is empty.
    file_tip : str
        Tooltip of the button "File…".
    kinds : str
        Kinds of files that the file dialog lists.
    """

    def __init__(
        self,
        title: str,
        key: str,
        settings: QtCore.QSettings,
        tool_tip: str,
        empty_text: str,
        file_tip: str,
        kinds: str,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(title, key, (), settings, parent)
        self.box.setToolTip(tool_tip)
        self.box.lineEdit().setPlaceholderText(empty_text)
        self.box.setCurrentIndex(-1)  # not the newest of the recent paths
        self.file = self.add_button("File…", file_tip)
        self.file.clicked.connect(lambda: self.browse_file(kinds))


class WeightsField(_OptionalFileField):
    """Field for the file with the weights of an architecture; it may be empty."""

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(
            "Weights",
            "weights",
            settings,
            f"The file that model.save_weights wrote for this architecture: {WEIGHTS_FORMATS}.\nEmpty: training begins "
            "with random weights. A file can also be dropped here",
            "None: random weights",
            f"A file of weights: {WEIGHTS_FORMATS}",
            WEIGHTS_FILES,
            parent,
        )


class TeacherField(_OptionalFileField):
    """Field for the Keras model whose outputs training imitates; it may be empty."""

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(
            "Teacher",
            "teacher",
            settings,
            f"A trained Keras model whose outputs training imitates besides the labels: {MODEL_FORMATS}.\n"
            "Empty: none; the Run panel can choose the float weights of the run itself. A file can also be dropped "
            "here",
            "None",
            "A trained Keras model with the same outputs as the network",
            MODEL_FILES,
            parent,
        )
