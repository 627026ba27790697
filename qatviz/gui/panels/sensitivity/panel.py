"""Panel with the sensitivity of the network to the quantization of each tensor, by number of bits."""

import contextlib
from typing import Dict, Optional, Sequence, Tuple

from PyQt5 import QtWidgets

from qatviz.analysis.sensitivity import MeasuredSensitivity
from qatviz.errors import RunStateError
from qatviz.gui.model.background_work import BackgroundWork
from qatviz.gui.model.run_model import RUN, SELECTION, SETTINGS, STATE
from qatviz.gui.model.watching import SENSITIVITY
from qatviz.gui.panels import declarations
from qatviz.gui.panels.sensitivity.table_view import SensitivityRows
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.scene_table import SceneTable, TableContent
from qatviz.gui.widgets.work_row import WorkRow
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.sensitivity import (
    SensitivityLayout,
    SensitivityTable,
    cell_text,
    sensitivity_table,
    table_values,
)
from qatviz.protocol.commands import MeasureSensitivity

_ABOUT = (
    "Estimated divergence of the outputs if only this tensor is quantized, with this number of bits. The frame marks "
    "the bits in effect; a double click applies others."
)
_MEASURE_TIP = (
    "Measure loss, divergence and metric on held-out data with only each tensor quantized, and with all but it. "
    "Training continues more slowly meanwhile."
)
_SORT_TIP = "Sort by this column, the most sensitive tensor first; by tensor: in the order of the network"
_ESTIMATE_TIP = "Estimate the sensitivity of the run's last state"


class SensitivityPanel(Panel):
    """Table of tensors by number of bits; for a run that trains, it is computed again and again while it is visible."""

    declaration = declarations.SENSITIVITY
    needs = SENSITIVITY
    topics = (RUN, STATE, SETTINGS, SELECTION, SENSITIVITY)

    def _setup_ui(self) -> None:
        self.table = SceneTable(SensitivityRows(self.theme), _SORT_TIP, self._caption)
        self.note = Label(wordWrap=True)
        self.note.setToolTip(_ABOUT)
        self.estimate = QtWidgets.QPushButton("Estimate", toolTip=_ESTIMATE_TIP)
        self.measure = QtWidgets.QPushButton("Measure", toolTip=_MEASURE_TIP)
        self.work = BackgroundWork(self.model, self)  # on a run that has ended; True requests a measurement, too
        self.progress = WorkRow()
        self._shown: Optional[SensitivityTable] = None

    def _layout(self) -> None:
        bar = QtWidgets.QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 4)
        bar.addWidget(self.note, 1)
        for widget in (self.progress, self.estimate, self.measure):
            bar.addWidget(widget)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.table, 1)

    def _connect(self) -> None:
        self.table.reordered.connect(self.refresh)
        self.table.selected.connect(self._on_selected)
        self.table.rows.chosen.connect(self._on_chosen)
        self.estimate.clicked.connect(lambda: self.work.begin(False))
        self.measure.clicked.connect(self._on_measure)
        self.progress.cancel.clicked.connect(self._on_cancel)
        self.work.changed.connect(self._show_work)
        self.work.changed.connect(self.mark_due)

    def apply_theme(self) -> None:
        self.table.changed()

    def update_from(self) -> None:
        found, measured, content = self.model.sensitivity, self.model.measured_sensitivity, None
        self._shown = None
        if found is not None and self.model.plan is not None:
            table = self._shown = sensitivity_table(found, measured, self._bits(), self.table.sorted_by)
            content = TableContent(
                table.names,
                lambda width, metrics: SensitivityLayout(table, width, metrics),
                lambda places, x, y: _text_at(table, measured, places, x, y),
                lambda: table_values(table),
            )
        self.table.show_content(content, self.model.selected, self._empty_text())
        self._show_work()

    # Implementation

    def _bits(self) -> Dict[str, Optional[int]]:
        """Return the number of bits by tensor, with pending changes; None for tensors in float."""
        return {
            tensor.name: self.edits.value(tensor.name, "num_bits") if self.model.is_active(tensor.name) else None
            for tensor in self.model.tensors
        }

    def _empty_text(self) -> str:
        if self.model.run is None:
            return self.model.no_run_text("No run. The sensitivity of its tensors is shown here once there is one.")
        if self.model.ended:
            return "“Estimate” computes the sensitivity of the run's last state."
        return "Estimating the sensitivity of all tensors…"

    def _show_work(self) -> None:
        live = self.model.sensitivity_progress
        fraction = self.work.fraction if self.work.is_busy else None if live is None else live.fraction
        message = self.work.message or ("" if live is None else live.message)
        is_run, is_busy = self.model.run is not None, fraction is not None
        self.estimate.setVisible(is_run and self.model.ended and not is_busy)
        self.measure.setVisible(is_run and not is_busy)
        self.progress.show_fraction(fraction)
        self.note.setText("\n".join(filter(None, [self._note(), f"Not computed: {message}" if message else ""])))

    def _note(self) -> str:
        table = self._shown
        if table is None:
            return ""
        return f"Divergence of the outputs at step {table.step:,}, {table.examples:,} held-out examples"

    def _on_measure(self) -> None:
        if self.model.ended:
            self.work.begin(True)
        else:
            self._send(MeasureSensitivity())

    def _on_cancel(self) -> None:
        if self.work.is_busy:
            self.work.cancel()
        else:
            self._send(MeasureSensitivity(False))

    def _send(self, command: MeasureSensitivity) -> None:
        with contextlib.suppress(RunStateError):  # it ends
            self.model.send(command)

    def _caption(self) -> Caption:
        details: Tuple[str, ...] = (self._note(),) if self._shown is not None else ()
        return Caption("Sensitivity by tensor and number of bits", details, [])

    def _on_selected(self, name: str, is_added: bool) -> None:
        others = set(self.model.selected) if is_added else set()
        self.model.select(others | {name}, name)
        self.refresh()

    def _on_chosen(self, row: int, column: int) -> None:
        table = self._shown
        if table is not None and 0 <= column < len(table.widths):
            self.edits.edit([table.names[row]], "num_bits", table.widths[column])
            self.refresh()


def _text_at(
    table: SensitivityTable, measured: Optional[MeasuredSensitivity], places: SensitivityLayout, x: float, y: float
) -> Sequence[str]:
    cell = places.cell_at(x, y)
    return [] if cell is None else cell_text(table, cell, measured)
