"""The budget panel: bits within a budget as pending settings, and evaluations by cost."""

import itertools

import numpy as np
import pytest
from PyQt5 import QtCore, QtTest, QtWidgets

from qatviz.analysis.bit_costs import CostUnit, bit_costs, quantized_weights
from qatviz.analysis.sensitivity import WIDTHS, Sensitivity
from qatviz.gui.model.edits import HOLD, LIVE
from qatviz.gui.model.ghost import ghost_of
from qatviz.gui.panels.budget.constraints import FIXED, HIGHEST, LOWEST
from qatviz.gui.panels.budget.panel import POSITIONS, BudgetPanel
from qatviz.gui.widgets.flow_layout import WrappedRows
from qatviz.gui.widgets.scrolled import Scrolled
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Evaluate, RestoreCheckpoint, WatchSensitivity
from qatviz.protocol.reasons import SaveKind, SaveReason


def sensitivity(run, step=3):
    names = tuple(tensor.name for tensor in run.plan.tensors)
    scores = np.random.RandomState(0).uniform(1, 4, (len(names), 1)) * 4.0 ** -np.array(WIDTHS)
    return Sensitivity(names, WIDTHS, scores, scores[:, -1].copy(), step, 100)


@pytest.fixture
def stage(context, staged, show):
    """A staged run with sensitivities, the panel, and a function that lets the run answer."""
    run = staged()
    context.model.process([sensitivity(run)])
    panel = show(BudgetPanel(context), 900, 400)
    panel.refresh()

    def answer(*commands):
        for command in commands:
            run.send(command)
        run.advance(1)
        context.model.process(run.drain())
        panel.refresh()

    return run, panel, answer


def changes(run):
    return [command for command in run.sent if not isinstance(command, WatchSensitivity)]


def weights_kb(panel):
    book = panel.edits.pending_book() or panel.model.book
    return bit_costs(CostUnit.CODES, panel.model.network, book, (), ()).rest


def test_without_a_run_and_without_sensitivities_a_text_says_so(context, staged, show):
    panel = show(BudgetPanel(context), 900, 400)
    panel.refresh()
    assert panel.empty.isVisible() and "No run" in panel.empty.text()
    staged()
    panel.refresh()
    assert not panel.empty.isVisible() and "Estimating the sensitivity" in panel.message.text()
    assert not panel.slider.isEnabled() and not panel.apply_button.isEnabled()


def test_the_slider_makes_the_best_bits_pending_and_apply_is_one_undoable_change(stage, context):
    run, panel, answer = stage
    edits, before = context.edits, context.model.book
    edits.set_mode(LIVE)
    assert panel.slider.value() == POSITIONS, "8 bits are the most that can be chosen"
    whole = weights_kb(panel)
    panel.slider.setValue(POSITIONS // 4)
    panel.refresh()
    assert edits.mode == HOLD and changes(run) == [] and panel.chosen is not None
    assert weights_kb(panel) == panel.chosen.cost <= 0.55 * whole
    name = next(n for n in quantized_weights(before) if edits.value(n, "num_bits") != 8)
    ghost = ghost_of(context.model, edits, name)
    assert ghost is not None and ghost.settings.num_bits == edits.value(name, "num_bits")
    rows = {
        panel.table.topLevelItem(i).text(0): panel.table.topLevelItem(i) for i in range(panel.table.topLevelItemCount())
    }
    assert set(rows) == set(quantized_weights(before))
    assert rows[name].text(1) == f"8 → {edits.value(name, 'num_bits')}"
    assert rows[name].text(2).startswith("saves ") and rows[name].text(2).endswith(" loss")
    assert "predicted loss" in panel.effect.text() and "kB" in panel.amount.text()
    chosen = panel.chosen.widths
    panel.apply_button.click()
    answer()
    assert [type(command) for command in changes(run)] == [ChangeSettings] and edits.mode == LIVE
    assert tuple(context.model.settings_of(n).num_bits for n in quantized_weights(before)) == chosen
    assert panel.chosen is None and not panel.apply_button.isEnabled()
    edits.undo()
    answer()
    assert context.model.book == before


def test_discard_restores_bits_and_mode(stage, context):
    run, panel, _ = stage
    context.edits.set_mode(LIVE)
    panel.slider.setValue(0)
    panel.refresh()
    assert context.edits.pending and {context.edits.value(n, "num_bits") for n in panel.problem.tensors} == {2}
    panel.discard_button.click()
    assert not context.edits.pending and context.edits.mode == LIVE and changes(run) == []


def test_widths_and_constraints_are_kept(stage, context):
    _run, panel, _ = stage
    for width in (2, 3):
        panel.width_buttons[width].setChecked(False)
    constraints = panel.constraints
    panel.refresh()
    assert constraints.menu().actions()[0].isEnabled()
    context.model.select(["conv1.weights"])
    panel.refresh()
    constraints._set(FIXED, None)
    context.model.select(["conv2.weights", "dense1.weights", "conv1.activations"])
    panel.refresh()
    constraints._set(LOWEST, 4)
    constraints._set(HIGHEST, 6)
    constraints._on_join()
    panel.slider.setValue(0)
    panel.refresh()
    bits = {name: context.edits.value(name, "num_bits") for name in panel.problem.tensors}
    assert bits["conv1.weights"] == 8 and bits["conv2.weights"] == bits["dense1.weights"] == 4
    assert min(bits.values()) == 4
    assert constraints.text() == "Constraints (4)" and "conv1.weights: fixed at 8 bits" in constraints.toolTip()
    constraints._on_remove(True)
    panel.refresh()
    assert constraints.text() == "Constraints"
    for button in panel.width_buttons.values():
        button.setChecked(False)
    panel.refresh()
    assert panel.problem is None and "no number of bits is possible" in panel.message.text()


def test_evaluations_are_dots_by_cost_and_the_selected_one_is_restored(stage, context):
    run, panel, answer = stage
    answer(Evaluate())
    answer(ChangeSettings((("*.weights.num_bits", 4),)))
    answer(Evaluate())
    assert len(panel.shown) == 2 and panel.shown[1].cost == panel.shown[0].cost / 2
    assert panel.shown[0].book.of("conv1.weights").num_bits == 8
    panel.plot.grab()
    places = [panel.plot.place_of(index) for index in (0, 1)]
    assert places[1].x() < places[0].x(), "it is cheaper"
    assert not panel.use_button.isEnabled()
    QtTest.QTest.mouseClick(panel.plot, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, places[0])
    panel.refresh()
    first = panel.shown[0].event
    assert panel.selection == 0
    assert f"step {first.step}" in panel.details.text() and "8 bits: conv1.weights" in panel.details.text()
    panel.use_button.click()
    assert context.edits.value("conv2.weights", "num_bits") == 8
    context.edits.discard()
    assert not panel.restore_button.isEnabled() and "no checkpoint" in panel.restore_button.toolTip()
    run.report(events.CheckpointSaved(first.step, "mine", SaveReason(SaveKind.REQUESTED)), first.point)
    context.model.process(run.drain())
    panel.refresh()
    panel.restore_button.click()
    assert run.sent[-1] == RestoreCheckpoint("mine")
    QtTest.QTest.mouseClick(panel.plot, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(2, 2))
    panel.refresh()
    assert panel.selection == -1


def test_multiplications_are_another_unit(stage):
    _run, panel, _ = stage
    panel.unit_box.setCurrentIndex(panel.unit_box.findData(CostUnit.MAC_BITS.value))
    panel.refresh()
    assert "MAC-bits" in panel.amount.text() and "MAC-bits" in panel.effect.text()


def test_another_run_starts_without_choice_and_constraints(stage, context, staged):
    _run, panel, _ = stage
    panel.constraints.constraints.set(FIXED, {"conv1.weights": 8})
    panel.slider.setValue(0)
    run = staged("mlp")
    context.model.process([sensitivity(run)])
    panel.refresh()
    assert panel.chosen is None and panel.constraints.constraints.lines == []
    assert set(panel.problem.tensors) == set(quantized_weights(run.book))


def test_estimates_are_requested_while_any_panel_wants_them(context, staged, show):
    run = staged()
    panel = show(BudgetPanel(context), 900, 400)
    panel.refresh()
    context.model.watch_sensitivity("other", True)
    panel.hide()
    assert run.sent == [WatchSensitivity(True)]
    context.model.watch_sensitivity("other", False)
    assert run.sent == [WatchSensitivity(True), WatchSensitivity(False)]


@pytest.mark.parametrize("width, height", [(300, 160), (380, 200), (900, 400)])
def test_no_parts_overlap_where_there_is_little_room(context, staged, show, app, width, height):
    run = staged()
    context.model.process([sensitivity(run)])
    panel = BudgetPanel(context)
    area = show(Scrolled(panel), width, height)
    for _ in range(3):
        panel.refresh()
        app.processEvents()
    parts = [w for w in panel.findChildren(QtWidgets.QWidget) if w.isVisible() and w.parentWidget() is not panel]
    for parent in {part.parentWidget() for part in parts if isinstance(part.parentWidget(), WrappedRows)}:
        places = [(part, part.geometry()) for part in parts if part.parentWidget() is parent]
        assert len(places) > 2
        for (one, place), (other, elsewhere) in itertools.combinations(places, 2):
            assert not place.intersects(elsewhere), (one, place, other, elsewhere)
        assert all(parent.rect().contains(place) for _, place in places)
    assert area.verticalScrollBar().isVisible() == (height < 400)
