"""Base of the fields for a path to write to, which begin with a suggestion."""

from typing import Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.widgets.controls.push_button import push_button


class SuggestedPath(QtWidgets.QWidget):
    """Line and button for a path, which is a suggestion until the user types or chooses one; subclasses lay them out.

    Parameters
    ----------
    name : str
        Accessible name of the line.
    browse_tip : str
        Tooltip of the button.

    Attributes
    ----------
    edit : QLineEdit
    browse : QPushButton
    """

    #: Emitted when the path has changed.
    changed = QtCore.pyqtSignal()

    def __init__(self, name: str, browse_tip: str, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._is_suggested = True
        self.edit = QtWidgets.QLineEdit()
        self.edit.setAccessibleName(name)
        self.browse = push_button("Browse…", browse_tip)
        self.edit.textChanged.connect(lambda _: self.changed.emit())
        self.edit.textEdited.connect(self._on_typed)
        self.browse.clicked.connect(self._on_browse)
        self.setFocusProxy(self.edit)

    def _choose(self, path: str) -> None:
        """Set the path that the user has chosen."""
        self._is_suggested = False
        self.edit.setText(path)

    def _on_typed(self) -> None:
        self._is_suggested = False

    def _on_browse(self) -> None:
        """Open a dialog whose result is passed to :meth:`_choose`."""
        raise NotImplementedError
