"""Every kind of event has a JSON form that keeps all it says."""

import dataclasses
import json

import pytest

from qatviz.telemetry import events
from qatviz.telemetry.events import ENDINGS, EVENT_KINDS, Change, Event

SAMPLES = {
    "int": 3,
    "float": 0.5,
    "str": "text",
    "bool": True,
    "Dict[str, float]": {"float": 0.5},
    "Tuple[str, ...]": ("conv1.weights",),
    "Tuple[events.Change, ...]": (Change("conv1.weights.num_bits", 8, 4),),
}


def sample(cls):
    def value(field):
        name = getattr(field.type, "__name__", None) or str(field.type)
        return SAMPLES[name.replace("typing.", "").replace("qatviz.telemetry.", "")]

    return cls(**{field.name: value(field) for field in dataclasses.fields(cls)})


@pytest.mark.parametrize("cls", EVENT_KINDS.values())
def test_has_a_json_form_that_keeps_all(cls):
    event = sample(cls)
    row = json.loads(json.dumps(event.to_dict()))
    assert row.pop("kind") == cls.__name__ == event.kind
    assert set(row) == {field.name for field in dataclasses.fields(cls)}
    for name, value in row.items():
        expected = getattr(event, name)
        if name == "changes":
            assert value == [{"setting": change.setting, "old": change.old, "new": change.new} for change in expected]
        else:
            assert value == (list(expected) if isinstance(expected, tuple) else expected)


def test_all_events_of_the_module_are_kinds():
    declared = {cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event)} - {Event}
    assert set(EVENT_KINDS.values()) == declared
    assert set(ENDINGS) <= declared
