"""Events of older records get the places that they lack."""

import json

import pytest

from qatviz.protocol import events
from qatviz.protocol.branches import BranchPoint
from qatviz.protocol.events import Change
from qatviz.telemetry.record.event_log import read_log

CHANGE = (Change("x", 0, 1),)
BACK = (Change("x", 1, 0),)
PLACE = ("branch", "position", "parent")


def rows_of(*told):
    """Rows of the table of events as version 0.1 wrote them: from (branch, event)."""
    rows = []
    for number, (branch, event) in enumerate(told, 1):
        body = {name: value for name, value in event.to_dict().items() if name not in PLACE}
        rows.append((number, branch, event.step, 7.0, event.kind, json.dumps(body)))
    return rows


OLD = rows_of(
    (0, events.Started(0, 1.0, "CPU")),
    (0, events.CommandApplied(10, 1, "x=1", CHANGE, "before-00000010-2")),
    (0, events.CommandApplied(10, 2, "y=1", CHANGE, "before-00000010-2")),
    (0, events.Evaluated(9, {"float": 0.5}, 10, 0.1)),
    (0, events.CommandApplied(12, 3, "SaveCheckpoint", (), "mine")),
    (0, events.CheckpointSaved(12, "mine", "asked for")),
    (0, events.Resumed(12)),
    (1, events.CommandApplied(10, 4, "Undo", BACK)),
    (1, events.Restored(10, "before-00000010-2", "undo", 15, BACK)),
    (2, events.CommandApplied(12, 5, "RestoreCheckpoint", CHANGE)),
    (2, events.Restored(12, "mine", "restored", 11, CHANGE)),
    (3, events.Restored(11, "good", "the loss is not finite", 14)),
)
BRANCHES = [(0, -1, -1), (1, 0, 10), (2, 0, 12), (3, 2, 11)]


def test_positions_count_the_events_of_the_branch():
    log = read_log(OLD, BRANCHES)
    assert [row["position"] for row in log.rows] == [0, 1, 2, 1, 3, 4, 4, 0, 1, 0, 1, 0]
    assert log.next_position() == 1 and log.tree.newest == 3


def test_branches_go_on_from_the_checkpoint_that_was_restored():
    tree = read_log(OLD, BRANCHES).tree
    assert tree.parent_of(1) == BranchPoint(0, 10, 1), "before both changes"
    assert tree.parent_of(2) == BranchPoint(0, 12, 3), "before the answer to the command that saved it"
    assert tree.parent_of(3) == BranchPoint(2, 11, None), "a state that had no name goes by its step"


def test_events_say_where_their_branch_begins():
    log = read_log(OLD, BRANCHES)
    parents = {row["branch"]: row["parent"] for row in log.rows}
    assert parents == {0: None, 1: [0, 10, 1], 2: [0, 12, 3], 3: [2, 11, None]}


def test_the_position_of_a_checkpoint_is_that_of_the_command_that_saved_it():
    log = read_log(OLD, BRANCHES)
    assert log.position_of("mine", 0) == 3 and log.position_of("before-00000010-2", 0) == 1
    assert log.position_of("mine", 1) is None and log.position_of("auto-00000012", 0) is None


def test_what_is_recorded_counts():
    placed = [
        events.CommandApplied(10, 1, "x=1", CHANGE, "mine").placed(0, 4, None),
        events.Restored(10, "mine", "undo", 15).placed(1, 0, BranchPoint(0, 10, 3)),
    ]
    rows = [
        (number, event.branch, event.step, 7.0, event.kind, json.dumps(event.to_dict()))
        for number, event in enumerate(placed, 1)
    ]
    log = read_log(rows, BRANCHES[:2])
    assert log.tree.parent_of(1) == BranchPoint(0, 10, 3)
    expected = [dict(json.loads(row[5]), sequence=row[0], time=7.0) for row in rows]
    assert log.rows == expected


@pytest.mark.parametrize("body", ["[]", '{"position": "x"}', '{"position": null}', '{"parent": [0]}', '{"parent": 3}'])
def test_a_hostile_row_is_refused(body):
    with pytest.raises((ValueError, TypeError, KeyError, IndexError)):
        read_log([(1, 1, 3, 0.0, "Resumed", body)], BRANCHES[:2])
