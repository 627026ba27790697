"""Recipes: their rules, their files, and errors that name the rule, the key, the value and what is allowed."""

import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import convnet, mlp

from qatviz.errors import SettingError
from qatviz.network.plan import quantization_plan
from qatviz.presets import PRESETS
from qatviz.protocol.recipe import MAX_BYTES, Recipe, Rule, parse_recipe, read_recipe, recipe_of, write_recipe
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.changes import check_change, recipe_changes
from qatviz.settings import RunSettings

PLAN = quantization_plan(convnet())
BOOK = SettingsBook.from_preset(PLAN, "tflite-int8")
WEIGHTS = [tensor.name for tensor in PLAN.tensors if tensor.kind == "weights"]


def recipe(*rules):
    return json.dumps({"recipe": 1, "rules": list(rules)}).encode()


def rule(tensors="*.weights", **values):
    return {"tensors": tensors, "settings": values}


def test_the_later_rule_wins():
    found = parse_recipe(recipe(rule(num_bits=4, symmetric=True), rule("conv.weights", num_bits=3)))
    book = found.applied(BOOK)
    assert {name: book.of(name).num_bits for name in WEIGHTS} == {
        name: 3 if "conv" in name[:5] else 4 for name in WEIGHTS
    }
    assert BOOK.change(found.assignments)[0] == book
    assert (
        parse_recipe(recipe(*json.loads(found.to_json())["rules"][::-1])).applied(BOOK).of("conv.weights").num_bits == 4
    )


def test_settings_of_the_run():
    found = parse_recipe(recipe(rule("run", learning_rate=0.5)))
    assert found.applied(BOOK).run.learning_rate == 0.5
    fast = SettingsBook.from_preset(PLAN, "float", run=RunSettings(learning_rate=0.25))
    assert recipe_of(fast, with_run=True).applied(BOOK) == fast
    assert recipe_of(fast).applied(BOOK).run == BOOK.run


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(sorted(PRESETS)),
    st.sampled_from(sorted(PRESETS)),
    st.lists(st.tuples(st.sampled_from(PLAN.tensors), st.integers(2, 16), st.booleans()), max_size=4),
)
def test_the_recipe_of_settings_restores_them_from_any_others(preset, other, edits):
    book = SettingsBook.from_preset(PLAN, preset)
    for tensor, bits, symmetric in edits:
        book, _ = book.change([(f"{tensor.name}.num_bits", bits), (f"{tensor.name}.symmetric", symmetric)])
    found = recipe_of(book)
    assert found.applied(SettingsBook.from_preset(PLAN, other)).quantizers == book.quantizers
    assert parse_recipe(found.to_json().encode()) == found
    assert len(found.rules) <= 2 + sum(len(members) for members in PLAN.groups)


def test_a_recipe_has_one_rule_for_what_tensors_have_in_common():
    assert [found.pattern for found in recipe_of(BOOK.change([("conv.weights.num_bits", 4)])[0]).rules] == [
        "*.weights",
        "conv.weights",
        *[name for name in WEIGHTS if BOOK.of(name).per_channel != BOOK.of("conv.weights").per_channel],
        "*.activations",
    ]


def test_names_with_wildcards_match_themselves_only():
    found = recipe_of(SettingsBook.from_preset(PLAN, "int4"))
    assert not any("[" in each.pattern for each in found.rules)
    from qatviz.protocol import recipe as module

    assert module._literal("a[1]*?.weights") == "a[[]1][*][?].weights"


@pytest.mark.parametrize(
    "content, said",
    [
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", 'is no recipe: expected {"recipe": 1, "rules": [...]}'),
        (b'{"rules": []}', "is no recipe"),
        (b'{"recipe": 2, "rules": []}', "recipe is 2: expected 1"),
        (b'{"recipe": true, "rules": []}', "recipe is True: expected 1"),
        (b'{"recipe": 1}', "the key 'rules' is missing"),
        (b'{"recipe": 1, "rules": {}}', "rules is {}: expected a list of rules"),
        (b'{"recipe": 1, "rules": [], "more": 1}', "there is no key 'more'; there are recipe and rules"),
        (recipe(7), "rule 1 is 7: expected"),
        (recipe(rule(), {"tensors": "a"}), "rule 2: the key 'settings' is missing"),
        (recipe({"tensors": "a", "setings": {}}), "rule 1: there is no key 'setings'; there are tensors and settings"),
        (recipe(rule(" ")), "rule 1: tensors is ' ': expected a tensor, a layer, a pattern or run"),
        (recipe({"tensors": "a", "settings": [1]}), "rule 1 (a): settings is [1]: expected values by"),
        (recipe(rule("a", num_bit=4)), "rule 1 (a): there is no setting 'num_bit'; there are enabled, num_bits"),
        (recipe(rule("a", num_bit=4)), "Did you mean num_bits?"),
        (recipe(rule("run", num_bits=4)), "rule 1 (run): there is no setting 'num_bits'; there are learning_rate"),
        (
            recipe(rule(num_bits=8), rule("a", num_bits=40)),
            "rule 2 (a): num_bits is 40: expected a whole number from 1",
        ),
        (recipe(rule("a", symmetric=1)), "rule 1 (a): symmetric is 1: expected on or off"),
        (recipe(rule("a", range_method="best")), "rule 1 (a): range_method is 'best': expected one of"),
        pytest.param(b" " * (MAX_BYTES + 1), "is too large", id="too large"),
        (recipe(rule("*a" * 5000 + "b", num_bits=4)), "rule 1: tensors has 10,001 characters: expected a pattern of"),
    ],
)
def test_errors_name_rule_key_value_and_what_is_allowed(content, said):
    with pytest.raises(SettingError) as error:
        parse_recipe(content)
    assert said in str(error.value) and len(str(error.value)) < 800


@pytest.mark.parametrize(
    "rules, said",
    [
        ([rule("*a" * 500, num_bits=4)], f"rule 1 ({'*a' * 500}): {'*a' * 500}.num_bits: no tensor is named"),
        ([rule("[z-a]*", num_bits=4)], "rule 1 ([z-a]*): [z-a]*.num_bits: no tensor is named '[z-a]*'"),
        ([rule("conv9", num_bits=4)], "rule 1 (conv9): conv9.num_bits: no tensor is named 'conv9'"),
        ([rule(), rule("conv.weights", range_method="kl")], "rule 2 (conv.weights): conv.weights.range_method is 'kl'"),
    ],
)
def test_errors_on_a_network_name_the_rule(rules, said):
    found = parse_recipe(recipe(*rules))
    with pytest.raises(SettingError) as error:
        found.applied(BOOK)
    assert said in str(error.value)
    with pytest.raises(SettingError) as error:
        functools.reduce(check_change, recipe_changes(found), BOOK)
    assert "recipe: " + said in str(error.value) and error.value.field == "changes"


def test_files(tmp_path):
    path, found = tmp_path / "a.json", recipe_of(SettingsBook.from_preset(quantization_plan(mlp()), "int4"))
    write_recipe(path, found)
    assert read_recipe(path) == found
    assert len(path.read_text().splitlines()) == 2 + len(found.rules)
    path.write_bytes(b"{")
    with pytest.raises(SettingError, match="a.json: is no JSON"):
        read_recipe(path)
    with pytest.raises(SettingError, match="can't be read"):
        read_recipe(tmp_path / "b.json")
    with pytest.raises(SettingError, match="can't be written"):
        write_recipe(tmp_path / "none" / "c.json", Recipe((Rule("a", (("num_bits", 4),)),)))
