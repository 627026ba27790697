"""Staged panel of histograms: a fixture, and functions that advance its run and draw it."""

import pytest

from qatviz.gui.panels.histograms.panel import HistogramsPanel
from qatviz.protocol.commands import ChangeSettings


@pytest.fixture
def panel(context, staged, show):
    """``panel(network, changes, width, height)``: the panel, shown and drawn, and its run."""

    def make(network="lenet", changes=(), width=900, height=600):
        run = staged(network)
        if changes:
            run.send(ChangeSettings(tuple(changes)))
            advance_run(context, run)
        made = show(HistogramsPanel(context), width, height)
        settle(made)
        return made, run

    return make


def advance_run(context, run, steps=1):
    run.advance(steps)
    context.model.process(run.drain())


def settle(panel):
    """Draw until nothing is due; return the number of drawings."""
    count = 0
    while panel.is_due():
        panel.refresh()
        count += 1
        assert count < 1000
    return count
