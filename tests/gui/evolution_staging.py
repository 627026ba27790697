"""Shared by tests of the evolution panel: a run that trains at little cost, and the panel that shows it."""

import numpy as np
import pytest
from PyQt5 import QtCore
from PyQt5.QtTest import QTest

from qatviz.gui.panels.evolution.panel import EvolutionPanel
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.snapshots import STEP_MEASURES, StepRecord
from qatviz.telemetry.record.refill import ERRORS, STEPS, extend_steps


@pytest.fixture
def panel(context, show):
    """``panel(plots)`` returns the panel with these plots switched on."""

    def make(plots="loss,accuracy,sqnr", width=800, height=500, **settings):
        context.settings.setValue("evolution/plots", plots)
        for name, value in settings.items():
            context.settings.setValue("evolution/" + name, value)
        made = show(EvolutionPanel(context), width, height)
        made.refresh()
        return made

    return make


def advance_run(context, run, steps=1, *news):
    run.advance(steps)
    run.put(*news)
    context.model.process(run.drain())


def train(context, run, steps):
    """Train many steps at little cost: the loss falls, the SQNR is 6 dB a bit, all else stays; no snapshot."""
    random, first = np.random.RandomState(run.step), run.step + 1
    (_, grids), (_, errors) = (run.history.latest(track) for track in (STEPS, ERRORS))
    newest = np.concatenate([grids[2:], errors]).reshape(-1, len(run.plan.tensors))
    values = np.repeat(newest[np.newaxis], steps, axis=0)
    scalars = np.repeat(grids[np.newaxis, :2], steps, axis=0)
    scalars[:, 0] = 2.3 * np.exp(-np.arange(first, first + steps) / 200) + 0.05 * random.rand(steps)
    for index, tensor in enumerate(run.plan.tensors):
        sqnr_db = 6.02 * run.book.of(tensor.name).num_bits + 0.3 * random.randn(steps)
        values[:, STEP_MEASURES.index("sqnr_db"), index] = sqnr_db
    extend_steps(run.history, np.arange(first, first + steps), scalars, values)
    run.step, run.seconds = run.step + steps, run.seconds + 0.01 * steps
    run.put(StepRecord(run.step, run.seconds, float(scalars[-1, 0]), 1e-3, values[-1]))
    context.model.process(run.drain())


def change(context, run, *assignments, steps=10):
    """Apply a change, then train some steps."""
    run.send(ChangeSettings(assignments))
    run.advance(0, snapshot=False)
    train(context, run, steps)


@pytest.fixture
def trained(context, staged):
    """A run after some steps: ``trained(60)``."""

    def begin(steps, network="lenet"):
        run = staged(network, steps=1)
        if steps > 1:
            train(context, run, steps - 1)
        return run

    return begin


def values(plot):
    return {entry.name: entry.value for entry in plot.legend.entries}


def click(widget, point):
    QTest.mouseClick(widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, point)


def curve(plot, index=0):
    return plot.canvas.curves[index]
