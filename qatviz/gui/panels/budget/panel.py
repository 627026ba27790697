"""Panel that chooses the bits of the tensors within a budget, and shows all evaluations by cost and quality."""

import math
from dataclasses import replace
from typing import Any, List, Optional, Tuple

from PyQt5 import QtCore, QtWidgets

from qatviz.analysis.bit_costs import CostUnit, bit_costs, variable_tensors
from qatviz.analysis.budget import Allocation, BitAllocationProblem, allocation_problem, choices_of, considered_widths
from qatviz.analysis.sensitivity import WIDTHS, Sensitivity
from qatviz.errors import QatvizError
from qatviz.gui.model.edits import HOLD
from qatviz.gui.model.run_model import CHIP, EVENTS, RUN, SELECTION, SETTINGS, STATE, TRIALS
from qatviz.gui.model.watching import SENSITIVITY
from qatviz.gui.panels import declarations
from qatviz.gui.panels.budget.constraints import ConstraintsButton
from qatviz.gui.panels.budget.evaluations import Evaluation, Evaluations
from qatviz.gui.panels.budget.forks import ForkReading
from qatviz.gui.panels.budget.plot import ParetoPlot
from qatviz.gui.panels.budget.trials import Trials
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.flow_layout import FlowLayout, WrappedRows, flow_row
from qatviz.gui.widgets.labels import Label, plain_tip
from qatviz.gui.widgets.panel import Panel
from qatviz.gui.widgets.scrolled import Scrolled
from qatviz.gui.widgets.work_row import WorkRow
from qatviz.metric import METRICS
from qatviz.network.plan import QuantizationPlan
from qatviz.presentation.budget_texts import (
    UNIT_HELP,
    UNIT_LABELS,
    change_of_bits,
    cost_text,
    effect_on_tensor,
    effect_text,
    stuck_text,
)
from qatviz.protocol.commands import RestoreCheckpoint
from qatviz.settings import RUN_SETTINGS

#: Positions of the slider, from the least to the largest cost.
POSITIONS = 200
HEADS = ("Tensor", "Bits", "Reason")
#: Largest losses of the metric to choose from: percentage points of a fraction, percent of an error.
LOSSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_DEFAULT_LOSS = 0.01
_FIND_TIP = (
    "Find the bits of the least cost with which the metric is at most this much worse than with those in effect. A few "
    "of the predicted optima are measured on held-out data, without training; a run that trains continues meanwhile."
)
_MEASURE_TIP = (
    "Evaluate the bits of the table on held-out data without training: the result is a dot in the picture. A run that "
    "trains continues meanwhile."
)
_BITS = "num_bits"
_KEEP_BEST = RUN_SETTINGS["keep_best"].label
#: Texts until the sensitivities are known: of a run in progress, and of one that has ended.
_UNKNOWN = (
    "Estimating the sensitivity of all tensors, from which the bits are chosen…",
    "The bits are chosen from the sensitivity of the tensors: “Estimate” in the Sensitivity panel computes it.",
)
_NO_TIME = "The time on the chip is not known: {}"
#: Width below which each half of the panel scrolls, px; characters of the unit, and rows, that are shown at least.
_PART_PX, _UNIT_CHARACTERS, _LEAST_ROWS = 150, 18, 5


class BudgetPanel(Panel):
    """Slider over budgets; the bits of the least predicted loss within it become pending settings.

    Attributes
    ----------
    problem : BitAllocationProblem or None
        The present problem; None without a run, or before its sensitivities are known.
    chosen : Allocation or None
        The pending allocation; None before the slider is moved, and after it was applied or discarded.
    """

    declaration = declarations.BUDGET
    needs = SENSITIVITY
    topics = (RUN, SETTINGS, EVENTS, SELECTION, SENSITIVITY, CHIP, STATE, TRIALS)

    def _setup_ui(self) -> None:
        self.problem: Optional[BitAllocationProblem] = None
        self.chosen: Optional[Allocation] = None
        self._front: Tuple[Allocation, ...] = ()
        #: Inputs of the problem: sensitivities; settings, unit and constraints.
        self._scores: Optional[Sensitivity] = None
        self._inputs: Optional[Tuple[Any, ...]] = None
        self._plan: Optional[QuantizationPlan] = None
        self._mode_before = ""
        self.evaluations = Evaluations(self.model)
        self.shown: List[Evaluation] = []
        self.selection = -1
        self.empty = EmptyText(self)
        self.trials, self.forks = Trials(self.model, self), ForkReading(self)
        self._create_rules()
        self._create_choice()
        self._create_measurements()
        self._create_picture()

    def _create_rules(self) -> None:
        """Create the controls of unit, bits and constraints."""
        self.unit_box = QtWidgets.QComboBox()
        for number, unit in enumerate(CostUnit):
            self.unit_box.addItem(UNIT_LABELS[unit], unit.value)
            self.unit_box.setItemData(number, UNIT_HELP[unit], QtCore.Qt.ToolTipRole)
        self.unit_box.setAccessibleName("Unit of the budget")
        self.unit_box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.unit_box.setMinimumContentsLength(_UNIT_CHARACTERS)
        self.width_buttons = {width: QtWidgets.QToolButton(text=str(width), checkable=True) for width in WIDTHS}
        self.bits = QtWidgets.QWidget()
        for width, button in self.width_buttons.items():
            button.setChecked(True)
            button.setToolTip(f"Allow {width} bits")
        self.constraints = ConstraintsButton(WIDTHS)

    def _create_choice(self) -> None:
        """Create slider and table of the chosen bits."""
        self.slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, maximum=POSITIONS)
        self.slider.setAccessibleName("Budget")
        self.slider.setToolTip(
            "Largest cost: the bits of the least predicted loss within it become pending, as a ghost on every tile"
        )
        self.amount, self.effect, self.message = Label(), Label(wordWrap=True), Label(wordWrap=True)
        self.apply_button = QtWidgets.QPushButton("Apply")
        self.discard_button = QtWidgets.QPushButton("Discard", toolTip="Discard the chosen bits")
        self.table = QtWidgets.QTreeWidget()
        self.table.setHeaderLabels(list(HEADS))
        self.table.setRootIsDecorated(False)
        self.table.setUniformRowHeights(True)
        self.table.setAccessibleName("Bits and reasons by tensor")

    def _create_measurements(self) -> None:
        """Create the controls of measurements and of the search."""
        self.measure_button = QtWidgets.QPushButton("Measure", toolTip=_MEASURE_TIP)
        self.loss_label = Label()
        self.loss_box = QtWidgets.QComboBox(toolTip=_FIND_TIP)
        self.loss_box.setAccessibleName("Largest loss of the metric")
        for loss in LOSSES:
            self.loss_box.addItem(f"{100 * loss:g} %", loss)
        self.loss_box.setCurrentIndex(LOSSES.index(_DEFAULT_LOSS))
        self.find_button = QtWidgets.QPushButton("Find bits", toolTip=_FIND_TIP)
        self.work = WorkRow()
        self.trial_text = Label(wordWrap=True)

    def _create_picture(self) -> None:
        """Create the picture of all evaluations, and what can be done with the selected one."""
        self.plot = ParetoPlot(self.theme)
        self.details = Label(wordWrap=True)
        self.restore_button = QtWidgets.QPushButton("Restore")
        self.use_button = QtWidgets.QPushButton(
            "Use these settings", toolTip="Request the settings of the selected evaluation; the weights stay"
        )

    def _layout(self) -> None:
        self._content = QtWidgets.QWidget()
        self._parts = QtWidgets.QSplitter(QtCore.Qt.Horizontal)
        self._parts.setChildrenCollapsible(False)
        for part in (self._choice_part(), self._picture_part()):
            place = Scrolled(part)
            place.limit_minimum(QtCore.QSize(_PART_PX, 1))  # each part scrolls, not the panel
            self._parts.addWidget(place)
        self._parts.setSizes([1, 1])
        inner = QtWidgets.QVBoxLayout(self._content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self._parts)
        whole = QtWidgets.QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._content)

    def _choice_part(self) -> WrappedRows:
        """Return the half with budget and bits."""
        part = WrappedRows()
        rows = QtWidgets.QVBoxLayout(part)
        rows.setContentsMargins(6, 4, 6, 4)
        rows.addLayout(self._rules_row())
        budget = QtWidgets.QHBoxLayout()
        budget.addWidget(self.slider, 1)
        budget.addWidget(self.amount)
        rows.addLayout(budget)
        rows.addWidget(self.effect)
        rows.addWidget(self.message)
        rows.addLayout(flow_row(self.apply_button, self.discard_button, self.measure_button, self.work))
        rows.addLayout(self._search_row())
        rows.addWidget(self.trial_text)
        rows.addWidget(self.table, 1)
        return part

    def _rules_row(self) -> FlowLayout:
        bits = QtWidgets.QHBoxLayout(self.bits)  # one widget, so that a row has all of them or none
        bits.setContentsMargins(0, 0, 0, 0)
        bits.setSpacing(2)
        for button in self.width_buttons.values():
            bits.addWidget(button)
        return flow_row(self.unit_box, self.bits, self.constraints)

    def _search_row(self) -> FlowLayout:
        find = QtWidgets.QWidget()
        by_loss = QtWidgets.QHBoxLayout(find)
        by_loss.setContentsMargins(0, 0, 0, 0)
        by_loss.setSpacing(4)
        by_loss.addWidget(self.loss_box)
        by_loss.addWidget(self.find_button)
        return flow_row(self.loss_label, find)

    def _picture_part(self) -> WrappedRows:
        """Return the half with the picture."""
        part = WrappedRows()
        picture = QtWidgets.QVBoxLayout(part)
        picture.setContentsMargins(6, 4, 6, 4)
        picture.addWidget(self.plot, 1)
        picture.addWidget(self.forks)
        picture.addWidget(self.details)
        picture.addLayout(flow_row(self.restore_button, self.use_button))
        return part

    def _connect(self) -> None:
        self.unit_box.currentIndexChanged.connect(self._on_rules)
        for button in self.width_buttons.values():
            button.toggled.connect(self._on_rules)
        self.constraints.changed.connect(self._on_rules)
        self.slider.valueChanged.connect(self._on_slider)
        self.apply_button.clicked.connect(self._on_apply)
        self.discard_button.clicked.connect(self._on_discard)
        self.measure_button.clicked.connect(self._on_measure)
        self.find_button.clicked.connect(self._on_find)
        self.work.cancel.clicked.connect(lambda: self.trials.cancel())
        self.trials.changed.connect(self.mark_due)
        self.trials.found.connect(self._on_found)
        self.plot.selected.connect(self._on_selected)
        self.restore_button.clicked.connect(self._on_restore)
        self.use_button.clicked.connect(self._on_use)
        self.table.itemClicked.connect(lambda item, _column: self.model.select([item.text(0)]))
        self.edits.changed.connect(self._on_edits)
        self.model.changed.connect(lambda topic: self._on_run() if topic == RUN else None)

    @property
    def unit(self) -> CostUnit:
        """Unit of the budget."""
        return CostUnit(self.unit_box.currentData())

    # Display

    def update_from(self) -> None:
        self._content.setVisible(self.model.book is not None)
        if self.model.book is None:
            self.empty.show_text(self.model.no_run_text("No run. Its bits can be chosen here once there is one."))
            return
        self.empty.show_text("")
        self.forks.begin()
        present = self._variable_selection()
        self.constraints.show_selected({name: self.model.settings_of(name).num_bits for name in present})
        self._update_problem()
        self._show_choice()
        self._show_trials()
        self._show_evaluations()

    def _show_trials(self) -> None:
        can_begin = self.problem is not None and not self.trials.is_busy
        newest = self.model.evaluation
        metric = METRICS[newest.metric] if newest is not None else None
        title = metric.title if metric is not None else "metric"
        self.loss_label.setText(f"{title[:1].upper()}{title[1:]} worse by at most")
        for widget in (self.measure_button, self.find_button, self.loss_box):
            widget.setEnabled(can_begin)
        self.work.show_fraction(self.trials.fraction if self.trials.is_busy else None)
        self.trial_text.setText(self.trials.text)
        self.trial_text.setVisible(bool(self.trials.text))

    def _variable_selection(self) -> List[str]:
        book = self.model.book
        variable = variable_tensors(self.unit, book) if book is not None else ()
        return [name for name in self.model.selected if name in variable]

    def _update_problem(self) -> None:
        """Make the problem for the present settings, sensitivities and constraints, unless nothing has changed."""
        book, network, sensitivity = self.model.book, self.model.network, self.model.sensitivity
        widths = tuple(width for width, button in self.width_buttons.items() if button.isChecked())
        rules = self.constraints.constraints.rules(widths)
        inputs = (book, self.unit, rules, self.model.chip if self.unit is CostUnit.TIME else None)
        if sensitivity is self._scores and inputs == self._inputs:
            return
        tensors = variable_tensors(self.unit, book) if book is not None else ()
        if self.problem is not None and self.problem.tensors != tensors:
            self.chosen = None
        self._scores, self._inputs, self.problem, self._front = sensitivity, inputs, None, ()
        self._plan = self.model.plan
        if sensitivity is None or network is None or book is None or not tensors:
            self.message.setText(
                _UNKNOWN[self.model.ended] if tensors else "No weights are quantized: there are no bits to choose."
            )
            return
        if self.unit is CostUnit.TIME and not self._is_time_known():
            self.message.setText(_NO_TIME.format(self.model.chip_problem or "it is being estimated."))
            return
        considered = considered_widths(book, tensors, rules, self.chosen.widths if self.chosen is not None else ())
        costs = bit_costs(self.unit, network, book, tensors, considered, self.model.chip)
        problem = allocation_problem(book, sensitivity, tensors, considered, costs.costs, costs.rest, rules)
        stuck = problem.without_choice
        same = UNIT_HELP[CostUnit.TIME] if self.unit is CostUnit.TIME else ""
        self.message.setText(stuck_text(stuck, rules.widths, book) if stuck else same)
        if not stuck:
            self.problem, self._front = problem, problem.front()

    def _is_time_known(self) -> bool:
        return self.model.chip is not None and not math.isnan(self.model.chip.cycles)

    def _present(self) -> Allocation:
        assert self.problem is not None, "there is a problem"
        return self.problem.allocation_of([self.model.settings_of(name).num_bits for name in self.problem.tensors])

    def _ends(self) -> Tuple[int, int]:
        """Return the least and the largest budget."""
        return self._front[0].cost, max(self._front[-1].cost, self._present().cost)

    def _budget(self) -> int:
        low, high = self._ends()
        return low + round((high - low) * self.slider.value() / POSITIONS)

    def _set_slider(self, cost: int) -> None:
        low, high = self._ends()
        blocker = QtCore.QSignalBlocker(self.slider)
        self.slider.setValue(round(POSITIONS * (cost - low) / (high - low)) if high > low else POSITIONS)
        blocker.unblock()

    def _show_choice(self) -> None:
        problem = self.problem
        for widget in (self.slider, self.table):
            widget.setEnabled(problem is not None)
        self.message.setVisible(bool(self.message.text()))
        self.effect.setVisible(problem is not None)
        is_pending = self.chosen is not None and problem is not None
        self.apply_button.setEnabled(is_pending and not self.edits.are_previews)
        self.discard_button.setEnabled(self.chosen is not None)
        self.apply_button.setToolTip(
            "The run has ended: the chosen bits are previewed, and evaluated with Ctrl+E"
            if self.edits.are_previews
            else "Apply the chosen bits as one change; undo reverts it"
        )
        if problem is None:
            self.amount.setText("")
            self.effect.setText("")
            self.table.clear()
            return
        present = self._present()
        shown = problem.allocation_of(self.chosen.widths) if self.chosen is not None else present
        if self.chosen is None:
            self._set_slider(present.cost)
        self.amount.setText(cost_text(self.unit, self._budget() if self.chosen is not None else present.cost))
        self.effect.setText(effect_text(self.unit, present, shown))
        self._fill_table(problem, present, shown)

    def _fill_table(self, problem: BitAllocationProblem, present: Allocation, shown: Allocation) -> None:
        rows = [
            [choice.tensor, change_of_bits(choice), effect_on_tensor(choice, self.unit)]
            for choice in choices_of(problem, present.widths, shown)
        ]
        for number, row in enumerate(rows):
            item = self.table.topLevelItem(number) or QtWidgets.QTreeWidgetItem(self.table)
            for column, text in enumerate(row):
                item.setText(column, text)
                item.setToolTip(column, plain_tip(row[-1]))
        while self.table.topLevelItemCount() > len(rows):
            self.table.takeTopLevelItem(len(rows))
        for column in range(len(HEADS) - 1):
            self.table.resizeColumnToContents(column)
        around = self.table.header().sizeHint().height() + self.table.horizontalScrollBar().sizeHint().height()
        around += 2 * self.table.frameWidth()
        self.table.setMinimumHeight(around + min(len(rows), _LEAST_ROWS) * self.table.sizeHintForRow(0))

    def _show_evaluations(self) -> None:
        self.shown = self.evaluations.of_run(self.unit)
        self.selection = self.selection if self.selection < len(self.shown) else -1
        chosen = self.chosen or (self._present() if self.problem is not None else None)
        self.plot.show_points(self.unit, self.shown, self._front, chosen, self.selection)
        found = self.shown[self.selection] if self.selection >= 0 else None
        self.details.setText(found.text(self.unit) if found is not None else "Click on a dot to select an evaluation.")
        checkpoint = self.evaluations.checkpoint_of(found) if found is not None else None
        self.use_button.setEnabled(found is not None)
        reason = self.model.unavailable_text()
        if checkpoint is None:
            reason = f"There is no checkpoint of the selected state; with “{_KEEP_BEST}”, the run saves one of the best"
        self.restore_button.setEnabled(not reason)
        self.restore_button.setToolTip(
            plain_tip(reason or f"Set the run, weights included, to the checkpoint {checkpoint}")
        )

    def apply_theme(self) -> None:
        self.plot.changed()

    # User actions

    def _on_run(self) -> None:
        self.chosen, self.selection, self._inputs, self._mode_before = None, -1, None, ""
        self.evaluations.clear()
        self.forks.restart()
        self.constraints.reset()

    def _on_rules(self) -> None:
        if self.model.book is not None:
            self._update_problem()
            if self.chosen is not None:
                self._choose()
        self.mark_due()

    def _on_slider(self) -> None:
        self._update_problem()
        if self.problem is not None:
            self._choose()

    def _on_measure(self) -> None:
        book = self.edits.pending_book() or self.model.book
        assert book is not None, "there are bits to measure"
        self.trials.measure(book)

    def _on_find(self) -> None:
        assert self.problem is not None, "there is a front"
        assert self.model.book is not None, "there is a run"
        book, tensors = self.model.book, self.problem.tensors
        self.trials.find(
            self._front,
            self.loss_box.currentData(),
            lambda point: book.change([(f"{n}.{_BITS}", width) for n, width in zip(tensors, point.widths)])[0],
        )

    def _on_found(self, found: Allocation) -> None:
        if self.problem is not None:
            self._set_slider(found.cost)
            self._make_pending(found)

    def _choose(self) -> None:
        """Make the bits of the least predicted loss within the budget pending."""
        if self.problem is None:
            return
        self.trials.forget()
        found = self.problem.best_within(self._budget())
        if found is not None:
            self._make_pending(found)

    def _make_pending(self, found: Allocation) -> None:
        """Make the bits of an allocation pending, in Hold mode, so that they are applied together."""
        if self.problem is None:
            return
        if not self.edits.are_previews and self.edits.mode != HOLD:
            self._mode_before = self.edits.mode
            self.edits.set_mode(HOLD)
        self.chosen = None  # edits of others discard it
        for width in sorted(set(found.widths)):
            self.edits.edit([n for n, own in zip(self.problem.tensors, found.widths) if own == width], _BITS, width)
        self.chosen = found
        self.mark_due()

    def _on_edits(self) -> None:
        """Forget the choice once the pending bits are others: they were applied, discarded or edited elsewhere."""
        if self.chosen is not None and self.problem is not None and self.model.plan is self._plan:
            pending = [self.edits.value(name, _BITS) for name in self.problem.tensors]
            if list(self.chosen.widths) != pending:
                self.chosen = None
        self.mark_due()

    def _on_apply(self) -> None:
        self.edits.apply()
        self.chosen = None
        self._restore_mode()

    def _on_discard(self) -> None:
        self.chosen = None
        self.edits.discard()
        self._restore_mode()

    def _restore_mode(self) -> None:
        if self._mode_before:
            self.edits.set_mode(self._mode_before)
            self._mode_before = ""

    def _on_selected(self, index: int) -> None:
        self.selection = index
        self.mark_due()

    def _on_restore(self) -> None:
        name = self.evaluations.checkpoint_of(self.shown[self.selection])
        if name is not None:
            try:
                self.model.send(RestoreCheckpoint(name))
            except QatvizError as error:
                self.edits.refused.emit(str(error))

    def _on_use(self) -> None:
        assert self.model.book is not None, "an evaluation is that of a run"
        self.edits.apply_settings(replace(self.shown[self.selection].book, run=self.model.book.run))
