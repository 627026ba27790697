"""The chip: its panel, the choice that is remembered, and its numbers in table, network, status bar and budget."""

import pytest
from PyQt5 import QtCore, QtTest
from staging import StagedRun
from window_stage import StagedLauncher, make_window, prepared_of

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.targets import target
from qatviz.errors import QatvizError
from qatviz.gui.model.chip import SETTLING_MS, ChipUpdates
from qatviz.gui.panels.budget.panel import BudgetPanel
from qatviz.gui.panels.chip.panel import ChipPanel
from qatviz.gui.panels.layers.columns import COLUMNS, INDEX
from qatviz.gui.panels.layers.panel import LayersPanel
from qatviz.gui.panels.network.measures import badge_quantity, tooltip, value_of
from qatviz.presentation.chip_texts import status_text
from qatviz.protocol.commands import ChangeSettings
from qatviz.session.chip import network_graph
from qatviz.telemetry.run_handle import RUNNING

LEFT, NONE = QtCore.Qt.LeftButton, QtCore.Qt.NoModifier


class GraphLauncher(StagedLauncher):
    """Launcher that makes graphs, and counts them."""

    def __init__(self, problem=""):
        super().__init__()
        self.graphs, self.problem = [], problem

    def chip_graph(self, network, book):
        self.graphs.append(book)
        if self.problem:
            raise QatvizError(self.problem)
        return network_graph(network, book)


def on_chip(model, *names):
    return estimate(network_graph(model.network, model.book), target(*names))


@pytest.fixture
def stage(context, staged, show):
    """A staged run with an estimate, and the panel."""
    run = staged()
    context.model.set_chip(on_chip(context.model))
    panel = show(ChipPanel(context), 640, 420)
    panel.refresh()
    return run, panel


def test_the_summary_is_that_of_the_estimate(stage):
    _, panel = stage
    texts = {name: label.text() for name, label in panel.facts.items()}
    assert "220 kB" in texts["Flash"] and "17.3 kB" in texts["RAM"] and "± 25 %" in texts["Time"]
    assert "215 kB weights" in panel.facts["Flash"].toolTip() and "peak at pool1" in panel.facts["RAM"].toolTip()
    assert "published measurements" in panel.sources.text() and "https://" in panel.sources.toolTip()


def test_a_click_on_the_timeline_selects_the_layer(stage):
    _, panel = stage
    places = panel.timeline._places(panel.model.chip)
    spot = QtCore.QPoint(int(places.left + 2.5 * places.column), int(places.bottom) - 4)
    QtTest.QTest.mouseClick(panel.timeline, LEFT, NONE, spot)
    assert panel.model.current == "conv2.weights"
    panel.refresh()
    assert panel.selected.text().startswith("conv2: ") and "cycles" in panel.selected.text()
    QtTest.QTest.keyClick(panel.timeline, QtCore.Qt.Key_Right)
    assert panel.model.current == "conv2.activations", "pooling is on the grid of its input"


def test_the_picture_and_its_data_are_those_of_the_arena(stage):
    _, panel = stage
    table = panel.timeline.table()
    assert sum(table["bytes"]) > 0 and "input" in table["buffer"] and panel.timeline.caption().title
    pixels = panel.timeline.grab().toImage()
    colors = {pixels.pixel(x, y) for x in range(0, pixels.width(), 7) for y in range(0, pixels.height(), 7)}
    assert len(colors) > 8


def test_without_a_run_or_an_estimate_the_panel_says_why(context, staged, show):
    panel = show(ChipPanel(context), 640, 420)
    panel.refresh()
    assert panel.empty.text().startswith("No run.")
    staged()
    panel.refresh()
    assert panel.empty.text().startswith("Estimating") and not panel.timeline.isVisible()
    context.model.set_chip(None, "TFLite cannot hold it")
    panel.refresh()
    assert panel.empty.text() == "TFLite cannot hold it"


def test_the_choice_is_estimated_and_remembered(context, staged, qtbot, show):
    launcher = GraphLauncher()
    updates = ChipUpdates(context.model, launcher, context.settings)
    panel = show(ChipPanel(context), 640, 420)
    panel.target_chosen.connect(updates.choose)
    staged()
    qtbot.waitUntil(lambda: context.model.chip is not None)
    first = context.model.chip
    panel.target_box.setCurrentIndex(panel.target_box.findData("cmsis-nn/cortex-m4"))
    panel.clock_box.setValue(80)
    qtbot.waitUntil(lambda: context.model.chip.target.mhz == 80)
    found = context.model.chip
    assert found.target.label == "CMSIS-NN on Cortex-M4 at 80 MHz" and found.seconds > 2 * first.seconds
    assert found.graph is first.graph and len(launcher.graphs) == 1, "the graph does not depend on the chip"
    again = ChipUpdates(context.model, launcher, context.settings)
    assert again.target == found.target
    context.settings.setValue("chip/target", "cmsis-nn/z80")
    assert ChipUpdates(context.model, launcher, context.settings).target == target()
    for one in (updates, again):
        one.stop()


def test_a_change_of_bits_is_estimated_again(context, staged, qtbot):
    updates = ChipUpdates(context.model, GraphLauncher(), context.settings)
    run = staged()
    qtbot.waitUntil(lambda: context.model.chip is not None)
    before = context.model.chip
    run.send(ChangeSettings((("*.weights.num_bits", 4),)))
    context.model.process(run.advance(1).drain())
    qtbot.waitUntil(lambda: context.model.chip is not before)
    assert context.model.chip.graph.flash.weights * 2 == before.graph.flash.weights
    assert context.model.chip.cycles == before.cycles
    updates.stop()


def test_a_network_that_the_runtime_does_not_support_has_a_reason(context, staged, qtbot):
    updates = ChipUpdates(context.model, GraphLauncher("not on this chip"), context.settings)
    staged()
    qtbot.waitUntil(lambda: bool(context.model.chip_problem))
    assert context.model.chip is None and context.model.chip_problem == "not on this chip"
    updates.stop()


def test_the_table_of_layers_has_time_and_buffers(context, staged, show):
    staged()
    panel = show(LayersPanel(context), 900, 400)
    panel.refresh()
    rows, column = panel.source.rows, COLUMNS[INDEX["chip_ms"]]
    names = [tensor.name for tensor in rows.tensors]
    assert rows.cell(names.index("conv2.weights"), column).text == ""
    found = on_chip(context.model)
    context.model.set_chip(found)
    panel.refresh()
    assert float(rows.cell(names.index("conv2.weights"), column).text) == pytest.approx(
        1000 * found.target.seconds(found.layer("conv2").cycles), rel=0.01
    )
    assert rows.cell(names.index("conv2.activations"), column).text == "", "once for each layer"
    assert rows.cell(names.index("conv2.weights"), COLUMNS[INDEX["buffers"]]).text.endswith("kB")


def test_the_network_is_coloured_by_cycles(context, staged):
    staged()
    model = context.model
    weights, activations = model.plan.tensor("conv2.weights"), model.plan.tensor("conv2.activations")
    assert value_of(model, weights, "cycles") != value_of(model, weights, "cycles")
    model.set_chip(on_chip(model))
    assert value_of(model, weights, "cycles") == model.chip.layer("conv2").cycles
    assert badge_quantity(model, weights, "cycles").number.endswith("M")
    assert badge_quantity(model, activations, "cycles").text == ""
    assert "Cycles" in tooltip(model, weights) and "Cycles" not in tooltip(model, activations)


def test_the_status_bar_shows_as_much_as_there_is_room_for(settings, qtbot, app):
    window = make_window(settings, GraphLauncher())
    qtbot.addWidget(window)
    window.resize(1920, 1000)
    window.show()
    run = StagedRun()
    window.show_prepared(prepared_of(run))
    qtbot.waitUntil(lambda: window.model.state == RUNNING)
    qtbot.wait(2 * SETTLING_MS)
    assert window.model.chip is None, "the estimate delays the first step"
    run.advance(1)
    qtbot.waitUntil(lambda: window.model.chip is not None)
    bar = window.statusBar()
    bar.refresh()
    assert bar.chip.text() == status_text(window.model.chip) and "Arena" in bar.chip.toolTip()
    window.resize(900, 600)
    app.processEvents()
    assert len(bar.chip.text()) < len(status_text(window.model.chip))
    window.close_without_asking()


def test_time_is_a_unit_of_the_budget_that_bits_do_not_change(context, staged, show):
    from test_budget_panel import sensitivity

    run = staged()
    context.model.process([sensitivity(run)])
    panel = show(BudgetPanel(context), 900, 400)
    panel.unit_box.setCurrentIndex(panel.unit_box.findData(CostUnit.TIME.value))
    panel.refresh()
    assert panel.problem is None and "not known" in panel.message.text()
    context.model.set_chip(on_chip(context.model))
    panel.refresh()
    assert panel.problem is not None and panel.amount.text() == "39 ms"
    assert (panel.problem.costs == panel.problem.costs[:, :1]).all() and "do not change it" in panel.message.text()


def test_of_many_refusals_the_first_is_shown(context, staged, qtbot, show):
    updates = ChipUpdates(context.model, GraphLauncher(), context.settings)
    staged(preset="uint8-affine")
    qtbot.waitUntil(lambda: bool(context.model.chip_problem))
    panel = show(ChipPanel(context), 640, 420)
    panel.refresh()
    assert panel.empty.text().startswith("TFLite Micro does not support these settings: conv1.weights: 8 bits")
    assert panel.empty.text().endswith("other reasons)")
    updates.stop()
