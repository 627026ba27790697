"""Panel with the sensitivity of the network to the quantization of each tensor, by number of bits."""

import contextlib
from typing import Dict, Optional, Sequence, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import RunStateError
from qatviz.gui.model.run_model import RUN, SELECTION, SETTINGS, STATE
from qatviz.gui.model.watching import SENSITIVITY
from qatviz.gui.panels.sensitivity.table_view import SensitivityHeader, SensitivityRows
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.labels import Label
from qatviz.gui.widgets.panel import DECIDE, Panel, PanelKeys
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.sensitivity import Cell, SensitivityTable, cell_text, sensitivity_table
from qatviz.protocol.commands import MeasureSensitivity

_ABOUT = (
    "Estimated divergence of the outputs if only this tensor is quantized, with this number of bits. The frame marks "
    "the bits in effect; a double click applies others."
)
_MEASURE_TIP = (
    "Measure loss, divergence and metric on held-out data with only each tensor quantized, and with all but it. "
    "Training continues more slowly meanwhile."
)
_ESTIMATE_TIP = "Estimate the sensitivity of the run's last state"


class SensitivityPanel(Panel):
    """Table of tensors by number of bits; for a run that trains, it is computed again and again while it is visible."""

    title, name = "Sensitivity", "sensitivity"
    about = "Which tensors tolerate few bits: the divergence of the outputs by tensor and number of bits."
    group = DECIDE
    needs = SENSITIVITY
    topics = (RUN, STATE, SETTINGS, SELECTION, SENSITIVITY)
    keys = (
        PanelKeys(("Up", "Down"), "select another row"),
        PanelKeys(("Left", "Right"), "go to fewer, to more bits"),
        PanelKeys(("Return",), "apply the bits"),
    )
    #: Emitted with True to measure the sensitivity of a run that has ended, with False to estimate it.
    wanted = QtCore.pyqtSignal(bool)
    #: Emitted when that is no longer wanted.
    cancelled = QtCore.pyqtSignal()

    def _setup_ui(self) -> None:
        self.header = SensitivityHeader(self.theme)
        self.rows = SensitivityRows(self.theme, self._cell_text)
        self.rows.caption = self._caption
        self.menu = FigureMenu(self.rows)
        self.area = QtWidgets.QScrollArea(widgetResizable=True, frameShape=QtWidgets.QFrame.NoFrame)
        self.area.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOn)  # the header is as wide as the rows
        self.area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(QtCore.Qt.NoFocus)
        self.area.setWidget(self.rows)
        self.empty = EmptyText(self.area)
        self.note = Label(wordWrap=True)
        self.note.setToolTip(_ABOUT)
        self.estimate = QtWidgets.QPushButton("Estimate", toolTip=_ESTIMATE_TIP)
        self.measure = QtWidgets.QPushButton("Measure", toolTip=_MEASURE_TIP)
        self.cancel = QtWidgets.QPushButton("Cancel")
        self.progress = QtWidgets.QProgressBar(maximum=1000)
        self._sorted_by: Optional[int] = None
        self._is_busy, self._fraction, self._message = False, 0.0, ""  # of the work on a run that has ended
        self._table: Optional[SensitivityTable] = None

    def _layout(self) -> None:
        bar = QtWidgets.QHBoxLayout()
        bar.setContentsMargins(6, 4, 6, 4)
        bar.addWidget(self.note, 1)
        for widget in (self.progress, self.estimate, self.measure, self.cancel):
            bar.addWidget(widget)
        head = QtWidgets.QHBoxLayout()
        head.setSpacing(0)
        head.addWidget(self.header)
        head.addSpacing(self.style().pixelMetric(QtWidgets.QStyle.PM_ScrollBarExtent))
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addLayout(head)
        layout.addWidget(self.area, 1)

    def _connect(self) -> None:
        self.header.clicked.connect(self._on_header)
        self.rows.selected.connect(self._on_selected)
        self.rows.chosen.connect(self._on_chosen)
        self.rows.moved.connect(self._on_moved)
        self.estimate.clicked.connect(lambda: self._begin(False))
        self.measure.clicked.connect(lambda: self._begin(True))
        self.cancel.clicked.connect(lambda: self._cancel())
        self.model.changed.connect(self._on_model)

    def apply_theme(self) -> None:
        self.rows.changed()
        self.header.changed()

    def update_from(self) -> None:
        found, measured = self.model.sensitivity, self.model.measured_sensitivity
        self._table = None
        if found is not None and self.model.plan is not None:
            self._table = sensitivity_table(found, measured, self._bits(), self._sorted_by)
        self.header.table, self.header.sorted_by = self._table, self._sorted_by
        self.header.changed()
        self.header.setVisible(self._table is not None)
        self.rows.show_table(self._table, self.model.selected)
        self.empty.show_text("" if self._table is not None else self._empty_text())
        self._show_work()

    # Work on a run that has ended, by the window

    def show_progress(self, fraction: float) -> None:
        """Show the fraction of the work that is done, 0 to 1."""
        if self._is_busy:
            self._fraction = fraction
            self._show_work()

    def finish(self, message: str = "") -> None:
        """End the work, with the reason why it has failed."""
        self._is_busy, self._message = False, message
        self.mark_due()

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
        fraction = self._fraction if self._is_busy else None if live is None else live.fraction
        message = self._message or ("" if live is None else live.message)
        is_run, is_busy = self.model.run is not None, fraction is not None
        self.estimate.setVisible(is_run and self.model.ended and not is_busy)
        self.measure.setVisible(is_run and not is_busy)
        self.cancel.setVisible(is_busy)
        self.progress.setVisible(is_busy)
        self.progress.setValue(int((fraction or 0.0) * self.progress.maximum()))
        texts = [self._note(), f"Not computed: {message}" if message else ""]
        self.note.setText("\n".join(filter(None, texts)))

    def _note(self) -> str:
        table = self._table
        if table is None:
            return ""
        return f"Divergence of the outputs at step {table.step:,}, {table.examples:,} held-out examples"

    def _begin(self, measured: bool) -> None:
        if self.model.ended:
            self._is_busy, self._fraction, self._message = True, 0.0, ""
            self.wanted.emit(measured)
        else:
            with contextlib.suppress(RunStateError):
                self.model.send(MeasureSensitivity())
        self._show_work()

    def _cancel(self) -> None:
        if self._is_busy:
            self.finish()
            self.cancelled.emit()
        else:
            with contextlib.suppress(RunStateError):
                self.model.send(MeasureSensitivity(False))

    def _cell_text(self, cell: Cell) -> Sequence[str]:
        return [] if self._table is None else cell_text(self._table, cell, self.model.measured_sensitivity)

    def _caption(self) -> Caption:
        details: Tuple[str, ...] = (self._note(),) if self._table is not None else ()
        return Caption("Sensitivity by tensor and number of bits", details, [])

    def _on_model(self, topic: str) -> None:
        if topic == RUN:
            if self._is_busy:
                self._cancel()
            self._message = ""

    def _on_header(self, column: int) -> None:
        self._sorted_by = None if column < 0 else column
        self.refresh()

    def _on_selected(self, name: str, is_added: bool) -> None:
        others = set(self.model.selected) if is_added else set()
        self.model.select(others | {name}, name)
        self.refresh()

    def _on_chosen(self, name: str, bits: int) -> None:
        self.edits.edit([name], "num_bits", bits)
        self.refresh()

    def _on_moved(self, cell: Cell) -> None:
        if self._table is not None:
            places = self.rows.places(self._table)
            self.area.ensureVisible(0, int((cell.row + 0.5) * places.row), 0, int(places.row))
