"""Colours of roles."""

import pytest

from qatviz.presentation.palette import (
    DARK,
    LIGHT,
    SCALE_STEPS,
    all_colors,
    blend,
    color_of,
    ink_on,
    scale_role,
    series_role,
)


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_every_role_has_a_colour(palette):
    found = all_colors(palette)
    assert set(palette._fields) - set(found) == {"series"} and all(len(color) == 7 for color in found.values())
    assert [color_of(palette, series_role(i)) for i in range(len(palette.series))] == list(palette.series)
    assert series_role(len(palette.series)) == series_role(0)
    with pytest.raises(KeyError):
        color_of(palette, "no such role")


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_scales_go_from_bad_to_good_and_from_dim_to_bright(palette):
    assert color_of(palette, scale_role(0.0, True)) == palette.bad
    assert color_of(palette, scale_role(1.0, True)) == palette.in_range
    assert color_of(palette, scale_role(1.0, False)) == palette.accent
    for diverging in (True, False):
        scale = [color_of(palette, scale_role(step / SCALE_STEPS, diverging)) for step in range(SCALE_STEPS + 1)]
        assert len(set(scale)) == SCALE_STEPS + 1


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("palette", [DARK, LIGHT])
@pytest.mark.parametrize("diverging", [True, False])
def test_text_on_a_scale_is_legible(palette, diverging):
    for step in range(SCALE_STEPS + 1):
        role = scale_role(step / SCALE_STEPS, diverging)
        light, dark = sorted((luminance(color_of(palette, r)) for r in (role, ink_on(role))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 3.4, role


def test_a_blend_is_between_its_colours():
    assert blend("#ff0000", "#0000ff", 0.0) == "#0000ff" and blend("#ff0000", "#0000ff", 1.0) == "#ff0000"
    assert blend("#ffffff", "#000000", 0.5) == "#808080"
