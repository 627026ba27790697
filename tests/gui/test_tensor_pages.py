"""The pages of errors, channels and time of the Tensor panel."""

from dataclasses import replace

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest
from tensor_stage import (  # noqa: F401
    NAME,
    advance_and_draw,
    change,
    clock,
    draw,
    hover,
    make,
    point,
    shapes_drawn,
    text_of,
    values_at,
)

from qatviz.errors import RunStateError
from qatviz.gui.model.edits import HOLD
from qatviz.gui.panels.tensor.panel import CHANNELS, CODES, ERROR, REQUEST_INTERVAL_S, TIME
from qatviz.gui.panels.tensor.view import view_of
from qatviz.measures import MEASURES
from qatviz.presentation.scene import Area, Line, Rects, Segments, Text
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, InspectTensor, RestoreCheckpoint, SaveCheckpoint
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.quant.measures import measure


def values_on_y_axis(plot, pixels):
    """Return the values on the vertical axis at some pixels."""
    _, top, _, bottom = plot.area
    low, high = plot.y_range
    return low + (bottom - np.asarray(pixels)) * (high - low) / (bottom - top)


def inspected(run):
    return [command.tensor for command in run.sent if isinstance(command, InspectTensor)]


# Errors and values


def test_the_error_page_requests_values_at_most_every_two_seconds(context, staged, make, clock):
    run = staged()
    panel = make(ERROR)
    assert inspected(run) == [NAME]
    for _ in range(4):
        clock.now += 0.3 * REQUEST_INTERVAL_S
        advance_and_draw(context, run, panel)
    assert inspected(run) == [NAME, NAME]


def test_other_pages_request_values_once_until_edits_are_pending(context, staged, make, clock):
    run = staged()
    panel = make(CODES)
    for _ in range(3):
        clock.now += 2 * REQUEST_INTERVAL_S
        advance_and_draw(context, run, panel)
    assert inspected(run) == [NAME]
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 4)
    draw(panel)
    assert inspected(run) == [NAME, NAME]


def test_an_ended_run_receives_no_requests(context, staged, make, clock, monkeypatch):
    run = staged()
    run.end(events.Finished(run.step))
    context.model.process(run.drain())
    panel = make(ERROR)
    assert run.sent == [] and "ended before" in text_of(panel)


def test_a_request_to_a_run_that_has_just_ended_is_no_error(context, staged, make, monkeypatch):
    run = staged()

    def refuse(command):
        raise RunStateError("the run has ended")

    monkeypatch.setattr(run, "send", refuse)
    panel = make(ERROR)
    assert "Waiting for the tensor's values." in text_of(panel)


def test_errors_are_computed_from_the_values_and_show_their_step(context, staged, make):
    run = staged()
    panel = make(ERROR)
    advance_and_draw(context, run, panel, 0)
    values = context.model.values[NAME]
    expected = measure(values.values, panel._grid_of_values(values, view_of(panel.model, panel.edits)))
    assert panel.error.found.rmse_over_scale == pytest.approx(expected.rmse_over_scale, rel=1e-4)
    caption = panel.pages[ERROR].caption.text()
    assert f"step {values.step}" in caption and f"{expected.rmse_over_scale:.3f}" in caption
    found = panel.error.found
    assert found.rounding.sum() + found.clipping.sum() == values.values.size
    (area,) = shapes_drawn(panel.error, Area, "in_range")
    _, top, _, bottom = panel.error.area
    np.testing.assert_allclose(bottom - area.y[1:-1:2], panel.error.scale.heights(found.rounding, bottom - top))
    at = values_at(panel.error, area.x[area.y < bottom])
    assert at.min() >= -0.55 and at.max() <= 0.55


def test_errors_of_pending_settings_are_outlined(context, staged, make):
    run = staged()
    panel = make(ERROR)
    advance_and_draw(context, run, panel, 0)
    assert panel.error.pending is None and not shapes_drawn(panel.error, Line, "ghost")
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 2)
    draw(panel)
    assert shapes_drawn(panel.error, Line, "ghost")
    assert panel.error.pending.values == context.model.values[NAME].values.size


def test_a_float_tensor_shows_no_errors(context, staged, make):
    staged(preset="float")
    panel = make(ERROR)
    assert "there is no error" in text_of(panel)


# Channels


def test_channels_are_bars_from_minimum_to_maximum_in_their_ranges(context, staged, make):
    staged()
    panel = make(CHANNELS)
    histogram = context.model.snapshot.histograms[NAME]
    (boxes,) = shapes_drawn(panel.channels, Rects, "in_range")
    low, high = (values_on_y_axis(panel.channels, edge) for edge in (boxes.bottom, boxes.top))
    np.testing.assert_allclose(low, histogram.channel_min, atol=1e-6)
    np.testing.assert_allclose(high, histogram.channel_max, atol=1e-6)
    np.testing.assert_allclose(panel.channels.ends[1], histogram.scale * 127, rtol=1e-5)
    upper = shapes_drawn(panel.channels, Line, "range_edge")[1]
    np.testing.assert_allclose(values_on_y_axis(panel.channels, upper.y[::2]), histogram.scale * 127, atol=1e-6)
    assert hover(panel.channels, 2.1).startswith("channel 2: ")


def test_parts_of_channels_outside_the_range_are_drawn_as_clipped(context, staged, make):
    staged(preset="uint8-affine")
    panel = make(CHANNELS)
    snapshot = context.model.snapshot
    histogram = snapshot.histograms[NAME]
    narrower = dict(snapshot.histograms, **{NAME: replace(histogram, scale=histogram.scale / 4)})
    context.model.process([replace(snapshot, step=snapshot.step + 1, histograms=narrower)])
    draw(panel)
    low, high = (float(end[0]) for end in panel.channels.ends)
    below, above = shapes_drawn(panel.channels, Rects, "clipped")
    assert len(below.left) == np.count_nonzero(histogram.channel_min < low) > 0
    assert len(above.left) == np.count_nonzero(histogram.channel_max > high) > 0
    assert (values_on_y_axis(panel.channels, below.bottom) < low).all()
    assert (values_on_y_axis(panel.channels, above.bottom) >= high - 1e-6).all()


def test_activations_have_a_single_bar(context, staged, make):
    staged()
    panel = make(CHANNELS)
    context.model.select(["conv1.activations"])
    draw(panel)
    assert len(panel.channels.low) == 1 and "One scale" in panel.pages[CHANNELS].caption.text()


def test_a_diverged_tensor_is_reported(context, staged, make):
    staged()
    panel = make(CHANNELS)
    snapshot = context.model.snapshot
    histogram = snapshot.histograms[NAME]
    broken = replace(histogram, channel_max=np.full_like(histogram.channel_max, np.inf))
    values = np.where(np.ones_like(snapshot.values, bool), np.float32(np.nan), 0)
    histograms = dict(snapshot.histograms, **{NAME: broken})
    context.model.process([replace(snapshot, step=9, values=values, histograms=histograms)])
    for tab in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(tab)
        draw(panel)
        assert panel.header.cells["sqnr_db"].value.text() == "<b>–</b>"
    panel.tabs.setCurrentWidget(panel.pages[CHANNELS])
    draw(panel)
    assert "not finite" in text_of(panel)


def test_a_picked_channel_is_shown_alone_until_all_are_wanted(context, staged, make):
    run = staged()
    panel = make(CHANNELS)
    advance_and_draw(context, run, panel, 0)
    values = context.model.values[NAME].values
    assert "click a channel" in panel.pages[CHANNELS].caption.text() and panel.header.all_channels.isHidden()
    QtTest.QTest.mouseClick(panel.channels, QtCore.Qt.LeftButton, pos=point(panel.channels, 2.2))
    assert panel.overlay.shown.counts.sum() == len(values) < values.size
    assert panel.overlay.shown.edges[-1] >= values[:, 2].max() > panel.overlay.shown.edges[-2]
    assert f"Channel 2 of {values.shape[1]} alone" in text_of(panel).replace("\N{NO-BREAK SPACE}", " ")
    assert "All channels together: " in panel.verdict.text.text()
    histogram = panel._snapshot_of(context.model.values[NAME], view_of(panel.model, panel.edits)).histograms[NAME]
    assert MEASURES["scale"].text(float(histogram.scale[2])) in panel.header.cells["scale"].value.text()
    (background,) = shapes_drawn(panel.channels, Rects, "accent")
    np.testing.assert_allclose(values_at(panel.channels, [background.left[0], background.right[0]]), [1.5, 2.5])
    panel.tabs.setCurrentWidget(panel.pages[CODES])
    draw(panel)
    assert panel.codes.counts.sum() == len(values) and "channel 2 alone" in panel.pages[CODES].caption.text()
    panel.tabs.setCurrentWidget(panel.pages[ERROR])
    draw(panel)
    assert panel.error.found.total == len(values)
    QtTest.QTest.mouseClick(panel.header.all_channels, QtCore.Qt.LeftButton)
    assert panel.overlay.shown.counts.sum() == values.size and panel.error.found.total == values.size
    assert "alone" not in panel.header.about.text() and panel.header.all_channels.isHidden()


def test_keys_pick_channels_and_a_drag_does_not(context, staged, make):
    run = staged()
    panel = make(CHANNELS)
    advance_and_draw(context, run, panel, 0)
    plot, last = panel.channels, len(panel.channels.low) - 1
    for key, expected in (("Right", 0), ("Right", 1), ("End", last), ("Right", last), ("Left", last - 1), ("Home", 0)):
        QtTest.QTest.keyClick(plot, getattr(QtCore.Qt, "Key_" + key))
        assert (
            plot.picked == expected
            and f"Channel\N{NO-BREAK SPACE}{expected}\N{NO-BREAK SPACE}of" in panel.header.about.text()
        )
    QtTest.QTest.keyClick(plot, QtCore.Qt.Key_Escape)
    assert plot.picked is None and panel.header.all_channels.isHidden()
    QtTest.QTest.mousePress(plot, QtCore.Qt.LeftButton, pos=point(plot, 1.0))
    QtTest.QTest.mouseRelease(plot, QtCore.Qt.LeftButton, pos=point(plot, 3.0))
    assert plot.picked is None
    QtTest.QTest.keyClick(plot, QtCore.Qt.Key_End)
    context.model.select(["conv1.activations"])
    draw(panel)
    assert panel.channels.picked is None
    QtTest.QTest.keyClick(plot, QtCore.Qt.Key_Right)
    assert panel.channels.picked is None  # it has a single range


def test_the_values_of_a_picked_channel_are_renewed(context, staged, make, clock):
    run = staged()
    panel = make(CHANNELS)
    advance_and_draw(context, run, panel, 0)
    QtTest.QTest.keyClick(panel.channels, QtCore.Qt.Key_Home)
    asked = len(inspected(run))
    clock.now += 2 * REQUEST_INTERVAL_S
    advance_and_draw(context, run, panel)
    assert len(inspected(run)) == asked + 1
    advance_and_draw(context, run, panel, 0)
    assert f"step {context.model.values[NAME].step}" in panel.header.step.text()


# Over time


@pytest.fixture
def past_panel(context, staged, make):
    """A panel with eight snapshots of the past, at steps 3, 5, 7 ... 17, and a checkpoint of step 9."""
    run = staged()
    panel = make(TIME)
    for _ in range(7):
        advance_and_draw(context, run, panel, 2)
        if run.step == 9:
            context.model.process(run.carry_out(SaveCheckpoint("kept")))
    panel.run = run
    return panel


def steps_shown(panel):
    return [snapshot.step for snapshot in panel.over_time.snapshots]


def test_each_snapshot_has_a_column_with_its_range(context, past_panel):
    assert len(past_panel.over_time.image) == 8 and steps_shown(past_panel) == list(range(3, 18, 2))
    high = past_panel.over_time.ends[1]
    row = SNAPSHOT_MEASURES.index("range_max")
    np.testing.assert_allclose(high, [s.values[row, context.model.plan.index(NAME)] for s in context.model.snapshots])


def test_columns_and_labels_are_at_their_training_steps(context, past_panel):
    """Snapshots are taken at uneven distances: a place on the axis is a step, not the number of a snapshot."""
    advance_and_draw(context, past_panel.run, past_panel, 40)
    plot = past_panel.over_time
    assert steps_shown(past_panel) == [*range(3, 18, 2), 57]
    np.testing.assert_allclose(plot.edges, [2.5, 4, 6, 8, 10, 12, 14, 16, 37, 57.5])
    upper = shapes_drawn(plot, Line, "range_edge")[1]
    np.testing.assert_allclose(values_at(plot, upper.x[1:-1:2]), plot.edges[1:-1])
    texts = [shape for shape in plot.shapes(False) if isinstance(shape, Text) and shape.y > plot.area[3]]
    labels = [text for text in texts if text.text.isdigit()]
    assert len(labels) >= 3
    for label in labels:
        middle = label.x + plot.metrics.width(label.text) / 2
        assert abs(middle - plot.pixel_of(int(label.text))) <= 1
    for step, nearest in ((3, 3), (36, 17), (38, 57), (57, 57)):
        assert f"step {nearest}," in hover(plot, step)
    plot.x_range = (0.0, 100.0)
    assert hover(plot, 60) == ""


def test_a_click_selects_a_past_snapshot_for_all_plots(context, past_panel):
    QtTest.QTest.mouseClick(past_panel.over_time, QtCore.Qt.LeftButton, pos=point(past_panel.over_time, 7.0))
    assert past_panel.model.moment.step == 7 and past_panel.over_time.cursor == 2
    (line,) = shapes_drawn(past_panel.over_time, Segments, "text")
    assert values_at(past_panel.over_time, line.x0) == pytest.approx(7)
    assert "step 7" in past_panel.header.step.text() and "past" in past_panel.header.step.text()
    row = SNAPSHOT_MEASURES.index("range_max")
    then = past_panel.model.moment.values[row, context.model.plan.index(NAME)]
    assert past_panel.overlay.shown.representable[1] == pytest.approx(then)
    advance_and_draw(context, past_panel.run, past_panel)
    assert past_panel.model.moment.step == 7
    QtTest.QTest.mouseClick(past_panel.header.back, QtCore.Qt.LeftButton)
    assert (
        past_panel.model.moment is None
        and "step 18" in past_panel.header.step.text()
        and past_panel.header.back.isHidden()
    )


def test_a_past_snapshot_shows_its_own_settings_and_size(context, past_panel):
    before = context.model.settings_of(NAME)
    past_panel.run.send(ChangeSettings(((f"{NAME}.num_bits", 3), (f"{NAME}.symmetric", True))))
    advance_and_draw(context, past_panel.run, past_panel)

    def about():
        return past_panel.header.about.text().replace("\N{NO-BREAK SPACE}", " ")

    now, size = about(), past_panel.header.cells["size"].value.text()
    assert "3 bits" in now and "symmetric" in now and "at this step" not in now
    QtTest.QTest.mouseClick(past_panel.over_time, QtCore.Qt.LeftButton, pos=point(past_panel.over_time, 7.0))
    assert past_panel.model.moment.step == 7
    settings = context.model.settings_at(past_panel.model.moment, NAME)
    assert settings == before and settings.num_bits == 8
    assert "8 bits" in about() and "at this step" in about() and "3 bits" not in about()
    assert ("symmetric" in about()) == settings.symmetric
    number = int(np.prod(context.model.plan.tensor(NAME).shape))
    assert MEASURES["size"].text(number) in past_panel.header.cells["size"].value.text() != size


def test_a_drag_moves_the_cursor(past_panel):
    plot = past_panel.over_time
    QtTest.QTest.mousePress(plot, QtCore.Qt.LeftButton, pos=point(plot, 5.0))
    move = QtGui.QMouseEvent(
        QtCore.QEvent.MouseMove,
        QtCore.QPointF(point(plot, 11.0)),
        QtCore.Qt.NoButton,
        QtCore.Qt.LeftButton,
        QtCore.Qt.NoModifier,
    )
    plot.mouseMoveEvent(move)
    assert past_panel.model.moment.step == steps_shown(past_panel)[4]
    assert plot.cursor == 4 and not past_panel.is_due()  # all is drawn at once, as the user waits for it
    QtTest.QTest.mouseRelease(plot, QtCore.Qt.LeftButton, pos=point(plot, 11.0))
    assert "step 11" in plot.readout()


def test_new_snapshots_redraw_nothing_that_shows_the_past(context, past_panel, monkeypatch):
    QtTest.QTest.mouseClick(past_panel.over_time, QtCore.Qt.LeftButton, pos=point(past_panel.over_time, 7.0))
    drawn = []
    monkeypatch.setattr(past_panel.overlay, "draw", drawn.append)
    advance_and_draw(context, past_panel.run, past_panel)
    assert drawn == [] and past_panel.over_time.snapshots[-1] is context.model.snapshot


def test_keys_move_the_cursor_and_return_to_the_present(past_panel):
    plot = past_panel.over_time
    steps = steps_shown(past_panel)
    for name, expected in (
        ("Left", steps[-2]),
        ("Left", steps[-3]),
        ("Right", steps[-2]),
        ("Home", steps[0]),
        ("Left", steps[0]),
    ):
        QtTest.QTest.keyClick(plot, getattr(QtCore.Qt, "Key_" + name))
        assert past_panel.model.moment.step == expected and plot.cursor == steps.index(expected)
    for key in (QtCore.Qt.Key_End, QtCore.Qt.Key_Escape):
        QtTest.QTest.keyClick(plot, QtCore.Qt.Key_Home)
        QtTest.QTest.keyClick(plot, key)
        assert past_panel.model.moment is None
    QtTest.QTest.keyClick(plot, QtCore.Qt.Key_Right)
    assert past_panel.model.moment is None


def test_the_cursor_leaves_abandoned_snapshots(context, past_panel):
    QtTest.QTest.keyClick(past_panel.over_time, QtCore.Qt.Key_Left)
    context.model.process(past_panel.run.carry_out(RestoreCheckpoint("kept")))
    draw(past_panel)
    assert past_panel.model.moment.step == 9 and max(steps_shown(past_panel)) == 9


def test_a_past_snapshot_has_no_ghost(context, past_panel):
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 3)
    draw(past_panel)
    assert past_panel.overlay.pending is not None
    QtTest.QTest.keyClick(past_panel.over_time, QtCore.Qt.Key_Left)
    assert past_panel.overlay.pending is None
