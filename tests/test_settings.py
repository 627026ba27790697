"""Declarations of settings: texts can be parsed; bounds, default, label and help are declared once."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.errors import SettingError
from qatviz.low_bit_settings import LOW_BIT_SETTINGS
from qatviz.oscillation_settings import OscillationSettings
from qatviz.protocol.corrections import CORRECTION_KINDS
from qatviz.setting_declaration import settings_of
from qatviz.settings import (
    ACTIVATIONS,
    FROZEN,
    KINDS,
    MOVING_AVERAGE,
    MSE,
    OPTIMIZERS,
    PERCENTILE,
    QUANTIZER_SETTINGS,
    RUN_SETTINGS,
    TERNARY,
    WEIGHTS,
    QuantizerSettings,
    RunSettings,
    quantizer_settings,
    setting_text,
    value_text,
)
from qatviz.start_settings import START_SETTINGS, StartSettings
from qatviz.strength_settings import StrengthSettings

DECLARED = ((QuantizerSettings, QUANTIZER_SETTINGS), (RunSettings, RUN_SETTINGS), (StartSettings, START_SETTINGS))
SETTINGS = [setting for _, known in DECLARED for setting in known.values()]
EACH = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


@pytest.mark.parametrize("record, known", DECLARED, ids=["quantizer", "run", "start"])
def test_each_field_is_a_setting_with_the_default_of_its_declaration(record, known):
    assert list(known) == [field.name for field in fields(record)]
    defaults = record()
    for name, setting in known.items():
        assert setting.name == name and getattr(defaults, name) == setting.default
        assert type(setting.default) is setting.type


def test_each_method_is_explained_in_one_sentence():
    of_run = {**LOW_BIT_SETTINGS, **settings_of(OscillationSettings), **settings_of(StrengthSettings)}
    of_run["single_convolution"] = RUN_SETTINGS["single_convolution"]
    texts = [setting.help for setting in (*QUANTIZER_SETTINGS.values(), *of_run.values())]
    texts += [about for setting in SETTINGS for about in setting.choice_help.values()]
    for text in texts + [kind.help for kind in CORRECTION_KINDS.values()]:
        assert text.endswith(".") and ". " not in text, text
        assert "gradient g" not in text and "sign(" not in text, "no formula"


def test_all_choices_of_a_method_are_explained_or_none():
    explained = {setting.name for setting in SETTINGS if setting.choice_help}
    assert explained == {"range_method", "weight_map"}
    for name in explained:
        assert set(QUANTIZER_SETTINGS[name].choice_help) == set(QUANTIZER_SETTINGS[name].labels)


@EACH
def test_a_declaration_explains_the_setting_and_has_its_bounds(setting):
    assert setting.label and setting.help.endswith(".") and len(setting.help.split()) >= 5
    assert (setting.low is not None and setting.high is not None) == (setting.type in (int, float))
    if setting.choices is not None:
        assert set(setting.labels) == {word for words in setting.choices.values() for word in words}


@EACH
def test_bounds_are_allowed_and_refusals_name_them_exactly(setting):
    if setting.type in (int, float):
        assert setting.check(setting.low) == setting.low and setting.check(setting.high) == setting.high
        for beyond in (setting.low - 1, setting.high + 1):
            with pytest.raises(SettingError, match=setting.name) as refused:
                setting.check(beyond)
            named = str(refused.value).split(" from ")[1].replace(setting.unit, "").split(" to ")
            assert [float(end) for end in named] == [setting.low, setting.high]


@EACH
def test_the_text_of_a_value_can_be_parsed(setting):
    kind = (setting.kinds or ("",))[0]
    default = setting.default
    assert setting.parse(setting_text(default), kind=kind) == default


@given(st.booleans() | st.integers(-(2**40), 2**40) | st.floats(1e-12, 1e12))
def test_the_text_of_a_value_follows_its_type(value):
    text = setting_text(value)
    if isinstance(value, bool):
        assert text == ("on" if value else "off")
    else:
        assert type(value)(text) == value


@pytest.mark.parametrize(
    "path, value, text",
    [
        ("conv1.weights.range_method", MSE, "Least squared error (MSE)"),
        ("conv1.activations.range_method", MOVING_AVERAGE, "Moving average"),
        ("conv1.weights.num_bits", 4, "4"),
        ("symmetric", True, "on"),
        ("run.learning_rate", 1e-5, "1e-5"),
    ],
)
def test_the_window_shows_labels_instead_of_identifiers(path, value, text):
    assert value_text(path, value) == text


def test_a_quantizer_is_active_when_it_is_enabled_and_past_its_delay():
    always, late = quantizer_settings(WEIGHTS), quantizer_settings(WEIGHTS, quant_delay=500)
    off = replace(late, enabled=False)
    assert always.is_active(0) and always.is_active(None) and not always.is_delayed(0)
    assert [late.is_active(step) for step in (0, 499, 500, None)] == [False, False, True, True]
    assert [late.is_delayed(step) for step in (0, 499, 500, None)] == [True, True, False, False]
    assert not any(off.is_active(step) or off.is_delayed(step) for step in (0, 500, None))


@given(st.integers(2, 16), st.booleans())
def test_a_narrow_range_has_one_code_less(bits, narrow):
    assert quantizer_settings(WEIGHTS, num_bits=bits, narrow_range=narrow).num_codes == 2**bits - narrow


def test_phrases_list_all_settings_or_those_that_differ():
    now = quantizer_settings(WEIGHTS, symmetric=True, narrow_range=True)
    assert now.phrases(WEIGHTS) == ["8 bits", "symmetric", "narrow range", "per tensor", "min–max range"]
    then = replace(now, num_bits=4, narrow_range=False, range_method=PERCENTILE, percentile=99.0)
    assert then.phrases(WEIGHTS, now) == ["4 bits", "full range", "99 % range"]
    assert then.phrases(WEIGHTS, then) == []
    assert quantizer_settings(ACTIVATIONS).phrases(ACTIVATIONS) == ["8 bits", "affine", "averaged range"]


def test_tables_name_the_map_in_use_and_phrases_only_its_changes():
    wide = quantizer_settings(WEIGHTS)
    binary, ternary = replace(wide, num_bits=1), replace(wide, weight_map=TERNARY)
    texts = [settings.text("weight_map", WEIGHTS) for settings in (wide, binary, ternary)]
    assert texts == ["None", "Binary (XNOR-Net)", "Ternary (TWN)"]
    assert binary.phrases(WEIGHTS, wide) == ["binary"] and wide.phrases(WEIGHTS, binary) == ["8 bits"]
    assert "ternary map" in ternary.phrases(WEIGHTS, wide) and "no map" in wide.phrases(WEIGHTS, ternary)


def test_tables_show_only_settings_of_the_kind_of_tensor():
    settings = quantizer_settings(ACTIVATIONS, range_method=FROZEN)
    assert settings.text("range_method", ACTIVATIONS) == "Frozen"
    assert settings.text("per_channel", ACTIVATIONS) == ""
    assert [settings.text("num_bits", kind, active) for kind, active in zip(KINDS, (True, False))] == ["8", "float"]
    assert quantizer_settings(WEIGHTS, range_method=PERCENTILE).text("range_method", WEIGHTS) == "Percentile 99.9 %"


@pytest.mark.parametrize("name, value", [("batch_size", 0), ("batch_size", 2.0), ("seed", 2**32), ("steps", -1)])
def test_start_settings_are_checked(name, value):
    assert StartSettings(steps=None).steps is None and StartSettings().optimizer == OPTIMIZERS[0]
    with pytest.raises(SettingError, match=f"{name} is {value!r}: expected"):
        StartSettings(**{name: value})
