"""The catalogue of measures: its own rules, and number formats."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.measure_declaration import HIGHER, LOWER, NEITHER
from qatviz.measures import MEASURES, size_bytes
from qatviz.number_format import UNKNOWN, bytes_text, percent_text, si
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import quantizer_settings

ALL = list(MEASURES.values())
EVERY = pytest.mark.parametrize("measure", ALL, ids=list(MEASURES))


def test_every_measure_of_a_snapshot_is_in_the_catalogue():
    assert set(SNAPSHOT_MEASURES) < set(MEASURES)
    assert all(key == measure.key for key, measure in MEASURES.items())


def test_no_two_measures_have_the_same_label():
    labels = [measure.label for measure in ALL]
    assert len(set(labels)) == len(labels)


@EVERY
def test_help_is_a_sentence_that_does_not_repeat_the_label(measure):
    assert measure.help[0].isupper() and measure.help[-1] == "." and len(measure.help.split()) >= 5


@EVERY
def test_unknown_values_are_a_dash_without_a_unit(measure):
    assert measure.text(None) == measure.text(math.nan) == measure.cell(math.nan) == UNKNOWN
    assert (measure.text(0.5, is_quantized=False) == UNKNOWN) == (not measure.is_of_float)


@EVERY
@given(value=st.floats(0, 1e9))
def test_the_text_is_the_cell_with_the_unit(measure, value):
    assert measure.text(value) == f"{measure.cell(value)} {measure.unit}".strip()
    assert "-0" not in {measure.cell(-0.0), measure.cell(-1e-12)}


@EVERY
def test_the_unit_is_in_the_header_and_not_in_the_cell(measure):
    if measure.unit:
        assert measure.unit in measure.header.lower() or f"({measure.unit})" in measure.header
        assert measure.unit not in measure.cell(12.0)


@EVERY
def test_levels_and_colours_have_a_direction(measure):
    limits = measure.thresholds
    if limits is not None:
        assert measure.better in (LOWER, HIGHER)
        assert (limits.bad > limits.warning) == (measure.better == LOWER)
    if measure.colors is not None:
        assert measure.color_direction == (NEITHER if measure.colors.is_neutral else measure.better)
        assert measure.color_direction != NEITHER or measure.colors.is_neutral
    else:
        with pytest.raises(ValueError, match=measure.key):
            measure.color_position(1.0)


def test_labels_match_the_glossary():
    labels = {key: MEASURES[key].label for key in ("flushed", "clipped", "used_codes", "effective_bits")}
    assert labels == {
        "flushed": "Rounded to zero",
        "clipped": "Clipped",
        "used_codes": "Codes used",
        "effective_bits": "Effective bits",
    }
    assert "beyond the representable range" in MEASURES["clipped"].help


@pytest.mark.parametrize(
    "key, value, text",
    [
        ("sqnr_db", 31.44, "31.4 dB"),
        ("sqnr_db", math.inf, "exact"),
        ("sqnr_db", -math.inf, "–"),
        ("loss", math.inf, "∞"),
        ("rmse_over_scale", 0.2887, "0.289"),
        ("clipped", 0.1234, "12.3 %"),
        ("flushed", 0.00001, "<0.01 %"),
        ("flip_rate", 0.0, "0 %"),
        ("effective_bits", 7.4567, "7.46 bits"),
        ("num_bits", 4, "4 bits"),
        ("num_bits", 5.656, "5.66 bits"),
        ("scale", 0.00781250, "0.007812"),
        ("zero_point", -32768, "-32,768"),
        ("size", 61706, "61.7 kB"),
        ("learning_rate", 0.0009999999, "0.001"),
        ("learning_rate", 1e-5, "1e-5"),
        ("loss", 0.031212, "0.03121"),
        ("mse", 1.234e-7, "1.23e-7"),
    ],
)
def test_texts_of_values(key, value, text):
    assert MEASURES[key].text(value) == text


@pytest.mark.parametrize(
    "key, value, error, text",
    [
        ("sqnr_db", 38.21, 0.31, "≈ 38.2 dB ± 0.3"),
        ("sqnr_db", 38.21, 0.0, "38.2 dB"),
        ("sqnr_db", 38.21, math.nan, "≈ 38.2 dB"),
        ("sqnr_db", 38.21, None, "≈ 38.2 dB"),
        ("sqnr_db", 3.1, 0.97, "≈ 3.1 dB ± 0.97"),
        ("sqnr_db", 3.1, 12.34, "≈ 3.1 dB ± 12.3"),
        ("sqnr_db", math.inf, math.nan, "exact"),
        ("sqnr_db", math.nan, 0.3, "–"),
        ("mse", 1.234e-7, 2.3e-9, "≈ 1.23e-7 ± 2e-9"),
        ("clipped", 0.0123, 0.0017, "≈ 1.23 % ± 0.2"),
    ],
)
def test_estimates_are_marked_and_have_their_standard_error(key, value, error, text):
    assert MEASURES[key].text(value, error=error) == text
    if text.startswith("≈"):
        assert MEASURES[key].change(1.0, value, (0.0, error)) == f"{MEASURES[key].text(1.0)} → {text}"


@EVERY
@given(value=st.none() | st.floats())
def test_plain_texts_are_ascii(measure, value):
    assert measure.plain(value).isascii()


def test_codes_used_are_shown_with_the_number_of_codes():
    assert MEASURES["used_codes"].text(9999, of=65535) == "9,999/65,535"
    assert MEASURES["sqnr_db"].change(31.44, 12.0) == "31.4 dB → 12.0 dB"


def test_the_size_is_that_of_codes_or_floats():
    settings = quantizer_settings("weights", num_bits=3)
    assert size_bytes(80, settings, True) == 30 and size_bytes(80, settings, False) == 320


@given(st.floats(0, 1))
def test_only_zero_is_written_as_0_percent(fraction):
    assert (percent_text(fraction) == "0 %") == (fraction < 1e-9)


@given(st.floats(0, 9.99e11), st.floats(0, 9.99e11))
def test_sizes_have_three_digits_and_are_monotonic(one, other):
    text = bytes_text(one)
    assert text.endswith(" B") or len(text.split()[0].replace(".", "")) <= 4
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    one_shown, other_shown = (float(n) * units[u] for n, u in (bytes_text(size).split() for size in (one, other)))
    assert (one_shown <= other_shown) or one >= other
    assert one_shown == pytest.approx(one, rel=5.1e-3, abs=0.5)


@given(st.floats(-1e11, 1e11).filter(lambda x: x == 0 or abs(x) > 1e-99), st.integers(2, 5))
def test_short_numbers_round_trip_within_their_digits(value, digits):
    text = si(value, digits)
    scales = {"k": 1e3, "M": 1e6, "G": 1e9}
    shown = float(text.rstrip("kMG")) * scales.get(text[-1], 1)
    assert shown == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits))
    assert len(text.lstrip("-")) <= digits + 5


def test_rounding_at_the_edge_of_a_unit_gives_the_next_unit():
    assert [si(value) for value in (999.4, 999.9, 9999, 9999.9, 999_900, 1e6)] == [
        "999",
        "1000",
        "9999",
        "10k",
        "1M",
        "1M",
    ]
    assert [bytes_text(size) for size in (999.4, 999.6, 999_400, 999_600, 1e9)] == [
        "999 B",
        "1 kB",
        "999 kB",
        "1 MB",
        "1 GB",
    ]
