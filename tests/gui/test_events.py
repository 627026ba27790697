"""The list of events: texts, filters, and the actions on a line."""

import pytest
from processor_time import least_s
from PyQt5 import QtWidgets
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

from qatviz.errors import RunStateError
from qatviz.gui.dialogs.details import DetailsDialog
from qatviz.gui.panels.events.model import MARK, STEP, WHAT
from qatviz.gui.panels.events.panel import EventsPanel
from qatviz.gui.panels.events.text import is_listed, mark_of
from qatviz.presentation.event_texts import sentence
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, InspectTensor, Pause, RestoreCheckpoint, TakeSnapshot
from qatviz.protocol.events import Change
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason, SaveKind, SaveReason

ACCURACY = {"float": 0.971, "weights_only": 0.97, "activations_only": 0.969, "quantized": 0.968}


@pytest.fixture
def panel(context, show):
    return show(EventsPanel(context), 640, 300)


def send_commands(context, run, *commands):
    for command in commands:
        run.send(command)
    run.advance(1, snapshot=False)
    context.model.process(run.drain())


def change(context, run, *assignments):
    send_commands(context, run, ChangeSettings(assignments))


def lines(panel):
    panel.refresh()
    return [panel.source.index(row, WHAT).data() for row in range(panel.source.rowCount())]


def choose(panel, text):
    """Select the line that contains ``text``."""
    row = next(row for row, line in enumerate(lines(panel)) if text in line)
    panel.view.selectRow(row)
    return row


def test_without_a_run_or_events_a_text_is_shown(context, panel, staged):
    panel.refresh()
    assert "No run" in panel.empty.text() and panel.empty.isVisible()
    staged()
    panel.refresh()
    assert panel.empty.text() == "No events yet."


def test_a_change_is_listed_with_its_step_and_values(context, panel, staged):
    run = staged(steps=7)
    change(context, run, ("conv1.weights.num_bits", 4))
    change(context, run, ("run.learning_rate", 0.01), ("conv1.weights.symmetric", False))
    assert lines(panel) == [
        "conv1.weights.num_bits 8 → 4",
        "run.learning_rate 0.001 → 0.01, conv1.weights.symmetric on → off",
    ]
    assert panel.source.index(0, STEP).data() == "7" and panel.source.index(1, STEP).data() == "8"


def test_equal_changes_of_many_tensors_are_one_line(context, panel, staged):
    run = staged()
    change(context, run, ("*.weights.num_bits", 4))
    change(context, run, ("conv1.weights.num_bits", 5))
    change(context, run, ("*.weights.num_bits", 3))
    change(context, run, ("*.weights.num_bits", 6), ("logits.weights.symmetric", False))
    assert lines(panel)[0] == "num_bits 8 → 4 of 4 tensors" and lines(panel)[2] == "num_bits → 3 of 4 tensors"
    assert lines(panel)[3].endswith("and 4 more")
    tip = panel.source.index(3, WHAT).data(Qt.ToolTipRole)
    assert "logits.weights.symmetric on → off" in tip and "dense1.weights.num_bits 3 → 6" in tip


def test_a_preset_is_named(context, panel, staged):
    run = staged(preset="tflite-int8")
    send_commands(context, run, ApplyPreset("int4"))
    assert lines(panel)[0].startswith("preset int4: ")


def test_evaluations_refusals_and_ends_have_sentences(context, panel, staged):
    run = staged()
    context.model.process([events.Evaluated(5, ACCURACY, 1000, 0.2), events.Finished(9)])
    change(context, run, ("conv1.weights.num_bits", 99))
    assert lines(panel)[:2] == ["evaluated: 97.1 % float, 96.8 % quantized", "finished: all steps are done"]
    assert lines(panel)[2].startswith("not applied: conv1.weights.num_bits is 99: expected")
    assert "weights only: 97.00 %" in panel.source.index(0, WHAT).data(Qt.ToolTipRole)


@pytest.mark.parametrize("kind", sorted(events.EVENT_KINDS))
def test_every_kind_of_event_has_its_own_mark_and_text(kind, context):
    values = {
        "seconds": 1.5,
        "device": "/cpu",
        "id": "a-1",
        "command": ChangeSettings((("x", 1),)),
        "message": "it broke",
        "tensors": ("a", "b"),
        "scores": ACCURACY,
        "metric": "accuracy",
        "num_examples": 10,
        "name": "auto-1",
        "from_step": 9,
        "steps": 100,
        "what": NonFiniteValue.LOSS,
        "restored_step": 2,
        "traceback": "Traceback",
        "step": 3,
        "changes": (Change("conv1.weights.num_bits", 8, 4),),
        "checkpoint": "before-1",
        "best_step": 2,
        "waited": 4,
        "workers": ("127.0.0.1:2222",),
        "notes": ("2 pairs of layers equalized", "statistics stay"),
    }
    reasons = {
        "Paused": PauseReason.REQUESTED,
        "Restored": RestoreReason.UNDO,
        "CheckpointSaved": SaveReason(SaveKind.REQUESTED),
    }
    values["reason"] = reasons.get(kind)
    known = events.EVENT_KINDS[kind]
    event = known(**{name: values[name] for name in known.__dataclass_fields__ if name in values})
    assert is_listed(event) and mark_of(event).symbol != "·" and sentence(event) != kind
    assert context.theme.color(mark_of(event).color).isValid()


def test_answers_to_commands_without_effect_are_omitted(context, panel, staged):
    run = staged()
    send_commands(context, run, InspectTensor("conv1.weights"), TakeSnapshot(), Pause())
    context.model.process(
        [
            events.CheckpointSaved(3, "before-00000003-1", SaveReason(SaveKind.BEFORE_CHANGE)),
            events.CheckpointSaved(3, "auto-00000003", SaveReason(SaveKind.AUTOMATIC)),
        ]
    )
    assert lines(panel) == ["paused", "automatic checkpoint saved: auto-00000003"]


def test_abandoned_events_are_struck_through_and_grey(context, panel, staged):
    run = staged(steps=4)
    change(context, run, ("conv1.weights.num_bits", 4))
    panel.refresh()
    applied = context.model.log[-1].event
    context.model.process(run.carry_out(RestoreCheckpoint(applied.checkpoint)))
    assert lines(panel) == ["conv1.weights.num_bits 8 → 4", "rewound from step 5 to 4"]
    left, told = panel.source.index(0, WHAT), panel.source.index(1, WHAT)
    assert left.data(Qt.FontRole).strikeOut() and left.data(Qt.ForegroundRole) == context.theme.color("muted")
    assert told.data(Qt.FontRole) is None and "not part" in left.data(Qt.ToolTipRole)
    assert "abandoned" in panel.source.index(0, MARK).data(Qt.AccessibleTextRole)


def test_filters_select_events_and_are_remembered(context, panel, staged, show):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4))
    context.model.process(
        [events.Evaluated(5, ACCURACY, 1000, 0.2), events.Resumed(5), events.RecordFailed(6, "disk full")]
    )
    assert len(lines(panel)) == 4
    QTest.mouseClick(panel.filters["changes"], Qt.LeftButton)
    assert lines(panel) == ["conv1.weights.num_bits 8 → 4", "recording stopped: disk full"]
    QTest.mouseClick(panel.filters["evaluations"], Qt.LeftButton)
    assert lines(panel) == ["evaluated: 97.1 % float, 96.8 % quantized", "recording stopped: disk full"]
    context.model.process([events.Resumed(7), events.Evaluated(8, ACCURACY, 1000, 0.2)])
    assert len(lines(panel)) == 3
    again = show(EventsPanel(context))
    assert again.filters["evaluations"].isChecked() and lines(again) == lines(panel)


def test_filters_keep_the_selected_line(context, panel, staged):
    run = staged()
    context.model.process([events.Evaluated(3, ACCURACY, 1000, 0.2)])
    change(context, run, ("conv1.weights.num_bits", 4))
    choose(panel, "num_bits")
    QTest.mouseClick(panel.filters["changes"], Qt.LeftButton)
    assert panel.view.currentIndex().row() == 0 and panel.undo_action.isEnabled()


def test_a_change_of_settings_can_be_undone(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4), ("conv2.weights.symmetric", False))
    choose(panel, "num_bits")
    panel.undo_action.trigger()
    assert run.sent[-1] == ChangeSettings((("conv1.weights.num_bits", 8), ("conv2.weights.symmetric", True)))
    run.advance(1)
    context.model.process(run.drain())
    panel.refresh()
    assert context.model.settings_of("conv1.weights").num_bits == 8
    assert not panel.undo_action.isEnabled() and panel.back_action.isEnabled()


def test_undo_reverts_only_settings_still_different(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4), ("conv2.weights.num_bits", 4))
    change(context, run, ("conv1.weights.num_bits", 8))
    choose(panel, "conv2")
    panel.undo_action.trigger()
    assert run.sent[-1] == ChangeSettings((("conv2.weights.num_bits", 8),))


def test_the_run_can_be_rewound_to_before_a_change(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4))
    choose(panel, "num_bits")
    panel.back_action.trigger()
    checkpoint = next(h.event.checkpoint for h in context.model.log if getattr(h.event, "checkpoint", ""))
    assert run.sent[-1] == RestoreCheckpoint(checkpoint)
    context.model.process(
        [events.CommandRejected(5, f"staged-{len(run.sent)}", run.sent[-1], "there is no checkpoint")]
    )
    panel.refresh()
    assert not panel.back_action.isEnabled() and panel.undo_action.isEnabled()


def test_undo_and_rewind_are_disabled_without_a_change(context, panel, staged):
    run = staged()
    panel.refresh()
    actions = (panel.undo_action, panel.back_action, panel.details_action)
    assert not any(action.isEnabled() for action in actions)
    context.model.process([events.Evaluated(3, ACCURACY, 1000, 0.2)])
    choose(panel, "evaluated")
    assert [action.isEnabled() for action in actions] == [False, False, True]
    change(context, run, ("conv1.weights.num_bits", 4))
    choose(panel, "num_bits")
    assert all(action.isEnabled() for action in actions)
    run.end(events.Stopped(run.step))
    context.model.process(run.drain())
    panel.refresh()
    assert [action.isEnabled() for action in actions] == [False, False, True]


def test_actions_on_a_run_that_has_just_ended_show_a_message(context, panel, staged, monkeypatch):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4))
    choose(panel, "num_bits")
    refused = []
    context.edits.refused.connect(refused.append)

    def ended(_):
        raise RunStateError("the run has ended")

    monkeypatch.setattr(run, "send", ended)
    panel.back_action.trigger()
    panel.undo_action.trigger()
    assert refused == ["the run has ended"] * 2


@pytest.mark.parametrize("how", ["double click", "enter"])
def test_activating_a_row_emits_its_step(context, panel, staged, how):
    staged()
    context.model.process([events.Evaluated(123, ACCURACY, 1000, 0.2)])
    chosen = []
    panel.step_chosen.connect(chosen.append)
    row = choose(panel, "evaluated")
    if how == "enter":
        panel.view.setFocus()
        QTest.keyClick(panel.view, Qt.Key_Return)
    else:
        point = panel.view.visualRect(panel.source.index(row, WHAT)).center()
        QTest.mouseClick(panel.view.viewport(), Qt.LeftButton, Qt.NoModifier, point)
        QTest.mouseDClick(panel.view.viewport(), Qt.LeftButton, Qt.NoModifier, point)
    assert chosen == [123]


def test_a_failure_shows_its_message_and_its_traceback_to_copy(context, panel, staged, app):
    run = staged()
    run.end(events.Failed(9, "OSError: disk is full", "Traceback (most recent call last):\nOSError: disk is full"))
    context.model.process(run.drain())
    choose(panel, "training failed: OSError: disk is full")
    assert panel.source.index(0, WHAT).data(Qt.ForegroundRole) == context.theme.color("bad")
    panel.details_action.trigger()
    (dialog,) = [w for w in app.topLevelWidgets() if isinstance(w, DetailsDialog) and w.isVisible()]
    assert "Traceback" in dialog.details.toPlainText() and "disk is full" in dialog.message.text()
    dialog.copy.click()
    assert "Traceback" in QtWidgets.QApplication.clipboard().text()
    dialog.close()


def test_a_line_can_be_copied(context, panel, staged):
    staged()
    context.model.process([events.Evaluated(12, ACCURACY, 1000, 0.2)])
    choose(panel, "evaluated")
    panel.copy_action.trigger()
    assert QtWidgets.QApplication.clipboard().text() == "step 12: evaluated: 97.1 % float, 96.8 % quantized"


def test_the_newest_line_stays_in_view_unless_the_user_scrolled_up(context, panel, staged):
    staged()
    bar = panel.view.verticalScrollBar()
    for step in range(60):
        context.model.process([events.Resumed(step)])
        panel.refresh()
    assert bar.maximum() > 0 and bar.value() == bar.maximum()
    bar.setValue(3)
    context.model.process([events.Resumed(61)])
    panel.refresh()
    assert bar.value() == 3


def test_a_new_event_is_appended_to_ten_thousand_without_a_reset(context, panel, staged):
    staged()
    context.model.process([events.Evaluated(step, ACCURACY, 1000, 0.2) for step in range(10000)])
    assert len(lines(panel)) == 10000
    resets, inserted = [], []
    panel.source.modelReset.connect(lambda: resets.append(1))
    panel.source.rowsInserted.connect(lambda _, first, last: inserted.append((first, last)))
    context.model.process([events.Resumed(10001)])
    assert least_s(panel.refresh, 1) < 0.05  # some tenths of a millisecond; a list made anew takes far longer
    assert inserted == [(10000, 10000)] and not resets


def test_another_run_starts_a_new_list(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4))
    choose(panel, "num_bits")
    staged("mlp")
    context.model.process([events.Resumed(1)])
    assert lines(panel) == ["resumed"] and not panel.undo_action.isEnabled()


def test_the_list_can_be_saved(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 4))
    panel.refresh()
    assert panel.table() == {
        "step": [3],
        "kind": ["CommandApplied"],
        "what": ["conv1.weights.num_bits 8 → 4"],
        "survives": [True],
    }


def test_every_control_has_a_tooltip(panel):
    for control in [*panel.filters.values(), panel.undo_action, panel.back_action, panel.details_action]:
        assert len(control.toolTip().split()) > 2 and control.text()
