"""The table of layers: what it says of each tensor, and how it is sorted, filtered, selected and remembered."""

from dataclasses import replace

import numpy as np
import pytest
from PyQt5 import QtCore, QtWidgets
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

from qatviz.analysis.verdict import GOOD
from qatviz.gui.panels.layers import LayersPanel
from qatviz.gui.panels.layers_columns import COLUMNS, INDEX, MEASURES
from qatviz.gui.panels.layers_model import SORT_ROLE
from qatviz.gui.panels.layers_rows import bytes_text, percent_text
from qatviz.gui.theme import LIGHT
from qatviz.telemetry import events
from qatviz.telemetry.snapshots import SNAPSHOT_MEASURES, Snapshot
from qatviz.training.commands import ChangeSettings


@pytest.fixture
def panel(context, show):
    return show(LayersPanel(context), 1700, 420)


def change(context, run, *assignments):
    run.send(ChangeSettings(assignments))
    run.advance(1)
    context.model.take(run.drain())


def row_texts(panel, tensor):
    """What a row says, by column."""
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
    """The snapshot with one measure of all tensors replaced."""
    values = snapshot.values.copy()
    for name, value in measures.items():
        values[SNAPSHOT_MEASURES.index(name)] = value
    return Snapshot(snapshot.step, snapshot.seconds, values, snapshot.histograms, snapshot.num_bits, snapshot.enabled)


def test_without_a_run_it_says_so(panel):
    panel.refresh()
    assert panel.shown.rowCount() == 0 and panel.empty.isVisible() and "No run" in panel.empty.text()


def test_before_a_snapshot_settings_are_shown_and_measures_are_not(context, panel, staged):
    run = staged(steps=2)
    context.model.set_run(run, run.network, run.book, "again")
    panel.refresh()
    texts = row_texts(panel, "conv1.weights")
    assert texts["num_bits"] == "8" and texts["sqnr_db"] == "–" and texts["verdict"] == "○"
    assert "waiting" in panel.summary.text() and not panel.empty.isVisible()


def test_each_tensor_has_a_row_the_input_first_with_its_settings_and_measures(context, panel, staged):
    run = staged()
    panel.refresh()
    assert names(panel) == [t.name for t in run.plan.tensors] and names(panel)[0] == "input.activations"
    for tensor in run.plan.tensors:
        texts, settings = row_texts(panel, tensor.name), run.book.of(tensor.name)
        assert texts["num_bits"] == "8"
        assert texts["symmetric"] == ("on" if settings.symmetric else "off")
        assert (texts["per_channel"] == "") == (tensor.kind == "activations")
        measure = {name: context.model.measure(tensor.name, name) for name in SNAPSHOT_MEASURES}
        assert texts["sqnr_db"] == "{:.1f}".format(measure["sqnr_db"])
        assert texts["clipped"] == percent_text(measure["clipped"])
        codes = 256 - settings.narrow_range
        assert texts["used_codes"] == "{:.0f} / {}".format(measure["used_codes"], codes)
        assert texts["size"] == (bytes_text(tensor.parameters) if tensor.parameters else "")


def test_the_plain_words_are_in_the_tooltip_with_the_term(context, panel, staged):
    run = staged()
    change(context, run, ("dense1.weights.num_bits", 2))
    panel.refresh()
    index = panel.shown.index(panel.shown.row_of("dense1.weights"), INDEX["flushed"])
    assert "Most values become 0" in index.data(Qt.ToolTipRole) and "nonzero values" in index.data(Qt.ToolTipRole)
    assert index.data(Qt.ForegroundRole) == context.theme.color("bad")
    assert "bad" in index.data(Qt.AccessibleTextRole)
    assert row_texts(panel, "dense1.weights")["verdict"] == "✖"
    assert row_texts(panel, "logits.weights")["verdict"] == "●"


def test_tensors_that_share_a_grid_say_so(context, panel, staged):
    run = staged()
    first, second = run.plan.tensors[2], run.plan.tensors[4]
    panel.refresh()
    assert "together" not in panel.source.rows.tooltip(4, COLUMNS[INDEX["name"]])
    tensors = tuple(replace(t, group=first.name) if t in (first, second) else t for t in run.plan.tensors)
    panel.source.rows.tensors = tensors
    assert "with {}: their settings change together".format(first.name) in panel.source.rows.tooltip(
        4, COLUMNS[INDEX["name"]])


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
    context.model.take(run.drain())
    panel.refresh()
    assert row_texts(panel, "conv1.weights")["num_bits"] == "8"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_measures_that_are_no_numbers_are_shown_as_such(context, panel, staged, value):
    staged()
    context.model.take([with_measures(context.model.snapshot, **{name: value for name in SNAPSHOT_MEASURES})])
    panel.refresh()
    texts = row_texts(panel, "conv1.weights")
    assert {texts[key] for key in MEASURES} <= {"–", "exact"}
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.AscendingOrder)
    panel.grab()


@pytest.mark.parametrize("bits", [2, 9, 16])
def test_codes_are_those_of_the_bits(context, panel, staged, bits):
    run = staged()
    change(context, run, ("conv2.weights.num_bits", bits), ("conv2.weights.narrow_range", False))
    panel.refresh()
    assert row_texts(panel, "conv2.weights")["used_codes"].endswith(" / {:,}".format(2**bits))


def test_what_is_pending_is_shown_beside_what_is_in_effect(context, panel, staged):
    run = staged()
    context.edits.set_mode("hold")
    context.edits.edit(["dense1.weights"], "num_bits", 4)
    panel.refresh()
    index = panel.shown.index(panel.shown.row_of("dense1.weights"), INDEX["num_bits"])
    assert index.data() == "8 → 4" and index.data(Qt.ForegroundRole) == context.theme.color("ghost")
    size = run.plan.tensor("dense1.weights").parameters
    assert row_texts(panel, "dense1.weights")["size"] == "{} → {}".format(bytes_text(size), bytes_text(size / 2))
    assert "→" in panel.summary.text()
    context.edits.apply()
    run.advance(1)
    context.model.take(run.drain())
    panel.refresh()
    assert row_texts(panel, "dense1.weights")["num_bits"] == "4" and "→" not in panel.summary.text()


def test_a_pending_edit_makes_the_panel_due(context, panel, staged):
    staged()
    panel.refresh()
    context.edits.edit(["conv1.weights"], "num_bits", 4)
    assert panel.is_due()


def test_the_summary_tells_tensors_size_and_bits(context, panel, staged):
    run = staged()
    change(context, run, ("*.weights.num_bits", 4))
    panel.refresh()
    parameters = sum(t.parameters for t in run.plan.tensors)
    text = panel.summary.text()
    assert "{} tensors".format(len(run.plan.tensors)) in text and bytes_text(parameters / 2) in text
    assert bytes_text(4 * parameters) in text and "4.0 bits each" in text


@pytest.mark.parametrize("key", ["sqnr_db", "clipped", "num_bits", "used_codes", "scale", "size"])
def test_numbers_are_sorted_as_numbers(context, panel, staged, key):
    run = staged()
    change(context, run, ("conv1.weights.num_bits", 10), ("conv2.weights.num_bits", 4),
           ("dense1.weights.enabled", False))
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
    assert shown == ["pointwise{}.weights".format(n) for n in range(1, 14)]
    panel.view.sort_as_network()
    assert names(panel) == [t.name for t in context.model.tensors]


def test_clicking_a_header_sorts_by_it(context, panel, staged):
    staged()
    panel.refresh()
    header = panel.view.horizontalHeader()
    x = header.sectionViewportPosition(INDEX["sqnr_db"]) + 20
    QTest.mouseClick(header.viewport(), Qt.LeftButton, Qt.NoModifier, QtCore.QPoint(x, 8))
    values = [context.model.measure(name, "sqnr_db") for name in names(panel)]
    assert values in (sorted(values), sorted(values, reverse=True))


def test_a_sorted_table_is_sorted_anew_by_the_next_snapshot(context, panel, staged):
    staged()
    panel.refresh()
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.AscendingOrder)
    values = context.model.snapshot.values.copy()
    values[SNAPSHOT_MEASURES.index("sqnr_db")] *= -1
    context.model.take([with_measures(context.model.snapshot, sqnr_db=values[SNAPSHOT_MEASURES.index("sqnr_db")])])
    panel.refresh()
    shown = [context.model.measure(name, "sqnr_db") for name in names(panel)]
    assert shown == sorted(shown)


def test_the_filter_takes_words_and_wildcards(context, panel, staged):
    staged()
    panel.refresh()
    for text, expected in (("conv", 4), ("conv weights", 2), ("c*2.w", 1), ("CONV1", 2), ("", 9), ("no such", 0)):
        panel.filter.setText(text)
        assert len(names(panel)) == expected
        assert panel.empty.isVisible() == (expected == 0)
    panel.filter.setText("conv")
    assert "4 of 9 tensors" in panel.summary.text()


def test_kinds_can_be_shown_alone_which_is_remembered(context, panel, staged, show):
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


def test_drawing_a_selection_says_nothing_to_the_model(context, panel, staged):
    staged()
    context.model.select(["conv1.weights", "conv2.weights"], "conv1.weights")
    heard = []
    context.model.changed.connect(heard.append)
    panel.refresh()
    panel.refresh()
    assert heard == [] and context.model.current == "conv1.weights"


def test_what_the_filter_hides_stays_selected(context, panel, staged):
    staged()
    context.model.select(["conv1.weights", "conv2.weights"], "conv2.weights")
    panel.refresh()
    panel.filter.setText("conv1")
    assert selected_names(panel) == {"conv1.weights"}
    assert context.model.selected == ("conv1.weights", "conv2.weights")
    panel.filter.setText("")
    assert selected_names(panel) == {"conv1.weights", "conv2.weights"} and context.model.current == "conv2.weights"


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
    panel.activateWindow()
    panel.view.setFocus()
    app.processEvents()
    QTest.keyClick(panel.view, Qt.Key_Down)
    assert context.model.current == "conv1.activations" and context.model.selected == ("conv1.activations",)
    QTest.keyClick(panel.view, Qt.Key_A, Qt.ControlModifier)
    assert len(context.model.selected) == 9
    QTest.keyClick(panel.view, Qt.Key_F, Qt.ControlModifier)
    assert panel.filter.hasFocus()
    QTest.keyClicks(panel.filter, "dense")
    assert len(names(panel)) == 2
    QTest.keyClick(panel.filter, Qt.Key_Escape)
    assert panel.filter.text() == "" and len(names(panel)) == 9 and panel.view.hasFocus()


def test_columns_their_order_widths_and_the_sort_are_remembered(context, panel, staged, show):
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


def test_names_stay_in_sight_when_the_table_is_scrolled_sideways(context, show, staged):
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


def test_of_a_narrow_table_nothing_is_frozen(context, show, staged):
    staged()
    panel = show(LayersPanel(context), 230, 300)
    panel.refresh()
    assert not panel.view.frozen.isVisible()


def test_settings_of_another_program_are_no_reason_to_fail(context, show):
    context.settings.setValue("layers/columns", "not JSON")
    assert not show(LayersPanel(context)).view.isColumnHidden(INDEX["sqnr_db"])


def test_the_table_can_be_taken_along_as_shown(context, panel, staged):
    staged()
    panel.refresh()
    panel.view.sortByColumn(INDEX["sqnr_db"], Qt.DescendingOrder)
    panel.filter.setText("weights")
    table = panel.table()
    assert table["name"] == names(panel) and len(table["name"]) == 4
    assert table["sqnr_db"] == [context.model.measure(name, "sqnr_db") for name in table["name"]]
    assert {len(column) for column in table.values()} == {4} and panel.figure_name == "layers"


def test_another_run_has_other_rows_and_going_back_older_numbers(context, panel, staged):
    run = staged()
    panel.refresh()
    older, texts = context.model.snapshot, row_texts(panel, "conv1.weights")
    run.advance(4)
    context.model.take(run.drain())
    panel.refresh()
    assert row_texts(panel, "conv1.weights") != texts
    context.model.take([events.Restored(3, "before-3", "undo", 7), older])
    panel.refresh()
    assert row_texts(panel, "conv1.weights") == texts
    run = staged("mobilenet", steps=1)
    panel.refresh()
    assert len(names(panel)) == len(run.plan.tensors)
    context.model.close_run()
    panel.refresh()
    assert names(panel) == [] and panel.empty.isVisible()


def drawn_area(view, act):
    """The part of the view's viewport that is painted in consequence of ``act``."""
    areas = []

    class Watch(QtCore.QObject):
        def eventFilter(self, _, event):
            if event.type() == QtCore.QEvent.Paint:
                areas.append(event.region())
            return False

    watch = Watch()
    view.viewport().installEventFilter(watch)
    act()
    QtCore.QCoreApplication.processEvents()
    view.viewport().removeEventFilter(watch)
    return areas


def test_only_columns_with_something_new_are_drawn_again(context, show, staged):
    staged("mobilenet", steps=1)
    panel = show(LayersPanel(context), 1700, 300)
    drawn_area(panel.view, panel.refresh)
    assert drawn_area(panel.view, panel.refresh) == []
    snapshot = with_measures(context.model.snapshot, flushed=0.123)

    def take():
        context.model.take([snapshot])
        panel.refresh()

    panel.sparklines.renew(at_once=True)  # so that they are not due now
    area, = drawn_area(panel.view, take)
    drawn = {column.key for index, column in enumerate(COLUMNS)
             if area.intersects(QtCore.QRect(panel.view.columnViewportPosition(index) + 2, 5, 3, 3))}
    assert "flushed" in drawn and not drawn & {"sqnr_db", "scale", "symmetric", "num_bits"}


def test_rows_that_can_t_be_seen_cost_nothing(context, show, staged, monkeypatch):
    staged("mobilenet", steps=1)
    panel = show(LayersPanel(context), 600, 260)
    panel.refresh()
    asked = set()
    cell = panel.source.rows.cell
    monkeypatch.setattr(panel.source.rows, "cell", lambda row, column: asked.add(row) or cell(row, column))
    panel.refresh()
    assert 0 in asked and max(asked) < 15 < panel.shown.rowCount()


def test_levels_and_rows_look_different_in_the_picture(context, panel, staged, app):
    run = staged()
    change(context, run, ("dense1.weights.num_bits", 2))

    def colors_of(tensor, key):
        rect = panel.view.visualRect(panel.shown.index(panel.shown.row_of(tensor), INDEX[key]))
        rect.translate(panel.view.viewport().pos())
        return {image.pixelColor(x, y).name() for x in range(rect.left() + 6, rect.right())
                for y in range(rect.top(), rect.bottom())}

    # A selected row shows its colours through, in the frozen columns as in the others.
    context.model.select(["dense1.weights"])
    panel.refresh()
    app.processEvents()
    image = panel.view.grab().toImage()
    assert context.theme.colors.bad in colors_of("dense1.weights", "verdict")
    assert context.theme.colors.accent not in colors_of("dense1.weights", "name") | colors_of("dense1.weights", "scale")
    assert context.theme.colors.good in colors_of("logits.weights", "verdict")
    assert context.theme.colors.bad not in colors_of("logits.weights", "flushed")
    context.theme.use(LIGHT)
    panel.refresh()
    light = panel.view.viewport().grab().toImage()
    assert light.pixelColor(3, light.height() - 3).name() == context.theme.colors.base


def test_the_selection_is_seen_through_in_a_dock_that_is_raised_later(context, show, staged, app):
    panel, window, dock = LayersPanel(context), QtWidgets.QMainWindow(), QtWidgets.QDockWidget()
    dock.setWidget(panel)
    window.addDockWidget(Qt.LeftDockWidgetArea, dock)
    other = QtWidgets.QDockWidget()
    window.addDockWidget(Qt.LeftDockWidgetArea, other)
    window.tabifyDockWidget(dock, other)
    show(window, 900, 400)
    dock.raise_()
    app.processEvents()
    staged()
    panel.refresh()
    view, row = panel.view, panel.shown.row_of("conv1.weights")
    image = view.grab().toImage()
    found = {image.pixelColor(view.viewport().pos() + view.visualRect(panel.shown.index(row, INDEX[key])).topLeft()
                              + QtCore.QPoint(4, 2)).name() for key in ("name", "sqnr_db")}
    assert len(found) == 1 and context.theme.colors.accent not in found


def test_a_sparkline_is_drawn_once_there_is_a_past(context, panel, staged):
    run = staged()
    panel.refresh()
    assert panel.sparklines.polygon("conv1.weights", 100, 20) is None
    for _ in range(10):
        run.advance(2)
    context.model.take(run.drain())
    panel.sparklines.renew(at_once=True)
    polygon = panel.sparklines.polygon("conv1.weights", 100, 20)
    points = np.array([(point.x(), point.y()) for point in polygon])
    assert len(points) == 11 and (np.diff(points[:, 0]) > 0).all()
    assert points.min() >= 0 and points[:, 0].max() <= 100 and points[:, 1].max() <= 20


def test_levels_are_those_of_the_snapshot_s_bits(context, panel, staged):
    """Between a change and the next snapshot, old measures are not judged by new settings."""
    run = staged()
    panel.refresh()
    before = row_texts(panel, "conv1.weights")["used_codes"]
    run.send(ChangeSettings((("conv1.weights.num_bits", 3),)))
    run.advance(1, snapshot=False)
    context.model.take(run.drain())
    panel.refresh()
    assert row_texts(panel, "conv1.weights")["used_codes"] == before
    assert panel.source.rows.verdict(1).level == GOOD


def test_text_of_sizes_and_shares():
    assert [bytes_text(size) for size in (0, 999, 1000, 12345, 1.2e6)] == ["0 B", "999 B", "1 kB", "12.3 kB", "1.2 MB"]
    shares = [percent_text(share) for share in (0, 1e-6, 0.0123, 0.123, 1)]
    assert shares == ["0 %", "<0.01 %", "1.23 %", "12.3 %", "100.0 %"]


def test_every_control_says_what_it_does(panel):
    for control in [panel.filter, panel.columns, *panel.kinds.values()]:
        assert control.toolTip(), control
        assert control.accessibleName() or control.text()
