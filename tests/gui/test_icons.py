"""Icons: a file for each name, painted in the colours that are asked for."""

import os

import pytest
from PyQt5 import QtGui

from qatviz.asset_files import asset_path
from qatviz.gui.widgets import icons

COLOR, DISABLED = QtGui.QColor("#c02040"), QtGui.QColor("#8090a0")


def colors_of(icon, mode):
    """Return the colours of the opaque pixels, and their fraction of the picture."""
    image = icon.pixmap(64, 64, mode).toImage()
    pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    opaque = [pixel.name() for pixel in pixels if pixel.alpha() == 255]
    return set(opaque), len(opaque) / len(pixels)


def test_each_name_has_a_file_and_each_file_a_name():
    folder = os.path.dirname(asset_path("icons/play.svg"))
    assert sorted(os.listdir(folder)) == sorted(name + ".svg" for name in icons.NAMES)


@pytest.mark.parametrize("name", icons.NAMES)
def test_an_icon_is_painted_in_its_colors(qapp, name):
    icon = icons.icon(name, COLOR, DISABLED)
    for mode, color in ((QtGui.QIcon.Normal, COLOR), (QtGui.QIcon.Disabled, DISABLED)):
        colors, share = colors_of(icon, mode)
        assert colors == {color.name()}
        assert 0.02 < share < 0.6
