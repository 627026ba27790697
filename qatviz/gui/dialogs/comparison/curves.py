"""Page of a comparison with its curves: loss, metric, and differences to one of the runs."""

from typing import List, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.analysis.comparison import LOSS, Comparison
from qatviz.gui.dialogs.comparison.chart import CurveChart
from qatviz.gui.dialogs.fields import ComboBox
from qatviz.gui.widgets.controls.check_box import CheckBox
from qatviz.gui.widgets.flow_layout import FlowLayout
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.theme import Theme
from qatviz.metric import MODE_NAMES, MODES
from qatviz.presentation.comparison import (
    AXIS_TITLES,
    curve_axis,
    curve_range,
    curve_title,
    curves_of,
    difference_axis,
    difference_title,
    differences_of,
)

_NO_REFERENCE = -1
_NO_COMMON_STEPS = "No run has training steps in common with this one yet"


class CurvesPage(QtWidgets.QWidget):
    """Curves of the chosen runs over a common axis."""

    def __init__(self, theme: Theme):
        super().__init__()
        self._comparison: Optional[Comparison] = None
        self._shown: List[int] = []
        self.align = ComboBox(accessibleName="Align by")
        self.by_group = CheckBox("Mean over seeds")
        self.by_group.setToolTip("Draw runs that differ by the seed only as their mean, with a band of their extremes")
        self.parents = CheckBox("Curves of parents")
        self.parents.setChecked(True)
        self.parents.setToolTip("Draw forks with the curves of the runs that they were forked from, which are fainter")
        self.reference = ComboBox(accessibleName="Difference to")
        self.reference.setToolTip(
            "Draw the differences to this run at equal training steps, with bands of 95 % for means over many steps. "
            "Forks of one checkpoint have the same batches at these steps."
        )
        self.reference.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToContents)
        self.quantity = ComboBox(accessibleName="Quantity of the differences")
        self.mode = ComboBox(accessibleName="Mode of evaluation")
        for mode in reversed(MODES):
            self.mode.addItem(MODE_NAMES[mode].capitalize(), mode)
        self.charts = [CurveChart(theme, f"comparison_{name}") for name in ("loss", "metric", "difference")]
        self.titles = [Label(wordWrap=True) for _ in self.charts]
        self._layout()
        self._connect()

    def _layout(self) -> None:
        choices = FlowLayout(spacing=6)
        for text, widget in (("Align by", self.align), ("Difference to", self.reference)):
            pair = QtWidgets.QWidget()
            row = QtWidgets.QHBoxLayout(pair)
            row.setContentsMargins(0, 0, 0, 0)
            label = Label(text)
            label.setBuddy(widget)
            row.addWidget(label)
            row.addWidget(widget)
            choices.addWidget(pair)
        for widget in (self.by_group, self.parents):
            choices.addWidget(widget)
        self._below = QtWidgets.QWidget()
        rows = QtWidgets.QVBoxLayout(self)
        rows.setContentsMargins(0, 4, 0, 0)
        rows.addLayout(choices)
        difference = QtWidgets.QVBoxLayout(self._below)
        difference.setContentsMargins(0, 0, 0, 0)
        for number, (chart, title) in enumerate(zip(self.charts, self.titles)):
            column = difference if number == 2 else rows
            head = QtWidgets.QHBoxLayout()
            head.addWidget(title, 1)
            if number:
                head.addWidget(self.mode if number == 1 else self.quantity)
            column.addLayout(head)
            column.addWidget(chart, 1)
        rows.addWidget(self._below, 1)
        self._below.hide()

    def _connect(self) -> None:
        for box in (self.align, self.mode, self.quantity, self.reference):
            box.currentIndexChanged.connect(self._draw)
        for check in (self.by_group, self.parents):
            check.toggled.connect(self._draw)

    def show_comparison(self, comparison: Comparison, shown: Sequence[int]) -> None:
        """Show other runs, or a newer state of the same; choices of the user stay."""
        self._comparison, self._shown = comparison, list(shown)
        axes = [(AXIS_TITLES[axis].capitalize(), axis) for axis in comparison.axes()]
        _refill(self.align, axes)
        names = [(name, index) for index, name in enumerate(comparison.names)]
        _refill(self.reference, [("none", _NO_REFERENCE), *names])
        metric = comparison.runs[0].summary.scores
        _refill(self.quantity, [("Loss", LOSS), (metric.capitalized_title, "")])
        self.by_group.setEnabled(any(len(members) > 1 for members in comparison.groups))
        self.parents.setEnabled(comparison.has_forks)
        self._draw()

    def show_runs(self, shown: Sequence[int]) -> None:
        """Draw the curves of the runs with these indices."""
        self._shown = list(shown)
        self._draw()

    def compare_with(self, index: int) -> None:
        """Draw the differences to a run, from the fork on."""
        self.parents.setChecked(False)
        self.reference.setCurrentIndex(self.reference.findData(index))

    def _draw(self, *_: object) -> None:
        comparison = self._comparison
        if comparison is None or self.align.currentData() is None:
            return
        axis, mode, begin = self.align.currentData(), self.mode.currentData(), 0.0
        by_group = self.by_group.isChecked() and self.by_group.isEnabled()
        if not self.parents.isChecked() and comparison.has_forks:
            begin = min(run.place_of_start(axis) for run in comparison.runs)
            comparison = comparison.own_parts
        reference, differences = self.reference.currentData(), []
        drawn = [curves_of(comparison, key, axis, by_group, self._shown) for key in (LOSS, mode)]
        quantity = self.quantity.currentData() or mode
        if reference != _NO_REFERENCE:
            differences = differences_of(comparison, quantity, axis, reference, by_group, self._shown)
        x_range = curve_range([named for curves in (*drawn, differences) for named in curves], begin)
        for chart, title, key, curves in zip(self.charts, self.titles, (LOSS, mode), drawn):
            title.setText(curve_title(comparison, key))
            chart.show_curves(title.text(), curves, curve_axis(comparison, key), axis, x_range)
        self._below.setVisible(reference != _NO_REFERENCE)
        if reference != _NO_REFERENCE:
            name = differences[-1].name if differences else comparison.names[reference]
            text = difference_title(comparison, quantity, name, differences)
            self.titles[2].setText(text)
            self.charts[2].show_curves(text, differences, difference_axis(comparison, quantity), axis, x_range)
            self.charts[2].empty.show_text("" if differences else _NO_COMMON_STEPS)

    def apply_theme(self) -> None:
        """Apply the theme's colours and font."""
        for chart in self.charts:
            chart.changed()

    def sizeHint(self) -> QtCore.QSize:
        return QtCore.QSize(900, 560)


def _refill(box: QtWidgets.QComboBox, items: Sequence[Tuple[str, object]]) -> None:
    """Fill a drop-down list with texts and values, unless it has them; the chosen value stays if it can."""
    pairs: List[Tuple[str, object]] = [(box.itemText(index), box.itemData(index)) for index in range(box.count())]
    if pairs == list(items):
        return
    kept = box.currentData()
    blocked = box.blockSignals(True)
    box.clear()
    for text, value in items:
        box.addItem(text, value)
    box.setCurrentIndex(max(box.findData(kept), 0))
    box.blockSignals(blocked)
