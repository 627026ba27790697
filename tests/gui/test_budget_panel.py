"""The budget panel: bits within a budget as pending settings, and evaluations by cost."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PyQt5 import QtCore, QtTest, QtWidgets
from recorded_samples import record_run
from staging import StagedRun, sensitivity

from qatviz.analysis.bit_costs import CostUnit, bit_costs, quantized_weights
from qatviz.app.launching import AppLauncher
from qatviz.gui.model.edits import HOLD, LIVE
from qatviz.gui.model.ghost import ghost_of
from qatviz.gui.model.launcher import EVALUATION, FORKS
from qatviz.gui.model.watching import SENSITIVITY
from qatviz.gui.panels.budget.constraints import FIXED, HIGHEST, LOWEST
from qatviz.gui.panels.budget.panel import POSITIONS, BudgetPanel
from qatviz.gui.widgets.flow_layout import WrappedRows
from qatviz.gui.widgets.scrolled import Scrolled
from qatviz.metric import MODES
from qatviz.presentation.scene import Text
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Evaluate, EvaluateSettings, RestoreCheckpoint, WatchSensitivity
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.trials import ForkEvaluation, SettingsEvaluated


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
    (left, right), message = panel._parts.sizes(), panel.message
    corner = message.mapTo(panel, QtCore.QPoint())
    assert corner.y() < panel.table.mapTo(panel, QtCore.QPoint()).y() and corner.x() > 0
    assert message.width() < left and right > 0, "beside the picture"


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
    assert "accuracy (%)" in [shape.text for shape in panel.plot.scene().shapes if isinstance(shape, Text)]
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
    assert run.sent[-1] == RestoreCheckpoint("mine") and "checkpoint mine" in panel.restore_button.toolTip()
    QtTest.QTest.mouseClick(panel.plot, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.QPoint(2, 2))
    panel.refresh()
    assert panel.selection == -1
    run.end(events.Stopped(run.step))
    context.model.process(run.drain())
    panel.plot.selected.emit(0)
    panel.refresh()
    assert not panel.restore_button.isEnabled() and "has been stopped" in panel.restore_button.toolTip()


def test_multiplications_are_another_unit(stage):
    _run, panel, _ = stage
    panel.unit_box.setCurrentIndex(panel.unit_box.findData(CostUnit.MAC_BITS.value))
    panel.refresh()
    assert "MAC-bits" in panel.amount.text() and "MAC-bits" in panel.effect.text()


def test_with_activations_their_bits_are_chosen_too(stage, context):
    _run, panel, _ = stage
    panel.unit_box.setCurrentIndex(panel.unit_box.findData(CostUnit.WITH_ACTIVATIONS.value))
    panel.refresh()
    assert panel.problem.tensors == tuple(tensor.name for tensor in context.model.tensors)
    context.model.select(["conv1.activations"])
    panel.refresh()
    panel.constraints._set(LOWEST, 6)
    panel.slider.setValue(0)
    panel.refresh()
    assert context.edits.value("conv1.activations", "num_bits") == 6
    assert context.edits.value("conv2.activations", "num_bits") == 2
    assert panel.chosen.cost == panel._front[0].cost


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
    context.model.watch(SENSITIVITY, "other", True)
    panel.hide()
    assert run.sent == [WatchSensitivity(True)]
    context.model.watch(SENSITIVITY, "other", False)
    assert run.sent == [WatchSensitivity(True), WatchSensitivity(False)]


def mean_bits(book):
    return float(np.mean([book.of(name).num_bits for name in quantized_weights(book)]))


def test_the_bits_of_the_table_are_measured_without_training(stage, context):
    run, panel, answer = stage
    before = context.model.book
    run.score_of = lambda book: mean_bits(book) / 10
    panel.slider.setValue(POSITIONS // 4)
    panel.refresh()
    wanted = context.edits.pending_book()
    panel.measure_button.click()
    panel.refresh()
    assert panel.work.isVisible() and not panel.find_button.isEnabled()
    answer()
    assert [type(command) for command in changes(run)] == [EvaluateSettings] and context.model.book == before
    assert context.edits.pending_book() == wanted, "they stay pending"
    assert len(panel.shown) == 1 and panel.shown[0].is_trial
    assert panel.shown[0].book.quantizers == wanted.quantizers and panel.shown[0].cost == weights_kb(panel)
    assert f"{10 * mean_bits(wanted):.1f}" in panel.trial_text.text() and not panel.work.isVisible()
    panel.plot.setFocus()
    QtTest.QTest.keyClick(panel.plot, QtCore.Qt.Key_Left)
    panel.refresh()
    assert panel.selection == 0 and "without training" in panel.details.text()
    assert panel.use_button.isEnabled() and not panel.restore_button.isEnabled()


def test_evaluations_that_others_requested_do_not_end_a_measurement(stage, context):
    run, panel, _answer = stage
    panel.slider.setValue(POSITIONS // 4)
    panel.refresh()
    wanted = context.edits.pending_book()
    panel.measure_button.click()
    evaluated = [events.Evaluated(3, dict.fromkeys(MODES, score), 1000, 0.1) for score in (0.125, 0.625)]
    for book in (context.model.book, wanted):  # such as those of a remedy
        context.model.process([SettingsEvaluated(book, evaluated[0], "other"), SettingsEvaluated(book, evaluated[0])])
    assert panel.trials.is_busy
    context.model.process([SettingsEvaluated(wanted, evaluated[1], run.sent_ids[-1])])
    assert not panel.trials.is_busy and "62.5" in panel.trials.text


@pytest.mark.parametrize("loss", [0.05, 0.01])
def test_the_cheapest_bits_that_lose_little_are_found_by_measurements(stage, context, loss):
    run, panel, answer = stage
    run.score_of = lambda book: 0.9 + 0.02 * mean_bits(book) / 2
    panel.loss_box.setCurrentIndex(panel.loss_box.findData(loss))
    panel.find_button.click()
    for _ in range(20):
        answer()
        if not panel.trials.is_busy:
            break
    front = panel._front
    good = [point for point in front if 0.01 * (8 - np.mean(point.widths)) <= loss + 1e-9]
    assert 0 < len(good) < len(front)
    assert panel.chosen == good[0] and panel.apply_button.isEnabled()
    assert panel.slider.value() == round(POSITIONS * (good[0].cost - front[0].cost) / (front[-1].cost - front[0].cost))
    count = len(context.model.trials)
    assert count <= len(front).bit_length() + 2 and f"{count - 1} measurements" in panel.trial_text.text()
    panel.slider.setValue(POSITIONS // 2)
    panel.refresh()
    assert not panel.trial_text.isVisible(), "other bits are chosen"


def test_a_search_without_result_and_one_that_is_cancelled(stage, context):
    run, panel, answer = stage
    run.score_of = lambda book: 0.9 if book == context.model.book else 0.5
    panel.width_buttons[8].setChecked(False)
    panel.refresh()
    panel.find_button.click()
    for _ in range(3):
        answer()
    assert "the metric loses more" in panel.trial_text.text() and panel.chosen is None
    panel.find_button.click()
    panel.refresh()
    panel.work.cancel.click()
    answer()
    assert not panel.trials.is_busy and panel.chosen is None and panel.find_button.isEnabled()
    panel.measure_button.click()
    context.model.process([SettingsEvaluated(context.model.book, None, run.sent_ids[-1])])
    panel.refresh()
    assert panel.trial_text.text().startswith("Not measured") and not panel.trials.is_busy


def test_the_window_measures_for_a_run_that_has_ended(stage, context):
    run, panel, answer = stage
    run.end(events.Stopped(run.step))
    answer()
    wanted, cancelled = [], []
    panel.trials.wanted.connect(wanted.append)
    panel.trials.cancelled.connect(lambda: cancelled.append(True))
    panel.measure_button.click()
    assert wanted == [context.model.book]
    panel.trials.fail("no data")
    panel.refresh()
    assert panel.trial_text.text() == "Not measured: no data" and cancelled == [True]


def test_the_buttons_of_the_bits_stay_together(stage):
    _run, panel, _ = stage
    for width in (420, 500, 640, 900):
        panel.resize(width, 420)
        panel.refresh()
        assert len({button.mapTo(panel, QtCore.QPoint()).y() for button in panel.width_buttons.values()}) == 1


def test_the_window_evaluates_bits_of_a_run_that_has_ended(staged_window, app):
    window, run, advance = staged_window
    run.end(events.Stopped(3))
    window.model.process([sensitivity(run)])
    advance(0)
    window.docks.open("budget")
    panel = window.panels["budget"]
    app.processEvents()
    panel.refresh()
    panel.slider.setValue(POSITIONS // 4)
    panel.refresh()
    panel.measure_button.click()
    (_run, _directory, book), what_if = window.launcher.evaluations[-1], window.panels["quantization"].what_if
    assert book == window.edits.pending_book() and not what_if.is_busy
    result = events.Evaluated(3, dict.fromkeys(MODES, 0.625), 1000, 0.1)
    window.launcher.works[EVALUATION].found.emit(result)
    panel.refresh()
    assert panel.shown[-1].event == result and panel.shown[-1].book == book and "62.5" in panel.trial_text.text()
    # An evaluation of the other panel is shown, too, and one at a time is in progress.
    what_if.evaluate()
    assert what_if.is_busy
    panel.measure_button.click()
    assert not what_if.is_busy and len(window.launcher.evaluations) == 3
    window.launcher.works[EVALUATION].failed.emit("no data")
    panel.refresh()
    assert panel.trial_text.text() == "Not measured: no data"


@pytest.mark.parametrize("width, height", [(300, 160), (380, 200), (900, 400)])
def test_no_parts_overlap_where_there_is_little_room(context, staged, show, app, width, height):
    run = staged()
    context.model.process([sensitivity(run)])
    panel = BudgetPanel(context)
    show(panel, width, height)
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
    halves = panel.findChildren(Scrolled)
    assert len(halves) == 2 and all(half.verticalScrollBar().isVisible() == (height < 400) for half in halves)
    assert panel.minimumSizeHint().width() < 320
    assert panel.table.topLevelItemCount() == 4 and not panel.table.verticalScrollBar().isVisible(), "its half scrolls"


@pytest.fixture
def recorded(context, staged, show):
    """A recorded staged run with sensitivities, the panel, and a list with an item for each reading of forks."""
    run = staged(directory="runs/lenet")
    context.model.process([sensitivity(run)])
    panel, asked = BudgetPanel(context), []
    panel.forks.wanted.connect(lambda: asked.append(run))
    show(panel, 900, 400)
    panel.refresh()
    return run, panel, asked


def test_evaluations_of_forks_are_dots_that_name_their_fork(recorded, context):
    run, panel, asked = recorded
    panel.refresh()
    assert len(asked) == 1, "they are read again after a while only"
    run.send(Evaluate())
    run.advance(1)
    context.model.process(run.drain())
    own = context.model.evaluation
    book, _ = run.book.change([("*.weights.num_bits", 4)])
    context.model.show_forks((ForkEvaluation("runs/lenet-2", "lenet-2", book, replace(own, step=own.step + 9)),))
    panel.refresh()
    assert [evaluation.fork for evaluation in panel.shown] == ["", "lenet-2"]
    assert panel.shown[1].cost == panel.shown[0].cost / 2
    panel._on_selected(1)
    panel.refresh()
    assert "of the fork lenet-2" in panel.details.text()
    assert not panel.restore_button.isEnabled() and panel.use_button.isEnabled()
    panel.use_button.click()
    run.advance(1)
    context.model.process(run.drain())
    assert context.model.settings_of("conv1.weights").num_bits == 4, "the settings of the fork are used here"
    panel.hide()
    panel.forks._on_time()
    assert len(asked) == 1 and not panel.forks._timer.isActive()


def test_forks_that_can_not_be_read_are_reported_once_and_read_again_on_request(recorded):
    _run, panel, asked = recorded
    assert len(asked) == 1 and not panel.forks.isVisible()
    panel.forks.fail("runs: permission denied")
    for _ in range(2):
        panel.refresh()
    assert panel.forks.isVisible() and panel.forks.text.text() == "Forks not read: runs: permission denied"
    assert len(asked) == 1 and not panel.forks._timer.isActive()
    panel.forks.button.click()
    assert len(asked) == 2 and not panel.forks.isVisible() and panel.forks._timer.isActive()
    panel.forks.restart()
    panel.forks.fail("of the run before")
    assert not panel.forks.isVisible()


def test_the_window_reads_the_forks_of_a_recorded_run(context, tmp_path, app, qtbot):
    record_run(tmp_path / "parent", steps=10, run_id="parent")
    origin = {"run_id": "parent", "directory": str(tmp_path / "parent"), "checkpoint": "c", "step": 10}
    record_run(tmp_path / "fork", steps=20, first=10, run_id="fork", forked_from=origin)
    launcher = AppLauncher()
    with qtbot.waitSignal(launcher.works[FORKS].found) as read:
        launcher.read_forks(StagedRun(), str(tmp_path / "parent"))
    ((directory, found),) = read.args
    assert directory == str(tmp_path / "parent") and {each.name for each in found} == {"fork"}
    launcher.wait()
