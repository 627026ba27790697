"""Size of an export before it is written, and what weights of few bits save in it."""

from typing import Any, Dict, NamedTuple, Optional

from PyQt5 import QtGui, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.model.check_worker import CheckWorker
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.export_sizes import ExportSize
from qatviz.protocol.settings_book import SettingsBook

_COMPUTING = "Computing…"
_TIP = (
    "Size of the exported file, or for C of its constants, computed with the weights of the chosen or newest checkpoint"
)


class SizeQuestion(NamedTuple):
    """State, format and options whose size is asked for: the arguments of :meth:`Launcher.export_size`."""

    directory: str
    checkpoint: str
    book: SettingsBook
    step: Optional[int]
    format: str
    options: Dict[str, Any]


class SizeView(QtWidgets.QWidget):
    """Text with the size, which is computed on another thread, and notes on it; empty if nothing is asked."""

    def __init__(self, launcher: Launcher, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self._question: Optional[SizeQuestion] = None
        self._worker = CheckWorker(lambda question: launcher.export_size(*question), self)
        self.size_text, self.notes = Label(wordWrap=True), Label(wordWrap=True)
        self.size_text.setToolTip(_TIP)
        self.size_text.setAccessibleName("Size")
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        rows.addWidget(self.size_text)
        rows.addWidget(self.notes)
        self._worker.answered.connect(self._on_answered)
        self._worker.failed.connect(self._on_failed)
        theme.changed.connect(self._apply_theme)
        self._apply_theme()
        self._show("")

    def ask(self, question: Optional[SizeQuestion]) -> None:
        """Show the size for a question as soon as it is known; None: show nothing."""
        if question == self._question:
            return
        self._question = question
        if question is None:
            self._worker.forget()
            self._show("")
        else:
            self._show(_COMPUTING)
            self._worker.ask(question)

    def _on_answered(self, question: SizeQuestion, size: ExportSize) -> None:
        self._show("\n".join(size.lines), "\n".join(size.notes))

    def _on_failed(self, question: SizeQuestion, problem: QatvizError) -> None:
        self._show(f"Unknown: {problem}")

    def _show(self, text: str, notes: str = "") -> None:
        self.size_text.setText(text)
        self.notes.setText(notes)
        self.notes.setVisible(bool(notes))

    def _apply_theme(self) -> None:
        palette = QtGui.QPalette(QtWidgets.QApplication.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color("muted"))
        self.notes.setPalette(palette)
