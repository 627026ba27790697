"""Edits: pending until the run answers, grouped into changes, undone and redone."""

import pytest
from PyQt5 import QtCore

from qatviz.gui.model.edits import HOLD, LIVE, SEND_INTERVAL_MS, Edits
from qatviz.protocol import events
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, InspectTensor, RestoreCheckpoint, SaveCheckpoint, Undo

BITS = ("conv1.weights", "num_bits")


@pytest.fixture
def stage(context, staged):
    """A staged run, the edits, and a function that lets the run answer."""
    run = staged()

    def answer():
        run.advance(1)
        context.model.process(run.drain())

    return run, context.edits, answer


def test_in_live_mode_several_quick_edits_are_one_change_and_one_undo(stage, qtbot):
    run, edits, answer = stage
    for bits in (7, 6, 5, 4):
        edits.edit(["conv1.weights"], "num_bits", bits)
    edits.edit(["conv2.weights"], "symmetric", False)
    assert edits.pending == {BITS: 4, ("conv2.weights", "symmetric"): False} and run.sent == []
    qtbot.waitUntil(lambda: bool(run.sent))
    assert run.sent == [ChangeSettings((("conv1.weights.num_bits", 4), ("conv2.weights.symmetric", False)))]
    assert edits.is_pending(*BITS), "sent is not yet in effect"
    answer()
    assert edits.pending == {} and edits.value(*BITS) == 4 and edits.can_undo
    edits.undo()
    answer()
    assert edits.value(*BITS) == 8 and edits.value("conv2.weights", "symmetric") is True
    assert not edits.can_undo and edits.can_redo
    edits.redo()
    answer()
    assert edits.value(*BITS) == 4 and edits.can_undo and not edits.can_redo


def expire(timer):
    """Let a timer expire now."""
    timer.stop()
    timer.timeout.emit()


def drag(edits, run, answer, values, setting="num_bits"):
    """Drag a slider through ``values``: each is sent, or waits for the interval since the last one to run out."""
    edits.set_dragging(True)
    for number, value in enumerate(values):
        edits.edit(["conv1.weights"], setting, value)
        expire(edits._interval_timer if number else edits._send_timer)
        answer()
    edits.set_dragging(False)


def test_a_drag_is_applied_continuously_and_undone_as_one_change(stage):
    run, edits, answer = stage
    drag(edits, run, answer, (7, 5, 3))
    assert [dict(c.assignments)["conv1.weights.num_bits"] for c in run.sent] == [7, 5, 3]
    assert [c.continues for c in run.sent] == [False, True, True]
    assert edits.value(*BITS) == 3 and edits.pending == {}
    assert edits.describe_undo() == "conv1.weights.num_bits 8 → 3"
    edits.undo()
    answer()
    assert edits.value(*BITS) == 8 and not edits.can_undo


def test_edits_between_two_changes_of_a_drag_are_collected(stage):
    run, edits, _answer = stage
    edits.set_dragging(True)
    edits.edit(["conv1.weights"], "num_bits", 7)
    expire(edits._send_timer)
    for bits in (6, 5, 4):
        edits.edit(["conv1.weights"], "num_bits", bits)
        assert not edits._send_timer.isActive() and len(run.sent) == 1
        assert edits.pending_book().of("conv1.weights").num_bits == bits, "drawn at once"
    assert edits._interval_timer.isActive() and edits._interval_timer.interval() == SEND_INTERVAL_MS
    expire(edits._interval_timer)
    assert len(run.sent) == 2
    edits.set_dragging(False)
    expire(edits._interval_timer)
    assert len(run.sent) == 2, "nothing is left to send"


@pytest.mark.parametrize("number_of_edits", [1, 2])
def test_edits_reach_the_run_before_a_later_command(stage, context, number_of_edits):
    """The first edit waits for the end of the user action, a second one for the interval of changes."""
    run, edits, answer = stage
    sent = []
    for bits in (4, 3)[:number_of_edits]:
        edits.edit(["conv1.weights"], "num_bits", bits)
        sent.append(ChangeSettings((("conv1.weights.num_bits", bits),), continues=bits == 3))
        if bits != (4, 3)[number_of_edits - 1]:
            expire(edits._send_timer)
    context.model.send(SaveCheckpoint())
    assert run.sent == [*sent, SaveCheckpoint()]
    expire(edits._interval_timer)
    assert run.sent == [*sent, SaveCheckpoint()], "each edit is sent once"
    answer()
    assert edits.pending == {} and edits.value(*BITS) == sent[-1].assignments[0][1]


def test_edits_reach_the_run_before_a_preset(stage):
    run, edits, _ = stage
    edits.edit(["conv1.weights"], "num_bits", 4)
    edits.apply_preset("ternary")
    assert run.sent == [ChangeSettings((("conv1.weights.num_bits", 4),)), ApplyPreset("ternary")]


def test_a_command_without_edits_before_it_announces_nothing(stage, context):
    _, edits, _ = stage
    announced = []
    edits.changed.connect(lambda: announced.append(1))
    context.model.send(SaveCheckpoint())
    assert announced == []


def test_reading_values_does_not_hurry_edits(stage, context):
    run, edits, _ = stage
    edits.edit(["conv1.weights"], "num_bits", 4)
    context.model.send(InspectTensor("conv1.weights"))
    assert run.sent == [InspectTensor("conv1.weights")] and edits.unsent == {BITS: 4}


def test_held_edits_stay_held_when_another_command_is_sent(stage, context):
    run, edits, _ = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 4)
    context.model.send(SaveCheckpoint())
    assert run.sent == [SaveCheckpoint()] and edits.unsent == {BITS: 4}


def test_a_second_drag_of_the_same_slider_is_another_change(stage):
    run, edits, answer = stage
    drag(edits, run, answer, (7, 6))
    expire(edits._interval_timer)
    drag(edits, run, answer, (5, 4))
    assert [c.continues for c in run.sent] == [False, True, False, True]
    assert edits.describe_undo() == "conv1.weights.num_bits 6 → 4"


def test_a_drag_back_to_its_start_leaves_nothing_to_undo(stage):
    run, edits, answer = stage
    drag(edits, run, answer, (7, 8))
    assert edits.value(*BITS) == 8 and not edits.can_undo


def test_another_setting_soon_after_is_another_change(stage):
    run, edits, answer = stage
    drag(edits, run, answer, (7,))
    edits.edit(["conv2.weights"], "num_bits", 4)
    expire(edits._interval_timer)
    answer()
    assert [c.continues for c in run.sent] == [False, False] and edits.describe_undo().startswith("conv2")


def test_undo_rewinds_the_run_to_before_the_whole_drag(stage, context):
    run, edits, answer = stage
    step = run.step
    drag(edits, run, answer, (7, 5, 3))
    context.model.process(run.carry_out(Undo()))
    assert (run.step, run.book.of("conv1.weights").num_bits) == (step, 8)


def test_hold_mode_sends_nothing_until_edits_are_applied(stage, qtbot):
    run, edits, answer = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 2)
    later = []  # a timer that would have sent the edit has run out before this one does
    QtCore.QTimer.singleShot(2 * SEND_INTERVAL_MS, lambda: later.append(True))
    qtbot.waitUntil(lambda: bool(later))
    assert run.sent == [] and edits.pending_book().of("conv1.weights").num_bits == 2
    edits.apply()
    answer()
    assert run.book.of("conv1.weights").num_bits == 2 and edits.pending_book() is None


def test_leaving_hold_mode_sends_held_edits(stage):
    run, edits, _answer = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 2)
    edits.set_mode(LIVE)
    assert len(run.sent) == 1


def test_discarded_edits_never_reach_the_run(stage):
    run, edits, _ = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 2)
    edits.discard()
    edits.apply()
    assert run.sent == [] and edits.pending == {}


def test_an_edit_to_the_value_in_effect_is_no_edit(stage):
    run, edits, _ = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 2)
    edits.edit(["conv1.weights"], "num_bits", 8)
    edits.apply()
    assert edits.pending == {} and run.sent == []


def test_an_edit_that_reverts_a_sent_change_is_sent_after_it(stage):
    run, edits, answer = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 2)
    edits.apply()
    edits.edit(["conv1.weights"], "num_bits", 8)
    edits.apply()
    answer()
    assert [dict(c.assignments)["conv1.weights.num_bits"] for c in run.sent] == [2, 8]
    assert run.book.of("conv1.weights").num_bits == 8 and edits.pending == {}


def test_a_rejected_edit_is_reported_and_no_longer_pending(stage, context):
    _run, edits, answer = stage
    heard = []
    edits.refused.connect(heard.append)
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 99)
    edits.apply()
    answer()
    assert len(heard) == 1 and "99" in heard[0] and edits.pending == {} and not edits.can_undo


def test_an_ended_run_refuses_without_an_exception(stage, context):
    run, edits, _ = stage
    heard = []
    edits.refused.connect(heard.append)
    run.end(events.Stopped(3))
    edits.edit(["conv1.weights"], "num_bits", 4)
    edits.apply()
    assert heard == ["the run has ended"] and edits.pending == {}


def test_a_new_change_clears_the_redo_stack(stage):
    _run, edits, answer = stage
    edits.set_mode(HOLD)
    for bits in (4, 3):
        edits.edit(["conv1.weights"], "num_bits", bits)
        edits.apply()
        answer()
    edits.undo()
    answer()
    assert edits.can_redo and edits.value(*BITS) == 4
    edits.edit(["conv1.weights"], "num_bits", 6)
    edits.apply()
    answer()
    assert not edits.can_redo and edits.describe_undo() == "conv1.weights.num_bits 4 → 6"


def test_a_preset_is_sent_live_and_collected_in_hold_mode(stage):
    run, edits, answer = stage
    edits.apply_preset("int4")
    assert run.sent == [ApplyPreset("int4")]
    answer()
    edits.undo()
    answer()
    assert run.book.of("conv1.weights").num_bits == 8
    edits.set_mode(HOLD)
    edits.apply_preset("int4")
    assert edits.pending_book() == run.book.with_preset("int4")[0] and len(run.sent) == 2


def test_a_rewind_removes_the_undo_of_abandoned_changes(stage, context):
    run, edits, answer = stage
    edits.edit(["conv1.weights"], "num_bits", 4)
    edits.apply()
    answer()
    context.model.process(run.carry_out(Undo()))
    assert not edits.can_undo and edits.value(*BITS) == 8


def test_an_undo_answered_after_a_rewind_is_an_ordinary_change(stage, context):
    run, edits, answer = stage
    edits.edit(["conv1.weights"], "num_bits", 4)
    edits.apply()
    answer()
    context.model.process(run.carry_out(SaveCheckpoint("kept")))
    run.send(RestoreCheckpoint("kept"))
    edits.undo()
    answer()
    assert edits.value(*BITS) == 8 and edits.describe_undo() == "conv1.weights.num_bits 4 → 8" and not edits.can_redo


def test_another_run_starts_with_nothing_pending(stage, staged):
    _, edits, _ = stage
    edits.set_mode(HOLD)
    edits.edit(["conv1.weights"], "num_bits", 4)
    staged("mlp")
    assert edits.pending == {} and isinstance(edits, Edits)


def test_equal_changes_of_many_tensors_are_described_in_one_line(stage):
    run, edits, answer = stage
    assert edits.describe_undo() == edits.describe_redo() == ""
    weights = [tensor.name for tensor in run.book.plan.tensors if tensor.kind == "weights"]
    edits.edit(weights, "num_bits", 4)
    expire(edits._send_timer)
    answer()
    assert edits.describe_undo() == f"num_bits 8 → 4 of {len(weights)} tensors" and len(weights) > 2
