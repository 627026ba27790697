"""The theme: dark, light, or the system's; legible, and distinguishable for the colour-blind."""

import gc
import itertools

import pytest
from PyQt5 import QtGui, QtWidgets

from qatviz.gui.widgets import theme as module
from qatviz.gui.widgets.theme import DARK, LIGHT, SYSTEM, Theme, system_is_dark


@pytest.mark.parametrize(
    "variables, dark",
    [
        ({"GTK_THEME": "Adwaita:dark"}, True),
        ({"GTK_THEME": "Adwaita"}, False),
        ({}, True),
        ({"XDG_CURRENT_DESKTOP": "GNOME"}, False),  # Fusion's own palette is light
    ],
)
def test_the_system_theme_is_detected_on_linux(app, monkeypatch, variables, dark):
    monkeypatch.setattr(module.sys, "platform", "linux")
    app.setStyle("Fusion")
    for name in ("GTK_THEME", "XDG_CURRENT_DESKTOP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert system_is_dark() is dark and Theme(SYSTEM).is_dark is dark


def luminance(color):
    """Relative luminance (WCAG 2)."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in QtGui.QColor(color).getRgbF()[:3]]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    """Contrast ratio (WCAG 2), 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", [DARK, LIGHT])
def test_text_and_marks_have_sufficient_contrast(app, name):
    colors = Theme(name).colors
    for ground in (colors.window, colors.base, colors.raised):
        assert contrast(colors.text, ground) > 7 and contrast(colors.muted, ground) > 4.4, ground
    for mark in ("in_range", "clipped", "flushed", "ghost", "range_edge", "good", "warning", "bad", "accent"):
        assert contrast(getattr(colors, mark), colors.base) > 3, mark
    assert contrast(colors.on_accent, colors.accent) > 4.4


def seen_by_deuteranopes(color):
    """Return a colour as seen without medium cones, in linear RGB (Viénot, Brettel and Mollon, 1999)."""
    r, g, b = [c**2.2 for c in QtGui.QColor(color).getRgbF()[:3]]
    return (0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b)


@pytest.mark.parametrize("name", [DARK, LIGHT])
def test_colours_are_distinguishable_for_the_colour_blind(app, name):
    colors = Theme(name).colors
    for one, other in itertools.combinations((colors.in_range, colors.clipped, colors.flushed), 2):
        difference = max(abs(a - b) for a, b in zip(seen_by_deuteranopes(one), seen_by_deuteranopes(other)))
        assert difference > 0.1, (one, other)


def test_every_widget_follows_a_change_of_theme(app):
    theme, heard = Theme(DARK), []
    theme.changed.connect(lambda: heard.append(app.palette().color(QtGui.QPalette.Window).name()))
    for name in (LIGHT, DARK):
        theme.use(name)
    theme.set_font_points(13)
    assert len(heard) == 3 and heard[0] == Theme(LIGHT).colors.window and heard[1] == Theme(DARK).colors.window
    assert app.font().pointSize() == 13
    theme.set_font_points(0)


def test_no_widget_is_collected_while_all_are_told(app):
    """Qt goes through a list of all widgets, on which one that no longer exists would end the program."""
    told = []

    class Told(QtWidgets.QWidget):
        def changeEvent(self, event):
            super().changeEvent(event)
            told.append(gc.isenabled())

    widget, theme = Told(), Theme(DARK)
    try:
        theme.set_font_points(17)
    finally:
        theme.set_font_points(0)
    assert told and not any(told) and gc.isenabled()
    widget.deleteLater()
