"""The panels of drift and channels: what they request, what they show, and what clicks and keys do."""

import numpy as np
import pytest
from PyQt5 import QtCore, QtTest

from qatviz.analysis.channels import ChannelsOverview, channel_ranges
from qatviz.analysis.drift import Drift, DriftQuestion, FeatureMaps, LayerDrift, PartError, RunDrift
from qatviz.gui.model.watching import CHANNELS, DRIFT
from qatviz.gui.panels.channels.panel import ChannelsPanel
from qatviz.gui.panels.drift.panel import DriftPanel
from qatviz.presentation.scene import Text
from qatviz.protocol.commands import WatchChannels, WatchDrift
from qatviz.protocol.events import Finished, Restored
from qatviz.protocol.reasons import RestoreReason
from qatviz.protocol.watch_failure import WatchFailure

LEFT, NONE, CONTROL = QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, QtCore.Qt.ControlModifier


def drift(run, step=3, **fields):
    names = ["input", *(unit.name for unit in run.plan.units if unit.name + ".activations" in run.plan)]
    layers = [
        LayerDrift(
            name, "Layer", PartError(1e-3 * 4**index, 0.99), PartError(1e-3, 0.999), PartError(2e-3 * 4**index, 0.98)
        )
        for index, name in enumerate(names)
    ]
    return Drift(tuple(layers), 0.25, step, 64, **fields)


def maps(run, layer, step=3):
    shape = run.plan.tensor(layer + ".activations").shape
    values = np.random.RandomState(0).randn(*shape).astype(np.float32)
    return FeatureMaps(layer, 0, values, values + np.float32(0.1), step)


def overview(run, step=3):
    weights = [tensor for tensor in run.plan.tensors if tensor.kind == "weights"]
    return ChannelsOverview(tuple(channel_ranges(tensor, run.values_of(tensor.name)) for tensor in weights), step)


@pytest.fixture
def panel(context, show, staged):
    def make(kind, network="lenet"):
        run = staged(network)
        made = show(kind(context), 900, 480)
        made.refresh()
        return made, run

    return make


def middle(panel, row, x=0.05):
    table = panel.table.rows
    return QtCore.QPoint(int(x * table.width()), int((row + 0.5) * table.places().row))


# Drift


def test_a_run_measures_the_drift_while_the_panel_is_visible(panel, context):
    shown, run = panel(DriftPanel)
    assert run.sent == [WatchDrift(True, None, 64, "conv1", 0)] and "Measuring" in shown.table.empty.text()
    shown.refresh()
    assert len(run.sent) == 1
    context.model.select(["conv2.activations"])
    shown.refresh()
    assert run.sent[1:] == [WatchDrift(True, None, 64, "conv2", 0)]
    shown.hide()
    assert run.sent[2:] == [WatchDrift(False)]


def test_no_part_is_empty_without_a_text(context, show, staged):
    shown = show(DriftPanel(context), 900, 480)
    shown.refresh()
    assert "No run" in shown.table.empty.text() and not shown.maps.isVisible()
    staged("lenet")
    shown.refresh()
    assert "Measuring" in shown.table.empty.text()
    assert shown.maps.isVisible() and "feature maps" in shown.maps.empty.text() and shown.maps.empty.isVisible()


def test_examples_are_chosen(panel):
    shown, run = panel(DriftPanel)
    shown.examples.setCurrentIndex(3)
    shown.example.setValue(7)
    assert run.sent[-1] == WatchDrift(True, 7, 1, "conv1", 7)
    shown.examples.setCurrentIndex(1)
    assert run.sent[-1] == WatchDrift(True, None, 512, "conv1", 7)


def test_the_example_is_the_one_selected_in_all_panels(panel, context):
    shown, run = panel(DriftPanel)
    context.model.select_example(5)
    assert shown.example.value() == 5
    shown.refresh()
    assert run.sent[-1] == WatchDrift(True, None, 64, "conv1", 5)
    shown.example.setValue(6)
    assert context.model.selected_example == 6


def test_layers_and_maps_are_shown_and_the_sentence_names_one(panel, context):
    shown, run = panel(DriftPanel)
    context.model.process([drift(run), maps(run, "conv1")])
    shown.refresh()
    assert shown.table.rows.content.names[:2] == ("input", "conv1")
    assert "drift starts at" in shown.note.text() and "divergence of the outputs 0.25" in shown.note.text()
    assert shown.maps.maps.layer == "conv1" and not shown.maps.empty.isVisible()
    assert "channels with the largest error" in shown.maps.toolTip()
    image = shown.maps.grab().toImage()
    colors = {image.pixel(x, y) for x in range(0, image.width(), 5) for y in range(40, image.height(), 5)}
    assert len(colors) > 10, "the maps have many colours"


def test_a_click_and_keys_select_a_layer(panel, context):
    shown, run = panel(DriftPanel)
    context.model.process([drift(run)])
    shown.refresh()
    QtTest.QTest.mouseClick(shown.table.rows, LEFT, NONE, middle(shown, 2))
    assert context.model.current == "conv2.activations" and shown.table.rows.selection == ("conv2",)
    assert run.sent[-1].layer == "conv2"
    shown.table.rows.setFocus()
    QtTest.QTest.keyClick(shown.table.rows, QtCore.Qt.Key_Up)
    assert context.model.current == "conv1.activations"
    QtTest.QTest.mouseClick(shown.table.rows, LEFT, CONTROL, middle(shown, 0))
    assert set(context.model.selected) == {"conv1.activations", "input.activations"}


def test_a_click_on_a_title_sorts(panel, context):
    shown, run = panel(DriftPanel)
    context.model.process([drift(run)])
    shown.refresh()
    names = shown.table.rows.content.names
    places = shown.table.rows.places()
    x = next(x for x in range(shown.table.rows.width()) if places.column_at(float(x)) == 2)
    QtTest.QTest.mouseClick(shown.table.header, LEFT, NONE, QtCore.QPoint(x + 2, 5))
    assert shown.table.rows.content.names == names[::-1]
    QtTest.QTest.mouseClick(shown.table.header, LEFT, NONE, QtCore.QPoint(3, 5))
    assert shown.table.rows.content.names == names


def test_a_failure_is_shown_until_there_is_a_result(panel, context):
    shown, run = panel(DriftPanel)
    context.model.process([WatchFailure("WatchDrift", 3, "no memory")])
    shown.refresh()
    assert "no memory" in shown.note.text()
    context.model.process([drift(run)])
    shown.refresh()
    assert "no memory" not in shown.note.text()


def test_results_of_abandoned_steps_are_dropped(panel, context):
    _, run = panel(DriftPanel)
    context.model.process([drift(run, 3), maps(run, "conv1"), overview(run)])
    state = run.capture("start", None)
    run.set_to(state.__class__(**{**state.__dict__, "step": 1}))
    run.put(Restored(1, "start", RestoreReason.UNDO, 3, ()))
    context.model.process(run.drain())
    assert context.model.drift is None and context.model.feature_maps is None and context.model.channels is None


def test_the_values_can_be_saved(panel, context):
    shown, run = panel(DriftPanel)
    context.model.process([drift(run), maps(run, "conv1")])
    shown.refresh()
    assert list(shown.table.rows.table())[:2] == ["layer", "kind"]
    assert len(shown.maps.table()["float"]) == maps(run, "conv1").in_float.size
    assert shown.maps.caption().title == "Output of conv1"


def test_a_run_that_has_ended_is_measured_once_for_each_question(context, show, staged):
    run = staged("lenet")
    run.end(Finished(3))
    context.model.process(run.drain())
    shown, wanted = DriftPanel(context), []
    shown.work.wanted.connect(wanted.append)
    show(shown, 900, 480)
    shown.refresh()
    shown.refresh()
    assert wanted == [DriftQuestion(None, 64, "conv1", 0)] and run.sent == []
    shown.example.setValue(3)
    assert wanted[1:] == [DriftQuestion(None, 64, "conv1", 3)]
    shown.work.fail("no data")
    shown.refresh()
    assert "no data" in shown.note.text()


@pytest.mark.parametrize("kind", [DriftPanel, ChannelsPanel])
def test_a_measurement_that_was_cancelled_or_failed_can_be_repeated(context, show, staged, kind):
    run = staged("lenet")
    run.end(Finished(3))
    context.model.process(run.drain())
    shown, wanted = kind(context), []
    shown.work.wanted.connect(wanted.append)
    show(shown, 900, 480)
    shown.refresh()
    assert len(wanted) == 1 and not shown.again.isVisible()
    for end, reason in ((shown.progress.cancel.click, "cancelled"), (lambda: shown.work.fail("no data"), "no data")):
        end()
        shown.refresh()
        assert f"Not measured: {reason}" in shown.note.text() and shown.again.isVisible()
        assert not shown.progress.isVisible() and "Measuring" not in shown.table.empty.text()
        shown.again.click()
        shown.refresh()
        assert shown.progress.isVisible() and not shown.again.isVisible() and wanted[-1] == wanted[0]
    assert len(wanted) == 3


# Channels


def test_channels_are_measured_while_the_panel_is_visible_and_shown(panel, context):
    shown, run = panel(ChannelsPanel)
    assert run.sent == [WatchChannels()] and "Measuring" in shown.table.empty.text()
    assert not shown.table.area.verticalScrollBar().isVisible(), "there is nothing to scroll"
    context.model.process([overview(run)])
    shown.refresh()
    names = [tensor.name for tensor in run.plan.tensors if tensor.kind == "weights"]
    assert list(shown.table.rows.content.names) == names and "weight tensors" in shown.note.text()
    QtTest.QTest.mouseClick(shown.table.rows, LEFT, NONE, middle(shown, 1))
    assert context.model.current == names[1]
    shown.hide()
    assert run.sent[-1] == WatchChannels(False)


def test_the_views_of_the_channels_differ(panel, context):
    shown, run = panel(ChannelsPanel)
    context.model.process([overview(run)])
    shown.refresh()
    pictures = []
    for box in (None, shown.scale, shown.order, shown.boxes):
        if box is not None:
            box.setCurrentIndex(1)
        pictures.append(shown.table.rows.grab().toImage())
    assert all(one != other for one, other in zip(pictures, pictures[1:]))
    assert not shown.order.isEnabled(), "a box for a layer has no order of channels"


def test_verdicts_follow_pending_settings(panel, context):
    shown, run = panel(ChannelsPanel)
    weights = run.plan.tensor("conv2.weights")
    values = np.random.RandomState(0).randn(500, weights.num_channels)
    values[:, 4] *= 40
    ranges = channel_ranges(weights, values)
    context.model.process([ChannelsOverview((ranges,), 3)])
    shown.refresh()
    assert "may be hard" not in shown.note.text()
    context.edits.edit([weights.name], "per_channel", False)
    shown.refresh()
    assert shown.note.text() == "1 of 1 weight tensor may be hard to quantize, first conv2.weights."
    texts = [shape.text for shape in shown.table.rows.shapes(False) if isinstance(shape, Text)]
    assert any(text.startswith("Channels share") for text in texts)


# The window


def test_the_window_measures_runs_that_have_ended(staged_window, app):
    window, run, advance = staged_window
    run.end(Finished(3))
    advance(0)
    for name in ("drift", "channels"):
        window.docks.open(name)
        app.processEvents()
        window.panels[name].refresh()
    (asked, _, question), *_ = window.launcher.drifts
    assert asked is run and question.examples == 64 and window.launcher.channels[0][0] is run
    window.launcher.works[DRIFT].failed.emit("no data")
    window.launcher.works[DRIFT].found.emit(RunDrift("final", drift(run), maps(run, "conv1")))
    window.launcher.works[CHANNELS].found.emit(overview(run))
    assert (
        window.model.drift is not None and window.model.feature_maps is not None and window.model.channels is not None
    )
    window.panels["drift"].refresh()
    assert "no data" in window.panels["drift"].note.text()
