"""Paths and values of settings: their meaning, refusals, and that a refused change has no effect."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import convnet, mlp

from qatviz.errors import SettingError
from qatviz.network.ends import end_tensors
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Concat, Dense
from qatviz.network.plan import quantization_plan
from qatviz.presets import PRESETS
from qatviz.protocol.settings_book import SettingsBook, parse_assignment
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS, RunSettings

PLAN = quantization_plan(convnet())
BOOK = SettingsBook.from_preset(PLAN, "tflite-int8")


def changed_tensors(changes):
    return sorted(change.setting.rpartition(".")[0] for change in changes)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("conv.weights.num_bits", ["conv.weights"]),
        ("*.weights.num_bits", ["conv.weights", "depthwise.weights", "logits.weights"]),
        ("conv.num_bits", ["conv.activations", "conv.weights"]),
        ("conv.*.num_bits", ["conv.activations", "conv.weights"]),
        ("log?ts.num_bits", ["logits.activations", "logits.weights"]),
        ("*.num_bits", sorted(tensor.name for tensor in PLAN.tensors)),
        ("input.num_bits", ["input.activations"]),
        ("conv.per_channel", ["conv.weights"]),
        ("*.ema_decay", sorted(tensor.name for tensor in PLAN.tensors if tensor.kind == "activations")),
        ("  conv.weights.num_bits ", ["conv.weights"]),
    ],
)
def test_a_path_names_tensors(path, expected):
    value = {"num_bits": 5, "per_channel": False, "ema_decay": 0.5}[path.strip().rpartition(".")[2]]
    book, changes = BOOK.change([(path, value)])
    assert changed_tensors(changes) == expected
    setting = path.strip().rpartition(".")[2]
    for tensor in PLAN.tensors:
        own = getattr(book.of(tensor.name), setting)
        assert own == (value if tensor.name in expected else getattr(BOOK.of(tensor.name), setting))


@pytest.mark.parametrize(
    "path, value, said",
    [
        ("conv.weights.num_bits", 0, "1 to 16"),
        ("conv.activations.num_bits", 1, "2 to 16"),
        ("conv.weights.num_bits", 17, "conv.weights.num_bits is 17"),
        ("conv.weights.num_bits", 4.5, "whole number"),
        ("conv.weights.num_bits", True, "True"),
        ("conv.weights.num_bits", "four", "'four'"),
        ("conv.weights.symmetric", 1, "on or off"),
        ("conv.weights.symmetric", "maybe", "on or off"),
        ("conv.weights.range_method", "moving_average", "min_max"),
        (
            "conv.activations.range_method",
            "min_max",
            "extremes, percentile, mse, kl, learned, learned_range, learned_clip, frozen",
        ),
        ("conv.activations.per_channel", True, "no such setting"),
        ("conv.weights.ema_decay", 0.5, "no such setting"),
        ("conv.weights.bits", 8, "num_bits"),
        ("stem.weights.num_bits", 8, "conv.weights"),
        ("run.learning_rate", -1.0, "0 to 100"),
        ("run.learning_rate", float("nan"), "nan"),
        ("run.rate", 1, "learning_rate"),
        ("", 1, "no such setting"),
        ("num_bits", 8, "no tensor"),
        ("conv.weights.quant_delay", -1, "0 to"),
    ],
)
def test_invalid_changes_are_refused_by_name_without_effect(path, value, said):
    before = BOOK.to_dict()
    with pytest.raises(SettingError) as refused:
        BOOK.change([("conv.weights.num_bits", 3), (path, value)])
    assert said in str(refused.value)
    assert BOOK.to_dict() == before


@pytest.mark.parametrize("text, value", [("on", True), ("off", False), ("TRUE", True), ("0", False), (" yes ", True)])
def test_text_values_of_switches_are_accepted(text, value):
    assert BOOK.change([("*.narrow_range", text)])[0].of("conv.weights").narrow_range is value


def test_later_assignments_win_and_unchanged_values_are_not_changes():
    book, changes = BOOK.change([("*.weights.num_bits", 4), ("conv.weights.num_bits", 8), ("run.momentum", "0.9")])
    assert changed_tensors(changes) == ["depthwise.weights", "logits.weights"]
    assert BOOK.change([])[1] == ()
    assert book.differences(book) == ()


def test_run_settings_need_no_prefix():
    book, changes = BOOK.change([("learning_rate", 0.5)])
    assert [(c.setting, c.old, c.new) for c in changes] == [("run.learning_rate", 1e-3, 0.5)]
    assert book == BOOK.change([("run.learning_rate", "5e-1")])[0]


def test_tensors_of_one_group_change_together():
    net = NetworkBuilder("shared", (4,))
    one, other = net.add(Dense, "one", units=3), net.add(Dense, "other", inputs="input", units=3)
    net.add(Concat, "both", inputs=(one, other))
    net.add(Dense, "logits", units=2)
    book = SettingsBook.from_preset(quantization_plan(net.network()), "tflite-int8")
    _, changes = book.change([("other.activations.num_bits", 4)])
    assert changed_tensors(changes) == ["both.activations", "one.activations", "other.activations"]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_output_of_a_regression_has_the_range_of_all_extremes(preset):
    """In each preset, at the start and live, for all tensors on its grid; a given method has precedence."""
    net = NetworkBuilder("numbers", (4,))
    one, other = net.add(Dense, "one", units=3), net.add(Dense, "other", inputs="input", units=3)
    net.add(Concat, "both", inputs=(one, other))
    plan = quantization_plan(net.network(), is_regression=True)
    book = SettingsBook.from_preset(plan, preset)
    methods = {tensor.name: book.of(tensor.name).range_method for tensor in plan.tensors}
    outputs = {"one.activations", "other.activations", "both.activations"}
    assert {name for name, method in methods.items() if method == "extremes"} == outputs
    changed, _ = book.change([("*.activations.range_method", "moving_average")])
    assert changed.with_preset(preset)[0] == book
    given = SettingsBook.from_preset(plan, preset, activations={"range_method": "frozen"})
    assert {given.of(name).range_method for name in outputs} == {"frozen"}
    assert "extremes" not in {s.range_method for s in SettingsBook.from_preset(PLAN, preset).quantizers}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_change_quantizers_and_no_other_run_settings_than_theirs(preset):
    started, _ = BOOK.change([("run.learning_rate", 0.25), ("*.num_bits", 13)])
    book, changes = started.with_preset(preset)
    assert book.run == replace(started.run, **PRESETS[preset].run)
    assert book.quantizers == SettingsBook.from_preset(PLAN, preset).quantizers
    assert started.differences(book) == changes and changes
    assert book.with_preset(preset)[1] == ()


def test_a_new_run_has_the_run_settings_of_its_preset_unless_others_are_given():
    assert SettingsBook.from_preset(PLAN, "low-bit").run == replace(RunSettings(), **PRESETS["low-bit"].run)
    own = RunSettings(lr_schedule="step", learning_rate=0.5)
    book = SettingsBook.from_preset(PLAN, "low-bit", run=own)
    assert (book.run.lr_schedule, book.run.learning_rate, book.run.round_biases) == ("step", 0.5, True)


def test_low_bit_has_eight_bits_at_the_ends():
    bits = {tensor.name: BOOK.with_preset("low-bit")[0].of(tensor.name).num_bits for tensor in PLAN.tensors}
    assert {name for name, number in bits.items() if number == 8} == set(end_tensors(PLAN))
    assert {number for name, number in bits.items() if name not in end_tensors(PLAN)} == {4}


def test_an_unknown_preset_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(SettingError, match="int4"):
        BOOK.with_preset("int3")


def test_settings_replace_those_of_a_preset():
    book = SettingsBook.from_preset(PLAN, "int4", {"num_bits": 6}, {"ema_decay": 0.5})
    assert book.of("conv.weights").num_bits == 6 and book.of("conv.weights").per_channel
    assert book.of("input.activations").ema_decay == 0.5
    with pytest.raises(SettingError, match="weights.ema_decay"):
        SettingsBook.from_preset(PLAN, "int4", {"ema_decay": 0.5})


VALUES = {
    "num_bits": st.integers(2, 16),
    "percentile": st.floats(50, 100),
    "ema_decay": st.floats(0, 0.999999),
    "quant_delay": st.integers(0, 10**9),
    "range_method": st.sampled_from(["frozen", "mse", "min_max", "moving_average"]),
}


def assignments():
    paths = st.tuples(
        st.sampled_from(["*", "*.weights", "conv", "input.activations"]), st.sampled_from(sorted(QUANTIZER_SETTINGS))
    )
    return st.lists(
        paths.flatmap(lambda path: st.tuples(st.just(".".join(path)), VALUES.get(path[1], st.booleans()))), max_size=5
    )


@settings(max_examples=100, deadline=None)
@given(assignments())
def test_books_round_trip_and_changes_transform_one_into_another(pairs):
    try:
        book, changes = BOOK.change(pairs)
    except SettingError:
        return
    assert SettingsBook.from_dict(PLAN, json.loads(json.dumps(book.to_dict()))) == book
    again, _ = BOOK.change([(change.setting, change.new) for change in changes])
    assert again == book
    back, _ = book.change([(change.setting, change.old) for change in changes])
    assert back == BOOK


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("run"),
        lambda record: record["quantizers"].pop("conv.weights"),
        lambda record: record["run"].update(unknown=1),
        lambda record: record["quantizers"].update({"conv.weights": None}),
        lambda record: record["quantizers"]["conv.weights"].update(num_bits=99),
    ],
)
def test_a_damaged_record_of_settings_is_refused(damage):
    record = json.loads(json.dumps(BOOK.to_dict()))
    damage(record)
    with pytest.raises(SettingError):
        SettingsBook.from_dict(PLAN, record)


def test_settings_of_another_network_are_refused():
    with pytest.raises(SettingError):
        SettingsBook.from_dict(quantization_plan(mlp()), BOOK.to_dict())


def test_assignments_are_parsed_from_text():
    assert parse_assignment(" conv.weights.num_bits = 4 ") == ("conv.weights.num_bits", "4")
    for text in ("conv.weights.num_bits", "=4", "a.b=", ""):
        with pytest.raises(SettingError, match="PATH=VALUE"):
            parse_assignment(text)


@pytest.mark.parametrize("name", sorted(RUN_SETTINGS))
def test_run_settings_are_checked_on_creation(name):
    with pytest.raises(SettingError, match="run." + name):
        RunSettings(**{name: 5 if name == "teacher" else "nonsense"})  # a teacher is any checkpoint
