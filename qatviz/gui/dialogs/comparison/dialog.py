"""Window that compares recorded runs, also while they train: curves, measures, settings, tensors, sizes."""

import os
from typing import List, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.comparison import Comparison, measure_rows, setting_rows
from qatviz.gui.dialogs.comparison.curves import CurvesPage
from qatviz.gui.dialogs.comparison.dots import DotsPage
from qatviz.gui.dialogs.comparison.tables import ComparisonTable
from qatviz.gui.dialogs.comparison.tensors import TensorsPage
from qatviz.gui.dialogs.files_there import ask_folder
from qatviz.gui.dialogs.records_window import READING, RecordsWindow
from qatviz.gui.model.context import Context
from qatviz.gui.model.folders import figures_folder, folder_of_runs
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.ask_file import ask_for_file
from qatviz.gui.widgets.labels import plain_tip
from qatviz.gui.widgets.scene_painter import scene_painter
from qatviz.gui.widgets.tables import style_selection
from qatviz.presentation.comparison import swatch

#: Interval (ms) at which the runs are read again while one trains: of up to ``_FEW`` runs, and of more.
_AGAIN_MS, _OF_MANY_MS, _FEW = 2000, 5000, 4
_SIZE, _LIST_WIDTH = QtCore.QSize(1180, 700), 220
_SWATCH = QtCore.QSize(26, 12)


class ComparisonDialog(RecordsWindow):
    """Window with the comparison of the runs in ``directories``.

    Parameters
    ----------
    reference : str
        Directory of the run to which differences are drawn; empty for none.
    """

    def __init__(
        self,
        context: Context,
        launcher: Launcher,
        directories: Sequence[str],
        parent: Optional[QtWidgets.QWidget] = None,
        reference: str = "",
    ):
        super().__init__(context, launcher, "comparison", _SIZE, _LIST_WIDTH, parent)
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self.directories = tuple(directories)
        self.comparison: Optional[Comparison] = None
        self._reference = reference
        self._setup_ui()
        self._layout()
        self._connect()
        self.restore()
        self.apply_theme()
        self.refresh()

    def _setup_ui(self) -> None:
        theme = self.context.theme
        self.reload.setToolTip("Read the runs again (F5); runs that train are read every few seconds")
        self.add = push_button("Add run…", "Compare another recorded run, too")
        self.add.setEnabled(False)  # until the first ones are read
        self.save = push_button("Save as HTML…", "Save curves, tables and distributions as one HTML file")
        self.list = QtWidgets.QListWidget(accessibleName="Runs")
        self.list.setToolTip("Runs that are drawn")
        self.curves, self.sizes = CurvesPage(theme), DotsPage(theme)
        self.measures = ComparisonTable(theme, "Measures")
        self.settings_table = ComparisonTable(theme, "Settings that differ")
        self.no_settings = EmptyText(self.settings_table.viewport())
        self.tensors = TensorsPage(theme)
        self.tabs = QtWidgets.QTabWidget(documentMode=True)
        self.empty = EmptyText(self.tabs)
        self.timer = QtCore.QTimer(self)

    def _layout(self) -> None:
        self.top.addStretch(1)
        for button in (self.add, self.reload, self.save):
            self.top.addWidget(button)
        pages = (
            (self.curves, "Curves"),
            (self.sizes, "Sizes"),
            (self.measures, "Measures"),
            (self.settings_table, "Settings"),
            (self.tensors, "Tensors"),
        )
        for page, title in pages:
            self.tabs.addTab(page, title)
        self.add_parts([self.list, self.tabs])

    def _connect(self) -> None:
        self.list.itemChanged.connect(self._show_runs)
        self.list.currentRowChanged.connect(self.sizes.select)
        self.sizes.plot.selected.connect(self.list.setCurrentRow)
        self.add.clicked.connect(self._on_add)
        self.save.clicked.connect(self._save)
        self.timer.timeout.connect(self.refresh)
        self.launcher.comparison_read.connect(self._on_read)
        self.launcher.comparison_failed.connect(self._on_failed)

    def refresh(self) -> None:
        """Read the runs again."""
        self._show_title()
        if self.comparison is None:
            self.empty.show_text(READING)
        self.launcher.read_comparison(self.directories)

    def _show_title(self) -> None:
        self.setWindowTitle(f"Comparison of {len(self.directories)} runs – qatviz")

    def _on_read(self, directories: Sequence[str], comparison: Comparison) -> None:
        if tuple(directories) != self.directories:
            return
        self.comparison = comparison
        self.add.setEnabled(True)
        self.empty.show_text("")
        self._fill_list(comparison)
        names = comparison.names
        self.measures.show_measures("Measure", names, measure_rows(comparison))
        settings = setting_rows(comparison)
        self.settings_table.show_settings(names, settings)
        self.no_settings.show_text("" if settings else "All runs have the same settings.")
        self.tensors.show_comparison(comparison)
        self.curves.show_comparison(comparison, self.shown())
        if self._reference in self.directories:
            self.curves.compare_with(self.directories.index(self._reference))
            self._reference = ""
        self._show_runs()
        if any(not run.summary.ending for run in comparison.runs):
            self.timer.start(_AGAIN_MS if len(comparison.runs) <= _FEW else _OF_MANY_MS)
        else:
            self.timer.stop()

    def _on_failed(self, directories: Sequence[str], text: str) -> None:
        if tuple(directories) != self.directories:
            return
        self.empty.show_text("")
        self.show_failure(text)
        known = len(self.directories) if self.comparison is None else len(self.comparison.runs)
        if known < len(self.directories):  # the others are still read again
            self.directories = self.directories[:known]
            self._show_title()
        else:
            self.timer.stop()

    def _on_add(self) -> None:
        folder = os.path.dirname(self.directories[-1]) or folder_of_runs(self.context.settings)
        path = ask_folder(self, "Compare another run", folder)
        if not path:
            return
        if os.path.abspath(path) in {os.path.abspath(each) for each in self.directories}:
            self.show_failure(f"{path} is compared already.")
            return
        self.banner.dismiss()
        self.directories = (*self.directories, path)
        self.refresh()

    def _fill_list(self, comparison: Comparison) -> None:
        """Fill the list of runs; choices of the user stay."""
        self.list.blockSignals(True)
        hidden = {index for index in range(self.list.count()) if not self._is_shown(index)}
        current = self.list.currentRow()
        self.list.clear()
        for index, (name, run) in enumerate(zip(comparison.names, comparison.runs)):
            item = QtWidgets.QListWidgetItem(name)
            item.setToolTip(plain_tip(run.summary.directory))
            item.setFlags(item.flags() | QtCore.Qt.ItemIsUserCheckable)
            item.setCheckState(QtCore.Qt.Unchecked if index in hidden else QtCore.Qt.Checked)
            self.list.addItem(item)
        self.list.setCurrentRow(current)
        self._paint_swatches()
        self.list.blockSignals(False)

    def _is_shown(self, index: int) -> bool:
        return bool(self.list.item(index).checkState() == QtCore.Qt.Checked)

    def shown(self) -> List[int]:
        """Return the indices of the runs that are drawn."""
        return [index for index in range(self.list.count()) if self._is_shown(index)]

    def _show_runs(self, *_: object) -> None:
        if self.comparison is not None:
            self.curves.show_runs(self.shown())
            self.sizes.show_comparison(self.comparison, self.shown())

    def _save(self) -> None:
        path = os.path.join(figures_folder(self.context.settings), "comparison.html")
        ask_for_file(
            self,
            "Save comparison",
            path,
            "HTML (*.html)",
            lambda path: self.launcher.write_comparison(self.directories, path),
        )

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        for table in (self.measures, self.settings_table):
            table.apply_theme()
        self.curves.apply_theme()
        self.sizes.apply_theme()
        self.tensors.apply_theme()
        style_selection(self.list, self.context.theme)
        self._paint_swatches()

    def _paint_swatches(self) -> None:
        blocked = self.list.blockSignals(True)
        for index in range(self.list.count()):
            pixmap = QtGui.QPixmap(_SWATCH)
            pixmap.fill(QtCore.Qt.transparent)
            painter = QtGui.QPainter(pixmap)
            painter.setRenderHint(QtGui.QPainter.Antialiasing)
            shapes = swatch(index, _SWATCH.width(), _SWATCH.height())
            scene_painter(self.context.theme, self.font()).paint(painter, shapes)
            painter.end()
            self.list.item(index).setIcon(QtGui.QIcon(pixmap))
        self.list.setIconSize(_SWATCH)
        self.list.blockSignals(blocked)

    def done(self, result: int) -> None:
        """Stop reading, and remember the layout."""
        self.timer.stop()
        super().done(result)
