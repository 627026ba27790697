"""The Tensor panel: what it shows of the tensor and of what is pending, and how it follows the run."""

from dataclasses import replace

import numpy as np
import pytest
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets
from staging import StagedRun
from tensor_stage import NAME, change, clock, hover, make, news, point, text_of  # noqa: F401

from qatviz.gui.model.edits import HOLD
from qatviz.gui.model.ghost import ghost_of
from qatviz.gui.panels.tensor.panel import CHANNELS, CODES, ERROR, TIME, TensorPanel
from qatviz.gui.widgets.theme import LIGHT
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES

# Empty states


def test_without_a_run_it_says_so_and_shows_nothing(make):
    panel = make()
    assert text_of(panel) == "No run is open."


def test_before_the_first_snapshot_it_says_what_it_waits_for(context, make):
    panel = make()
    run = StagedRun("lenet")
    context.model.set_run(run, run.network, run.book, "lenet")
    panel.refresh()
    assert "Waiting for the first histograms of lenet" in text_of(panel)
    news(context, run, panel)
    assert "step 1" in text_of(panel) and "Waiting" not in text_of(panel)


@pytest.mark.parametrize("tab", [CODES, ERROR, CHANNELS, TIME])
def test_another_network_takes_the_place_of_the_one_before(context, staged, make, tab):
    staged("lenet")
    panel = make(tab)
    run = staged("mlp", steps=2)
    news(context, run, panel)
    assert panel.header.chooser.currentText() == "dense1.weights" == context.model.current
    assert panel.header.chooser.count() == len(run.plan.tensors)
    context.model.close_run()
    panel.refresh()
    assert text_of(panel) == "No run is open."


@pytest.mark.parametrize("tab", [CODES, ERROR, CHANNELS, TIME])
def test_every_tensor_of_a_large_network_can_be_shown(context, staged, make, tab):
    run = staged("mobilenet", steps=1)
    panel = make(tab)
    for tensor in run.plan.tensors[::6]:
        context.model.select([tensor.name], tensor.name)
        panel.refresh()
        assert panel.header.chooser.currentText() == tensor.name and tensor.op_kind in panel.header.about.text()


# The overlay


def test_the_window_is_drawn_where_the_snapshot_says(context, staged, make):
    staged()
    panel = make()
    x, _ = panel.overlay._window.getData()
    assert sorted(set(x)) == pytest.approx([context.model.measure(NAME, name) for name in ("range_min", "range_max")])
    assert not panel.overlay._ghost_window.isVisible()


def test_a_level_is_drawn_for_each_code_in_use_at_its_value(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    change(context, run, panel, num_bits=3)
    x, _ = panel.overlay._levels.getData()
    histogram = context.model.snapshot.histograms[NAME]
    codes = np.flatnonzero(histogram.code_counts) + histogram.code_min
    np.testing.assert_allclose(x[::2], (codes - histogram.zero_point[0]) * histogram.scale[0], rtol=1e-5)


def test_a_float_tensor_has_neither_window_nor_levels(context, staged, make):
    staged(preset="float")
    panel = make()
    assert panel.overlay._float_outline.getData()[0] is not None
    plot = panel.overlay
    assert not any(item.isVisible() for item in (plot._window, plot._levels, plot._quantized))
    assert "float" in panel.header.about.text()


def test_axes_hold_still_while_the_distribution_changes_little(context, staged, make):
    run = staged()
    panel = make()
    news(context, run, panel)
    before = panel.overlay.viewRange()
    for _ in range(5):
        news(context, run, panel)
    assert panel.overlay.viewRange() == before


def test_the_mouse_reads_the_bin_and_its_count(context, staged, make):
    staged()
    panel = make()
    histogram = context.model.snapshot.histograms[NAME]
    index = int(np.argmax(histogram.float_counts))
    at = (histogram.edges[index] + histogram.edges[index + 1]) / 2
    assert f"{histogram.float_counts[index]} values" in hover(panel.overlay, at, 1.0)
    QtWidgets.QApplication.sendEvent(panel.overlay, QtCore.QEvent(QtCore.QEvent.Leave))
    assert panel.overlay.readout() == ""


def test_the_wheel_zooms_and_a_double_click_shows_all_again(context, staged, make, app):
    run = staged()
    panel = make()
    whole = panel.overlay.viewRange()[0]
    center = QtCore.QPointF(point(panel.overlay, 0.0, 1.0))
    app.sendEvent(
        panel.overlay.viewport(),
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
    zoomed = panel.overlay.viewRange()[0]
    assert zoomed[1] - zoomed[0] < 0.95 * (whole[1] - whole[0])
    news(context, run, panel)
    assert panel.overlay.viewRange()[0] == zoomed
    QtTest.QTest.mouseDClick(panel.overlay.viewport(), QtCore.Qt.LeftButton, pos=center.toPoint())
    assert panel.overlay.viewRange()[0] == pytest.approx(whole)


def test_a_count_that_towers_over_all_others_is_cut_and_told(context, staged, make):
    staged()
    panel = make()
    context.model.select(["conv1.activations"])
    panel.refresh()
    counts = context.model.snapshot.histograms["conv1.activations"].float_counts
    tower, others = counts.max(), np.sort(counts)[-2]
    assert tower > 4 * others and others < panel.overlay.count_top < tower / 2
    assert panel.overlay._tower.isVisible() and "▲" in panel.overlay._tower.toPlainText()
    panel.header.log.click()
    panel.refresh()
    assert panel.overlay.count_top >= np.log10(1 + tower) and not panel.overlay._tower.isVisible()


# Codes


@pytest.mark.parametrize("preset", ["tflite-int8", "uint8-affine"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("narrow", [False, True])
def test_there_is_a_bar_for_each_code_and_no_other(context, staged, make, preset, bits, narrow):
    run = staged(preset=preset)
    panel = make()
    change(context, run, panel, num_bits=bits, narrow_range=narrow)
    codes, counts = panel.codes.codes, panel.codes.counts
    assert codes.tolist() == list(range(-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1)))
    np.testing.assert_array_equal(counts, context.model.snapshot.histograms[NAME].code_counts[int(narrow) :])
    inner, edges, unused = [bars.boxes for bars in (panel.codes._inner, panel.codes._edges, panel.codes._unused)]
    np.testing.assert_array_equal((edges[:, 0] + edges[:, 1]) / 2, [codes[0], codes[-1]])
    assert len(inner) == np.count_nonzero(counts[1:-1]) and len(unused) == np.count_nonzero(counts == 0)
    np.testing.assert_array_equal(inner[:, 3], counts[1:-1][counts[1:-1] > 0])
    assert f"{np.count_nonzero(counts)} of {len(codes)} codes used" in panel.pages[CODES].caption.text()
    ticks = [at for at, _ in panel.codes.getAxis("bottom")._tickLevels[0]]
    assert ticks[0] == codes[0] and ticks[-1] == codes[-1] and set(ticks) <= set(codes.tolist())


def test_changing_the_bits_of_one_layer_leaves_the_others(context, staged, make):
    run = staged()
    panel = make()
    change(context, run, panel, num_bits=2)
    assert len(panel.codes.codes) <= 4
    context.model.select(["conv2.weights"])
    panel.refresh()
    assert len(panel.codes.codes) == 255


def test_zeros_of_a_rectified_tensor_are_not_taken_for_clipped(context, staged, make):
    staged()
    panel = make()
    context.model.select(["conv1.activations"])
    panel.refresh()
    assert panel.codes._zero.value() == panel.codes.codes[0] == -128 and panel.codes.counts[0] > 0
    assert len(panel.codes._edges.boxes) == 1 and panel.codes._edges.boxes[0, 0] > 100
    assert "edge" not in hover(panel.codes, -128.0, 1.0) and "edge" in hover(panel.codes, 127.0, 1.0)


def test_the_zero_point_is_marked_and_is_0_where_symmetric(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    context.model.select(["conv1.activations"])
    panel.refresh()
    assert panel.codes._zero.value() == context.model.measure("conv1.activations", "zero_point") != 0
    change(context, run, panel, "conv1.activations", symmetric=True)
    assert panel.codes._zero.value() == 0


def test_more_than_eight_bits_are_told_in_words(context, staged, make):
    run = staged()
    panel = make()
    change(context, run, panel, num_bits=12)
    assert "4,096 codes" in text_of(panel) and not panel.codes._inner.isVisible()
    assert panel.codes.table() == {} and hover(panel.codes, 0.5, 0.5) == ""
    change(context, run, panel, num_bits=4)
    assert "4,096" not in text_of(panel) and panel.codes._inner.isVisible()


def test_the_mouse_reads_a_code_its_value_and_its_count(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    change(context, run, panel, num_bits=3)
    code, count = int(panel.codes.codes[2]), int(panel.codes.counts[2])
    assert hover(panel.codes, code + 0.2, 1.0).startswith(f"code {str(code).replace('-', '−')} = ")
    assert f"{count:,} values" in panel.codes.readout()
    assert "edge" in hover(panel.codes, panel.codes.codes[0], 1.0)


def test_logarithmic_counts_are_remembered(context, staged, make):
    staged()
    panel = make()
    QtTest.QTest.mouseClick(panel.header.log, QtCore.Qt.LeftButton)
    panel.refresh()
    top = panel.codes.counts[1:-1].max()
    assert panel.codes._inner.boxes[:, 3].max() == pytest.approx(np.log10(1 + top))
    assert make().header.log.isChecked()


# The ghost, the header


def test_what_is_pending_is_drawn_over_what_is(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make()
    news(context, run, panel)
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 3)
    context.edits.edit([NAME], "symmetric", True)
    assert panel.is_due()
    panel.refresh()
    ghost = ghost_of(context.model, context.edits, NAME)
    x, _ = panel.overlay._ghost_window.getData()
    assert sorted(set(x)) == pytest.approx([ghost.low, ghost.high])
    levels = panel.overlay._ghost_levels.getData()[0][::2]
    np.testing.assert_allclose(levels, ghost.scale * np.arange(-3, 4), atol=1e-7)
    assert panel.overlay.viewRange()[0][0] <= ghost.low and ghost.high <= panel.overlay.viewRange()[0][1]
    assert f"{ghost.measures.sqnr_db:.1f} dB" in panel.header.cells["sqnr_db"].value.text()
    assert "→" in panel.header.cells["used_codes"].value.text() and "3 bits · symmetric" in panel.header.about.text()
    context.edits.discard()
    panel.refresh()
    assert not panel.overlay._ghost_window.isVisible() and "→" not in panel.header.cells["sqnr_db"].value.text()


def test_until_the_values_are_here_the_ghost_is_about(context, staged, make):
    run = staged()
    panel = make()
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "num_bits", 3)
    panel.refresh()
    assert "≈" in panel.header.moment.text() and "≈" in panel.header.cells["sqnr_db"].value.text()
    news(context, run, panel, 0)
    assert "≈" not in panel.header.moment.text() and "≈" not in panel.header.cells["sqnr_db"].value.text()


def test_switching_off_is_a_ghost_without_a_grid(context, staged, make):
    staged()
    panel = make()
    context.edits.set_mode(HOLD)
    context.edits.edit([NAME], "enabled", False)
    panel.refresh()
    assert not panel.overlay._ghost_window.isVisible()
    assert "→ float" in panel.header.about.text() and "→ –<" in panel.header.cells["sqnr_db"].value.text()


def test_measures_and_size_are_told(context, staged, make):
    run = staged()
    panel = make()
    change(context, run, panel, num_bits=4)
    cells = {name: cell.value.text() for name, cell in panel.header.cells.items()}
    assert cells["sqnr_db"] == f"<b>{context.model.measure(NAME, 'sqnr_db'):.1f} dB</b>"
    assert cells["used_codes"] == f"<b>{context.model.measure(NAME, 'used_codes'):.0f}/15</b>"
    assert cells["size"] == f"<b>{run.plan.tensor(NAME).parameters / 2:g} B</b>"


def test_a_share_too_small_for_its_digits_is_told_as_such(context, staged, make):
    staged()
    panel = make()
    snapshot = context.model.snapshot
    values = np.array(snapshot.values)
    values[SNAPSHOT_MEASURES.index("clipped")] = 3e-6
    context.model.take([replace(snapshot, step=9, values=values)])
    panel.refresh()
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


def test_nothing_new_is_nothing_drawn(context, staged, make, monkeypatch):
    run = staged()
    panel = make()
    news(context, run, panel)
    drawn = []
    for part in (panel.overlay, panel.codes, panel.header):
        monkeypatch.setattr(part, "draw", lambda view: drawn.append(view))
    panel.refresh()
    assert drawn == []
    news(context, run, panel)
    assert len(drawn) == 3


def test_wide_is_side_by_side(staged, make):
    staged()
    assert make(width=1200, height=300).splitter.orientation() == QtCore.Qt.Horizontal
    assert make(width=420, height=600).splitter.orientation() == QtCore.Qt.Vertical


def test_colours_follow_the_theme(context, staged, make):
    staged()
    panel = make()
    before = panel.codes._inner._brush.color().name()
    context.theme.use(LIGHT)
    panel.refresh()
    assert panel.codes._inner._brush.color().name() == context.theme.colors.in_range != before


def test_plots_give_their_numbers(context, staged, make):
    run = staged(preset="uint8-affine")
    panel = make(ERROR)
    news(context, run, panel, 0)
    for tab in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(tab)
        panel.refresh()
    histogram = context.model.snapshot.histograms[NAME]
    assert panel.overlay.table()["float_count"].sum() == histogram.float_counts.sum()
    assert panel.codes.table()["count"].sum() == histogram.code_counts.sum()
    assert len(panel.channels.table()["min"]) == len(histogram.channel_min)
    assert set(panel.error.table()) == {"error_low_steps", "error_high_steps", "rounding_count", "clipping_count"}
    shares = panel.over_time.table()["share"]
    assert shares.sum() == pytest.approx(len(context.model.snapshots), rel=0.01)


def test_every_control_says_what_it_is(staged, make):
    staged()
    panel = make()
    for control in panel.findChildren(QtWidgets.QAbstractButton) + panel.findChildren(QtWidgets.QComboBox):
        if control.objectName() not in ("ScrollLeftButton", "ScrollRightButton"):
            assert control.toolTip() and (control.accessibleName() or control.text()), control
    assert all(panel.tabs.tabToolTip(index) for index in range(panel.tabs.count()))
    plots = (panel.overlay, panel.codes, panel.error, panel.channels, panel.over_time)
    assert all(plot.accessibleName() for plot in plots)
