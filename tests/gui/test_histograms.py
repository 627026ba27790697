"""The panel of histograms: contents, painting and selection of its tiles."""

from dataclasses import replace

import numpy as np
import pytest
from histograms_stage import advance_run, panel, settle  # noqa: F401
from PyQt5 import QtCore, QtGui, QtWidgets
from PyQt5.QtTest import QTest
from staging import StagedRun

from qatviz.gui.model.edits import HOLD
from qatviz.gui.panels.histograms import panel as histograms
from qatviz.gui.panels.histograms.bar import LegendSample
from qatviz.gui.panels.histograms.panel import HistogramsPanel
from qatviz.gui.widgets.figures.files import picture, save_csv, save_svg
from qatviz.gui.widgets.theme import LIGHT
from qatviz.protocol.commands import ChangeSettings

Qt = QtCore.Qt


def choose(panel, option, value):
    """Set a control of the bar like a user."""
    control = panel.bar.control(option)
    if isinstance(control, QtWidgets.QComboBox):
        control.setCurrentIndex(control.findData(value))
    elif control.isChecked() != value:
        QTest.mouseClick(control, Qt.LeftButton)
    settle(panel)


def tile_content(panel, name):
    return panel.canvas.tile(name).content


def center(panel, name):
    return panel.canvas.rect_of(name).center()


def color_count(panel, name, color, tolerance=12):
    """Return the number of pixels of a tile that have a colour of the theme."""
    image = panel.canvas.tile(name).picture.toImage().convertToFormat(QtGui.QImage.Format_RGB32)
    memory = image.constBits()
    memory.setsize(image.byteCount())
    pixels = np.frombuffer(memory, np.uint8).reshape(image.height(), -1, 4)[:, : image.width(), :3]
    wanted = QtGui.QColor(getattr(panel.theme.colors, color))
    difference = np.abs(pixels.astype(int) - [wanted.blue(), wanted.green(), wanted.red()])
    return int((difference.max(axis=2) <= tolerance).sum())


def test_without_a_run_a_text_is_shown(context, show):
    panel = show(HistogramsPanel(context))
    panel.refresh()
    assert "No run" in panel.empty.text() and not panel.empty.isHidden()
    assert panel.canvas.names() == []


def test_without_a_snapshot_a_text_is_shown_until_there_is_one(context, staged, show):
    run = staged(steps=0)
    snapshot, context.model.snapshot = context.model.snapshot, None
    panel = show(HistogramsPanel(context))
    panel.refresh()
    assert "lenet" in panel.empty.text() and panel.canvas.names() == []
    context.model.process([snapshot])
    settle(panel)
    assert panel.empty.isHidden() and panel.canvas.names() == [t.name for t in run.plan.tensors]


def test_every_tensor_has_a_tile_the_input_first(panel):
    made, run = panel()
    assert made.canvas.names() == [t.name for t in run.plan.tensors]
    assert made.canvas.names()[0] == "input.activations"
    for tensor in run.plan.tensors:
        content = tile_content(made, tensor.name)
        assert content.shown.counts.sum() == run.values_of(tensor.name).size
        assert "dB" in content.readout[0] and "clipped" in content.readout[1]


def test_narrow_two_bit_weights_show_three_levels_at_their_values(context, panel):
    made, _run = panel(changes=[("conv1.weights.num_bits", 2), ("conv1.weights.per_channel", False)])
    levels = tile_content(made, "conv1.weights").shown.levels
    histogram = context.model.snapshot.histograms["conv1.weights"]
    assert len(levels) == 3  # tflite-int8 has narrow weights
    np.testing.assert_allclose(levels, np.array([-1, 0, 1]) * histogram.scale, rtol=1e-6)
    assert tile_content(made, "conv1.weights").badge.text == "w2 sym narrow"
    assert tile_content(made, "conv2.weights").shown.levels is None, "per channel there are no common levels"


def test_float_tensors_show_only_their_values(panel):
    made, _ = panel(changes=[("conv1.activations.enabled", False)])
    content = tile_content(made, "conv1.activations")
    assert content.badge.text == "a float" and content.readout == ()
    assert content.shown.representable is None and content.shown.levels is None
    assert color_count(made, "conv1.activations", "in_range") == 0
    assert color_count(made, "conv1.activations", "range_edge") == 0
    assert color_count(made, "conv2.weights", "in_range") > 50
    assert color_count(made, "conv2.weights", "range_edge") > 50


@pytest.mark.parametrize(
    "options", [(), ("log_counts",), ("log2_values",), ("common",), ("log_counts", "log2_values", "common")]
)
@pytest.mark.parametrize("bits", [2, 4, 8, 9, 16])
def test_all_bit_widths_are_drawn_on_all_axes(panel, options, bits):
    made, run = panel(changes=[(f"{t.name}.num_bits", bits) for t in lenet_tensors()])
    for option in options:
        choose(made, option, True)
    for tensor in run.plan.tensors:
        assert color_count(made, tensor.name, "in_range") > 5
        assert tile_content(made, tensor.name).shown.is_log2 == ("log2_values" in options)


@pytest.mark.parametrize(
    "window", [(-np.inf, np.inf), (np.inf, np.inf), (-np.inf, -np.inf), (0.0, 1e300), (-1e-320, 1e-320)]
)
@pytest.mark.parametrize("width", [1.0, 1e-320, 1e-30, 1e30])
def test_windows_far_beyond_the_axis_are_painted_up_to_its_edge(panel, window, width):
    made, _ = panel()
    tile = made.canvas.tile("conv1.weights")
    content = tile.content._replace(shown=replace(tile.content.shown, representable=window))
    tile.paint(content, tile.view._replace(low=0.0, high=width), made.canvas._scenes, QtCore.QSize(200, 100), 1.0)
    assert not tile.picture.isNull()


def lenet_tensors():
    return StagedRun("lenet").plan.tensors


def test_clipped_values_and_values_rounded_to_zero_have_their_colours(context, panel):
    made, run = panel(changes=[("logits.weights.num_bits", 2)])
    assert color_count(made, "logits.weights", "clipped", 22) < 5
    snapshot = context.model.snapshot
    # A window half as wide as the values, as a frozen range is after they have grown.
    histogram, index = snapshot.histograms["conv1.activations"], run.plan.index("conv1.activations")
    values = snapshot.values.copy()
    values[3, index] /= 2  # range_max
    values[9, index] = 0.3  # clipped
    narrower = replace(histogram, scale=histogram.scale / 2)
    context.model.process(
        [replace(snapshot, values=values, histograms=dict(snapshot.histograms, **{"conv1.activations": narrower}))]
    )
    settle(made)
    assert tile_content(made, "conv1.activations").readout[1] == "30.0 % clipped"
    assert color_count(made, "conv1.activations", "clipped", 22) > 50


def test_only_changed_tiles_are_repainted(context, panel):
    made, run = panel()
    drawn = {name: made.canvas.tile(name).drawn for name in made.canvas.names()}
    made.mark_due()
    settle(made)
    assert drawn == {name: made.canvas.tile(name).drawn for name in made.canvas.names()}
    advance_run(context, run)
    settle(made)
    assert all(made.canvas.tile(name).drawn > before for name, before in drawn.items())


def test_every_tile_is_painted_in_turn_under_a_small_budget(context, panel, monkeypatch):
    made, run = panel()
    monkeypatch.setattr(histograms, "BUDGET_S", 0.0)
    drawn = {name: made.canvas.tile(name).drawn for name in made.canvas.names()}
    for _ in range(3):
        # News come faster than frames: every tile has its turn all the same.
        for _ in range(len(drawn) // 3):
            advance_run(context, run)
            made.refresh()
            assert made.is_due()
    assert all(made.canvas.tile(name).drawn > before for name, before in drawn.items())
    assert settle(made) <= len(drawn) + 1


def test_tiles_of_edited_tensors_are_painted_before_waiting_tiles(context, panel, monkeypatch):
    monkeypatch.setattr(histograms, "BUDGET_S", 0.0)  # one tile in a frame
    made, run = panel()
    names = made.canvas.names()
    advance_run(context, run)
    made.refresh()  # tiles are waiting for their turn
    context.model.select([names[-1]])
    context.edits.edit([names[-2], names[-1]], "num_bits", 3)
    for name in (names[-1], names[-2]):
        assert tile_content(made, name).pending is None
        made.refresh()
        assert tile_content(made, name).pending is not None, "the current tensor's first"


def test_tiles_scrolled_out_of_view_are_not_painted(panel):
    made, _run = panel("mobilenet", width=420, height=300)
    choose(made, "size", "large")
    visible = made.canvas.visible_names()
    assert 1 <= len(visible) <= 3 < len(made.canvas.names())
    last = made.canvas.names()[-1]
    assert made.canvas.tile(last).key is None
    bar = made.canvas.verticalScrollBar()
    bar.setValue(bar.maximum())
    settle(made)
    assert last in made.canvas.visible_names() and made.canvas.tile(last).key is not None


def test_filters_and_the_text_without_tiles(context, panel):
    made, run = panel()
    choose(made, "kind", "weights")
    assert made.canvas.names() == [t.name for t in run.plan.tensors if t.kind == "weights"]
    choose(made, "scope", "selection")
    assert made.canvas.names() == ["conv1.weights"]
    choose(made, "kind", "activations")
    assert made.canvas.names() == [] and made.empty.text() == "The selection has no activations."
    context.model.select(["conv1.activations"])
    settle(made)
    assert made.canvas.names() == ["conv1.activations"] and made.empty.isHidden()


def test_options_are_remembered(context, panel, show):
    made, _ = panel()
    choose(made, "kind", "weights")
    choose(made, "log_counts", True)
    choose(made, "size", "small")
    other = show(HistogramsPanel(context))
    assert other.bar.options == made.bar.options
    assert other.bar.control("log_counts").isChecked() and other.bar.control("size").currentData() == "small"


def test_invalid_remembered_options_are_ignored(context, panel):
    context.settings.setValue("histograms/size", "enormous")
    made, _ = panel()
    assert made.bar.options.size == "fit"


def test_axes_do_not_move_with_every_snapshot(context, panel):
    made, run = panel()
    views = {name: made.canvas.tile(name).view for name in made.canvas.names()}
    for _ in range(10):
        advance_run(context, run)
        settle(made)
    moved = [name for name in views if made.canvas.tile(name).view[:2] != views[name][:2]]
    assert len(moved) <= 2
    for name in views:
        view, content = made.canvas.tile(name).view, tile_content(made, name)
        assert view.low <= content.shown.edges[0] and view.high >= content.shown.edges[-1]


def test_a_common_axis_is_common_to_a_kind(panel):
    made, run = panel()
    choose(made, "common", True)
    for kind in ("weights", "activations"):
        ranges = {made.canvas.tile(t.name).view[:2] for t in run.plan.tensors if t.kind == kind}
        assert len(ranges) == 1
        low, high = ranges.pop()
        assert all(
            low <= tile_content(made, t.name).shown.edges[0] and tile_content(made, t.name).shown.edges[-1] <= high
            for t in run.plan.tensors
            if t.kind == kind
        )


def test_a_click_selects_and_a_double_click_opens(context, panel):
    made, _ = panel()
    opened = []
    made.tensor_opened.connect(opened.append)
    view = made.canvas.viewport()
    QTest.mouseClick(view, Qt.LeftButton, Qt.NoModifier, center(made, "conv2.weights"))
    assert context.model.selected == ("conv2.weights",) and context.model.current == "conv2.weights"
    QTest.mouseClick(view, Qt.LeftButton, Qt.ControlModifier, center(made, "conv1.activations"))
    assert set(context.model.selected) == {"conv2.weights", "conv1.activations"}
    assert context.model.current == "conv1.activations"
    QTest.mouseClick(view, Qt.LeftButton, Qt.NoModifier, center(made, "input.activations"))
    QTest.mouseClick(view, Qt.LeftButton, Qt.ShiftModifier, center(made, "conv1.activations"))
    assert context.model.selected == ("input.activations", "conv1.weights", "conv1.activations")
    QTest.mouseDClick(view, Qt.LeftButton, Qt.NoModifier, center(made, "conv2.weights"))
    assert opened == ["conv2.weights"]


def test_a_click_among_the_selected_tiles_keeps_the_selection(context, panel):
    made, _ = panel()
    context.model.select(["conv1.weights", "conv2.weights"])
    choose(made, "scope", "selection")
    QTest.mouseClick(made.canvas.viewport(), Qt.LeftButton, Qt.NoModifier, center(made, "conv2.weights"))
    assert context.model.selected == ("conv1.weights", "conv2.weights") and context.model.current == "conv2.weights"


def test_keys_move_and_open(context, panel):
    made, _run = panel()
    opened = []
    made.tensor_opened.connect(opened.append)
    names = made.canvas.names()
    made.canvas.setFocus()
    QTest.keyClick(made.canvas, Qt.Key_Home)
    assert context.model.current == names[0]
    QTest.keyClick(made.canvas, Qt.Key_Right)
    assert context.model.current == names[1]
    QTest.keyClick(made.canvas, Qt.Key_Down, Qt.ShiftModifier)
    assert context.model.current == names[4] and context.model.selected == tuple(names[1:5])
    QTest.keyClick(made.canvas, Qt.Key_End)
    QTest.keyClick(made.canvas, Qt.Key_Right)
    assert context.model.current == names[-1]
    QTest.keyClick(made.canvas, Qt.Key_Return)
    assert opened == [names[-1]]
    QTest.keyClick(made.canvas, Qt.Key_A, Qt.ControlModifier)
    assert context.model.selected == tuple(names)
    assert made.canvas.accessibleDescription().startswith(names[-1])


def test_the_page_keys_scroll(panel):
    made, _ = panel("mobilenet", width=420, height=300)
    QTest.keyClick(made.canvas, Qt.Key_PageDown)
    assert made.canvas.verticalScrollBar().value() > 0
    QTest.keyClick(made.canvas, Qt.Key_PageUp)
    assert made.canvas.verticalScrollBar().value() == 0


def test_the_mouse_reads_the_bin_under_it(panel):
    made, _run = panel(changes=[("conv2.weights.per_channel", False), ("conv2.weights.num_bits", 4)])
    place = center(made, "conv2.weights")
    move = QtGui.QMouseEvent(QtCore.QEvent.MouseMove, place, Qt.NoButton, Qt.NoButton, Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(made.canvas.viewport(), move)
    text = QtWidgets.QToolTip.text()
    assert text.startswith("conv2.weights  (w4 sym narrow)") and "level 0: " in text
    content = tile_content(made, "conv2.weights")
    zero_level = int(content.shown.level_counts[np.argmin(np.abs(content.shown.levels))])
    assert f"level 0: {zero_level:,} values" in text
    QtWidgets.QToolTip.hideText()


def test_a_reading_follows_the_run(context, panel):
    made, run = panel()
    place = center(made, "conv1.weights")
    move = QtGui.QMouseEvent(QtCore.QEvent.MouseMove, place, Qt.NoButton, Qt.NoButton, Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(made.canvas.viewport(), move)
    before = QtWidgets.QToolTip.text()
    assert QtWidgets.QToolTip.isVisible()
    run.send(ChangeSettings((("conv1.weights.num_bits", 5),)))
    advance_run(context, run)
    settle(made)
    assert "(w5 " in QtWidgets.QToolTip.text() != before
    QtWidgets.QToolTip.hideText()


def test_pending_edits_are_ghosts_on_the_tiles_of_their_tensors_only(context, panel):
    made, _ = panel()
    context.edits.set_mode(HOLD)
    drawn = made.canvas.tile("conv2.weights").drawn
    context.edits.edit(["conv1.weights"], "num_bits", 3)
    settle(made)
    ghost = tile_content(made, "conv1.weights").pending
    assert ghost.text.startswith("→ w3 sym narrow ch") and "dB" in ghost.text and ghost.grid.low < 0 < ghost.grid.high
    assert color_count(made, "conv1.weights", "ghost") > 20
    assert tile_content(made, "conv2.weights").pending is None and made.canvas.tile("conv2.weights").drawn == drawn
    context.edits.edit(["conv2.weights"], "enabled", False)
    settle(made)
    assert tile_content(made, "conv2.weights").pending.brief == "→ float"
    context.edits.discard()
    settle(made)
    assert tile_content(made, "conv1.weights").pending is None
    assert color_count(made, "conv1.weights", "ghost") == 0


def test_a_replaced_run_leaves_no_tiles(context, panel, staged):
    made, _ = panel()
    run = staged("mlp")
    settle(made)
    assert made.canvas.names() == [t.name for t in run.plan.tensors]


def test_nan_measures_have_texts(context, panel):
    made, _run = panel()
    snapshot = context.model.snapshot
    context.model.process([replace(snapshot, values=np.full_like(snapshot.values, np.nan))])
    settle(made)
    assert tile_content(made, "conv1.weights").readout == ("–", "– clipped")
    assert tile_content(made, "conv1.weights").shown.representable is None


def test_the_theme_changes_all_tiles(panel):
    made, _ = panel()
    assert color_count(made, "conv1.weights", "base") > 1000
    made.theme.use(LIGHT)
    settle(made)
    for name in made.canvas.names():
        assert color_count(made, name, "base") > 1000


def test_controls_have_tooltips(panel):
    made, _ = panel()
    for child in made.bar.findChildren(QtWidgets.QWidget):
        if isinstance(child, (QtWidgets.QComboBox, QtWidgets.QToolButton)) or child.accessibleDescription():
            assert len(child.toolTip()) > 30
            assert child.accessibleName() or child.text()


def test_the_figure_is_drawn_at_any_size_with_the_current_tiles_numbers(context, panel, tmp_path):
    made, _ = panel("mobilenet", width=500, height=300)
    context.model.select(["conv.weights"])
    settle(made)
    assert made.canvas.figure_name == "histogram-conv.weights"
    table = made.canvas.table()
    np.testing.assert_array_equal(table["float"], context.model.snapshot.histograms["conv.weights"].float_counts)
    save_csv(table, tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_text().startswith("value_from,value_to,float,clipped,flushed,quantized")
    image = picture(made.canvas, QtCore.QSize(1600, 1400), 2.0)
    assert (image.width(), image.height()) == (3200, 2800)
    save_svg(made.canvas, tmp_path / "figure.svg", QtCore.QSize(1600, 1400))
    text = (tmp_path / "figure.svg").read_text()
    assert text.count("<polygon") + text.count("<path") > 100 and "conv" in text
    settle(made)
    assert made.canvas.viewport().width() <= 500


def test_the_bar_wraps_in_a_narrow_panel(panel):
    made, _ = panel(width=400, height=600)
    narrow = made.bar.height()
    assert all(
        child.geometry().right() <= made.bar.width()
        for child in made.bar.children()
        if isinstance(child, QtWidgets.QWidget) and child.isVisible()
    )
    made.resize(1600, 600)
    QtWidgets.QApplication.processEvents()
    assert made.bar.height() < narrow / 2


def test_the_legend_lists_pending_only_while_edits_are_pending(context, panel):
    made, _ = panel()
    entries = {child.accessibleName(): child for child in made.bar.children() if isinstance(child, LegendSample)}
    assert entries["range"].isVisible() and not entries["pending"].isVisible()
    context.edits.set_mode(HOLD)
    context.edits.edit(["conv1.weights"], "num_bits", 3)
    assert entries["pending"].isVisible()
    context.edits.discard()
    assert not entries["pending"].isVisible()
