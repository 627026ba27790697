"""Panel with the errors of each layer, own and inherited: where quantization starts to harm, and what it does there."""

from typing import Any, Dict, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.analysis.drift import PARTS, DriftQuestion
from qatviz.gui.model.background_work import BackgroundWork
from qatviz.gui.model.run_model import EXAMPLE, RUN, SELECTION, STATE
from qatviz.gui.model.watching import DRIFT
from qatviz.gui.panels import declarations
from qatviz.gui.panels.drift.maps import FeatureMapsView
from qatviz.gui.widgets.controls.push_button import push_button
from qatviz.gui.widgets.flow_layout import flow_row
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.scene_table import SceneRows, SceneTable, TableContent
from qatviz.gui.widgets.work_row import CANCELLED, WorkRow
from qatviz.measures import MEASURES
from qatviz.presentation.drift import (
    DriftLayout,
    DriftTable,
    drift_table,
    drift_title,
    layer_text,
    start_text,
    state_text,
)
from qatviz.presentation.figure_caption import Caption
from qatviz.protocol.commands import WatchDrift

_ABOUT = (
    "Each layer's output is compared with that of the network in float. Its own error is what its quantizers add, for "
    "the inputs of the network in float. Its inherited error is that of its inputs in the quantized network, as it "
    f"passes through the layer in float. {MEASURES['divergence'].help}"
)
_EXAMPLES_TIP = "Held-out examples on which the errors are measured: the first ones, all, or one"
_EXAMPLE_TIP = "Index of the held-out example whose feature maps are shown, from 0; with “One example”, its errors, too"
_AGAIN_TIP = "Measure the errors of the run's last state"
_SORT_TIP = "Sort by this column, the largest error first; by layer: in the order of computation"
#: Width above which the maps are beside the table, px.
_BESIDE_PX = 500
#: Choices of examples for the errors: text, and number; fewer are measured again sooner while the run trains.
_EXAMPLES = (("64 examples", 64), ("512 examples", 512), ("All examples", 10**9), ("One example", 1))
#: Largest index of an example that can be entered; the run uses the last one for larger ones.
_LARGEST_EXAMPLE = 10**7


class DriftPanel(Panel):
    """Table of layers with own, inherited and total errors; the feature maps of the selected layer."""

    declaration = declarations.DRIFT
    needs = DRIFT
    topics = (RUN, STATE, SELECTION, EXAMPLE, DRIFT)

    def _setup_ui(self) -> None:
        self.examples = QtWidgets.QComboBox(toolTip=_EXAMPLES_TIP, accessibleName="Examples of the errors")
        self.examples.addItems([text for text, _ in _EXAMPLES])
        self.example = QtWidgets.QSpinBox(maximum=_LARGEST_EXAMPLE, toolTip=_EXAMPLE_TIP, prefix="example ")
        self.example.setAccessibleName("Held-out example")
        self.example.setKeyboardTracking(False)
        self.note = Label(wordWrap=True)
        self.note.setToolTip(_ABOUT)
        self.table = SceneTable(SceneRows(self.theme, "Errors of the layers"), _SORT_TIP, self._caption)
        self.maps = FeatureMapsView(self.theme)
        self.splitter = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        self.work = BackgroundWork(self.model, self)  # on a run that has ended; requests are DriftQuestions
        self.progress = WorkRow()
        self.again = push_button("Measure again", _AGAIN_TIP)
        self.again.hide()

    def _layout(self) -> None:
        head = QtWidgets.QVBoxLayout()
        head.setContentsMargins(6, 4, 6, 4)
        head.setSpacing(3)
        head.addLayout(flow_row(self.examples, self.example, self.again, self.progress, spacing=6))
        head.addWidget(self.note)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.table)
        self.splitter.addWidget(self.maps)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(self.splitter, 1)

    def _connect(self) -> None:
        self.examples.currentIndexChanged.connect(self.refresh)
        self.example.valueChanged.connect(self._on_example)
        self.table.reordered.connect(self.refresh)
        self.table.selected.connect(self._on_selected)
        self.work.changed.connect(self.mark_due)
        self.progress.cancel.clicked.connect(lambda: self.work.cancel(CANCELLED))
        self.again.clicked.connect(lambda: self.work.begin(self._question()))
        self.model.changed.connect(self._on_model)
        self._on_model(EXAMPLE)  # one may have been selected before

    def apply_theme(self) -> None:
        self.table.changed()
        self.maps.changed()

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self.splitter.setOrientation(QtCore.Qt.Horizontal if self.width() > _BESIDE_PX else QtCore.Qt.Vertical)

    def request(self) -> WatchDrift:
        return WatchDrift(True, *self._question())

    def update_from(self) -> None:
        drift, layer = self.model.drift, self._layer()
        content = None
        if drift is not None:
            table = drift_table(drift, self.table.sorted_by)
            content = TableContent(
                [row.layer for row in table.rows],
                lambda width, metrics: DriftLayout(table, width, metrics),
                lambda places, x, y: self._text_at(table, places, y),
                lambda: _values(table),
            )
        self.table.show_content(content, (layer,), self._empty_text())
        maps = self.model.feature_maps
        is_shown = maps is not None and maps.layer == layer
        self.maps.setVisible(self.model.run is not None)
        self.maps.show_maps(maps if is_shown else None, self._maps_text(layer))
        self._ask()
        self.progress.show_fraction(self.work.fraction_if_busy)
        self.again.setVisible(bool(self.work.message))
        self._show_note()

    # Implementation

    def _layer(self) -> str:
        """Return the layer of the current tensor."""
        plan, current = self.model.plan, self.model.current
        return plan.tensor(current).layer if plan is not None and current in plan else ""

    def _question(self) -> DriftQuestion:
        example = self.example.value()
        number = _EXAMPLES[self.examples.currentIndex()][1]
        return DriftQuestion(example if number == 1 else None, number, self._layer(), example)

    def _ask(self) -> None:
        """Request what is shown, if the run has ended and it is not known yet."""
        if not self.model.ended or self.model.run is None:
            return
        question = self._question()
        if question != self.work.question:
            self.work.begin(question)

    def _empty_text(self) -> str:
        if self.model.run is None:
            return self.model.no_run_text("No run. The errors of its layers are shown here once there is one.")
        return "" if self._failure() else "Measuring the errors of all layers…"

    def _maps_text(self, layer: str) -> str:
        drift = self.model.drift
        if drift is None or not layer:
            return "" if self._failure() else "The feature maps of the selected layer are shown here."
        return "Computing…" if drift.layer(layer) is not None else f"{layer} has no quantizer of its own"

    def _failure(self) -> str:
        return self.work.message or self.model.watch_failures.get(DRIFT, "")

    def _show_note(self) -> None:
        drift, failure = self.model.drift, self._failure()
        found = "" if drift is None else f"{start_text(drift)} {state_text(drift)}"
        self.note.setText("\n".join(filter(None, [f"Not measured: {failure}" if failure else "", found])))

    def _text_at(self, table: DriftTable, places: DriftLayout, y: float) -> Sequence[str]:
        row = places.row_at(y)
        return [] if row is None else layer_text(table.rows[row])

    def _caption(self) -> Caption:
        drift = self.model.drift
        return Caption("Own and inherited error of each layer", () if drift is None else (drift_title(drift),), [])

    def _on_example(self, index: int) -> None:
        self.model.select_example(index)
        self.refresh()

    def _on_model(self, topic: str) -> None:
        if topic == EXAMPLE and self.model.selected_example >= 0:
            with QtCore.QSignalBlocker(self.example):
                self.example.setValue(self.model.selected_example)

    def _on_selected(self, name: str, is_added: bool) -> None:
        plan = self.model.plan
        assert plan is not None, "rows are layers of a run"
        found = [tensor for tensor in (f"{name}.activations", f"{name}.weights") if tensor in plan]
        if found:
            others = set(self.model.selected) if is_added else set()
            self.model.select(others | {found[0]}, found[0])
            self.refresh()


def _values(table: DriftTable) -> Dict[str, Any]:
    """Return the values by column, for files."""
    columns: Dict[str, Any] = {
        "layer": [row.layer for row in table.rows],
        "kind": [row.kind for row in table.rows],
    }
    for part in PARTS:
        columns[f"{part} SQNR (dB)"] = [getattr(row, part).sqnr_db for row in table.rows]
        columns[f"{part} cosine"] = [getattr(row, part).cosine for row in table.rows]
    return columns
