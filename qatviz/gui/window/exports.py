"""Exports of a window: the dialog where there is one, and what is told of an export that goes on while it is closed."""

from typing import TYPE_CHECKING, Optional

from PyQt5 import QtWidgets

from qatviz.gui.model.exporting import Ended, Exporter
from qatviz.gui.model.run_model import RUN
from qatviz.gui.widgets.banner import BAD, GOOD

if TYPE_CHECKING:
    from qatviz.gui.dialogs.export.dialog import ExportDialog
    from qatviz.gui.window.main_window import MainWindow


class Exports:
    """Made with the window; the dialog is made when it is first asked for."""

    def __init__(self, window: "MainWindow"):
        self._window = window
        self.exporter: Optional[Exporter] = None
        self.dialog: Optional[ExportDialog] = None
        self.status: Optional[QtWidgets.QToolButton] = None

    def open(self) -> None:
        """Show the dialog, for the run that is shown."""
        if self.dialog is None:
            self._set_up()
        self.dialog.open_for(self._directory())

    def cancel(self) -> None:
        """The window is about to close: have what goes on end."""
        if self.exporter is not None:
            self.exporter.cancel()

    def close(self) -> None:
        """Nothing goes on any more."""
        if self.exporter is not None:
            self.exporter.close()
            self.dialog.close()

    def _set_up(self) -> None:
        from qatviz.gui.dialogs.export.dialog import ExportDialog  # the window is on screen sooner

        window = self._window
        self.exporter = Exporter(window.model, window.launcher.export_command, window)
        self.dialog = ExportDialog(window.context, window.launcher, self.exporter, window)
        self.status = QtWidgets.QToolButton(autoRaise=True, toolTip="An export goes on; click to see it")
        window.statusBar().addWidget(self.status)
        self.status.hide()
        self.status.clicked.connect(self.open)
        self.exporter.progressed.connect(self._on_progressed)
        self.exporter.ended.connect(self._on_ended)
        window.model.changed.connect(self._on_topic)

    def _directory(self) -> str:
        prepared = self._window.prepared
        return prepared.directory if prepared is not None else ""

    def _on_topic(self, topic: str) -> None:
        if topic == RUN and self.dialog.isVisible():
            self.dialog.form.show_run(self._directory())

    def _on_progressed(self, what: str, share: float) -> None:
        text = f"exporting {share:.0%}"
        if self.status.text() != text:
            self.status.setText(text)
        self.status.setVisible(True)

    def _on_ended(self, ended: Ended) -> None:
        self.status.hide()
        if self.dialog.isVisible() or not (ended.message or ended.record):
            return
        if ended.record is None:
            self._window.banner.say(f"The export failed: {ended.message}", BAD, ended.details)
            return
        faults = ended.record.get("faults")
        text = f"Exported to {ended.wanted.path}{'; it does not compute what it should' if faults else ''}"
        self._window.banner.say(text, BAD if faults else GOOD, "", "Show", self.open)
