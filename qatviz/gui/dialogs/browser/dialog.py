"""List of the recorded runs of a folder: search, sort, label, open, compare, delete."""

import os
import re
from typing import Callable, Dict, List, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.errors import QatvizError
from qatviz.gui.dialogs.browser.labels import LabelsForm
from qatviz.gui.dialogs.browser.table import RunsTable
from qatviz.gui.dialogs.files_there import ask_folder
from qatviz.gui.dialogs.records_window import READING, RecordsWindow
from qatviz.gui.model.context import Context
from qatviz.gui.model.folders import folder_of_runs
from qatviz.gui.model.launcher import RUNS, Launcher
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.labels import Label
from qatviz.number_format import bytes_text, count
from qatviz.telemetry.record.labels import LONGEST_TAG, write_labels
from qatviz.telemetry.run_summary import Catalogue, RunSummary

_EMPTY = "There are no recorded runs in {}.\nEvery run of the window is recorded there; “Folder…” shows another folder."
_NOT_FOUND = "No run matches “{}”."
#: Maximum number of runs that are opened at once, each in a window.
MOST_OPENED = 8
#: Names of folders that a sweep gives its runs unchanged as a tag.
_TAG = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_TAG}}}")
_SIZE, _FORM_WIDTH = QtCore.QSize(1180, 640), 260


class RunsDialog(RecordsWindow):
    """Window with the list of runs; it stays open beside the main window."""

    #: Emitted with the directories of runs to show: one in the main window, several in windows of their own.
    open_wanted = QtCore.pyqtSignal(list)
    #: Emitted with the directories of runs to compare, from top to bottom.
    compare_wanted = QtCore.pyqtSignal(list)

    def __init__(self, context: Context, launcher: Launcher, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(context, launcher, "runs", _SIZE, -_FORM_WIDTH, parent)
        self.setWindowTitle(" – ".join(filter(None, ["Runs", launcher.place, "qatviz"])))
        self._write_labels = launcher.write_labels if launcher.place else write_labels
        self._folder = folder_of_runs(context.settings)
        self._catalogue: Optional[Catalogue] = None
        self._setup_ui()
        self._layout()
        self._connect()
        self.restore()
        self.apply_theme()
        self.refresh()

    def _setup_ui(self) -> None:
        self.search = QtWidgets.QLineEdit(accessibleName="Search", clearButtonEnabled=True)
        self.search.setPlaceholderText("Search: words of names, networks, data, notes; #tag")
        self.table = RunsTable(self.context.theme)
        self.form = LabelsForm(self._write_labels)
        self.empty = EmptyText(self.table.viewport())
        self.status = Label()
        self.choose = push_button("Folder…", "Show the runs of another folder")
        self.reload.setToolTip("Read the folder again (F5)")
        self.open_button = push_button("Open", "Show the selected run (Enter); several: each in a window of its own")
        self.compare_button = push_button("Compare", "Compare the selected runs with the topmost (Ctrl+D)")
        self.delete_button = push_button("Delete…", "Move the selected runs to the trash (Delete)")

    def _layout(self) -> None:
        self.top.addWidget(self.search, 1)
        self.top.addWidget(self.choose)
        self.top.addWidget(self.reload)
        self.add_parts([self.table, self.form])
        self.bottom.addWidget(self.status, 1)
        for button in (self.delete_button, self.compare_button, self.open_button):
            self.bottom.addWidget(button)

    def _connect(self) -> None:
        self.search.textChanged.connect(self._on_search)
        self.choose.clicked.connect(self._on_choose)
        self.open_button.clicked.connect(self.open_selected)
        self.compare_button.clicked.connect(self.compare_selected)
        self.delete_button.clicked.connect(self.delete_selected)
        self.table.open_wanted.connect(self.open_selected)
        self.table.delete_wanted.connect(self.delete_selected)
        self.table.runs.renamed.connect(self._on_renamed)
        self.table.selectionModel().selectionChanged.connect(self._on_selection)
        self.table.runs.modelReset.connect(self._on_selection)
        self.form.changed.connect(lambda directories: self._read_again())
        self.form.failed.connect(self.show_failure)
        self.launcher.works[RUNS].found.connect(self._on_read)
        self.launcher.works[RUNS].failed.connect(self._on_failed)
        for keys, slot in (("Ctrl+F", self._focus_search), ("Ctrl+D", self.compare_selected)):
            QtWidgets.QShortcut(QtGui.QKeySequence(keys), self, slot)
        for text, slot in (
            ("Open", self.open_selected),
            ("Compare", self.compare_selected),
            ("Rename", self._rename),
            ("Delete…", self.delete_selected),
        ):
            action = QtWidgets.QAction(text, self.table)
            action.triggered.connect(lambda _, slot=slot: slot())
            self.table.addAction(action)

    # The list

    def refresh(self) -> None:
        """Read the folder again."""
        self.form.commit()
        self._read_again()

    def _read_again(self) -> None:
        if self._catalogue is None or not self._catalogue.runs:
            self.empty.show_text(READING)
        self.launcher.read_runs(self._folder)

    def _on_read(self, catalogue: Catalogue) -> None:
        is_first = self._catalogue is None or self._catalogue.folder != catalogue.folder
        self._catalogue = catalogue
        self.table.show_runs(catalogue.runs)
        if is_first and not self.table.has_chosen_columns:
            self.table.fit()
        if is_first and self.table.runs.rows and not self.table.selected():
            self.table.selectRow(0)
        self._update()

    def _on_failed(self, text: str) -> None:
        self.empty.show_text("")
        self.show_failure(text)

    def _on_search(self, text: str) -> None:
        self.table.search(text)
        self._update()

    def _on_choose(self) -> None:
        folder = ask_folder(self, "Folder of runs", self._folder)
        if folder:
            self.show_folder(folder)

    def show_sweep(self, folder: str) -> None:
        """List the runs of a sweep: by its tag if its folder is in the present one."""
        folder = os.path.abspath(folder)
        parent, name = os.path.split(folder)
        if parent == os.path.abspath(os.path.expanduser(self._folder)) and _TAG.fullmatch(name):
            self.search.setText(f"#{name}")
            self.refresh()
        else:
            self.search.clear()
            self.show_folder(folder)

    def show_folder(self, folder: str) -> None:
        """List the runs of another folder."""
        self._folder = folder
        self._catalogue = None
        self.table.show_runs([])
        self.refresh()

    def _focus_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    def _on_selection(self, *_: object) -> None:
        self.form.show_runs(self.table.selected())
        self._update()

    def _update(self) -> None:
        selected, catalogue = self.table.selected(), self._catalogue
        readable = [run for run in selected if not run.error]
        self.open_button.setEnabled(0 < len(readable) <= MOST_OPENED)
        self.open_button.setText("Open" if len(readable) < 2 else f"Open {len(readable)}")
        self.compare_button.setEnabled(len(readable) > 1)
        self.delete_button.setEnabled(bool(selected))
        if catalogue is None:
            self.status.setText("")
            return
        shown, everything = self.table.runs.rows, catalogue.runs
        text = count(len(shown), "run") + (f" of {len(everything):,}" if len(shown) < len(everything) else "")
        text += f" in {catalogue.folder}, {bytes_text(sum(run.record_bytes for run in shown))} on disk"
        if catalogue.omitted:
            text += f"; {count(catalogue.omitted, 'older run')} not listed"
        self.status.setText(text)
        is_searching = bool(everything) and not shown
        note = _NOT_FOUND.format(self.search.text()) if is_searching else _EMPTY.format(catalogue.folder)
        self.empty.show_text("" if shown else note)

    # What is done with runs

    def open_selected(self) -> None:
        """Ask the main window to show the selected runs."""
        directories = [run.directory for run in self.table.selected() if not run.error]
        if 0 < len(directories) <= MOST_OPENED:
            self.open_wanted.emit(directories)

    def compare_selected(self) -> None:
        """Ask the main window to compare the selected runs."""
        directories = [run.directory for run in self.table.selected() if not run.error]
        if len(directories) > 1:
            self.compare_wanted.emit(directories)

    def _rename(self) -> None:
        index = self.table.currentIndex()
        if index.isValid():
            self.table.edit(self.table.runs.index(index.row(), 0))

    def _on_renamed(self, run: RunSummary, name: str) -> None:
        is_default = name.strip() == os.path.basename(run.directory)
        try:
            self._write_labels(run.directory, run.labels._replace(name="" if is_default else name))
        except QatvizError as error:
            self.show_failure(str(error))
        self._read_again()

    def delete_selected(self) -> None:
        """Move the selected runs to the trash, after confirmation."""
        runs = self.table.selected()
        if not runs:
            return
        what = f"“{runs[0].name}”" if len(runs) == 1 else f"{len(runs)} runs"
        size = bytes_text(sum(run.record_bytes for run in runs))
        buttons = QtWidgets.QMessageBox.Yes | QtWidgets.QMessageBox.Cancel
        text = f"Move {what} to the trash, with all checkpoints and reports ({size})?"
        answer = QtWidgets.QMessageBox.question(self, "Delete runs", text, buttons, QtWidgets.QMessageBox.Cancel)
        if answer != QtWidgets.QMessageBox.Yes:
            return
        self.banner.dismiss()
        failures: List[str] = []
        for run in runs:
            try:
                self.launcher.delete_run(run.directory)
            except QatvizError as error:
                failures.append(str(error))
        if failures:
            self.show_failure("\n".join(failures))
        self._read_again()

    # The window

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        self.table.apply_theme()

    def _stored(self) -> Dict[str, Callable[[], QtCore.QByteArray]]:
        return {**super()._stored(), "header": self.table.horizontalHeader().saveState}

    def _restoring(self) -> Dict[str, Callable[[QtCore.QByteArray], object]]:
        return {**super()._restoring(), "header": self.table.restore_columns}

    def done(self, result: int) -> None:
        """Write what was typed, and remember the layout."""
        self.form.commit()
        super().done(result)
