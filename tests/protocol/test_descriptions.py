"""Settings and the description of a run round-trip through their JSON form."""

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.data import from_arrays
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.commands import ApplyPreset, ChangeSettings
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook

NETWORK = zoo.build("mlp", (6, 6, 1), 3)
PLAN = quantization_plan(NETWORK)
IMAGES = np.linspace(0, 1, 6 * 36, dtype=np.float32).reshape(6, 6, 6, 1)
DATASET = from_arrays("tiny", "made for the test", (IMAGES, np.arange(6) % 3), (IMAGES[:3], np.arange(3)))
TENSORS = [tensor.name for tensor in PLAN.tensors]
ASSIGNMENTS = st.one_of(
    st.tuples(st.sampled_from([name + ".num_bits" for name in TENSORS]), st.integers(2, 16)),
    st.tuples(st.sampled_from([name + ".symmetric" for name in TENSORS]), st.booleans()),
    st.tuples(st.sampled_from([name + ".quant_delay" for name in TENSORS]), st.integers(0, 100)),
    st.tuples(st.just("run.learning_rate"), st.floats(1e-6, 1.0)),
    st.tuples(st.just("run.freeze_ranges"), st.booleans()),
)
CHANGES = st.lists(ASSIGNMENTS, max_size=4)
PRESETS = st.sampled_from(["float", "int4", "tflite-int8", "ternary"])
BOOKS = st.builds(lambda preset, changes: SettingsBook.from_preset(PLAN, preset).change(changes)[0], PRESETS, CHANGES)
SCHEDULES = st.lists(
    st.tuples(
        st.integers(0, 99), st.one_of(st.builds(ApplyPreset, PRESETS), st.builds(ChangeSettings, CHANGES.map(tuple)))
    ),
    max_size=3,
).map(tuple)
SPECS = st.builds(
    lambda book, schedule, steps, seed, optimizer: RunSpec(
        NETWORK, DATASET, "tiny", book, 4, optimizer, seed, steps, schedule
    ),
    BOOKS,
    SCHEDULES,
    st.one_of(st.none(), st.integers(0, 10**9)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["adam", "adamw", "momentum", "rmsprop", "sgd"]),
)


@settings(deadline=None)
@given(BOOKS)
def test_settings_round_trip_through_json(book):
    assert SettingsBook.from_dict(PLAN, json.loads(json.dumps(book.to_dict()))) == book


@settings(deadline=None)
@given(SPECS)
def test_the_description_of_a_run_round_trips_through_json(spec):
    again = RunSpec.from_description(json.loads(json.dumps(spec.description())), DATASET)
    for name in ("network", "data_spec", "book", "batch_size", "optimizer", "seed", "steps", "schedule"):
        assert getattr(again, name) == getattr(spec, name), name
    assert again.description() == spec.description()


@settings(deadline=None, max_examples=20)
@given(SPECS, SCHEDULES)
def test_scheduled_commands_keep_their_ids_in_another_spec(spec, schedule):
    more = replace(spec, schedule=spec.schedule + schedule)
    assert more.schedule[: len(spec.schedule)] == spec.schedule
    ids = [item.id for item in more.schedule]
    assert len(set(ids)) == len(ids) and all(ids)
