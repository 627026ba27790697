"""Bars, read back from the pixels."""

import numpy as np
import pyqtgraph as pg
from PyQt5 import QtGui

from qatviz.gui.panels.tensor.bars import LEAST_HEIGHT, Bars

COLOR = QtGui.QColor(200, 30, 60)


def painted_heights(tops):
    """Pixels of each bar's middle column."""
    plot = pg.PlotWidget()
    plot.resize(300, 120)
    plot.hideAxis("left")
    plot.hideAxis("bottom")
    bars = Bars()
    bars.set_brush(COLOR)
    at = np.arange(len(tops), dtype=float)
    bars.set_bars(at - 0.3, at + 0.3, 0.0, tops)
    plot.addItem(bars, ignoreBounds=True)
    plot.setRange(xRange=(-0.5, len(tops) - 0.5), yRange=(0, max(tops)), padding=0)
    image = plot.grab().toImage()
    box = plot.getViewBox()
    columns = [int(box.mapViewToScene(pg.Point(x, 0)).x()) for x in at]
    return [sum(image.pixelColor(x, y) == COLOR for y in range(image.height())) for x in columns]


def test_one_value_among_a_million_is_seen_and_none_is_not(app):
    high, one, none, half = painted_heights(np.array([1e6, 1.0, 0.0, 5e5]))
    assert high > 80 and abs(half - high / 2) <= 1
    assert one == LEAST_HEIGHT and none == 0
