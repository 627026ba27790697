"""A Tensor panel on the stage: its fixtures, and how its tests make news, point at its plots and read it."""

import pytest
from PyQt5 import QtCore, QtGui, QtWidgets

from qatviz.gui.panels.tensor.panel import CODES, TensorPanel
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
        panel.refresh()
        return panel

    return make_it


def news(context, run, panel, steps=1):
    run.advance(steps)
    context.model.take(run.drain())
    panel.refresh()


def change(context, run, panel, tensor=NAME, **settings):
    run.send(ChangeSettings(tuple((f"{tensor}.{name}", value) for name, value in settings.items())))
    news(context, run, panel, 0)


def text_of(panel):
    """All that can be read, as text."""
    return " ".join(label.text() for label in panel.findChildren(QtWidgets.QLabel) if label.isVisible())


def point(plot, x, y):
    """Position in the plot's viewport of a point of its axes."""
    return plot.mapFromScene(plot.getViewBox().mapViewToScene(QtCore.QPointF(x, y)))


def hover(plot, x, y):
    position = QtCore.QPointF(point(plot, x, y))
    plot.mouseMoveEvent(
        QtGui.QMouseEvent(
            QtCore.QEvent.MouseMove, position, QtCore.Qt.NoButton, QtCore.Qt.NoButton, QtCore.Qt.NoModifier
        )
    )
    return plot.readout()
