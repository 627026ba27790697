"""Events in sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.presentation.event_texts import NAMED, activated_words, change_words, changes_words, sentence
from qatviz.protocol import events
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.commands import ApplyPreset, ChangeSettings, ScheduledCommand
from qatviz.protocol.events import Change
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RecordPart, RestoreReason, SaveKind, SaveReason

NAMES = st.lists(st.sampled_from(["a", "b", "conv1", "logits"]).map("{}.weights".format), unique=True, min_size=1)


def bits(tensor, old=8, new=4):
    return Change(tensor + ".num_bits", old, new)


SCHEDULE = (ScheduledCommand(5, ApplyPreset("int4")), ScheduledCommand(7, ApplyPreset("int8")))


@given(NAMES, st.integers(2, 16), st.integers(2, 16))
def test_equal_changes_are_summarized_with_their_number(tensors, old, new):
    text = changes_words([bits(tensor, old, new) for tensor in tensors])
    if len(tensors) <= NAMED:
        assert text == ", ".join(change_words(bits(tensor, old, new)) for tensor in tensors)
    else:
        assert text == f"num_bits {old} → {new} of {len(tensors)} tensors"


def test_different_changes_are_summarized_without_old_values():
    three = [bits("a.weights"), bits("b.weights", 7), bits("c.weights")]
    assert changes_words(three) == "num_bits → 4 of 3 tensors"
    other = [*three[:2], Change("c.weights.symmetric", False, True)]
    assert changes_words(other) == "a.weights.num_bits 8 → 4 and 2 more"
    assert change_words(other[2]) == "c.weights.symmetric off → on" and changes_words([]) == ""


@given(NAMES)
def test_tensors_that_are_not_named_are_counted(tensors):
    told = activated_words(tensors).partition(": ")[2]
    named, _, more = told.partition(" and ")
    assert named.split(", ") == tensors[:NAMED]
    assert more == (f"{len(tensors) - NAMED} more" if len(tensors) > NAMED else "")


@pytest.mark.parametrize(
    "event, text",
    [
        (events.Planned(3, None), "total steps: no limit"),
        (events.Planned(3, 9000), "total steps: 9,000"),
        (events.Planned(3, 9, ()), "total steps: 9"),
        (events.Planned(3, 9, SCHEDULE[:1]), "total steps: 9, with 1 change to come"),
        (events.Planned(3, None, SCHEDULE), "total steps: no limit, with 2 changes to come"),
        (events.Planned(3, 9, (), BatchDivision()), "total steps: 9"),
        (events.Planned(3, 9, (), BatchDivision(2, workers=2)), "total steps: 9; on 2 workers"),
        (events.Paused(3, PauseReason.REQUESTED), "paused"),
        (events.Paused(3, PauseReason.SINGLE_STEPS), "paused: single step"),
        (events.CheckpointSaved(3, "a", SaveReason(SaveKind.AUTOMATIC)), "automatic checkpoint saved: a"),
        (events.CheckpointSaved(3, "a", SaveReason(SaveKind.END)), "checkpoint a saved (end of the run)"),
        (
            events.NonFinite(3, NonFiniteValue.LOSS, 2),
            "the loss of step 4 is not finite; rewound to step 2",
        ),
        (events.RecordFailed(3, "disk full"), "recording stopped: disk full"),
        (events.RecordFailed(3, "disk full", RecordPart.CHECKPOINT), "checkpoint failed: disk full"),
        (events.RecordFailed(3, "broken", RecordPart.TELEMETRY), "telemetry failed: broken"),
        (events.Restored(5, "x", RestoreReason.CHECKPOINT, 9, ()), "rewound from step 9 to 5"),
        (events.Restored(9, "x", RestoreReason.REDO, 5, ()), "returned from step 5 to 9 (redo)"),
        (
            events.CommandApplied(5, "a-1", ApplyPreset("int4"), (bits("a.weights"),)),
            "preset int4: a.weights.num_bits 8 → 4",
        ),
        (events.CommandApplied(5, "a-1", ChangeSettings(()), (bits("a.weights"),)), "a.weights.num_bits 8 → 4"),
    ],
)
def test_each_event_has_a_sentence(event, text):
    assert sentence(event) == text
