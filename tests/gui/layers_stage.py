"""Shared by tests of the table of layers: changes of a run, reading and use of the table."""

from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

from qatviz.gui.panels.layers.columns import INDEX
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot


def change(context, run, *assignments):
    run.send(ChangeSettings(assignments))
    run.advance(1)
    context.model.process(run.drain())


def row_texts(panel, tensor):
    """Return the texts of a row, by column."""
    row = panel.shown.row_of(tensor)
    return {key: panel.shown.index(row, column).data() for key, column in INDEX.items()}


def names(panel):
    return [panel.shown.index(row, INDEX["name"]).data() for row in range(panel.shown.rowCount())]


def selected_names(panel):
    return {panel.shown.tensor(index.row()) for index in panel.view.selectionModel().selectedRows()}


def click(panel, tensor, modifier=Qt.NoModifier):
    rect = panel.view.visualRect(panel.shown.index(panel.shown.row_of(tensor), INDEX["name"]))
    QTest.mouseClick(panel.view.viewport(), Qt.LeftButton, modifier, rect.center())


def with_measures(snapshot, **measures):
    """Return the snapshot with one measure of all tensors replaced."""
    values = snapshot.values.copy()
    for name, value in measures.items():
        values[SNAPSHOT_MEASURES.index(name)] = value
    return Snapshot(snapshot.step, snapshot.seconds, values, snapshot.histograms, snapshot.num_bits, snapshot.enabled)
