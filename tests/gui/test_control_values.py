"""Values that controls derive from declarations: increments, notches, texts; and which settings have an effect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.gui.widgets.controls.kind_section import no_effect_reason
from qatviz.gui.widgets.controls.values import default_of, incremented, nearest_notch, notches
from qatviz.settings import (
    ACTIVATIONS,
    EXTREMES,
    FROZEN,
    HISTOGRAM_METHODS,
    KINDS,
    MOVING_AVERAGE,
    PERCENTILE,
    QUANTIZER_SETTINGS,
    RUN_SETTINGS,
    WEIGHTS,
    RunSettings,
    quantizer_settings,
)

NUMBERS = [s for s in [*QUANTIZER_SETTINGS.values(), *RUN_SETTINGS.values()] if s.type in (int, float)]
RATE = RUN_SETTINGS["learning_rate"]


@st.composite
def settings_and_values(draw):
    setting = draw(st.sampled_from(NUMBERS))
    if setting.type is int:
        return setting, draw(st.integers(int(setting.low), int(setting.high)))
    return setting, draw(st.floats(setting.low, setting.high))


@given(settings_and_values(), st.integers(1, 12))
def test_arrows_increment_and_decrement_within_the_limits(pair, count):
    setting, value = pair
    up, down = incremented(setting, value, count), incremented(setting, value, -count)
    assert setting.check(up) == up and setting.check(down) == down
    assert up > value or value == setting.high
    assert down < value or value == setting.low


@given(settings_and_values())
def test_displayed_numbers_are_read_back_unchanged(pair):
    _setting, value = pair
    assert float(RATE.text(value)) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("learning_rate", 1e-3, (2e-3, 5e-4)),
        ("learning_rate", 0.0, (1e-6, 0.0)),
        ("learning_rate", 0.0013, (2e-3, 1e-3)),
        ("beta1", 0.9, (0.95, 0.8)),
        ("beta2", 0.999, (0.9995, 0.998)),
        ("evaluation_interval", 200, (210, 190)),
        ("evaluation_interval", 0, (1, 0)),
        ("evaluation_interval", 1000, (1100, 990)),
    ],
)
def test_steps_of_run_settings_are_round_numbers(name, value, expected):
    assert (incremented(RUN_SETTINGS[name], value, 1), incremented(RUN_SETTINGS[name], value, -1)) == expected


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("num_bits", 8, (9, 7)),
        ("num_bits", 16, (16, 15)),
        ("percentile", 99.9, (99.95, 99.8)),
        ("percentile", 100.0, (100.0, 99.999)),
        ("ema_decay", 0.999, (0.9995, 0.998)),
    ],
)
def test_steps_of_quantizer_settings_are_round_numbers(name, value, expected):
    assert (
        incremented(QUANTIZER_SETTINGS[name], value, 1),
        incremented(QUANTIZER_SETTINGS[name], value, -1),
    ) == expected


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_notches_ascend_from_limit_to_limit_and_are_their_own_nearest(setting):
    values = notches(setting)
    if values:
        assert (values[0], values[-1]) == (setting.low, setting.high) and values == sorted(set(values))
        assert [nearest_notch(values, value) for value in values] == list(range(len(values)))


def test_every_number_of_bits_has_a_notch_and_large_integers_have_none():
    bits = QUANTIZER_SETTINGS["num_bits"]
    assert notches(bits.of_kind(WEIGHTS)) == list(range(1, 17))
    assert notches(bits.of_kind(ACTIVATIONS)) == list(range(2, 17))
    assert notches(RUN_SETTINGS["evaluation_interval"]) == []


@given(st.floats(0, 100))
def test_the_nearest_notch_is_never_two_notches_off(rate):
    values = notches(RATE)
    place = nearest_notch(values, rate)
    low, high = values[max(place - 1, 0)], values[min(place + 1, len(values) - 1)]
    assert low <= rate <= high


def test_values_have_readable_texts():
    assert RATE.text_with_unit(1e-5) == "1e-5" and RATE.text_with_unit(0.001) == "0.001"
    assert QUANTIZER_SETTINGS["num_bits"].text_with_unit(4) == "4"  # the label says bits
    assert RUN_SETTINGS["evaluation_interval"].text_with_unit(200) == "200 steps"
    assert RUN_SETTINGS["evaluation_interval"].text_with_unit(2000) == "2,000 steps"
    assert QUANTIZER_SETTINGS["range_method"].text_with_unit(MOVING_AVERAGE) == "Moving average"
    assert QUANTIZER_SETTINGS["symmetric"].text_with_unit(True) == "on"


def test_the_default_depends_on_the_kind_of_tensor():
    method = QUANTIZER_SETTINGS["range_method"]
    assert [default_of(method, kind) for kind in KINDS] == ["min_max", "moving_average"]
    assert default_of(RATE) == 1e-3


def test_settings_without_effect_have_a_reason():
    plain, percentile = quantizer_settings(WEIGHTS), quantizer_settings(WEIGHTS, range_method=PERCENTILE)
    run = RunSettings()
    assert "Percentile" in no_effect_reason("percentile", [plain], run)
    assert no_effect_reason("percentile", [plain, percentile], run) == ""
    assert "frozen" in no_effect_reason("percentile", [percentile], RunSettings(freeze_ranges=True))
    frozen = quantizer_settings(ACTIVATIONS, range_method=FROZEN)
    assert "frozen" in no_effect_reason("ema_decay", [frozen], run)
    assert no_effect_reason("ema_decay", [frozen, quantizer_settings(ACTIVATIONS)], run) == ""
    extremes = quantizer_settings(ACTIVATIONS, range_method=EXTREMES)
    assert "Moving average" in no_effect_reason("ema_decay", [extremes, frozen], run)
    for method in HISTOGRAM_METHODS:
        counted = quantizer_settings(ACTIVATIONS, range_method=method)
        assert no_effect_reason("ema_decay", [counted], run) == ""
        assert bool(no_effect_reason("percentile", [counted], run)) == (method != PERCENTILE)
    assert no_effect_reason("num_bits", [plain], RunSettings(freeze_ranges=True)) == ""
    for name in ("range_method", "percentile", "ema_decay"):
        fixed = no_effect_reason(name, [percentile, plain], RunSettings(freeze_ranges=True), ["tanh", "sigmoid"])
        assert fixed == "The range is fixed by TFLite's sigmoid and tanh."
    assert no_effect_reason("num_bits", [plain], run, ["sigmoid"]) == ""
