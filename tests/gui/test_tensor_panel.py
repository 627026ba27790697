"""The Tensor panel: the tensor, pending settings, and updates from the run."""

from dataclasses import replace

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from staging import StagedRun
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

from qatviz.gui.model.edits import HOLD
from qatviz.gui.model.ghost import ghost_of
from qatviz.gui.panels.tensor.panel import CHANNELS, CODES, ERROR, TIME, TensorPanel
from qatviz.gui.widgets.theme import LIGHT
from qatviz.presentation.scene import Area, Rects, Segments, Text
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES

# Empty states


def test_without_a_run_a_text_is_shown(make):
    panel = make()
    assert text_of(panel) == "No run is open."


def test_before_the_first_snapshot_a_text_is_shown(context, make):
    panel = make()
    run = StagedRun("lenet")
    context.model.set_run(run, run.network, run.book, "lenet")
    draw(panel)
    assert "Waiting for the first histograms of lenet" in text_of(panel)
    advance_and_draw(context, run, panel)
    assert "step 1" in text_of(panel) and "Waiting" not in text_of(panel)


@pytest.mark.parametrize("tab", [CODES, ERROR, CHANNELS, TIME])
def test_another_network_replaces_the_previous_one(context, staged, make, tab):
    staged("lenet")
    panel = make(tab)
    run = staged("mlp", steps=2)
    advance_and_draw(context, run, panel)
    assert panel.header.chooser.currentText() == "dense1.weights" == context.model.current
    assert panel.header.chooser.count() == len(run.plan.tensors)


@pytest.mark.parametrize("tab", [CODES, ERROR, CHANNELS, TIME])
def test_every_tensor_of_a_large_network_can_be_shown(context, staged, make, tab):
    run = staged("mobilenet", steps=1)
    panel = make(tab)
    for tensor in run.plan.tensors[::6]:
        context.model.select([tensor.name], tensor.name)
        draw(panel)
        assert panel.header.chooser.currentText() == tensor.name and tensor.op_kind in panel.header.about.text()


# The overlay


def test_the_range_is_drawn_at_its_recorded_ends(context, staged, make):
    staged()
    panel = make()
    (brackets,) = shapes_drawn(panel.overlay, Segments, "range_edge")
    ends = [context.model.measure(NAME, name) for name in ("range_min", "range_max")]
    assert sorted(set(values_at(panel.overlay, brackets.x0))) == pytest.approx(ends)
    assert not shapes_drawn(panel.overlay, Segments, "ghost")


def test_a_level_is_drawn_for_each_code_in_use_at_its_value(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    change(context, run, panel, num_bits=3)
    bars = shapes_drawn(panel.overlay, Rects, "in_range")[-1]
    histogram = context.model.snapshot.histograms[NAME]
    codes = np.flatnonzero(histogram.code_counts) + histogram.code_min
    expected = (codes - histogram.zero_point[0]) * histogram.scale[0]
    at = values_at(panel.overlay, (bars.left + bars.right) / 2)
    pixel = panel.overlay.x_at(1) - panel.overlay.x_at(0)
    np.testing.assert_allclose(at, expected, atol=1.01 * pixel)


def test_a_float_tensor_has_neither_range_nor_levels(context, staged, make):
    staged(preset="float")
    panel = make()
    assert len(shapes_drawn(panel.overlay, Area, "float_values")) == 2
    kinds = ((Segments, "range_edge"), (Rects, "in_range"), (Area, "in_range"))
    assert not any(shapes_drawn(panel.overlay, *kind) for kind in kinds)
    assert "float" in panel.header.about.text()


def test_axes_are_steady_while_the_distribution_changes_little(context, staged, make):
    run = staged()
    panel = make()
    advance_and_draw(context, run, panel)
    before = panel.overlay.x_range, panel.overlay.scale
    for _ in range(5):
        advance_and_draw(context, run, panel)
    assert (panel.overlay.x_range, panel.overlay.scale) == before


def test_the_mouse_reads_the_bin_and_its_count(context, staged, make):
    staged()
    panel = make()
    histogram = context.model.snapshot.histograms[NAME]
    index = int(np.argmax(histogram.float_counts))
    at = (histogram.edges[index] + histogram.edges[index + 1]) / 2
    assert f"{histogram.float_counts[index]} values" in hover(panel.overlay, at)
    QtWidgets.QApplication.sendEvent(panel.overlay, QtCore.QEvent(QtCore.QEvent.Leave))
    assert panel.overlay.readout() == ""


def test_the_wheel_zooms_and_a_double_click_shows_all_again(context, staged, make, app):
    run = staged()
    panel = make()
    whole = panel.overlay.x_range
    center = QtCore.QPointF(point(panel.overlay, 0.0))
    app.sendEvent(
        panel.overlay,
        QtGui.QWheelEvent(
            center,
            QtCore.QPointF(panel.overlay.mapToGlobal(center.toPoint())),
            QtCore.QPoint(),
            QtCore.QPoint(0, 240),
            QtCore.Qt.NoButton,
            QtCore.Qt.NoModifier,
            QtCore.Qt.NoScrollPhase,
            False,
        ),
    )
    zoomed = panel.overlay.x_range
    assert zoomed[1] - zoomed[0] < 0.95 * (whole[1] - whole[0])
    advance_and_draw(context, run, panel)
    assert panel.overlay.x_range == zoomed
    QtTest.QTest.mouseDClick(panel.overlay, QtCore.Qt.LeftButton, pos=center.toPoint())
    assert panel.overlay.x_range == pytest.approx(whole)


def test_an_outlier_count_is_cut_and_labelled(context, staged, make):
    staged()
    panel = make()
    context.model.select(["conv1.activations"])
    draw(panel)
    counts = context.model.snapshot.histograms["conv1.activations"].float_counts
    tower, others = counts.max(), np.sort(counts)[-2]
    assert tower > 4 * others and others < panel.overlay.scale.top < tower / 2
    (count,) = shapes_drawn(panel.overlay, Text, "text")
    assert count.text.startswith("▲ ")
    panel.header.log.click()
    draw(panel)
    assert panel.overlay.scale.is_log and panel.overlay.scale.top >= tower
    assert not shapes_drawn(panel.overlay, Text, "text")


# Codes


@pytest.mark.parametrize("preset", ["tflite-int8", "uint8-affine"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("narrow", [False, True])
def test_every_code_has_exactly_one_bar(context, staged, make, preset, bits, narrow):
    run = staged(preset=preset)
    panel = make()
    change(context, run, panel, num_bits=bits, narrow_range=narrow)
    codes, counts = panel.codes.codes, panel.codes.counts
    assert codes.tolist() == list(range(-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1)))
    np.testing.assert_array_equal(counts, context.model.snapshot.histograms[NAME].code_counts[int(narrow) :])
    (inner,), (edges,), (unused,) = (
        shapes_drawn(panel.codes, Rects, role) for role in ("in_range", "range_edge", "line")
    )
    at = values_at(panel.codes, (edges.left + edges.right) / 2)
    np.testing.assert_allclose(at, np.array([codes[0], codes[-1]])[counts[[0, -1]] > 0], atol=1e-6)
    assert len(inner.left) == np.count_nonzero(counts[1:-1]) and len(unused.left) == np.count_nonzero(counts == 0)
    _, top, _, bottom = panel.codes.area
    expected = panel.codes.scale.heights(counts[1:-1][counts[1:-1] > 0], bottom - top)
    np.testing.assert_allclose(bottom - inner.top, expected)
    assert f"{np.count_nonzero(counts)} of {len(codes)} codes used" in panel.pages[CODES].caption.text()
    ticks = [at for at, _ in panel.codes.x_ticks(panel.codes.area, panel.codes.metrics)]
    assert ticks[0] == codes[0] and ticks[-1] == codes[-1] and set(ticks) <= set(codes.tolist())


def test_changing_the_bits_of_one_layer_leaves_the_others(context, staged, make):
    run = staged()
    panel = make()
    change(context, run, panel, num_bits=2)
    assert len(panel.codes.codes) <= 4
    context.model.select(["conv2.weights"])
    draw(panel)
    assert len(panel.codes.codes) == 255


def test_zeros_of_a_rectified_tensor_are_not_clipped(context, staged, make):
    staged()
    panel = make()
    context.model.select(["conv1.activations"])
    draw(panel)
    assert panel.codes.zero == panel.codes.codes[0] == -128 and panel.codes.counts[0] > 0
    assert panel.codes.codes[panel.codes.is_edge].tolist() == [127]
    assert "edge" not in hover(panel.codes, -128.0) and "edge" in hover(panel.codes, 127.0)


def test_the_zero_point_is_marked_and_0_if_symmetric(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    context.model.select(["conv1.activations"])
    draw(panel)
    (line,) = shapes_drawn(panel.codes, Segments, "muted")
    zero_point = context.model.measure("conv1.activations", "zero_point")
    assert values_at(panel.codes, line.x0) == pytest.approx(zero_point) and zero_point != 0
    change(context, run, panel, "conv1.activations", symmetric=True)
    assert panel.codes.zero == 0


def test_more_than_eight_bits_show_a_text_instead_of_bars(context, staged, make):
    run = staged()
    panel = make()
    change(context, run, panel, num_bits=12)
    assert "4,096 codes" in text_of(panel) and panel.codes.shapes(False) == []
    assert panel.codes.table() == {} and hover(panel.codes, 0.5) == ""
    change(context, run, panel, num_bits=4)
    assert "4,096" not in text_of(panel) and shapes_drawn(panel.codes, Rects, "in_range")


def test_the_mouse_reads_a_code_its_value_and_its_count(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    change(context, run, panel, num_bits=3)
    code, count = int(panel.codes.codes[2]), int(panel.codes.counts[2])
    assert hover(panel.codes, code + 0.2).startswith(f"code {str(code).replace('-', '−')} = ")
    assert f"{count:,} values" in panel.codes.readout()
    assert "edge" in hover(panel.codes, panel.codes.codes[0])


def test_logarithmic_counts_are_remembered(context, staged, make):
    staged()
    panel = make()
    QtTest.QTest.mouseClick(panel.header.log, QtCore.Qt.LeftButton)
    draw(panel)
    assert panel.codes.scale.is_log and panel.overlay.scale.is_log
    assert make().header.log.isChecked()


# The ghost, the header


def test_pending_settings_are_drawn_over_the_present_ones(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    advance_and_draw(context, run, panel)
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 3)
    context.edits.edit([NAME], "symmetric", True)
    assert panel.is_due()
    draw(panel)
    ghost = ghost_of(context.model, context.edits, NAME)
    (brackets,), (levels,) = shapes_drawn(panel.overlay, Segments, "ghost"), shapes_drawn(panel.overlay, Rects, "ghost")
    assert sorted(set(values_at(panel.overlay, brackets.x0))) == pytest.approx([ghost.low, ghost.high])
    at = values_at(panel.overlay, (levels.left + levels.right) / 2)
    np.testing.assert_allclose(at, ghost.scale * np.arange(-3, 4), atol=1e-7)
    assert panel.overlay.x_range[0] <= ghost.low and ghost.high <= panel.overlay.x_range[1]
    assert f"{ghost.measures.sqnr_db:.1f} dB" in panel.header.cells["sqnr_db"].value.text()
    assert f" dB → {ghost.measures.sqnr_db:.1f} dB. " in panel.header.cells["sqnr_db"].toolTip()
    assert (
        "→" in panel.header.cells["used_codes"].value.text() and "3\u00a0bits · symmetric" in panel.header.about.text()
    )
    context.edits.discard()
    draw(panel)
    assert not shapes_drawn(panel.overlay, Segments, "ghost") and "→" not in panel.header.cells["sqnr_db"].value.text()
    assert "→" not in panel.header.cells["sqnr_db"].toolTip()


def test_the_ghost_is_approximate_until_the_values_arrive(context, staged, make):
    run = staged()
    panel = make()
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 3)
    draw(panel)
    assert "≈" in panel.header.step.text() and "≈" in panel.header.cells["sqnr_db"].value.text()
    advance_and_draw(context, run, panel, 0)
    assert "≈" not in panel.header.step.text() and "≈" not in panel.header.cells["sqnr_db"].value.text()


def test_switching_quantization_off_is_a_ghost_without_a_grid(context, staged, make):
    staged()
    panel = make()
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "enabled", False)
    draw(panel)
    assert not shapes_drawn(panel.overlay, Segments, "ghost")
    assert "→ float" in panel.header.about.text() and "→ –<" in panel.header.cells["sqnr_db"].value.text()


def test_measures_and_size_are_shown(context, staged, make):
    run = staged()
    panel = make()
    change(context, run, panel, num_bits=4)
    cells = {name: cell.value.text() for name, cell in panel.header.cells.items()}
    assert cells["sqnr_db"] == f"<b>{context.model.measure(NAME, 'sqnr_db'):.1f} dB</b>"
    assert cells["used_codes"] == f"<b>{context.model.measure(NAME, 'used_codes'):.0f}/15</b>"
    assert cells["size"] == f"<b>{run.plan.tensor(NAME).parameters / 2:g} B</b>"


def test_a_fraction_below_its_digits_has_a_less_than_sign(context, staged, make):
    staged()
    panel = make()
    snapshot = context.model.snapshot
    values = np.array(snapshot.values)
    values[SNAPSHOT_MEASURES.index("clipped")] = 3e-6
    context.model.process([replace(snapshot, step=9, values=values)])
    draw(panel)
    assert panel.header.cells["clipped"].value.text() == "<b>&lt;0.01 %</b>"


def test_the_list_chooses_another_tensor(context, staged, make):
    staged()
    panel = make()
    panel.header.chooser.setFocus()
    QtTest.QTest.keyClick(panel.header.chooser, QtCore.Qt.Key_Down)
    assert context.model.current != NAME and context.model.current == panel.header.chooser.currentText()


def test_the_page_is_remembered(context, staged, make):
    staged()
    panel = make(CODES)
    panel.tabs.setCurrentWidget(panel.pages[CHANNELS])
    assert context.settings.value("tensor/tab") == CHANNELS
    again = TensorPanel(context)
    assert again.tab == CHANNELS
    again.deleteLater()


def test_nothing_is_drawn_without_new_data(context, staged, make, monkeypatch):
    run = staged()
    panel = make()
    advance_and_draw(context, run, panel)
    shapes_drawn = []
    for part in (panel.overlay, panel.codes, panel.header):
        monkeypatch.setattr(part, "draw", lambda view: shapes_drawn.append(view))
    draw(panel)
    assert shapes_drawn == []
    advance_and_draw(context, run, panel)
    assert len(shapes_drawn) == 3


def test_a_new_snapshot_takes_two_frames_and_a_change_of_settings_one(context, staged, make, monkeypatch):
    """A frame must be short, unless the user waits for it."""
    run, drawn = staged(), []
    panel = make()
    for name in ("overlay", "codes"):
        plot = getattr(panel, name)
        monkeypatch.setattr(plot, "draw", lambda view, name=name: drawn.append(name))
    run.advance(1)
    context.model.process(run.drain())
    panel.refresh()
    assert drawn == ["overlay"] and panel.is_due()
    panel.refresh()
    assert drawn == ["overlay", "codes"] and not panel.is_due()
    run.send(ChangeSettings(((f"{NAME}.num_bits", 3),)))
    run.advance(1)
    context.model.process(run.drain())
    panel.refresh()
    assert drawn == 2 * ["overlay", "codes"]


def test_a_wide_panel_is_split_side_by_side(staged, make):
    staged()
    assert make(width=1200, height=300).splitter.orientation() == QtCore.Qt.Horizontal
    assert make(width=420, height=600).splitter.orientation() == QtCore.Qt.Vertical


def test_colours_follow_the_theme(context, staged, make):
    staged()
    panel = make()

    def shown():
        picture = panel.codes.grab().toImage()
        return {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())}

    before = context.theme.colors.in_range
    assert before in shown()
    context.theme.use(LIGHT)
    draw(panel)
    assert context.theme.colors.in_range in shown() and before not in shown()


def test_plots_provide_tables_of_their_numbers(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make(ERROR)
    advance_and_draw(context, run, panel, 0)
    for tab in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(tab)
        draw(panel)
    histogram = context.model.snapshot.histograms[NAME]
    assert panel.overlay.table()["float_count"].sum() == histogram.float_counts.sum()
    assert panel.codes.table()["count"].sum() == histogram.code_counts.sum()
    assert len(panel.channels.table()["min"]) == len(histogram.channel_min)
    assert set(panel.error.table()) == {"error_low_steps", "error_high_steps", "rounding_count", "clipping_count"}
    fractions = panel.over_time.table()["fraction"]
    assert fractions.sum() == pytest.approx(len(context.model.snapshots), rel=0.01)


def test_every_control_has_a_tooltip(staged, make):
    staged()
    panel = make()
    for control in panel.findChildren(QtWidgets.QAbstractButton) + panel.findChildren(QtWidgets.QComboBox):
        if control.objectName() not in ("ScrollLeftButton", "ScrollRightButton"):
            assert control.toolTip() and (control.accessibleName() or control.text()), control
    assert all(panel.tabs.tabToolTip(index) for index in range(panel.tabs.count()))
    plots = (panel.overlay, panel.codes, panel.error, panel.channels, panel.over_time)
    assert all(plot.accessibleName() for plot in plots)
