"""Specs of runs: checks before the start, and their JSON form."""

import json
from dataclasses import replace

import pytest
from small_runs import convnet, dataset, mlp, spec

from qatviz.errors import NetworkError, QatvizError, RecordError, SettingError
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.run_spec import RunSpec

SPEC = spec(
    optimizer="momentum",
    seed=3,
    steps=None,
    schedule=((5, ChangeSettings((("*.num_bits", 4), ("run.momentum", 0.5)))),),
)


def test_a_spec_round_trips_through_json():
    description = json.loads(json.dumps(SPEC.description()))
    again = RunSpec.from_description(description, SPEC.dataset)
    for name in ("network", "data_spec", "book", "batch_size", "optimizer", "seed", "steps", "schedule"):
        assert getattr(again, name) == getattr(SPEC, name), name
    assert again.description() == SPEC.description()
    assert RunSpec.from_description(description, SPEC.dataset, steps=70).steps == 70


def test_other_data_is_refused():
    with pytest.raises(RecordError, match="fingerprint"):
        RunSpec.from_description(SPEC.description(), dataset(seed=9))


@pytest.mark.parametrize(
    "key", ["network", "data", "data_fingerprint", "batch_size", "optimizer", "seed", "steps", "settings", "schedule"]
)
def test_an_incomplete_description_is_refused(key):
    description = SPEC.description()
    del description[key]
    with pytest.raises(RecordError, match="incomplete"):
        RunSpec.from_description(description, SPEC.dataset)


@pytest.mark.parametrize(
    "key, value",
    [
        ("schedule", [[1]]),
        ("schedule", [[1, "text"]]),
        ("schedule", [[1, [["no.such", 1]]]]),
        ("settings", []),
        ("network", {"name": "x"}),
        ("batch_size", "many"),
        ("optimizer", "newton"),
        ("schedule", 5),
        ("steps", -1),
    ],
)
def test_a_damaged_description_is_refused(key, value):
    with pytest.raises(QatvizError):
        RunSpec.from_description(dict(SPEC.description(), **{key: value}), SPEC.dataset)


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("batch_size", 0, "1 to 65536"),
        ("batch_size", 2.0, "2.0"),
        ("batch_size", True, "True"),
        ("seed", -1, "0 to"),
        ("seed", 2**32, "0 to"),
        ("steps", -1, "0 to"),
        ("steps", "10", "'10'"),
        ("optimizer", "Adam", "adam, adamw, momentum, rmsprop, sgd"),
        ("schedule", ((1, ChangeSettings((("nobody.num_bits", 1),))),), "nobody"),
    ],
)
def test_invalid_specs_are_refused(name, value, said):
    with pytest.raises(SettingError, match=said):
        replace(SPEC, **{name: value})


def test_scheduled_changes_are_checked_in_order_on_top_of_each_other():
    changes = ((1, ChangeSettings((("*.weights.num_bits", 4),))), (2, ChangeSettings((("*.weights.num_bits", 0),))))
    with pytest.raises(SettingError, match="num_bits is 0"):
        replace(SPEC, schedule=changes)


def test_network_and_data_must_fit():
    with pytest.raises(NetworkError, match=r"\(6, 6, 2\).*\(6,\)"):
        spec(convnet(), dataset((6,)))
    with pytest.raises(NetworkError, match="'logits'.*3 classes"):
        spec(mlp(classes=4), dataset(classes=3))
    net = NetworkBuilder("unnamed", (6,))
    net.add(Dense, "only", units=3)
    assert spec(net.network()).plan.tensors
