"""Handlers of the window's actions."""

import os
from dataclasses import replace
from functools import partial
from typing import Callable, Dict, List, Tuple

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz import __version__
from qatviz.errors import QatvizError, prefixed
from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.dialogs.files_there import ask_file, ask_folder
from qatviz.gui.model.folders import (
    DATA,
    FIGURES,
    RECIPES,
    TENSORBOARD,
    figures_folder,
    folder_of_runs,
    new_run_folder,
    start_folder,
)
from qatviz.gui.model.new_run import DATA_FILES
from qatviz.gui.panels.declarations import DECIDE, PANELS
from qatviz.gui.widgets.banner import GOOD, WARNING
from qatviz.gui.widgets.controls.number_box import commit_focused_box
from qatviz.gui.widgets.figures.ask_file import ask_for_file
from qatviz.gui.widgets.figures.figure import save_csv, save_png
from qatviz.gui.window import actions as a
from qatviz.gui.window.base import RunWindow
from qatviz.gui.window.exports import Exports
from qatviz.gui.window.record_windows import RecordWindows
from qatviz.protocol import commands as c
from qatviz.protocol.corrections import CORRECTION_KINDS
from qatviz.protocol.recipe import read_recipe, recipe_of, write_recipe
from qatviz.session.request import ForkRequest, OpenRequest, ResumeRequest
from qatviz.telemetry.run_handle import PAUSED, RUNNING
from qatviz.tensorflow_presence import EXPORTING, TRAINING, WRITING_EVENTS

#: Number of training steps that "Train longer" adds to a finished run.
MORE_STEPS = 2000
_SMALLEST_FONT, _LARGEST_FONT = 7, 24
#: Filters of file dialogs; a recipe is also in the record of an export's proof.
_RECIPE_FILE = "Recipe (*.json)"
_RECIPE_FILES = f"{_RECIPE_FILE};;All files (*)"
_FONT, _THEME = "window/font_points", "window/theme"


class WindowActions:
    """Handlers of the actions: a method for each name in :data:`qatviz.gui.window.actions.DECLARATIONS`."""

    def __init__(self, window: RunWindow, exports: Exports):
        self._window, self._exports = window, exports
        self._records = RecordWindows(window, self.open_path)
        window.launcher.report_written.connect(self._on_report_written)

    def by_name(self) -> Dict[str, Callable[[], None]]:
        """Return the handlers of all actions."""
        own = {name: getattr(self, name) for name in a.DECLARATIONS if hasattr(self, name)}
        return {**own, **{kind.name: partial(self.correct, kind.command()) for kind in CORRECTION_KINDS.values()}}

    # Files

    def new_run(self, data: str = "", model: str = "") -> None:
        if self._is_refused(TRAINING):
            return
        from qatviz.gui.dialogs.new_run.dialog import NewRunDialog  # imported late, so that the window opens sooner

        window = self._window
        dialog = NewRunDialog(window.context, window.launcher, window)
        if data:
            dialog.open_data(data)
        if model:
            dialog.open_model(model)
        dialog.wanted.connect(lambda request: window.launcher.begin(request))
        dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        dialog.open()

    def open_run(self) -> None:
        folder = os.path.dirname(self._window.directory) or folder_of_runs(self._window.settings)
        path = ask_folder(self._window, "Open run directory", folder)
        if path:
            self.open_path(path)

    def connect(self) -> None:
        from qatviz.gui.dialogs.connect import ConnectDialog

        dialog = ConnectDialog(self._window.settings, self._window)
        dialog.wanted.connect(self._window.connection_wanted)
        dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        dialog.open()

    def steer(self) -> None:
        run = self._window.model.run
        if run is not None:
            try:
                run.ask_to_steer()
            except QatvizError as error:  # no other window shows the run
                self._window.banner.show_message(f"Not asked to steer: {error}", WARNING)

    def runs(self) -> None:
        self._records.show_list()

    def leave(self) -> None:
        """Close the windows with recorded runs together with the main one."""
        self._records.close()

    def open_data(self) -> None:
        folder = start_folder(self._window.settings, DATA)
        path = ask_file(self._window, "Open data set", folder, DATA_FILES)
        if path:
            self.open_path(path)

    def open_path(self, path: str) -> None:
        """Show the run in a directory, or offer a new run with a model or data; show a message if it is neither."""
        try:
            kind = self._window.launcher.kind_of(path)
        except QatvizError as error:
            self._window.show_failure(str(error))
            return
        self._window.recent.add(path)
        if kind == "run":
            self._window.launcher.begin(OpenRequest(path))
        elif kind == "model":
            self.new_run(model=path)
        else:
            self.new_run(path)

    def close_run(self) -> None:
        if self._may_end("Close run"):
            self._window.close_run()

    def export(self) -> None:
        if self._is_refused(EXPORTING):
            return
        self._exports.open()

    def save_picture(self) -> None:
        self._save("Save picture of the window", "qatviz.png", "PNG (*.png)", lambda path: save_png(self._window, path))

    def save_table(self) -> None:
        layers = self._window.panels["layers"]
        self._save("Save table of tensors", "tensors.csv", "CSV (*.csv)", lambda path: save_csv(layers.table(), path))

    def report(self) -> None:
        window, directory = self._window, self._window.directory
        ask_for_file(
            window,
            "Save report",
            os.path.join(self._directory_here() or figures_folder(window.settings), "report.html"),
            "HTML (*.html)",
            lambda path: window.launcher.write_report(window.model, directory, path),
        )

    def _on_report_written(self, path: str) -> None:
        self._window.banner.show_message(
            f"Saved the report {path}",
            GOOD,
            "",
            "Open",
            lambda: QtGui.QDesktopServices.openUrl(QtCore.QUrl.fromLocalFile(path)),
        )

    def tensorboard(self) -> None:
        if self._is_refused(WRITING_EVENTS):
            return
        settings = self._window.settings
        defaults = [] if self._window.launcher.place else [self._window.directory, folder_of_runs(settings)]
        folder = start_folder(settings, TENSORBOARD, *defaults)
        path = QtWidgets.QFileDialog.getExistingDirectory(self._window, "Folder for TensorBoard files", folder)
        if path:
            settings.setValue(TENSORBOARD, path)
            self._window.launcher.write_tensorboard(self._window.model, path)

    def load_recipe(self) -> None:
        window = self._window
        path, _ = QtWidgets.QFileDialog.getOpenFileName(window, "Load recipe", self._recipes_folder(), _RECIPE_FILES)
        if path:
            try:
                recipe = read_recipe(path)
                with prefixed(path):
                    window.edits.apply_recipe(recipe)
            except QatvizError as error:
                window.show_failure(str(error))
            else:
                window.settings.setValue(RECIPES, os.path.dirname(path))

    def save_recipe(self) -> None:
        book = self._window.edits.pending_book() or self._window.model.book
        assert book is not None, "the action is disabled without a run"
        suggested = os.path.join(self._recipes_folder(), "recipe.json")
        recipe = recipe_of(book)
        self._ask_and_save("Save recipe", suggested, RECIPES, _RECIPE_FILE, lambda path: write_recipe(path, recipe))

    def _recipes_folder(self) -> str:
        return start_folder(self._window.settings, RECIPES, self._directory_here())

    def _directory_here(self) -> str:
        """Return the directory of the run on this machine; empty if it is on another one, or has none."""
        return "" if self._window.launcher.place else self._window.directory

    def quit(self) -> None:
        QtWidgets.QApplication.instance().closeAllWindows()

    # Settings

    def undo(self) -> None:
        self._window.edits.undo()

    def redo(self) -> None:
        self._window.edits.redo()

    def apply(self) -> None:
        commit_focused_box()
        self._window.edits.apply()

    def discard(self) -> None:
        self._window.edits.discard()

    def correct(self, command: c.Command) -> None:
        """Begin a correction of the network."""
        self._send(command)

    def cancel_correction(self) -> None:
        self._send(c.CancelCorrection())

    def more_bits(self) -> None:
        self._change_bits(1)

    def fewer_bits(self) -> None:
        self._change_bits(-1)

    def next_tensor(self) -> None:
        self._move_selection(1)

    def previous_tensor(self) -> None:
        self._move_selection(-1)

    # The run

    def pause(self) -> None:
        self._send(c.Resume() if self._window.model.state == PAUSED else c.Pause())

    def step(self) -> None:
        self._send(c.SingleStep())

    def step_10(self) -> None:
        self._send(c.SingleStep(10))

    def stop(self) -> None:
        self._window.model.request_stop()

    def continue_without(self) -> None:
        """Continue the run without the workers that it has lost."""
        self._send(c.ContinueWithout())

    def evaluate(self) -> None:
        """Evaluate the present state; in a run that has ended, under the settings shown."""
        if self._window.model.ended:
            self._window.docks.open("quantization")
            self._window.panels["quantization"].what_if.evaluate()
        else:
            self._send(c.Evaluate())

    def checkpoint(self) -> None:
        self._send(c.SaveCheckpoint())

    def go_back(self) -> None:
        self._send(c.Undo())

    def go_forward(self) -> None:
        self._send(c.Redo())

    def resume(self) -> None:
        self._window.launcher.begin(ResumeRequest(directory=self._window.directory))

    def train_longer(self) -> None:
        """Resume a finished run with more steps."""
        steps = self._window.model.step + MORE_STEPS
        self._window.launcher.begin(ResumeRequest(directory=self._window.directory, steps=steps))

    def fork(self) -> None:
        """Ask for a checkpoint, then start a second run from it in a new window."""
        window, network = self._window, self._window.model.network
        if network is None or self._is_refused(TRAINING):
            return
        directory = window.directory
        try:
            names = [info.name for info in window.launcher.checkpoints(directory)]
        except QatvizError as error:
            window.show_failure(str(error))
            return
        if not names:
            window.show_failure("There is no checkpoint to fork from yet: save one with Ctrl+S.")
            return
        name, accepted = QtWidgets.QInputDialog.getItem(
            window, "Fork", "Start a second run from this checkpoint:", names, len(names) - 1, False
        )
        if accepted:
            self._begin_fork(network.name, ForkRequest(directory=directory, checkpoint=name))

    def fork_with_relu(self) -> None:
        """Start a second run from the newest checkpoint, with ReLU in place of each ReLU6, in a new window."""
        window, network = self._window, self._window.model.network
        assert network is not None, "it is offered by a run"
        self._begin_fork(network.name, ForkRequest(directory=window.directory, replace_relu6=True))

    def _begin_fork(self, network: str, request: ForkRequest) -> None:
        """Begin a fork, recorded to a new directory, in a new window."""
        window = self._window
        try:
            out = new_run_folder(window.settings, window.launcher, network)
        except QatvizError as error:
            window.show_failure(str(error))
        else:
            window.launcher.begin(replace(request, out=out), True)

    def fork_both(self) -> None:
        if self._is_refused(TRAINING):
            return
        self._records.fork_both()

    def sweep(self) -> None:
        if self._is_refused(TRAINING):
            return
        self._records.sweep()

    # The window

    def decide(self) -> None:
        self._window.docks.open(DECIDE.lower())

    def reset_layout(self) -> None:
        self._window.docks.arrange()

    def full_screen(self) -> None:
        self._window.setWindowState(self._window.windowState() ^ QtCore.Qt.WindowFullScreen)

    def larger(self) -> None:
        self._set_font(self._window.font().pointSize() + 1)

    def smaller(self) -> None:
        self._set_font(self._window.font().pointSize() - 1)

    def normal_size(self) -> None:
        self._set_font(0)

    def use_theme(self, name: str) -> None:
        """Apply the theme "dark", "light" or "system"."""
        self._window.settings.setValue(_THEME, name)
        self._window.theme.use(name)

    def shortcuts(self) -> None:
        from qatviz.gui.dialogs.shortcuts import ShortcutsDialog

        #: Titles of the panels that have a row, by the title of a group of rows.
        groups: Dict[str, Dict[Tuple[str, str], List[str]]] = {}
        for panel in PANELS:
            rows = groups.setdefault(f"{panel.group} panels" if panel.group else f"{panel.title} panel", {})
            for row in panel.key_rows():
                rows.setdefault(row, []).extend([panel.title] if panel.group else [])
        panels = [
            (title, [(": ".join(filter(None, [", ".join(names), text])), keys) for (text, keys), names in rows.items()])
            for title, rows in groups.items()
        ]
        dialog = ShortcutsDialog([*a.menu_keys(), *panels], self._window)
        dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        dialog.open()

    def glossary(self) -> None:
        from qatviz.gui.dialogs.glossary import GlossaryDialog

        dialog = GlossaryDialog(self._window.theme, self._window)
        dialog.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        dialog.open()

    def about(self) -> None:
        QtWidgets.QMessageBox.about(
            self._window,
            "About qatviz",
            f"<h3>qatviz {__version__}</h3><p>See and steer quantization-aware training while it runs.</p>",
        )

    def show_details(self, title: str, text: str) -> None:
        """Show a long text to read and copy."""
        dialog = DetailsDialog("Details", title, text, self._window)
        dialog.expand.setChecked(True)
        dialog.open()

    def may_close(self) -> bool:
        """Return whether the window can be closed; ask the user if an unrecorded run would be lost."""
        return bool(self._window.directory) or self._may_end("Close qatviz")

    # Implementation

    def _is_refused(self, work: str) -> bool:
        """Return whether work is impossible here, and show the reason; see :meth:`.Launcher.obstacle`."""
        reason = self._window.launcher.obstacle(work)
        if reason:
            self._window.show_failure(reason)
        return bool(reason)

    def _may_end(self, title: str) -> bool:
        """Return whether the run can be ended; ask the user if it trains."""
        window = self._window
        run = window.model.run
        if run is None or run.state not in (RUNNING, PAUSED) or not run.step or run.connection.place:
            return True
        if window.directory:
            text = f"Training will be stopped after step {run.step:,}; the run can be resumed. Close it?"
        else:
            text = f"This run is not recorded: its {run.step:,} training steps will be lost. Close anyway?"
        buttons = QtWidgets.QMessageBox.Close | QtWidgets.QMessageBox.Cancel
        answer = QtWidgets.QMessageBox.question(window, title, text, buttons, QtWidgets.QMessageBox.Cancel)
        return answer == QtWidgets.QMessageBox.Close

    def _send(self, command: c.Command) -> None:
        try:
            self._window.model.send(command)
        except QatvizError as error:
            self._window.show_failure(str(error))

    def _change_bits(self, by: int) -> None:
        edits = self._window.edits
        edits.change_bits(edits.scope.tensors(), by)

    def _move_selection(self, by: int) -> None:
        model = self._window.model
        names = [tensor.name for tensor in model.tensors]
        if names:
            name = names[(names.index(model.current) + by) % len(names)]
            model.select([name], name)

    def _set_font(self, points: int) -> None:
        points = points and min(max(points, _SMALLEST_FONT), _LARGEST_FONT)
        self._window.settings.setValue(_FONT, points)
        self._window.theme.set_font_points(points)

    def _save(self, title: str, name: str, kind: str, save: Callable[[str], None]) -> None:
        self._ask_and_save(title, os.path.join(figures_folder(self._window.settings), name), FIGURES, kind, save)

    def _ask_and_save(self, title: str, path: str, folder: str, kind: str, save: Callable[[str], None]) -> None:
        """Ask for a file and save it; ``folder`` is the key under which its folder is remembered."""

        def write(path: str) -> None:
            save(path)
            self._window.settings.setValue(folder, os.path.dirname(path))
            self._window.banner.show_message(f"Saved {path}", GOOD)

        ask_for_file(self._window, title, path, kind, write)
