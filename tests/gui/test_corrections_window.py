"""Corrections in the window: menu, progress, cancellation, results, markers, and the offer of the Channels panel."""

import numpy as np
import pytest

from qatviz.analysis.channels import ChannelsOverview, channel_ranges
from qatviz.gui.panels.channels.panel import ChannelsPanel
from qatviz.gui.panels.events.text import ALL, CHANGES, EVALUATIONS, as_change, is_listed
from qatviz.gui.panels.evolution.markers import markers_of, sentences
from qatviz.gui.window import actions
from qatviz.gui.window.correction_bar import CorrectionBar
from qatviz.metric import MODES
from qatviz.network import zoo
from qatviz.protocol import commands as c
from qatviz.protocol import events
from qatviz.protocol.corrections import CORRECTION_KINDS, CorrectionProgress
from qatviz.protocol.trials import SettingsEvaluated


def is_effective(event):
    return isinstance(event, events.CommandApplied) and event.has_effect


def bar_of(window):
    return window.statusBar().findChild(CorrectionBar)


@pytest.mark.parametrize("kind", CORRECTION_KINDS.values(), ids=lambda kind: kind.name)
def test_the_menu_sends_each_correction_and_its_result_is_shown(staged_window, kind):
    window, run, advance = staged_window
    action = window.named[kind.name]
    assert kind.name in actions.MENUS["&Correct"] and action.isEnabled() and kind.help in action.toolTip()
    action.trigger()
    assert run.sent[-1] == kind.command()
    advance()
    assert "weights corrected" in window.banner.text.text() and "second note" in window.banner.details
    window.banner._do.click()
    assert run.sent[-1] == c.Undo()


def test_a_correction_without_notes_is_shown(staged_window):
    window, run, advance = staged_window
    run.put(events.Corrected(3, "id", ()))
    advance(0)
    assert window.banner.text.text() == "Step 3: the network was corrected." and not window.banner.details


def test_progress_is_shown_and_can_be_cancelled(staged_window, app):
    window, run, advance = staged_window
    bar = bar_of(window)
    assert not bar.isVisible() and not window.named["cancel_correction"].isEnabled()
    run.put(CorrectionProgress(3, "AdaRound", 0.343))
    advance(0)
    assert bar.isVisible() and bar.text.text() == "Learn rounding (AdaRound): 34 %" and bar.progress.value() == 34
    assert window.named["cancel_correction"].isEnabled()
    bar.cancel.click()
    assert run.sent[-1] == c.CancelCorrection()
    advance(0)  # the staged run has no correction in progress
    run.put(CorrectionProgress(3, "AdaRound", None))
    run.put(events.CommandRejected(3, "id", c.AdaRound(), "cancelled"))
    advance(0)
    assert not bar.isVisible()
    assert window.banner.text.text() == "Learn rounding (AdaRound): cancelled"


def test_actions_are_disabled_with_the_reason_for_an_ended_run(staged_window):
    window, run, advance = staged_window
    run.put(CorrectionProgress(3, "CorrectBias", 0.5))
    run.end(events.Finished(3))
    advance(0)
    assert not bar_of(window).isVisible()
    for name in (*actions.MENUS["&Correct"][:4], "cancel_correction"):
        assert not window.named[name].isEnabled()
        assert "done all its steps" in window.named[name].toolTip()


def test_a_relu6_offers_a_fork_with_relu(staged_window):
    window, run, advance = staged_window
    refused = events.CommandRejected(3, "id", c.EqualizeLayers(), "its ReLU6 clips")
    run.put(refused)
    advance(0)
    assert window.banner._do.isHidden(), "this network has none"
    window.model.network = zoo.build("mobilenet", (28, 28, 1), 10)
    run.put(refused)
    advance(0)
    assert window.banner._do.text() == "Fork with ReLU"
    window.banner._do.click()
    ((request, is_new_window),) = window.launcher.begun
    assert is_new_window and request.replace_relu6 and request.directory == window.directory and request.out


def test_a_correction_is_marked_and_listed(staged_window):
    window, _, advance = staged_window
    window.named["equalize-layers"].trigger()
    advance()
    log = window.model.log
    (applied,) = [logged.event for logged in log if is_effective(logged.event)]
    assert as_change(applied) is applied and is_listed(applied)
    marker = markers_of(log)[-1]
    assert marker.label == "equalized" and marker.changes == () and sentences(applied) == ["layers equalized"]
    corrected = [logged.event for logged in log if isinstance(logged.event, events.Corrected)]
    assert [is_listed(event, kind) for event in corrected for kind in (ALL, CHANGES, EVALUATIONS)] == [
        True,
        True,
        False,
    ]


def test_the_effect_is_that_of_the_evaluations_at_its_step(staged_window):
    from qatviz.analysis.effects import effect

    window, run, advance = staged_window
    run.evaluate((0.98, 0.9, 0.9, 0.5))
    run.send(c.CorrectBias())
    advance(0)
    run.evaluate((0.98, 0.9, 0.9, 0.9))
    advance(0)
    found = effect(window.model.history, run.step, log=window.model.log)
    assert found.score == (0.96, 0.9)  # the staged run evaluates before and after, and the test once more


@pytest.fixture
def channels(context, show, staged):
    """Return a Channels panel with channels whose ranges differ, and their equalized range ratio."""

    def make(ratio):
        run = staged("lenet")
        made = show(ChannelsPanel(context), 900, 480)
        weights = run.plan.tensor("conv2.weights")
        values = np.random.RandomState(0).randn(500, weights.num_channels)
        values[:, 4] *= 40
        context.model.process([ChannelsOverview((channel_ranges(weights, values),), 3, {weights.name: ratio})])
        context.edits.edit([weights.name], "per_channel", False)
        made.refresh()
        return made, run

    return make


def test_equalization_is_offered_after_a_trial_that_helps(channels, context):
    panel, run = channels(1.5)
    assert panel.equalize.isVisibleTo(panel) and "1.5" in panel.equalize.toolTip()
    panel.equalize.click()
    assert run.sent[-1] == c.EqualizeLayers()


def test_equalization_is_not_offered_if_the_trial_does_not_help(channels, context):
    panel, _ = channels(30.0)
    assert not panel.equalize.isVisibleTo(panel)


def test_equalization_is_not_offered_for_scales_per_channel(channels, context):
    panel, _ = channels(1.5)
    context.edits.edit(["conv2.weights"], "per_channel", True)
    panel.refresh()
    assert not panel.equalize.isVisibleTo(panel)


@pytest.fixture
def screening(context, show, staged):
    """Return a Channels panel with channels that share one scale badly and have a few extreme weights."""
    run = staged("lenet")
    run.send(c.ChangeSettings((("conv2.weights.per_channel", False),)))
    run.advance(1)
    context.model.process(run.drain())
    made = show(ChannelsPanel(context), 900, 480)
    weights = run.plan.tensor("conv2.weights")
    values = np.random.RandomState(0).randn(500, weights.num_channels)
    values[3] *= 10
    values[:, 4] *= 40
    context.model.process([ChannelsOverview((channel_ranges(weights, values),), 3, {})])
    made.refresh()
    return made, run


def answer(context, run, *scores):
    """Answer the newest evaluations of settings with one quantized accuracy each."""
    wanted = [pair for pair in zip(run.sent, run.sent_ids) if isinstance(pair[0], c.EvaluateSettings)]
    for (command, command_id), score in zip(wanted[-2:], scores):
        book = context.model.book.change(command.assignments)[0]
        result = events.Evaluated(run.step, dict.fromkeys(MODES, score), 1000, 0.1, "accuracy")
        context.model.process([SettingsEvaluated(book, result, command_id)])


def test_what_a_verdict_on_channels_names_is_tried_offered_applied_and_undone(screening, context, qtbot):
    panel, run = screening
    assert not any(button.isVisible() for button in panel.offers.buttons), "nothing is offered before it was tried"
    answer(context, run, 0.861, 0.9)
    assert run.sent[-1].assignments == (("conv2.weights.range_method", "mse"),)
    answer(context, run, 0.861, 0.8)
    texts = [button.text() for button in panel.offers.buttons if button.isVisible()]
    assert panel.minimumSizeHint().width() < 400, "an offer does not widen the panel"
    assert texts == ["conv2.weights: Per channel on: 86.1 % → 90.0 %"], "the other does harm"
    panel.offers.buttons[0].click()
    qtbot.waitUntil(lambda: not context.edits.unsent)
    run.advance(1)
    context.model.process(run.drain())
    assert context.model.settings_of("conv2.weights").per_channel
    assert not any(button.isVisible() for button in panel.offers.buttons)
    context.edits.undo()
    run.advance(1)
    context.model.process(run.drain())
    assert not context.model.settings_of("conv2.weights").per_channel


def test_a_setting_in_effect_is_not_offered_while_another_is_pending(channels, context):
    panel, run = channels(30.0)  # a scale for all channels is pending, one for each is in effect
    wanted = [command.assignments for command in run.sent if isinstance(command, c.EvaluateSettings)]
    assert (("conv2.weights.per_channel", True),) not in wanted
    assert not any(button.isVisible() for button in panel.offers.buttons)


def test_the_remedies_of_a_verdict_are_not_offered_while_ranges_are_frozen(screening, context):
    panel, run = screening
    run.send(c.ChangeSettings((("run.freeze_ranges", True),)))
    run.advance(1)
    context.model.process(run.drain())
    panel.refresh()
    sent = len(run.sent)
    panel.refresh()
    assert len(run.sent) == sent and not any(button.isVisible() for button in panel.offers.buttons)
