"""Export dialog: form, progress and result of an export. It blocks neither the window nor training."""

from typing import Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.dialogs.export.form import ExportForm
from qatviz.gui.dialogs.export.result import ExportResult
from qatviz.gui.model.context import Context
from qatviz.gui.model.exporting import EndedExport, Exporter
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.scrolled import Scrolled, screen_room

_SIZE = QtCore.QSize(1080, 640)  # wide enough for the table of layers
#: Maximum of the progress bar.
_PARTS = 1000


class ExportDialog(QtWidgets.QDialog):
    """Export dialog; closing it does not cancel a running export.

    Parameters
    ----------
    context : Context
    launcher : Launcher
    exporter : Exporter
    """

    def __init__(
        self, context: Context, launcher: Launcher, exporter: Exporter, parent: Optional[QtWidgets.QWidget] = None
    ):
        super().__init__(parent)
        self.setWindowTitle("Export model")
        self._theme, self.exporter = context.theme, exporter
        self.form, self.result = ExportForm(context, launcher), ExportResult(context.theme)
        self._setup_ui()
        self._layout()
        self._connect()
        self._show_page(self.form)

    def _setup_ui(self) -> None:
        self.pages = QtWidgets.QStackedWidget()
        for page in (self.form, self.result):
            area = Scrolled(page)
            area.limit_minimum(screen_room())
            self.pages.addWidget(area)
        self.what, self.problem = Label(), Label(wordWrap=True)
        self.bar = QtWidgets.QProgressBar(maximum=_PARTS)
        self.bar.setAccessibleName("Progress of the export")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.start, self.again = QtWidgets.QPushButton("Export"), QtWidgets.QPushButton("Export another")
        self.cancel, self.shut = QtWidgets.QPushButton("Cancel export"), QtWidgets.QPushButton("Close")
        self.start.setToolTip("Write the file, run it on held-out examples, and compare it with the evaluation")
        self.again.setToolTip("Return to the list of formats")
        self.cancel.setToolTip("Cancel the export; nothing is written")
        self.shut.setToolTip("Close this dialog; a running export continues, with its progress in the status bar")
        for button in (self.again, self.cancel, self.shut):
            button.setAutoDefault(False)
        self.start.setDefault(True)

    def _layout(self) -> None:
        buttons = QtWidgets.QHBoxLayout()
        progress = QtWidgets.QVBoxLayout()
        progress.setSpacing(3)
        for part in (self.problem, self.what, self.bar):
            progress.addWidget(part)
        buttons.addLayout(progress, 1)
        buttons.addSpacing(12)
        for button in (self.start, self.again, self.cancel, self.shut):
            buttons.addWidget(button, 0, QtCore.Qt.AlignBottom)
        rows = QtWidgets.QVBoxLayout(self)
        rows.setSpacing(10)
        rows.addWidget(self.pages, 1)
        rows.addLayout(buttons)
        self.resize(_SIZE)

    def _connect(self) -> None:
        self.form.changed.connect(self._update_buttons)
        self.exporter.progressed.connect(self._on_progressed)
        self.exporter.ended.connect(self._on_ended)
        self.start.clicked.connect(self._on_start)
        self.again.clicked.connect(lambda: self._show_page(self.form))
        self.cancel.clicked.connect(lambda: self.exporter.cancel())
        self.shut.clicked.connect(self.close)
        self._theme.changed.connect(self._update_buttons)

    def open_for(self, directory: str) -> None:
        """Show the dialog for the window's run, recorded in ``directory`` (empty: not recorded)."""
        self.form.show_run(directory)
        self._update_buttons()
        self.show()
        self.raise_()
        self.activateWindow()

    def hideEvent(self, event: QtGui.QHideEvent) -> None:
        super().hideEvent(event)
        if not event.spontaneous():
            self._show_page(self.form)  # not the last result

    # Implementation

    def _show_page(self, page: QtWidgets.QWidget) -> None:
        self.pages.setCurrentIndex((self.form, self.result).index(page))
        self._update_buttons()

    def _update_buttons(self) -> None:
        """Enable and show the buttons that apply; show the reason why the run can't be exported."""
        is_busy, is_form = self.exporter.is_busy, self.pages.currentIndex() == 0
        problem = "" if is_busy or not is_form else self.form.problem()
        self.form.setEnabled(not is_busy)
        self.start.setVisible(is_form and not is_busy)
        self.start.setEnabled(not problem)
        self.again.setVisible(not is_form)
        for part in (self.what, self.bar, self.cancel):
            part.setVisible(is_busy)
        palette = QtGui.QPalette(QtWidgets.QApplication.palette())
        palette.setColor(QtGui.QPalette.WindowText, self._theme.color("muted"))
        self.problem.setPalette(palette)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def _on_start(self) -> None:
        self.form.refresh()
        if self.form.problem():
            self._update_buttons()
            return
        self.form.remember()
        self.cancel.setEnabled(True)
        self.exporter.begin(self.form.request)
        self.form.forget_consent()
        self._update_buttons()

    def _on_progressed(self, what: str, fraction: float) -> None:
        self.what.setText(f"{what[:1].upper() + what[1:]}… {100 * fraction:.0f} %")
        self.bar.setValue(int(_PARTS * fraction))

    def _on_ended(self, ended: EndedExport) -> None:
        if ended.record is None and not ended.message:
            self._show_page(self.form)
            return
        self.result.show_ended(ended)
        self._show_page(self.result)
        self.again.setText("Export another" if ended.record is not None else "Back")
