"""Question for the file to write, asked again with the same name until the file is written or the user cancels."""

from pathlib import Path
from typing import Callable

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.widgets.figures.files import FigureError


def ask_for_file(
    parent: QtWidgets.QWidget, title: str, path: str, kind: str, write: Callable[[str], None]
) -> QtWidgets.QFileDialog:
    """Open a dialog that asks for a file, and write it when it is chosen; return the dialog, which does not block.

    Parameters
    ----------
    parent : QWidget
    title, path : str
        Title of the dialog; suggested path.
    kind : str
        Name and suffix of the format, such as ``CSV (*.csv)``. Other suffixes are refused.
    write : callable (str) -> None
        Writes the file; may raise :class:`QatvizError`, whose message is shown before the question is asked again.
    """
    suffix = kind[kind.index("*.") + 1 : -1]

    def on_chosen(chosen: str) -> None:
        try:
            if Path(chosen).suffix.lower() != suffix:
                raise FigureError(f"{chosen}: expected a name that ends in {suffix}")
            write(chosen)
        except QatvizError as error:
            # Belongs to the dialog: of two dialogs of one window, the first that is activated would get the keys.
            warn(ask_for_file(parent, title, chosen, kind, write), str(error))

    dialog = QtWidgets.QFileDialog(parent, title, path, kind)
    dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
    dialog.setAcceptMode(QtWidgets.QFileDialog.AcceptSave)
    dialog.setDefaultSuffix(suffix.lstrip("."))
    dialog.selectFile(path)
    dialog.fileSelected.connect(on_chosen)
    dialog.open()
    return dialog


def warn(parent: QtWidgets.QWidget, message: str) -> None:
    """Show why something was not saved."""
    box = QtWidgets.QMessageBox(
        QtWidgets.QMessageBox.Warning, "Not saved", message, QtWidgets.QMessageBox.Ok, parent.window()
    )
    box.setTextFormat(QtCore.Qt.PlainText)  # a path is not markup
    box.setAttribute(QtCore.Qt.WA_DeleteOnClose)
    box.open()
