"""Exports of a window: their dialog, and the progress and result of an export whose dialog is closed."""

from typing import TYPE_CHECKING, Optional

from PyQt5 import QtWidgets

from qatviz.gui.model.exporting import EndedExport, Exporter
from qatviz.gui.model.run_model import RUN
from qatviz.gui.widgets.banner import BAD, GOOD
from qatviz.gui.window.base import RunWindow

if TYPE_CHECKING:
    from qatviz.gui.dialogs.export.dialog import ExportDialog


class Exports:
    """Owner of the export dialog, which is created when it is first needed."""

    def __init__(self, window: RunWindow):
        self._window = window
        self.exporter: Optional[Exporter] = None
        self.dialog: Optional[ExportDialog] = None
        self.status: Optional[QtWidgets.QToolButton] = None

    def open(self) -> None:
        """Show the dialog for the window's run."""
        dialog = self._set_up() if self.dialog is None else self.dialog
        dialog.open_for(self._window.directory)

    def cancel(self) -> None:
        """Cancel a running export, as the window is about to close."""
        if self.exporter is not None:
            self.exporter.cancel()

    def close(self) -> None:
        """End a running export and close the dialog."""
        if self.exporter is not None:
            self.exporter.close()
        if self.dialog is not None:
            self.dialog.close()

    def _set_up(self) -> "ExportDialog":
        from qatviz.gui.dialogs.export.dialog import ExportDialog  # imported late, so that the window opens sooner

        window = self._window
        self.exporter = Exporter(window.model, window.launcher.export_command, window)
        self.dialog = ExportDialog(window.context, window.launcher, self.exporter, window)
        self.status = QtWidgets.QToolButton(autoRaise=True, toolTip="An export is running; click to open its dialog")
        window.statusBar().addWidget(self.status)
        self.status.hide()
        self.status.clicked.connect(self.open)
        self.exporter.progressed.connect(self._on_progressed)
        self.exporter.ended.connect(self._on_ended)
        window.model.changed.connect(self._on_topic)
        return self.dialog

    def _on_topic(self, topic: str) -> None:
        if topic == RUN and self.dialog is not None and self.dialog.isVisible():
            self.dialog.form.show_run(self._window.directory)

    def _on_progressed(self, what: str, fraction: float) -> None:
        assert self.status is not None, "it is made with the exporter"
        text = f"exporting {100 * fraction:.0f} %"
        if self.status.text() != text:
            self.status.setText(text)
        self.status.setVisible(True)

    def _on_ended(self, ended: EndedExport) -> None:
        assert self.status is not None, "it is made with the exporter"
        self.status.hide()
        is_dialog_visible = self.dialog is not None and self.dialog.isVisible()
        if is_dialog_visible or not (ended.message or ended.record):
            return
        if ended.record is None:
            self._window.banner.show_message(f"The export failed: {ended.message}", BAD, ended.details)
            return
        faults = ended.record.get("faults")
        text = f"Exported to {ended.request.out}{'; its results are not as expected' if faults else ''}"
        self._window.banner.show_message(text, BAD if faults else GOOD, "", "Show", self.open)
