"""Base of the windows with recorded runs: message bar, row of buttons, splitter, refresh, remembered layout."""

from typing import Callable, Dict, List, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.model.context import Context
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.banner import BAD, Banner
from qatviz.gui.widgets.controls.push_button import push_button

#: Shown while records are read.
READING = "Reading the records of the runs…"


class RecordsWindow(QtWidgets.QDialog):
    """Window beside the main one; from top to bottom: messages, :attr:`top`, :attr:`split`, :attr:`bottom`.

    Parameters
    ----------
    context : Context
    launcher : Launcher
    name : str
        Prefix of the keys of the remembered layout.
    size : QSize
        Size before there is a remembered one.
    side : int
        Width of the narrow part of :attr:`split`, px: the first one if it is positive, else the last one.
    """

    def __init__(
        self,
        context: Context,
        launcher: Launcher,
        name: str,
        size: QtCore.QSize,
        side: int,
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent, QtCore.Qt.Window)
        self.context, self.launcher = context, launcher
        self._name, self._usual, self._side = name, size, side
        self.banner = Banner(context.theme, lambda title, text: None)
        self.reload = push_button("Refresh", "")
        self.split = QtWidgets.QSplitter()
        self.top, self.bottom = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout()
        rows = QtWidgets.QVBoxLayout(self)
        rows.addWidget(self.banner)
        rows.addLayout(self.top)
        rows.addWidget(self.split, 1)
        rows.addLayout(self.bottom)
        self.banner.dismiss()
        self.reload.clicked.connect(self.refresh)
        QtWidgets.QShortcut(QtGui.QKeySequence("F5"), self, self.refresh)
        context.theme.changed.connect(self.apply_theme)

    def refresh(self) -> None:
        """Read the records again."""
        raise NotImplementedError

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        raise NotImplementedError

    def show_failure(self, text: str) -> None:
        """Show the reason why something failed."""
        self.banner.show_message(text, BAD)

    def add_parts(self, parts: List[QtWidgets.QWidget]) -> None:
        """Add the two parts of the splitter; the wide one grows with the window."""
        for part in parts:
            self.split.addWidget(part)
        self.split.setStretchFactor(1 if self._side > 0 else 0, 1)
        self.split.setChildrenCollapsible(False)

    def _stored(self) -> Dict[str, Callable[[], QtCore.QByteArray]]:
        """Return the functions that return the states to remember, by key."""
        return {"geometry": self.saveGeometry, "split": self.split.saveState}

    def _restoring(self) -> Dict[str, Callable[[QtCore.QByteArray], object]]:
        """Return the functions that restore the states of :meth:`_stored`, by key."""
        return {"geometry": self.restoreGeometry, "split": self.split.restoreState}

    def restore(self) -> None:
        """Restore the remembered layout, or use the default one."""
        self.resize(self._usual)
        width = self._usual.width() - abs(self._side)
        self.split.setSizes([self._side, width] if self._side > 0 else [width, -self._side])
        for key, restore in self._restoring().items():
            kept = self.context.settings.value(f"{self._name}/{key}")
            if isinstance(kept, QtCore.QByteArray):
                restore(kept)

    def done(self, result: int) -> None:
        """Remember the layout."""
        for key, state in self._stored().items():
            self.context.settings.setValue(f"{self._name}/{key}", state())
        super().done(result)
