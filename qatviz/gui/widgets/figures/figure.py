"""Context menu of figures: copy or save a widget's picture, save its data as CSV."""

from pathlib import Path
from typing import Callable

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.model.folders import FIGURES, figures_folder
from qatviz.gui.model.user_settings import UserSettings
from qatviz.gui.widgets.figures.ask_file import ask_for_file, warn
from qatviz.gui.widgets.figures.colors import context_of
from qatviz.gui.widgets.figures.files import (
    FigureError,
    FigureStyle,
    caption_height,
    picture,
    save_csv,
    save_png,
    save_svg,
    title_of,
)
from qatviz.gui.widgets.figures.save_dialog import SaveFigureDialog
from qatviz.presentation.figure_caption import Caption

__all__ = ["FigureError", "FigureMenu", "figure_settings", "picture", "save_csv", "save_png", "save_svg", "title_of"]


class FigureMenu(QtWidgets.QMenu):
    """Context menu of a figure: a widget with ``figure_name`` and ``table()`` (columns by name; empty: no data).

    Written files are reported in the window's status bar, errors where the file was asked for, which stays open.
    """

    #: Emitted with the path of a file that was written.
    saved = QtCore.pyqtSignal(str)
    #: Emitted with a message for the user when a file can't be written.
    failed = QtCore.pyqtSignal(str)

    def __init__(self, figure: QtWidgets.QWidget):
        super().__init__(figure)
        self._figure = figure
        self.setToolTipsVisible(True)
        self.copy_action = self._add("Copy picture", "Copy this figure to the clipboard as an image", self.copy)
        self.picture_action = self._add(
            "Save picture…", "Save this figure as PNG or SVG in a size of your choice", self.save_picture
        )
        self.table_action = self._add("Save data as CSV…", "Save the plotted values as CSV", self.save_table)
        self.table_action.setVisible(hasattr(figure, "table"))
        figure.setContextMenuPolicy(QtCore.Qt.CustomContextMenu)
        figure.customContextMenuRequested.connect(lambda point: self.popup(figure.mapToGlobal(point)))
        self.saved.connect(self._report_saved)
        self.failed.connect(self._warn)

    def copy(self) -> None:
        """Copy the picture to the clipboard."""
        try:
            image = picture(self._figure)
        except QatvizError as error:
            self.failed.emit(str(error))
            return
        QtWidgets.QApplication.clipboard().setImage(image)
        self._show_status(f"Copied {title_of(self._figure)}")

    def save_picture(self) -> None:
        """Ask for a size and a file, then save the picture."""
        SaveFigureDialog(
            title_of(self._figure),
            self._figure.size(),
            lambda width: caption_height(self._figure, self._caption(), width),
            self._directory(),
            self._settings(),
            self._write_picture,
            self._figure.window(),
        ).open()

    def save_table(self) -> None:
        """Ask for a file, then save the plotted values."""
        if not self._figure.table():
            self.failed.emit("Nothing to save yet: the figure has no data")
            return
        name = str(Path(self._directory()) / f"{title_of(self._figure)}.csv")
        ask_for_file(self._figure.window(), "Save data as CSV", name, "CSV (*.csv)", self._write_table)

    def _add(self, text: str, tip: str, slot: Callable[[], None]) -> QtWidgets.QAction:
        action = self.addAction(text, slot)
        action.setToolTip(tip)
        return action

    def _caption(self) -> Caption:
        return caption_of(self._figure)

    def _write_picture(self, dialog: SaveFigureDialog) -> None:
        path, size = dialog.path(), dialog.size_in_pixels()
        style = FigureStyle(dialog.theme(), self._caption if dialog.has_caption() else None)
        if dialog.is_vector():
            save_svg(self._figure, path, size, style)
        else:
            save_png(self._figure, path, size, dialog.scale(), style)
        self._note_saved(path)

    def _write_table(self, path: str) -> None:
        save_csv(self._figure.table(), path)
        self._note_saved(path)

    def _note_saved(self, path: str) -> None:
        self._settings().setValue(FIGURES, str(Path(path).parent))
        self.saved.emit(path)

    def _settings(self) -> QtCore.QSettings:
        return figure_settings(self._figure)

    def _directory(self) -> str:
        return figures_folder(self._settings())

    def _report_saved(self, path: str) -> None:
        self._show_status(f"Saved {path}")

    def _show_status(self, text: str) -> None:
        window = self._figure.window()
        if isinstance(window, QtWidgets.QMainWindow):
            window.statusBar().showMessage(text, 5000)

    def _warn(self, message: str) -> None:
        warn(self._figure, message)


def figure_settings(figure: QtWidgets.QWidget) -> QtCore.QSettings:
    """Return the settings in the ``context`` of the figure or of its nearest parent that has one, else the default."""
    context = context_of(figure)
    return UserSettings() if context is None else context.settings


def caption_of(figure: QtWidgets.QWidget) -> Caption:
    """Return a figure's ``caption()``, else one with its accessible name; and run and step if it has no details."""
    has_own = hasattr(figure, "caption") and callable(figure.caption)
    found = figure.caption() if has_own else Caption(figure.accessibleName() or title_of(figure))
    context = context_of(figure)
    if found.details or context is None or not context.model.title:
        return found
    return found._replace(details=(context.model.title, f"step {context.model.step:,}"))
