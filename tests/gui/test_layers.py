"""The table of layers: texts, sorting, filters, selection, remembered settings."""

from dataclasses import replace

import numpy as np
import pytest
from layers_stage import change, click, names, row_texts, selected_names, with_measures
from PyQt5 import QtCore
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from qt_use import focus, press

from qatviz.analysis.verdict import GOOD
from qatviz.gui.panels.layers.columns import COLUMNS, INDEX, MEASURES
from qatviz.gui.panels.layers.model import SORT_ROLE
from qatviz.gui.panels.layers.panel import LayersPanel
from qatviz.number_format import bytes_text, percent_text
from qatviz.protocol.commands import ChangeSettings, RestoreCheckpoint, SaveCheckpoint, TakeSnapshot
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES


@pytest.fixture
def panel(context, show):
    return show(LayersPanel(context), 1700, 420)


def test_without_a_run_a_text_is_shown(panel):
    panel.refresh()
    assert panel.shown.rowCount() == 0 and panel.empty.isVisible() and "No run" in panel.empty.text()


def test_settings_are_shown_before_the_first_snapshot_without_measures(context, panel, staged):
    run = staged(steps=2)
    context.model.set_run(run, run.network, run.book, "again")
    panel.refresh()
    texts = row_texts(panel, "conv1.weights")
    assert texts["num_bits"] == "8" and texts["sqnr_db"] == "–" and texts["verdict"] == "○"
    assert "waiting" in panel.summary.text() and not panel.empty.isVisible()


def test_each_tensor_has_a_row_with_settings_and_measures(context, panel, staged):
    run = staged()
    panel.refresh()
    assert names(panel) == [t.name for t in run.plan.tensors] and names(panel)[0] == "input.activations"
    for tensor in run.plan.tensors:
        texts, settings = row_texts(panel, tensor.name), run.book.of(tensor.name)
        assert texts["num_bits"] == "8"
        assert texts["symmetric"] == ("on" if settings.symmetric else "off")
        assert (texts["per_channel"] == "") == (tensor.kind == "activations")
        measure = {name: context.model.measure(tensor.name, name) for name in SNAPSHOT_MEASURES}
        assert texts["sqnr_db"] == f"{measure['sqnr_db']:.1f}"
        assert texts["clipped"] == percent_text(measure["clipped"])
        codes = 256 - settings.narrow_range
        assert texts["used_codes"] == f"{measure['used_codes']:.0f}/{codes}"
        assert texts["size"] == (bytes_text(tensor.parameters) if tensor.parameters else "")


def test_cells_without_a_value_or_with_a_setting_that_is_off_are_muted(context, panel, staged):
    run = staged()
    change(context, run, ("dense1.weights.enabled", False), ("logits.weights.symmetric", False))
    context.model.process([with_measures(context.model.snapshot, sqnr_db=np.inf, clipped=0.0)])
    panel.refresh()
    rows, indices = panel.source.rows, {tensor.name: row for row, tensor in enumerate(run.plan.tensors)}

    def is_muted(tensor, key):
        return rows.cell(indices[tensor], COLUMNS[INDEX[key]]).is_muted

    muted = {key: (is_muted("dense1.weights", key), is_muted("logits.weights", key)) for key in INDEX}
    assert muted["num_bits"] == (True, False), "float, 8 bits"
    assert muted["symmetric"] == (False, True), "on, off"
    assert muted["sqnr_db"] == (True, False) and muted["clipped"] == (True, False), "of float: unknown; exact, 0 %"
    assert muted["size"] == muted["op"] == muted["verdict"] == (False, False)


def test_tooltips_have_the_verdict_and_the_explanation_of_the_term(context, panel, staged):
    run = staged()
    change(context, run, ("dense1.weights.num_bits", 2))
    panel.refresh()
    index = panel.shown.index(panel.shown.row_of("dense1.weights"), INDEX["flushed"])
    assert "Most values become 0" in index.data(Qt.ToolTipRole) and "not 0 but become 0" in index.data(Qt.ToolTipRole)
    assert index.data(Qt.ForegroundRole) == context.theme.color("bad")
    assert "bad" in index.data(Qt.AccessibleTextRole)
    assert row_texts(panel, "dense1.weights")["verdict"] == "✖"
    assert row_texts(panel, "logits.weights")["verdict"] == "●"


def test_tensors_that_share_a_grid_are_named(context, panel, staged):
    run = staged()
    first, second = run.plan.tensors[2], run.plan.tensors[4]
    panel.refresh()
    assert "together" not in panel.source.rows.tooltip(4, COLUMNS[INDEX["name"]])
    tensors = tuple(replace(t, group=first.name) if t in (first, second) else t for t in run.plan.tensors)
    panel.source.rows.tensors = tensors
    assert f"with {first.name}: their settings change together" in panel.source.rows.tooltip(4, COLUMNS[INDEX["name"]])


def test_headers_explain_their_terms(panel):
    for section, column in enumerate(COLUMNS):
        tip = panel.shown.headerData(section, Qt.Horizontal, Qt.ToolTipRole)
        assert column.title in tip and len(column.help.split()) >= 4


def test_a_tensor_in_float_has_no_codes_and_no_level(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.enabled", False))
    panel.refresh()
    texts = row_texts(panel, "conv1.weights")
    assert texts["num_bits"] == "float" and texts["used_codes"] == "–" and texts["verdict"] == "○"
    assert texts["size"] == bytes_text(4 * run.plan.tensor("conv1.weights").parameters)
    change(context, run, ("conv1.weights.enabled", True), ("conv1.weights.quant_delay", run.step + 3))
    panel.refresh()
    assert row_texts(panel, "conv1.weights")["num_bits"] == "float"
    run.advance(5)
    context.model.process(run.drain())
    panel.refresh()
    assert row_texts(panel, "conv1.weights")["num_bits"] == "8"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_measures_are_shown(context, panel, staged, value):
    staged()
    context.model.process([with_measures(context.model.snapshot, **dict.fromkeys(SNAPSHOT_MEASURES, value))])
    panel.refresh()
    texts = row_texts(panel, "conv1.weights")
    assert {texts[key] for key in MEASURES} <= {"–", "exact"}
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.AscendingOrder)
    panel.grab()


@pytest.mark.parametrize("bits", [2, 9, 16])
def test_the_number_of_codes_follows_the_bits(context, panel, staged, bits):
    run = staged()
    change(context, run, ("conv2.weights.num_bits", bits), ("conv2.weights.narrow_range", False))
    panel.refresh()
    assert row_texts(panel, "conv2.weights")["used_codes"].endswith(f"/{2**bits:,}")


def test_pending_values_are_shown_beside_those_in_effect(context, panel, staged):
    run = staged()
    context.edits.set_mode("hold")
    context.edits.edit(["dense1.weights"], "num_bits", 4)
    panel.refresh()
    index = panel.shown.index(panel.shown.row_of("dense1.weights"), INDEX["num_bits"])
    assert index.data() == "8 → 4" and index.data(Qt.ForegroundRole) == context.theme.color("ghost")
    size = run.plan.tensor("dense1.weights").parameters
    assert row_texts(panel, "dense1.weights")["size"] == f"{bytes_text(size)} → {bytes_text(size / 2)}"
    assert "→" in panel.summary.text()
    context.edits.apply()
    run.advance(1)
    context.model.process(run.drain())
    panel.refresh()
    assert row_texts(panel, "dense1.weights")["num_bits"] == "4" and "→" not in panel.summary.text()


def test_a_pending_edit_makes_the_panel_due(context, panel, staged):
    staged()
    panel.refresh()
    context.edits.edit(["conv1.weights"], "num_bits", 4)
    assert panel.is_due()


def test_the_summary_has_tensors_size_and_bits(context, panel, staged):
    run = staged()
    change(context, run, ("*.weights.num_bits", 4))
    panel.refresh()
    parameters = sum(t.parameters for t in run.plan.tensors)
    text = panel.summary.text()
    assert f"{len(run.plan.tensors)} tensors" in text and bytes_text(parameters / 2) in text
    assert bytes_text(4 * parameters) in text and "4 bits per weight" in text


@pytest.mark.parametrize("key", ["sqnr_db", "clipped", "num_bits", "used_codes", "scale", "size"])
def test_numbers_are_sorted_as_numbers(context, panel, staged, key):
    run = staged()
    change(
        context, run, ("conv1.weights.num_bits", 10), ("conv2.weights.num_bits", 4), ("dense1.weights.enabled", False)
    )
    clipped = np.linspace(0.1, 0, len(run.plan.tensors))  # ranges from minimum to maximum clip nothing
    context.model.process([with_measures(context.model.snapshot, clipped=clipped)])
    panel.refresh()
    for order, sign in ((Qt.AscendingOrder, 1), (Qt.DescendingOrder, -1)):
        panel.view.sortByColumn(INDEX[key], order)
        values = [panel.shown.index(row, INDEX[key]).data(SORT_ROLE) for row in range(panel.shown.rowCount())]
        assert values == sorted(values, key=lambda value: sign * value) and len(set(values)) > 1


def test_names_are_sorted_with_their_numbers_in_order(context, panel, staged):
    staged("mobilenet", steps=1)
    panel.refresh()
    panel.view.sortByColumn(INDEX["name"], Qt.AscendingOrder)
    shown = [name for name in names(panel) if name.startswith("pointwise") and name.endswith("weights")]
    assert shown == [f"pointwise{n}.weights" for n in range(1, 14)]
    panel.view.sort_by_network()
    assert names(panel) == [t.name for t in context.model.tensors]


def test_clicking_a_header_sorts_by_it(context, panel, staged):
    staged()
    panel.refresh()
    header = panel.view.horizontalHeader()
    x = header.sectionViewportPosition(INDEX["sqnr_db"]) + 20
    QTest.mouseClick(header.viewport(), Qt.LeftButton, Qt.NoModifier, QtCore.QPoint(x, 8))
    values = [context.model.measure(name, "sqnr_db") for name in names(panel)]
    assert values in (sorted(values), sorted(values, reverse=True))


@pytest.mark.parametrize("is_pointer_over", [False, True])
def test_the_next_snapshot_sorts_again_unless_the_pointer_is_there(
    context, panel, staged, monkeypatch, is_pointer_over
):
    # On a display the pointer may rest where the window opens: Qt's own answer depends on that.
    monkeypatch.setattr(panel.view, "underMouse", lambda: is_pointer_over)
    staged()
    panel.refresh()
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.AscendingOrder)
    before = names(panel)
    values = -context.model.snapshot.values[SNAPSHOT_MEASURES.index("sqnr_db")]
    context.model.process([with_measures(context.model.snapshot, sqnr_db=values)])
    panel.refresh()
    shown = [context.model.measure(name, "sqnr_db") for name in names(panel)]
    assert (names(panel) == before) == is_pointer_over
    assert (shown == sorted(shown)) == (not is_pointer_over)


def test_the_filter_accepts_words_and_wildcards(context, panel, staged):
    staged()
    panel.refresh()
    for text, expected in (("conv", 4), ("conv weights", 2), ("c*2.w", 1), ("CONV1", 2), ("", 9), ("no such", 0)):
        panel.filter.setText(text)
        assert len(names(panel)) == expected
        assert panel.empty.isVisible() == (expected == 0)
    panel.filter.setText("conv")
    assert "4 of 9 tensors" in panel.summary.text()


def test_the_kind_filter_is_remembered(context, panel, staged, show):
    staged()
    panel.refresh()
    QTest.mouseClick(panel.kinds["weights"], Qt.LeftButton)
    assert names(panel) == [t.name for t in context.model.tensors if t.kind == "weights"]
    again = show(LayersPanel(context))
    again.refresh()
    assert names(again) == names(panel) and again.kinds["weights"].isChecked()


def test_selecting_rows_selects_in_the_model_and_back(context, panel, staged):
    staged()
    panel.refresh()
    assert selected_names(panel) == {"conv1.weights"}
    click(panel, "conv2.weights")
    assert (context.model.selected, context.model.current) == (("conv2.weights",), "conv2.weights")
    click(panel, "logits.weights", Qt.ControlModifier)
    assert context.model.selected == ("conv2.weights", "logits.weights") and context.model.current == "logits.weights"
    context.model.select(["conv1.activations", "dense1.weights"], "dense1.weights")
    panel.refresh()
    assert selected_names(panel) == {"conv1.activations", "dense1.weights"}
    assert panel.shown.tensor(panel.view.currentIndex().row()) == "dense1.weights"


def test_drawing_a_selection_does_not_change_the_model(context, panel, staged):
    staged()
    context.model.select(["conv1.weights", "conv2.weights"], "conv1.weights")
    heard = []
    context.model.changed.connect(heard.append)
    panel.refresh()
    panel.refresh()
    assert heard == [] and context.model.current == "conv1.weights"


def test_hidden_rows_stay_selected(context, panel, staged):
    staged()
    context.model.select(["conv1.weights", "conv2.weights"], "conv2.weights")
    panel.refresh()
    panel.filter.setText("conv1")
    assert selected_names(panel) == {"conv1.weights"}
    assert context.model.selected == ("conv1.weights", "conv2.weights")
    panel.filter.setText("")
    assert selected_names(panel) == {"conv1.weights", "conv2.weights"} and context.model.current == "conv2.weights"


@pytest.mark.parametrize("key", sorted(INDEX))
def test_every_column_can_be_sorted_again(context, panel, staged, key):
    """Including the columns of settings that only weights have."""
    run = staged("lenet")
    panel.refresh()
    for order in (Qt.AscendingOrder, Qt.DescendingOrder):
        panel.view.sortByColumn(INDEX[key], order)
        run.advance(2)
        context.model.process(run.drain())
        panel.refresh()
        panel.shown.resort()
        values = [panel.source.rows.sort_value(row, COLUMNS[INDEX[key]]) for row in panel.shown.source_rows()]
        assert len(values) > 8 and values == sorted(values, reverse=order == Qt.DescendingOrder)


def test_sorting_keeps_the_selection(context, panel, staged):
    staged()
    context.model.select(["conv1.weights", "dense1.weights"], "dense1.weights")
    panel.refresh()
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.DescendingOrder)
    panel.refresh()
    assert selected_names(panel) == {"conv1.weights", "dense1.weights"} == set(context.model.selected)


def test_the_keyboard_moves_selects_and_filters(context, panel, staged, app):
    staged()
    panel.refresh()
    focus(panel.view)
    QTest.keyClick(panel.view, Qt.Key_Down)
    assert context.model.current == "conv1.activations" and context.model.selected == ("conv1.activations",)
    QTest.keyClick(panel.view, Qt.Key_A, Qt.ControlModifier)
    assert len(context.model.selected) == 9
    press(panel.view, Qt.Key_F, Qt.ControlModifier)
    assert panel.filter.hasFocus()
    QTest.keyClicks(panel.filter, "dense")
    assert len(names(panel)) == 2
    QTest.keyClick(panel.filter, Qt.Key_Escape)
    assert panel.filter.text() == "" and len(names(panel)) == 9 and panel.view.hasFocus()


def test_column_visibility_order_widths_and_sorting_are_remembered(context, panel, staged, show):
    staged()
    panel.view.show_column("op", True)
    panel.view.show_column("flip_rate", False)
    panel.view.setColumnWidth(INDEX["scale"], 211)
    header = panel.view.horizontalHeader()
    header.moveSection(header.visualIndex(INDEX["size"]), 2)
    panel.view.sortByColumn(INDEX["clipped"], Qt.DescendingOrder)
    again = show(LayersPanel(context)).view
    assert not again.isColumnHidden(INDEX["op"]) and again.isColumnHidden(INDEX["flip_rate"])
    assert again.columnWidth(INDEX["scale"]) == 211
    assert again.horizontalHeader().visualIndex(INDEX["size"]) == 2
    assert again.horizontalHeader().sortIndicatorSection() == INDEX["clipped"]
    assert again.horizontalHeader().sortIndicatorOrder() == Qt.DescendingOrder
    again.reset_columns()
    assert again.isColumnHidden(INDEX["op"]) and not again.isColumnHidden(INDEX["flip_rate"])
    assert [again.horizontalHeader().visualIndex(i) for i in range(len(COLUMNS))] == list(range(len(COLUMNS)))
    assert again.columnWidth(INDEX["scale"]) != 211


def test_names_stay_visible_when_the_table_is_scrolled_sideways(context, show, staged):
    staged()
    panel = show(LayersPanel(context), 700, 300)
    panel.refresh()
    view, frozen = panel.view, panel.view.frozen
    view.horizontalScrollBar().setValue(view.horizontalScrollBar().maximum())
    assert view.horizontalScrollBar().value() > view.columnWidth(INDEX["name"])
    assert view.childAt(60, 60) in (frozen, frozen.viewport())
    rect = frozen.visualRect(panel.shown.index(3, INDEX["name"]))
    assert frozen.viewport().rect().contains(rect)
    QTest.mouseClick(frozen.viewport(), Qt.LeftButton, Qt.NoModifier, rect.center())
    assert context.model.current == names(panel)[3]
    QTest.mouseClick(frozen.horizontalHeader().viewport(), Qt.LeftButton, Qt.NoModifier, QtCore.QPoint(80, 8))
    assert view.horizontalHeader().sortIndicatorSection() == INDEX["name"] and names(panel) == sorted(names(panel))
    view.horizontalHeader().moveSection(4, 0)
    assert view.horizontalHeader().visualIndex(INDEX["name"]) == 1


def test_a_narrow_table_has_no_frozen_columns(context, show, staged):
    staged()
    panel = show(LayersPanel(context), 230, 300)
    panel.refresh()
    assert not panel.view.frozen.isVisible()


def test_invalid_stored_settings_are_ignored(context, show):
    context.settings.setValue("layers/columns", "not JSON")
    assert not show(LayersPanel(context)).view.isColumnHidden(INDEX["sqnr_db"])


def test_the_table_can_be_saved_as_shown(context, panel, staged):
    staged()
    panel.refresh()
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.DescendingOrder)
    panel.filter.setText("weights")
    table = panel.table()
    assert table["name"] == names(panel) and len(table["name"]) == 4
    assert table["sqnr_db"] == [context.model.measure(name, "sqnr_db") for name in table["name"]]
    assert {len(column) for column in table.values()} == {4} and panel.figure_name == "layers"


def test_saved_and_shown_maps_are_those_in_use(context, panel, staged):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 1), ("conv2.weights.weight_map", "tanh"))
    panel.refresh()
    saved = dict(zip(panel.table()["name"], panel.table()["weight_map"]))
    found = [saved[name] for name in ("conv1.weights", "conv2.weights", "dense1.weights", "conv1.activations")]
    assert found == ["binary", "tanh", "none", ""]
    assert row_texts(panel, "conv1.weights")["weight_map"] == "Binary (XNOR-Net)"


def test_rows_follow_the_run_and_a_rewind_restores_older_numbers(context, panel, staged):
    run = staged()
    panel.refresh()
    texts = row_texts(panel, "conv1.weights")
    context.model.process(run.carry_out(SaveCheckpoint("kept")))
    run.advance(4)
    context.model.process(run.drain())
    panel.refresh()
    assert row_texts(panel, "conv1.weights") != texts
    context.model.process(run.carry_out(RestoreCheckpoint("kept"), TakeSnapshot()))
    panel.refresh()
    assert row_texts(panel, "conv1.weights") == texts
    run = staged("mobilenet", steps=1)
    panel.refresh()
    assert len(names(panel)) == len(run.plan.tensors)


def test_levels_are_judged_for_the_bits_of_the_snapshot(context, panel, staged):
    """Between a change and the next snapshot, old measures are not judged by new settings."""
    run = staged()
    panel.refresh()
    before = row_texts(panel, "conv1.weights")["used_codes"]
    run.send(ChangeSettings((("conv1.weights.num_bits", 3),)))
    run.advance(1, snapshot=False)
    context.model.process(run.drain())
    panel.refresh()
    assert row_texts(panel, "conv1.weights")["used_codes"] == before
    assert panel.source.rows.verdict(1).level == GOOD


def test_text_of_sizes_and_fractions():
    assert [bytes_text(size) for size in (0, 999, 1000, 12345, 1.2e6)] == ["0 B", "999 B", "1 kB", "12.3 kB", "1.2 MB"]
    shares = [percent_text(share) for share in (0, 1e-6, 0.0123, 0.123, 1)]
    assert shares == ["0 %", "<0.01 %", "1.23 %", "12.3 %", "100.0 %"]


def test_every_control_has_a_tooltip(panel):
    for control in [panel.filter, panel.columns, *panel.kinds.values()]:
        assert control.toolTip(), control
        assert control.accessibleName() or control.text()
