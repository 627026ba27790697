"""Page of a comparison with its tensors: a measure of each by run, and the distributions of one in two runs."""

from typing import List, Optional

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.comparison import Comparison, tensor_rows
from qatviz.gui.dialogs.comparison.tables import ComparisonTable
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.pair_chart import PairChart
from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.presentation.comparison import FIRST, SECOND, overlaid_codes, overlaid_histograms
from qatviz.protocol.snapshots import TensorHistogram

#: Measures that the table can show.
_MEASURES = ("sqnr_db", "rmse_over_scale", "clipped", "flushed", "effective_bits", "scale")
_MARK_PX = 10


class TensorsPage(QtWidgets.QSplitter):
    """Table of tensors at the left; the selected one in two runs at the right."""

    def __init__(self, theme: Theme):
        super().__init__()
        self._theme = theme
        self._comparison: Optional[Comparison] = None
        self.measure = QtWidgets.QComboBox(accessibleName="Measure")
        for key in _MEASURES:
            self.measure.addItem(MEASURES[key].label, key)
        self.table = ComparisonTable(theme, "Tensors")
        self.pickers = [QtWidgets.QComboBox(accessibleName=name) for name in ("First run", "Second run")]
        self.title = Label()
        self.histogram = PairChart(theme, "histogram", overlaid_histograms, "No values to compare")
        self.codes = PairChart(theme, "codes", overlaid_codes, "No integer codes: the tensor is in float")
        left, right = QtWidgets.QWidget(), QtWidgets.QWidget()
        rows = QtWidgets.QVBoxLayout(left)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.measure)
        rows.addWidget(self.table, 1)
        columns = QtWidgets.QVBoxLayout(right)
        columns.setContentsMargins(0, 0, 0, 0)
        chosen = QtWidgets.QHBoxLayout()
        for picker in self.pickers:
            chosen.addWidget(picker, 1)
        columns.addLayout(chosen)
        columns.addWidget(self.title)
        columns.addWidget(Label("Float values: the first run filled, the second outlined"))
        columns.addWidget(self.histogram, 1)
        columns.addWidget(Label("Integer codes"))
        columns.addWidget(self.codes, 1)
        self.addWidget(left)
        self.addWidget(right)
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 1)
        self.setChildrenCollapsible(False)
        self.measure.currentIndexChanged.connect(self._show_rows)
        self.table.itemSelectionChanged.connect(self._show_tensor)
        for picker in self.pickers:
            picker.currentIndexChanged.connect(self._show_tensor)

    def show_comparison(self, comparison: Comparison) -> None:
        """Show another comparison, or a newer state of the same runs."""
        self._comparison = comparison
        for place, picker in enumerate(self.pickers):
            kept = picker.currentIndex()
            picker.blockSignals(True)
            picker.clear()
            for name in comparison.names:
                picker.addItem(name)
            last = len(comparison.runs) - 1
            picker.setCurrentIndex(min(kept if kept >= 0 else place, last))
            picker.blockSignals(False)
        self._mark_pickers()
        self._show_rows()

    def _show_rows(self) -> None:
        if self._comparison is None:
            return
        rows = tensor_rows(self._comparison, self.measure.currentData())
        self.table.show_measures("Tensor", self._comparison.names, rows)
        if rows and self.table.currentRow() < 0:
            self.table.selectRow(0)
        self._show_tensor()

    def _show_tensor(self) -> None:
        tensor = self.table.selected_head()
        pair: List[Optional[TensorHistogram]] = []
        if self._comparison is not None and tensor is not None:
            for picker in self.pickers:
                snapshot = self._comparison.runs[picker.currentIndex()].snapshot
                pair.append(None if snapshot is None else snapshot.histograms.get(tensor))
        self.title.setText(tensor or "")
        self.histogram.show_pair(pair)
        self.codes.show_pair(pair)

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        self.table.apply_theme()
        self._mark_pickers()
        self.histogram.changed()
        self.codes.changed()

    def _mark_pickers(self) -> None:
        """Give each list of runs the colour in which its choice is drawn."""
        for picker, role in zip(self.pickers, (FIRST, SECOND)):
            mark = QtGui.QPixmap(_MARK_PX, _MARK_PX)
            mark.fill(self._theme.color(role))
            for index in range(picker.count()):
                picker.setItemIcon(index, QtGui.QIcon(mark))
            picker.setStyleSheet(f"QComboBox {{ border-left: 4px solid {self._theme.color(role).name()}; }}")

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(900, 500)
