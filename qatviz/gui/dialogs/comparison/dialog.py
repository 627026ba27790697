"""Window that compares recorded runs, also while they train: curves, measures, settings, tensors."""

import os
from typing import List, Optional, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.comparison import CURVES, LOSS, Comparison, measure_rows, setting_rows
from qatviz.gui.dialogs.comparison.chart import CurveChart
from qatviz.gui.dialogs.comparison.tables import ComparisonTable
from qatviz.gui.dialogs.comparison.tensors import TensorsPage
from qatviz.gui.model.context import Context
from qatviz.gui.model.folders import figures_folder
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.banner import BAD, Banner
from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.ask_file import ask_for_file
from qatviz.gui.widgets.labels import Label, plain_tip
from qatviz.gui.widgets.scene_painter import scene_painter
from qatviz.metric import MODE_NAMES, MODES
from qatviz.presentation.comparison import AXIS_TITLES, curve_axis, curve_title, curves_of, swatch

_GEOMETRY, _SPLIT = "comparison/geometry", "comparison/split"
#: Interval (ms) at which runs that train are read again.
_AGAIN_MS = 5000
_SIZE, _LIST_WIDTH = QtCore.QSize(1180, 700), 220
_SWATCH = QtCore.QSize(26, 12)
_READING = "Reading the records of the runs…"


class ComparisonDialog(QtWidgets.QDialog):
    """Window with the comparison of the runs in ``directories``."""

    def __init__(
        self,
        context: Context,
        launcher: Launcher,
        directories: Sequence[str],
        parent: Optional[QtWidgets.QWidget] = None,
    ):
        super().__init__(parent, QtCore.Qt.Window)
        self.setWindowTitle(f"Comparison of {len(directories)} runs – qatviz")
        self.setAttribute(QtCore.Qt.WA_DeleteOnClose)
        self.context, self.launcher = context, launcher
        self.directories = tuple(directories)
        self.comparison: Optional[Comparison] = None
        self._setup_ui()
        self._layout()
        self._connect()
        self._restore()
        self.apply_theme()
        self.refresh()

    def _setup_ui(self) -> None:
        theme = self.context.theme
        self.align = QtWidgets.QComboBox(accessibleName="Align by")
        self.by_group = CheckBox("Mean over seeds")
        self.by_group.setToolTip("Draw runs that differ by the seed only as their mean, with a band of their extremes")
        self.reload = QtWidgets.QPushButton("Refresh")
        self.reload.setToolTip("Read the runs again (F5); runs that train are read every few seconds")
        self.save = QtWidgets.QPushButton("Save as HTML…")
        self.save.setToolTip("Save curves, tables and distributions as one HTML file")
        for button in (self.reload, self.save):
            button.setAutoDefault(False)
        self.banner = Banner(theme, lambda title, text: None)
        self.list = QtWidgets.QListWidget(accessibleName="Runs")
        self.list.setToolTip("Runs whose curves are drawn")
        self.mode = QtWidgets.QComboBox(accessibleName="Mode of evaluation")
        for mode in reversed(MODES):
            self.mode.addItem(MODE_NAMES[mode].capitalize(), mode)
        self.charts = [CurveChart(theme, "comparison_loss"), CurveChart(theme, "comparison_metric")]
        self.measures = ComparisonTable(theme, "Measures")
        self.settings_table = ComparisonTable(theme, "Settings that differ")
        self.no_settings = EmptyText(self.settings_table.viewport())
        self.tensors = TensorsPage(theme)
        self.tabs = QtWidgets.QTabWidget(documentMode=True)
        self.split = QtWidgets.QSplitter()
        self.empty = EmptyText(self.tabs)
        self.timer = QtCore.QTimer(self, interval=_AGAIN_MS)

    def _layout(self) -> None:
        top = QtWidgets.QHBoxLayout()
        label = Label("Align by")
        label.setBuddy(self.align)
        for widget in (label, self.align, self.by_group):
            top.addWidget(widget)
        top.addStretch(1)
        top.addWidget(self.reload)
        top.addWidget(self.save)
        curves = QtWidgets.QWidget()
        rows = QtWidgets.QVBoxLayout(curves)
        rows.setContentsMargins(0, 4, 0, 0)
        self.titles = [Label() for _ in self.charts]
        rows.addWidget(self.titles[0])
        rows.addWidget(self.charts[0], 1)
        below = QtWidgets.QHBoxLayout()
        below.addWidget(self.titles[1], 1)
        below.addWidget(self.mode)
        rows.addLayout(below)
        rows.addWidget(self.charts[1], 1)
        pages = (
            (curves, "Curves"),
            (self.measures, "Measures"),
            (self.settings_table, "Settings"),
            (self.tensors, "Tensors"),
        )
        for page, title in pages:
            self.tabs.addTab(page, title)
        self.split.addWidget(self.list)
        self.split.addWidget(self.tabs)
        self.split.setStretchFactor(1, 1)
        self.split.setChildrenCollapsible(False)
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.banner)
        column.addLayout(top)
        column.addWidget(self.split, 1)
        self.banner.dismiss()

    def _connect(self) -> None:
        self.align.currentIndexChanged.connect(self._draw)
        self.by_group.toggled.connect(self._draw)
        self.mode.currentIndexChanged.connect(self._draw)
        self.list.itemChanged.connect(self._draw)
        self.reload.clicked.connect(self.refresh)
        self.save.clicked.connect(self._save)
        self.timer.timeout.connect(self.refresh)
        self.launcher.comparison_read.connect(self._on_read)
        self.launcher.comparison_failed.connect(self._on_failed)
        self.context.theme.changed.connect(self.apply_theme)
        QtWidgets.QShortcut(QtGui.QKeySequence("F5"), self, self.refresh)

    def refresh(self) -> None:
        """Read the runs again."""
        if self.comparison is None:
            self.empty.show_text(_READING)
        self.launcher.read_comparison(self.directories)

    def _on_read(self, directories: Sequence[str], comparison: Comparison) -> None:
        if tuple(directories) != self.directories:
            return
        self.comparison = comparison
        self.empty.show_text("")
        self._fill_choices(comparison)
        names = comparison.names
        self.measures.show_measures("Measure", names, measure_rows(comparison))
        settings = setting_rows(comparison)
        self.settings_table.show_settings(names, settings)
        self.no_settings.show_text("" if settings else "All runs have the same settings.")
        self.tensors.show_comparison(comparison)
        self.tensors.apply_theme()
        self._draw()
        if any(not run.summary.ending for run in comparison.runs):
            self.timer.start()
        else:
            self.timer.stop()

    def _on_failed(self, directories: Sequence[str], text: str) -> None:
        if tuple(directories) == self.directories:
            self.timer.stop()
            self.empty.show_text("")
            self.banner.show_message(text, BAD)

    def _fill_choices(self, comparison: Comparison) -> None:
        """Fill the lists of runs and axes; choices of the user stay."""
        axes = comparison.axes()
        if axes != tuple(self.align.itemData(index) for index in range(self.align.count())):
            self.align.blockSignals(True)
            self.align.clear()
            for axis in axes:
                self.align.addItem(AXIS_TITLES[axis].capitalize(), axis)
            self.align.blockSignals(False)
        can_group = any(len(members) > 1 for members in comparison.groups)
        self.by_group.setEnabled(can_group)
        self.list.blockSignals(True)
        hidden = {index for index in range(self.list.count()) if not self._is_shown(index)}
        self.list.clear()
        for index, (name, run) in enumerate(zip(comparison.names, comparison.runs)):
            item = QtWidgets.QListWidgetItem(name)
            item.setToolTip(plain_tip(run.summary.directory))
            item.setFlags(item.flags() | QtCore.Qt.ItemIsUserCheckable)
            item.setCheckState(QtCore.Qt.Unchecked if index in hidden else QtCore.Qt.Checked)
            self.list.addItem(item)
        self._paint_swatches()
        self.list.blockSignals(False)

    def _is_shown(self, index: int) -> bool:
        return bool(self.list.item(index).checkState() == QtCore.Qt.Checked)

    def shown(self) -> List[int]:
        """Return the indices of the runs whose curves are drawn."""
        return [index for index in range(self.list.count()) if self._is_shown(index)]

    def _draw(self, *_: object) -> None:
        comparison = self.comparison
        if comparison is None:
            return
        axis = self.align.currentData()
        by_group = self.by_group.isChecked() and self.by_group.isEnabled()
        for chart, title, key in zip(self.charts, self.titles, (LOSS, self.mode.currentData() or CURVES[-1])):
            curves = curves_of(comparison, key, axis, by_group, self.shown())
            title.setText(curve_title(comparison, key))
            chart.show_curves(curve_title(comparison, key), curves, curve_axis(comparison, key), axis)

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
        for chart in self.charts:
            chart.changed()
        self.tensors.apply_theme()
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

    def _restore(self) -> None:
        self.resize(_SIZE)
        self.split.setSizes([_LIST_WIDTH, _SIZE.width() - _LIST_WIDTH])
        for key, restore in ((_GEOMETRY, self.restoreGeometry), (_SPLIT, self.split.restoreState)):
            kept = self.context.settings.value(key)
            if isinstance(kept, QtCore.QByteArray):
                restore(kept)

    def done(self, result: int) -> None:
        """Remember the layout."""
        self.timer.stop()
        self.context.settings.setValue(_GEOMETRY, self.saveGeometry())
        self.context.settings.setValue(_SPLIT, self.split.saveState())
        super().done(result)
