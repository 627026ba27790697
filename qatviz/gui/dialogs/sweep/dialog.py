"""Windows that train several runs from one checkpoint of the shown run: an A/B trial, and a sweep."""

import os
import posixpath
from typing import List, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import QatvizError, SettingError
from qatviz.gui.dialogs.files_there import ask_folder
from qatviz.gui.dialogs.records_window import RecordsWindow
from qatviz.gui.dialogs.sweep.form import ChangeBuilder, ChangesField, StartForm
from qatviz.gui.dialogs.sweep.progress import ProgressTable
from qatviz.gui.model.availability import ACTIVE_STATES
from qatviz.gui.model.context import Context
from qatviz.gui.model.folders import folder_of_runs, new_run_folder
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.model.run_model import RUN, STATE
from qatviz.gui.widgets.banner import GOOD, NOTE
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.labels import Label
from qatviz.number_format import count
from qatviz.protocol.commands import SaveCheckpoint
from qatviz.protocol.events import CheckpointSaved, Event
from qatviz.protocol.reasons import SaveKind
from qatviz.session.sweep_request import FAILED, FINISHED, SKIPPED, TRAINING, Begun, Report, SweepRequest
from qatviz.settings import setting_text

_SIZE, _FORM_WIDTH = QtCore.QSize(1180, 640), 420
_NO_CHECKPOINT = "The run has no checkpoint to start from yet: save its present state."
_NO_RUNS = "The runs are listed here once they are started."
#: States of runs that have records, so that they can be compared.
_RECORDED = (TRAINING, FINISHED, SKIPPED, FAILED)


class SweepWindow(RecordsWindow):
    """Form at the left; at the right the runs that it started, with their progress.

    Closing the window does not stop the runs: the action that opened it shows it again. All is done on the machine of
    the launcher.
    """

    #: Emitted with directories of runs to compare, and that of the run to draw differences to (empty: none).
    compare_wanted = QtCore.pyqtSignal(list, str)
    #: Emitted with a folder whose runs are to be listed.
    list_wanted = QtCore.pyqtSignal(str)

    #: Title of the window, prefix of the keys of its layout, suffix of the names of its folders, explanation.
    title, name, stem, about = "Sweep", "sweep", "sweep", ""

    def __init__(self, context: Context, launcher: Launcher, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(context, launcher, self.name, _SIZE, _FORM_WIDTH, parent)
        self.setWindowTitle(f"{self.title} – qatviz")
        self.directory = ""  # of the shown run
        self.out = ""  # of the sweep
        self._is_training, self._is_trial = False, False  # whether runs train, and whether they are an A/B trial
        self._setup_ui()
        self._layout()
        self._connect()
        self.restore()
        self.apply_theme()

    def _setup_ui(self) -> None:
        self.explanation = Label(self.about, wordWrap=True)
        self.start = StartForm()
        self.place = QtWidgets.QLineEdit(accessibleName="Folder of the runs")
        self.place.setToolTip("Folder in which the runs are recorded")
        self.table = ProgressTable(self.context.theme)
        self.empty = EmptyText(self.table.viewport())
        self.bar = QtWidgets.QProgressBar(accessibleName="Runs done", format="%v of %m runs")
        self.status = Label()
        self.reload.setToolTip("Read the list of checkpoints again (F5)")
        self.go = push_button("Start", "Train the runs in processes of their own (Ctrl+Enter)")
        self.resume = push_button(
            "Continue…", "Choose the folder of a sweep that was stopped, and train the rest of it"
        )
        self.stop = push_button("Stop", "Stop the runs that train; they save their states, and can be continued")
        self.compare = push_button("Compare", "Compare the runs, also while they train")
        self.show_list = push_button("Show in list", "List the runs with their results")

    def editors(self) -> List[QtWidgets.QWidget]:
        """Return the widgets that state what differs between the runs."""
        raise NotImplementedError

    def requested(self, out: str) -> SweepRequest:
        """Return the request for what the form says; SettingError if a field is invalid."""
        raise NotImplementedError

    def _layout(self) -> None:
        form = QtWidgets.QWidget()
        rows = QtWidgets.QVBoxLayout(form)
        rows.setContentsMargins(0, 0, 6, 0)
        rows.addWidget(self.explanation)
        for widget in self.editors():
            rows.addWidget(widget, int(isinstance(widget, ChangesField)))
        rows.addWidget(self.start)
        rows.addWidget(Label("Folder of the runs"))
        rows.addWidget(self.place)
        buttons = QtWidgets.QHBoxLayout()
        buttons.addWidget(self.reload)
        buttons.addStretch(1)
        buttons.addWidget(self.resume)
        buttons.addWidget(self.go)
        rows.addLayout(buttons)
        self.add_parts([form, self.table])
        self.bottom.addWidget(self.status, 1)
        self.bottom.addWidget(self.bar, 1)
        for button in (self.stop, self.show_list, self.compare):
            self.bottom.addWidget(button)
        self._form = form
        self._update()

    def _connect(self) -> None:
        self.go.clicked.connect(self.begin)
        self.resume.clicked.connect(self._on_resume)
        self.stop.clicked.connect(lambda: self.launcher.stop_sweep(self.out))
        self.compare.clicked.connect(self._on_compare)
        self.show_list.clicked.connect(lambda: self.list_wanted.emit(self.out))
        self.start.save.clicked.connect(self._on_save)
        self.context.model.happened.connect(self._on_event)
        self.context.model.changed.connect(self._on_topic)
        self.launcher.sweep_begun.connect(self._on_begun)
        self.launcher.sweep_reported.connect(self._on_reported)
        self.launcher.sweep_ended.connect(self._on_ended)
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QtWidgets.QShortcut(keys, self, self.begin)

    # The form

    def show_run(self, directory: str) -> None:
        """Offer the checkpoints of the run in ``directory``, and suggest a new folder."""
        self.directory = directory
        self.refresh()
        if not self._is_training:
            self._suggest()

    def refresh(self) -> None:
        """Read the list of checkpoints again."""
        self._read_checkpoints()

    def _read_checkpoints(self, chosen: str = "") -> None:
        try:
            known = self.launcher.checkpoints(self.directory) if self.directory else []
        except QatvizError as error:
            self.show_failure(str(error))
            return
        self.start.show_checkpoints([(info.name, f"step {info.step:,}: {info.name}") for info in known], chosen)
        if known:
            self.banner.dismiss()
        else:
            self.banner.show_message(_NO_CHECKPOINT, NOTE)
        self._update()

    def _on_save(self) -> None:
        try:
            self.context.model.send(SaveCheckpoint())
        except QatvizError as error:
            self.show_failure(str(error))

    def _on_event(self, event: Event) -> None:
        if isinstance(event, CheckpointSaved) and event.reason.kind is SaveKind.REQUESTED and self.isVisible():
            self._read_checkpoints(event.name)

    def _on_topic(self, topic: str) -> None:
        if topic in (RUN, STATE):
            self._update()

    def _suggest(self) -> None:
        try:
            self.place.setText(new_run_folder(self.context.settings, self.launcher, self.stem))
        except QatvizError:  # there is no folder of runs, or the other machine does not answer
            self.place.clear()

    def begin(self) -> None:
        """Train the runs that the form asks for."""
        if not self.go.isEnabled():
            return
        place = self.place.text().strip()
        try:
            if not place:
                raise SettingError("“Folder of the runs” is empty: expected the path of a new folder")
            if not self.launcher.place:
                place = os.path.abspath(os.path.expanduser(place))
            elif not posixpath.isabs(place):
                raise SettingError(f"{place}: expected an absolute path on {self.launcher.place}")
            request = self.requested(place)
        except QatvizError as error:
            self.show_failure(str(error))
        else:
            self._begin(request)

    def _begin(self, request: SweepRequest) -> None:
        self.banner.dismiss()
        self.out, self._is_training = request.out, True
        self.table.show_runs([])
        self.bar.setValue(0)
        self.status.setText("Preparing the runs…")
        self._update()
        self.launcher.begin_sweep(request)

    def _on_resume(self) -> None:
        folder = folder_of_runs(self.context.settings)
        path = ask_folder(self, "Continue the sweep in", folder)
        if path:
            self._begin(SweepRequest(path, self.start.processes.value()))

    # Progress

    def _on_begun(self, begun: Begun) -> None:
        if begun.directory == self.out:
            self._is_trial = begun.is_trial
            self.table.show_runs(begun.runs)
            self.bar.setMaximum(len(begun.runs))
            self.status.setText(f"{count(len(begun.runs), 'run')} in {begun.directory}")
            self._update()

    def _on_reported(self, directory: str, report: Report) -> None:
        if directory != self.out:
            return
        before = self.table.names_in(*_RECORDED)
        self.table.show_report(report)
        self.bar.setValue(report.done)
        self._update()
        if self._is_trial and len(before) == 1 and len(self.table.names_in(*_RECORDED)) == 2 and self._is_training:
            self._on_compare()  # the difference is drawn live

    def _on_ended(self, directory: str, problem: str) -> None:
        if directory != self.out:
            return
        self._is_training = False
        failed, runs = len(self.table.names_in(FAILED)), len(self.table.states)
        done = len(self.table.names_in(FINISHED, SKIPPED))
        if problem:
            self.show_failure(problem)
            self.status.setText("")
        elif failed:
            self.show_failure(f"{count(failed, 'run')} failed: the reasons are in the .log files in {directory}")
        elif done == runs:
            self.banner.show_message(f"{'The run has' if runs == 1 else f'All {runs} runs have'} finished.", GOOD)
        else:
            self.banner.show_message(f"Stopped after {done} of {runs} runs; “Continue…” trains the rest.", NOTE)
        if not problem:
            self._suggest()
        self._update()

    def _update(self) -> None:
        recorded = self.table.names_in(*_RECORDED)
        self._form.setEnabled(not self._is_training)
        self.go.setEnabled(not self._is_training and self.start.checkpoint.count() > 0)
        self.start.save.setEnabled(self.context.model.state in ACTIVE_STATES)
        self.stop.setEnabled(self._is_training)
        self.bar.setVisible(bool(self.table.states))
        self.compare.setEnabled(len(recorded) > 1)
        self.show_list.setEnabled(bool(recorded))
        self.empty.show_text("" if self.table.states or self._is_training else _NO_RUNS)

    def _on_compare(self) -> None:
        """Ask for a comparison of the runs that have records."""
        join = posixpath.join if self.launcher.place else os.path.join
        found = [join(self.out, name) for name in self.table.names_in(*_RECORDED)]
        self.compare_wanted.emit(found, found[0] if self._is_trial else "")

    def leave(self) -> None:
        """Stop the runs that train, except on another machine, and close the window."""
        if self._is_training and not self.launcher.place:
            self.launcher.stop_sweep(self.out)
        self.close()

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        self.table.apply_theme()


class VaryWindow(SweepWindow):
    """Training of all combinations of settings and seeds."""

    about = "Train all combinations of these settings, each with all seeds, from one checkpoint."

    def _setup_ui(self) -> None:
        super()._setup_ui()
        self.variations = ChangesField(
            "Settings that vary",
            "*.weights.num_bits=8,4,3\nrun.learning_rate=1e-3,1e-4",
            "A setting in each line with its values, separated by commas. All combinations are trained.",
        )
        self.builder = ChangeBuilder([("Add", self.variations)], "values: 8,4,3", has_presets=True)

    def editors(self) -> List[QtWidgets.QWidget]:
        return [Label("Settings that vary"), self.variations, self.builder]

    def show_run(self, directory: str) -> None:
        super().show_run(directory)
        self.builder.show_book(self.context.model.book)

    def requested(self, out: str) -> SweepRequest:
        start = self.start
        return SweepRequest(
            out,
            start.processes.value(),
            self.directory,
            start.checkpoint.currentData(),
            start.steps.value,
            start.parsed_seeds(),
            self.variations.lines,
        )


class ForkBothWindow(SweepWindow):
    """Training of two settings on the same batches."""

    title, name, stem = "Fork both", "fork_both", "ab"
    about = (
        "Train two settings side by side from one checkpoint, on the same batches in the same order. The comparison "
        "that opens draws the difference of their losses while they train."
    )

    def _setup_ui(self) -> None:
        super()._setup_ui()
        form = "the settings of the checkpoint, or a change in each line:\n*.weights.num_bits=4"
        tip = "A change of settings in each line, in the form of qatviz train --set; a step may precede it: 500:…"
        self.sides = [ChangesField(f"Settings of {side}", form, tip) for side in ("A", "B")]
        targets = [(f"Add to {side}", field) for side, field in zip(("A", "B"), self.sides)]
        self.builder = ChangeBuilder(targets, "value: 4")

    def editors(self) -> List[QtWidgets.QWidget]:
        a, b = self.sides
        return [Label("Settings of A"), a, Label("Settings of B"), b, self.builder]

    def show_run(self, directory: str) -> None:
        super().show_run(directory)
        self.builder.show_book(self.context.model.book)
        self._show_pending()

    def _show_pending(self) -> None:
        """Fill side B with the pending changes, if there are any."""
        book, pending = self.context.model.book, self.context.edits.pending_book()
        if book is not None and pending is not None and not self._is_training:
            changes = [f"{change.setting}={setting_text(change.new)}" for change in book.differences(pending)]
            self.sides[1].setPlainText("\n".join(changes))

    def requested(self, out: str) -> SweepRequest:
        start, (a, b) = self.start, self.sides
        return SweepRequest(
            out,
            start.processes.value(),
            self.directory,
            start.checkpoint.currentData(),
            start.steps.value,
            start.parsed_seeds(),
            (),
            (a.lines, b.lines),
        )
