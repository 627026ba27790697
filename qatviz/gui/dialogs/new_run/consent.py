"""Asks whether code in a model's file may be run. The answer holds for this run only; it is never remembered."""

from typing import Optional

from PyQt5 import QtCore, QtWidgets


class ConsentDialog(QtWidgets.QMessageBox):
    """Names the file and says what a yes means; No is the default. Open it with :meth:`open`, which does not block.

    Parameters
    ----------
    path : str
        The file.
    code : str
        What code it holds, a sentence.
    """

    #: The user has said yes.
    allowed = QtCore.pyqtSignal()

    def __init__(self, path: str, code: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self.setWindowTitle("Run code?")
        self.setIcon(QtWidgets.QMessageBox.Warning)
        self.setTextFormat(QtCore.Qt.PlainText)  # a file's name is not markup
        self.setText("May the Python code of this model be run?")
        self.setInformativeText(
            f"{path}\n\n{code}\n\nThe code is run on this computer with your rights: it can read, change and "
            "send whatever you "
            "can. Say yes only if you trust who made the file.\n\nYour answer holds for this run only."
        )
        self.setStandardButtons(QtWidgets.QMessageBox.Yes | QtWidgets.QMessageBox.No)
        self.button(QtWidgets.QMessageBox.Yes).setText("Run its code")
        self.button(QtWidgets.QMessageBox.No).setText("Don't run it")
        self.setDefaultButton(QtWidgets.QMessageBox.No)
        self.setEscapeButton(QtWidgets.QMessageBox.No)
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self.finished.connect(self._on_finished)

    def _on_finished(self, answer: int) -> None:
        if answer == QtWidgets.QMessageBox.Yes:
            self.allowed.emit()
