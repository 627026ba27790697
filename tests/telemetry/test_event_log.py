"""Events of older records get the branches and positions that they lack."""

import json

import pytest

from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.commands import ChangeSettings, RestoreCheckpoint, SaveCheckpoint, Undo
from qatviz.protocol.events import event_from
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason, SaveKind, SaveReason
from qatviz.telemetry.record.event_log import read_log

CHANGE = ({"setting": "x", "old": 0, "new": 1},)
BACK = ({"setting": "x", "old": 1, "new": 0},)


def rows_of(*told):
    """Return rows of the event table in the format of version 0.1, from (branch, kind, step, fields)."""
    return [
        (number, branch, step, 7.0, kind, json.dumps(dict(fields, kind=kind, step=step)))
        for number, (branch, kind, step, fields) in enumerate(told, 1)
    ]


def applied(sequence, command, changes=(), checkpoint=""):
    return {"sequence": sequence, "command": command, "changes": list(changes), "checkpoint": checkpoint}


def restored(name, reason, from_step, changes=()):
    return {"name": name, "reason": reason, "from_step": from_step, "changes": list(changes)}


OLD = rows_of(
    (0, "Started", 0, {"seconds": 1.0, "device": "CPU"}),
    (0, "CommandApplied", 10, applied(1, "x=1", CHANGE, "before-00000010-2")),
    (0, "CommandApplied", 10, applied(2, "y=1", CHANGE, "before-00000010-2")),
    (0, "Evaluated", 9, {"accuracy": {"float": 0.5}, "num_examples": 10, "seconds": 0.1}),
    (0, "CommandApplied", 12, applied(3, "SaveCheckpoint", (), "mine")),
    (0, "CheckpointSaved", 12, {"name": "mine", "reason": "asked for"}),
    (0, "Resumed", 12, {}),
    (1, "CommandApplied", 10, applied(4, "Undo", BACK)),
    (1, "Restored", 10, restored("before-00000010-2", "undo", 15, BACK)),
    (2, "CommandApplied", 12, applied(5, "RestoreCheckpoint", CHANGE)),
    (2, "Restored", 12, restored("mine", "restored", 11, CHANGE)),
    (3, "Restored", 11, restored("good", "the loss of step 15 is not finite", 14)),
    (3, "NonFinite", 14, {"what": "the loss of step 15 is not finite", "restored_step": 11}),
    (3, "Paused", 11, {"reason": "the loss of step 15 is not finite"}),
)
BRANCHES = [(0, -1, -1), (1, 0, 10), (2, 0, 12), (3, 2, 11)]


def test_positions_count_the_events_of_the_branch():
    log = read_log(OLD, BRANCHES)
    assert [row["position"] for row in log.rows] == [0, 1, 2, 1, 3, 4, 4, 0, 1, 0, 1, 0, 1, 2]
    assert log.next_position() == 3 and log.tree.newest == 3


def test_branches_continue_from_the_restored_checkpoint():
    tree = read_log(OLD, BRANCHES).tree
    assert tree.parent_of(1) == BranchPoint(0, 10, 1), "before both changes"
    assert tree.parent_of(2) == BranchPoint(0, 12, 3), "before the answer to the command that saved it"
    assert tree.parent_of(3) == BranchPoint(2, 11, None), "a state that had no name goes by its step"


def test_events_have_the_start_of_their_branch():
    log = read_log(OLD, BRANCHES)
    parents = {row["branch"]: row["parent"] for row in log.rows}
    assert parents == {0: None, 1: [0, 10, 1], 2: [0, 12, 3], 3: [2, 11, None]}


def test_a_checkpoint_has_the_position_of_the_command_that_saved_it():
    log = read_log(OLD, BRANCHES)
    assert log.position_of("mine", 0) == 3 and log.position_of("before-00000010-2", 0) == 1
    assert log.position_of("mine", 1) is None and log.position_of("auto-00000012", 0) is None


def test_recorded_positions_take_precedence():
    placed = [
        events.CommandApplied(10, "a-1", SaveCheckpoint("mine"), (), "mine").placed(0, 4, None),
        events.Restored(10, "mine", RestoreReason.UNDO, 15).placed(1, 0, BranchPoint(0, 10, 3)),
    ]
    rows = [
        (number, event.branch, event.step, 7.0, event.kind, json.dumps(event.to_dict()))
        for number, event in enumerate(placed, 1)
    ]
    log = read_log(rows, BRANCHES[:2])
    assert log.tree.parent_of(1) == BranchPoint(0, 10, 3)
    expected = [dict(json.loads(row[5]), sequence=row[0], time=7.0) for row in rows]
    assert log.rows == expected


def test_texts_of_old_records_become_structures():
    found = [event_from(row) for row in read_log(OLD, BRANCHES).rows]
    commands = [event.command for event in found if isinstance(event, events.CommandApplied)]
    assert commands == [
        ChangeSettings((("x", "1"),)),
        ChangeSettings((("y", "1"),)),
        SaveCheckpoint(),
        Undo(),
        RestoreCheckpoint(""),
    ]
    assert {event.id for event in found if isinstance(event, events.CommandApplied)} == {""}
    reasons = [event.reason for event in found if isinstance(event, events.Restored)]
    assert reasons == [RestoreReason.UNDO, RestoreReason.CHECKPOINT, RestoreReason.BAD_STEP]
    assert found[5].reason == SaveReason(SaveKind.REQUESTED)
    assert found[-2].what is NonFiniteValue.LOSS and found[-1].reason is PauseReason.BAD_STEP


@pytest.mark.parametrize("body", ["[]", '{"position": "x"}', '{"position": null}', '{"parent": [0]}', '{"parent": 3}'])
def test_a_hostile_row_is_refused(body):
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        read_log([(1, 1, 3, 0.0, "Resumed", body)], BRANCHES[:2])
