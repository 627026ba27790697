"""Colours by role in a dark and a light palette, safe for the colour-blind (Okabe and Ito, 2008)."""

from typing import Dict, NamedTuple, Tuple

import numpy as np

#: Number of steps of the colour scales.
SCALE_STEPS = 24
_SERIES, _DIVERGING, _SEQUENTIAL, _ON = "series", "diverging", "sequential", "on_"
#: Relative luminance above which text is dark. The contrast ratios (WCAG 2) are equal at 0.18, but white on blue is
#: more legible than its ratio.
_BRIGHT = 0.24
_INK = ("#ffffff", "#0b0d10")


class Palette(NamedTuple):
    """Colours by their roles; ``#rrggbb``."""

    window: str
    base: str  # plots, tables, fields
    raised: str  # headers, buttons
    line: str  # borders, grids
    text: str
    muted: str  # labels, units
    accent: str  # selection, focus
    on_accent: str
    float_values: str  # float values, and accuracy in float
    in_range: str  # quantized values
    clipped: str
    flushed: str  # rounded to zero
    frozen: str  # weights that are frozen to their code
    ghost: str  # pending, not yet in effect
    range_edge: str  # ends of the representable range
    good: str
    warning: str
    bad: str
    #: Curves of one plot, in order.
    series: Tuple[str, ...]


DARK = Palette(
    window="#16181d",
    base="#0f1115",
    raised="#23262e",
    line="#353a45",
    text="#e6e8ec",
    muted="#9aa1ad",
    accent="#56b4e9",
    on_accent="#08131b",
    float_values="#9fb3c8",
    in_range="#56b4e9",
    clipped="#d55e00",
    flushed="#e69f00",
    frozen="#b9a3ff",
    ghost="#cc79a7",
    range_edge="#f0e442",
    good="#2bb58a",
    warning="#e69f00",
    bad="#e8703a",
    series=("#56b4e9", "#e69f00", "#2bb58a", "#cc79a7", "#f0e442", "#d55e00", "#8fa3ff", "#b0b7c3"),
)
LIGHT = Palette(
    window="#eef0f3",
    base="#ffffff",
    raised="#e2e5ea",
    line="#c3c8d1",
    text="#15181d",
    muted="#59616e",
    accent="#0072b2",
    on_accent="#ffffff",
    float_values="#5b6b7d",
    in_range="#0072b2",
    clipped="#a83c00",
    flushed="#bd8300",
    frozen="#6f4fc9",
    ghost="#a8447d",
    range_edge="#7a6a00",
    good="#007a5a",
    warning="#8a5f00",
    bad="#b84a00",
    series=("#0072b2", "#b97f00", "#008f6b", "#a8447d", "#7a6a00", "#c34f00", "#4552c4", "#59616e"),
)


#: Colour map viridis (Smith and van der Walt, 2015), which increases evenly in lightness.
_VIRIDIS = (
    "#440154 #48186a #472d7b #424086 #3a528b #33628d #2c718e #26818e #21908c #1f9f88 #27ad80 #3ebc73 #5bc863 #80d34d "
    "#a9db32 #d4e21a #fde725"
)


def color_map(n: int, is_dark: bool) -> np.ndarray:
    """Return ``n`` colours, starting near the background of a dark or light theme: uint8 ``[n, 4]``, RGBA."""
    known = np.array([_channels(color) for color in _VIRIDIS.split()], np.float64)[:: 1 if is_dark else -1]
    places = np.linspace(0, len(known) - 1, n)
    parts = [np.interp(places, np.arange(len(known)), known[:, channel]) for channel in range(3)]
    return np.stack([*parts, np.full(n, 255.0)], axis=1).round().astype(np.uint8)


def series_role(index: int) -> str:
    """Return the role of the curve number ``index`` of a plot; colours repeat."""
    return f"{_SERIES}{index % len(DARK.series)}"


def scale_role(place: float, diverging: bool) -> str:
    """Return the role at ``place`` 0..1 on a colour scale.

    A diverging scale goes from bad over grey to good, a sequential one from dim to bright.
    """
    return f"{_DIVERGING if diverging else _SEQUENTIAL}{round(place * SCALE_STEPS)}"


def ink_on(role: str) -> str:
    """Return the role of text on a background of ``role``."""
    return _ON + role


def color_of(palette: Palette, role: str) -> str:
    """Return the colour ``#rrggbb`` of a role: a name of :class:`Palette`, or a result of the functions above."""
    if role in palette._fields:
        return str(getattr(palette, role))
    if role.startswith(_ON):
        return _INK[_luminance(color_of(palette, role[len(_ON) :])) > _BRIGHT]
    if role.startswith(_SERIES):
        return palette.series[int(role[len(_SERIES) :])]
    if role.startswith(_DIVERGING):
        return _diverging(palette, int(role[len(_DIVERGING) :]) / SCALE_STEPS)
    if role.startswith(_SEQUENTIAL):
        return blend(palette.accent, palette.base, 0.15 + 0.85 * int(role[len(_SEQUENTIAL) :]) / SCALE_STEPS)
    raise KeyError(role)


def all_colors(palette: Palette) -> Dict[str, str]:
    """Return the colours of all roles."""
    names = [name for name in palette._fields if name != _SERIES]
    scale = [
        scale_role(step / SCALE_STEPS, diverging) for diverging in (True, False) for step in range(SCALE_STEPS + 1)
    ]
    roles = names + [series_role(i) for i in range(len(palette.series))] + scale + [ink_on(role) for role in scale]
    return {role: color_of(palette, role) for role in roles}


def _diverging(palette: Palette, place: float) -> str:
    middle = blend(palette.base, palette.muted, 0.75)
    if place < 0.5:
        return blend(middle, palette.bad, 2 * place)
    return blend(palette.in_range, middle, 2 * place - 1)


def blend(color: str, onto: str, opacity: float) -> str:
    """Return the blend ``#rrggbb`` of ``color`` with ``opacity`` 0..1 over ``onto``."""
    mixed = (round(opacity * a + (1 - opacity) * b) for a, b in zip(_channels(color), _channels(onto)))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _channels(color: str) -> Tuple[int, ...]:
    return tuple(int(color[start : start + 2], 16) for start in (1, 3, 5))


def _luminance(color: str) -> float:
    """Return the relative luminance (WCAG 2), 0..1."""
    parts = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in _channels(color)]
    return float(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
