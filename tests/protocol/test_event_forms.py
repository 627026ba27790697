"""Commands, reasons, schedules and events round-trip through their JSON form."""

import dataclasses
import json

import pytest
from hypothesis import given
from wire_cases import COMMANDS, EVENTS, KINDS, SAVE_REASONS, SCHEDULES

from qatviz.errors import RecordError, SettingError
from qatviz.protocol import commands, events, reasons
from qatviz.protocol.branches import UNPLACED, BranchPoint
from qatviz.protocol.commands import (
    COMMAND_KINDS,
    ApplyPreset,
    ChangeSettings,
    Command,
    ScheduledCommand,
    UnknownCommand,
    command_from,
    schedule_from,
    schedule_rows,
    with_ids,
)
from qatviz.protocol.events import ENDINGS, EVENT_KINDS, Evaluated, Event, Failed, FurtherScores, event_from
from qatviz.protocol.reasons import PauseReason, SaveKind, SaveReason


def through_json(value):
    """Return the value after a round trip through JSON."""
    return json.loads(json.dumps(value))


@given(COMMANDS)
def test_commands_round_trip_through_json(command):
    again = command_from(through_json(command.to_dict()))
    assert again == command and type(again) is type(command)


@given(SAVE_REASONS)
def test_reasons_round_trip_through_json(reason):
    assert SaveReason.from_wire(through_json(reason.to_wire())) == reason


@given(SCHEDULES)
def test_schedules_round_trip_through_json(schedule):
    assert schedule_from(through_json(schedule_rows(schedule))) == schedule


@given(EVENTS)
def test_events_round_trip_through_json(event):
    again = event_from(through_json(event.to_dict()))
    assert again == event and type(again) is type(event)
    assert (again.branch, again.position, again.parent) == (event.branch, event.position, event.parent)
    assert again.to_dict() == event.to_dict()


@given(EVENTS)
def test_the_json_form_of_an_event_has_all_its_fields(event):
    row = through_json(event.to_dict())
    assert row.pop("kind") == type(event).__name__ == event.kind
    if isinstance(event, Evaluated):
        row["scores"] = row.pop(event.metric)
        left_out = {
            "outputs": [],
            "further": [],
            "held_out_loss": None,
            "output": "",
            "losses": {},
        }  # where there is nothing
        row = {**left_out, **row}
    assert set(row) == {field.name for field in dataclasses.fields(event)}


@given(EVENTS)
def test_unknown_entries_of_a_row_are_ignored(event):
    assert event_from(dict(event.to_dict(), time=1.5, sequence=3)) == event


def test_reasons_keep_their_recorded_values():
    """They are on disk, in records of all versions: they never change."""
    words = {
        kind.__name__: sorted(member.value for member in kind)
        for kind in (reasons.PauseReason, reasons.RestoreReason, reasons.NonFiniteValue, reasons.SaveKind)
    }
    assert words == {
        "PauseReason": ["asked to", "bad step", "single step", "workers lost"],
        "RestoreReason": ["bad step", "redo", "restored", "resumed", "undo", "workers lost"],
        "NonFiniteValue": ["loss", "state"],
        "SaveKind": sorted(
            [
                "asked for",
                "automatic",
                "before a change",
                "before restoring",
                "undone",
                "redone",
                "start of the run",
                "kept in case a step goes wrong",
                "end of the run",
                "best so far",
                "fork",
                "other",
            ]
        ),
    }
    assert SaveReason(SaveKind.AUTOMATIC).to_wire() == "automatic"


def test_commands_keep_their_recorded_forms():
    change = ChangeSettings((("*.num_bits", 4), ("run.momentum", 0.5)))
    assert change.to_dict() == {"kind": "ChangeSettings", "assignments": [["*.num_bits", 4], ["run.momentum", 0.5]]}
    assert ScheduledCommand(5, change, "a").to_row() == [5, [["*.num_bits", 4], ["run.momentum", 0.5]], "a"]
    assert ScheduledCommand(9, ApplyPreset("int4"), "b").to_row() == [9, "int4", "b"]
    assert schedule_from([[9, "int4"]]) == (ScheduledCommand(9, ApplyPreset("int4")),), "version 0.1 had no ids"


def test_with_ids_adds_unique_ids_and_keeps_existing_ones():
    schedule = with_ids([(5, ApplyPreset("int4")), ScheduledCommand(5, ApplyPreset("int4")), (7, ApplyPreset("float"))])
    assert len({item.id for item in schedule}) == 3 and all(item.id for item in schedule)
    assert with_ids(schedule) == schedule


def test_a_command_of_another_version_becomes_an_unknown_command():
    assert command_from({"kind": "PruneWeights", "fraction": 0.5}) == UnknownCommand("PruneWeights")


NO_COMMANDS = (
    {},
    {"kind": "ApplyPreset"},
    {"kind": "ApplyPreset", "preset": 4},
    {"kind": "ChangeSettings", "assignments": 3},
    {"kind": "ChangeSettings", "assignments": [], "continues": "yes"},
)


@pytest.mark.parametrize("row", NO_COMMANDS)
def test_invalid_commands_are_refused(row):
    with pytest.raises((KeyError, SettingError)):
        command_from(row)


def test_equal_events_are_equal_on_any_branch_and_position():
    event = events.Resumed(3)
    assert event.branch == UNPLACED and event.placed(1, 2, None) == event != events.Resumed(4)
    assert event.placed(1, 2, None).point == BranchPoint(1, 3, 3)
    assert events.CheckpointSaved(3, "a", SaveReason(SaveKind.REQUESTED)).placed(1, 2, None).point == BranchPoint(
        1, 3, 2
    )


def test_entries_missing_in_older_records_have_defaults():
    row = Failed(3, "why", "trace").to_dict()
    for name in ("explained", "branch", "position", "parent"):
        del row[name]
    assert event_from(row) == Failed(3, "why", "trace")


def test_an_evaluation_of_an_older_record_has_accuracies():
    row = {"kind": "Evaluated", "step": 5, "accuracy": {"float": 0.9}, "num_examples": 10, "seconds": 0.1}
    assert event_from(row) == Evaluated(5, {"float": 0.9}, 10, 0.1, "accuracy")
    told = Evaluated(5, {"float": 0.9}, 10, 0.1).to_dict()
    assert told == dict(row, metric="accuracy", branch=UNPLACED, position=0, parent=None)


def test_the_outputs_of_an_evaluation_are_read_back_and_left_out_where_there_is_one():
    scores = {"float": 0.9}
    event = Evaluated(5, scores, 10, 0.1, "rmse", ((0.5, float("inf")), (1.0, 2.0)))
    assert event.to_dict()["outputs"] == [[0.5, float("inf")], [1.0, 2.0]]
    assert event_from(event.to_dict()) == event
    assert "outputs" not in Evaluated(5, scores, 10, 0.1, "rmse").to_dict()
    for odd in (3, [3], [["x"]], [[10**400]], {"a": 1}):
        with pytest.raises(RecordError, match="output"):
            event_from(dict(event.to_dict(), outputs=odd))


def test_further_scores_of_an_evaluation_are_read_back_and_checked():
    scores = {"float": 0.9}
    event = Evaluated(5, scores, 10, 0.1, "accuracy", (), (FurtherScores("", "exact_match", {"float": 0.5}),))
    assert event.to_dict()["further"] == [{"output": "", "metric": "exact_match", "scores": {"float": 0.5}}]
    assert event_from(event.to_dict()) == event and "further" not in Evaluated(5, scores, 10, 0.1).to_dict()
    for odd in (3, [3], [{}], [{"metric": "taste", "scores": scores}], [{"metric": "rmse", "scores": {"float": "x"}}]):
        with pytest.raises(RecordError):
            event_from(dict(event.to_dict(), further=odd))


def test_losses_of_outputs_are_read_back_and_checked():
    event = Evaluated(5, {"float": 0.9}, 10, 0.1, losses=(("box", 0.5), ("kind", float("inf"))))
    assert event.to_dict()["losses"] == {"box": 0.5, "kind": float("inf")} and event_from(event.to_dict()) == event
    assert "losses" not in Evaluated(5, {"float": 0.9}, 10, 0.1).to_dict()
    for odd in (3, [3], {"box": "x"}, {"box": None}):
        with pytest.raises(RecordError):
            event_from(dict(event.to_dict(), losses=odd))


@pytest.mark.parametrize("metric", ["", "step", "seconds", "rmse", None, ["accuracy"], {"accuracy": 1}])
def test_an_evaluation_without_the_scores_of_its_metric_is_refused(metric):
    row = {"kind": "Evaluated", "step": 5, "accuracy": {"float": 0.9}, "num_examples": 10, "seconds": 0.1}
    with pytest.raises(RecordError, match="event"):
        event_from(dict(row, metric=metric))


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "NoSuchKind", "step": 1},
        {"step": 1},
        {"kind": "Failed", "step": 1},
        {"kind": "Resumed"},
        {"kind": "Paused", "step": 1, "reason": "because"},
        {"kind": "Resumed", "step": 1, "parent": [1]},
        {"kind": "CommandApplied", "step": 1, "id": "a", "command": "Undo"},
        {"kind": "CommandApplied", "step": 1, "id": "a", "command": {"kind": "ApplyPreset", "preset": 3}},
        {"kind": "Planned", "step": 1, "steps": 3, "schedule": [[1]]},
    ],
)
def test_invalid_events_are_refused(row):
    with pytest.raises(RecordError, match="event"):
        event_from(row)


def test_every_event_and_command_is_registered_and_tested():
    declared = {cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event)} - {Event}
    assert set(EVENT_KINDS.values()) == declared == set(KINDS)
    assert set(ENDINGS) <= declared
    declared = {cls for cls in vars(commands).values() if isinstance(cls, type) and issubclass(cls, Command)}
    assert set(COMMAND_KINDS.values()) == declared - {Command}


def test_a_pause_has_its_reason():
    assert events.Paused(3, PauseReason.REQUESTED).to_dict()["reason"] == "asked to"


def test_the_error_of_a_damaged_list_names_it():
    for name, event in (
        ("workers", events.WorkersLost(3, workers=("a:1",), message="no answer")),
        ("workers", events.WorkersBack(3, workers=("a:1",))),
        ("notes", events.Corrected(3, id="x", notes=("a note",))),
        ("tensors", events.SettingsActivated(3, tensors=("conv1",))),
    ):
        with pytest.raises(RecordError, match=f"{name} is 5: expected a list"):
            event_from(dict(event.to_dict(), **{name: 5}))
        with pytest.raises(RecordError, match=f"{name[:-1]} is 5: expected text"):
            event_from(dict(event.to_dict(), **{name: [5]}))
