"""Panel that answers whether the network fits a chip: flash, RAM and time, and which layer makes the peak."""

from html import escape
from typing import List

from PyQt5 import QtCore, QtWidgets

from qatviz.analysis.chip.targets import Target, target, targets
from qatviz.gui.model.run_model import CHIP, RUN, SELECTION
from qatviz.gui.panels import declarations
from qatviz.gui.panels.chip.timeline import TimelineView
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.flow_layout import flow_row
from qatviz.gui.widgets.labels import Label, RichLabel, plain_tip
from qatviz.gui.widgets.panel import Panel
from qatviz.presentation.chip_texts import error_text, facts, layer_text, source_lines, sources_text

_LEAST_MHZ, _MOST_MHZ = 1.0, 4000.0
#: Characters of the target that are shown at least.
_TARGET_CHARACTERS = 24
_TARGET_TIP = (
    "Library of kernels, and the processor core or the chip that it runs on; times on measured chips are more exact"
)
_CLOCK_TIP = "Clock of the core; cycles do not depend on it, the time does"
_FACTS = ("Flash", "RAM", "MACs", "Time")
_COMPUTING = "Estimating flash, RAM and time…"


class ChipPanel(Panel):
    """Choice of a chip, the summary of the network on it, and the timeline of its buffers."""

    declaration = declarations.CHIP
    topics = (RUN, CHIP, SELECTION)
    #: Emitted with the :class:`qatviz.analysis.chip.targets.Target` that the user has chosen.
    target_chosen = QtCore.pyqtSignal(object)

    def _setup_ui(self) -> None:
        self.target_box = QtWidgets.QComboBox()
        self.target_box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.target_box.setMinimumContentsLength(_TARGET_CHARACTERS)
        for number, choice in enumerate(targets()):
            self.target_box.addItem(f"{choice.kernels.label} on {choice.part}", choice.key)
            tip = f"{choice.kernels.about}. {sources_text(choice)} Error of times: {error_text(choice)}"
            self.target_box.setItemData(number, tip, QtCore.Qt.ToolTipRole)
        self.target_box.setAccessibleName("Kernels and core")
        self.target_box.setToolTip(_TARGET_TIP)
        self.clock_box = QtWidgets.QDoubleSpinBox(decimals=0, minimum=_LEAST_MHZ, maximum=_MOST_MHZ, suffix=" MHz")
        self.clock_box.setKeyboardTracking(False)
        self.clock_box.setAccessibleName("Clock")
        self.clock_box.setToolTip(_CLOCK_TIP)
        self.facts = {name: RichLabel() for name in _FACTS}
        self.timeline = TimelineView(self.theme)
        self.menu = FigureMenu(self.timeline)
        self.selected, self.sources = Label(wordWrap=True), Label(wordWrap=True)
        self.empty = EmptyText(self)
        self.show_target(target())

    def _layout(self) -> None:
        self._content = QtWidgets.QWidget()
        bar = flow_row(self.target_box, self.clock_box, *self.facts.values(), spacing=6)
        rows = QtWidgets.QVBoxLayout(self._content)
        rows.setContentsMargins(6, 4, 6, 4)
        rows.addLayout(bar)
        rows.addWidget(self.timeline, 1)
        rows.addWidget(self.selected)
        rows.addWidget(self.sources)
        whole = QtWidgets.QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._content)

    def _connect(self) -> None:
        self.target_box.currentIndexChanged.connect(self._on_target)
        self.clock_box.valueChanged.connect(self._on_clock)
        self.timeline.chosen.connect(self._on_layer)

    def apply_theme(self) -> None:
        self.timeline.changed()

    def show_target(self, shown: Target) -> None:
        """Show the target that estimates are for."""
        for widget in (self.target_box, self.clock_box):
            widget.blockSignals(True)
        self.target_box.setCurrentIndex(self.target_box.findData(shown.key))
        self.clock_box.setValue(shown.mhz)
        for widget in (self.target_box, self.clock_box):
            widget.blockSignals(False)

    def update_from(self) -> None:
        found = self.model.chip
        self._content.setVisible(self.model.book is not None)
        if self.model.book is None:
            self.empty.show_text(self.model.no_run_text("No run. Its network is estimated for chips here."))
            return
        self.empty.show_text("" if found is not None else self.model.chip_problem or _COMPUTING)
        self.timeline.show_estimate(found, self._selected_layers())
        for fact in facts(found) if found is not None else []:
            self.facts[fact.name].setText(f"{fact.name} <b>{escape(fact.brief)}</b>&nbsp; ")
            self.facts[fact.name].setToolTip(plain_tip(f"{fact.name}: {fact.value}.\n\n{fact.help}"))
        parts: List[QtWidgets.QWidget] = [*self.facts.values(), self.timeline, self.selected, self.sources]
        for part in parts:
            part.setVisible(found is not None)
        if found is not None:
            self.selected.setText("; ".join(f"{name}: {layer_text(found, name)}" for name in self._selected_layers()))
            self.sources.setText(sources_text(found.target))
            self.sources.setToolTip("\n".join(source_lines(found.target)))

    def _selected_layers(self) -> List[str]:
        plan = self.model.plan
        if plan is None:
            return []
        return list(dict.fromkeys(plan.tensor(name).layer for name in self.model.selected))

    def _on_target(self) -> None:
        self._choose(target(self.target_box.currentData()))

    def _on_clock(self, mhz: float) -> None:
        self._choose(target(self.target_box.currentData(), "", mhz))

    def _choose(self, chosen: Target) -> None:
        self.show_target(chosen)
        self.target_chosen.emit(chosen)

    def _on_layer(self, layer: str) -> None:
        plan = self.model.plan
        if plan is not None:
            names = [tensor.name for tensor in plan.tensors if tensor.layer == layer]
            grid = [] if names else [plan.grid_of(layer)]
            self.model.select((names or grid)[:1])
