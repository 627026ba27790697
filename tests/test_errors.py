"""Refusals: reasons with remedies that programs apply and people read."""

import pytest

from qatviz.errors import Advice, ExportError, OptionChange, Refusal, SettingChange, change_text, refused

BITS, SYMMETRIC = SettingChange("conv.weights.num_bits", 7), SettingChange("conv.weights.symmetric", True)


@pytest.mark.parametrize(
    "remedies, text",
    [
        ((), "no"),
        ((BITS,), "no; possible with conv.weights.num_bits=7"),
        ((SYMMETRIC, BITS), "no; possible with conv.weights.symmetric=on, or with conv.weights.num_bits=7"),
        (
            (Advice("after the first step"), OptionChange("int4", False), OptionChange("int16", True, "for LiteRT")),
            "no; possible after the first step, without the option int4, or with the option int16, for LiteRT",
        ),
        ((OptionChange("storage", "uint8"),), "no; possible with the option storage=uint8"),
    ],
)
def test_a_refusal_is_worded_from_its_parts(remedies, text):
    assert str(Refusal("no", remedies)) == text


@pytest.mark.parametrize(
    "value, text", [(True, "on"), (False, "off"), (1, "1"), (0, "0"), (0.5, "0.5"), ("mse", "mse")]
)
def test_values_are_worded_in_the_syntax_of_the_command_line(value, text):
    assert change_text(SettingChange("a.b", value)) == "a.b=" + text


def test_an_error_carries_its_refusals():
    refusals = (Refusal("no", (BITS,)), Refusal("never"))
    error = ExportError.refused(*refusals)
    assert error.refusals == refusals and str(error) == "no; possible with conv.weights.num_bits=7; never"
    assert refused("no", BITS).refusals == refusals[:1]
    assert ExportError("x: can't be written").refusals == () == ExportError.refusals
