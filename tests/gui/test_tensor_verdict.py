"""The verdict on the tensor page, and the change that it offers."""

from dataclasses import replace

import numpy as np
from PyQt5 import QtCore, QtWidgets
from tensor_stage import NAME, advance_and_draw, change, clock, make  # noqa: F401

from qatviz.analysis.remedies import Remedy
from qatviz.gui.model.remedy_trials import RemedyTrials
from qatviz.gui.model.run_model import SETTINGS
from qatviz.metric import MODES
from qatviz.protocol.commands import EvaluateSettings
from qatviz.protocol.events import Evaluated, Finished
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, read_only
from qatviz.protocol.trials import SettingsEvaluated


def test_an_offer_is_computed_applied_and_undone(context, staged, make, qtbot):
    run = staged(steps=1)
    # With this range, no learned one is tried on held-out data instead.
    change(context, run, make(), per_channel=False, symmetric=True, num_bits=3, range_method="percentile")
    panel = make()
    context.model.select([NAME], NAME)
    advance_and_draw(context, run, panel)
    qtbot.waitUntil(panel.verdict.button.isVisible)
    offer, before = panel.verdict.button.text(), context.model.settings_of(NAME)
    assert "SQNR" in offer and "→" in offer and panel.verdict.text.text().endswith(".")
    panel.verdict.button.click()
    assert not panel.verdict.button.isVisible()
    qtbot.waitUntil(lambda: not context.edits.unsent)
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME) != before
    context.edits.undo()
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME) == before


def test_a_long_offer_does_not_widen_the_panel(context, staged, make):
    staged()
    panel = make()
    before = panel.minimumSizeHint().width()
    button = panel.verdict.button
    text = "Range Least squared error (MSE): SQNR ≈ 8.2 dB → 10.8 dB or more"
    button.setText(text)
    button.show()
    QtWidgets.QApplication.processEvents()  # which lays the panel out anew
    assert panel.minimumSizeHint().width() == before < button.sizeHint().width()
    button.setFixedSize(button.sizeHint().width() // 2, button.sizeHint().height())
    option = QtWidgets.QStyleOptionButton()
    button.initStyleOption(option)
    room = button.style().subElementRect(QtWidgets.QStyle.SE_PushButtonContents, option, button).width()
    plain = QtWidgets.QPushButton(button.fontMetrics().elidedText(text, QtCore.Qt.ElideMiddle, room), button.parent())
    plain.setFixedSize(button.size())
    assert "…" in plain.text() and button.grab().toImage() == plain.grab().toImage()
    assert button.text() == text


def test_nothing_is_offered_for_a_good_tensor(context, staged, make, qtbot):
    run, panel = staged(steps=1), make()
    change(context, run, panel, per_channel=True, num_bits=8)
    advance_and_draw(context, run, panel)
    assert panel.verdict.text.text().startswith("Good")
    assert not panel.verdict.button.isVisible() and panel.verdict._trials is None


def oscillating(run, fraction=0.08, **others):
    """Make the snapshots of a staged run say that weights of the tensor oscillate, and other measures."""
    take = run.take_snapshot

    def take_snapshot():
        take()
        snapshot = run._news.pop()
        while not isinstance(snapshot, Snapshot):
            snapshot = run._news.pop()
        values = snapshot.values.copy()
        for name, value in {"oscillating": fraction, **others}.items():
            values[SNAPSHOT_MEASURES.index(name), run.plan.index(NAME)] = value
        run._news.append(replace(snapshot, values=read_only(values)))

    run.take_snapshot = take_snapshot


def evaluate(context, run, *scores):
    """Answer the evaluations that are waiting, with one quantized accuracy each."""
    wanted = [pair for pair in zip(run.sent, run.sent_ids) if isinstance(pair[0], EvaluateSettings)]
    for (command, command_id), score in zip(wanted[-2:], scores):
        book = context.model.book.change(command.assignments)[0]
        result = Evaluated(run.step, dict.fromkeys(MODES, score), 1000, 0.1, "accuracy")
        context.model.process([SettingsEvaluated(book, result, command_id)])


def test_freezing_is_tried_on_held_out_data_offered_applied_and_undone(context, staged, make, qtbot):
    run = staged(steps=1)
    change(context, run, make(), per_channel=True, num_bits=3, range_method="mse")
    oscillating(run)
    panel = make()
    context.model.select([NAME], NAME)
    advance_and_draw(context, run, panel)
    assert "8.00 % of the weights oscillate" in panel.verdict.text.text()
    wanted = [command for command in run.sent if isinstance(command, EvaluateSettings)]
    assert [command.assignments for command in wanted] == [(), ((f"{NAME}.freeze_threshold", 0.02),)]
    assert not panel.verdict.button.isVisible(), "nothing is offered before it was tried"
    evaluate(context, run, 0.861, 0.8642)
    assert panel.verdict.button.isVisible()
    assert panel.verdict.button.text() == "Freezing threshold 0.02: 86.1 % → 86.4 %"
    panel.verdict.button.click()
    qtbot.waitUntil(lambda: not context.edits.unsent)
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME).freeze_threshold == 0.02
    context.edits.undo()
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME).freeze_threshold == 0.0


def test_where_codes_change_often_tracking_of_oscillation_is_offered_applied_and_undone(context, staged, make, qtbot):
    run = staged(steps=1)
    change(context, run, make(), per_channel=True, num_bits=4)
    oscillating(run, np.nan, flip_rate=0.3, sqnr_db=30.0, used_codes=15, flushed=0.0, clipped=0.0, mse_clipping=0.0)
    panel = make()
    context.model.select([NAME], NAME)
    advance_and_draw(context, run, panel)
    assert "or oscillate between two codes" in panel.verdict.text.text()
    assert panel.verdict.button.isVisible() and panel.verdict.button.text() == "Track oscillation on"
    assert "Training stays the same" in panel.verdict.button.toolTip()
    panel.verdict.button.click()
    panel.refresh()
    assert not panel.verdict.button.isVisible(), "it is pending"
    qtbot.waitUntil(lambda: not context.edits.unsent)
    advance_and_draw(context, run, panel)
    assert context.model.book.run.track_oscillation and not panel.verdict.button.isVisible()
    context.edits.undo()
    advance_and_draw(context, run, panel)
    assert not context.model.book.run.track_oscillation


def test_a_harmful_remedy_is_not_offered_but_a_grid_is(context, staged, make, qtbot):
    run = staged(steps=1)
    change(context, run, make(), per_channel=True, num_bits=3, range_method="percentile")
    oscillating(run)
    panel = make()
    context.model.select([NAME], NAME)
    advance_and_draw(context, run, panel)
    evaluate(context, run, 0.861, 0.7)
    qtbot.waitUntil(panel.verdict.button.isVisible)
    assert "SQNR" in panel.verdict.button.text()


def tried_remedies(model, *remedies):
    """Return trials of remedies that have begun, what they find, and a list to which an item is added at their end."""
    trials, found, ended = RemedyTrials(model), [], []
    trials.found.connect(found.append)
    trials.done.connect(lambda: ended.append(True))
    trials.begin(NAME, remedies)
    return trials, found, ended


def test_evaluations_that_others_requested_are_not_taken_for_those_of_a_remedy(context, staged):
    run = staged(steps=1)
    trials, found, ended = tried_remedies(context.model, Remedy("freeze_threshold", 0.02))
    books = [context.model.book, context.model.book.change([(f"{NAME}.freeze_threshold", 0.02)])[0]]
    result = Evaluated(run.step, dict.fromkeys(MODES, 0.1), 1000, 0.1, "accuracy")
    for command_id in ("", "other"):  # such as those of the Budget panel for the same settings
        context.model.process([SettingsEvaluated(book, result, command_id) for book in books])
    assert trials.is_busy and not found
    evaluate(context, run, 0.861, 0.8642)
    assert [(tried.before, tried.after) for tried in found] == [(0.861, 0.8642)]
    assert ended and not trials.is_busy


def test_a_trial_of_a_remedy_ends_once_its_evaluations_are_dropped(context, staged):
    run = staged(steps=1)
    trials, found, ended = tried_remedies(context.model, Remedy("freeze_threshold", 0.02))
    context.model.process([SettingsEvaluated(context.model.book, None, id) for id in run.sent_ids[-2:]])
    assert not found and ended and not trials.is_busy


def test_a_remedy_is_evaluated_again_if_other_settings_change_meanwhile(context, staged):
    run = staged(steps=1)
    trials, found, ended = tried_remedies(context.model, Remedy("freeze_threshold", 0.02))
    before = len(run.sent)
    for rate in (0.5, 0.6, 0.7):
        context.model.book = context.model.book.change([("run.learning_rate", rate)])[0]
        context.model.changed.emit(SETTINGS)
    assert len(run.sent) == before, "one pair of evaluations at a time"
    evaluate(context, run, 0.5, 0.5)  # under the settings before
    assert len(run.sent) == before + 2 and trials.is_busy and not found
    evaluate(context, run, 0.861, 0.8642)
    assert [tried.after for tried in found] == [0.8642] and ended


def test_remedies_are_tried_in_order_and_harmful_ones_left_out(context, staged):
    run = staged(steps=1)
    trials, found, ended = tried_remedies(
        context.model, Remedy("freeze_threshold", 0.02), Remedy("per_channel", True), Remedy("range_method", "mse")
    )
    for after in (0.9, 0.2, 0.95):
        assert trials.is_busy and not ended
        evaluate(context, run, 0.9, after)
    assert [tried.setting for tried in found] == ["freeze_threshold", "range_method"] and ended


def test_trials_end_with_the_run(context, staged):
    run = staged(steps=1)
    trials, found, ended = tried_remedies(context.model, Remedy("freeze_threshold", 0.02))
    run.end(Finished(run.step))
    context.model.process(run.drain())
    assert not trials.is_busy and not found and not ended
