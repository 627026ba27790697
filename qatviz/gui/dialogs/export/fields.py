"""Fields of the export dialog: state of the run to export, and path to write."""

import os
from typing import Any, List, Optional, Sequence

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.dialogs.suggested_path import SuggestedPath
from qatviz.gui.model.folders import figures_folder
from qatviz.gui.model.path_check import path_problem
from qatviz.gui.model.user_settings import place_of
from qatviz.presentation.event_texts import save_text
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo

#: Value that stands for the present state, instead of the name of a checkpoint.
NOW = ""
_NOW_TIP = "A checkpoint of the present state is saved first"
_PLACE = "export/place"
#: Default folder, within the run's directory.
_FOLDER = "exports"


class StateBox(QtWidgets.QComboBox):
    """List of the present state of a run and its checkpoints, newest first; updated when it is opened."""

    #: Emitted when the user opens the list, which should be updated.
    opened = QtCore.pyqtSignal()

    def __init__(self, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setAccessibleName("State of the run")
        self.setToolTip("State to export: the present one, or that of a checkpoint")
        self.setSizeAdjustPolicy(self.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(20)

    def show_states(self, states: Sequence[CheckpointInfo], has_now: bool, step: int) -> None:
        """Show ``states``; the selection is kept if it is still among them."""
        chosen = self.state()
        self.blockSignals(True)
        self.clear()
        if has_now:
            self._add(_now(step), NOW, _NOW_TIP)
        for info in sorted(states, key=lambda info: (info.step, info.created), reverse=True):
            self._add(f"Step {info.step:,}: {save_text(info.reason) or info.name}", info.name, info.name)
        self.setCurrentIndex(-1 if chosen is None else self.findData(chosen))
        if self.currentIndex() < 0 and self.count():
            self.setCurrentIndex(0)
        self.blockSignals(False)
        if self.state() != chosen:
            self.currentIndexChanged.emit(self.currentIndex())

    def show_step(self, step: int) -> None:
        """Show the present training step."""
        if self.count() and self.itemData(0) == NOW:
            self.setItemText(0, _now(step))

    def state(self) -> Optional[str]:
        """Return :data:`NOW` or the name of a checkpoint; None if there is no state."""
        return self.currentData()

    def showPopup(self) -> None:
        self.opened.emit()
        super().showPopup()

    def _add(self, text: str, name: str, tip: str) -> None:
        self.addItem(text, name)
        self.setItemData(self.count() - 1, tip, QtCore.Qt.ToolTipRole)


class ExportPathField(SuggestedPath):
    """Path of the file or directory to write: in the run's directory, or in the folder of the last export."""

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__("File", "Choose the file in a file dialog", parent)
        self._settings = settings
        self._directory: str = ""
        self._format: Any = None
        self.edit.setToolTip("Path of the export; its proof is written beside it, as FILE.parity.txt and others")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        row.addWidget(self.browse)

    def path(self) -> str:
        """Return the absolute path; empty if there is none."""
        text = self.edit.text().strip()
        return os.path.abspath(os.path.expanduser(text)) if text else ""

    def suggest(self, directory: str, network: str, export_format: Any) -> None:
        """Suggest a file for the run in ``directory``; a name chosen by the user only gets the format's suffix."""
        if directory != self._directory:
            self._is_suggested = True
        old, self._directory, self._format = self._format, directory, export_format
        if not self._is_suggested:
            path = self.edit.text().strip()
            if old is not None and old.suffix and path.endswith(old.suffix):
                path = path[: -len(old.suffix)]
            self.edit.setText(path + export_format.suffix)
            return
        place = self._place(directory)
        stem = network if self._is_in(place, directory) else os.path.basename(os.path.normpath(directory))
        # The format is part of the name, because the files beside the export are named without its suffix.
        name = f"{stem}-{export_format.name}{export_format.suffix}"
        self.edit.setText(os.path.join(place, name) if directory else "")

    def problem(self) -> str:
        """Return the reason why the path can't be written, found without writing; empty if there is none."""
        path, chosen = self.path(), self._format
        if not path:
            return f"expected the name of a {'file' if chosen is None or chosen.suffix else 'directory'}"
        if chosen.suffix and os.path.isdir(path):
            return f"{path}: is a directory; expected the name of a file"
        return path_problem(os.path.dirname(path))

    def note(self) -> str:
        """Return a warning if the path exists; empty if it does not."""
        return "This file exists and will be replaced." if os.path.exists(self.path()) else ""

    def remember(self) -> None:
        """Remember the folder for the next export, unless it is in the run's directory."""
        place = os.path.dirname(self.path())
        self._settings.setValue(_PLACE, "" if self._is_in(place, self._directory) else place)

    def _place(self, directory: str) -> str:
        default = figures_folder(self._settings) if place_of(self._settings) else directory  # written on this machine
        return self._settings.value(_PLACE, "") or os.path.join(default, _FOLDER)

    @staticmethod
    def _is_in(place: str, directory: str) -> bool:
        return bool(directory) and os.path.abspath(place).startswith(os.path.abspath(directory) + os.sep)

    def _on_browse(self) -> None:
        chosen = self._format
        kinds = f"{chosen.title} (*{chosen.suffix})" if chosen.suffix else "All files (*)"
        dialog = QtWidgets.QFileDialog(self, "Export to", self.path(), kinds)
        dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        dialog.setAcceptMode(QtWidgets.QFileDialog.AcceptSave)
        dialog.setOption(QtWidgets.QFileDialog.DontConfirmOverwrite)  # the field's note warns
        dialog.setDefaultSuffix(chosen.suffix)
        dialog.selectFile(self.path())
        dialog.filesSelected.connect(self._on_chosen)
        dialog.open()

    def _on_chosen(self, paths: List[str]) -> None:
        if paths:
            self._choose(paths[0])


def _now(step: int) -> str:
    return f"Now (step {step:,})"
