"""Staged Tensor panel: fixtures, and functions that advance its run, point at its plots and read it."""

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets
from qt_use import draw

from qatviz.gui.panels.tensor.panel import CODES, TensorPanel
from qatviz.presentation.scene import Group
from qatviz.protocol.commands import ChangeSettings

NAME = "conv1.weights"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(context, show, clock):
    """A panel that is shown, with a page open."""

    def make_it(tab=CODES, width=420, height=640):
        context.settings.setValue("tensor/tab", tab)
        panel = show(TensorPanel(context, clock=clock), width, height)
        draw(panel)
        return panel

    return make_it


def advance_and_draw(context, run, panel, steps=1):
    run.advance(steps)
    context.model.process(run.drain())
    draw(panel)


def change(context, run, panel, tensor=NAME, **settings):
    run.send(ChangeSettings(tuple((f"{tensor}.{name}", value) for name, value in settings.items())))
    advance_and_draw(context, run, panel, 0)


def text_of(panel):
    """Return all visible text."""
    return " ".join(label.text() for label in panel.findChildren(QtWidgets.QLabel) if label.isVisible())


def point(plot, x, y=0.5):
    """Return the pixel of the value ``x`` at the height ``y`` (0..1) of a plot."""
    _, top, _, bottom = plot.area
    return QtCore.QPoint(round(plot.pixel_of(x)), round(bottom - y * (bottom - top)))


def shapes_drawn(plot, kind, role):
    """Return the shapes of a plot of this kind and colour."""

    def flat(shapes):
        for shape in shapes:
            if isinstance(shape, Group):
                yield from flat(shape.shapes)
            else:
                yield shape

    def role_of(shape):
        return getattr(shape, "role", None) or (getattr(shape, "fill", None) or shape.stroke).role

    found = (shape for shape in flat(plot.shapes(False)) if isinstance(shape, kind))
    return [shape for shape in found if role_of(shape) == role]


def values_at(plot, pixels):
    """Return the values on a plot's horizontal axis at some pixels."""
    return np.array([plot.x_at(pixel) for pixel in pixels])


def hover(plot, x, y=0.5):
    position = QtCore.QPointF(point(plot, x, y))
    plot.mouseMoveEvent(
        QtGui.QMouseEvent(
            QtCore.QEvent.MouseMove, position, QtCore.Qt.NoButton, QtCore.Qt.NoButton, QtCore.Qt.NoModifier
        )
    )
    return plot.readout()
