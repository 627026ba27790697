"""Every kind of event has a JSON form that keeps all it says."""

import dataclasses
import json

import pytest

from qatviz.errors import RecordError
from qatviz.protocol import events
from qatviz.protocol.branches import UNPLACED, BranchPoint
from qatviz.protocol.events import ENDINGS, EVENT_KINDS, Change, Evaluated, Event, Failed, event_from

SAMPLES = {
    "int": 3,
    "float": 0.5,
    "str": "text",
    "bool": True,
    "Dict[str, float]": {"float": 0.5},
    "Tuple[str, ...]": ("conv1.weights",),
    "Union[int, NoneType]": 70,
    "Union[Sequence[Any], NoneType]": ([5, [["*.num_bits", 4]]], [9, "int4"]),
    "Tuple[events.Change, ...]": (Change("conv1.weights.num_bits", 8, 4),),
}


def sample(cls):
    def value(field):
        if field.name == "metric":
            return "rmse"
        name = getattr(field.type, "__name__", None) or str(field.type)
        return SAMPLES[name.replace("typing.", "").replace("qatviz.protocol.", "")]

    event = cls(**{field.name: value(field) for field in dataclasses.fields(cls) if field.init})
    return event.placed(2, 5, BranchPoint(1, 40, 3))


@pytest.mark.parametrize("cls", EVENT_KINDS.values())
def test_has_a_json_form_that_keeps_all(cls):
    event = sample(cls)
    row = json.loads(json.dumps(event.to_dict()))
    assert row.pop("kind") == cls.__name__ == event.kind
    if cls is Evaluated:
        row["scores"] = row.pop(event.metric)
    assert set(row) == {field.name for field in dataclasses.fields(cls)}
    for name, value in row.items():
        expected = getattr(event, name)
        if name == "parent":
            assert value == [1, 40, 3]
        elif name == "changes":
            assert value == [{"setting": change.setting, "old": change.old, "new": change.new} for change in expected]
        else:
            assert value == (list(expected) if isinstance(expected, tuple) else expected)


@pytest.mark.parametrize("cls", EVENT_KINDS.values())
def test_comes_back_from_its_json_form(cls):
    event = sample(cls)
    row = dict(json.loads(json.dumps(event.to_dict())), time=1.5)
    again = event_from(row)
    assert again == event and again.to_dict() == event.to_dict()
    assert (again.branch, again.position, again.parent) == (2, 5, BranchPoint(1, 40, 3))


def test_events_that_say_the_same_are_equal_wherever_they_are_placed():
    event = events.Resumed(3)
    assert event.branch == UNPLACED and event.placed(1, 2, None) == event != events.Resumed(4)
    assert event.placed(1, 2, None).point == BranchPoint(1, 3, 3)
    assert events.CheckpointSaved(3, "a", "b").placed(1, 2, None).point == BranchPoint(1, 3, 2)


def test_an_event_of_an_older_record_lacks_what_has_a_default():
    row = Failed(3, "why", "trace").to_dict()
    del row["explained"]
    assert event_from(row) == Failed(3, "why", "trace")


def test_an_evaluation_of_an_older_record_is_of_accuracy():
    row = {"kind": "Evaluated", "step": 5, "accuracy": {"float": 0.9}, "num_examples": 10, "seconds": 0.1}
    assert event_from(row) == Evaluated(5, {"float": 0.9}, 10, 0.1, "accuracy")
    told = Evaluated(5, {"float": 0.9}, 10, 0.1).to_dict()
    assert told == dict(row, metric="accuracy", branch=UNPLACED, position=0, parent=None)


@pytest.mark.parametrize("metric", ["", "step", "seconds", "rmse", None, ["accuracy"], {"accuracy": 1}])
def test_an_evaluation_by_another_metric_than_it_has_is_refused(metric):
    row = {"kind": "Evaluated", "step": 5, "accuracy": {"float": 0.9}, "num_examples": 10, "seconds": 0.1}
    with pytest.raises(RecordError, match="event"):
        event_from(dict(row, metric=metric))


@pytest.mark.parametrize(
    "row", [{"kind": "NoSuchKind", "step": 1}, {"step": 1}, {"kind": "Failed", "step": 1}, {"kind": "Resumed"}]
)
def test_what_is_no_event_is_refused(row):
    with pytest.raises(RecordError, match="event"):
        event_from(row)


def test_all_events_of_the_module_are_kinds():
    declared = {cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event)} - {Event}
    assert set(EVENT_KINDS.values()) == declared
    assert set(ENDINGS) <= declared
