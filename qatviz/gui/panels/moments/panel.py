"""Two moments of the run: histograms and codes of the current tensor overlaid, measures, settings that differ."""

from typing import Any, List, Optional, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.model.moments import MOMENT
from qatviz.gui.model.run_model import EVENTS, SELECTION, SNAPSHOT
from qatviz.gui.panels import declarations
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.pair_chart import PairChart
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.tables import set_up_table, style_table
from qatviz.presentation.comparison import overlaid_codes, overlaid_histograms
from qatviz.presentation.moments import OTHER_ROLE, SHOWN_ROLE, change_texts, moment_rows
from qatviz.protocol.snapshots import Snapshot, TensorHistogram

_HINT = "Compare two moments of the run: switch on “Compare” beside the time slider, and move its second handle."


class MomentsPanel(Panel):
    """Comparison of the shown moment with the one at the second handle of the time slider."""

    declaration = declarations.MOMENTS
    topics = (SNAPSHOT, SELECTION, MOMENT, EVENTS)

    def _setup_ui(self) -> None:
        self._inputs: Optional[Tuple[Any, ...]] = None
        self.head = Label(wordWrap=True)
        self.histogram = PairChart(self.theme, "moments_histogram", overlaid_histograms, "No values to compare")
        self.codes = PairChart(self.theme, "moments_codes", overlaid_codes, "No integer codes")
        self.measures = QtWidgets.QTableWidget(0, 3, accessibleName="Measures at two moments")
        set_up_table(self.measures)
        self.settings = Label(wordWrap=True)
        self.empty = EmptyText(self)
        self.content = QtWidgets.QWidget()

    def _layout(self) -> None:
        rows = QtWidgets.QVBoxLayout(self.content)
        rows.setContentsMargins(4, 2, 4, 2)
        rows.addWidget(self.head)
        charts = QtWidgets.QHBoxLayout()
        charts.addWidget(self.histogram, 1)
        charts.addWidget(self.codes, 1)
        rows.addLayout(charts, 1)
        rows.addWidget(self.measures, 1)
        rows.addWidget(self.settings)
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.content)

    def update_from(self) -> None:
        model = self.model
        shown, other = model.shown, model.other_moment
        if model.plan is None or shown is None or other is None or model.current not in shown.histograms:
            self.content.hide()
            self.empty.show_text(model.no_run_text("No run is open.") if model.plan is None else _HINT)
            self._inputs = None
            return
        self.content.show()
        self.empty.show_text("")
        inputs = (id(shown), id(other), model.current, len(model.log), self.theme.colors)
        if self._inputs is None or any(a is not b and a != b for a, b in zip(inputs, self._inputs)):
            self._inputs = inputs
            self._draw(shown, other)

    def _draw(self, shown: Snapshot, other: Snapshot) -> None:
        model, name = self.model, self.model.current
        assert model.plan is not None, "there are snapshots of a run only"
        self.head.setText(f"{name}: step {shown.step:,} filled, step {other.step:,} outlined")
        pair: List[Optional[TensorHistogram]] = [shown.histograms.get(name), other.histograms.get(name)]
        self.histogram.show_pair(pair)
        self.codes.show_pair(pair)
        rows = moment_rows(shown, other, model.plan.index(name))
        self.measures.setHorizontalHeaderLabels(["Measure", f"Step {shown.step:,}", f"Step {other.step:,}"])
        self.measures.setRowCount(len(rows))
        for row, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = QtWidgets.QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(int(QtCore.Qt.AlignRight | QtCore.Qt.AlignVCenter))
                self.measures.setItem(row, column, item)
        self._style()
        changes = change_texts(model.book_at(shown).differences(model.book_at(other)), (shown.step, other.step))
        lines = ["Settings that differ:", *changes] if changes else ["The settings are the same."]
        self.settings.setText("\n".join(lines))

    def _style(self) -> None:
        style_table(self.measures, self.theme)
        for column, role in ((1, SHOWN_ROLE), (2, OTHER_ROLE)):
            item = self.measures.horizontalHeaderItem(column)
            if item is not None:
                item.setForeground(self.theme.color(role))
        self.measures.resizeColumnsToContents()

    def apply_theme(self) -> None:
        self._inputs = None
        self.histogram.changed()
        self.codes.changed()
